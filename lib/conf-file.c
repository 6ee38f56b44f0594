/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/conf-file.h"

#include <errno.h>
#include <fcntl.h>

#include "lib/fd.h"
#include "lib/str.h"

struct only {
	const char *kind;
	void *object;
};

static int only_section(void *arg, struct conf_ctx *c, struct slice kind, struct slice name)
{
	const struct only *o = arg;

	if (!slice_is(kind, o->kind) || name.n)
		return conf_error(c, "unknown section");
	c->object = o->object;
	return 0;
}

int conf_load(const struct conf_file *f, const char *path, void *arg, bool *ret_found,
	      struct arena *a, struct err *e)
{
	auto_str struct str text = STR_INIT;
	struct only only = { f->only, arg };
	struct err tmp = ERR_INIT;
	int r = file_read(AT_FDCWD, path, &text, f->limit, &tmp);

	if (ret_found)
		*ret_found = r != -ENOENT;
	if (ret_found && r == -ENOENT)
		return 0;
	if (r < 0) {
		*e = tmp;
		return r;
	}
	return conf_parse(str_slice(&text), path, f->keys, f->nkeys,
			  f->only ? only_section : f->section, f->only ? &only : arg, a, e);
}
