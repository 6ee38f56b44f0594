/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "store/local/outputs.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "lib/fd.h"
#include "lib/size.h"
#include "store/build/attrs.h"
#include "store/format/ca.h"
#include "store/format/canon.h"
#include "store/build/copytree.h"
#include "store/local/scan.h"
#include "store/testing.h"

#define KEPT	   "-check"
#define KEPT_LATER "-check-2"

/* One output on its way into the store. */
struct output {
	const struct drv_output *o; /* borrowed from the derivation */
	const char *base;
	int dirfd;	/* borrowed: where it is now … */
	char name[256]; /* … and under which name */
	struct store_info info;
	struct vec refs;
};

struct outputs {
	struct build *b;
	struct arena arena;
	struct output *v; /* in arena: those that are missing */
	size_t n;
	struct canon canon;
	struct scan *scan; /* owned */
};

static int list_missing(struct outputs *o, struct err *e)
{
	const struct drv *d = o->b->drv;
	struct local *l = o->b->s->l;
	o->v = arena_array(&o->arena, d->noutputs, sizeof(*o->v));
	if (!o->v)
		return err_set(e, -ENOMEM, "out of memory");
	for (size_t i = 0; i < d->noutputs; i++) {
		bool valid = false;
		int r = local_is_valid(l, d->outputs[i].path, &valid, e);
		if (r)
			return r;
		if (valid && !o->b->check)
			continue;
		struct output *out = &o->v[o->n++];
		*out = (struct output){ .o = &d->outputs[i],
					.base = local_base(l, d->outputs[i].path),
					.dirfd = o->b->out,
					.refs = VEC_INIT };
		snprintf(out->name, sizeof(out->name), "%s", out->base);
	}
	return 0;
}

static int check_made(struct outputs *o, struct output *out, struct err *e)
{
	struct stat st;
	if (fstatat(out->dirfd, out->name, &st, AT_SYMLINK_NOFOLLOW) < 0) {
		if (errno == ENOENT)
			return err_set(e, -ERR_BUILD,
				       "builder for `%s' failed to produce output path `%s'",
				       o->b->drv_path, out->o->path);
		return err_sys(e, "cannot stat the output %s", out->o->path);
	}
	bool open = !S_ISLNK(st.st_mode) && (st.st_mode & 022);
	if (open || st.st_uid != o->b->id.uid)
		return err_set(e, -ERR_BUILD,
			       "suspicious ownership or permission on `%s'; rejecting this build "
			       "output",
			       out->o->path);
	return 0;
}

/* ---- Fixed outputs --------------------------------------------------------------------------- */

