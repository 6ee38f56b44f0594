/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/tab.h"

#include <errno.h>

#include "lib/mem.h"
#include "lib/size.h"

/* FNV-1a with a final mix, because slots are taken from the low bits. */
static uint64_t hash_of(struct slice key)
{
	uint64_t h = 0xcbf29ce484222325;

	for (size_t i = 0; i < key.n; i++)
		h = (h ^ (unsigned char)key.p[i]) * 0x100000001b3;
	h ^= h >> 32;
	h *= 0xd6e8feb86659fd93;
	return h ^ (h >> 32);
}

/* The slot that holds key, or the free one where it belongs. The table is never full. */
static struct tab_slot *probe(const struct tab *t, struct slice key, uint64_t hash)
{
	size_t mask = t->cap - 1;

	for (size_t i = hash & mask;; i = (i + 1) & mask) {
		struct tab_slot *s = &t->slots[i];

		if (!s->key.p || (s->hash == hash && slice_eq(s->key, key)))
			return s;
	}
}

static bool grow(struct tab *t)
{
	struct tab bigger = *t;
	size_t bytes;

	bigger.cap = t->cap ? t->cap * 2 : 16;
	if (!size_mul(bigger.cap, sizeof(*t->slots), &bytes))
		return false;
	bigger.slots = mem_zalloc(bytes);
	if (!bigger.slots)
		return false;
	for (size_t i = 0; i < t->cap; i++)
		if (t->slots[i].key.p)
			*probe(&bigger, t->slots[i].key, t->slots[i].hash) = t->slots[i];
	free(t->slots);
	*t = bigger;
	return true;
}

void **tab_put(struct tab *t, struct slice key, bool *ret_new)
{
	uint64_t hash = hash_of(key);
	struct tab_slot *s;

	if (!key.p)
		key.p = "";
	if ((t->count + 1) * 4 > t->cap * 3 && !grow(t)) {
		t->err = -ENOMEM;
		return NULL;
	}
	s = probe(t, key, hash);
	if (ret_new)
		*ret_new = !s->key.p;
	if (!s->key.p) {
		*s = (struct tab_slot){ key, hash, NULL };
		t->count++;
	}
	return &s->value;
}

void *tab_find(const struct tab *t, struct slice key)
{
	return t->count ? probe(t, key, hash_of(key))->value : NULL;
}

bool tab_has(const struct tab *t, struct slice key)
{
	return t->count && probe(t, key, hash_of(key))->key.p;
}

/* Close the gap: move back each later entry of the run that may not stand behind a free slot. */
static void close_gap(struct tab *t, size_t gap)
{
	size_t mask = t->cap - 1;

	for (size_t i = (gap + 1) & mask; t->slots[i].key.p; i = (i + 1) & mask) {
		size_t home = t->slots[i].hash & mask;

		if (((i - home) & mask) < ((i - gap) & mask))
			continue;
		t->slots[gap] = t->slots[i];
		gap = i;
	}
	t->slots[gap] = (struct tab_slot){ { NULL, 0 }, 0, NULL };
}

bool tab_del(struct tab *t, struct slice key)
{
	struct tab_slot *s;

	if (!t->count)
		return false;
	s = probe(t, key, hash_of(key));
	if (!s->key.p)
		return false;
	close_gap(t, (size_t)(s - t->slots));
	t->count--;
	return true;
}

struct tab_slot *tab_next(const struct tab *t, size_t *i)
{
	while (*i < t->cap) {
		struct tab_slot *s = &t->slots[(*i)++];

		if (s->key.p)
			return s;
	}
	return NULL;
}

void tab_done(struct tab *t)
{
	if (!t)
		return;
	free(t->slots);
	*t = (struct tab)TAB_INIT;
}
