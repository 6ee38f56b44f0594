/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "system/graph.h"

#include <errno.h>
#include <limits.h>

#include "lib/size.h"
#include "lib/text.h"
#include "lib/vec.h"
#include "lib/wire.h"

/* While one node is worked on. */
struct work {
	struct graph *g;
	struct node *n;
	struct vec deps;   /* struct node */
	struct tab inputs; /* id of a derivation -> struct input */
	struct err *err;
	graph_hash_fn *hash;
	void *arg;
};

struct input {
	struct node *node;
	struct vec outputs;
};

static int broken(struct err *e, const char *what)
{
	return err_set(e, -ERR_PROTO, "evaluation: malformed result: %s", what);
}

/* ---- Placeholders -----------------------------------------------------------------------------
 */

static int note_dep(struct work *w, struct node *dep, const char *output)
{
	bool new = false;
	void **slot = tab_put(&w->inputs, dep->id, &new);
	struct input *in;

	if (!slot)
		return err_set(w->err, -ENOMEM, "evaluation: out of memory");
	if (new) {
		*slot = ARENA_NEW(&w->g->arena, struct input);
		if (!*slot)
			return err_set(w->err, -ENOMEM, "evaluation: out of memory");
		vec_add(&w->deps, dep);
	}
	in = *slot;
	in->node = dep;
	if (output)
		vec_add(&in->outputs, (void *)output);
	return 0;
}

/* The node and output that the text between \1 and \2 names. */
static int find_ref(struct graph *g, struct slice ref, struct node **ret,
		    const struct drv_output **ret_output, struct err *e)
{
	struct node *n;
	char *id;

	if (ref.n < NODE_ID_LEN)
		return broken(e, "bad placeholder");
	n = tab_find(&g->by_id, (struct slice){ ref.p, NODE_ID_LEN });
	if (!n)
		return broken(e, "placeholder without node");
	*ret_output = NULL;
	if (n->kind == NODE_DRV) {
		if (ref.n <= NODE_ID_LEN + 1 || ref.p[NODE_ID_LEN] != ':')
			return broken(e, "placeholder without output");
		id = arena_strn(&g->arena, ref.p + NODE_ID_LEN + 1, ref.n - NODE_ID_LEN - 1);
		*ret_output = id ? drv_output(n->drv, id) : NULL;
		if (!*ret_output)
			return broken(e, "placeholder names an output that does not exist");
	} else if (ref.n != NODE_ID_LEN) {
		return broken(e, "placeholder of a source names an output");
	}
	*ret = n;
	return 0;
}

/* text with every placeholder replaced by a store path, in the arena. w may be NULL: dependencies
 * are not noted. */
static int expand(struct graph *g, struct work *w, struct slice text, struct slice *ret,
		  struct err *e)
{
	auto_str struct str out = STR_INIT;
	const char *end = text.p + text.n, *p = text.p;

	if (text.n == 0 || !memchr(p, 1, text.n)) {
		*ret = text;
		return 0;
	}
	while (p < end) {
		const char *mark = memchr(p, 1, (size_t)(end - p)), *stop;
		const struct drv_output *o;
		struct node *n;
		int r;

		str_addn(&out, p, (size_t)((mark ? mark : end) - p));
		if (!mark)
			break;
		stop = memchr(mark, 2, (size_t)(end - mark));
		if (!stop)
			return broken(e, "byte 1 outside of a placeholder");
		r = find_ref(g, (struct slice){ mark + 1, (size_t)(stop - mark - 1) }, &n, &o, e);
		if (r == 0 && w)
			r = note_dep(w, n, o ? o->id : NULL);
		if (r < 0)
			return r;
		str_add(&out, o ? o->path : n->store);
		p = stop + 1;
	}
	ret->n = out.len;
	ret->p = arena_strn(&g->arena, out.buf, out.len);
	return str_err(&out) || !ret->p ? err_set(e, -ENOMEM, "evaluation: out of memory") : 0;
}

/* ---- Parsing ----------------------------------------------------------------------------------
 */

