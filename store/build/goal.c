/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "store/build/goal.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>

#include "lib/fd.h"
#include "lib/loop.h"
#include "lib/size.h"
#include "lib/tab.h"
#include "store/build/build.h"
#include "store/remote/offload.h"
#include "store/subst/subst.h"

#define DOWNLOADS_MAX 6			  /* at once on a connection; they take no job slot */
#define RETRY_MS      200		  /* for locks, and slots that are files */
#define WAITING_NS    (1000ull * 1000000) /* of silence before the client is told */
#define DEPTH_MAX     20000
#define POLLS_MAX     (3 * 1024 + 8)

enum goal_state {
	GOAL_NEW,
	GOAL_WAITING, /* for inputs */
	GOAL_READY,
	GOAL_RUNNING,
	GOAL_DONE,
	GOAL_FAILED,
};

struct goal {
	const char *path;
	struct drv *drv;
	enum goal_state state;
	bool check, builtin;
	bool away;	    /* the last start was on another machine */
	bool failed_before; /* as the failure cache has it */
	struct vec wanted;  /* output ids; empty: all */
	bool all_wanted;
	struct vec waiters; /* goals that need this one */
	size_t pending;	    /* inputs that are not done */
	unsigned height;    /* of the longest chain of waiters */
	/* while running */
	struct build build;
	struct arena arena;
	struct vec inputs;
	struct local_locks locks;
	unsigned slot;
	bool have_slot, log_end;
	struct offload_place place; /* on another machine, instead of a slot */
	uint64_t tried;		    /* the last round in which it was */
	int code;		    /* of the failure */
};

struct goals {
	struct session *s;
	enum proto_mode mode;
	const struct tab *assumed; /* paths taken for valid in a plan; NULL: none */
	struct arena arena;
	struct tab by_path; /* struct goal * */
	struct vec all, top;
	size_t unfinished, running, downloads, builders;
	uint64_t round;		/* of starting what is ready */
	bool stop;		/* a failure ended the request */
	uint64_t waiting_since; /* ns; with nothing running; UINT64_MAX: said so */
	struct err first;	/* failure */
	int status;
};

/* ---- Graph ----------------------------------------------------------------------------------- */

static int wanted_valid(struct goals *g, struct goal *goal, bool *ret, struct err *e)
{
	*ret = true;
	for (size_t i = 0; i < goal->drv->noutputs && *ret; i++) {
		const struct drv_output *o = &goal->drv->outputs[i];
		bool wanted = goal->all_wanted;
		for (size_t k = 0; !wanted && k < goal->wanted.n; k++)
			wanted = strcmp(goal->wanted.v[k], o->id) == 0;
		if (!wanted)
			continue;
		if (g->assumed && tab_has(g->assumed, slice_of(o->path)))
			continue;
		int r = local_is_valid(g->s->l, o->path, ret, e);
		if (r)
			return r;
	}
	return 0;
}

static int get_goal(struct goals *g, const char *path, const char *const *outputs, size_t n,
		    unsigned depth, struct goal **ret, struct err *e);

static int expand(struct goals *g, struct goal *goal, unsigned depth, struct err *e)
{
	goal->state = GOAL_WAITING;
	g->unfinished++;
	int r = g->s->policy.cache_failures && !goal->check
			? local_failed_any(g->s->l, goal->drv, &goal->failed_before, e)
			: 0;
	if (r || goal->failed_before) { /* which needs no inputs */
		goal->state = GOAL_READY;
		return r;
	}
	for (size_t i = 0; i < goal->drv->ninputs; i++) {
		const struct drv_input *in = &goal->drv->inputs[i];
		struct goal *dep;
		r = get_goal(g, in->path, in->outputs, in->noutputs, depth + 1, &dep, e);
		if (r)
			return r;
		if (dep->state == GOAL_DONE)
			continue;
		vec_add(&dep->waiters, goal);
		goal->pending++;
		if (dep->waiters.err)
			return err_set(e, -ENOMEM, "out of memory");
	}
	if (!goal->pending)
		goal->state = GOAL_READY;
	return 0;
}

