/* SPDX-License-Identifier: GPL-3.0-or-later */
/* cairn service watch, cairn service wait: what happens to services, as it happens. */
#include <errno.h>
#include <time.h>

#include "init/client.h"
#include "init/commands.h"
#include "init/view.h"
#include "lib/fd.h"
#include "lib/loop.h"
#include "lib/size.h"
#include "lib/text.h"

/* ---- watch -----------------------------------------------------------------------------------*/

struct watch_ctx {
	bool json;
};

static const struct cmd_opt watch_opts[] = {
	{ "json", 0, CMD_FLAG, offsetof(struct watch_ctx, json), NULL, "a JSON object a line" },
};

struct watch_job {
	const struct cmd_env *env;
	struct err *e;
	bool ends; /* the machine is going down */
};

static bool is_named(const struct cmd_env *env, const char *name)
{
	bool named = env->nargs == 0 || !name[0];

	for (size_t i = 0; i < env->nargs; i++)
		named |= strcmp(env->args[i], name) == 0;
	return named;
}

/* UTC, with milliseconds, as logs have it. */
static void format_stamp(uint64_t realtime, char out[40])
{
	time_t t = (time_t)(realtime / 1000000000);
	char date[24];
	struct tm tm;

	if (!gmtime_r(&t, &tm) || strftime(date, sizeof(date), "%Y-%m-%dT%H:%M:%S", &tm) == 0)
		snprintf(date, sizeof(date), "?");
	snprintf(out, 40, "%s.%03uZ", date, (unsigned)(realtime / 1000000 % 1000));
}

static void event_json(struct str *out, const struct client_event *ev, const char *stamp)
{
	const struct {
		const char *key, *value;
	} texts[] = { { "time", stamp },
		      { "name", ev->name },
		      { "old", ev->old },
		      { "state", ev->now },
		      { "reason", ev->why } };

	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		str_add(out, i ? "," : "{");
		view_json_text(out, texts[i].key, texts[i].value);
	}
	str_addf(out, ",\"realtime_ns\":%llu,\"boottime_ns\":%llu}\n",
		 (unsigned long long)ev->realtime, (unsigned long long)ev->boottime);
}

static void event_text(struct str *out, const struct client_event *ev, const char *stamp)
{
	str_addf(out, "%s ", stamp);
	if (ev->name[0]) {
		text_safe(out, slice_of(ev->name));
		str_addf(out, ": %s -> %s", ev->old, ev->now);
	} else {
		str_addf(out, "init: %s", ev->now);
	}
	if (ev->why[0]) {
		str_add(out, " (");
		text_safe(out, slice_of(ev->why));
		str_addc(out, ')');
	}
	str_addc(out, '\n');
}

static int print_event(void *arg, const struct client_event *ev)
{
	struct watch_job *job = arg;
	auto_str struct str out = STR_INIT;
	char stamp[40];

	job->ends |= !ev->name[0] && strcmp(ev->now, "shutdown") == 0;
	if (!is_named(job->env, ev->name))
		return 0;
	format_stamp(ev->realtime, stamp);
	if (((const struct watch_ctx *)job->env->ctx)->json)
		event_json(&out, ev, stamp);
	else
		event_text(&out, ev, stamp);
	return view_print(&out, job->e);
}

