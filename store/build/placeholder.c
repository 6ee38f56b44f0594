/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "store/build/placeholder.h"

#include <stdio.h>

struct mark {
	char text[DIGEST_TEXT_MAX + 1];
	size_t n;
};

static void mark_of(const char *output, struct mark *ret)
{
	auto_str struct str name = STR_INIT;
	char hash[DIGEST_TEXT_MAX];
	str_addf(&name, "nix-output:%s", output);
	struct digest d = digest_of(DIGEST_SHA256, name.buf, name.len);
	digest_base32(&d, hash);
	ret->n = (size_t)snprintf(ret->text, sizeof(ret->text), "/%s", hash);
}

static struct slice fill_one(struct arena *a, const struct drv_output *o, struct slice text)
{
	struct mark m;
	mark_of(o->id, &m);
	const char *at = memmem(text.p, text.n, m.text, m.n);
	if (!at)
		return text;
	auto_str struct str out = STR_INIT;
	for (; at; at = memmem(text.p, text.n, m.text, m.n)) {
		str_addn(&out, text.p, (size_t)(at - text.p));
		str_add(&out, o->path);
		text.n -= (size_t)(at + m.n - text.p);
		text.p = at + m.n;
	}
	str_adds(&out, text);
	return (struct slice){ str_err(&out) ? NULL : arena_slice(a, str_slice(&out)), out.len };
}

struct slice placeholder_fill(struct arena *a, const struct drv *d, struct slice text)
{
	for (size_t i = 0; text.p && i < d->noutputs; i++)
		text = fill_one(a, &d->outputs[i], text);
	return text;
}