/* Before anything is asked about it: what is valid already must still be when it is used, as an
 * input or by the client, and a collection may be about to start. */
static int protect(struct goals *g, struct goal *goal, struct err *e)
{
	int r = local_temp_root(g->s->l, goal->path, e);
	for (size_t i = 0; !r && i < goal->drv->noutputs; i++)
		r = local_temp_root(g->s->l, goal->drv->outputs[i].path, e);
	return r;
}

/* A goal for a derivation that is known already; what lies at path is not looked at. */
static int new_goal_of(struct goals *g, const char *path, struct drv *drv, struct goal **ret,
		       struct err *e)
{
	struct goal *goal = ARENA_NEW(&g->arena, struct goal);
	if (!goal)
		return err_set(e, -ENOMEM, "out of memory");
	goal->path = arena_str(&g->arena, path);
	goal->drv = drv;
	goal->place.lock = -1;
	int r = protect(g, goal, e);
	if (r)
		return r;
	goal->builtin = strncmp(goal->drv->builder, "builtin:", 8) == 0;
	goal->build = (struct build){ .s = g->s,
				      .log = -1,
				      .top = -1,
				      .out = -1,
				      .end = -1,
				      .proc = PROC_INIT,
				      .line = STR_INIT,
				      .said = STR_INIT };
	vec_add(&g->all, goal);
	void **slot = tab_put(&g->by_path, slice_of(goal->path), NULL);
	if (!slot || g->all.err)
		return err_set(e, -ENOMEM, "out of memory");
	*slot = goal;
	*ret = goal;
	return 0;
}

static int new_goal(struct goals *g, const char *path, struct goal **ret, struct err *e)
{
	struct drv *drv;
	int r = local_drv(g->s->l, &g->arena, path, &drv, e);
	return r ? r : new_goal_of(g, path, drv, ret, e);
}

static int get_goal(struct goals *g, const char *path, const char *const *outputs, size_t n,
		    unsigned depth, struct goal **ret, struct err *e)
{
	if (depth > DEPTH_MAX)
		return err_set(e, -ERR_LIMIT, "derivations are nested too deeply");
	struct goal *goal = tab_find(&g->by_path, slice_of(path));
	if (!goal) {
		int r = new_goal(g, path, &goal, e);
		if (r)
			return r;
	}
	*ret = goal;
	for (size_t i = 0; i < n; i++) {
		if (!drv_output(goal->drv, outputs[i]))
			return err_set(e, -ERR_BUILD, "derivation `%s' has no output `%s'", path,
				       outputs[i]);
		vec_add(&goal->wanted, (char *)(uintptr_t)outputs[i]);
	}
	goal->all_wanted |= n == 0;
	if (goal->state != GOAL_NEW && goal->state != GOAL_DONE)
		return 0;
	bool valid;
	int r = wanted_valid(g, goal, &valid, e);
	if (r)
		return r;
	bool repair = g->mode == PROTO_BUILD_REPAIR;
	bool check = depth == 0 && (g->mode == PROTO_BUILD_CHECK || (repair && valid));
	if (check && !valid)
		return err_set(e, -ERR_BUILD,
			       "some outputs of `%s' are not valid, so checking is not possible",
			       path);
	goal->check |= check;
	if (valid && !check) {
		goal->state = GOAL_DONE;
		return 0;
	}
	return expand(g, goal, depth, e);
}

/* Length of the chain of goals that wait, first for one, then for the next. */
static unsigned height_of(struct goal *goal, unsigned depth)
{
	if (goal->height || depth > DEPTH_MAX)
		return goal->height;
	unsigned max = 0;
	for (size_t i = 0; i < goal->waiters.n; i++)
		max = MAX_OF(max, height_of(goal->waiters.v[i], depth + 1));
	goal->height = max + 1;
	return goal->height;
}

/* ---- Ends of goals --------------------------------------------------------------------------- */

static void announce_plan(struct goals *g)
{
	if (g->s->plan)
		session_trace(g->s, "cairn-plan %zu", g->unfinished);
}

