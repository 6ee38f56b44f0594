/* SPDX-License-Identifier: GPL-3.0-or-later */
/* "cairn install": a system onto a disk, by questions or by a file of answers. */
#include "image/image.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "image/pages.h"
#include "image/setup.h"
#include "lib/fd.h"
#include "lib/slice.h"

#define LIMIT_ANSWERS (1 << 20)
#define STATE_FILE    "/run/cairn-install.state"
#define LOG_FILE      "/var/log/cairn-install.log"

struct install_cmd {
	struct store_opts store;
	struct sys_eval_opts eval;
	const char *answers, *state, *log;
	bool dry_run;
};

struct meter {
	unsigned shown; /* per cent */
};

static void show(void *arg, uint64_t done, uint64_t all)
{
	struct meter *m = arg;
	unsigned now = all && done < all ? (unsigned)(done * 100 / all) : 100;

	if (now == m->shown)
		return;
	m->shown = now;
	fprintf(stderr, "\rwriting: %3u %%%s", now, now == 100 ? "\n" : "");
}

/* A disk may hold the answers, too: they end at the first zero byte. */
static int read_answers(struct setup *s, const char *file, struct err *e)
{
	auto_str struct str text = STR_INIT;
	char buf[65536];

	auto_fd int fd = open(file, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return err_sys(e, "%s", file);
	for (;;) {
		ssize_t n = fd_read_some(fd, buf, sizeof(buf));
		if (n < 0)
			return err_num(e, (int)n, "%s", file);
		size_t text_bytes = strnlen(buf, (size_t)n);
		str_addn(&text, buf, text_bytes);
		if (n == 0 || text_bytes < (size_t)n)
			break;
		if (text.len > LIMIT_ANSWERS)
			return err_set(e, -ERR_LIMIT, "%s: too long", file);
	}
	if (str_err(&text))
		return err_num(e, -ENOMEM, "%s", file);
	int r = answers_parse(&s->arena, str_slice(&text), file, &s->answers, e);
	if (r < 0)
		return r;
	r = answers_check(&s->answers, e);
	return r < 0 ? err_wrap(e, r, "%s", file) : 0;
}

static int print_plan(const struct setup *s, bool config, struct err *e)
{
	auto_str struct str out = STR_INIT;

	setup_plan(s, &out);
	if (config) {
		str_add(&out, "\n");
		answers_configuration(&s->answers, &out);
	}
	if (str_err(&out))
		return err_num(e, -ENOMEM, "plan");
	return fputs(out.buf, stdout) < 0 || fflush(stdout) == EOF ? err_sys(e, "standard output")
								   : 0;
}

/* Everything that can be refused comes before the disk is written. */
static int unattended(const struct install_cmd *o, struct setup *s, struct err *e)
{
	int r;

	if ((r = read_answers(s, o->answers, e)) < 0 || (r = setup_open(s, e)) < 0 ||
	    (r = setup_evaluate(s, e)) < 0 || (r = print_plan(s, o->dry_run, e)) < 0 || o->dry_run)
		return r;
	if ((r = setup_build(s, e)) < 0 || (r = setup_write(s, e)) < 0)
		return r;
	return printf("installed\n") < 0 || fflush(stdout) == EOF ? err_sys(e, "standard output")
								  : 0;
}

static int interactive(const struct install_cmd *o, struct setup *s, struct err *e)
{
	const struct pages_opts pages = { o->state ? o->state : STATE_FILE,
					  o->log ? o->log : LOG_FILE };
	bool quit = false;
	int r = pages_run(s, &pages, &quit, e);

	return r == 0 && quit ? cmd_exit_with(6) : r;
}

static int install_run(struct cmd_env *env, struct err *e)
{
	struct install_cmd *o = env->ctx;
	struct meter meter = { 101 };
	struct setup s;

	if (o->dry_run && !o->answers)
		return cmd_usage(e, "--dry-run is for --answers");
	int r = setup_check_memory(e);
	if (r < 0)
		return r;
	setup_init(&s);
	s.store = o->store;
	s.eval = o->eval;
	if (isatty(STDERR_FILENO) && !o->store.quiet) {
		s.progress = show;
		s.progress_arg = &meter;
	}
	r = o->answers ? unattended(o, &s, e) : interactive(o, &s, e);
	setup_done(&s);
	return r;
}

#define AT(f) offsetof(struct install_cmd, f)
static const struct cmd_opt install_opts[] = {
	{ "answers", 0, CMD_STR, AT(answers), "FILE",
	  "ask nothing: answers as doc/install.md has them" },
	{ "dry-run", 'n', CMD_FLAG, AT(dry_run), NULL,
	  "with --answers: print the plan, write nothing" },
	{ "log", 0, CMD_STR, AT(log), "FILE", "what was done (" LOG_FILE ")" },
	{ "state", 0, CMD_STR, AT(state), "FILE", "answers so far (" STATE_FILE ")" },
	SYS_EVAL_OPTIONS(struct install_cmd, eval),
	STORE_OPTIONS_BASIC(struct install_cmd, store),
	STORE_OPTIONS_BUILD(struct install_cmd, store),
};

const struct cmd image_cmd_install = {
	.name = "install",
	.summary = "install a system on a disk of this machine",
	.examples = "cairn install                               asks\n"
		    "cairn install --answers usb/answers -n      what answers would make of this "
		    "machine\n"
		    "cairn install --answers usb/answers         without a question",
	.help = "Asks what it must know, shows the configuration that follows, and writes the disk "
		"that was\nchosen once its name is typed. Cut off and started again it goes on at "
		"the "
		"same question.",
	CMD_OPTS(install_opts),
	.context_size = sizeof(struct install_cmd),
	.statuses = &sys_statuses,
	.run = install_run,
};
