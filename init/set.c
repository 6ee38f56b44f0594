/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "init/set.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "init/def.h"
#include "init/template.h"
#include "lib/fd.h"
#include "lib/size.h"
#include "lib/tab.h"
#include "lib/text.h"

const char *const svc_change_names[SVC_CHANGE_MAX] = { "keep",	"later", "reload",
						       "start", "stop",	 "restart" };

/* ---- sections --------------------------------------------------------------------------------*/

struct parse_state {
	struct svc_set *set;
	struct tab names; /* to index + 1 */
	struct slice text;
	const char *file;
	unsigned init_line;
};

static bool name_is_good(struct slice n)
{
	if (n.n == 0 || n.n > LIMIT_SVC_NAME)
		return false;
	for (size_t i = 0; i < n.n; i++) {
		char ch = n.p[i];
		bool alnum = (ch >= 'a' && ch <= 'z') || (ch >= 'A' && ch <= 'Z') ||
			     (ch >= '0' && ch <= '9');
		if (!alnum && (i == 0 || (ch != '.' && ch != '_' && ch != '@' && ch != '-')))
			return false;
	}
	return true;
}

/* An array in the arena with room for one more; NULL: no memory. cap doubles at powers of two. */
static struct svc_def **room_for(struct arena *a, struct svc_def **v, size_t n)
{
	if (n && (n & (n - 1)))
		return v;
	struct svc_def **all = arena_array(a, n ? n * 2 : 1, sizeof(*all));
	if (all && n)
		memcpy(all, v, n * sizeof(*all));
	return all;
}

static struct svc_def *find_template(const struct svc_set *set, struct slice name)
{
	size_t n = template_of(name);

	for (size_t i = 0; n && i < set->ntemplates; i++)
		if (slice_is((struct slice){ name.p, n }, set->templates[i]->name))
			return set->templates[i];
	return NULL;
}

bool svc_set_has_template(const struct svc_set *set, struct slice name)
{
	return name_is_good(name) && find_template(set, name);
}

static int begin_instance(void *arg, struct conf_ctx *c, struct slice kind, struct slice name)
{
	(void)kind;
	(void)name;
	c->object = arg;
	c->kind = SECTION_SERVICE;
	c->told = svc_identify;
	return 0;
}

/* What the template says, before what the section of the instance says. */
static int fill_instance(struct parse_state *st, struct svc_def *d, const struct svc_def *t,
			 struct arena *a, struct err *e)
{
	auto_str struct str body = STR_INIT;

	template_expand(st->text, t->line, slice_of(d->name), &body);
	if (str_err(&body))
		return err_num(e, str_err(&body), "%s", st->file);
	d->of = t;
	return conf_parse(str_slice(&body), st->file, svc_keys, svc_nkeys, begin_instance, d, a, e);
}

static int add_service(struct parse_state *st, struct conf_ctx *c, struct slice name,
		       struct svc_def **ret)
{
	struct svc_set *set = st->set;

	if (!name_is_good(name))
		return conf_error(c, "bad service name '%.*s'", (int)name.n, name.p);
	if (set->n == LIMIT_SVC_COUNT)
		return conf_error(c, "more than %d services", LIMIT_SVC_COUNT);
	struct svc_def *d = ARENA_NEW(c->arena, struct svc_def);
	char *copy = arena_slice(c->arena, name);
	struct svc_def **v = room_for(c->arena, set->v, set->n);
	if (!d || !copy || !v)
		return conf_no_memory(c);
	set->v = v;
	svc_def_defaults(d);
	d->name = copy;
	d->line = c->line;
	void **slot = tab_put(&st->names, slice_of(copy), NULL);
	if (!slot)
		return conf_no_memory(c);
	if (*slot)
		return conf_error(c, "service '%s' stands twice, first in line %u", copy,
				  set->v[(uintptr_t)*slot - 1]->line);
	set->v[set->n++] = d;
	*slot = (void *)(uintptr_t)set->n;
	*ret = d;
	const struct svc_def *t = find_template(set, name);
	return t ? fill_instance(st, d, t, c->arena, c->err) : 0;
}

