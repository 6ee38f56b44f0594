/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "system/module-tree.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/fd.h"
#include "lib/path.h"
#include "lib/size.h"
#include "lib/str.h"
#include "system/modinfo.h"
#include "system/modules.h"

#define LIMIT_MODULE	(256 << 20)
#define LIMIT_LIST	(32 << 20)
#define LIMIT_TREE_DEEP 32

struct merge {
	struct arena *a;
	const char *kernel, *version;
	const char *package;	/* whose modules are read */
	struct modules modules; /* all of them: a package's in place of the kernel's of its name */
	struct vec aliases, softdeps; /* lines, of packages' modules */
	struct vec *ret;
	struct err *e;
};

static int no_memory(struct merge *x)
{
	return err_set(x->e, -ENOMEM, "out of memory");
}

static int add_file(struct merge *x, struct module_file f)
{
	struct module_file *copy = arena_dup(x->a, &f, sizeof(f));

	vec_add(x->ret, copy);
	return copy && f.path && !x->ret->err ? 0 : no_memory(x);
}

static int add_link(struct merge *x, const char *rel, const char *target)
{
	return add_file(x, (struct module_file){
				   arena_fmt(x->a, "%s/%s", x->version, rel), target, { "", 0 } });
}

/* ---- Directories ----------------------------------------------------------------------------- */

static int list_names(struct merge *x, const char *dir, struct vec *ret)
{
	DIR *d = opendir(dir);
	struct dirent *n;
	int more;

	if (!d)
		return err_sys(x->e, "%s", dir);
	while ((more = file_next(d, &n)) > 0)
		if (strcmp(n->d_name, ".") != 0 && strcmp(n->d_name, "..") != 0)
			vec_add(ret, arena_str(x->a, n->d_name));
	closedir(d);
	if (more < 0)
		return err_num(x->e, more, "%s", dir);
	if (ret->err || arena_err(x->a))
		return no_memory(x);
	vec_sort_str(ret);
	return 0;
}

typedef int visit_fn(struct merge *x, const char *path, const char *rel);

/* All below dir that is no directory; rel: its path below the version's. */
static int walk(struct merge *x, const char *dir, const char *rel, unsigned depth, visit_fn *visit)
{
	auto_vec struct vec names = VEC_INIT;
	int rc = list_names(x, dir, &names);

	if (depth > LIMIT_TREE_DEEP)
		return err_set(x->e, -ERR_LIMIT, "%s: too deep", dir);
	for (size_t i = 0; rc == 0 && i < names.n; i++) {
		const char *name = names.v[i];
		char *path = arena_fmt(x->a, "%s/%s", dir, name);
		char *below = arena_fmt(x->a, "%s%s%s", rel, rel[0] ? "/" : "", name);
		struct stat st;

		if (!path || !below)
			return no_memory(x);
		if (lstat(path, &st) < 0)
			return err_sys(x->e, "%s", path);
		rc = S_ISDIR(st.st_mode) ? walk(x, path, below, depth + 1, visit)
					 : visit(x, path, below);
	}
	return rc;
}

/* ---- Modules of packages --------------------------------------------------------------------- */

static int check_magic(struct merge *x, const char *path, struct slice magic)
{
	struct slice version = { "", 0 };

	(void)slice_cut(&magic, ' ', &version);
	if (slice_is(version, x->version))
		return 0;
	return err_set(x->e, -ERR_INVALID,
		       "%s is made for the kernel %.*s, not for %s, which %s is", path,
		       (int)(version.n < 60 ? version.n : 60), version.p, x->version, x->kernel);
}

static int add_line(struct merge *x, struct vec *lines, const char *prefix, struct slice value,
		    const char *name)
{
	auto_str struct str line = STR_INIT;

	if (memchr(value.p, '\n', value.n))
		return err_set(x->e, -ERR_INVALID, "the module %s says something with a newline",
			       name);
	str_adds(&line, slice_of(prefix));
	if (lines == &x->softdeps)
		str_addf(&line, "%s ", name);
	str_adds(&line, value);
	if (lines == &x->aliases)
		str_addf(&line, " %s", name);
	vec_add(lines, arena_slice(x->a, str_slice(&line)));
	return str_err(&line) || lines->err || arena_err(x->a) ? no_memory(x) : 0;
}

/* "a,b-c" -> "a b-c" */
static int take_needs(struct merge *x, struct module *m, struct slice value)
{
	char *text = arena_slice(x->a, value);

	if (!text)
		return no_memory(x);
	m->needs = (struct slice){ text, value.n };
	for (size_t i = 0; i < value.n; i++)
		if (text[i] == ',')
			text[i] = ' ';
	return 0;
}

