/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The settings of a connection: a few in a fixed order, which differs, and pairs of name and value.
 */
#include <errno.h>

#include "lib/size.h"
#include "lib/text.h"
#include "store/daemon/request.h"
#include "store/subst/subst.h"
#include "store/local/userdir.h"

#define PAIRS_MAX  1024
#define JOBS_MAX   1024
#define ROUNDS_MAX 100

/* The fixed part, as far as it counts here. */
struct options {
	bool keep_failed, keep_going, trace, fallback, substitutes, no_offload;
	uint64_t verbosity, build_verbosity;
	uint64_t max_jobs, cores, max_silent; /* UINT64_MAX: not told */
};

/* Of Nix's only those count that anybody may set; the others are its daemon's own affair. */
static const struct {
	const char *name;
	unsigned in; /* dialects that have it */
	uint64_t max;
	size_t place; /* in the session */
} numbers[] = {
	{ "build-max-jobs", OP_GUIX, JOBS_MAX, offsetof(struct session, max_jobs) },
	{ "build-cores", OP_GUIX, 1 << 20, offsetof(struct session, cores) },
	{ "build-timeout", OP_BOTH, UINT32_MAX, offsetof(struct session, timeout) },
	{ "build-max-silent-time", OP_BOTH, UINT32_MAX, offsetof(struct session, max_silent) },
	{ "timeout", OP_NIX, UINT32_MAX, offsetof(struct session, timeout) },
	{ "max-silent-time", OP_NIX, UINT32_MAX, offsetof(struct session, max_silent) },
};

/* What is told is how often to build again. */
static int set_rounds(struct req *q, const char *value)
{
	uint64_t n;
	if (text_u64(slice_of(value), ROUNDS_MAX - 1, &n))
		return err_set(&q->e, -ERR_INVALID,
			       "setting `build-repeat' must be a number below %d, not `%.40s'",
			       ROUNDS_MAX, value);
	q->s->rounds = n + 1;
	return 0;
}

/* What lives concerns everybody, so only those who may delete anything may say it. */
static void set_collection(struct session *s, const char *name, const char *value)
{
	bool yes = strcmp(value, "true") == 0 || strcmp(value, "1") == 0;
	bool no = strcmp(value, "false") == 0 || strcmp(value, "0") == 0;
	if (!s->trusted || (!yes && !no))
		return;
	if (strncmp(name, "gc-", 3) == 0) /* as Guix, and Nix long ago, call them */
		name += 3;
	if (strcmp(name, "keep-outputs") == 0)
		s->policy.keep_outputs = yes;
	else if (strcmp(name, "keep-derivations") == 0)
		s->policy.drop_derivations = no;
}

/* Anybody may name caches to Guix's daemon, whose keys decide; to Nix's only who is trusted. What
 * others say is passed over, as everybody's configuration says it. */
static int set_substitutes(struct req *q, const char *name, const char *value)
{
	struct session *s = q->s;
	bool guix = s->dialect == DIALECT_GUIX;
	if (strcmp(name, guix ? "substitute-urls" : "substituters") == 0 && (guix || s->trusted))
		return subst_set_urls(s, value, &q->e);
	if (!guix && strcmp(name, "trusted-public-keys") == 0 && s->trusted)
		return subst_set_keys(s, value, &q->e);
	return 0;
}

static int set_pair(struct req *q, const char *name, const char *value)
{
	struct session *s = q->s;
	for (size_t i = 0; i < ARRAY_LEN(numbers); i++) {
		uint64_t *place = (uint64_t *)((char *)s + numbers[i].place);
		if (!(numbers[i].in & (1U << s->dialect)) || strcmp(name, numbers[i].name) != 0)
			continue;
		if (text_u64(slice_of(value), numbers[i].max, place))
			return err_set(&q->e, -ERR_INVALID,
				       "setting `%s' must be a number, not `%.40s'", name, value);
	}
	if (s->dialect == DIALECT_GUIX && strcmp(name, "build-repeat") == 0)
		return set_rounds(q, value);
	if (s->dialect == DIALECT_GUIX && strcmp(name, "user-name") == 0 &&
	    s->client_uid == (uid_t)-1)
		userdir_make_named(s->l, value);
	set_collection(s, name, value);
	if (s->dialect == DIALECT_GUIX && strcmp(name, "multiplexed-build-output") == 0)
		s->multiplexed = strcmp(value, "true") == 0;
	if (s->dialect == DIALECT_GUIX && strcmp(name, PROTO_PAIR_PLAN) == 0)
		s->plan = strcmp(value, "1") == 0;
	if (s->dialect == DIALECT_GUIX && strcmp(name, PROTO_PAIR_BUSY) == 0)
		s->busy = strcmp(value, "1") == 0;
	return set_substitutes(q, name, value); /* the rest concerns what we do not have */
}

