/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Bounded wire reader and writer: unsigned 64-bit little endian integers, and strings as length,
 * bytes, zero padding to a multiple of 8 (the encoding of NARs and of the daemon protocol).
 *
 * Reader: after the first failure every call returns zeros or empty; rd_done() reports the failure,
 * or trailing bytes. Writer: collects into a str with its sticky error.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/slice.h"
#include "lib/str.h"

struct rd {
	const uint8_t *p; /* borrowed */
	size_t n;	  /* bytes left */
	int err;	  /* 0, -ERR_SYNTAX or -ERR_LIMIT; sticky */
};

struct rd rd_of(const void *p, size_t n);
uint64_t rd_u64(struct rd *r);
/* u64 that must be <= max. */
uint64_t rd_max(struct rd *r, uint64_t max);
bool rd_bool(struct rd *r); /* 0 or 1, nothing else */
/* Raw bytes without length or padding. */
const uint8_t *rd_raw(struct rd *r, size_t n);
/* String of at most max bytes; the padding must be zero. Borrowed from the input. */
struct slice rd_str(struct rd *r, size_t max);
/* 0 when everything was read and nothing failed. */
int rd_done(const struct rd *r);

void wr_u64(struct str *out, uint64_t v);
void wr_bool(struct str *out, bool v);
void wr_str(struct str *out, struct slice s);
void wr_cstr(struct str *out, const char *s);

static inline size_t wire_pad(uint64_t n)
{
	return (size_t)((8 - (n & 7)) & 7);
}
