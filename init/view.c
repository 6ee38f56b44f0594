/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "init/view.h"

#include <errno.h>
#include <time.h>

#include "lib/mem.h"
#include "lib/proc.h"
#include "lib/size.h"
#include "lib/text.h"

static const struct {
	const char *state;
	char mark;
} marks[] = {
	{ "backoff", '*' }, { "done", '=' },	 { "down", '-' },      { "failed", '!' },
	{ "holding", '*' }, { "killing", '*' },	 { "listening", '+' }, { "masked", '-' },
	{ "skipped", '+' }, { "starting", '*' }, { "stopping", '*' },  { "up", '+' },
	{ "waiting", '*' },
};

const char *const view_states[] = { "backoff",	"done",	     "down",	"failed",  "holding",
				    "killing",	"listening", "masked",	"skipped", "starting",
				    "stopping", "up",	     "waiting", NULL };

const char *view_state(const struct init_service *s)
{
	if (strcmp(s->state, "down") == 0 && s->masked)
		return "masked";
	if (strcmp(s->state, "up") != 0)
		return s->state;
	return s->skipped ? "skipped" : s->listening ? "listening" : "up";
}

char view_mark(const char *state)
{
	for (size_t i = 0; i < ARRAY_LEN(marks); i++)
		if (strcmp(marks[i].state, state) == 0)
			return marks[i].mark;
	return '?';
}

/* ---- a copy ----------------------------------------------------------------------------------*/

static int add_copy(void *arg, const struct init_service *s)
{
	struct view *view = arg;
	struct arena *a = &view->arena;

	if ((view->n & (view->n - 1)) == 0) {
		struct init_service *v = arena_array(a, view->n ? view->n * 2 : 1, sizeof(*v));
		if (!v)
			return -ENOMEM;
		if (view->n)
			memcpy(v, view->v, view->n * sizeof(*v));
		view->v = v;
	}
	struct init_service *c = &view->v[view->n++];
	*c = *s;
	const char **texts[] = { &c->name, &c->type,	    &c->state, &c->why,	 &c->status,
				 &c->log,  &c->description, &c->id,    &c->runs, &c->sandbox };
	for (size_t i = 0; i < ARRAY_LEN(texts); i++)
		*texts[i] = arena_str(a, *texts[i]);
	return arena_err(a);
}

int view_load(struct view *ret, struct err *e)
{
	*ret = (struct view){ .arena = ARENA_INIT };
	int r = init_client_list(add_copy, ret, e);
	if (r < 0)
		view_done(ret);
	return r;
}

void view_done(struct view *view)
{
	arena_done(&view->arena);
	view->n = 0;
}

const struct init_service *view_find(const struct view *view, const char *name)
{
	for (size_t i = 0; i < view->n; i++)
		if (strcmp(view->v[i].name, name) == 0)
			return &view->v[i];
	return NULL;
}

static int add_name(void *arg, const struct init_service *s)
{
	str_addf(arg, "%s\n", s->name);
	return 0;
}

void view_names(struct str *out)
{
	(void)init_client_list(add_name, out, NULL); /* then there is nothing to offer */
}

/* ---- text ------------------------------------------------------------------------------------*/

void view_age(uint64_t ns, char out[24])
{
	uint64_t s = ns / 1000000000;

	if (s < 120)
		snprintf(out, 24, "%us", (unsigned)s);
	else if (s < 7200)
		snprintf(out, 24, "%umin", (unsigned)(s / 60));
	else if (s < 172800)
		snprintf(out, 24, "%uh", (unsigned)(s / 3600));
	else
		snprintf(out, 24, "%llud", (unsigned long long)(s / 86400));
}

void view_time(int64_t ns_from_now, char out[32])
{
	struct timespec now;
	struct tm tm;

	clock_gettime(CLOCK_REALTIME, &now);
	int64_t at = (int64_t)now.tv_sec * 1000000000 + now.tv_nsec + ns_from_now;
	time_t t = (time_t)(at / 1000000000);
	if (!localtime_r(&t, &tm) || strftime(out, 32, "%Y-%m-%d %H:%M:%S", &tm) == 0)
		snprintf(out, 32, "?");
}

void view_json_text(struct str *out, const char *key, const char *value)
{
	text_json(out, slice_of(key));
	str_addc(out, ':');
	text_json(out, slice_of(value));
}

void view_json_flag(struct str *out, const char *key, bool value)
{
	str_addf(out, "\"%s\":%s", key, value ? "true" : "false");
}

void view_json_number(struct str *out, const char *key, uint64_t value)
{
	str_addf(out, "\"%s\":%llu", key, (unsigned long long)value);
}

void view_json(struct str *out, const struct init_service *s)
{
	char exit_text[64] = "";

	if (s->ended)
		proc_status_text(s->exit_status, exit_text);
	const struct {
		const char *key, *value;
	} texts[] = { { "name", s->name },	{ "type", s->type },
		      { "state", s->state },	{ "why", s->why },
		      { "status", s->status },	{ "description", s->description },
		      { "log", s->log },	{ "definition", s->id },
		      { "runs", s->runs },	{ "exit", exit_text },
		      { "sandbox", s->sandbox } };
	const struct {
		const char *key;
		bool value;
	} flags[] = { { "wanted", s->wanted },	     { "barred", s->barred },
		      { "stale", s->stale },	     { "skipped", s->skipped },
		      { "listening", s->listening }, { "enabled", s->enabled },
		      { "critical", s->critical },   { "masked", s->masked } };
	const struct {
		const char *key;
		uint64_t value;
	} numbers[] = { { "pid", s->pid },	     { "since_ms", s->since / 1000000 },
			{ "restarts", s->restarts }, { "due_ms", s->due / 1000000 },
			{ "last_run", s->last_run }, { "begun_ms", s->begun },
			{ "ready_ms", s->ready } };
	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		view_json_text(out, texts[i].key, texts[i].value);
		str_addc(out, ',');
	}
	for (size_t i = 0; i < ARRAY_LEN(flags); i++) {
		view_json_flag(out, flags[i].key, flags[i].value);
		str_addc(out, ',');
	}
	for (size_t i = 0; i < ARRAY_LEN(numbers); i++) {
		str_add(out, i ? "," : "");
		view_json_number(out, numbers[i].key, numbers[i].value);
	}
}

int view_print(const struct str *out, struct err *e)
{
	if (str_err(out))
		return err_num(e, str_err(out), "output");
	if (fwrite(out->buf, 1, out->len, stdout) != out->len || fflush(stdout) != 0)
		return err_sys(e, "standard output");
	return 0;
}
