/* SPDX-License-Identifier: GPL-3.0-or-later */
/* cairn service list, cairn service status */
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <sys/stat.h>

#include "init/client.h"
#include "init/commands.h"
#include "init/defined.h"
#include "init/usage.h"
#include "init/view.h"
#include "lib/fd.h"
#include "lib/proc.h"
#include "lib/size.h"
#include "lib/text.h"

#define STATUS_NOT_UP 3
#define LOG_LINES     10
#define LOG_TAIL      65536 /* bytes in which the last lines are looked for */

/* ---- list ------------------------------------------------------------------------------------*/

struct list_ctx {
	bool json, failed;
	struct vec states;
};

static const struct cmd_opt list_opts[] = {
	{ "failed", 0, CMD_FLAG, offsetof(struct list_ctx, failed), NULL, "those that failed" },
	{ "json", 0, CMD_FLAG, offsetof(struct list_ctx, json), NULL, "machine-readable output" },
	{ "state", 's', CMD_LIST, offsetof(struct list_ctx, states), "STATE",
	  "those that are so: up down failed waiting …" },
};

static bool has_word(const struct vec *words, const char *word)
{
	for (size_t i = 0; i < words->n; i++)
		if (strcmp(words->v[i], word) == 0)
			return true;
	return false;
}

static bool is_wanted(const struct cmd_env *env, const struct init_service *s)
{
	const struct list_ctx *ctx = env->ctx;
	bool named = env->nargs == 0;

	for (size_t i = 0; i < env->nargs; i++)
		named |= fnmatch(env->args[i], s->name, 0) == 0;
	if (!named || (ctx->failed && strcmp(s->state, "failed") != 0))
		return false;
	return ctx->states.n == 0 || has_word(&ctx->states, view_state(s)) ||
	       has_word(&ctx->states, s->state);
}

static int check_states(const struct vec *states, struct err *e)
{
	size_t n = 0;

	while (view_states[n])
		n++;
	for (size_t i = 0; i < states->n; i++) {
		bool known = false;
		for (size_t k = 0; k < n; k++)
			known |= strcmp(states->v[i], view_states[k]) == 0;
		if (known)
			continue;
		const char *near = text_nearest(states->v[i], view_states, n);
		return cmd_usage(e, "there is no state '%s'%s%s%s", (char *)states->v[i],
				 near ? ", did you mean '" : "", near ? near : "",
				 near ? "'?" : "");
	}
	return 0;
}

static void add_head(struct str *out)
{
	str_addf(out, "%-24s %-9s %7s %6s %8s\n", "SERVICE", "STATE", "PID", "SINCE", "RESTARTS");
}

/* What it says, or when it goes on by itself. */
static void add_remark(struct str *out, const struct init_service *s)
{
	bool backoff = strcmp(s->state, "backoff") == 0;
	char text[32];

	if (s->why[0])
		text_safe(out, slice_of(s->why));
	else if (s->status[0])
		text_safe(out, slice_of(s->status));
	if (!s->due)
		return;
	str_add(out, s->why[0] || s->status[0] ? "; " : "");
	if (backoff)
		view_age(s->due + 999999999, text);
	else
		view_time((int64_t)s->due, text);
	str_addf(out, "%s %s", backoff ? "tried again in" : "runs next", text);
}

static void add_line(struct str *out, const struct init_service *s)
{
	char age[24], pid[24] = "-";

	view_age(s->since, age);
	if (s->pid)
		snprintf(pid, sizeof(pid), "%llu", (unsigned long long)s->pid);
	str_addf(out, "%-24s %-9s %7s %6s %8llu", s->name, view_state(s), pid, age,
		 (unsigned long long)s->restarts);
	if (s->stale)
		str_add(out, "  (older definition)");
	if (s->why[0] || s->status[0] || s->due)
		str_add(out, "  ");
	add_remark(out, s);
	str_addc(out, '\n');
}

struct list_job {
	const struct cmd_env *env;
	struct str out;
	size_t n;
};

static int list_one(void *arg, const struct init_service *s)
{
	struct list_job *job = arg;
	bool json = ((const struct list_ctx *)job->env->ctx)->json;

	if (!is_wanted(job->env, s))
		return 0;
	if (json) {
		str_add(&job->out, job->n ? ",\n{" : "{");
		view_json(&job->out, s);
		str_addc(&job->out, '}');
	} else {
		add_line(&job->out, s);
	}
	job->n++;
	return 0;
}

