/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The test in a virtual machine: what "cairn system vm --report" starts, whose second serial line
 * says again and again how its services are. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/fd.h"
#include "lib/path.h"
#include "lib/proc.h"
#include "system/system.h"
#include "system/test-boot.h"

#define QEMU	     "qemu-system-x86_64"
#define LIMIT_SCRIPT (1u << 20)
#define LIMIT_REPORT (8u << 20)
#define BEGIN	     "\nBEGIN\n" /* of a report of image/vm.lua */
#define END	     "\nEND\n"
#define LOG	     "\nLOG "

static bool is_in_path(const char *program)
{
	const char *path = getenv("PATH");
	struct slice rest = slice_of(path ? path : ""), dir;
	char file[PATH_MAX];

	while (rest.n && slice_cut(&rest, ':', &dir)) {
		if (dir.n &&
		    snprintf(file, sizeof(file), "%.*s/%s", (int)dir.n, dir.p, program) <
			    (int)sizeof(file) &&
		    access(file, X_OK) == 0)
			return true;
	}
	return false;
}

int test_vm_check(struct err *e)
{
	if (is_in_path(QEMU))
		return 0;
	return err_hint(e, err_set(e, -ERR_UNSUPPORTED, "--test vm: there is no " QEMU " in PATH"),
			"install QEMU, or use --test container");
}

/* ---- The script ------------------------------------------------------------------------------ */

static int make_script(const struct test_boot *t, struct str *ret, struct err *e)
{
	const struct {
		const char *option, *value;
	} more[] = { { "--root", t->store->root },
		     { "--store-dir", t->store->store_dir },
		     { "--state-dir", t->store->state_dir },
		     { "--socket", t->store->socket },
		     { "--substitute-urls", t->store->substitute_urls },
		     { "--modules", t->eval->modules } };
	const char *argv[32] = { "cairn", "system", "vm", "--report" };
	struct proc_spec spec = PROC_SPEC_INIT;
	size_t n = 4;

	for (size_t i = 0; i < sizeof(more) / sizeof(more[0]); i++)
		if (more[i].value) {
			argv[n++] = more[i].option;
			argv[n++] = more[i].value;
		}
	if (t->store->no_substitutes)
		argv[n++] = "--no-substitutes";
	if (t->store->fallback)
		argv[n++] = "--fallback";
	if (t->store->quiet)
		argv[n++] = "--quiet";
	argv[n++] = "--";
	argv[n] = t->config;
	spec.argv = argv;
	spec.path = "/proc/self/exe";
	spec.in = -2;
	spec.dies_with_us = true;
	int rc = proc_output(&spec, ret, LIMIT_SCRIPT, e);
	/* What it is has been said there. */
	return rc < 0 ? err_set(e, -ERR_BUILD, "the virtual machine for --test cannot be made") : 0;
}

/* The configuration was evaluated once more for it, and a file may have changed since. */
static int check_script(struct slice script, const char *system, const char *config, struct err *e)
{
	struct slice line, made = { "", 0 };
	int rc;

	while (script.n && slice_cut(&script, '\n', &line))
		if (slice_starts(line, SYSTEM_VM_TESTS)) {
			made = (struct slice){ line.p + sizeof(SYSTEM_VM_TESTS) - 1,
					       line.n - (sizeof(SYSTEM_VM_TESTS) - 1) };
			break;
		}
	if (slice_is(made, system))
		return 0;
	rc = err_set(e, -EAGAIN, "--test vm: %s gives %.*s now, not %s, which is to be switched to",
		     config, (int)made.n, made.p, system);
	return err_hint(
		e, rc,
		"nothing was switched; a file was changed meanwhile: start the command again");
}

/* ---- The machine ----------------------------------------------------------------------------- */

struct machine {
	struct proc proc;
	int report;	 /* its second serial line */
	int console;	 /* the first one, and what the emulator says */
	struct str text; /* of reports, from the last whole one on */
};

static int start(struct machine *m, const char *script, struct err *e)
{
	const char *argv[] = { "sh",
			       "-c",
			       script,
			       "cairn-test",
			       "-display",
			       "none",
			       "-monitor",
			       "none",
			       "-no-reboot",
			       "-chardev",
			       "file,id=c0,path=/dev/stderr,append=on",
			       "-serial",
			       "chardev:c0",
			       "-chardev",
			       "stdio,id=c1,signal=off",
			       "-serial",
			       "chardev:c1",
			       NULL };
	struct proc_spec spec = PROC_SPEC_INIT;
	int pipe[2] = { -1, -1 }, rc;

	m->console = (int)syscall(SYS_memfd_create, "console", 1U /* close-on-exec */);
	if (m->console < 0 || pipe2(pipe, O_CLOEXEC) < 0)
		return err_sys(e, "test in a virtual machine");
	m->report = pipe[0];
	spec.argv = argv;
	spec.path = "/bin/sh";
	spec.in = -2;
	spec.out = pipe[1];
	spec.err = m->console;
	spec.dies_with_us = true;
	rc = proc_start(&spec, &m->proc, e);
	fd_close(&pipe[1]);
	return rc;
}

