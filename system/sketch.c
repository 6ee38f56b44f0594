/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "system/sketch.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>

#include "lib/fd.h"
#include "lib/path.h"
#include "lib/size.h"
#include "system/tree.h"

/* The description, as system/cmd_builder.c puts it together; nothing: the derivation makes no tree.
 * An initramfs has one, too, but makes an archive of it. */
static int description(const struct drv *d, struct str *out)
{
	char name[16] = "spec";
	bool found = true;

	for (size_t i = 0; i < d->nargs; i++)
		if (memmem(d->args[i].p, d->args[i].n, "cpio", 4))
			return 0;
	for (unsigned i = 1; found; i++) {
		str_adds(out, drv_env(d, name, &found));
		(void)snprintf(name, sizeof(name), "spec%u", i);
	}
	return str_err(out);
}

static int write_tree(const struct drv *d, const char *dir, struct err *e)
{
	const struct drv_output *out = drv_output(d, "out");
	auto_arena struct arena a = ARENA_INIT;
	auto_str struct str text = STR_INIT;
	char path[PATH_MAX];
	struct tree t;
	int rc = out ? description(d, &text) : -EINVAL;

	if (rc < 0)
		return err_num(e, rc, "%s", d->name);
	if (!text.len || path_join(path, dir, out->path + 1) < 0)
		return err_set(e, -ERR_INVALID, "derivation '%s' makes no tree", d->name);
	rc = tree_parse(&a, str_slice(&text), d->name, out->path, &t, e);
	if (rc < 0)
		return rc;
	rc = tree_write(&t, path, e);
	tree_done(&t);
	return rc;
}

static bool is_wanted(const struct node *n)
{
	static const char *const names[] = { "etc", "services" };

	for (size_t i = 0; n->drv && i < ARRAY_LEN(names); i++)
		if (strcmp(n->drv->name, names[i]) == 0)
			return true;
	return false;
}

int sketch_write(const struct graph *g, const struct node *system, const char *dir, struct err *e)
{
	char store[PATH_MAX];
	int rc = path_join(store, dir, g->store_dir + 1);

	if (rc < 0 || !system->drv)
		return err_num(e, -EINVAL, "%s", dir);
	rc = file_mkdir_p(AT_FDCWD, store, 0700, e);
	if (rc == 0)
		rc = write_tree(system->drv, dir, e);
	for (size_t i = 0; rc == 0 && i < system->ndeps; i++)
		if (is_wanted(system->deps[i]))
			rc = write_tree(system->deps[i]->drv, dir, e);
	return rc;
}

/* All that it is made from: that is what links and texts mention, and what puts them together. */
bool sketch_refs(const struct graph *g, const char *path, struct vec *ret)
{
	const struct node *n = NULL;
	auto_str struct str text = STR_INIT;

	for (size_t i = 0; !n && i < g->nnodes; i++) {
		const struct drv_output *out =
			g->nodes[i]->drv ? drv_output(g->nodes[i]->drv, "out") : NULL;

		if (out && strcmp(out->path, path) == 0)
			n = g->nodes[i];
	}
	if (!n || description(n->drv, &text) < 0 || !text.len)
		return false;
	for (size_t i = 0; i < n->ndeps; i++) {
		const struct node *d = n->deps[i];

		for (size_t k = 0; d->drv && k < d->drv->noutputs; k++)
			if (memmem(text.buf, text.len, d->drv->outputs[k].path,
				   strlen(d->drv->outputs[k].path)))
				vec_add(ret, (void *)d->drv->outputs[k].path);
		if (!d->drv)
			vec_add(ret, (void *)d->store);
	}
	return true;
}
