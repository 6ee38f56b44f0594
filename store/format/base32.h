/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The base32 of store paths: own alphabet, least significant bits first, text most significant
 * digit first. Not RFC 4648. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/slice.h"

static inline size_t base32_len(size_t bytes)
{
	return bytes ? (8 * bytes - 1) / 5 + 1 : 0;
}

void base32_encode(const uint8_t *p, size_t n, char *out); /* base32_len(n) characters, no NUL */
/* Exactly base32_len(n) characters; surplus bits must be zero. 0 or -ERR_SYNTAX. */
int base32_decode(struct slice text, uint8_t *out, size_t n);
bool base32_char(char c);
