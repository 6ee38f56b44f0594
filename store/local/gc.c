/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Garbage collection. Live is what the roots reach by references, from a live output to the
 * derivation that made it, and, if asked for, from a live derivation to its outputs. All else goes:
 * first out of the database, in one transaction, then into the trash directory, then, with all
 * locks released, for good. A crash in between leaves rubbish that the next collection finds.
 */
#include "store/local/gc.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "lib/fd.h"
#include "lib/tab.h"
#include "store/local/below.h"
#include "store/local/db.h"
#include "store/local/refgraph.h"
#include "store/local/guard.h"
#include "store/local/local-state.h"
#include "store/format/nar.h"
#include "store/local/roots.h"
#include "store/local/trash.h"

#define TMP_LINK_AGE 3600 /* seconds; a link is renamed at once unless its maker died */

struct gc {
	struct local *l;
	struct db *db;
	const struct gc_request *req;
	struct err *e;
	struct arena *a; /* of the caller; paths */
	struct refgraph graph;
	struct tab temp;    /* paths in temporary roots, valid or not */
	struct vec dead;    /* nodes, those that refer before those referred to */
	struct vec rubbish; /* names in the store directory */
	struct trash trash;
	bool swept; /* what is in dead and rubbish is gone */
	struct vec *ret;
	uint64_t bytes;
};

static void __attribute__((format(printf, 2, 3))) progress(struct gc *g, const char *fmt, ...)
{
	struct str s = STR_INIT;
	va_list ap;

	if (!g->req->progress)
		return;
	va_start(ap, fmt);
	str_addv(&s, fmt, ap);
	va_end(ap);
	g->req->progress(g->req->arg, s.buf);
	str_done(&s);
}

static int no_memory(struct gc *g)
{
	return err_num(g->e, -ENOMEM, "garbage collection");
}

/* ---- What lives -------------------------------------------------------------------------------
 */

static int mark_roots(struct gc *g, const struct vec *roots)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < roots->n; i++) {
		struct root *root = roots->v[i];

		r = refgraph_mark(&g->graph, refgraph_find(&g->graph, root->target),
				  !g->req->drop_derivations);
	}
	return r < 0 ? no_memory(g) : 0;
}

/* What a link keeps is never collected, so it is in the database, or that is of another time than
 * the store: what else it does not know is then no rubbish either. */
static int check_roots(struct gc *g, const struct vec *roots)
{
	struct stat st;

	for (size_t i = 0; i < roots->n; i++) {
		const struct root *root = roots->v[i];

		if (refgraph_find(&g->graph, root->target) ||
		    tab_has(&g->temp, slice_of(root->target)) ||
		    fstatat(g->l->store_fd, local_base(g->l, root->target), &st,
			    AT_SYMLINK_NOFOLLOW) < 0)
			continue;
		return err_hint(g->e,
				err_set(g->e, -ERR_INVALID,
					"%s keeps %s, which is there, but which the database does "
					"not know: nothing is deleted",
					root->link, root->target),
				"is the database older than the store? else remove the link");
	}
	return 0;
}

static bool is_valid(void *arg, struct slice item)
{
	return tab_has(&((struct gc *)arg)->graph.by_path, item);
}

static int find_live(struct gc *g, const struct vec *temp)
{
	auto_vec struct vec roots = VEC_INIT;
	int r = refgraph_load(g->db, g->req->keep_outputs, &g->graph, g->e);

	for (size_t i = 0; r == 0 && i < temp->n; i++)
		if (!tab_put(&g->temp, slice_of(((struct root *)temp->v[i])->target), NULL))
			return no_memory(g);
	if (r < 0 || g->req->ignore_liveness)
		return r;
	r = roots_find(g->l, true, g->a, &roots, g->e);
	if (r == 0 && g->req->action >= STORE_GC_DELETE)
		r = check_roots(g, &roots);
	if (r == 0)
		r = roots_runtime(g->l, g->a, is_valid, g, &roots, g->e);
	if (r == 0)
		r = mark_roots(g, &roots);
	return r == 0 ? mark_roots(g, temp) : r;
}

/* ---- What goes --------------------------------------------------------------------------------
 */

/* All that is not live, or of that only what is chosen and refers to it. */
static int find_dead(struct gc *g, bool chosen)
{
	auto_vec struct vec order = VEC_INIT;

	if (refgraph_order(&g->graph, &order) < 0)
		return no_memory(g);
	if (chosen)
		refgraph_choose_referrers(&g->graph, &order);
	for (size_t i = order.n; i-- > 0;)
		if (!chosen || ((struct refgraph_node *)order.v[i])->chosen)
			vec_add(&g->dead, order.v[i]);
	return g->dead.err < 0 ? no_memory(g) : 0;
}

