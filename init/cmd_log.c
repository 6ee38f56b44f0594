/* SPDX-License-Identifier: GPL-3.0-or-later */
/* cairn service log */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <time.h>

#include "init/commands.h"
#include "init/init.h"
#include "init/logread.h"
#include "init/when.h"
#include "lib/fd.h"
#include "lib/text.h"

#define DIRECTORY  "/var/log/cairn"
#define LINES	   50
#define LINES_MAX  1000000
#define LIMIT_TAIL (256u << 20) /* bytes of lines that wait to be printed */

struct log_ctx {
	const char *lines, *boot, *since, *until, *directory;
	bool follow, json, list_boots;
};

/* What is to be printed, and what waits for it. */
struct show {
	const struct log_ctx *ctx;
	bool with_names, plain;	     /* plain: not to a terminal */
	char since[32], until[32];   /* stamps; "": none */
	uint64_t lines;		     /* the last so many; UINT64_MAX: all */
	struct str *tail;	     /* owned ring of `lines`, NULL: print at once */
	uint64_t tail_n, tail_bytes; /* lines ever added */
	struct str out;
};

/* ---- lines -----------------------------------------------------------------------------------*/

static int print_out(struct show *w, struct err *e)
{
	int r = str_err(&w->out);

	if (r == 0)
		r = fd_write_full(STDOUT_FILENO, w->out.buf, w->out.len);
	str_cut(&w->out, 0);
	return r < 0 ? err_num(e, r, "standard output") : 0;
}

static void json_pair(struct str *out, const char *key, struct slice value, const char *after)
{
	str_addf(out, "\"%s\":", key);
	text_json(out, value);
	str_add(out, after);
}

/* "FACILITY.PRIORITY TEXT" of the kernel and of the system log. */
static struct slice json_priority(struct str *out, struct slice text)
{
	struct slice rest = text, word, facility;

	if (!slice_cut(&rest, ' ', &word) || !rest.p || !memchr(word.p, '.', word.n) ||
	    word.p[0] == '(')
		return text;
	slice_cut(&word, '.', &facility);
	json_pair(out, "facility", facility, ",");
	json_pair(out, "priority", word, ",");
	return rest;
}

static void format_line(const struct show *w, const struct log_line *l, uint64_t boot,
			struct str *out)
{
	struct slice text = l->text;

	if (w->ctx->json) {
		str_addc(out, '{');
		json_pair(out, "time", (struct slice){ l->stamp, LOG_STAMP_LEN }, ",");
		str_addf(out, "\"boot\":%" PRIu64 ",", boot);
		json_pair(out, "service", slice_of(l->name), ",");
		if (strcmp(l->name, "kernel") == 0 || strcmp(l->name, "syslog") == 0)
			text = json_priority(out, text);
		json_pair(out, "message", text, "}\n");
		return;
	}
	str_addf(out, "%.*s ", LOG_STAMP_LEN, l->stamp);
	if (w->with_names)
		str_addf(out, "%s: ", l->name);
	if (w->plain)
		str_adds(out, text);
	else
		text_safe(out, text);
	str_addc(out, '\n');
}

static int take_line(struct show *w, const struct log_line *l, uint64_t boot, struct err *e)
{
	if ((w->since[0] && memcmp(l->stamp, w->since, LOG_STAMP_LEN) < 0) ||
	    (w->until[0] && memcmp(l->stamp, w->until, LOG_STAMP_LEN) > 0))
		return 0;
	if (!w->tail) {
		format_line(w, l, boot, &w->out);
		return w->out.len > 65536 ? print_out(w, e) : 0;
	}
	if (!w->lines)
		return 0;
	struct str *slot = &w->tail[w->tail_n++ % w->lines];
	w->tail_bytes -= slot->len;
	str_cut(slot, 0);
	format_line(w, l, boot, slot);
	w->tail_bytes += slot->len;
	if (w->tail_bytes > LIMIT_TAIL)
		return err_set(e, -ERR_LIMIT,
			       "the last %" PRIu64
			       " lines have more than %u MiB [ask for less with -n]",
			       w->lines, LIMIT_TAIL >> 20);
	return str_err(slot) ? err_num(e, str_err(slot), "lines") : 0;
}