static int hash_flat(struct output *out, enum digest_algo algo, struct digest *ret, struct err *e)
{
	auto_fd int fd = openat(out->dirfd, out->name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	struct stat st;
	if (fd < 0 || fstat(fd, &st) < 0)
		return err_set(e, -ERR_BUILD, "output path `%s' should be a regular file",
			       out->o->path);
	if (!S_ISREG(st.st_mode) || (st.st_mode & 0100))
		return err_set(e, -ERR_BUILD,
			       "output path `%s' should be a non-executable regular file",
			       out->o->path);
	struct hasher *h;
	int r = hasher_new(algo, &h);
	if (r)
		return err_num(e, r, "cannot hash %s", out->o->path);
	char buf[65536];
	ssize_t n;
	while ((n = fd_read_some(fd, buf, sizeof(buf))) > 0)
		hasher_add(h, buf, (size_t)n);
	*ret = hasher_end(h);
	return n < 0 ? err_num(e, (int)n, "cannot read %s", out->o->path) : 0;
}

static int check_hash(struct outputs *o, struct output *out, struct err *e)
{
	struct slice name = slice_of(out->o->algo);
	bool recursive = slice_starts(name, "r:");
	if (recursive) {
		name.p += 2;
		name.n -= 2;
	}
	struct digest want, got;
	enum digest_algo algo;
	if (digest_algo_parse(name, &algo) || digest_parse(algo, slice_of(out->o->hash), &want))
		return err_set(e, -ERR_BUILD, "the hash of output `%s' is malformed", out->o->path);
	uint64_t size;
	int r = recursive ? nar_hash(out->dirfd, out->name, algo, NULL, NULL, &got, &size, e)
			  : hash_flat(out, algo, &got, e);
	if (r)
		return r;
	if (digest_eq(&want, &got)) {
		out->info.ca = ca_fixed(&o->arena, recursive, &want);
		return out->info.ca ? 0 : err_set(e, -ENOMEM, "out of memory");
	}
	char a[DIGEST_TEXT_MAX], b[DIGEST_TEXT_MAX];
	void (*format)(const struct digest *, char *) =
		algo == DIGEST_MD5 ? digest_hex : digest_base32; /* as Guix's clients expect */
	format(&want, a);
	format(&got, b);
	session_trace(o->b->s, "hash-mismatch %s %s %s %s", out->o->path, out->o->algo, a, b);
	digest_hex(&want, a);
	digest_hex(&got, b);
	return err_set(e, -ERR_HASH, "hash mismatch for store item '%s': expected %s %s, got %s",
		       out->o->path, digest_name(algo), a, b);
}

/* A fixed output becomes a fresh copy first: should a descriptor of the builder's inode have left
 * the sandbox, it leads to nothing that is registered. */
static int take_fixed(struct outputs *o, struct output *out, struct err *e)
{
	int tmp;
	struct local *l = o->b->s->l;
	int r = local_tmp_dir(l, &tmp, e);
	if (r)
		return r;
	if (testing_without(l, "copy"))
		return check_hash(o, out, e);
	char name[32];
	local_tmp_name(l, name);
	r = copytree(out->dirfd, out->name, tmp, name, e);
	if (r == -ERR_INVALID)
		r = err_set(e, -ERR_BUILD, "output path `%s' holds a special file", out->o->path);
	if (r == -ERR_LIMIT)
		r = err_wrap(e, -ERR_BUILD, "output `%s'", out->o->path);
	if (r)
		return r;
	out->dirfd = tmp;
	snprintf(out->name, sizeof(out->name), "%s", name);
	return check_hash(o, out, e);
}

/* ---- References ------------------------------------------------------------------------------ */

static struct output *find_output(struct outputs *o, const char *path)
{
	for (size_t i = 0; i < o->n; i++)
		if (strcmp(o->v[i].o->path, path) == 0)
			return &o->v[i];
	return NULL;
}

/* The paths that a white-space list of store paths and output ids names, sorted. */
static int parse_specs(struct outputs *o, struct slice list, struct vec *ret, struct err *e)
{
	const char *store = o->b->s->l->store_dir;
	for (size_t i = 0; i < list.n;) {
		size_t start = i;
		while (i < list.n && !strchr(" \t\n\r", list.p[i]))
			i++;
		if (i > start) {
			char *w = arena_strn(&o->arena, list.p + start, i - start);
			if (!w)
				return err_set(e, -ENOMEM, "out of memory");
			const struct drv_output *d = drv_output(o->b->drv, w);
			if (d)
				vec_add(ret, (char *)(uintptr_t)d->path);
			else if (store_path_check(store, slice_of(w), NULL) == 0)
				vec_add(ret, w);
			else
				return err_set(e, -ERR_BUILD,
					       "derivation contains an invalid reference specifier "
					       "`%s'",
					       w);
		}
		i++;
	}
	vec_sort_str(ret);
	return ret->err ? err_set(e, ret->err, "out of memory") : 0;
}

/* Everything reachable from out: through the new outputs, and the store for the rest. */
static int requisites(struct outputs *o, const struct output *out, struct vec *ret, struct err *e)
{
	auto_vec struct vec known = VEC_INIT, queue = VEC_INIT;
	for (size_t i = 0; i < out->refs.n; i++)
		vec_add(&queue, out->refs.v[i]);
	for (size_t i = 0; i < queue.n; i++) {
		const char *path = queue.v[i];
		struct output *own = find_output(o, path);
		bool seen = false;
		for (size_t k = 0; k < i && !seen; k++)
			seen = strcmp(queue.v[k], path) == 0;
		if (seen)
			continue;
		if (!own) {
			vec_add(&known, queue.v[i]);
			continue;
		}
		if (own != out)
			vec_add(ret, queue.v[i]);
		for (size_t k = 0; k < own->refs.n; k++)
			vec_add(&queue, own->refs.v[k]);
	}
	int r = local_closure(o->b->s->l, &o->arena, (const char *const *)known.v, known.n, ret, e);
	vec_sort_str(ret);
	vec_uniq_str(ret);
	return r;
}

static int check_list(struct outputs *o, struct output *out, enum drv_key which, bool allowed,
		      bool closure, struct err *e)
{
	struct local *l = o->b->s->l;
	struct attr list;
	int r = attrs_get_check(l, &o->arena, o->b->drv, out->o->id, which, &list, e);
	if (r || !list.found)
		return r;
	auto_vec struct vec specs = VEC_INIT, all = VEC_INIT;
	r = parse_specs(o, list.words, &specs, e);
	if (!r && closure)
		r = requisites(o, out, &all, e);
	if (closure && attrs_structured(l, o->b->drv)) /* the variables do not mean itself */
		vec_add(&all, (char *)(uintptr_t)out->o->path);
	if (r)
		return r;
	const struct vec *used = closure ? &all : &out->refs;
	for (size_t i = 0; i < used->n; i++)
		if (vec_has_str(&specs, used->v[i]) != allowed)
			return err_set(e, -ERR_BUILD,
				       "output `%s' is not allowed to refer to path `%s' (%s)",
				       out->o->path, (char *)used->v[i],
				       dialect_key(l->dialect, which));
	return all.err ? err_set(e, all.err, "out of memory") : 0;
}

static int closure_size(struct outputs *o, const struct output *out, uint64_t *ret, struct err *e)
{
	auto_vec struct vec all = VEC_INIT;
	int r = requisites(o, out, &all, e);
	*ret = out->info.nar_size;
	for (size_t i = 0; !r && i < all.n; i++) {
		const struct output *own = find_output(o, all.v[i]);
		struct store_info *info;
		r = own ? 0 : local_info(o->b->s->l, &o->arena, all.v[i], &info, e);
		if (!r)
			*ret += own ? own->info.nar_size : info->nar_size;
	}
	return r;
}

static int check_sizes(struct outputs *o, struct output *out, struct err *e)
{
	struct attrs_limits max;
	uint64_t size = 0;
	int r = attrs_get_limits(o->b->s->l, &o->arena, o->b->drv, out->o->id, &max, e);
	if (!r && out->info.nar_size > max.size)
		r = err_set(e, -ERR_BUILD, "output `%s' has %llu bytes; its maxSize is %llu",
			    out->o->path, (unsigned long long)out->info.nar_size,
			    (unsigned long long)max.size);
	if (!r && max.closure != UINT64_MAX)
		r = closure_size(o, out, &size, e);
	if (!r && size > max.closure)
		r = err_set(e, -ERR_BUILD,
			    "output `%s' has with all that it needs %llu bytes; its "
			    "maxClosureSize is %llu",
			    out->o->path, (unsigned long long)size,
			    (unsigned long long)max.closure);
	return r;
}

static int check_refs(struct outputs *o, struct output *out, struct err *e)
{
	int r = check_list(o, out, KEY_ALLOWED_REFERENCES, true, false, e);
	if (!r)
		r = check_list(o, out, KEY_DISALLOWED_REFERENCES, false, false, e);
	if (!r)
		r = check_list(o, out, KEY_ALLOWED_REQUISITES, true, true, e);
	if (!r)
		r = check_list(o, out, KEY_DISALLOWED_REQUISITES, false, true, e);
	if (!r)
		r = check_sizes(o, out, e);
	return r;
}

static int make_scan(struct outputs *o, struct err *e)
{
	const struct drv *d = o->b->drv;
	const char **v = arena_array(&o->arena, o->b->inputs->n + d->noutputs, sizeof(*v));
	if (!v)
		return err_set(e, -ENOMEM, "out of memory");
	size_t n = 0;
	for (size_t i = 0; i < o->b->inputs->n; i++)
		v[n++] = o->b->inputs->v[i];
	for (size_t i = 0; i < d->noutputs; i++)
		v[n++] = d->outputs[i].path;
	return scan_new(o->b->s->l->store_dir, v, n, &o->scan, e);
}

static int examine(struct outputs *o, struct output *out, struct err *e)
{
	/* Copies are ours already; what the builder made must be the builder's, throughout. */
	o->canon.from = out->o->algo[0] ? (uid_t)-1 : o->b->id.uid;
	int r = canon_tree(&o->canon, out->dirfd, out->name, e);
	if (r) {
		bool theirs = r == -ERR_INVALID || r == -ERR_LIMIT;
		return err_wrap(e, theirs ? -ERR_BUILD : r, "output `%s'", out->o->path);
	}
	scan_reset(o->scan);
	r = scan_tree(o->scan, out->dirfd, out->name, &out->info.nar_hash, &out->info.nar_size, e);
	if (r)
		return r;
	scan_found(o->scan, &out->refs);
	if (out->refs.err)
		return err_set(e, out->refs.err, "out of memory");
	out->info.path = out->o->path;
	out->info.deriver = o->b->drv_path;
	out->info.refs = (const char **)out->refs.v;
	out->info.nrefs = out->refs.n;
	out->info.ultimate = true;
	return 0;
}

/* ---- Ends ------------------------------------------------------------------------------------ */

/* Move a result beside the place of the valid one, for a person to compare. */
static void keep_result(struct outputs *o, struct output *out, const char *suffix, struct err *e)
{
	char to[300];
	int store = o->b->s->l->store_fd;
	snprintf(to, sizeof(to), "%s%s", out->base, suffix);
	(void)file_delete_tree(store, to, NULL, NULL);
	struct stat st;
	if (fstatat(out->dirfd, out->name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(st.st_mode))
		(void)fchmodat(out->dirfd, out->name, 0755,
			       AT_SYMLINK_NOFOLLOW); /* else it cannot be moved */
	if (renameat(out->dirfd, out->name, store, to) == 0)
		(void)err_hint(e, -ERR_DIFFERS, "kept as %s/%s", o->b->s->l->store_phys, to);
}

static int compare(struct outputs *o, struct err *e)
{
	for (size_t i = 0; i < o->n; i++) {
		struct output *out = &o->v[i];
		struct store_info *old;
		int r = local_info(o->b->s->l, &o->arena, out->o->path, &old, e);
		if (r)
			return r;
		if (digest_eq(&old->nar_hash, &out->info.nar_hash))
			continue;
		err_set(e, -ERR_DIFFERS,
			"derivation `%s' may not be deterministic: output `%s' differs",
			o->b->drv_path, out->o->path);
		if (o->b->s->keep_failed)
			keep_result(o, out, KEPT, e);
		return -ERR_DIFFERS;
	}
	return 0;
}

/* One output of a round and of the one before, of which that is kept which KEPT names. */
static int compare_round(struct outputs *o, struct output *out, struct digest *before,
			 struct err *e)
{
	struct build *b = o->b;
	bool differs = b->round > 1 && !digest_eq(before, &out->info.nar_hash);
	if (differs)
		err_set(e, -ERR_DIFFERS, "output `%s' of `%s' differs from previous round",
			out->o->path, b->drv_path);
	if (b->s->keep_failed && (differs || b->round < b->rounds))
		keep_result(o, out, differs ? KEPT_LATER : KEPT, differs ? e : NULL);
	*before = out->info.nar_hash;
	return differs ? -ERR_DIFFERS : 0;
}

static int compare_rounds(struct outputs *o, struct err *e)
{
	struct build *b = o->b;
	int r = 0;
	if (!b->before)
		b->before = calloc(b->drv->noutputs, sizeof(*b->before));
	if (!b->before)
		return err_set(e, -ENOMEM, "out of memory");
	for (size_t i = 0; !r && i < o->n; i++)
		r = compare_round(o, &o->v[i], &b->before[o->v[i].o - b->drv->outputs], e);
	for (size_t i = 0; !r && b->s->keep_failed && b->round == b->rounds && i < o->n; i++) {
		char name[300];
		snprintf(name, sizeof(name), "%s" KEPT, o->v[i].base);
		(void)file_delete_tree(b->s->l->store_fd, name, NULL, NULL); /* else rubbish */
	}
	return r;
}

/* Put what has the right hash in place of what has not; what was there goes with the build. */
static int repair(struct outputs *o, struct err *e)
{
	struct local *l = o->b->s->l;
	int r = compare(o, e);
	for (size_t i = 0; !r && i < o->n; i++) {
		struct output *out = &o->v[i];
		bool good = false;
		r = local_is_good(l, out->o->path, &good, e);
		if (!r && !good)
			r = local_replace(l, out->dirfd, out->name, out->o->path, e);
	}
	return r;
}

static int install(struct outputs *o, struct err *e)
{
	struct local *l = o->b->s->l;
	const struct store_info **infos = arena_array(&o->arena, o->n, sizeof(*infos));
	if (!infos)
		return err_set(e, -ENOMEM, "out of memory");
	size_t n = 0;
	int r = 0;
	for (; !r && n < o->n; n++) {
		struct output *out = &o->v[n];
		r = local_move_in(l, out->dirfd, out->name, out->o->path, e);
		if (!r)
			r = local_deduplicate(l, out->o->path, NULL, e);
		infos[n] = &out->info;
	}
	if (!r)
		r = local_register(l, infos, o->n, e);
	/* We hold the locks: nobody else can have made them valid. */
	for (size_t i = 0; r && i < n; i++)
		(void)file_delete_tree(l->store_fd, o->v[i].base, NULL, NULL);
	return r;
}

static int take_all(struct outputs *o, struct err *e)
{
	int r = list_missing(o, e);
	if (!r)
		r = make_scan(o, e);
	for (size_t i = 0; !r && i < o->n; i++) {
		struct output *out = &o->v[i];
		r = check_made(o, out, e);
		if (!r && out->o->algo[0])
			r = take_fixed(o, out, e);
		if (!r)
			r = examine(o, out, e);
	}
	if (!r && o->b->repair)
		return repair(o, e);
	if (!r && o->b->check)
		return compare(o, e);
	for (size_t i = 0; !r && i < o->n; i++)
		r = check_refs(o, &o->v[i], e);
	if (!r && o->b->rounds > 1)
		r = compare_rounds(o, e);
	return r || o->b->round < o->b->rounds ? r : install(o, e);
}

int outputs_take(struct build *b, struct err *e)
{
	struct outputs o = { .b = b, .arena = ARENA_INIT, .canon = CANON_INIT };
	o.canon.uid = geteuid();
	o.canon.gid = getegid();
	int r = take_all(&o, e);
	for (size_t i = 0; i < o.n; i++) {
		vec_done(&o.v[i].refs);
		if (o.v[i].dirfd != b->out) /* the copy, unless it was moved in */
			(void)file_delete_tree(o.v[i].dirfd, o.v[i].name, NULL, NULL);
	}
	scan_free(o.scan);
	canon_done(&o.canon);
	arena_done(&o.arena);
	return r;
}