static int take_info(struct merge *x, struct module *m, const char *path, struct slice info)
{
	struct slice key, value;
	bool magic = false;
	int rc = 0;

	while (rc == 0 && modinfo_next(&info, &key, &value)) {
		if (slice_is(key, "vermagic")) {
			magic = true;
			rc = check_magic(x, path, value);
		} else if (slice_is(key, "depends")) {
			rc = take_needs(x, m, value);
		} else if (slice_is(key, "alias")) {
			rc = add_line(x, &x->aliases, "alias ", value, m->name);
		} else if (slice_is(key, "softdep")) {
			rc = add_line(x, &x->softdeps, "softdep ", value, m->name);
		}
	}
	if (rc == 0 && !magic)
		return err_set(x->e, -ERR_INVALID, "%s does not say which kernel it is made for",
			       path);
	return rc;
}

static int place(struct merge *x, struct module *m)
{
	struct module *before = modules_find(&x->modules, m->name);
	void **slot;
	bool new;

	if (before && before->from)
		return err_set(x->e, -ERR_INVALID, "both %s and %s have the module '%s'",
			       before->from, m->from, m->name);
	if (before && before->builtin)
		return err_set(x->e, -ERR_INVALID,
			       "%s has the module '%s', which is a part of the kernel itself",
			       m->from, m->name);
	slot = tab_put(&x->modules.by_name, slice_of(m->name), &new);
	if (!slot)
		return no_memory(x);
	*slot = m;
	if (new)
		vec_add(&x->modules.names, (void *)m->name);
	return x->modules.names.err ? no_memory(x) : 0;
}

/* visit_fn */
static int visit_module(struct merge *x, const char *path, const char *rel)
{
	auto_str struct str file = STR_INIT;
	struct module *m;
	struct slice info;
	int rc;

	if (strstr(path_base(rel), ".ko."))
		return err_set(x->e, -ERR_UNSUPPORTED,
			       "%s is compressed, and what loads modules cannot unpack them", path);
	if (!slice_ends(slice_of(rel), ".ko"))
		return 0;
	rc = file_read(AT_FDCWD, path, &file, LIMIT_MODULE, x->e);
	if (rc < 0)
		return rc;
	if (!modinfo_find(str_slice(&file), &info))
		return err_set(x->e, -ERR_INVALID, "%s is no kernel module", path);
	m = ARENA_NEW(x->a, struct module);
	if (!m)
		return no_memory(x);
	*m = (struct module){ .name = modules_name(x->a, slice_of(rel)),
			      .file = rel,
			      .needs = { "", 0 },
			      .from = x->package };
	if (!m->name)
		return no_memory(x);
	rc = take_info(x, m, path, info);
	if (rc == 0)
		rc = place(x, m);
	return rc == 0 ? add_link(x, rel, path) : rc;
}

static int read_package(struct merge *x, const char *package)
{
	auto_vec struct vec versions = VEC_INIT;
	char *top = arena_fmt(x->a, "%s/lib/modules", package);
	size_t before = x->ret->n;
	int rc = top ? 0 : no_memory(x);

	x->package = package;
	if (rc == 0 && access(top, F_OK) == 0)
		rc = list_names(x, top, &versions);
	for (size_t i = 0; rc == 0 && i < versions.n; i++) {
		const char *version = versions.v[i];
		char *dir = arena_fmt(x->a, "%s/%s", top, version);

		if (strcmp(version, x->version) != 0)
			return err_set(x->e, -ERR_INVALID,
				       "%s has modules for the kernel %s, not for %s, which %s is",
				       package, version, x->version, x->kernel);
		rc = dir ? walk(x, dir, "", 0, visit_module) : no_memory(x);
	}
	if (rc == 0 && x->ret->n == before)
		return err_set(x->e, -ERR_INVALID, "%s has no modules in lib/modules", package);
	return rc;
}

static int check_needs(struct merge *x)
{
	for (size_t i = 0; i < x->modules.names.n; i++) {
		const struct module *m = modules_find(&x->modules, x->modules.names.v[i]);
		struct slice rest = m ? m->needs : (struct slice){ "", 0 }, word;

		while (m && m->from && rest.n && slice_cut(&rest, ' ', &word)) {
			char *name = arena_slice(x->a, word);

			if (!name)
				return no_memory(x);
			if (word.n && !modules_find(&x->modules, name))
				return err_set(x->e, -ERR_NOTFOUND,
					       "the module '%s' of %s needs '%s', which neither "
					       "the kernel nor another package has",
					       m->name, m->from, name);
		}
	}
	return 0;
}

/* ---- The kernel, and the lists --------------------------------------------------------------- */

static bool is_replaced(struct merge *x, struct slice file)
{
	char *name = arena_slice(x->a, file);
	const struct module *m = name ? modules_find(&x->modules, name) : NULL;

	return m && m->from;
}

/* visit_fn: all but the lists, and modules that a package has, too. modules.symbols stays: what
 * takes the place of a module is taken to have its symbols. */