/* The connection was lost: what happened until there is a new one is not known. */
static int print_gap(struct watch_job *job)
{
	struct timespec now, boot;

	clock_gettime(CLOCK_REALTIME, &now);
	clock_gettime(CLOCK_BOOTTIME, &boot);
	return print_event(
		job,
		&(struct client_event){
			.realtime = (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec,
			.boottime = (uint64_t)boot.tv_sec * 1000000000 + (uint64_t)boot.tv_nsec,
			.name = "",
			.old = "",
			.now = "missed",
			.why = "events up to here were lost" });
}

static int run_watch(struct cmd_env *env, struct err *e)
{
	struct watch_job job = { .env = env, .e = e };
	auto_fd int fd = -1;
	int r = client_watch_open(&fd, e);

	while (r == 0) {
		r = client_watch_next(fd, -1, print_event, &job, e);
		if (r != -ECONNRESET)
			continue;
		if (job.ends)
			return 0;
		fd_close(&fd);
		if (!client_comes_back())
			return r;
		*e = (struct err)ERR_INIT;
		r = client_watch_open(&fd, e);
		if (r == 0)
			r = print_gap(&job);
	}
	return r;
}

const struct cmd service_cmd_watch = {
	.name = "watch",
	.synopsis = "[SERVICE...]",
	.operands = view_names,
	.summary = "print what happens to services, as it happens",
	.examples = "cairn service watch --json",
	.help = "A line is: time, name, old and new state, reason. Lines of 'init' are about the\n"
		"whole: booted, loaded, shutdown, re-exec; missed, when events were lost because\n"
		"they were read too slowly.",
	CMD_OPTS(watch_opts),
	.context_size = sizeof(struct watch_ctx),
	.max_args = SIZE_MAX,
	.run = run_watch,
};

/* ---- wait ------------------------------------------------------------------------------------*/

struct wait_ctx {
	const char *until, *timeout;
};

static const struct cmd_opt wait_opts[] = {
	{ "timeout", 't', CMD_STR, offsetof(struct wait_ctx, timeout), "TIME",
	  "give up after so long: 250ms, 10s, 2min" },
	{ "until", 'u', CMD_STR, offsetof(struct wait_ctx, until), "STATE",
	  "up, down (it has no process and gets none) or failed [up]" },
};

enum until { UNTIL_UP, UNTIL_DOWN, UNTIL_FAILED, UNTIL_MAX };

struct wait_job {
	enum until until;
	bool reached, ends;
	struct err *e;
};

/* Has it come to what is waited for, and can it still? */
static int look(void *arg, const struct init_service *s)
{
	struct wait_job *job = arg;
	bool failed = strcmp(s->state, "failed") == 0, done = strcmp(s->state, "done") == 0;
	bool down = failed || done || strcmp(s->state, "down") == 0;

	job->reached = job->until == UNTIL_UP ? strcmp(s->state, "up") == 0 || (done && !s->why[0])
		       : job->until == UNTIL_DOWN ? down
						  : failed;
	if (job->reached || job->until != UNTIL_UP)
		return 0;
	if (failed || (down && s->masked))
		return err_set(job->e, -ECANCELED, "%s is %s%s%s", s->name, view_state(s),
			       s->why[0] ? ": " : "", s->why);
	return job->ends ? err_set(job->e, -ESHUTDOWN, "the machine is shutting down") : 0;
}

static int take_event(void *arg, const struct client_event *ev)
{
	struct wait_job *job = arg;

	job->ends |= !ev->name[0] && strcmp(ev->now, "shutdown") == 0;
	return 0;
}

/* The first is waited for, then the next: all are so at some time, the last when this returns. */
static int wait_for(const char *name, int *fd, uint64_t deadline, struct wait_job *job)
{
	struct err *e = job->e;
	struct err why = ERR_INIT;

	for (;;) {
		why = (struct err)ERR_INIT;
		*e = (struct err)ERR_INIT;
		int r = init_client_status(name, look, job, &why);
		if (e->code) /* what look() found */
			return e->code;
		if (r == 0 && job->reached)
			return 0;
		if (r < 0 && r != -ECONNRESET)
			return err_set(e, r, "%s", why.msg);
		uint64_t now = loop_now(), left = deadline > now ? deadline - now : 0;
		int ms = deadline == UINT64_MAX	   ? -1
			 : left > 1000000000000ull ? 1000000
						   : (int)((left + 999999) / 1000000);
		r = client_watch_next(*fd, ms, take_event, job, e);
		if (r == -ETIMEDOUT && loop_now() < deadline)
			continue;
		if (r == -ETIMEDOUT)
			return err_set(e, -ERR_TIMEOUT, "%s is not so yet, time is out", name);
		if (r != -ECONNRESET && r < 0)
			return r;
		if (r == 0)
			continue;
		fd_close(fd);
		if (job->ends || !client_comes_back())
			return r;
		*e = (struct err)ERR_INIT;
		r = client_watch_open(fd, e);
		if (r < 0)
			return r;
	}
}

static int run_wait(struct cmd_env *env, struct err *e)
{
	static const char *const names[UNTIL_MAX] = { "up", "down", "failed" };
	const struct wait_ctx *ctx = env->ctx;
	struct wait_job job = { .until = UNTIL_MAX, .e = e };
	uint64_t timeout = 0, deadline = UINT64_MAX;
	auto_fd int fd = -1;
	int r = 0;

	for (int i = 0; i < UNTIL_MAX; i++)
		if (strcmp(ctx->until ? ctx->until : "up", names[i]) == 0)
			job.until = (enum until)i;
	if (job.until == UNTIL_MAX)
		return cmd_usage(e, "--until takes up, down or failed, not '%s'", ctx->until);
	if (ctx->timeout && text_duration(slice_of(ctx->timeout), &timeout) < 0)
		return cmd_usage(e, "--timeout needs a time such as 10s, not '%s'", ctx->timeout);
	if (ctx->timeout)
		deadline = loop_now() + timeout;
	r = client_watch_open(&fd, e);
	for (size_t i = 0; r == 0 && i < env->nargs; i++)
		r = wait_for(env->args[i], &fd, deadline, &job);
	return r;
}

const struct cmd service_cmd_wait = {
	.name = "wait",
	.synopsis = "SERVICE...",
	.operands = view_names,
	.summary = "wait until services are up, down or failed",
	.examples = "cairn service wait -t 30s openssh && echo up",
	.help = "Until one of them fails, is removed, or the machine is shut down, which is an "
		"error\n"
		"unless it was waited for.",
	CMD_OPTS(wait_opts),
	.context_size = sizeof(struct wait_ctx),
	.min_args = 1,
	.max_args = SIZE_MAX,
	.run = run_wait,
};