static int add_template(struct parse_state *st, struct conf_ctx *c, struct slice name)
{
	struct svc_set *set = st->set;
	struct svc_def *d = ARENA_NEW(c->arena, struct svc_def);
	struct svc_def **v = room_for(c->arena, set->templates, set->ntemplates);
	char *copy = arena_slice(c->arena, name);

	if (!name_is_good(name) || template_of(name))
		return conf_error(c, "bad name of a template '%.*s'", (int)name.n, name.p);
	for (size_t i = 0; i < set->ntemplates; i++)
		if (slice_is(name, set->templates[i]->name))
			return conf_error(c, "template '%s' stands twice, first in line %u",
					  set->templates[i]->name, set->templates[i]->line);
	if (!d || !v || !copy)
		return conf_no_memory(c);
	svc_def_defaults(d);
	d->name = copy;
	d->line = c->line;
	set->templates = v;
	set->templates[set->ntemplates++] = d;
	c->object = d;
	return 0;
}

static int begin_section(void *arg, struct conf_ctx *c, struct slice kind, struct slice name)
{
	struct parse_state *st = arg;
	struct svc_set *set = st->set;
	struct svc_def *d = NULL;

	c->told = svc_identify;
	if (slice_is(kind, "init") && name.n == 0) {
		if (st->init_line)
			return conf_error(c, "second [init] section");
		st->init_line = c->line;
		c->object = &set->init;
		c->kind = SECTION_INIT;
		return 0;
	}
	if (!slice_is(kind, "service"))
		return conf_error(c, "unknown section [%.*s]", (int)kind.n, kind.p);
	c->kind = SECTION_SERVICE;
	if (name.n && name.p[name.n - 1] == '@')
		return add_template(st, c, name);
	int r = add_service(st, c, name, &d);
	c->object = d;
	return r;
}

/* ---- instances without a section -------------------------------------------------------------*/

/* The instance name, unless it is there or nothing is known of it. */
static int add_instance(struct parse_state *st, struct slice name, bool enabled, struct err *e)
{
	const struct svc_def *t = find_template(st->set, name);
	struct svc_def *d = NULL;

	if (!t || tab_find(&st->names, name))
		return 0;
	struct conf_ctx c = {
		.file = st->file, .line = t->line, .arena = &st->set->arena, .err = e
	};
	int r = add_service(st, &c, name, &d);
	if (r == 0 && !enabled)
		d->enabled = false; /* only for the sake of others */
	return r;
}

static int add_named(struct parse_state *st, const struct svc_def *t, struct err *e)
{
	char name[LIMIT_SVC_NAME + 2];
	int r = 0;

	for (size_t i = 0; r == 0 && i < t->instances.n; i++) {
		int n = snprintf(name, sizeof(name), "%s%s", t->name, t->instances.v[i]);
		if (n < 0 || !name_is_good((struct slice){ name, (size_t)n }))
			return err_set(e, -ERR_INVALID, "%s:%u: template '%s': bad instance '%s'",
				       st->file, t->line, t->name, t->instances.v[i]);
		r = add_instance(st, slice_of(name), true, e);
	}
	return r;
}

static int add_required(struct parse_state *st, const struct svc_def *d, struct err *e)
{
	const struct svc_list *lists[] = { &d->requires, &d->binds, &d->milestones, &d->wants };
	int r = 0;

	for (size_t k = 0; k < ARRAY_LEN(lists); k++)
		for (size_t i = 0; r == 0 && i < lists[k]->n; i++)
			r = add_instance(st, slice_of(lists[k]->v[i]), false, e);
	return r;
}

