/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Growing byte string. buf is never NULL and always NUL-terminated. Adding returns nothing; a
 * failed allocation sets a sticky error and later additions do nothing: check str_err() once at the
 * end.
 */
#pragma once

#include <stdarg.h>
#include <stddef.h>

#include "lib/slice.h"

struct str {
	char *buf; /* owned, or the shared empty string while cap is 0 */
	size_t len;
	size_t cap; /* allocated bytes, without counting the shared empty string */
	int err;    /* 0 or -ENOMEM; sticky */
};

extern char str_empty[1];
#define STR_INIT                                                                                   \
	{                                                                                          \
		str_empty, 0, 0, 0                                                                 \
	}

void str_add(struct str *s, const char *text);
void str_addn(struct str *s, const void *p, size_t n);
void str_addc(struct str *s, char c);
void str_adds(struct str *s, struct slice v);
void str_addf(struct str *s, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void str_addv(struct str *s, const char *fmt, va_list ap) __attribute__((format(printf, 2, 0)));
/* Make room for n more bytes beyond len; returns the place to write (then str_grown), NULL on
 * error. */
char *str_room(struct str *s, size_t n);
void str_grown(struct str *s, size_t n);
void str_cut(struct str *s, size_t len); /* shorten to len, which must be <= s->len */
void str_drop(struct str *s, size_t n);	 /* remove the first n bytes */
int str_err(const struct str *s);
/* Hand the heap buffer to the caller (free()); s becomes empty. NULL when in error. */
char *str_take(struct str *s);
struct slice str_slice(const struct str *s);
void str_done(struct str *s); /* back to STR_INIT; NULL allowed */

static inline void str_cleanup(struct str *s)
{
	str_done(s);
}
#define auto_str __attribute__((cleanup(str_cleanup)))