static bool cut_suffix(struct slice *name, const char *suffix)
{
	if (!slice_ends(*name, suffix))
		return false;
	name->n -= strlen(suffix);
	return true;
}

/* Whether the invalid entry name of the store belongs to somebody who is at work. */
static bool in_progress(struct gc *g, const char *name)
{
	struct slice base = slice_of(name);
	auto_str struct str path = STR_INIT;
	struct stat st;

	if (slice_starts(base, ".tmp-link-"))
		return fstatat(g->l->store_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0 ||
		       time(NULL) - st.st_ctim.tv_sec < TMP_LINK_AGE;
	if (!cut_suffix(&base, ".lock") && !cut_suffix(&base, ".chroot"))
		(void)cut_suffix(&base, ".check");
	str_addf(&path, "%s/%.*s", g->l->store_dir, (int)base.n, base.p);
	return str_err(&path) < 0 || tab_has(&g->temp, str_slice(&path));
}

static int find_this(struct gc *g, const char *path)
{
	struct refgraph_node *node = refgraph_find(&g->graph, path);
	int r = local_check_path(g->l, path, g->e);

	if (r < 0)
		return r;
	if (node && node->marked)
		return err_set(g->e, -ERR_IN_USE, "cannot delete path '%s' since it is still alive",
			       path);
	if (!node && in_progress(g, local_base(g->l, path)))
		return err_set(g->e, -ERR_IN_USE,
			       "cannot delete path '%s': somebody is at work on it", path);
	if (node)
		node->chosen = true;
	else
		vec_add(&g->rubbish, (void *)(uintptr_t)local_base(g->l, path));
	return 0;
}

static int find_these(struct gc *g)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < g->req->npaths; i++)
		r = find_this(g, g->req->paths[i]);
	return r == 0 ? find_dead(g, true) : r;
}

/* What nobody here knows, but is not ours, either: to hide it frees nothing. */
static bool is_below(int below, const char *name)
{
	struct stat st;

	return below >= 0 && fstatat(below, name, &st, AT_SYMLINK_NOFOLLOW) == 0;
}

static int find_rubbish(struct gc *g)
{
	auto_vec struct vec names = VEC_INIT;
	auto_fd int below = below_open(g->l->store_fd);
	int r = nar_list_dir(g->a, g->l->store_fd, &names);

	if (r < 0)
		return err_num(g->e, r, "list %s", g->l->store_phys);
	for (size_t i = 0; i < names.n; i++) {
		const char *name = names.v[i];
		char *path = arena_fmt(g->a, "%s/%s", g->l->store_dir, name);

		if (!path)
			return no_memory(g);
		if (!strcmp(name, TRASH_NAME) || !strcmp(name, ".links"))
			continue;
		if (!refgraph_find(&g->graph, path) && !in_progress(g, name) &&
		    !is_below(below, name))
			vec_add(&g->rubbish, (void *)(uintptr_t)name);
	}
	return g->rubbish.err < 0 ? no_memory(g) : 0;
}

/* ---- Deleting ---------------------------------------------------------------------------------
 */

/* Delete the row of a dead path. *ret false: somebody refers to it by now, so it stays. */
static int invalidate_one(struct gc *g, const char *path, bool *ret)
{
	struct err inner = ERR_INIT;
	int r = db_delete(g->db, path, &inner);

	*ret = r == 0;
	if (r < 0 && r != -ERR_IN_USE)
		return err_set(g->e, r, "%s", inner.msg);
	if (r == 0)
		local_modulo_forget(g->l, path);
	return 0;
}

/* Rows first: what is not valid any more may be deleted at leisure. Stops when enough is freed. */
static int invalidate(struct gc *g)
{
	uint64_t sum = g->trash.bytes;
	size_t kept = 0;
	bool gone;
	int r = db_begin(g->db, g->e);

	if (r < 0)
		return r;
	for (size_t i = 0; r == 0 && i < g->dead.n && sum < g->req->max_freed; i++) {
		struct refgraph_node *node = g->dead.v[i];

		r = invalidate_one(g, node->path, &gone);
		if (r < 0 || !gone)
			continue;
		g->dead.v[kept++] = node;
		sum += node->nar_size;
	}
	if (r < 0) {
		db_rollback(g->db);
		return r;
	}
	g->dead.n = kept;
	r = db_commit(g->db, g->e);
	if (r < 0 || !g->l->sync || !(kept || g->rubbish.n))
		return r;
	/* Commits do not wait for the disk, and files may be gone there first: after a power cut
	 * the rows would be back, also those of a collection that was killed here. */
	return db_sync(g->db, g->e);
}

