/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "store/format/scheme.h"

#include <errno.h>

#include "lib/str.h"

static bool blank(char c)
{
	return c == ' ' || c == '\n' || c == '\t' || c == '\r';
}

static void skip_blanks(struct slice *s)
{
	while (s->n && blank(*s->p)) {
		s->p++;
		s->n--;
	}
}

static bool take(struct slice *s, char c)
{
	skip_blanks(s);
	if (!s->n || *s->p != c)
		return false;
	s->p++;
	s->n--;
	return true;
}

/* One character after a backslash, as `write' makes them; 0: unknown. */
static char unescape(char c)
{
	switch (c) {
	case 'n':
		return '\n';
	case 't':
		return '\t';
	case 'r':
		return '\r';
	case '"':
	case '\\':
		return c;
	default:
		return 0;
	}
}

static int read_string(struct arena *a, struct slice *s, struct vec *ret, struct err *e)
{
	auto_str struct str out = STR_INIT;
	if (!take(s, '"'))
		return err_set(e, -ERR_SYNTAX, "a string is expected");
	while (s->n && *s->p != '"') {
		char c = *s->p;
		if (c == '\\' && s->n > 1) {
			s->p++;
			s->n--;
			c = unescape(*s->p);
		}
		if (!c)
			return err_set(e, -ERR_SYNTAX, "unknown escape in a string");
		str_addc(&out, c);
		s->p++;
		s->n--;
	}
	if (!take(s, '"'))
		return err_set(e, -ERR_SYNTAX, "a string is not closed");
	vec_add(ret, arena_strn(a, out.buf, out.len));
	return ret->err || str_err(&out) || arena_err(a) ? err_set(e, -ENOMEM, "out of memory") : 0;
}

int scheme_strings(struct arena *a, struct slice text, struct vec *ret, struct err *e)
{
	int r = 0;
	if (take(&text, '(')) {
		while (!r && !take(&text, ')'))
			r = read_string(a, &text, ret, e);
	} else {
		r = read_string(a, &text, ret, e);
	}
	skip_blanks(&text);
	if (!r && text.n)
		r = err_set(e, -ERR_SYNTAX, "something follows the value");
	if (!r && !ret->n)
		r = err_set(e, -ERR_SYNTAX, "the list is empty");
	return r;
}

static struct slice take_symbol(struct slice *s)
{
	skip_blanks(s);
	struct slice word = { s->p, 0 };
	while (s->n && !blank(*s->p) && !strchr("()\"", *s->p)) {
		s->p++;
		s->n--;
		word.n++;
	}
	return word;
}

int scheme_assoc(struct arena *a, struct slice text, struct slice key, struct vec *ret,
		 struct err *e)
{
	bool found = false;
	if (!take(&text, '('))
		return err_set(e, -ERR_SYNTAX, "a list is expected");
	while (!found && !take(&text, ')')) {
		auto_vec struct vec row = VEC_INIT;
		if (!take(&text, '('))
			return err_set(e, -ERR_SYNTAX, "a list of lists is expected");
		struct slice name = take_symbol(&text);
		int r = name.n ? 0 : err_set(e, -ERR_SYNTAX, "a symbol is expected");
		while (!r && !take(&text, ')'))
			r = read_string(a, &text, &row, e);
		if (r)
			return r;
		found = slice_eq(name, key);
		for (size_t i = 0; found && i < row.n; i++)
			vec_add(ret, row.v[i]);
	}
	return ret->err ? err_set(e, -ENOMEM, "out of memory") : 0;
}
