/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Text at the edges: strict numbers, sizes, quoting, JSON, near misses. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/err.h"
#include "lib/slice.h"
#include "lib/str.h"

/* Decimal without sign, blanks or leading '+'; whole slice; at most max. 0 or -ERR_SYNTAX. */
int text_u64(struct slice s, uint64_t max, uint64_t *ret);
/* As text_u64, with an optional suffix K M G T (powers of 1024). */
int text_size(struct slice s, uint64_t *ret);
/* Nanoseconds from "5", "250ms", "10s", "2min", "1h", "1d"; a bare number counts seconds. */
int text_duration(struct slice s, uint64_t *ret_ns);
/* Hex digits of either case, exactly 2 * n of them. */
int text_unhex(struct slice s, uint8_t *out, size_t n);
void text_hex(const uint8_t *p, size_t n, char *out); /* 2 * n digits and NUL */
/* "1.2 MiB", "345 B"; units of 1024. */
void text_human(uint64_t bytes, char out[16]);
/* Add s as a JSON string with its quotes; bytes that are not UTF-8 become U+FFFD. */
void text_json(struct str *out, struct slice s);
/* Add s quoted for a POSIX shell, unquoted when it needs none. */
void text_shell(struct str *out, const char *s);
/* Add s with control bytes as \xNN, so that it cannot move a terminal's cursor. */
void text_safe(struct str *out, struct slice s);
/* The nearest of n candidates within an edit distance worth suggesting, or NULL. */
const char *text_nearest(const char *word, const char *const *candidates, size_t n);
bool text_is_utf8(struct slice s);
/* Letters, digits and the characters in more, and no dash at the beginning: an argument that means
 * something neither to a shell on another machine nor, as an option, to ssh. "" is none. */
bool text_is_plain(const char *text, const char *more);