static int run_list(struct cmd_env *env, struct err *e)
{
	const struct list_ctx *ctx = env->ctx;
	struct list_job job = { .env = env, .out = STR_INIT };
	int r = check_states(&ctx->states, e);

	if (ctx->json)
		str_addc(&job.out, '[');
	else
		add_head(&job.out);
	if (r == 0)
		r = init_client_list(list_one, &job, e);
	if (ctx->json)
		str_add(&job.out, "]\n");
	if (r == 0)
		r = view_print(&job.out, e);
	str_done(&job.out);
	return r;
}

const struct cmd service_cmd_list = {
	.name = "list",
	.synopsis = "[PATTERN...]",
	.operands = view_names,
	.summary = "list services",
	.examples = "cairn service list --failed\n"
		    "cairn service list 'getty@*'",
	.help = "PATTERN is a name in which '*' and '?' stand for what may be there.",
	CMD_OPTS(list_opts),
	.context_size = sizeof(struct list_ctx),
	.max_args = SIZE_MAX,
	.run = run_list,
};

/* ---- status ----------------------------------------------------------------------------------*/

struct status_ctx {
	bool json;
	const char *lines;
};

static const struct cmd_opt status_opts[] = {
	{ "json", 0, CMD_FLAG, offsetof(struct status_ctx, json), NULL, "machine-readable output" },
	{ "lines", 'n', CMD_STR, offsetof(struct status_ctx, lines), "N",
	  "last N lines of the log [10]" },
};

struct status_job {
	struct str out;
	size_t n;
	bool json, up;
	uint64_t lines;
	struct svc_set *set; /* in force; NULL: not known */
	struct defined defined;
};

/* Neighbours of a service in the set: what it needs, or who needs it. */
static void add_neighbours(struct str *out, const struct svc_set *set, size_t i, bool of_it,
			   bool json)
{
	const struct svc_edges *g = &set->edges[i];
	size_t found = 0;

	for (int kind = SVC_REQ; kind <= SVC_MILESTONE; kind++) {
		const uint16_t *v = of_it ? g->to[kind] : g->from[kind];
		size_t n = of_it ? g->nto[kind] : g->nfrom[kind];
		for (size_t k = 0; k < n; k++) {
			const char *name = set->v[v[k]]->name;
			str_add(out, found++ ? json ? "," : " " : "");
			if (json)
				text_json(out, slice_of(name));
			else
				str_add(out, name);
		}
	}
}

/* The last lines of a file that another program writes. */
static int read_tail(const char *path, uint64_t lines, struct str *out)
{
	auto_fd int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		return -errno;
	off_t from = st.st_size > LOG_TAIL ? st.st_size - LOG_TAIL : 0;
	char *place = str_room(out, LOG_TAIL);
	ssize_t n = place ? pread(fd, place, LOG_TAIL, from) : -1;
	if (n < 0)
		return place ? -errno : -ENOMEM;
	str_grown(out, (size_t)n);
	size_t at = out->len;
	for (uint64_t found = 0; at > 0 && found < lines; found++) {
		const char *nl = at > 1 ? memrchr(out->buf, '\n', at - 1) : NULL;
		at = nl ? (size_t)(nl - out->buf) + 1 : 0;
	}
	str_drop(out, at);
	return 0;
}

static void add_log(struct status_job *job, const struct init_service *s)
{
	auto_str struct str tail = STR_INIT;
	int r = s->log[0] && job->lines ? read_tail(s->log, job->lines, &tail) : -ENOENT;
	struct slice rest = str_slice(&tail), line;
	bool first = true;

	if (job->json)
		str_add(&job->out, ",\"log_lines\":[");
	else if (r == -EACCES || r == -EPERM)
		str_add(&job->out, "  (only root may read the log)\n");
	while (r == 0 && slice_cut(&rest, '\n', &line) && (line.n || rest.p)) {
		if (job->json) {
			str_add(&job->out, first ? "" : ",");
			text_json(&job->out, line);
		} else {
			str_add(&job->out, first ? "\n    " : "    ");
			text_safe(&job->out, line);
			str_addc(&job->out, '\n');
		}
		first = false;
	}
	if (job->json)
		str_addc(&job->out, ']');
}