static int set_pairs(struct req *q)
{
	auto_vec struct vec names = VEC_INIT, values = VEC_INIT;
	uint64_t n = stream_max(q->in, PAIRS_MAX);
	for (uint64_t i = 0; i < n && !q->in->err; i++) {
		vec_add(&names, request_text(q, PROTO_LIMIT_STRING));
		vec_add(&values, request_text(q, PROTO_LIMIT_STRING));
	}
	int r = request_ready(q);
	for (size_t i = 0; !r && i < names.n && i < values.n; i++)
		r = set_pair(q, names.v[i], values.v[i]);
	return r;
}

/* The pairs follow the fixed part; nothing of that counts when one of them is wrong. */
static int set_all(struct req *q, const struct options *o)
{
	struct session *s = q->s;
	int r = set_pairs(q);
	if (r)
		return r;
	s->keep_failed = o->keep_failed && s->client_uid != (uid_t)-1; /* whose would it be? */
	s->keep_going = o->keep_going;
	s->subst.fallback = o->fallback;
	s->subst.use = o->substitutes;
	s->trace = o->trace;
	s->no_offload = o->no_offload;
	s->verbosity = o->verbosity;
	s->build_verbosity = o->build_verbosity;
	if (o->max_jobs != UINT64_MAX)
		s->max_jobs = MIN_OF(o->max_jobs, (uint64_t)JOBS_MAX);
	if (o->cores != UINT64_MAX)
		s->cores = o->cores;
	if (o->max_silent != UINT64_MAX)
		s->max_silent = o->max_silent;
	if (!s->max_jobs) /* no builds here: there is no other place for them */
		s->max_jobs = 1;
	return 0;
}

static int op_set_options(struct req *q)
{
	struct stream *in = q->in;
	struct options o = { .max_jobs = UINT64_MAX,
			     .cores = UINT64_MAX,
			     .max_silent = UINT64_MAX };
	o.keep_failed = stream_u64(in) != 0;
	o.keep_going = stream_u64(in) != 0;
	o.fallback = stream_u64(in) != 0;
	o.verbosity = stream_max(in, UINT32_MAX);
	o.no_offload = stream_u64(in) == 0;
	o.build_verbosity = stream_max(in, UINT32_MAX);
	(void)stream_u64(in); /* log type */
	o.trace = stream_u64(in) != 0;
	o.substitutes = stream_u64(in) != 0;
	return set_all(q, &o);
}

static int op_set_options_nix(struct req *q)
{
	struct stream *in = q->in;
	struct options o = { .trace = false }; /* of a form that no client reads any more */
	o.keep_failed = stream_u64(in) != 0;
	o.keep_going = stream_u64(in) != 0;
	o.fallback = stream_u64(in) != 0;
	o.verbosity = stream_max(in, UINT32_MAX);
	o.max_jobs = stream_max(in, UINT32_MAX);
	o.max_silent = stream_u64(in);
	if (!o.max_silent || o.max_silent > UINT32_MAX)
		o.max_silent = UINT64_MAX;  /* its 0 means that nobody said anything */
	o.no_offload = stream_u64(in) == 0; /* its build hook */
	o.build_verbosity = stream_max(in, UINT32_MAX);
	(void)stream_u64(in); /* log type */
	(void)stream_u64(in); /* trace */
	o.cores = stream_max(in, UINT32_MAX);
	o.substitutes = stream_u64(in) != 0;
	return set_all(q, &o);
}

const struct op ops_settings[] = {
	{ OP_SET_OPTIONS, OP_GUIX, op_set_options },
	{ OP_SET_OPTIONS, OP_NIX, op_set_options_nix },
	{ 0, 0, NULL },
};
