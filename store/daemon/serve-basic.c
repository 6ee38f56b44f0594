/* SPDX-License-Identifier: GPL-3.0-or-later */
/* BuildDerivation: a derivation that is not in the store, from a client that has had its inputs
 * made, as Nix's clients use other machines. */
#include <errno.h>

#include "lib/wire.h"
#include "store/build/goal.h"
#include "store/daemon/request.h"

static void read_outputs(struct req *q, struct vec *ret)
{
	uint64_t n = stream_max(q->in, PROTO_LIMIT_LIST);
	for (uint64_t i = 0; i < n && !q->in->err; i++) {
		struct drv_output *o = ARENA_NEW(&q->a, struct drv_output);
		if (!o)
			return; /* request_ready() tells */
		o->id = request_text(q, PROTO_LIMIT_PATH);
		o->path = request_path(q);
		o->algo = request_text(q, PROTO_LIMIT_PATH);
		o->hash = request_text(q, PROTO_LIMIT_PATH);
		vec_add(ret, o);
	}
}

static void read_environment(struct req *q, struct vec *ret)
{
	uint64_t n = stream_max(q->in, PROTO_LIMIT_LIST);
	for (uint64_t i = 0; i < n && !q->in->err; i++) {
		struct drv_env *v = ARENA_NEW(&q->a, struct drv_env);
		if (!v)
			return; /* as above */
		v->name = stream_str(q->in, &q->a, PROTO_LIMIT_TEXT);
		v->value = stream_str(q->in, &q->a, PROTO_LIMIT_TEXT);
		vec_add(ret, v);
	}
}

/* What was read, in one piece: memory is asked for only when all of it has come. */
static int fill_basic(struct req *q, struct drv *d, const struct vec *outputs,
		      const struct vec *args, const struct vec *env)
{
	d->noutputs = outputs->n;
	d->nargs = args->n;
	d->nenv = env->n;
	d->outputs = arena_array(&q->a, d->noutputs, sizeof(*d->outputs));
	d->args = arena_array(&q->a, d->nargs, sizeof(*d->args));
	d->env = arena_array(&q->a, d->nenv, sizeof(*d->env));
	if (outputs->err || args->err || env->err || arena_err(&q->a))
		return err_set(&q->e, -ENOMEM, "out of memory");
	for (size_t i = 0; i < d->noutputs; i++)
		d->outputs[i] = *(struct drv_output *)outputs->v[i];
	for (size_t i = 0; i < d->nargs; i++)
		d->args[i] = slice_of(args->v[i]);
	for (size_t i = 0; i < d->nenv; i++)
		d->env[i] = *(struct drv_env *)env->v[i];
	return 0;
}

/* Inputs are sources alone: the client has had them made. */
static int read_basic(struct req *q, struct drv *d, struct vec *sources)
{
	auto_vec struct vec outputs = VEC_INIT, args = VEC_INIT, env = VEC_INIT;
	read_outputs(q, &outputs);
	stream_list(q->in, &q->a, sources);
	d->system = request_text(q, PROTO_LIMIT_PATH);
	d->builder = request_text(q, PROTO_LIMIT_PATH);
	stream_list(q->in, &q->a, &args);
	read_environment(q, &env);
	vec_sort_str(sources);
	vec_uniq_str(sources);
	d->sources = (const char **)sources->v;
	d->nsources = sources->n;
	return fill_basic(q, d, &outputs, &args, &env);
}

/* "STORE/HASH-NAME.drv" to "NAME". */
static char *drv_name_of(struct req *q, const char *path)
{
	struct slice base = slice_of(local_base(q->s->l, path));
	base.p += STORE_HASH_CHARS + 1;
	base.n -= STORE_HASH_CHARS + 1;
	if (slice_ends(base, ".drv"))
		base.n -= 4;
	return arena_slice(&q->a, base);
}

static int check_outputs(struct req *q, const char *path, const struct drv *d)
{
	auto_vec struct vec seen = VEC_INIT;
	if (!d->noutputs)
		return err_set(&q->e, -ERR_INVALID, "derivation `%s' has no outputs", path);
	int r = 0;
	for (size_t i = 0; !r && i < d->noutputs; i++) {
		r = local_check_path(q->s->l, d->outputs[i].path, &q->e);
		vec_add(&seen, (char *)(uintptr_t)d->outputs[i].path);
	}
	vec_sort_str(&seen);
	vec_uniq_str(&seen);
	if (!r && seen.n != d->noutputs)
		r = err_set(&q->e, -ERR_INVALID, "derivation `%s' has one output twice", path);
	return r;
}

/* What nobody has seen the inputs of can claim any path as its output: only the administrator is
 * believed, or a fixed output, whose path follows from its hash. */
static int check_basic(struct req *q, const char *path, struct drv *d)
{
	struct local *l = q->s->l;
	int r = request_check_path(q, path);
	if (!r)
		r = check_outputs(q, path, d);
	for (size_t i = 0; !r && i < d->nsources; i++)
		r = local_check_path(l, d->sources[i], &q->e);
	for (size_t i = 0; !r && i < d->nsources; i++)
		r = request_need_valid(q, d->sources[i]);
	if (r)
		return r;
	d->name = drv_name_of(q, path);
	if (!d->name)
		return err_set(&q->e, -ENOMEM, "out of memory");
	if (drv_is_fixed(d))
		return drv_check_outputs(l->store_dir, d, local_modulo, l, &q->e);
	if (!q->s->trusted)
		return err_set(&q->e, -EPERM,
			       "you are not privileged to build input-addressed derivations");
	return 0;
}

static enum proto_result result_of(int r, bool built)
{
	switch (r) {
	case 0:
		return built ? PROTO_RESULT_BUILT : PROTO_RESULT_VALID;
	case -ERR_BUILD:
	case -ERR_HASH:
		return PROTO_RESULT_FAILED;
	case -ERR_TIMEOUT:
		return PROTO_RESULT_TIMEOUT;
	case -ERR_DIFFERS:
		return PROTO_RESULT_DIFFERS;
	default:
		return PROTO_RESULT_MISC;
	}
}

static int op_build_derivation(struct req *q)
{
	struct drv d = { .name = NULL };
	auto_vec struct vec sources = VEC_INIT;
	char *path = request_path(q);
	int r = read_basic(q, &d, &sources);
	uint64_t mode = stream_max(q->in, PROTO_BUILD_CHECK);
	if (!r)
		r = check_basic(q, path, &d);
	if (!r && mode == PROTO_BUILD_REPAIR && !q->s->trusted)
		r = err_set(&q->e, -EPERM, "you are not allowed to repair paths");
	if (r)
		return r;
	bool built = false;
	r = goal_build_drv(q->s, path, &d, (enum proto_mode)mode, &built, &q->e);
	if (!r)
		r = local_settle_own(q->s->l, &q->e);
	wr_u64(&q->reply, result_of(r, built));
	wr_cstr(&q->reply, r ? q->e.msg : "");
	return q->s->client_gone ? r : 0;
}

const struct op ops_basic[] = {
	{ OP_BUILD_DERIVATION, OP_NIX, op_build_derivation },
	{ 0, 0, NULL },
};