static int sweep(struct gc *g)
{
	int r;

	db_end_read(g->db);
	r = invalidate(g);
	g->swept = r == 0;
	for (size_t i = 0; r == 0 && i < g->rubbish.n; i++)
		trash_take(&g->trash, g->rubbish.v[i]);
	for (size_t i = 0; r == 0 && i < g->dead.n; i++) {
		const char *path = ((struct refgraph_node *)g->dead.v[i])->path;

		trash_take(&g->trash, local_base(g->l, path));
		vec_add(g->ret, arena_str(g->a, path));
	}
	return r;
}

/* With all locks released: who listens may be slow. */
static void tell(struct gc *g)
{
	if (!g->swept)
		return;
	for (size_t i = 0; i < g->rubbish.n; i++)
		progress(g, "deleting '%s/%s'", g->l->store_dir, (char *)g->rubbish.v[i]);
	for (size_t i = 0; i < g->dead.n; i++)
		progress(g, "deleting '%s'", ((struct refgraph_node *)g->dead.v[i])->path);
}

/* ---- Reports ----------------------------------------------------------------------------------
 */

static int report_live(struct gc *g)
{
	for (size_t i = 0; i < g->graph.n; i++)
		if (g->graph.nodes[i].marked)
			vec_add(g->ret, arena_str(g->a, g->graph.nodes[i].path));
	return 0;
}

static int report_dead(struct gc *g)
{
	for (size_t i = 0; i < g->dead.n; i++) {
		struct refgraph_node *node = g->dead.v[i];

		g->bytes += node->nar_size;
		vec_add(g->ret, arena_str(g->a, node->path));
	}
	return 0;
}

static int act(struct gc *g)
{
	int r;

	switch (g->req->action) {
	case STORE_GC_LIVE:
		return report_live(g);
	case STORE_GC_DELETE_THESE:
		r = find_these(g);
		return r < 0 ? r : sweep(g);
	case STORE_GC_DEAD:
		r = find_dead(g, false);
		return r < 0 ? r : report_dead(g);
	case STORE_GC_DELETE:
		break;
	}
	r = find_dead(g, false);
	if (r == 0)
		r = find_rubbish(g);
	return r < 0 ? r : sweep(g);
}

/* Nobody can add a root, or begin to work, while this runs. */
static int collect(struct gc *g)
{
	struct roots_temp held = { NULL, 0 };
	auto_vec struct vec temp = VEC_INIT;
	auto_fd int lock = -1;
	int r = local_gc_lock(g->l, true, true, &lock, g->e);

	if (r == 0)
		r = roots_temp(g->l, g->a, &temp, &held, g->e);
	/* One state for all questions; what others register from now on has temporary roots. */
	if (r == 0)
		r = db_begin_read(g->db, g->e);
	if (r == 0)
		r = find_live(g, &temp);
	if (r == 0)
		r = act(g);
	db_end_read(g->db);
	roots_temp_done(&held);
	return r;
}

/* Also after a failure what was taken goes: it is not valid any more. */
static int empty_trash(struct gc *g, int r)
{
	struct err inner = ERR_INIT;
	int emptied = trash_empty(&g->trash, &inner);

	if (r == 0 && emptied < 0)
		r = err_set(g->e, emptied, "%s", inner.msg);
	g->bytes = g->trash.bytes;
	return r == 0 ? trash_verdict(&g->trash, g->e) : r;
}

static int collect_and_delete(struct gc *g)
{
	int r = guard_check(g->l, g->e);

	/* Of rows that are lost the items would be rubbish. Others need not wait for this. */
	if (r == 0)
		r = db_check(g->db, g->e);
	if (r < 0)
		return r;
	r = trash_open(&g->trash, g->l, g->req->stop, g->req->arg, g->e);
	if (r == 0) {
		r = collect(g);
		r = empty_trash(g, r);
	}
	trash_close(&g->trash);
	tell(g);
	return r;
}

int gc_run(struct local *l, struct arena *a, const struct gc_request *req, struct vec *ret_paths,
	   uint64_t *ret_bytes, struct err *e)
{
	struct gc g = { .l = l, .req = req, .e = e, .a = a, .ret = ret_paths };
	int r = local_begin(l, &g.db, e);

	if (r == 0)
		r = req->action >= STORE_GC_DELETE ? collect_and_delete(&g) : collect(&g);
	if (r == 0 && (ret_paths->err < 0 || arena_err(a) < 0))
		r = no_memory(&g);
	if (r == 0)
		vec_sort_str(ret_paths);
	refgraph_done(&g.graph);
	tab_done(&g.temp);
	vec_done(&g.dead);
	vec_done(&g.rubbish);
	if (r == 0)
		*ret_bytes = g.bytes;
	return r;
}
