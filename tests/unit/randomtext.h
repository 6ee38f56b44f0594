/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Texts of bytes that mean something to who reads them. */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* 1 to max - 1 of bytes; the same for the same seed. */
static inline void random_text(uint32_t *seed, const char *bytes, char *out, size_t max)
{
	size_t n = 1 + (*seed >> 8) % (max - 1);

	for (size_t i = 0; i < n; i++) {
		*seed = *seed * 1664525 + 1013904223;
		out[i] = bytes[(*seed >> 10) % strlen(bytes)];
	}
	out[n] = '\0';
}