/* One override; false: the line is none. */
static bool read_override(struct slice line, struct slice *verb, struct slice *name)
{
	line = slice_trim(line);
	slice_cut(&line, ' ', verb);
	*name = line.p ? slice_trim(line) : (struct slice){ NULL, 0 };
	return name_is_good(*name) &&
	       (slice_is(*verb, "enable") || slice_is(*verb, "disable") || slice_is(*verb, "mask"));
}

static int add_instances(struct parse_state *st, struct slice overrides, struct err *e)
{
	struct slice line, verb, name;
	int r = 0;

	for (size_t i = 0; r == 0 && i < st->set->ntemplates; i++)
		r = add_named(st, st->set->templates[i], e);
	while (r == 0 && slice_cut(&overrides, '\n', &line))
		if (read_override(line, &verb, &name) && slice_is(verb, "enable"))
			r = add_instance(st, name, true, e);
	/* What is added here may require further ones. */
	for (size_t i = 0; r == 0 && i < st->set->n; i++)
		r = add_required(st, st->set->v[i], e);
	return r;
}

void svc_set_override(struct svc_set *set, struct slice overrides)
{
	struct slice line, verb, name;

	for (size_t i = 0; i < set->n; i++) {
		set->v[i]->enabled = set->v[i]->enabled_by_set;
		set->v[i]->masked = false;
	}
	while (slice_cut(&overrides, '\n', &line)) {
		if (!read_override(line, &verb, &name))
			continue;
		int i = svc_set_find(set, name);
		if (i < 0)
			continue;
		set->v[i]->enabled = slice_is(verb, "enable");
		set->v[i]->masked = slice_is(verb, "mask");
	}
}

/* ---- checks ----------------------------------------------------------------------------------*/

#define FAIL(d, ...) fail_at(e, file, (d)->line, __VA_ARGS__)

__attribute__((format(printf, 4, 5))) static int fail_at(struct err *e, const char *file,
							 unsigned line, const char *fmt, ...)
{
	va_list ap;
	char text[600];

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap); /* a cut message is still one */
	va_end(ap);
	return err_set(e, -ERR_INVALID, "%s:%u: %s", file, line, text);
}

/* A gate that never opens would roll the machine back. */
static int check_gate(const struct svc_set *set, unsigned init_line, const char *file,
		      struct err *e)
{
	const char *name = set->init.gate;
	int i = name ? svc_set_find(set, slice_of(name)) : 0;

	if (!name)
		return 0;
	if (i < 0)
		return fail_at(e, file, init_line, "gate names '%s', which is not in the set",
			       name);
	if (!set->v[i]->enabled)
		return fail_at(e, file, init_line, "gate names '%s', which is not enabled", name);
	return 0;
}

/* These say what is wrong with d, or NULL; what a key that is not there depends on is filled in. */
static const char *check_timed(struct svc_def *d)
{
	bool unused =
		d->catch_up || d->random_delay || d->run_timeout || d->first_run != UINT64_MAX;

	d->timed = d->every || d->ncalendars;
	if (!d->timed)
		return unused ? "a key of timed services, but neither calendar nor every" : NULL;
	if (d->type != SVC_SIMPLE && d->type != SVC_ONESHOT)
		return "a timed service is simple or oneshot";
	if (d->activate)
		return "it starts by time or by connection, not both";
	if (d->restart == SVC_ALWAYS)
		return "a timed service cannot restart always";
	if (d->restart == SVC_RESTART_DEFAULT)
		d->restart = SVC_NEVER;
	if (d->first_run == UINT64_MAX)
		d->first_run = d->every;
	return NULL;
}

static const char *check_accept(const struct svc_def *d)
{
	if (!d->accept)
		return NULL;
	for (size_t i = 0; i < d->nlisten; i++)
		if (d->listen[i].kind == SVC_DGRAM || d->listen[i].kind == SVC_UDP)
			return "datagrams are no connections to accept";
	if (d->nlisten == 0 || d->type != SVC_SIMPLE || d->activate || d->timed || d->terminal)
		return "accept is for simple services that listen, and nothing else starts";
	return NULL;
}