static int status_of(int code)
{
	return code == -ERR_TIMEOUT   ? PROTO_STATUS_TIMEOUT
	       : code == -ERR_DIFFERS ? PROTO_STATUS_DIFFERS
				      : PROTO_STATUS_FAILED;
}

static void fail_waiters(struct goals *g, struct goal *goal)
{
	for (size_t i = 0; i < goal->waiters.n; i++) {
		struct goal *w = goal->waiters.v[i];
		if (w->state != GOAL_WAITING)
			continue;
		w->state = GOAL_FAILED;
		w->code = goal->code;
		g->unfinished--;
		fail_waiters(g, w);
	}
}

/* Whether code blames the derivation; otherwise the machine is at fault and the request ends. */
static bool is_build_failure(int code)
{
	return code == -ERR_BUILD || code == -ERR_HASH || code == -ERR_TIMEOUT ||
	       code == -ERR_DIFFERS || code == -ERR_FETCH;
}

static void release(struct goals *g, struct goal *goal, bool keep)
{
	build_done(&goal->build, keep);
	local_unlock(g->s->l, &goal->locks, true);
	if (goal->have_slot)
		slots_put(g->s->slots, goal->slot);
	goal->have_slot = false;
	offload_put(&goal->place);
	vec_done(&goal->inputs);
	arena_done(&goal->arena);
	g->running--;
	if (goal->builtin)
		g->downloads--;
	else if (!goal->away)
		g->builders--;
}

static void fail_goal(struct goals *g, struct goal *goal, const struct err *e)
{
	bool timeout = e->code == -ERR_TIMEOUT, started = goal->state == GOAL_RUNNING;
	if (timeout || goal->failed_before)
		session_trace(g->s, "build-failed %s - %s", goal->path,
			      timeout ? "timeout" : "cached");
	else
		session_trace(g->s, "build-failed %s - %d %s", goal->path, started, e->msg);
	goal->code = e->code;
	goal->state = GOAL_FAILED;
	g->unfinished--;
	if (!g->s->plan) /* our own client makes a report of the line above */
		session_say(g->s, "%s", e->msg);
	if (!g->first.code) {
		g->first = *e;
		g->status = status_of(e->code);
	}
	fail_waiters(g, goal);
	g->stop |= !g->s->keep_going;
}

static void succeed_goal(struct goals *g, struct goal *goal, bool built)
{
	goal->state = GOAL_DONE;
	g->unfinished--;
	if (built)
		session_trace(g->s, "build-succeeded %s -", goal->path);
	for (size_t i = 0; i < goal->waiters.n; i++) {
		struct goal *w = goal->waiters.v[i];
		if (w->pending && --w->pending == 0 && w->state == GOAL_WAITING)
			w->state = GOAL_READY;
	}
}

/* ---- Running --------------------------------------------------------------------------------- */

static int find_inputs(struct goals *g, struct goal *goal, struct err *e)
{
	auto_vec struct vec direct = VEC_INIT;
	const struct drv *d = goal->drv;
	for (size_t i = 0; i < d->ninputs; i++) {
		struct goal *in = tab_find(&g->by_path, slice_of(d->inputs[i].path));
		for (size_t k = 0; k < d->inputs[i].noutputs; k++) {
			const struct drv_output *o = drv_output(in->drv, d->inputs[i].outputs[k]);
			vec_add(&direct, (char *)(uintptr_t)o->path);
		}
	}
	for (size_t i = 0; i < d->nsources; i++)
		vec_add(&direct, (char *)(uintptr_t)d->sources[i]);
	if (direct.err)
		return err_set(e, direct.err, "out of memory");
	return local_closure(g->s->l, &goal->arena, (const char *const *)direct.v, direct.n,
			     &goal->inputs, e);
}

static int lock_outputs(struct goals *g, struct goal *goal, struct err *e)
{
	const struct drv *d = goal->drv;
	const char **paths = arena_array(&goal->arena, d->noutputs, sizeof(*paths));
	if (!paths)
		return err_set(e, -ENOMEM, "out of memory");
	for (size_t i = 0; i < d->noutputs; i++)
		paths[i] = d->outputs[i].path;
	return local_lock_paths(g->s->l, paths, d->noutputs, false, &goal->locks, e);
}

