/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "system/program/made.h"

#include <errno.h>
#include <stdlib.h>

#include "lib/wire.h"

struct made *made_find(const struct made_list *l, const char *p, const char *end,
		       const char **ret_end, struct slice *ret_output)
{
	const char *stop;
	struct made *m;

	if (end - p <= NODE_ID_LEN)
		return NULL;
	m = tab_find(&l->by_id, (struct slice){ p, NODE_ID_LEN });
	p += NODE_ID_LEN;
	stop = m ? memchr(p, 2, (size_t)(end - p)) : NULL;
	if (!stop || (p != stop && *p != ':'))
		return NULL;
	*ret_output = p == stop ? SLICE("") : (struct slice){ p + 1, (size_t)(stop - p - 1) };
	*ret_end = stop + 1;
	return m;
}

static int cmp_made(const void *a, const void *b)
{
	const struct made *x = *(struct made *const *)a, *y = *(struct made *const *)b;

	return x < y ? -1 : x > y;
}

/* Find what the payload mentions. Returns NULL or what is wrong. */
static const char *collect_deps(const struct made_list *l, struct made *m)
{
	const char *p = m->payload, *end = p + m->size;
	auto_vec struct vec deps = VEC_INIT;

	while (p < end && (p = memchr(p, 1, (size_t)(end - p)))) {
		/* A length of 1 to 8 in the wire form can look like \1: only what is followed by
		 * an id counts, anything else in a string is refused by the parent. */
		struct slice output;
		const char *next;
		struct made *dep = made_find(l, p + 1, end, &next, &output);
		if (!dep) {
			p++;
			continue;
		}
		if (m->kind == NODE_TEXT && dep->kind == NODE_DRV)
			return "a plain text cannot mention a derivation: it has no store path "
			       "before it is built (give the option 'busybox')";
		vec_add(&deps, dep);
		p = next;
	}
	if (deps.n)
		qsort(deps.v, deps.n, sizeof(void *), cmp_made);
	m->deps = calloc(deps.n + 1, sizeof(void *));
	if (deps.err || !m->deps)
		return "out of memory";
	for (size_t i = 0; i < deps.n; i++)
		if (i == 0 || deps.v[i] != deps.v[i - 1])
			m->deps[m->ndeps++] = deps.v[i];
	return NULL;
}

void made_free(struct made *m)
{
	if (!m)
		return;
	for (size_t i = 0; m->outputs && m->outputs[i]; i++)
		free(m->outputs[i]);
	free(m->outputs);
	free(m->deps);
	free(m->name);
	free(m->payload);
	free(m);
}

static int made_name(struct made *m)
{
	struct digest d;
	struct hasher *h;
	char hex[DIGEST_TEXT_MAX], head[2] = { (char)('0' + m->kind), ':' };

	if (hasher_new(DIGEST_SHA256, &h) < 0)
		return -ENOMEM;
	hasher_add(h, head, sizeof(head));
	hasher_add(h, m->payload, m->size);
	d = hasher_end(h);
	digest_hex(&d, hex);
	memcpy(m->id, hex, NODE_ID_LEN);
	return 0;
}

enum made_result made_add(struct made_list *l, struct made **m, size_t *used, uint64_t limit,
			  const char **ret_why)
{
	struct made *have;
	void **slot;

	*ret_why = collect_deps(l, *m);
	if (*ret_why)
		return MADE_WRONG;
	if (made_name(*m) < 0)
		return MADE_BROKEN;
	have = tab_find(&l->by_id, (struct slice){ (*m)->id, NODE_ID_LEN });
	if (have) {
		made_free(*m);
		*m = have;
		return MADE_OK;
	}
	*used += (*m)->size + sizeof(**m);
	if (l->nodes.n >= LIMIT_EVAL_NODES) {
		*ret_why = "too many nodes";
		return MADE_WRONG;
	}
	if (*used > limit)
		return MADE_MEMORY;
	vec_add(&l->nodes, *m);
	slot = tab_put(&l->by_id, (struct slice){ (*m)->id, NODE_ID_LEN }, NULL);
	if (!slot || l->nodes.err)
		return MADE_BROKEN;
	*slot = *m;
	return MADE_OK;
}

/* ---- The result -------------------------------------------------------------------------------
 */

static void want(struct made *m)
{
	if (m->wanted)
		return;
	m->wanted = true;
	for (size_t i = 0; i < m->ndeps; i++)
		want(m->deps[i]);
}

void made_want(struct made_list *l, struct slice s)
{
	const char *p = s.p, *end = s.p + s.n;

	while (p < end && (p = memchr(p, 1, (size_t)(end - p)))) {
		struct slice output;
		const char *next;
		struct made *m = made_find(l, p + 1, end, &next, &output);
		if (!m) {
			p++;
			continue;
		}
		want(m);
		p = next;
	}
}

void made_write(const struct made_list *l, struct str *out)
{
	size_t count = 0;

	for (size_t i = 0; i < l->nodes.n; i++)
		count += ((struct made *)l->nodes.v[i])->wanted;
	wr_u64(out, count);
	for (size_t i = 0; i < l->nodes.n; i++) {
		const struct made *m = l->nodes.v[i];

		if (!m->wanted)
			continue;
		wr_str(out, (struct slice){ m->id, NODE_ID_LEN });
		wr_u64(out, m->kind);
		wr_str(out, (struct slice){ m->payload, m->size });
	}
}
