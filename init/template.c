/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "init/template.h"

#include <string.h>

size_t template_of(struct slice name)
{
	const char *at = name.n ? memchr(name.p, '@', name.n) : NULL;
	size_t n = at ? (size_t)(at - name.p) + 1 : 0;

	return n > 1 && n < name.n ? n : 0;
}

static void expand_line(struct slice line, struct slice name, struct str *out)
{
	size_t at = template_of(name);
	struct slice instance = { name.p + at, name.n - at };

	for (size_t i = 0; i < line.n; i++) {
		char next = line.p[i] == '%' && i + 1 < line.n ? line.p[i + 1] : '\0';
		if (next != 'i' && next != 'n' && next != '%') {
			str_addc(out, line.p[i]);
			continue;
		}
		if (next == 'i')
			str_addn(out, instance.p, instance.n);
		else if (next == 'n')
			str_addn(out, name.p, name.n);
		else
			str_addc(out, '%');
		i++;
	}
	str_addc(out, '\n');
}

void template_expand(struct slice text, unsigned line, struct slice name, struct str *out)
{
	struct slice row;
	bool continued = false;

	for (unsigned i = 1; i < line && slice_cut(&text, '\n', &row); i++)
		str_addc(out, '\n');
	slice_cut(&text, '\n', &row);
	str_add(out, "[x]\n");
	while (slice_cut(&text, '\n', &row)) {
		struct slice bare = slice_trim(row);
		if (!continued && bare.n && bare.p[0] == '[')
			break;
		continued = bare.n && bare.p[bare.n - 1] == '\\';
		expand_line(row, name, out);
	}
}

struct slice template_header(struct slice line)
{
	static const char start[] = "[service ";

	line = slice_trim(line);
	if (!slice_starts(line, start) || line.p[line.n - 1] != ']')
		return (struct slice){ line.p, 0 };
	return slice_trim((struct slice){ line.p + sizeof(start) - 1, line.n - sizeof(start) });
}

bool template_text_has(struct slice text, struct slice name)
{
	struct slice line;

	while (slice_cut(&text, '\n', &line)) {
		struct slice found = template_header(line);
		if (found.n == name.n && memcmp(found.p, name.p, name.n) == 0)
			return true;
	}
	return false;
}
