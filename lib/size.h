/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Overflow-checked size arithmetic and small integer helpers. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* true on success; *ret is untouched on overflow. */
static inline bool size_add(size_t a, size_t b, size_t *ret)
{
	size_t r;
	if (__builtin_add_overflow(a, b, &r))
		return false;
	*ret = r;
	return true;
}

static inline bool size_mul(size_t a, size_t b, size_t *ret)
{
	size_t r;
	if (__builtin_mul_overflow(a, b, &r))
		return false;
	*ret = r;
	return true;
}

#define ARRAY_LEN(a)			(sizeof(a) / sizeof((a)[0]))
#define MIN_OF(a, b)			((a) < (b) ? (a) : (b))
#define MAX_OF(a, b)			((a) > (b) ? (a) : (b))
#define CONTAINER_OF(ptr, type, member) ((type *)((char *)(ptr)-offsetof(type, member)))