static int take_slot(struct goals *g, struct goal *goal, struct err *e)
{
	if (goal->builtin)
		return g->downloads < DOWNLOADS_MAX ? 0 : -EAGAIN;
	bool here = goal->check || g->s->rounds > 1; /* there it would be valid already */
	int away = here ? 0 : offload_take(g->s, goal->drv, &goal->place, e);
	goal->away = goal->place.m != NULL;
	if (goal->away || (away && away != -EAGAIN))
		return away;
	if (g->builders >= g->s->max_jobs)
		return -EAGAIN;
	int r = slots_take(g->s->slots, g->s->max_jobs, &goal->slot, e);
	goal->have_slot = r == 0;
	return r;
}

static int launch(struct goals *g, struct goal *goal, struct err *e)
{
	struct build *b = &goal->build;
	*b = (struct build){ .s = g->s,
			     .drv_path = goal->path,
			     .drv = goal->drv,
			     .inputs = &goal->inputs,
			     .machine = goal->place.m,
			     .check = goal->check,
			     .repair = goal->check && g->mode == PROTO_BUILD_REPAIR,
			     .rounds = goal->check || drv_is_fixed(goal->drv) ? 1 : g->s->rounds,
			     .log = -1,
			     .top = -1,
			     .out = -1,
			     .end = -1,
			     .net = PROC_INIT,
			     .net_lock = -1,
			     .line = STR_INIT,
			     .said = STR_INIT };
	b->proc = (struct proc)PROC_INIT;
	int r = find_inputs(g, goal, e);
	return r ? r : build_start(b, e);
}

/* Start a goal that has its slot. -EAGAIN: somebody else is at its outputs. */
static int start_goal(struct goals *g, struct goal *goal, struct err *e)
{
	goal->state = GOAL_RUNNING;
	goal->log_end = false;
	g->running++;
	if (goal->builtin)
		g->downloads++;
	else if (!goal->away)
		g->builders++;
	bool valid = false;
	int r = goal->failed_before
			? err_set(e, -ERR_BUILD, "build of `%s' failed before (cached failure)",
				  goal->path)
			: lock_outputs(g, goal, e);
	if (!r && !goal->check)
		r = wanted_valid(g, goal, &valid, e);
	if (!r && valid) { /* somebody else made it meanwhile */
		release(g, goal, false);
		succeed_goal(g, goal, true);
		return 0;
	}
	if (!r)
		r = launch(g, goal, e);
	if (r) {
		release(g, goal, g->s->keep_failed && is_build_failure(r));
		goal->state = GOAL_READY;
	}
	return r;
}

/* What the derivation is to blame for, as far as can be told. */
static void remember_failure(struct goals *g, struct goal *goal)
{
	struct err e = ERR_INIT;
	if (!g->s->policy.cache_failures || drv_is_fixed(goal->drv) || goal->build.disk_full)
		return;
	if (local_failed_add(g->s->l, goal->drv, &e))
		session_say(g->s, "note: %s", e.msg);
}

/* The machine was at fault: another one, or this one, gets the build. */
static int try_elsewhere(struct goals *g, struct goal *goal, const struct err *why)
{
	session_say(g->s, "`%s' is built elsewhere: %s", goal->path, why->msg);
	offload_avoid(&goal->place);
	release(g, goal, false);
	goal->state = GOAL_READY;
	return 0;
}

static int finish_goal(struct goals *g, struct goal *goal, struct err *e)
{
	struct err why = ERR_INIT;
	bool again = false;
	int r = build_finish(&goal->build, &why);
	if (!r)
		r = build_again(&goal->build, &again, &why);
	if (!r && again) {
		goal->log_end = false;
		return 0;
	}
	if (r == -EHOSTUNREACH && goal->place.m)
		return try_elsewhere(g, goal, &why);
	if (r == -ERR_BUILD)
		remember_failure(g, goal);
	release(g, goal, r && g->s->keep_failed);
	if (r && !is_build_failure(r)) {
		session_trace(g->s, "build-failed %s - 1 %s", goal->path, why.msg);
		*e = why;
		return r;
	}
	if (r)
		fail_goal(g, goal, &why);
	else
		succeed_goal(g, goal, true);
	return 0;
}