static int get_list(struct graph *g, struct rd *rd, struct strings *ret, struct err *e)
{
	ret->n = rd_max(rd, LIMIT_EVAL_LIST);
	ret->v = arena_array(&g->arena, ret->n, sizeof(*ret->v));
	if (!ret->v)
		return err_set(e, -ENOMEM, "evaluation: out of memory");
	for (size_t i = 0; i < ret->n; i++)
		ret->v[i] = rd_str(rd, LIMIT_EVAL_STRING);
	return rd->err ? broken(e, "list") : 0;
}

static int get_hash(struct slice text, const char *what, const struct node *n, struct digest *ret,
		    struct err *e)
{
	if (digest_parse(DIGEST_SHA256, text, ret) < 0)
		return err_set(e, -ERR_EVAL,
			       "fixed_source '%.*s': %s: '%.*s' is not a SHA-256 hash",
			       (int)n->name.n, n->name.p, what, (int)MIN_OF(text.n, 100u), text.p);
	return 0;
}

static int get_root(struct slice text, uint64_t *ret, struct err *e)
{
	return text_u64(text, LIMIT_EVAL_ROOTS - 1, ret) < 0 ? broken(e, "directory") : 0;
}

/* ---- Sources and texts ------------------------------------------------------------------------
 */

static int load_source(struct work *w, struct rd *rd)
{
	struct node *n = w->n;
	struct digest hash;
	int r = 0;

	n->name = rd_str(rd, STORE_NAME_MAX);
	if (n->kind == NODE_SOURCE) {
		r = get_root(rd_str(rd, 8), &n->root, w->err);
		n->path = rd_str(rd, PATH_MAX - 1);
	}
	if (r == 0)
		r = get_list(w->g, rd, &n->list, w->err);
	if (r == 0)
		r = w->hash(w->arg, n, &hash, w->err);
	if (r < 0)
		return r;
	n->store = store_path_fixed(&w->g->arena, w->g->store_dir, n->name, true, &hash, w->err);
	return n->store ? 0 : w->err->code;
}

static int load_text(struct work *w, struct rd *rd)
{
	struct graph *g = w->g;
	struct node *n = w->n;
	struct slice raw;
	int r;

	n->name = rd_str(rd, STORE_NAME_MAX);
	raw = rd_str(rd, LIMIT_EVAL_STRING);
	if (rd->err)
		return broken(w->err, "text");
	r = expand(g, w, raw, &n->contents, w->err);
	if (r < 0)
		return r;
	n->refs = arena_array(&g->arena, w->deps.n, sizeof(*n->refs));
	if (!n->refs)
		return err_set(w->err, -ENOMEM, "evaluation: out of memory");
	for (size_t i = 0; i < w->deps.n; i++) {
		const struct node *dep = w->deps.v[i];
		if (dep->kind == NODE_DRV)
			return broken(w->err, "a text mentions a derivation");
		n->refs[n->nrefs++] = dep->store;
	}
	n->store = store_path_text(&g->arena, g->store_dir, n->name, n->contents, n->refs, n->nrefs,
				   w->err);
	return n->store ? 0 : w->err->code;
}

static int load_fixed(struct work *w, struct rd *rd)
{
	struct node *n = w->n;
	struct slice nar, root, sha, executable;
	int r;

	n->name = rd_str(rd, STORE_NAME_MAX);
	nar = rd_str(rd, 256);
	root = rd_str(rd, 8);
	n->path = rd_str(rd, PATH_MAX - 1);
	n->as = rd_str(rd, 255);
	executable = rd_str(rd, 1);
	r = get_list(w->g, rd, &n->list, w->err);
	sha = rd_str(rd, 256);
	n->member = rd_str(rd, PATH_MAX - 1);
	n->executable = executable.n > 0;
	if (r == 0)
		r = get_root(root, &n->root, w->err);
	if (r == 0)
		r = get_hash(nar, "nar_sha256", n, &n->nar, w->err);
	n->has_sha256 = sha.n > 0;
	if (r == 0 && sha.n)
		r = get_hash(sha, "sha256", n, &n->sha256, w->err);
	if (r < 0)
		return r;
	n->store = store_path_fixed(&w->g->arena, w->g->store_dir, n->name, true, &n->nar, w->err);
	return n->store ? 0 : w->err->code;
}

