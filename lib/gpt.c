/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/gpt.h"

#include <stdbool.h>
#include <string.h>

#include "lib/text.h"

#define ENTRY_SIZE   128
#define HEADER_SIZE  92
#define ENTRIES_SIZE (GPT_ENTRIES * ENTRY_SIZE)

uint32_t crc32_of(const void *p, size_t n)
{
	const uint8_t *b = p;
	uint32_t c = 0xffffffff;

	while (n--) {
		c ^= *b++;
		for (int i = 0; i < 8; i++)
			c = c >> 1 ^ (0xedb88320 & -(c & 1));
	}
	return ~c;
}

static void put(uint8_t *p, uint64_t v, size_t bytes)
{
	for (size_t i = 0; i < bytes; i++)
		p[i] = (uint8_t)(v >> 8 * i);
}

static uint64_t get(const uint8_t *p, size_t bytes)
{
	uint64_t v = 0;

	for (size_t i = 0; i < bytes; i++)
		v |= (uint64_t)p[i] << 8 * i;
	return v;
}

/* The first three fields are little-endian on disk; its own inverse. */
static void guid_swap(const uint8_t *in, uint8_t *out)
{
	static const uint8_t order[16] = { 3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15 };

	for (size_t i = 0; i < 16; i++)
		out[i] = in[order[i]];
}

int guid_parse(struct slice text, struct guid *ret)
{
	char hex[32];
	struct guid g;
	size_t n = 0;

	if (text.n != 36)
		return -ERR_SYNTAX;
	for (size_t i = 0; i < 36; i++) {
		bool dash = i == 8 || i == 13 || i == 18 || i == 23;

		if (dash != (text.p[i] == '-'))
			return -ERR_SYNTAX;
		if (!dash)
			hex[n++] = text.p[i];
	}
	int r = text_unhex((struct slice){ hex, 32 }, g.b, 16);
	if (r < 0)
		return r;
	*ret = g;
	return 0;
}

void guid_format(const struct guid *g, char out[GUID_TEXT_MAX])
{
	char hex[33];
	size_t n = 0;

	text_hex(g->b, 16, hex);
	for (size_t i = 0; i < 32; i++) {
		if (i == 8 || i == 12 || i == 16 || i == 20)
			out[n++] = '-';
		out[n++] = hex[i];
	}
	out[n] = '\0';
}

/* ---- Writing --------------------------------------------------------------------------------- */

static int parts_check(const struct gpt *g, struct err *e)
{
	if (g->nparts > GPT_ENTRIES)
		return err_set(e, -ERR_LIMIT, "%zu partitions, at most %d are possible", g->nparts,
			       GPT_ENTRIES);
	if (g->sectors < GPT_HEAD_SECTORS + GPT_TAIL_SECTORS + 1)
		return err_set(e, -ERR_INVALID, "a disk of %llu sectors is too small",
			       (unsigned long long)g->sectors);
	for (size_t i = 0; i < g->nparts; i++) {
		const struct gpt_part *p = &g->part[i];
		size_t n = p->label ? strlen(p->label) : 0;

		if (p->first < GPT_HEAD_SECTORS || p->last < p->first ||
		    p->last >= g->sectors - GPT_TAIL_SECTORS)
			return err_set(e, -ERR_INVALID, "partition %zu lies outside the disk",
				       i + 1);
		if (n > GPT_LABEL_MAX)
			return err_set(e, -ERR_INVALID, "label of partition %zu is too long",
				       i + 1);
		for (size_t k = 0; k < n; k++)
			if (p->label[k] < 0x20 || p->label[k] == 0x7f)
				return err_set(e, -ERR_INVALID,
					       "label of partition %zu is not plain ASCII", i + 1);
		for (size_t k = 0; k < i; k++)
			if (p->first <= g->part[k].last && g->part[k].first <= p->last)
				return err_set(e, -ERR_INVALID, "partitions %zu and %zu overlap",
					       k + 1, i + 1);
	}
	return 0;
}

static void mbr_format(const struct gpt *g, uint8_t *mbr)
{
	uint64_t size = g->sectors - 1;
	uint8_t *p = mbr + 446;

	put(p, 0x00020000, 4); /* not active; starts at CHS 0/0/2 */
	p[4] = 0xee;
	put(p + 5, 0xffffff, 3);
	put(p + 8, 1, 4);
	put(p + 12, size > 0xffffffff ? 0xffffffff : size, 4);
	put(mbr + 510, 0xaa55, 2);
}

