/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * cairn repl: Lua by the line, in the box that configurations run in.
 *
 * A box evaluates once and ends. So a session is the statements so far, which are evaluated again,
 * silently, before each line: what they give is the same each time.
 */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "lib/fd.h"
#include "lib/text.h"
#include "store/store.h"
#include "system/eval.h"
#include "system/system.h"

#define LIMIT_SESSION (1u << 20)
#define QUIET                                                                                      \
	"local _quiet, _print = true, print\n"                                                     \
	"local print = function(...) if not _quiet then _print(...) end end\n"
#define LOUD "_quiet = false\n"

struct ctx {
	struct store_opts store;
	struct sys_eval_opts eval;
};

struct session {
	struct ctx *c;
	struct str statements; /* that were well */
	struct str pending;    /* lines of one that has not ended */
	char *types;	       /* of services, for who prints them; in arena */
	struct arena arena;
	bool prompt, failed;
};

static const char help[] =
	"An expression is printed. x = … and local x = … are kept; so are functions.\n"
	"require \"packages.zlib\", find_package \"zlib\", text(…), derivation { … }: doc/lua.md\n"
	":build EXPRESSION  build it, print its store path\n"
	":list              what is kept      :reset  forget it\n"
	":help  :quit\n";

static int no_memory(struct err *e)
{
	return err_set(e, -ENOMEM, "out of memory");
}

static int evaluate(const struct session *s, enum sys_eval_kind kind, const char *text,
		    const char *apply, struct sys_eval **ret, struct err *e)
{
	const char *args[] = { s->types };
	struct sys_eval_request req = {
		.kind = kind, .text = text, .apply = apply, .args = args, .nargs = 1
	};

	return sys_eval_run(&s->c->eval, &req, ret, e);
}

/* The statements so far, then text. */
static int run_text(const struct session *s, const char *before, const char *text,
		    const char *apply, struct sys_eval **ret, struct err *e)
{
	auto_str struct str all = STR_INIT;

	str_addf(&all, QUIET "%s" LOUD "%s%s", s->statements.buf, before, text);
	if (str_err(&all))
		return no_memory(e);
	return evaluate(s, SYS_EVAL_EXPR, all.buf, apply, ret, e);
}

static void print_value(const struct sys_eval *ev)
{
	const char *text = sys_eval_value(ev, "text");

	if (text && *text)
		printf("%s\n", text);
}

static bool is_syntax(const struct err *e)
{
	return strstr(e->msg, " near ") != NULL;
}

static bool is_unfinished(const struct err *e)
{
	return strstr(e->msg, "near <eof>") != NULL;
}

/* x = 1 at the beginning of a line means a variable of the session. */
static bool is_assignment(const char *text)
{
	text += strspn(text, " \t");
	if (!isalpha((unsigned char)*text) && *text != '_')
		return false;
	while (isalnum((unsigned char)*text) || *text == '_')
		text++;
	text += strspn(text, " \t");
	return text[0] == '=' && text[1] != '=';
}

static int keep(struct session *s, const char *prefix, const char *text, struct err *e)
{
	str_addf(&s->statements, "%s%s\n", prefix, text);
	if (str_err(&s->statements))
		return no_memory(e);
	return s->statements.len > LIMIT_SESSION
		       ? err_set(e, -ERR_LIMIT, "the session is longer than %u bytes",
				 LIMIT_SESSION)
		       : 0;
}

/* 0; 1: the statement has not ended; negative: it is wrong. */
static int run_statement(struct session *s, const char *text, struct err *e)
{
	const char *prefix = is_assignment(text) ? "local " : "";
	auto_str struct str chunk = STR_INIT;
	struct sys_eval *ev = NULL;
	int r;

	str_addf(&chunk, "%s\nreturn nil", text);
	if (str_err(&chunk))
		return no_memory(e);
	r = run_text(s, prefix, chunk.buf, "system.repl", &ev, e);
	sys_eval_free(ev);
	if (r == 0)
		return keep(s, prefix, text, e);
	/* With "return nil" behind it the end is there: what is missing shows without. */
	ev = NULL;
	struct err bare = ERR_INIT;
	if (run_text(s, prefix, text, "system.repl", &ev, &bare) < 0 && is_unfinished(&bare))
		r = 1;
	sys_eval_free(ev);
	return r;
}

static int run_line(struct session *s, const char *text, struct err *e)
{
	struct sys_eval *ev = NULL;
	struct err first = ERR_INIT;
	int r = run_text(s, "return ", text, "system.repl", &ev, &first);

	if (r == 0)
		print_value(ev);
	else if (!is_syntax(&first))
		*e = first;
	else
		r = run_statement(s, text, e);
	sys_eval_free(ev);
	return r;
}