static void abort_goal(struct goals *g, struct goal *goal, const struct err *why)
{
	release(g, goal, g->s->keep_failed);
	fail_goal(g, goal, why);
}

/* What cannot start in one round. */
struct round {
	uint64_t number;
	bool no_job, no_download;
};

/* The ready goal with the most behind it that may start and was not tried in this round. */
static struct goal *best_ready(struct goals *g, const struct round *now)
{
	struct goal *best = NULL;
	for (size_t i = 0; i < g->all.n; i++) {
		struct goal *goal = g->all.v[i];
		if (goal->state != GOAL_READY || goal->tried == now->number)
			continue;
		if (goal->builtin ? now->no_download : now->no_job)
			continue;
		if (!best || goal->height > best->height)
			best = goal;
	}
	return best;
}

/* Start what can be started. *ret_waiting: something waits for a lock or a slot of others. */
static int start_ready(struct goals *g, bool *ret_waiting, struct err *e)
{
	struct round now = { .number = ++g->round };
	*ret_waiting = false;
	for (struct goal *goal; !g->stop && (goal = best_ready(g, &now));) {
		struct err why = ERR_INIT;
		goal->tried = now.number;
		int r = take_slot(g, goal, &why);
		if (r == -EAGAIN) {
			*(goal->builtin ? &now.no_download : &now.no_job) = *ret_waiting = true;
			continue;
		}
		if (!r)
			r = start_goal(g, goal, &why);
		if (r == -EAGAIN) {
			*ret_waiting = true;
		} else if (is_build_failure(r)) {
			fail_goal(g, goal, &why);
		} else if (r) {
			*e = why;
			return r;
		}
	}
	return 0;
}

static int check_clock(struct goals *g, struct goal *goal, uint64_t now)
{
	const struct session *s = g->s;
	struct err why = ERR_INIT;
	now = MAX_OF(now, goal->build.heard); /* heard may be younger */
	if (s->timeout && now - goal->build.started > s->timeout * 1000000000ull)
		err_set(&why, -ERR_TIMEOUT, "building of `%s' timed out after %llu seconds",
			goal->path, (unsigned long long)s->timeout);
	else if (s->max_silent && now - goal->build.heard > s->max_silent * 1000000000ull)
		err_set(&why, -ERR_TIMEOUT,
			"building of `%s' timed out after %llu seconds of silence", goal->path,
			(unsigned long long)s->max_silent);
	else
		return 0;
	abort_goal(g, goal, &why);
	return 1;
}

/* One round: wait, take output, finish what ended. */
static int turn(struct goals *g, bool waiting, struct err *e)
{
	static struct pollfd p[POLLS_MAX]; /* not on the stack for its size */
	static struct goal *who[POLLS_MAX];
	size_t n = 0;
	p[n] = (struct pollfd){ .fd = g->s->stream.fd, .events = POLLRDHUP };
	who[n++] = NULL;
	p[n] = (struct pollfd){ .fd = slots_fd(g->s->slots), .events = waiting ? POLLIN : 0 };
	who[n++] = NULL;
	for (size_t i = 0; i < g->all.n && n + 3 <= POLLS_MAX; i++) {
		struct goal *goal = g->all.v[i];
		if (goal->state != GOAL_RUNNING)
			continue;
		p[n] = (struct pollfd){ .fd = goal->log_end ? -1 : goal->build.log,
					.events = POLLIN };
		who[n++] = goal;
		p[n] = (struct pollfd){ .fd = goal->build.proc.pidfd, .events = POLLIN };
		who[n++] = goal;
		p[n] = (struct pollfd){ .fd = goal->build.net.pidfd, .events = POLLIN };
		who[n++] = goal;
	}
	bool clocks = g->s->timeout || g->s->max_silent;
	bool retry = waiting && (slots_fd(g->s->slots) < 0 || !g->running);
	int wait = retry ? RETRY_MS : waiting || clocks ? 1000 : -1;
	if (poll(p, n, wait) < 0 && errno != EINTR)
		return err_sys(e, "cannot wait for builders");
	if (p[0].revents) {
		g->s->client_gone = true;
		return err_set(e, -ERR_PROTO, "the client went away");
	}
	uint64_t now = loop_now();
	for (size_t i = 2; i < n; i += 3) {
		struct goal *goal = who[i];
		struct err why = ERR_INIT;
		int r = 0;
		if (p[i].revents)
			r = build_output(&goal->build, &goal->log_end, &why);
		if (!r && p[i + 2].revents && !p[i + 1].revents)
			r = err_set(&why, -ERR_BUILD, "the network of `%s' broke down", goal->path);
		if (r) {
			abort_goal(g, goal, &why);
			continue;
		}
		if (p[i + 1].revents)
			r = finish_goal(g, goal, e);
		else if (clocks)
			(void)check_clock(g, goal, now);
		if (r)
			return r;
	}
	return 0;
}