static void header_format(const struct gpt *g, const uint8_t *entries, bool backup, uint8_t *h)
{
	uint64_t last = g->sectors - 1;

	memcpy(h, "EFI PART", 8);
	put(h + 8, 0x00010000, 4);
	put(h + 12, HEADER_SIZE, 4);
	put(h + 24, backup ? last : 1, 8);
	put(h + 32, backup ? 1 : last, 8);
	put(h + 40, GPT_HEAD_SECTORS, 8);
	put(h + 48, last - GPT_TAIL_SECTORS, 8);
	guid_swap(g->disk.b, h + 56);
	put(h + 72, backup ? g->sectors - GPT_TAIL_SECTORS : 2, 8);
	put(h + 80, GPT_ENTRIES, 4);
	put(h + 84, ENTRY_SIZE, 4);
	put(h + 88, crc32_of(entries, ENTRIES_SIZE), 4);
	put(h + 16, crc32_of(h, HEADER_SIZE), 4);
}

int gpt_format(const struct gpt *g, uint8_t head[GPT_HEAD_SECTORS * GPT_SECTOR],
	       uint8_t tail[GPT_TAIL_SECTORS * GPT_SECTOR], struct err *e)
{
	int r = parts_check(g, e);
	if (r < 0)
		return r;
	memset(head, 0, (size_t)GPT_HEAD_SECTORS * GPT_SECTOR);
	memset(tail, 0, (size_t)GPT_TAIL_SECTORS * GPT_SECTOR);
	uint8_t *entries = head + 2 * GPT_SECTOR;
	for (size_t i = 0; i < g->nparts; i++) {
		const struct gpt_part *p = &g->part[i];
		uint8_t *d = entries + i * ENTRY_SIZE;

		guid_swap(p->type.b, d);
		guid_swap(p->id.b, d + 16);
		put(d + 32, p->first, 8);
		put(d + 40, p->last, 8);
		put(d + 48, p->attributes, 8);
		for (size_t k = 0; p->label && p->label[k]; k++)
			put(d + 56 + 2 * k, (uint8_t)p->label[k], 2);
	}
	mbr_format(g, head);
	header_format(g, entries, false, head + GPT_SECTOR);
	memcpy(tail, entries, ENTRIES_SIZE);
	header_format(g, entries, true, tail + ENTRIES_SIZE);
	return 0;
}

/* ---- Reading --------------------------------------------------------------------------------- */

static int header_check(const uint8_t *h, struct err *e)
{
	uint8_t copy[HEADER_SIZE];

	if (memcmp(h, "EFI PART", 8) != 0 || get(h + 8, 4) != 0x00010000)
		return err_set(e, -ERR_INVALID, "no GUID partition table");
	if (get(h + 12, 4) != HEADER_SIZE || get(h + 24, 8) != 1 || get(h + 72, 8) != 2 ||
	    get(h + 80, 4) != GPT_ENTRIES || get(h + 84, 4) != ENTRY_SIZE)
		return err_set(e, -ERR_UNSUPPORTED, "partition table has an unusual layout");
	memcpy(copy, h, HEADER_SIZE);
	put(copy + 16, 0, 4);
	if (get(h + 16, 4) != crc32_of(copy, HEADER_SIZE))
		return err_set(e, -ERR_INVALID, "partition table: checksum of the header is wrong");
	return 0;
}

int gpt_parse(const uint8_t head[GPT_HEAD_SECTORS * GPT_SECTOR], struct gpt *ret, struct err *e)
{
	static const struct guid unused;
	const uint8_t *h = head + GPT_SECTOR, *entries = h + GPT_SECTOR;

	int r = header_check(h, e);
	if (r < 0)
		return r;
	if (get(h + 88, 4) != crc32_of(entries, ENTRIES_SIZE))
		return err_set(e, -ERR_INVALID,
			       "partition table: checksum of the entries is wrong");
	uint64_t last = get(h + 32, 8), usable = get(h + 48, 8);
	if (last == UINT64_MAX || last < GPT_HEAD_SECTORS + GPT_TAIL_SECTORS ||
	    usable > last - GPT_TAIL_SECTORS)
		return err_set(e, -ERR_INVALID, "partition table: sizes make no sense");
	memset(ret, 0, sizeof(*ret));
	ret->sectors = last + 1;
	guid_swap(h + 56, ret->disk.b);
	for (size_t i = 0; i < GPT_ENTRIES; i++) {
		const uint8_t *d = entries + i * ENTRY_SIZE;
		struct gpt_part p = { .first = get(d + 32, 8),
				      .last = get(d + 40, 8),
				      .attributes = get(d + 48, 8),
				      .number = (unsigned)i + 1 };

		guid_swap(d, p.type.b);
		guid_swap(d + 16, p.id.b);
		if (memcmp(&p.type, &unused, sizeof(unused)) == 0)
			continue;
		if (p.first < GPT_HEAD_SECTORS || p.last < p.first || p.last > usable)
			return err_set(e, -ERR_INVALID, "partition %zu lies outside the disk",
				       i + 1);
		ret->part[ret->nparts++] = p;
	}
	return 0;
}
