/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/wire.h"

#include "lib/err.h"

struct rd rd_of(const void *p, size_t n)
{
	return (struct rd){ p, n, 0 };
}

/* The first failure stays; nothing more is read. */
static void fail(struct rd *r, int err)
{
	if (!r->err)
		r->err = err;
	r->n = 0;
}

const uint8_t *rd_raw(struct rd *r, size_t n)
{
	const uint8_t *p = r->p;

	if (r->err || n > r->n) {
		fail(r, -ERR_SYNTAX);
		return NULL;
	}
	r->p += n;
	r->n -= n;
	return p;
}

uint64_t rd_u64(struct rd *r)
{
	const uint8_t *p = rd_raw(r, 8);
	uint64_t v = 0;

	if (!p)
		return 0;
	for (int i = 7; i >= 0; i--)
		v = v << 8 | p[i];
	return v;
}

uint64_t rd_max(struct rd *r, uint64_t max)
{
	uint64_t v = rd_u64(r);

	if (v <= max)
		return v;
	fail(r, -ERR_LIMIT);
	return 0;
}

bool rd_bool(struct rd *r)
{
	uint64_t v = rd_u64(r);

	if (v > 1)
		fail(r, -ERR_SYNTAX);
	return v == 1;
}

struct slice rd_str(struct rd *r, size_t max)
{
	uint64_t n = rd_max(r, max);
	const uint8_t *p = rd_raw(r, (size_t)n);
	const uint8_t *pad = rd_raw(r, wire_pad(n));

	for (size_t i = 0; pad && i < wire_pad(n); i++)
		if (pad[i])
			fail(r, -ERR_SYNTAX);
	if (r->err)
		return (struct slice){ NULL, 0 };
	return (struct slice){ (const char *)p, (size_t)n };
}

int rd_done(const struct rd *r)
{
	if (r->err)
		return r->err;
	return r->n ? -ERR_SYNTAX : 0;
}

void wr_u64(struct str *out, uint64_t v)
{
	uint8_t b[8];

	for (int i = 0; i < 8; i++, v >>= 8)
		b[i] = (uint8_t)v;
	str_addn(out, b, sizeof(b));
}

void wr_bool(struct str *out, bool v)
{
	wr_u64(out, v);
}

void wr_str(struct str *out, struct slice s)
{
	static const char zeros[8];

	wr_u64(out, s.n);
	str_adds(out, s);
	str_addn(out, zeros, wire_pad(s.n));
}

void wr_cstr(struct str *out, const char *s)
{
	wr_str(out, slice_of(s));
}