static int visit_kernel(struct merge *x, const char *path, const char *rel)
{
	static const char *const lists[] = { "modules.dep", "modules.alias", "modules.softdep" };
	struct slice base = slice_of(path_base(rel));

	for (size_t i = 0; i < ARRAY_LEN(lists); i++)
		if (strcmp(rel, lists[i]) == 0)
			return 0;
	if (slice_starts(slice_of(rel), "modules.") && slice_ends(base, ".bin"))
		return 0;
	if (strstr(base.p, ".ko") && is_replaced(x, base))
		return 0;
	return add_link(x, rel, path);
}

static int write_list(struct merge *x, const char *name, struct vec *lines)
{
	auto_str struct str text = STR_INIT;
	char *copy;

	if (lines->err || arena_err(x->a))
		return no_memory(x);
	vec_sort_str(lines);
	vec_uniq_str(lines);
	for (size_t i = 0; i < lines->n; i++)
		str_addf(&text, "%s\n", (const char *)lines->v[i]);
	copy = arena_slice(x->a, str_slice(&text));
	if (str_err(&text) || !copy)
		return no_memory(x);
	return add_file(x, (struct module_file){ arena_fmt(x->a, "%s/%s", x->version, name),
						 NULL,
						 { copy, text.len } });
}

static int write_dep(struct merge *x)
{
	auto_vec struct vec lines = VEC_INIT;

	for (size_t i = 0; i < x->modules.names.n; i++) {
		struct module *m = modules_find(&x->modules, x->modules.names.v[i]);
		auto_vec struct vec order = VEC_INIT;
		auto_str struct str line = STR_INIT;
		int rc = m ? modules_order(&x->modules, m, &order, x->e) : 0;

		if (rc < 0)
			return rc;
		if (!order.n) /* a part of the kernel */
			continue;
		str_addf(&line, "%s:", m->file);
		for (size_t k = order.n - 1; k-- > 0;)
			str_addf(&line, " %s", ((const struct module *)order.v[k])->file);
		if (str_err(&line))
			return no_memory(x);
		vec_add(&lines, arena_slice(x->a, str_slice(&line)));
	}
	return write_list(x, "modules.dep", &lines);
}

/* Which module a line of a list is about: the last word, of softdep the second. */
static struct slice subject_of(struct slice line, bool second)
{
	struct slice word = { "", 0 };

	for (unsigned i = 0; slice_cut(&line, ' ', &word); i++)
		if (second && i == 1)
			break;
	return word;
}

/* The kernel's list without what is about replaced modules, and more lines. */
static int merge_list(struct merge *x, const char *name, const struct vec *more)
{
	auto_vec struct vec lines = VEC_INIT;
	auto_str struct str text = STR_INIT;
	char *file = arena_fmt(x->a, "%s/%s", x->modules.dir, name);
	struct err why = ERR_INIT;
	struct slice rest, line;
	int rc = file ? file_read(AT_FDCWD, file, &text, LIMIT_LIST, &why) : -ENOMEM;

	if (rc < 0 && rc != -ENOENT)
		return err_set(x->e, rc, "%s", file ? why.msg : "out of memory");
	if (rc < 0 && !more->n)
		return 0;
	rest = str_slice(&text);
	while (slice_cut(&rest, '\n', &line))
		if (line.n && !is_replaced(x, subject_of(line, more == &x->softdeps)))
			vec_add(&lines, arena_slice(x->a, line));
	for (size_t i = 0; i < more->n; i++)
		vec_add(&lines, more->v[i]);
	return write_list(x, name, &lines);
}

static int merge(struct merge *x, const char *const *packages)
{
	int rc = modules_load(&x->modules, x->kernel, x->e);

	if (rc < 0)
		return rc;
	x->version = path_base(x->modules.dir);
	for (size_t i = 0; rc == 0 && packages[i]; i++)
		rc = read_package(x, packages[i]);
	if (rc == 0)
		rc = check_needs(x);
	if (rc == 0)
		rc = walk(x, x->modules.dir, "", 0, visit_kernel);
	if (rc == 0)
		rc = write_dep(x);
	if (rc == 0)
		rc = merge_list(x, "modules.alias", &x->aliases);
	return rc == 0 ? merge_list(x, "modules.softdep", &x->softdeps) : rc;
}

int module_tree(struct arena *a, const char *const *from, struct vec *ret, struct err *e)
{
	struct merge x = { .a = a,
			   .kernel = from[0],
			   .modules = MODULES_INIT(a),
			   .aliases = VEC_INIT,
			   .softdeps = VEC_INIT,
			   .ret = ret,
			   .e = e };
	int rc = from[0] ? merge(&x, from + 1) : err_set(e, -ERR_INVALID, "no kernel is given");

	modules_done(&x.modules);
	vec_done(&x.aliases);
	vec_done(&x.softdeps);
	return rc;
}