static const char *check_type(const struct svc_def *d)
{
	if (d->instances.n && !d->of)
		return "instances is a key of templates";
	if (d->type == SVC_GROUP && d->exec)
		return "a group has no exec";
	if (d->type != SVC_GROUP && !d->exec)
		return "exec is missing";
	if (d->type == SVC_FORKING && !d->pid_file)
		return "a forking service needs pid-file";
	if (d->activate && (d->nlisten == 0 || d->type == SVC_ONESHOT || d->type == SVC_GROUP))
		return "activate needs a process and a listen line";
	if (d->type == SVC_NOTIFY && d->notify_fd && d->notify_fd < 3 + d->nlisten)
		return "the descriptor of notify is that of a socket it listens on";
	if (d->alive_timeout && (d->type != SVC_NOTIFY || d->notify_fd))
		return "alive-timeout needs type notify and its socket";
	if (d->type == SVC_ONESHOT && d->restart == SVC_ALWAYS)
		return "a oneshot cannot restart always";
	return NULL;
}

static const char *check_service(struct svc_def *d)
{
	const char *why = check_timed(d);

	if (!why)
		why = check_accept(d);
	if (!why)
		why = check_type(d);
	if (!why && (d->stop_signal > 64 || d->reload_signal > 64))
		why = "no such signal";
	if (!why && d->groups.n > LIMIT_SVC_GROUPS)
		why = "too many groups";
	if (d->restart == SVC_RESTART_DEFAULT)
		d->restart =
			d->type == SVC_ONESHOT || d->type == SVC_GROUP ? SVC_NEVER : SVC_ALWAYS;
	return why ? why : svc_box_finish(d);
}

/* ---- edges -----------------------------------------------------------------------------------*/

struct edge {
	uint16_t from, to;
};

struct edge_list {
	struct edge *v; /* owned, malloc */
	size_t n, cap;
	int err;
};

static void edge_add(struct edge_list *l, size_t from, size_t to)
{
	if (l->n == l->cap && !l->err) {
		size_t cap = l->cap ? l->cap * 2 : 64;
		struct edge *v = realloc(l->v, cap * sizeof(*v));
		if (!v) {
			l->err = -ENOMEM;
			return;
		}
		l->v = v;
		l->cap = cap;
	}
	if (!l->err)
		l->v[l->n++] = (struct edge){ (uint16_t)from, (uint16_t)to };
}

static bool list_has(const struct svc_list *l, const char *name)
{
	for (size_t i = 0; i < l->n; i++)
		if (strcmp(l->v[i], name) == 0)
			return true;
	return false;
}

struct edge_job {
	struct svc_set *set;
	const struct tab *names;
	const char *file;
	struct edge_list lists[SVC_EDGE_MAX];
	struct err *e;
};

/* Index of the name, -1 when it is absent and may be, -2 with the error set. */
static long edge_target(struct edge_job *job, const struct svc_def *d, const char *key,
			const char *name, bool must)
{
	struct err *e = job->e;
	const char *file = job->file;
	void *found = tab_find(job->names, slice_of(name));

	if (!found) {
		if (!must)
			return -1;
		FAIL(d, "service '%s': %s names '%s', which is not in the set", d->name, key, name);
		return -2;
	}
	if (job->set->v[(uintptr_t)found - 1] == d) {
		FAIL(d, "service '%s': %s names the service itself", d->name, key);
		return -2;
	}
	return (long)(uintptr_t)found - 1;
}