/* ---- Derivations ------------------------------------------------------------------------------
 */

static int input_modulo(void *arg, const char *path, struct digest *ret, struct err *e)
{
	const struct work *w = arg;

	for (size_t i = 0; i < w->deps.n; i++) {
		const struct node *n = w->deps.v[i];
		if (n->kind == NODE_DRV && strcmp(n->store, path) == 0) {
			*ret = n->modulo;
			return 0;
		}
	}
	return broken(e, "input without node");
}

static const char *expand_str(struct work *w, struct slice text, int *r)
{
	struct slice out = { "", 0 };
	const char *s;

	if (*r == 0)
		*r = expand(w->g, w, text, &out, w->err);
	if (*r == 0 && memchr(out.p ? out.p : "", 0, out.n))
		*r = broken(w->err, "NUL byte");
	s = arena_slice(&w->g->arena, out);
	if (*r == 0 && !s)
		*r = err_set(w->err, -ENOMEM, "evaluation: out of memory");
	return s;
}

static int set_outputs(struct work *w, struct drv *d, const struct strings *ids,
		       struct slice algo_name, struct slice hash, struct slice mode)
{
	struct arena *a = &w->g->arena;
	enum digest_algo algo;
	struct digest digest;
	char hex[DIGEST_TEXT_MAX];

	d->outputs = arena_array(a, ids->n, sizeof(*d->outputs));
	d->noutputs = ids->n;
	for (size_t i = 0; i < ids->n && d->outputs; i++)
		d->outputs[i] = (struct drv_output){ arena_slice(a, ids->v[i]), "", "", "" };
	if (!d->outputs || ids->n == 0)
		return broken(w->err, "outputs");
	if (hash.n == 0)
		return 0;
	if (ids->n != 1 || !slice_is(ids->v[0], "out"))
		return broken(w->err, "outputs of a fixed-output derivation");
	if (digest_algo_parse(algo_name, &algo) < 0 || digest_parse(algo, hash, &digest) < 0)
		return err_set(w->err, -ERR_EVAL,
			       "derivation '%s': outputHash '%.*s' is not a hash of kind '%.*s'",
			       d->name, (int)MIN_OF(hash.n, 150u), hash.p,
			       (int)MIN_OF(algo_name.n, 20u), algo_name.p);
	digest_hex(&digest, hex);
	d->outputs[0].algo =
		arena_fmt(a, "%s%s", slice_is(mode, "recursive") ? "r:" : "", digest_name(algo));
	d->outputs[0].hash = arena_str(a, hex);
	return 0;
}

static int set_args(struct work *w, struct drv *d, const struct strings *args)
{
	int r = 0;

	d->args = arena_array(&w->g->arena, args->n, sizeof(*d->args));
	d->nargs = args->n;
	for (size_t i = 0; i < args->n && r == 0 && d->args; i++)
		r = expand(w->g, w, args->v[i], &d->args[i], w->err);
	return r;
}

static int set_env(struct work *w, struct drv *d, const struct strings *env)
{
	int r = 0;

	if (env->n % 2)
		return broken(w->err, "environment");
	d->nenv = env->n / 2;
	d->env = arena_array(&w->g->arena, d->nenv, sizeof(*d->env));
	for (size_t i = 0; i < d->nenv && r == 0 && d->env; i++) {
		d->env[i].name = env->v[2 * i];
		r = expand(w->g, w, env->v[2 * i + 1], &d->env[i].value, w->err);
	}
	return r;
}