static int print_tail(struct show *w, struct err *e)
{
	uint64_t n = w->tail && w->tail_n < w->lines ? w->tail_n : w->lines;
	int r = 0;

	for (uint64_t i = 0; w->tail && r == 0 && i < n; i++) {
		str_adds(&w->out, str_slice(&w->tail[(w->tail_n - n + i) % w->lines]));
		if (w->out.len > 65536)
			r = print_out(w, e);
	}
	for (uint64_t i = 0; w->tail && i < w->lines; i++)
		str_done(&w->tail[i]);
	free(w->tail);
	w->tail = NULL;
	return r < 0 ? r : print_out(w, e);
}

/* ---- boots -----------------------------------------------------------------------------------*/

/* Where the files of a boot are; that of `last` is the present one. */
static void boot_directory(const struct log_ctx *ctx, uint64_t n, uint64_t last, struct str *out)
{
	str_cut(out, 0);
	str_add(out, ctx->directory);
	if (n != last)
		str_addf(out, "/boots/%" PRIu64, n);
}

/* The first and the last stamp of PID 1 in a boot; false: there are no logs of it. */
static bool boot_span(const char *dir, char first[32], char last[32])
{
	char *names[] = { (char *)"init" };
	struct log_reader *r = NULL;
	struct log_line l;
	struct err e = ERR_INIT;

	first[0] = last[0] = '\0';
	if (log_reader_new(dir, names, 1, &r, &e) < 0)
		return false;
	while (log_reader_next(r, true, &l, &e) == 1) {
		snprintf(last, 32, "%.*s", LOG_STAMP_LEN, l.stamp);
		if (!first[0])
			memcpy(first, last, 32);
	}
	log_reader_free(r);
	return first[0];
}

static int list_boots(const struct log_ctx *ctx, struct err *e)
{
	auto_str struct str dir = STR_INIT;
	uint64_t last = log_reader_boots(ctx->directory) + 1;
	char from[32], to[32];

	if (!ctx->json)
		printf("%5s %6s  %-24s  %s\n", "BOOT", "", "FIRST", "LAST");
	for (uint64_t n = 1; n <= last; n++) {
		boot_directory(ctx, n, last, &dir);
		if (str_err(&dir))
			return err_num(e, str_err(&dir), "boots");
		if (!boot_span(dir.buf, from, to))
			continue;
		if (ctx->json)
			printf("{\"boot\":%" PRIu64 ",\"offset\":%" PRId64
			       ",\"first\":\"%s\",\"last\":\"%s\"}\n",
			       n, (int64_t)(n - last), from, to);
		else
			printf("%5" PRIu64 " %6" PRId64 "  %s  %s\n", n, (int64_t)(n - last), from,
			       to);
	}
	return fflush(stdout) != 0 ? err_sys(e, "standard output") : 0;
}

/* -b: 0 is the present boot, -1 the one before, 3 the one that is called so; "all" are all. */
static int parse_boot(const struct log_ctx *ctx, uint64_t last, uint64_t *from, uint64_t *to,
		      struct err *e)
{
	const char *b = ctx->boot;
	auto_str struct str dir = STR_INIT;
	uint64_t n;

	*from = *to = last;
	if (!b && !ctx->since)
		return 0;
	if (!b || strcmp(b, "all") == 0) {
		*from = 1;
		return 0;
	}
	if (text_u64(slice_of(b[0] == '-' ? b + 1 : b), UINT32_MAX, &n) < 0)
		return cmd_usage(e, "--boot must be a number such as -1, or 'all', not '%s'", b);
	if (b[0] == '-' || n == 0)
		n = n < last ? last - n : 0;
	boot_directory(ctx, n, last, &dir);
	if (n == 0 || n > last || str_err(&dir) || access(dir.buf, F_OK) < 0)
		return err_set(e, -ERR_NOTFOUND,
			       "there are no logs of boot %s [cairn service log --list-boots]", b);
	*from = *to = n;
	return 0;
}

/* ---- reading ---------------------------------------------------------------------------------*/

