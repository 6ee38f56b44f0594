/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "system/modules.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>

#include "lib/fd.h"
#include "lib/path.h"
#include "lib/str.h"
#include "lib/text.h"

#define LIMIT_MODULES_FILE (8 << 20)
#define LIMIT_MODULE_DEPTH 64

char *modules_name(struct arena *a, struct slice file)
{
	char *name = arena_slice(a, file);
	char *base = name ? (char *)path_base(name) : NULL;
	char *dot = base ? strchr(base, '.') : NULL;

	if (dot)
		*dot = '\0';
	for (char *p = base; p && *p; p++) {
		if (*p == '-')
			*p = '_';
	}
	return base;
}

/* The one directory below KERNEL/lib/modules. */
static int find_version(struct arena *a, const char *kernel, char **ret, struct err *e)
{
	char *top = arena_fmt(a, "%s/lib/modules", kernel);
	DIR *dir = top ? opendir(top) : NULL;
	struct dirent *d;
	char *found = NULL;
	int more;

	if (!dir)
		return err_sys(e, "%s/lib/modules", kernel);
	while ((more = file_next(dir, &d)) > 0) {
		if (d->d_name[0] != '.' && !found)
			found = arena_fmt(a, "%s/%s", top, d->d_name);
	}
	closedir(dir);
	if (more < 0)
		return err_num(e, more, "%s/lib/modules", kernel);
	if (!found)
		return err_set(e, -ERR_NOTFOUND, "%s has no modules", kernel);
	*ret = found;
	return 0;
}

static int add_line(struct modules *x, struct slice line, bool builtin, struct err *e)
{
	struct slice rest = line, file;
	struct module *m = ARENA_NEW(x->a, struct module);
	bool new;
	void **slot;

	if (line.n == 0 || !slice_cut(&rest, ':', &file))
		return 0;
	if (!m)
		return err_set(e, -ENOMEM, "out of memory");
	m->name = modules_name(x->a, file);
	m->file = arena_slice(x->a, file);
	m->needs = builtin ? (struct slice){ "", 0 } : slice_trim(rest);
	m->builtin = builtin;
	if (!m->name || !m->file)
		return err_set(e, -ENOMEM, "out of memory");
	slot = tab_put(&x->by_name, slice_of(m->name), &new);
	if (!slot)
		return err_set(e, -ENOMEM, "out of memory");
	if (new) {
		*slot = m;
		vec_add(&x->names, (void *)m->name);
	}
	return 0;
}

static int read_index(struct modules *x, const char *name, bool builtin, struct err *e)
{
	auto_str struct str text = STR_INIT;
	char *file = arena_fmt(x->a, "%s/%s", x->dir, name);
	struct slice rest, line;
	struct err tmp = ERR_INIT;
	int rc = file ? file_read(AT_FDCWD, file, &text, LIMIT_MODULES_FILE, &tmp) : -ENOMEM;

	if (rc == -ENOENT && builtin)
		return 0;
	if (rc < 0)
		return err_set(e, rc, "%s", tmp.msg);
	rest = slice_of(arena_slice(x->a, str_slice(&text)));
	while (rc == 0 && slice_cut(&rest, '\n', &line))
		rc = add_line(x, line, builtin, e);
	return rc;
}

/* m after everything it needs. modules.dep lists needs so that the last one is loaded first. */
static int take(struct modules *x, struct module *m, unsigned depth, struct vec *ret, struct err *e)
{
	struct slice rest = m->needs, file;

	if (m->round == x->round || m->builtin)
		return 0;
	m->round = x->round;
	if (depth > LIMIT_MODULE_DEPTH)
		return err_set(e, -ERR_LIMIT, "module %s: dependencies too deep", m->name);
	while (rest.n && slice_cut(&rest, ' ', &file)) {
		char *name = modules_name(x->a, file);
		struct module *need = name ? tab_find(&x->by_name, slice_of(name)) : NULL;
		int rc = need ? take(x, need, depth + 1, ret, e) : 0;

		if (rc < 0)
			return rc;
	}
	vec_add(ret, m);
	return ret->err || arena_err(x->a) ? err_set(e, -ENOMEM, "out of memory") : 0;
}

int modules_order(struct modules *x, struct module *m, struct vec *ret, struct err *e)
{
	x->round++;
	return take(x, m, 0, ret, e);
}

int modules_load(struct modules *x, const char *kernel, struct err *e)
{
	char *dir = NULL;
	int rc = find_version(x->a, kernel, &dir, e);

	if (rc < 0)
		return rc;
	x->dir = dir;
	rc = read_index(x, "modules.dep", false, e);
	return rc < 0 ? rc : read_index(x, "modules.builtin", true, e);
}

struct module *modules_find(struct modules *x, const char *name)
{
	char *base = modules_name(x->a, slice_of(name));

	return base ? tab_find(&x->by_name, slice_of(base)) : NULL;
}

static const char *nearest(const struct modules *x, const char *name)
{
	return text_nearest(name, (const char *const *)x->names.v, x->names.n);
}

static int resolve(struct modules *x, const char *kernel, const char *const *names, struct vec *ret,
		   struct err *e)
{
	auto_vec struct vec list = VEC_INIT;
	int rc = modules_load(x, kernel, e);

	x->round++;
	for (size_t i = 0; rc == 0 && names[i]; i++) {
		struct module *m = modules_find(x, names[i]);
		const char *near;

		if (m) {
			rc = take(x, m, 0, &list, e);
			continue;
		}
		near = nearest(x, names[i]);
		return err_set(e, -ERR_NOTFOUND, "the kernel has no module '%s'%s%s%s", names[i],
			       near ? "; did you mean '" : "", near ? near : "", near ? "'?" : "");
	}
	for (size_t i = 0; rc == 0 && i < list.n; i++)
		vec_add(ret,
			arena_fmt(x->a, "%s/%s", x->dir, ((const struct module *)list.v[i])->file));
	return rc == 0 && (ret->err || arena_err(x->a)) ? err_set(e, -ENOMEM, "out of memory") : rc;
}

void modules_done(struct modules *x)
{
	tab_done(&x->by_name);
	vec_done(&x->names);
}

int modules_resolve(struct arena *a, const char *kernel, const char *const *names, struct vec *ret,
		    struct err *e)
{
	struct modules x = MODULES_INIT(a);
	int rc = resolve(&x, kernel, names, ret, e);

	modules_done(&x);
	return rc;
}

int modules_missing(struct arena *a, const char *kernel, const char *const *names, size_t *ret,
		    const char **ret_near, struct err *e)
{
	struct modules x = MODULES_INIT(a);
	int rc = modules_load(&x, kernel, e);
	size_t i = 0;

	while (rc == 0 && names[i] && modules_find(&x, names[i]))
		i++;
	if (rc == 0) {
		*ret = i;
		*ret_near = names[i] ? nearest(&x, names[i]) : NULL;
	}
	modules_done(&x);
	return rc;
}