/* What was mentioned becomes the inputs. */
static int set_inputs(struct work *w, struct drv *d)
{
	struct arena *a = &w->g->arena;

	d->inputs = arena_array(a, w->deps.n, sizeof(*d->inputs));
	d->sources = arena_array(a, w->deps.n, sizeof(*d->sources));
	if (!d->inputs || !d->sources)
		return err_set(w->err, -ENOMEM, "evaluation: out of memory");
	for (size_t i = 0; i < w->deps.n; i++) {
		const struct node *dep = w->deps.v[i];
		struct input *in = tab_find(&w->inputs, dep->id);
		if (dep->kind != NODE_DRV) {
			d->sources[d->nsources++] = dep->store;
			continue;
		}
		vec_sort_str(&in->outputs);
		vec_uniq_str(&in->outputs);
		d->inputs[d->ninputs++] = (struct drv_input){
			dep->store,
			arena_dup(a, in->outputs.v, in->outputs.n * sizeof(char *)),
			in->outputs.n,
		};
	}
	return 0;
}

static int load_drv(struct work *w, struct rd *rd)
{
	struct arena *a = &w->g->arena;
	struct drv *d = ARENA_NEW(a, struct drv);
	struct slice platform, builder, algo, hash, mode, more;
	struct strings outputs, args, env, inputs;
	int r = 0;

	if (!d)
		return err_set(w->err, -ENOMEM, "evaluation: out of memory");
	w->n->name = rd_str(rd, STORE_NAME_MAX);
	platform = rd_str(rd, 256);
	builder = rd_str(rd, LIMIT_EVAL_STRING);
	algo = rd_str(rd, 32);
	hash = rd_str(rd, 256);
	mode = rd_str(rd, 32);
	r = get_list(w->g, rd, &outputs, w->err);
	if (r == 0)
		r = get_list(w->g, rd, &args, w->err);
	if (r == 0)
		r = get_list(w->g, rd, &env, w->err);
	if (r == 0)
		r = get_list(w->g, rd, &inputs, w->err);
	if (r < 0)
		return r;
	d->name = arena_slice(a, w->n->name);
	d->system = arena_slice(a, platform);
	d->builder = expand_str(w, builder, &r);
	if (r == 0)
		r = set_outputs(w, d, &outputs, algo, hash, mode);
	if (r == 0)
		r = set_args(w, d, &args);
	if (r == 0)
		r = set_env(w, d, &env);
	for (size_t i = 0; i < inputs.n && r == 0; i++)
		r = expand(w->g, w, inputs.v[i], &more, w->err);
	if (r == 0)
		r = set_inputs(w, d);
	if (r < 0)
		return r;
	if (arena_err(a))
		return err_set(w->err, -ENOMEM, "evaluation: out of memory");
	w->n->drv = d;
	return 0;
}

static int finish_drv(struct work *w)
{
	struct graph *g = w->g;
	struct drv *d = w->n->drv;
	int r = drv_fill_outputs(&g->arena, g->store_dir, d, input_modulo, w, w->err);

	if (r == 0)
		r = drv_modulo(d, input_modulo, w, &w->n->modulo, w->err);
	if (r < 0)
		return err_wrap(w->err, r, "derivation '%s'", d->name);
	w->n->store = drv_path(&g->arena, g->store_dir, d, w->err);
	return w->n->store ? 0 : err_wrap(w->err, w->err->code, "derivation '%s'", d->name);
}

/* ---- Nodes and results ------------------------------------------------------------------------
 */

static int load_node(struct work *w, struct slice payload)
{
	struct rd rd = rd_of(payload.p, payload.n);
	struct node *n = w->n;
	int r;

	switch (n->kind) {
	case NODE_DRV:
		r = load_drv(w, &rd);
		break;
	case NODE_TEXT:
		r = load_text(w, &rd);
		break;
	case NODE_FIXED:
		r = load_fixed(w, &rd);
		break;
	default:
		r = load_source(w, &rd);
		break;
	}
	if (r == 0 && rd_done(&rd) < 0)
		r = broken(w->err, "description of a node");
	if (r == 0 && n->kind == NODE_DRV)
		r = finish_drv(w);
	n->ndeps = w->deps.n;
	n->deps = arena_dup(&w->g->arena, w->deps.v, w->deps.n * sizeof(void *));
	if (r == 0 && (w->deps.err || (w->deps.n && !n->deps)))
		r = err_set(w->err, -ENOMEM, "evaluation: out of memory");
	return r;
}

