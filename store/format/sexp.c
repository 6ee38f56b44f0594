/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Walking over canonical s-expressions. */
#include "store/format/crypto.h"

/* "LENGTH:BYTES" at the start of s: length of the whole, 0 when there is none. Atoms without bytes
 * are none: libgcrypt writes and does not read them. */
static size_t atom_length(struct slice s, struct slice *ret)
{
	size_t n = 0, i = 0;

	while (i < s.n && s.p[i] >= '0' && s.p[i] <= '9' && n < LIMIT_SEXP)
		n = n * 10 + (size_t)(s.p[i++] - '0');
	if (!n || i >= s.n || s.p[i] != ':' || n > s.n - i - 1)
		return 0;
	*ret = (struct slice){ s.p + i + 1, n };
	return i + 1 + n;
}

/* Length of the list at the start of s, parentheses included; 0 when it has no end. */
static size_t list_length(struct slice s)
{
	size_t depth = 0, i = 0;
	struct slice atom;

	while (i < s.n) {
		size_t n = 1;

		if (s.p[i] == '(')
			depth++;
		else if (s.p[i] == ')')
			depth--;
		else
			n = atom_length((struct slice){ s.p + i, s.n - i }, &atom);
		if (!n)
			return 0;
		i += n;
		if (!depth)
			return i;
	}
	return 0;
}

bool sexp_next(struct slice *rest, struct sexp_item *ret)
{
	struct sexp_item item = { .list = rest->n && rest->p[0] == '(' };
	size_t n = item.list ? list_length(*rest) : atom_length(*rest, &item.v);

	if (!n)
		return false;
	item.whole = (struct slice){ rest->p, n };
	if (item.list)
		item.v = (struct slice){ rest->p + 1, n - 2 };
	*ret = item;
	*rest = (struct slice){ rest->p + n, rest->n - n };
	return true;
}

bool sexp_is(struct slice canon, const char *name, struct slice *ret_rest)
{
	struct sexp_item list, head;

	if (!sexp_next(&canon, &list) || !list.list || canon.n)
		return false;
	if (!sexp_next(&list.v, &head) || head.list || !slice_is(head.v, name))
		return false;
	*ret_rest = list.v;
	return true;
}

void sexp_atom(struct str *out, const void *p, size_t n)
{
	str_addf(out, "%zu:", n);
	str_addn(out, p, n);
}