static int collect_list(struct edge_job *job, size_t i, const char *key,
			const struct svc_list *list, enum svc_edge kind)
{
	struct svc_def *d = job->set->v[i];
	bool hard = kind == SVC_REQ || kind == SVC_BIND;

	for (size_t k = 0; k < list->n; k++) {
		bool reverse = list == &d->before;
		long j = edge_target(job, d, key, list->v[k], kind != SVC_ORDER);
		if (j == -2)
			return job->e ? job->e->code : -ERR_INVALID;
		if (j < 0)
			continue;
		struct svc_def *t = job->set->v[j];
		edge_add(&job->lists[kind], reverse ? (size_t)j : i, reverse ? i : (size_t)j);
		if (kind == SVC_BIND)
			edge_add(&job->lists[SVC_REQ], i, (size_t)j);
		/* An explicit order the other way round wins over the one a wish implies. */
		if (hard || kind == SVC_MILESTONE ||
		    (kind == SVC_WANT && !list_has(&d->before, t->name) &&
		     !list_has(&t->after, d->name)))
			edge_add(&job->lists[SVC_ORDER], i, (size_t)j);
		if (hard && t->type == SVC_ONESHOT && !t->remain)
			return fail_at(job->e, job->file, d->line,
				       "service '%s': %s '%s', which does not remain up", d->name,
				       key, t->name);
	}
	return 0;
}

static int collect_edges(struct edge_job *job)
{
	for (size_t i = 0; i < job->set->n; i++) {
		struct svc_def *d = job->set->v[i];
		const struct {
			const char *key;
			const struct svc_list *list;
			enum svc_edge kind;
		} rows[] = {
			{ "requires", &d->requires, SVC_REQ },
			{ "binds", &d->binds, SVC_BIND },
			{ "milestones", &d->milestones, SVC_MILESTONE },
			{ "wants", &d->wants, SVC_WANT },
			{ "after", &d->after, SVC_ORDER },
			{ "before", &d->before, SVC_ORDER },
			{ "conflicts", &d->conflicts, SVC_CONFLICT },
		};
		for (size_t k = 0; k < ARRAY_LEN(rows); k++) {
			int r = collect_list(job, i, rows[k].key, rows[k].list, rows[k].kind);
			if (r < 0)
				return r;
		}
	}
	return 0;
}

static int store_edges(struct svc_set *set, enum svc_edge kind, const struct edge_list *l)
{
	struct arena *a = &set->arena;

	for (size_t k = 0; k < l->n; k++) {
		set->edges[l->v[k].from].nto[kind]++;
		set->edges[l->v[k].to].nfrom[kind]++;
	}
	for (size_t i = 0; i < set->n; i++) {
		struct svc_edges *g = &set->edges[i];
		if (g->nto[kind])
			g->to[kind] = arena_array(a, g->nto[kind], sizeof(uint16_t));
		if (g->nfrom[kind])
			g->from[kind] = arena_array(a, g->nfrom[kind], sizeof(uint16_t));
		if ((g->nto[kind] && !g->to[kind]) || (g->nfrom[kind] && !g->from[kind]))
			return -ENOMEM;
		g->nto[kind] = g->nfrom[kind] = 0;
	}
	for (size_t k = 0; k < l->n; k++) {
		struct svc_edges *f = &set->edges[l->v[k].from], *t = &set->edges[l->v[k].to];
		f->to[kind][f->nto[kind]++] = l->v[k].to;
		t->from[kind][t->nfrom[kind]++] = l->v[k].from;
	}
	return 0;
}