static void work_done(struct work *w)
{
	struct tab_slot *slot;
	size_t i = 0;

	while ((slot = tab_next(&w->inputs, &i)))
		vec_done(&((struct input *)slot->value)->outputs);
	tab_done(&w->inputs);
	vec_done(&w->deps);
}

static int get_node(struct graph *g, struct rd *rd, graph_hash_fn *hash, void *arg, struct err *e)
{
	struct node *n = ARENA_NEW(&g->arena, struct node);
	struct work w = { g, n, VEC_INIT, TAB_INIT, e, hash, arg };
	struct slice payload;
	bool new = false;
	void **slot;
	int r;

	if (!n)
		return err_set(e, -ENOMEM, "evaluation: out of memory");
	n->id = rd_str(rd, NODE_ID_LEN);
	n->kind = (enum node_kind)rd_max(rd, NODE_MAX - 1);
	payload = rd_str(rd, LIMIT_EVAL_RESULT);
	if (rd->err || n->id.n != NODE_ID_LEN)
		return broken(e, "node");
	r = load_node(&w, payload);
	work_done(&w);
	if (r < 0)
		return r;
	/* Only now can it be mentioned: so there are no cycles. */
	slot = tab_put(&g->by_id, n->id, &new);
	if (!slot)
		return err_set(e, -ENOMEM, "evaluation: out of memory");
	if (!new)
		return broken(e, "node twice");
	*slot = n;
	g->nodes[g->nnodes++] = n;
	return 0;
}

static int get_result(struct graph *g, struct rd *rd, struct graph_result *res, struct err *e)
{
	struct slice text, value;
	const struct drv_output *o = NULL;
	uint64_t kind;
	bool target;
	int r;

	res->key = rd_str(rd, 4096);
	kind = rd_max(rd, 2); /* text, target, note */
	target = kind == 1;
	res->note = kind == 2;
	text = rd_str(rd, LIMIT_EVAL_STRING);
	if (rd->err)
		return broken(e, "result");
	r = expand(g, NULL, text, &value, e);
	if (r == 0 && target) {
		if (text.n < 3 || text.p[0] != 1 || text.p[text.n - 1] != 2)
			return broken(e, "target");
		r = find_ref(g, (struct slice){ text.p + 1, text.n - 2 }, &res->node, &o, e);
	}
	if (r < 0)
		return r;
	res->value = arena_slice(&g->arena, value);
	res->output = o ? o->id : NULL;
	return 0;
}

int graph_load(struct graph *g, const char *store_dir, struct slice msg, graph_hash_fn *hash,
	       void *arg, struct err *e)
{
	struct rd rd = rd_of(msg.p, msg.n);
	uint64_t count = rd_max(&rd, LIMIT_EVAL_NODES);
	int r = 0;

	g->store_dir = store_dir;
	g->nodes = arena_array(&g->arena, count, sizeof(*g->nodes));
	for (uint64_t i = 0; i < count && r == 0 && g->nodes; i++)
		r = get_node(g, &rd, hash, arg, e);
	if (r < 0)
		return r;
	g->nresults = rd_max(&rd, LIMIT_EVAL_LIST);
	g->results = arena_array(&g->arena, g->nresults, sizeof(*g->results));
	for (size_t i = 0; i < g->nresults && r == 0 && g->results; i++)
		r = get_result(g, &rd, &g->results[i], e);
	if (r < 0)
		return r;
	if (arena_err(&g->arena))
		return err_set(e, -ENOMEM, "evaluation: out of memory");
	return rd_done(&rd) < 0 ? broken(e, "bytes at the end") : 0;
}

void graph_done(struct graph *g)
{
	tab_done(&g->by_id);
	arena_done(&g->arena);
}