static int ignore_service(void *arg, const struct init_service *s)
{
	(void)arg;
	(void)s;
	return 0;
}

/* A service that has not said anything yet has no log, which is no error. */
static int check_name(const char *dir, const char *name, bool now, struct err *e)
{
	struct vec names = VEC_INIT;
	int r = log_reader_names(dir, &names, e);
	const char *near;

	if (r == 0 && !vec_has_str(&names, name) &&
	    !(now && (strcmp(name, "init") == 0 ||
		      init_client_status(name, ignore_service, NULL, NULL) == 0))) {
		near = text_nearest(name, (const char *const *)names.v, names.n);
		r = err_set(e, -ERR_NOTFOUND,
			    near ? "there is no log of '%s' in %s [is it '%s'?]"
				 : "there is no log of '%s' in %s",
			    name, dir, near);
	}
	for (size_t i = 0; i < names.n; i++)
		free(names.v[i]);
	vec_done(&names);
	return r;
}

static int follow(struct show *w, struct log_reader *r, uint64_t boot, struct err *e)
{
	struct log_line l;
	int x = 0;

	while (x == 0) {
		x = log_reader_wait(r, e);
		while (x >= 0 && (x = log_reader_next(r, false, &l, e)) == 1)
			x = take_line(w, &l, boot, e);
		if (x == 0)
			x = print_out(w, e);
	}
	return x;
}

static int show_boot(struct show *w, const char *dir, uint64_t boot, struct cmd_env *env, bool now,
		     size_t *bad, struct err *e)
{
	struct log_reader *r = NULL;
	struct log_line l;
	int x = log_reader_new(dir, env->args, env->nargs, &r, e);

	while (x >= 0 && (x = log_reader_next(r, !w->ctx->follow, &l, e)) == 1)
		x = take_line(w, &l, boot, e);
	if (x == 0 && now)
		x = print_tail(w, e);
	if (x == 0 && now && w->ctx->follow)
		x = follow(w, r, boot, e);
	if (r)
		*bad += log_reader_bad(r);
	log_reader_free(r);
	return x;
}

static int show_boots(struct show *w, struct cmd_env *env, struct err *e)
{
	auto_str struct str dir = STR_INIT;
	uint64_t last = log_reader_boots(w->ctx->directory) + 1, from, to;
	size_t bad = 0;
	int r = parse_boot(w->ctx, last, &from, &to, e);

	if (r == 0 && w->ctx->follow && to != last)
		return cmd_usage(e, "--follow is for the present boot");
	boot_directory(w->ctx, to, last, &dir);
	for (size_t i = 0; r == 0 && i < env->nargs; i++)
		r = check_name(dir.buf, env->args[i], to == last, e);
	for (uint64_t n = from; r == 0 && n <= to; n++) {
		boot_directory(w->ctx, n, last, &dir);
		r = str_err(&dir) ? err_num(e, str_err(&dir), "boots")
				  : show_boot(w, dir.buf, n, env, n == to, &bad, e);
	}
	return r == 0 && bad ? cmd_exit_with(1) : r;
}

/* ---- the command -----------------------------------------------------------------------------*/