static void add_draining_json(void *arg, const struct draining *d)
{
	struct str *out = &((struct status_job *)arg)->out;

	str_add(out, out->buf[out->len - 1] == '[' ? "{\"group\":" : ",{\"group\":");
	text_json(out, slice_of(d->group));
	str_addf(out, ",\"processes\":%llu,\"until\":%llu}", (unsigned long long)d->processes,
		 (unsigned long long)d->until);
}

static void status_json(struct status_job *job, const struct init_service *s)
{
	struct str *out = &job->out;
	struct usage u = { 0 };
	bool used = usage_read(s->name, &u);
	int i = job->set ? svc_set_find(job->set, slice_of(s->name)) : -1;

	str_add(out, job->n ? ",\n{" : "{");
	view_json(out, s);
	if (used)
		str_addf(out, ",\"memory\":%llu,\"cpu_usec\":%llu,\"processes\":%llu",
			 (unsigned long long)u.memory, (unsigned long long)u.cpu,
			 (unsigned long long)u.processes);
	str_add(out, ",\"draining\":[");
	usage_draining(s->name, add_draining_json, job);
	str_add(out, "],\"generations\":[");
	(void)defined_find(&job->defined, s->name, s->runs, ",", out);
	str_add(out, "],\"newest_definition\":[");
	(void)defined_find(&job->defined, s->name, s->id, ",", out);
	str_add(out, "],\"needs\":[");
	if (i >= 0)
		add_neighbours(out, job->set, (size_t)i, true, true);
	str_add(out, "],\"needed_by\":[");
	if (i >= 0)
		add_neighbours(out, job->set, (size_t)i, false, true);
	str_addc(out, ']');
	add_log(job, s);
	str_addc(out, '}');
}

static void add_text(struct str *out, const char *key, const char *value)
{
	if (!value[0])
		return;
	str_addf(out, "  %-11s", key);
	text_safe(out, slice_of(value));
	str_addc(out, '\n');
}

/* When it goes on by itself, and when it ran. */
static void add_times(struct str *out, const struct init_service *s)
{
	char text[32], age[24];

	view_time((int64_t)s->due, text);
	view_age(s->due + 999999999, age);
	if (s->due)
		str_addf(out, "  %-11s%s (in %s)\n",
			 strcmp(s->state, "backoff") == 0 ? "next try" : "next run", text, age);
	if (s->last_run) {
		struct timespec now;
		clock_gettime(CLOCK_REALTIME, &now);
		view_time(((int64_t)s->last_run - now.tv_sec) * 1000000000, text);
		str_addf(out, "  %-11s%s\n", "last run", text);
	}
}

static void add_usage(struct str *out, const char *name)
{
	char memory[16];
	struct usage u;

	if (!usage_read(name, &u))
		return;
	text_human(u.memory, memory);
	str_addf(out, "  %-11s%s memory, %llu.%03llu s of processor time, %llu process%s\n", "uses",
		 memory, (unsigned long long)(u.cpu / 1000000),
		 (unsigned long long)(u.cpu / 1000 % 1000), (unsigned long long)u.processes,
		 u.processes == 1 ? "" : "es");
}

static void add_draining(void *arg, const struct draining *d)
{
	struct status_job *job = arg;
	struct timespec now;
	char until[32] = "";

	clock_gettime(CLOCK_REALTIME, &now);
	if (d->until)
		view_time(((int64_t)d->until - now.tv_sec) * 1000000000, until);
	str_addf(&job->out, "  %-11s%llu process%s of an earlier start%s%s (%s)\n", "draining",
		 (unsigned long long)d->processes, d->processes == 1 ? "" : "es",
		 d->until ? ", until " : "", until, d->group);
}

/* What it runs, and what it would run if it were started now. */
static void add_definition(struct status_job *job, const struct init_service *s)
{
	auto_str struct str runs = STR_INIT, set = STR_INIT;
	size_t n = defined_find(&job->defined, s->name, s->runs, " ", &runs);
	size_t m = defined_find(&job->defined, s->name, s->id, " ", &set);

	if (s->stale)
		str_addf(&job->out, "  %-11solder%s%s; the next start uses that of the set%s%s\n",
			 "definition", n ? ", of generation " : "", runs.buf,
			 m ? ", of generation " : "", set.buf);
	else if (m)
		str_addf(&job->out, "  %-11sof generation %s\n", "definition", set.buf);
}