/* Tell once that others are in the way; a slot that comes at once is no reason. */
static void say_waiting(struct goals *g, bool waiting)
{
	uint64_t now = loop_now();
	if (!waiting && g->waiting_since != UINT64_MAX)
		g->waiting_since = 0;
	else if (waiting && !g->waiting_since)
		g->waiting_since = now;
	else if (waiting && g->waiting_since != UINT64_MAX && now - g->waiting_since > WAITING_NS) {
		session_say(g->s, "waiting for other builds on this store to end");
		g->waiting_since = UINT64_MAX;
	}
}

static int run(struct goals *g, struct err *e)
{
	while (g->unfinished && !g->stop) {
		bool waiting;
		int r = start_ready(g, &waiting, e);
		if (r)
			return r;
		if (!g->unfinished || g->stop)
			break;
		if (!g->running && !waiting)
			return err_set(e, -ERR_INTERNAL, "no derivation can be started");
		say_waiting(g, waiting && !g->running);
		if (stream_flush(&g->s->stream)) {
			g->s->client_gone = true;
			return err_set(e, -ERR_PROTO, "the client went away");
		}
		r = turn(g, waiting, e);
		if (r)
			return r;
	}
	return 0;
}

/* ---- Requests -------------------------------------------------------------------------------- */

/* Split "PATH!out,lib", protect the path and say whether it is valid. */
static int look_at(struct goals *g, const char *thing, char **ret_path, bool *ret_valid,
		   struct err *e)
{
	struct local *l = g->s->l;
	char *path = arena_strn(&g->arena, thing, strcspn(thing, "!"));
	if (!path)
		return err_set(e, -ENOMEM, "out of memory");
	*ret_path = path;
	int r = local_check_path(l, path, e);
	if (!r)
		r = local_temp_root(l, path, e);
	return r ? r : local_await_valid(l, path, ret_valid, e);
}

/* The goal for a valid derivation. */
static int add_top(struct goals *g, const char *path, const char *thing, struct err *e)
{
	auto_vec struct vec outs = VEC_INIT;
	const char *bang = strchr(thing, '!');
	struct slice rest = slice_of(bang ? bang + 1 : NULL), id;
	while (bang && slice_cut(&rest, ',', &id))
		vec_add(&outs, arena_slice(&g->arena, id));
	if (outs.n == 1 && strcmp(outs.v[0], "*") == 0)
		outs.n = 0;
	struct goal *goal;
	int r = get_goal(g, path, (const char *const *)outs.v, outs.n, 0, &goal, e);
	if (r)
		return r;
	vec_add(&g->top, goal);
	return g->top.err ? err_set(e, -ENOMEM, "out of memory") : 0;
}

static bool is_drv(const char *path)
{
	return slice_ends(slice_of(path), ".drv");
}

static int add_thing(struct goals *g, const char *thing, struct err *e)
{
	char *path;
	bool valid = false;
	int r = look_at(g, thing, &path, &valid, e);
	if (r)
		return r;
	if (!valid)
		return err_set(e, -ERR_NOTVALID, "path `%s' does not exist and cannot be created",
			       path);
	return is_drv(path) ? add_top(g, path, thing, e) : 0;
}

