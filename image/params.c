/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "image/params.h"

#include <errno.h>
#include <stdbool.h>

#include "lib/size.h"
#include "lib/str.h"

static bool is_root_word(struct slice word)
{
	static const char *const keys[] = { "root=", "rootfstype=", "rootflags=" };

	for (size_t i = 0; i < ARRAY_LEN(keys); i++)
		if (slice_starts(word, keys[i]))
			return true;
	return slice_is(word, "ro") || slice_is(word, "rw");
}

/* The next word; double quotes keep blanks together. */
static struct slice next_word(const char **p)
{
	bool quoted = false;
	const char *start;

	while (**p == ' ')
		++*p;
	start = *p;
	for (; **p && (quoted || **p != ' '); ++*p)
		quoted ^= **p == '"';
	return (struct slice){ start, (size_t)(*p - start) };
}

int params_with_root(struct arena *a, const char *params, const char *root, const char **ret,
		     struct err *e)
{
	auto_str struct str out = STR_INIT;

	str_add(&out, root);
	for (struct slice word = next_word(&params); word.n; word = next_word(&params)) {
		if (is_root_word(word))
			continue;
		str_addc(&out, ' ');
		str_adds(&out, word);
	}
	*ret = str_err(&out) ? NULL : arena_slice(a, str_slice(&out));
	return *ret ? 0 : err_num(e, -ENOMEM, "kernel parameters");
}