/* Depth-first along ORDER without recursion; a node met again while open closes a cycle. */
static int check_cycles(const struct svc_set *set, const char *file, struct err *e)
{
	struct step {
		uint16_t node, next;
	} *stack = calloc(set->n + 1, sizeof(*stack));
	uint8_t *mark = calloc(set->n + 1, 1); /* 1 open, 2 finished */
	int r = stack && mark ? 0 : err_num(e, -ENOMEM, "%s", file);

	for (size_t root = 0; r == 0 && root < set->n; root++) {
		size_t depth = 0;
		if (mark[root])
			continue;
		stack[depth++] = (struct step){ (uint16_t)root, 0 };
		mark[root] = 1;
		while (depth > 0 && r == 0) {
			struct step *s = &stack[depth - 1];
			const struct svc_edges *g = &set->edges[s->node];
			if (s->next == g->nto[SVC_ORDER]) {
				mark[s->node] = 2;
				depth--;
				continue;
			}
			uint16_t t = g->to[SVC_ORDER][s->next++];
			if (mark[t] == 0) {
				mark[t] = 1;
				stack[depth++] = (struct step){ t, 0 };
			} else if (mark[t] == 1) {
				char path[500] = "";
				size_t n = 0, k = depth;
				while (stack[k - 1].node != t)
					k--;
				for (; k <= depth && n < sizeof(path) - 1; k++) {
					int w = snprintf(path + n, sizeof(path) - n, "%s -> ",
							 set->v[stack[k - 1].node]->name);
					n += w > 0 ? (size_t)w : 0;
				}
				r = fail_at(e, file, set->v[t]->line,
					    "services wait for each other: %s%s", path,
					    set->v[t]->name);
			}
		}
	}
	free(stack);
	free(mark);
	return r;
}

static int resolve(struct svc_set *set, const struct tab *names, const char *file, struct err *e)
{
	struct edge_job job = { .set = set, .names = names, .file = file, .e = e };

	set->edges = arena_array(&set->arena, set->n, sizeof(*set->edges));
	int r = set->edges ? collect_edges(&job) : err_num(e, -ENOMEM, "%s", file);
	for (int kind = 0; r == 0 && kind < SVC_EDGE_MAX; kind++) {
		r = job.lists[kind].err;
		if (r == 0)
			r = store_edges(set, (enum svc_edge)kind, &job.lists[kind]);
		if (r < 0)
			r = err_num(e, r, "%s", file);
	}
	for (int kind = 0; kind < SVC_EDGE_MAX; kind++)
		free(job.lists[kind].v);
	return r < 0 ? r : check_cycles(set, file, e);
}

/* ---- the whole -------------------------------------------------------------------------------*/

struct svc_set *svc_set_empty(void)
{
	struct svc_set *set = calloc(1, sizeof(*set));

	if (set) {
		set->text_fd = -1;
		set->arena.limit = LIMIT_SET_ARENA;
		svc_def_defaults(&set->init);
	}
	return set;
}

void svc_set_free(struct svc_set *set)
{
	if (set) {
		arena_done(&set->arena);
		fd_close(&set->text_fd);
	}
	free(set);
}

int svc_set_parse(struct slice text, const char *file, struct svc_set **ret, struct err *e)
{
	return svc_set_parse_with(text, file, NULL, ret, e);
}

static int check_all(struct parse_state *st, struct err *e)
{
	const char *file = st->file, *why;

	for (size_t i = 0; i < st->set->n; i++) {
		struct svc_def *d = st->set->v[i];
		if ((why = check_service(d)))
			return FAIL(d, "service '%s': %s", d->name, why);
	}
	return check_gate(st->set, st->init_line, file, e);
}

int svc_set_parse_with(struct slice text, const char *file, svc_overrides_fn *overrides,
		       struct svc_set **ret, struct err *e)
{
	struct parse_state st = {
		.set = svc_set_empty(), .names = TAB_INIT, .text = text, .file = file
	};
	auto_str struct str kept = STR_INIT;
	int r;

	if (!st.set)
		return err_num(e, -ENOMEM, "%s", file);
	if (text.n > LIMIT_SET_BYTES) {
		r = err_set(e, -ERR_LIMIT, "%s: longer than %u bytes", file, LIMIT_SET_BYTES);
		goto out;
	}
	r = conf_parse(text, file, svc_keys, svc_nkeys, begin_section, &st, &st.set->arena, e);
	if (r == 0 && overrides)
		overrides(st.set->init.state_directory, &kept);
	if (r == 0)
		r = add_instances(&st, str_slice(&kept), e);
	if (r == 0)
		r = check_all(&st, e);
	if (r == 0)
		r = resolve(st.set, &st.names, file, e);
	if (r == 0 && arena_err(&st.set->arena))
		r = err_num(e, arena_err(&st.set->arena), "%s", file);
	for (size_t i = 0; r == 0 && i < st.set->n; i++)
		st.set->v[i]->enabled_by_set = st.set->v[i]->enabled;
	if (r == 0)
		svc_set_override(st.set, str_slice(&kept));
out:
	tab_done(&st.names);
	if (r < 0)
		svc_set_free(st.set);
	else
		*ret = st.set;
	return r;
}

