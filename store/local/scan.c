/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "store/local/scan.h"

#include <errno.h>

#include "lib/mem.h"
#include "lib/size.h"
#include "store/format/base32.h"

#define KEY STORE_HASH_CHARS

struct scan {
	const char **paths; /* owned array of borrowed strings, sorted */
	bool *found;	    /* owned; same index */
	size_t n;
	const char **keys; /* owned array: hash part in paths[i] */
	uint32_t *table;   /* owned: index + 1 by hash of the key; 0: free */
	size_t mask;
	bool good[256];	    /* bytes of the alphabet */
	char tail[KEY - 1]; /* the last bytes of what came before */
	size_t ntail;
};

static uint64_t key_hash(const char *p)
{
	uint64_t v;

	memcpy(&v, p, sizeof(v));
	v *= 0x9e3779b97f4a7c15;
	return v ^ (v >> 29);
}

static int table_build(struct scan *s, struct err *e)
{
	for (size_t i = 0; i < s->n; i++) {
		size_t at = key_hash(s->keys[i]) & s->mask;

		for (; s->table[at]; at = (at + 1) & s->mask)
			if (!memcmp(s->keys[s->table[at] - 1], s->keys[i], KEY))
				return err_set(e, -ERR_INVALID, "%s and %s have the same hash part",
					       s->paths[s->table[at] - 1], s->paths[i]);
		s->table[at] = (uint32_t)i + 1;
	}
	return 0;
}

int scan_new(const char *store_dir, const char *const *candidates, size_t n, struct scan **ret,
	     struct err *e)
{
	auto_vec struct vec sorted = VEC_INIT;
	struct scan *s = mem_zalloc(sizeof(*s));
	size_t slots = 16;
	int r = -ENOMEM;

	for (size_t i = 0; i < n; i++)
		vec_add(&sorted, (void *)(uintptr_t)candidates[i]);
	if (!s || sorted.err < 0 || n > UINT32_MAX / 4)
		goto fail;
	vec_sort_str(&sorted);
	vec_uniq_str(&sorted);
	s->n = sorted.n;
	while (slots < 2 * s->n)
		slots *= 2;
	s->mask = slots - 1;
	s->paths = mem_zalloc((s->n + 1) * sizeof(*s->paths));
	s->keys = mem_zalloc((s->n + 1) * sizeof(*s->keys));
	s->found = mem_zalloc(s->n + 1);
	s->table = mem_zalloc(slots * sizeof(*s->table));
	if (!s->paths || !s->keys || !s->found || !s->table)
		goto fail;
	for (size_t i = 0; i < s->n; i++) {
		const char *path = sorted.v[i];

		r = store_path_check(store_dir, slice_of(path), e);
		if (r < 0)
			goto out;
		s->paths[i] = path;
		s->keys[i] = store_path_base(store_dir, slice_of(path)).p;
	}
	for (int c = 0; c < 256; c++)
		s->good[c] = base32_char((char)c);
	r = table_build(s, e);
	if (r < 0)
		goto out;
	*ret = s;
	return 0;
fail:
	err_num(e, r, "reference scan");
out:
	scan_free(s);
	return r;
}

void scan_free(struct scan *s)
{
	if (!s)
		return;
	free(s->paths);
	free(s->keys);
	free(s->found);
	free(s->table);
	free(s);
}

static void look_up(struct scan *s, const char *p)
{
	for (size_t at = key_hash(p) & s->mask; s->table[at]; at = (at + 1) & s->mask)
		if (!memcmp(s->keys[s->table[at] - 1], p, KEY)) {
			s->found[s->table[at] - 1] = true;
			return;
		}
}

/* All windows that lie wholly in p. A window is tested from its end, so that one byte outside the
 * alphabet skips up to 32; known counts the leading bytes of the window already seen to be inside.
 */
static void scan_run(struct scan *s, const char *p, size_t n)
{
	size_t known = 0;

	for (size_t i = 0; i + KEY <= n;) {
		size_t j = KEY;

		while (j > known && s->good[(unsigned char)p[i + j - 1]])
			j--;
		if (j > known) {
			i += j;
			known = KEY - j;
		} else {
			look_up(s, p + i);
			i++;
			known = KEY - 1;
		}
	}
}

void scan_add(struct scan *s, const void *p, size_t n)
{
	char border[2 * (KEY - 1)];
	size_t head = MIN_OF(n, (size_t)KEY - 1), keep;

	if (!s->n || !n)
		return;
	memcpy(border, s->tail, s->ntail);
	memcpy(border + s->ntail, p, head);
	scan_run(s, border, s->ntail + head);
	scan_run(s, p, n);
	if (n >= KEY - 1) {
		memcpy(s->tail, (const char *)p + n - (KEY - 1), KEY - 1);
		s->ntail = KEY - 1;
		return;
	}
	/* n is small: border holds the whole of the tail and of p */
	keep = MIN_OF(s->ntail + n, (size_t)KEY - 1);
	memcpy(s->tail, border + s->ntail + n - keep, keep);
	s->ntail = keep;
}

void scan_found(const struct scan *s, struct vec *ret)
{
	for (size_t i = 0; i < s->n; i++)
		if (s->found[i])
			vec_add(ret, (void *)(uintptr_t)s->paths[i]);
}

void scan_reset(struct scan *s)
{
	memset(s->found, 0, s->n);
	s->ntail = 0;
}

struct scan_sink {
	struct nar_sink sink;
	struct scan *scan;
	struct hasher *h;
	uint64_t size;
};

static int scan_sink_write(struct nar_sink *sink, const void *p, size_t n, struct err *e)
{
	struct scan_sink *s = CONTAINER_OF(sink, struct scan_sink, sink);

	(void)e;
	hasher_add(s->h, p, n);
	scan_add(s->scan, p, n);
	s->size += n;
	return 0;
}

int scan_tree(struct scan *s, int dirfd, const char *path, struct digest *ret, uint64_t *ret_size,
	      struct err *e)
{
	struct scan_sink sink = { { scan_sink_write }, s, NULL, 0 };
	int r = hasher_new(DIGEST_SHA256, &sink.h);

	if (r < 0)
		return err_num(e, r, "hash");
	r = nar_dump(dirfd, path, NULL, NULL, &sink.sink, e);
	if (r < 0) {
		hasher_free(sink.h);
		return r;
	}
	*ret = hasher_end(sink.h);
	*ret_size = sink.size;
	return 0;
}
