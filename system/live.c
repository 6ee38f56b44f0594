/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "system/live.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/klog.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "lib/proc.h"
#include "lib/str.h"

#define INIT_SOCKET   "/run/cairn/init.sock"
#define LIMIT_ANSWERS (1 << 20)
#define KLOG_READ_ALL 3 /* syslog(2) */
#define KLOG_SIZE     10
#define STATUS_DATA   65 /* of a command that could not read its input */

const char *const live_action_names[LIVE_ACTION_MAX] = { "keep",  "later", "reload",
							 "start", "stop",  "restart" };

bool live_is_running(void)
{
	struct stat st;

	return stat(INIT_SOCKET, &st) == 0 && S_ISSOCK(st.st_mode);
}

/* "restart dhcp" */
static int parse_line(struct arena *a, struct slice line, struct vec *ret, struct err *e)
{
	struct live_change *c = ARENA_NEW(a, struct live_change);
	struct slice name = line, word;
	unsigned k = 0;

	(void)slice_cut(&name, ' ', &word);
	while (k < LIVE_ACTION_MAX && !slice_is(word, live_action_names[k]))
		k++;
	if (k == LIVE_ACTION_MAX || name.n == 0)
		return err_set(e, -ERR_PROTO, "unexpected answer '%.*s'", (int)line.n, line.p);
	if (!c)
		return err_set(e, -ENOMEM, "out of memory");
	*c = (struct live_change){ arena_slice(a, name), (enum live_action)k };
	vec_add(ret, c);
	return !c->name || ret->err ? err_set(e, -ENOMEM, "out of memory") : 0;
}

static int keep_going(void *arg)
{
	(void)arg; /* nothing else is needed */
	return signal(SIGPIPE, SIG_IGN) == SIG_ERR ? -errno : 0;
}

/* A question to PID 1 by another process of this program: neither ^C nor messages that nobody reads
 * end it before the answer. */
static struct proc_spec question(const char *program, const char *const *argv)
{
	struct proc_spec spec = PROC_SPEC_INIT;

	spec.argv = argv;
	spec.path = program ? program : "/proc/self/exe";
	spec.in = -2;
	spec.setsid = true;
	spec.setup = keep_going;
	return spec;
}

static int ask(struct arena *a, const char *program, const char *const *argv, struct vec *ret,
	       struct err *e)
{
	struct proc_spec spec = question(program, argv);
	auto_str struct str text = STR_INIT;
	struct err ignored = ERR_INIT;
	struct slice rest, line;
	int rc, parsed = 0, status = 0;

	spec.ret_status = &status;
	rc = proc_output(&spec, &text, LIMIT_ANSWERS, e);
	if (rc < 0 && WIFEXITED(status) && WEXITSTATUS(status) == STATUS_DATA)
		rc = err_set(e, -ERR_INVALID, "the set of services cannot be read");
	/* Also when it failed: a load in which services failed has changed others. */
	rest = str_slice(&text);
	while (parsed == 0 && rest.n && slice_cut(&rest, '\n', &line))
		parsed = line.n ? parse_line(a, line, ret, rc < 0 ? &ignored : e) : 0;
	return rc < 0 ? rc : parsed;
}

int live_load(struct arena *a, const char *file, bool dry, struct vec *ret, struct err *e)
{
	const char *argv[] = { "cairn", "service", "load", "--all", file, dry ? "--dry-run" : NULL,
			       NULL };
	int rc = ask(a, NULL, argv, ret, e);

	return rc < 0 ? err_wrap(e, rc, "while %s services", dry ? "planning" : "switching") : 0;
}

static int list(struct str *out, struct err *e)
{
	const char *argv[] = { "cairn", "service", "list", "--json", NULL };
	struct proc_spec spec = question(NULL, argv);

	return proc_output(&spec, out, LIMIT_ANSWERS, e);
}

int live_answers(struct err *e)
{
	auto_str struct str text = STR_INIT;

	return list(&text, e);
}

bool live_has_crashed(void)
{
	static const char said[] = "cairn-init: fatal signal"; /* init/crash.c */
	int size = klogctl(KLOG_SIZE, NULL, 0), n = -1;
	char *log = size > 0 ? malloc((size_t)size) : NULL;

	if (log)
		n = klogctl(KLOG_READ_ALL, log, size);
	bool found = n > 0 && memmem(log, (size_t)n, said, sizeof(said) - 1);
	free(log);
	return found;
}

/* One row of the list a line; a quote inside of a string is escaped, so the keys are found nowhere
 * else. */
int live_stale(struct arena *a, struct vec *ret, struct err *e)
{
	static const char key[] = "{\"name\":\"", mark[] = "\"stale\":true";
	auto_str struct str text = STR_INIT;
	struct slice rest, line, name;
	int rc = list(&text, e);

	if (rc < 0)
		return rc;
	rest = str_slice(&text);
	while (rest.n && slice_cut(&rest, '\n', &line)) {
		const char *at = memmem(line.p, line.n, key, sizeof(key) - 1);
		if (!at || !memmem(line.p, line.n, mark, sizeof(mark) - 1))
			continue;
		at += sizeof(key) - 1;
		line = (struct slice){ at, (size_t)(line.p + line.n - at) };
		slice_cut(&line, '"', &name);
		vec_add(ret, arena_slice(a, name));
	}
	return ret->err || arena_err(a) ? err_set(e, -ENOMEM, "out of memory") : 0;
}

bool live_is_other_init(const char *program)
{
	struct stat now, next;

	return stat("/proc/1/exe", &now) == 0 && stat(program, &next) == 0 &&
	       S_ISREG(next.st_mode) && next.st_size > 0 && (next.st_mode & 0111) &&
	       (now.st_dev != next.st_dev || now.st_ino != next.st_ino);
}

int live_renew(const char *program, struct err *e)
{
	const char *argv[] = { "cairn", "service", "re-exec", program, NULL };
	struct proc_spec spec = question(NULL, argv);
	int rc = proc_run(&spec, e);
	return rc < 0 ? err_wrap(e, rc, "while renewing PID 1") : 0;
}

int live_compare(struct arena *a, const char *program, const char *old, const char *new,
		 struct vec *ret, struct err *e)
{
	const char *argv[] = { "cairn", "service", "compare", old ? old : "/dev/null", new, NULL };
	int rc = ask(a, program, argv, ret, e);

	return rc < 0 ? err_wrap(e, rc, "while comparing services") : 0;
}