static void machine_done(struct machine *m)
{
	proc_end(&m->proc);
	fd_close(&m->report);
	fd_close(&m->console);
	str_done(&m->text);
}

/* The last whole report, cut off with all before it; empty when there is none. */
static struct slice last_report(struct machine *m, struct str *out)
{
	size_t from = 0, upto = 0;
	const char *begin, *end, *p = m->text.buf;

	while ((begin = strstr(p, BEGIN)) && (end = strstr(begin, END))) {
		from = (size_t)(begin - m->text.buf) + sizeof(BEGIN) - 1;
		upto = (size_t)(end - m->text.buf);
		p = end;
	}
	if (!upto)
		return (struct slice){ "", 0 };
	str_cut(out, 0);
	str_addn(out, m->text.buf + from, upto - from);
	str_drop(&m->text, upto);
	return str_slice(out);
}

/* Bytes of its report; false when it has ended. */
static bool pump(struct machine *m, uint64_t until)
{
	uint64_t now = test_watch_now();
	struct pollfd p = { m->report, POLLIN, 0 };
	char buf[8192];
	ssize_t n;

	if (now >= until || poll(&p, 1, (int)((until - now) / 1000000) + 1) <= 0)
		return true;
	n = fd_read_some(m->report, buf, sizeof(buf));
	for (ssize_t i = 0; i < n; i++)
		if (buf[i] && buf[i] != '\r')
			str_addc(&m->text, buf[i]);
	return n > 0 && m->text.len < LIMIT_REPORT;
}

/* What the report says of the log of a service. */
static void show_log(struct slice report, const struct test_service *s)
{
	char mark[160];
	const char *at, *end;
	int n = snprintf(mark, sizeof(mark), LOG "%s\n", s->name);

	fprintf(stderr, "service %s failed%s%s\n", s->name, s->why[0] ? ": " : "", s->why);
	at = n < (int)sizeof(mark) ? memmem(report.p, report.n, mark, (size_t)n) : NULL;
	if (!at)
		return;
	at += n;
	end = memmem(at, (size_t)(report.p + report.n - at), LOG, sizeof(LOG) - 1);
	test_show_tail((struct slice){ at, (size_t)((end ? end : report.p + report.n) - at) });
}

static int fail_ended(const struct machine *m, struct err *e)
{
	test_show_end(m->console);
	return err_hint(e, err_set(e, -ERR_UNHEALTHY, "the virtual machine of --test ended"),
			"nothing was switched");
}

static int watch(struct machine *m, uint64_t seconds, struct err *e)
{
	auto_str struct str report = STR_INIT;
	enum test_state state = TEST_WAITS;
	bool runs = true;
	struct test_watch w;
	int rc = 0;

	test_watch_init(&w, "the virtual machine", seconds);
	while (state == TEST_WAITS && runs && test_watch_now() < w.until) {
		runs = pump(m, w.until);
		test_keep_end(m->console);
		struct slice rows = last_report(m, &report);
		const char *log = memmem(rows.p, rows.n, LOG, sizeof(LOG) - 1);
		if (rows.n)
			state = test_watch_see(
				&w, (struct slice){ rows.p, log ? (size_t)(log - rows.p) : rows.n },
				test_watch_now());
	}
	if (state == TEST_FAILED)
		for (size_t i = 0; i < w.failed.n; i++)
			show_log(str_slice(&report), w.failed.v[i]);
	if (state == TEST_WAITS && !runs)
		rc = fail_ended(m, e);
	else if (state != TEST_HEALTHY)
		rc = test_watch_fail(&w, e);
	test_watch_done(&w);
	return rc;
}

int test_vm_run(const struct test_boot *t, const char *system, struct err *e)
{
	auto_str struct str script = STR_INIT;
	struct machine m = { PROC_INIT, -1, -1, STR_INIT };
	int rc = make_script(t, &script, e);

	if (rc == 0)
		rc = check_script(str_slice(&script), system, t->config, e);
	if (rc == 0)
		rc = start(&m, script.buf, e);
	if (rc == 0)
		rc = watch(&m, t->seconds, e);
	machine_done(&m);
	return rc;
}