int svc_set_read(const char *path, struct str *text, struct err *e)
{
	struct stat st;
	/* PID 1 comes here: a pipe without a writer must not stop it, nor pass for an empty set. */
	auto_fd int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	if (fd < 0)
		return err_sys(e, "cannot open %s", path);
	if (fstat(fd, &st) < 0)
		return err_sys(e, "%s", path);
	if (!S_ISREG(st.st_mode) && !S_ISCHR(st.st_mode))
		return err_set(e, -ERR_INVALID, "%s is not a file", path);
	int r = fd_read_all(fd, text, LIMIT_SET_BYTES);
	if (r == -ERR_LIMIT)
		return err_set(e, r, "%s is larger than %u bytes", path, LIMIT_SET_BYTES);
	return r < 0 ? err_num(e, r, "cannot read %s", path) : 0;
}

int svc_set_load(const char *path, struct svc_set **ret, struct err *e)
{
	auto_str struct str text = STR_INIT;
	int r = svc_set_read(path, &text, e);

	return r < 0 ? r : svc_set_parse(str_slice(&text), path, ret, e);
}

int svc_set_find(const struct svc_set *set, struct slice name)
{
	for (size_t i = 0; i < set->n; i++)
		if (slice_is(name, set->v[i]->name))
			return (int)i;
	return -1;
}

/* Is one that service i requires not up all the time? */
static bool loses_required(const struct svc_set *set, size_t i, const uint8_t *change)
{
	const struct svc_edges *g = &set->edges[i];

	for (size_t k = 0; k < g->nto[SVC_REQ]; k++)
		if (change[g->to[SVC_REQ][k]] > SVC_RELOAD)
			return true;
	return false;
}

void svc_set_spread(const struct svc_set *old, const struct svc_set *new, uint8_t *out_old,
		    uint8_t *out_new)
{
	for (bool again = true; again;) {
		again = false;
		for (size_t i = 0; i < new->n; i++) {
			bool stops = out_new[i] == SVC_STOP;
			bool loses = !stops && loses_required(new, i, out_new);
			/* What is kept or reloaded requires the same as before. */
			if (!stops && !loses && out_new[i] != SVC_LATER)
				continue;
			int j = svc_set_find(old, slice_of(new->v[i]->name));
			if (j < 0 || out_old[j] > SVC_RELOAD ||
			    (!loses && !loses_required(old, (size_t)j, out_old)))
				continue;
			if (!stops)
				out_new[i] = SVC_RESTART;
			out_old[j] = out_new[i];
			again = true;
		}
	}
}

void svc_set_compare(const struct svc_set *old, const struct svc_set *new, uint8_t *out_old,
		     uint8_t *out_new)
{
	memset(out_old, SVC_STOP, old->n);
	for (size_t i = 0; i < new->n; i++) {
		const struct svc_def *d = new->v[i];
		int j = svc_set_find(old, slice_of(d->name));
		if (j < 0)
			out_new[i] = d->enabled ? SVC_START : SVC_LATER;
		else if (memcmp(d->id, old->v[j]->id, sizeof(d->id)) == 0)
			out_new[i] = SVC_KEEP;
		else if (d->plain_id == old->v[j]->plain_id)
			out_new[i] = SVC_RELOAD;
		else
			out_new[i] = d->later ? SVC_LATER : SVC_RESTART;
		if (j >= 0)
			out_old[j] = out_new[i];
	}
}
