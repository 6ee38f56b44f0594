/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "init/set.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "init/def.h"
#include "lib/fd.h"
#include "lib/size.h"
#include "lib/tab.h"
#include "lib/text.h"

const char *const svc_change_names[SVC_CHANGE_MAX] = { "keep", "start", "stop", "restart",
						       "later" };

/* ---- sections --------------------------------------------------------------------------------*/

struct parse_state {
	struct svc_set *set;
	struct tab names; /* to index + 1 */
	unsigned init_line;
	size_t cap;
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

static int begin_section(void *arg, struct conf_ctx *c, struct slice kind, struct slice name)
{
	struct parse_state *st = arg;
	struct svc_set *set = st->set;

	if (slice_is(kind, "init") && name.n == 0) {
		if (st->init_line)
			return conf_error(c, "second [init] section");
		st->init_line = c->line;
		c->object = &set->init;
		return 0;
	}
	if (!slice_is(kind, "service"))
		return conf_error(c, "unknown section [%.*s]", (int)kind.n, kind.p);
	if (!name_is_good(name))
		return conf_error(c, "bad service name '%.*s'", (int)name.n, name.p);
	if (set->n == LIMIT_SVC_COUNT)
		return conf_error(c, "more than %d services", LIMIT_SVC_COUNT);

	struct svc_def *d = ARENA_NEW(c->arena, struct svc_def);
	char *copy = arena_slice(c->arena, name);
	if (!d || !copy)
		return conf_error(c, "out of memory");
	svc_def_defaults(d);
	d->name = copy;
	d->line = c->line;
	void **slot = tab_put(&st->names, slice_of(copy), NULL);
	if (!slot)
		return conf_error(c, "out of memory");
	if (*slot)
		return conf_error(c, "service '%s' stands twice, first in line %u", copy,
				  set->v[(uintptr_t)*slot - 1]->line);
	if (set->n == st->cap) {
		size_t cap = st->cap ? st->cap * 2 : 16;
		struct svc_def **v = arena_array(c->arena, cap, sizeof(*v));
		if (!v)
			return conf_error(c, "out of memory");
		if (set->n)
			memcpy(v, set->v, set->n * sizeof(*v));
		set->v = v;
		st->cap = cap;
	}
	set->v[set->n++] = d;
	*slot = (void *)(uintptr_t)set->n;
	c->object = d;
	return 0;
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

static bool is_boxed(const struct svc_box *b)
{
	bool said = b->profile || b->bounded || b->ambient || b->inheritable || b->root ||
		    b->seccomp || b->nmounts;

	for (size_t i = 0; i < SVC_BOX_FLAGS; i++)
		said |= b->flags[i] != SVC_UNSAID;
	return said;
}

/* Keys of one kind of section in the other: seen by what they left. */
static int check_section_keys(const struct svc_set *set, unsigned init_line, const char *file,
			      struct err *e)
{
	const struct svc_def *i = &set->init;
	struct svc_def fresh;

	svc_def_defaults(&fresh);
	fresh.line = init_line;
	if (i->exec || i->stop_exec || i->reload_exec || i->requires.n || i->wants.n ||
	    i->binds.n || i->milestones.n || i->smooth || i->after.n || i->before.n ||
	    i->conflicts.n || i->conditions.n || i->user || i->group || i->groups_given ||
	    i->nlisten || i->nlimits || i->type || i->activate || i->ncalendars || i->every ||
	    i->environment_files.n || i->cpus || i->ioprio || is_boxed(&i->box))
		return FAIL(&fresh, "a key of [service] stands in [init]");
	for (size_t k = 0; k < set->n; k++) {
		const struct svc_def *d = set->v[k];
		if (d->hostname || d->rescue || d->ctrl_alt_del || d->gate || d->watchdog ||
		    d->gate_timeout != fresh.gate_timeout ||
		    d->shutdown_timeout != fresh.shutdown_timeout ||
		    strcmp(d->state_directory, fresh.state_directory) != 0 ||
		    strcmp(d->log_directory, fresh.log_directory) != 0)
			return FAIL(d, "service '%s': a key of [init] stands here", d->name);
	}
	return 0;
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

static int check_timed(struct svc_def *d, const char *file, struct err *e)
{
	bool unused =
		d->catch_up || d->random_delay || d->run_timeout || d->first_run != UINT64_MAX;

	d->timed = d->every || d->ncalendars;
	if (!d->timed)
		return unused ? FAIL(d,
				     "service '%s': a key of timed services, but neither "
				     "calendar nor every",
				     d->name)
			      : 0;
	if (d->type != SVC_SIMPLE && d->type != SVC_ONESHOT)
		return FAIL(d, "service '%s': a timed service is simple or oneshot", d->name);
	if (d->activate)
		return FAIL(d, "service '%s': it starts by time or by connection, not both",
			    d->name);
	if (d->restart == SVC_ALWAYS)
		return FAIL(d, "service '%s': a timed service cannot restart always", d->name);
	if (d->restart == SVC_RESTART_DEFAULT)
		d->restart = SVC_NEVER;
	if (d->first_run == UINT64_MAX)
		d->first_run = d->every;
	return 0;
}

static int check_service(struct svc_def *d, const char *file, struct err *e)
{
	int r = check_timed(d, file, e);

	if (r < 0)
		return r;
	if (d->type == SVC_GROUP && d->exec)
		return FAIL(d, "service '%s': a group has no exec", d->name);
	if (d->type != SVC_GROUP && !d->exec)
		return FAIL(d, "service '%s': exec is missing", d->name);
	if (d->type == SVC_FORKING && !d->pid_file)
		return FAIL(d, "service '%s': a forking service needs pid-file", d->name);
	if (d->activate && (d->nlisten == 0 || d->type == SVC_ONESHOT || d->type == SVC_GROUP))
		return FAIL(d, "service '%s': activate needs a process and a listen line", d->name);
	if (d->type == SVC_NOTIFY && d->notify_fd && d->notify_fd < 3 + d->nlisten)
		return FAIL(d, "service '%s': descriptor %u is that of a socket it listens on",
			    d->name, (unsigned)d->notify_fd);
	if (d->stop_signal > 64 || d->reload_signal > 64)
		return FAIL(d, "service '%s': no such signal", d->name);
	if (d->restart == SVC_RESTART_DEFAULT)
		d->restart =
			d->type == SVC_ONESHOT || d->type == SVC_GROUP ? SVC_NEVER : SVC_ALWAYS;
	if (d->type == SVC_ONESHOT && d->restart == SVC_ALWAYS)
		return FAIL(d, "service '%s': a oneshot cannot restart always", d->name);
	if (d->groups.n > LIMIT_SVC_GROUPS)
		return FAIL(d, "service '%s': too many groups", d->name);
	const char *why = svc_box_finish(d);
	if (why)
		return FAIL(d, "service '%s': %s", d->name, why);
	return 0;
}

/* ---- identity --------------------------------------------------------------------------------*/

/* One pass over the lines; the header lines were noted while parsing. */
static void hash_definitions(struct svc_set *set, struct slice text)
{
	struct slice rest = text, line;
	struct svc_def *d = NULL;
	unsigned number = 0;
	size_t next = 0;
	bool continued = false;

	while (slice_cut(&rest, '\n', &line)) {
		number++;
		line = slice_trim(line);
		bool cont = line.n > 0 && line.p[line.n - 1] == '\\';
		if (!continued && line.n > 0 && line.p[0] == '[') {
			d = NULL;
			if (next < set->n && set->v[next]->line == number) {
				d = set->v[next++];
				d->id[0] = 0xcbf29ce484222325ull;
				d->id[1] = 0x6c62272e07bb0142ull;
			}
		} else if (d && (continued || (line.n > 0 && line.p[0] != '#'))) {
			struct slice value = line, key;
			if (!continued && slice_cut(&value, '=', &key) && value.p) {
				key = slice_trim(key);
				value = slice_trim(value);
				d->id[0] = svc_hash(d->id[0], key.p, key.n);
				d->id[1] = svc_hash(d->id[1] + 7, key.p, key.n);
			} else {
				value = line;
			}
			for (int k = 0; k < 2; k++)
				d->id[k] = svc_hash(svc_hash(d->id[k], "=", 1), value.p, value.n) +
					   (uint64_t)k * value.n;
		}
		continued = cont;
	}
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
		g->to[kind] = arena_array(a, g->nto[kind], sizeof(uint16_t));
		g->from[kind] = arena_array(a, g->nfrom[kind], sizeof(uint16_t));
		if (!g->to[kind] || !g->from[kind])
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
	struct parse_state st = { .set = svc_set_empty(), .names = TAB_INIT };
	int r;

	if (!st.set)
		return err_num(e, -ENOMEM, "%s", file);
	if (text.n > LIMIT_SET_BYTES) {
		r = err_set(e, -ERR_LIMIT, "%s: longer than %u bytes", file, LIMIT_SET_BYTES);
		goto out;
	}
	r = conf_parse(text, file, svc_keys, svc_nkeys, begin_section, &st, &st.set->arena, e);
	if (r == 0)
		r = check_section_keys(st.set, st.init_line, file, e);
	if (r == 0)
		r = check_gate(st.set, st.init_line, file, e);
	for (size_t i = 0; r == 0 && i < st.set->n; i++)
		r = check_service(st.set->v[i], file, e);
	if (r == 0)
		r = resolve(st.set, &st.names, file, e);
	if (r == 0 && arena_err(&st.set->arena))
		r = err_num(e, arena_err(&st.set->arena), "%s", file);
	if (r == 0)
		hash_definitions(st.set, text);
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

/* A service that requires a restarted one restarts too: repeat until nothing changes. */
static void spread_restarts(const struct svc_set *set, uint8_t *change)
{
	for (bool again = true; again;) {
		again = false;
		for (size_t i = 0; i < set->n; i++) {
			const struct svc_edges *g = &set->edges[i];
			if (change[i] != SVC_KEEP && change[i] != SVC_LATER)
				continue;
			for (size_t k = 0; k < g->nto[SVC_REQ]; k++)
				if (change[g->to[SVC_REQ][k]] == SVC_RESTART)
					change[i] = SVC_RESTART;
			again |= change[i] == SVC_RESTART;
		}
	}
}

void svc_set_compare(const struct svc_set *old, const struct svc_set *new, uint8_t *out_old,
		     uint8_t *out_new)
{
	for (size_t j = 0; j < old->n; j++)
		out_old[j] = SVC_STOP;
	for (size_t i = 0; i < new->n; i++) {
		const struct svc_def *d = new->v[i];
		int j = svc_set_find(old, slice_of(d->name));
		if (j < 0)
			out_new[i] = d->enabled ? SVC_START : SVC_LATER;
		else if (memcmp(d->id, old->v[j]->id, sizeof(d->id)) == 0)
			out_new[i] = SVC_KEEP;
		else
			out_new[i] = d->later ? SVC_LATER : SVC_RESTART;
	}
	spread_restarts(new, out_new);
	for (size_t i = 0; i < new->n; i++) {
		int j = svc_set_find(old, slice_of(new->v[i]->name));
		if (j >= 0)
			out_old[j] = out_new[i];
	}
}
