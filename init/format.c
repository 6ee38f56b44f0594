/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "init/format.h"

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

struct out {
	char *p;
	size_t size, len; /* len: of the whole */
};

struct spec {
	bool left, zero, prefix;
	int width, precision; /* precision -1: none */
	int longs;	      /* 2 for size_t, too */
};

static void put(struct out *o, const char *text, size_t n)
{
	for (; n--; text++, o->len++)
		if (o->len + 1 < o->size)
			o->p[o->len] = *text;
}

static void pad(struct out *o, char with, int n)
{
	while (n-- > 0)
		put(o, &with, 1);
}

/* sign and digits, with zeros or blanks around them. */
static void put_field(struct out *o, const struct spec *s, const char *sign, const char *text,
		      size_t n)
{
	int fill = s->width - (int)n - (int)strlen(sign);

	if (!s->left && !s->zero)
		pad(o, ' ', fill);
	put(o, sign, strlen(sign));
	if (!s->left && s->zero)
		pad(o, '0', fill);
	put(o, text, n);
	if (s->left)
		pad(o, ' ', fill);
}

static void put_number(struct out *o, struct spec *s, char kind, uint64_t n)
{
	const char *digits = kind == 'X' ? "0123456789ABCDEF" : "0123456789abcdef", *sign = "";
	unsigned base = kind == 'x' || kind == 'X' ? 16 : 10;
	char text[72], *at = text + sizeof(text);

	if ((kind == 'd' || kind == 'i') && (int64_t)n < 0) {
		sign = "-";
		n = -n;
	} else if (base == 16 && s->prefix && n) {
		sign = kind == 'x' ? "0x" : "0X";
	}
	for (bool first = true; n || (first && s->precision != 0); n /= base, first = false)
		*--at = digits[n % base];
	while (text + sizeof(text) - at < s->precision && at > text)
		*--at = '0';
	s->zero &= s->precision < 0;
	put_field(o, s, sign, at, (size_t)(text + sizeof(text) - at));
}

static int take_count(const char **f, va_list *ap)
{
	int n = 0;

	if (**f == '*') {
		(*f)++;
		return va_arg(*ap, int);
	}
	for (; **f >= '0' && **f <= '9'; (*f)++)
		if (n < INT_MAX / 16)
			n = n * 10 + (**f - '0');
	return n;
}

static const char *take_spec(const char *f, struct spec *s, va_list *ap)
{
	*s = (struct spec){ .precision = -1 };
	for (; *f == '-' || *f == '0' || *f == '#'; f++) {
		s->left |= *f == '-';
		s->zero |= *f == '0';
		s->prefix |= *f == '#';
	}
	s->width = take_count(&f, ap);
	if (s->width < 0) {
		s->left = true;
		s->width = -s->width;
	}
	if (*f == '.') {
		f++;
		s->precision = take_count(&f, ap);
	}
	for (; *f == 'l' || *f == 'z'; f++)
		s->longs += *f == 'z' ? 2 : 1;
	return f;
}

static uint64_t take_number(const struct spec *s, char kind, va_list *ap)
{
	bool with_sign = kind == 'd' || kind == 'i';

	if (s->longs > 1)
		return va_arg(*ap, unsigned long long);
	if (s->longs)
		return with_sign ? (uint64_t)va_arg(*ap, long) : va_arg(*ap, unsigned long);
	return with_sign ? (uint64_t)va_arg(*ap, int) : va_arg(*ap, unsigned);
}

static void put_string(struct out *o, struct spec *s, const char *text)
{
	size_t n = 0, most = s->precision < 0 ? SIZE_MAX : (size_t)s->precision;

	if (!text)
		text = "(null)";
	while (n < most && text[n])
		n++;
	s->zero = false;
	put_field(o, s, "", text, n);
}

int format_text(char *out, size_t size, const char *f, va_list args)
{
	struct out o = { out, size, 0 };
	struct spec s;
	va_list ap;
	char c;

	va_copy(ap, args);
	for (; *f; f++) {
		const char *start = f;
		if (*f != '%') {
			put(&o, f, 1);
			continue;
		}
		f = take_spec(f + 1, &s, &ap);
		if (*f == 's') {
			put_string(&o, &s, va_arg(ap, const char *));
		} else if (*f == 'c') {
			c = (char)va_arg(ap, int);
			s.zero = false;
			put_field(&o, &s, "", &c, 1);
		} else if (*f && strchr("diuxX", *f)) {
			put_number(&o, &s, *f, take_number(&s, *f, &ap));
		} else if (*f == '%') {
			put(&o, "%", 1);
		} else {
			f -= !*f;
			put(&o, start, (size_t)(f - start) + 1);
		}
	}
	va_end(ap);
	if (size)
		out[o.len < size ? o.len : size - 1] = '\0';
	return o.len > INT_MAX ? -1 : (int)o.len;
}
