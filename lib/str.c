/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/str.h"

#include <errno.h>

#include "lib/mem.h"
#include "lib/size.h"

char str_empty[1];

/* Room for n bytes and the NUL beyond len. */
static bool grow(struct str *s, size_t n)
{
	size_t want, cap;
	char *p;

	if (s->err)
		return false;
	if (!size_add(s->len, n, &want) || !size_add(want, 1, &want))
		goto fail;
	if (want <= s->cap)
		return true;
	cap = MAX_OF(s->cap + s->cap / 2, (size_t)32);
	if (cap < want)
		cap = want;
	p = mem_realloc(s->cap ? s->buf : NULL, cap);
	if (!p)
		goto fail;
	if (!s->cap)
		p[0] = '\0';
	s->buf = p;
	s->cap = cap;
	return true;
fail:
	s->err = -ENOMEM;
	return false;
}

void str_addn(struct str *s, const void *p, size_t n)
{
	if (n == 0 || !grow(s, n))
		return;
	memcpy(s->buf + s->len, p, n);
	s->len += n;
	s->buf[s->len] = '\0';
}

void str_add(struct str *s, const char *text)
{
	str_addn(s, text, strlen(text));
}

void str_addc(struct str *s, char c)
{
	str_addn(s, &c, 1);
}

void str_adds(struct str *s, struct slice v)
{
	str_addn(s, v.p, v.n);
}

void str_addv(struct str *s, const char *fmt, va_list ap)
{
	va_list copy;
	int n;

	va_copy(copy, ap);
	n = vsnprintf(NULL, 0, fmt, copy);
	va_end(copy);
	if (n < 0) {
		s->err = s->err ? s->err : -EINVAL;
		return;
	}
	if (!grow(s, (size_t)n))
		return;
	vsnprintf(s->buf + s->len, (size_t)n + 1, fmt, ap);
	s->len += (size_t)n;
}

void str_addf(struct str *s, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	str_addv(s, fmt, ap);
	va_end(ap);
}

char *str_room(struct str *s, size_t n)
{
	return grow(s, n) ? s->buf + s->len : NULL;
}

void str_grown(struct str *s, size_t n)
{
	s->len += n;
	s->buf[s->len] = '\0';
}

void str_cut(struct str *s, size_t len)
{
	if (len >= s->len)
		return;
	s->len = len;
	s->buf[len] = '\0';
}

void str_drop(struct str *s, size_t n)
{
	if (n == 0)
		return;
	if (n > s->len)
		n = s->len;
	memmove(s->buf, s->buf + n, s->len - n);
	s->len -= n;
	s->buf[s->len] = '\0';
}

int str_err(const struct str *s)
{
	return s->err;
}

char *str_take(struct str *s)
{
	char *p;

	if (!grow(s, 0))
		return NULL;
	p = s->buf;
	*s = (struct str)STR_INIT;
	return p;
}

struct slice str_slice(const struct str *s)
{
	return (struct slice){ s->buf, s->len };
}

void str_done(struct str *s)
{
	if (!s)
		return;
	if (s->cap)
		free(s->buf);
	*s = (struct str)STR_INIT;
}