static int build(struct session *s, const char *text, struct err *e)
{
	struct store_conn *conn = NULL;
	struct sys_eval *ev = NULL;
	int r = run_text(s, "return ", text, NULL, &ev, e);

	if (r == 0)
		r = store_open(&s->c->store, &conn, e);
	if (r == 0)
		r = sys_eval_build(ev, conn, NULL, e);
	for (size_t i = 0; r == 0 && i < sys_eval_count(ev); i++)
		printf("%s\n", sys_eval_at(ev, i)->value);
	store_close(conn);
	sys_eval_free(ev);
	return r;
}

/* *ret_quit: it was the last. */
static int run_command(struct session *s, const char *text, bool *ret_quit, struct err *e)
{
	*ret_quit = strcmp(text, ":quit") == 0 || strcmp(text, ":q") == 0;
	if (strcmp(text, ":help") == 0)
		fputs(help, stdout);
	else if (strcmp(text, ":list") == 0)
		fputs(s->statements.buf, stdout);
	else if (strcmp(text, ":reset") == 0)
		str_cut(&s->statements, 0);
	else if (strncmp(text, ":build ", 7) == 0)
		return build(s, text + 7, e);
	else if (!*ret_quit)
		return err_set(e, -ERR_USAGE, "there is no command '%s' [:help]", text);
	return 0;
}

static void tell(struct session *s, const struct err *e)
{
	s->failed = true;
	(void)fflush(stdout);
	fprintf(stderr, "%s\n", e->msg);
}

/* One line of input; whether to go on. */
static bool take_line(struct session *s, const char *line)
{
	struct err e = ERR_INIT;
	bool quit = false;
	int r;

	if (line[0] == ':' && !s->pending.len) {
		r = run_command(s, line, &quit, &e);
	} else {
		str_addf(&s->pending, "%s%s", s->pending.len ? "\n" : "", line);
		if (line[strspn(line, " \t")] == '\0' && s->pending.len == strlen(line))
			r = 0;
		else
			r = str_err(&s->pending) ? no_memory(&e) : run_line(s, s->pending.buf, &e);
		if (r != 1)
			str_cut(&s->pending, 0);
	}
	if (r < 0)
		tell(s, &e);
	return !quit;
}

static void read_lines(struct session *s)
{
	char *line = NULL;
	size_t room = 0;
	bool go = true;
	ssize_t n;

	while (go) {
		if (s->prompt)
			fputs(s->pending.len ? "..> " : "cairn> ", stdout);
		(void)fflush(stdout); /* told at the end */
		n = getline(&line, &room, stdin);
		if (n < 0)
			break;
		if (n && line[n - 1] == '\n')
			line[n - 1] = '\0';
		go = take_line(s, line);
	}
	if (go && s->pending.len) {
		s->failed = true;
		fprintf(stderr, "the last statement has no end\n");
	}
	if (go && s->prompt)
		printf("\n");
	free(line);
}

static int run_file(struct session *s, const char *file, struct err *e)
{
	struct sys_eval *ev = NULL;
	int r = evaluate(s, SYS_EVAL_FILE, file, "system.repl", &ev, e);

	if (r == 0)
		print_value(ev);
	sys_eval_free(ev);
	return r;
}

static int run(struct cmd_env *env, struct err *e)
{
	struct session s = { .c = env->ctx,
			     .statements = STR_INIT,
			     .pending = STR_INIT,
			     .arena = ARENA_INIT,
			     .prompt = isatty(STDIN_FILENO) };
	char *dir = NULL;
	int r = sys_modules_dir(s.c->eval.modules, &s.arena, &dir, e);

	s.c->eval.store_dir = s.c->store.store_dir;
	if (r == 0)
		r = sys_type_modules(&s.arena, dir, &s.types, e);
	if (r == 0 && env->nargs)
		r = run_file(&s, env->args[0], e);
	else if (r == 0)
		read_lines(&s);
	str_done(&s.statements);
	str_done(&s.pending);
	arena_done(&s.arena);
	if (r == 0 && fflush(stdout) == EOF)
		r = err_sys(e, "standard output");
	return r < 0 ? r : s.failed && !s.prompt ? cmd_exit_with(1) : 0;
}

static const struct cmd_opt options[] = {
	SYS_EVAL_OPTIONS(struct ctx, eval),
	STORE_OPTIONS_BASIC(struct ctx, store),
	STORE_OPTIONS_BUILD(struct ctx, store),
};

const struct cmd sys_cmd_repl = {
	.name = "repl",
	.synopsis = "[FILE]",
	.summary = "evaluate Lua by the line, as configurations are",
	.examples = "cairn repl\n"
		    "cairn repl system.lua                       what the file returns\n"
		    "echo '=1 + 1' | cairn repl                  a script",
	.help = "Each line is evaluated in the box that configurations run in: no files but "
		"modules,\n"
		"no network, no clock. ':help' says what else there is. With FILE, print what "
		"that\n"
		"file returns. Of a script on standard input a wrong line makes the status 1.",
	CMD_OPTS(options),
	.context_size = sizeof(struct ctx),
	.max_args = 1,
	.run = run,
};