static void add_needs(struct status_job *job, const struct init_service *s)
{
	int i = job->set ? svc_set_find(job->set, slice_of(s->name)) : -1;

	for (int of_it = 1; i >= 0 && of_it >= 0; of_it--) {
		auto_str struct str names = STR_INIT;
		add_neighbours(&names, job->set, (size_t)i, of_it, false);
		if (!str_err(&names))
			add_text(&job->out, of_it ? "needs" : "needed by", names.buf);
	}
}

static void status_text(struct status_job *job, const struct init_service *s)
{
	struct str *out = &job->out;
	char age[24], exit_text[64];

	view_age(s->since, age);
	str_addf(out, "%s%s", job->n ? "\n" : "", s->name);
	if (s->description[0]) {
		str_add(out, ": ");
		text_safe(out, slice_of(s->description));
	}
	str_addf(out, "\n  %-11s%s for %s\n  %-11s%s\n", "state", view_state(s), age, "type",
		 s->type);
	if (s->pid)
		str_addf(out, "  %-11s%llu\n", "pid", (unsigned long long)s->pid);
	add_text(out, "because", s->why);
	add_text(out, "says", s->status);
	if (s->ended)
		proc_status_text(s->exit_status, exit_text);
	add_text(out, "last end", s->ended ? exit_text : "");
	add_times(out, s);
	str_addf(out, "  %-11s%llu\n  %-11s%s%s\n", "restarts", (unsigned long long)s->restarts,
		 "wanted", s->wanted ? "yes" : "no", s->barred ? ", stopped by hand" : "");
	add_usage(out, s->name);
	usage_draining(s->name, add_draining, job);
	add_definition(job, s);
	add_needs(job, s);
	add_text(out, "sandbox", s->sandbox);
	add_text(out, "log", s->log);
	add_log(job, s);
}

static int status_one(void *arg, const struct init_service *s)
{
	struct status_job *job = arg;

	(job->json ? status_json : status_text)(job, s);
	job->up &= strcmp(s->state, "up") == 0;
	job->n++;
	return 0;
}

static int status_line(void *arg, const struct init_service *s)
{
	struct status_job *job = arg;

	if (job->json)
		return status_one(arg, s);
	add_line(&job->out, s);
	return 0;
}

static int status_of_all(struct status_job *job, struct err *e)
{
	struct init_info info;
	int r = init_client_info(&info, e);

	if (r < 0)
		return r;
	job->lines = 0;
	if (!job->json) {
		str_addf(&job->out, "cairn-init %s, %llu services, %llu failed, set %s\n",
			 info.version, (unsigned long long)info.services,
			 (unsigned long long)info.failed, info.set[0] ? info.set : "none");
		add_head(&job->out);
	}
	r = init_client_list(status_line, job, e);
	job->up = info.failed == 0;
	return r;
}

static int run_status(struct cmd_env *env, struct err *e)
{
	const struct status_ctx *ctx = env->ctx;
	struct status_job job = {
		.out = STR_INIT, .json = ctx->json, .up = true, .lines = LOG_LINES
	};
	char path[LIMIT_PATH];
	int r = 0;

	if (ctx->lines && text_u64(slice_of(ctx->lines), 1000000, &job.lines) < 0)
		return cmd_usage(e, "--lines needs a number, not '%s'", ctx->lines);
	defined_load(&job.defined);
	if (client_set(&job.set, path, NULL) < 0)
		job.set = NULL; /* an older init: it is shown without */
	str_add(&job.out, job.json ? "[" : "");
	if (env->nargs == 0)
		r = status_of_all(&job, e);
	for (size_t i = 0; r == 0 && i < env->nargs; i++)
		r = init_client_status(env->args[i], status_one, &job, e);
	str_add(&job.out, job.json ? "]\n" : "");
	if (r == 0)
		r = view_print(&job.out, e);
	str_done(&job.out);
	svc_set_free(job.set);
	defined_done(&job.defined);
	return r < 0 ? r : job.up ? 0 : cmd_exit_with(STATUS_NOT_UP);
}

const struct cmd service_cmd_status = {
	.name = "status",
	.synopsis = "[SERVICE...]",
	.operands = view_names,
	.summary = "tell how services are; exit status 3 when one is not up",
	.examples = "cairn service status --json ntp",
	CMD_OPTS(status_opts),
	.context_size = sizeof(struct status_ctx),
	.max_args = SIZE_MAX,
	.run = run_status,
};