/* "build of `A', `B' failed: …" */
static int report(struct goals *g, struct err *e)
{
	auto_str struct str names = STR_INIT;
	for (size_t i = 0; i < g->top.n && names.len < 300; i++) {
		struct goal *goal = g->top.v[i];
		if (goal->state == GOAL_DONE)
			continue;
		str_addf(&names, "%s`%s'", names.len ? ", " : "", goal->path);
	}
	return err_set(e, g->first.code, "build of %s failed: %s", names.buf, g->first.msg);
}

static void goals_done(struct goals *g)
{
	for (size_t i = 0; i < g->all.n; i++) {
		struct goal *goal = g->all.v[i];
		if (goal->state == GOAL_RUNNING)
			release(g, goal, false);
		vec_done(&goal->wanted);
		vec_done(&goal->waiters);
	}
	slots_rest(g->s->slots);
	vec_done(&g->all);
	vec_done(&g->top);
	tab_done(&g->by_path);
	arena_done(&g->arena);
}

static void goals_init(struct goals *g, struct session *s, enum proto_mode mode)
{
	*g = (struct goals){ .s = s,
			     .mode = mode,
			     .arena = ARENA_INIT,
			     .by_path = TAB_INIT,
			     .all = VEC_INIT,
			     .top = VEC_INIT,
			     .first = ERR_INIT,
			     .status = 1 };
}

int goal_missing(struct session *s, struct arena *a, const struct vec *things,
		 const struct tab *assumed, struct vec *ret_build, struct vec *ret_unknown,
		 struct err *e)
{
	struct goals g;
	int r = 0;
	goals_init(&g, s, PROTO_BUILD_NORMAL);
	g.assumed = assumed;
	for (size_t i = 0; !r && i < things->n; i++) {
		char *path;
		bool valid = false;
		r = look_at(&g, things->v[i], &path, &valid, e);
		if (!r && !valid && !(assumed && tab_has(assumed, slice_of(path))))
			vec_add(ret_unknown, arena_str(a, path));
		else if (!r && valid && is_drv(path))
			r = add_top(&g, path, things->v[i], e);
	}
	for (size_t i = 0; !r && i < g.all.n; i++) {
		const struct goal *goal = g.all.v[i];
		if (goal->state != GOAL_DONE)
			vec_add(ret_build, arena_str(a, goal->path));
	}
	goals_done(&g);
	return r;
}

/* Make what is in g, unless adding it gave the error r; ends g. */
static int make_all(struct goals *g, int r, int *ret_status, struct err *e)
{
	for (size_t i = 0; !r && i < g->all.n; i++)
		(void)height_of(g->all.v[i], 0);
	if (!r && g->unfinished) {
		announce_plan(g);
		r = run(g, e);
	}
	if (!r && g->first.code)
		r = report(g, e);
	*ret_status = r && is_build_failure(r) ? status_of(r) : g->first.code ? g->status : 1;
	goals_done(g);
	return r;
}

int goal_build(struct session *s, const struct vec *things, enum proto_mode mode, int *ret_status,
	       struct err *e)
{
	struct goals g;
	int r = mode == PROTO_BUILD_NORMAL ? subst_before_build(s, things, e) : 0;
	goals_init(&g, s, mode);
	for (size_t i = 0; !r && i < things->n; i++)
		r = add_thing(&g, things->v[i], e);
	return make_all(&g, r, ret_status, e);
}

int goal_build_drv(struct session *s, const char *path, struct drv *drv, enum proto_mode mode,
		   bool *ret_built, struct err *e)
{
	struct goals g;
	struct goal *goal;
	int status;
	goals_init(&g, s, mode);
	int r = new_goal_of(&g, path, drv, &goal, e);
	if (!r)
		r = get_goal(&g, path, NULL, 0, 0, &goal, e);
	if (!r)
		vec_add(&g.top, goal);
	*ret_built = g.unfinished > 0;
	return make_all(&g, r, &status, e);
}