static int parse_time(const char *option, const char *text, char out[32], struct err *e)
{
	struct timespec now;
	uint64_t ms;
	struct tm tm;

	if (!text)
		return 0;
	clock_gettime(CLOCK_REALTIME, &now);
	if (when_parse(slice_of(text),
		       (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000, &ms) < 0)
		return cmd_usage(
			e,
			"--%s must be a time such as '2026-01-31T23:59:00Z', 'yesterday' or "
			"'10 minutes ago', not '%s'",
			option, text);
	time_t t = (time_t)(ms / 1000);
	if (!gmtime_r(&t, &tm) || !strftime(out, 20, "%Y-%m-%dT%H:%M:%S", &tm))
		return cmd_usage(e, "--%s: '%s' is too far away", option, text);
	snprintf(out + 19, 8, ".%03uZ", (unsigned)(ms % 1000));
	return 0;
}

static int parse_lines(struct show *w, struct err *e)
{
	const char *n = w->ctx->lines;

	w->lines = w->ctx->since || w->ctx->until ? UINT64_MAX : LINES;
	if (n && strcmp(n, "all") == 0)
		w->lines = UINT64_MAX;
	else if (n && text_u64(slice_of(n), LINES_MAX, &w->lines) < 0)
		return cmd_usage(e, "--lines must be a number up to %d, or 'all', not '%s'",
				 LINES_MAX, n);
	if (w->lines == UINT64_MAX)
		return 0;
	w->tail = calloc(w->lines ? w->lines : 1, sizeof(*w->tail));
	if (!w->tail)
		return err_num(e, -ENOMEM, "lines");
	for (uint64_t i = 0; i < w->lines; i++)
		w->tail[i] = (struct str)STR_INIT;
	return 0;
}

static int take_directory(void *arg, const struct init_service *s)
{
	const char *slash = strrchr(s->log, '/');
	struct str *out = arg;

	if (slash && !out->len)
		str_addn(out, s->log, (size_t)(slash - s->log));
	return 0;
}

static int run_log(struct cmd_env *env, struct err *e)
{
	struct log_ctx *ctx = env->ctx;
	auto_str struct str dir = STR_INIT;
	struct show w = { .ctx = ctx,
			  .with_names = env->nargs != 1,
			  .plain = !isatty(STDOUT_FILENO),
			  .out = STR_INIT };

	if (!ctx->directory)
		(void)init_client_list(take_directory, &dir, NULL);
	if (!ctx->directory)
		ctx->directory = dir.len && !str_err(&dir) ? dir.buf : DIRECTORY;
	if (ctx->list_boots)
		return env->nargs ? cmd_usage(e, "--list-boots takes no service")
				  : list_boots(ctx, e);
	int r = parse_time("since", ctx->since, w.since, e);
	if (r == 0)
		r = parse_time("until", ctx->until, w.until, e);
	if (r == 0)
		r = parse_lines(&w, e);
	if (r == 0)
		r = show_boots(&w, env, e);
	str_done(&w.out);
	return r;
}

static const struct cmd_opt log_opts[] = {
	{ "boot", 'b', CMD_STR, offsetof(struct log_ctx, boot), "N",
	  "of boot N; -1: the one before this; all: of all that are kept" },
	{ "directory", 'D', CMD_STR, offsetof(struct log_ctx, directory), "DIR",
	  "where logs are, of a machine that does not run, say" },
	{ "follow", 'f', CMD_FLAG, offsetof(struct log_ctx, follow), NULL,
	  "go on with what comes" },
	{ "json", 0, CMD_FLAG, offsetof(struct log_ctx, json), NULL, "an object a line" },
	{ "lines", 'n', CMD_STR, offsetof(struct log_ctx, lines), "N",
	  "the last N lines, or all [50; with a time: all]" },
	{ "list-boots", 0, CMD_FLAG, offsetof(struct log_ctx, list_boots), NULL,
	  "which boots there are logs of" },
	{ "since", 0, CMD_STR, offsetof(struct log_ctx, since), "TIME",
	  "nothing older, in all boots unless --boot says which" },
	{ "until", 0, CMD_STR, offsetof(struct log_ctx, until), "TIME", "nothing younger" },
};

const struct cmd service_cmd_log = {
	.name = "log",
	.synopsis = "[SERVICE...]",
	.summary = "print what services said, by time",
	.examples = "cairn service log -f ntp                    as it comes\n"
		    "cairn service log -b -1 init                PID 1 in the boot before this\n"
		    "cairn service log --since '10 minutes ago'  all services",
	.help = "Without SERVICE: all. 'init' is PID 1 itself, 'kernel' the kernel, 'syslog' what\n"
		"programs say to the system log (/dev/log).\n\n"
		"TIME is a date (2026-01-31, 2026-01-31T23:59:00Z, 2026-01-31 23:59: local time),\n"
		"or '10 minutes ago', '1h 30min ago', today, yesterday.\n\n"
		"Exit status 1: a file could not be read; the rest was printed.",
	CMD_OPTS(log_opts),
	.context_size = sizeof(struct log_ctx),
	.max_args = SIZE_MAX,
	.run = run_log,
};
