/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "system/tree.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "bootloader/bootloader.h"
#include "lib/conf.h"
#include "lib/fd.h"
#include "lib/path.h"
#include "lib/size.h"
#include "lib/text.h"
#include "system/module-tree.h"
#include "system/modules.h"

#define LIMIT_TREE_ITEMS 200000
#define LIMIT_TREE_DEPTH 32
#define LIMIT_COPY	 (256u << 20)

/* ---- The description ------------------------------------------------------------------------- */

enum spec_kind {
	SPEC_DIR,
	SPEC_FILE,
	SPEC_LINK,
	SPEC_COPY,
	SPEC_UNION,
	SPEC_MODULES,
	SPEC_MODULE_TREE,
	SPEC_NODE,
	SPEC_BOOT_ENTRY,
	SPEC_MAX
};

static const char *const spec_names[SPEC_MAX] = { "directory",	 "file",  "link",
						  "copy",	 "union", "modules",
						  "module-tree", "node",  "boot-entry" };

struct spec {
	enum spec_kind kind;
	const char *path, *target, *hex;
	const char *const *text; /* one word */
	const char *const *from, *const *parts, *const *names;
	uint64_t mode, major, minor;
	bool executable, self, unique;
	const char *version, *kernel, *initrd;
	const char *const *label, *const *parameters; /* one word */
};

static int parse_mode(struct conf_ctx *c, struct slice v, void *place)
{
	uint64_t mode = 0;

	if (v.n == 0 || v.n > 5)
		return conf_error(c, "expected an octal mode");
	for (size_t i = 0; i < v.n; i++) {
		if (v.p[i] < '0' || v.p[i] > '7')
			return conf_error(c, "expected an octal mode");
		mode = mode * 8 + (uint64_t)(v.p[i] - '0');
	}
	if (mode > 07777)
		return conf_error(c, "expected an octal mode");
	*(uint64_t *)place = mode;
	return 0;
}

#define AT(f) offsetof(struct spec, f)
static const struct conf_key spec_keys[] = {
	CONF_KEY("target", conf_parse_str, AT(target), NULL, "of a link", false),
	CONF_KEY("text", conf_parse_words, AT(text), NULL, "contents, one quoted word", false),
	CONF_KEY("hex", conf_parse_str, AT(hex), NULL, "contents in hex", false),
	CONF_KEY("mode", parse_mode, AT(mode), "0755", "of a directory", false),
	CONF_KEY("executable", conf_parse_bool, AT(executable), "no", "mode 0555", false),
	CONF_KEY("self", conf_parse_bool, AT(self), "no", "@out@ is the output's path", false),
	CONF_KEY("from", conf_parse_words, AT(from), NULL, "sources", false),
	CONF_KEY("parts", conf_parse_words, AT(parts), NULL, "directories of a union", false),
	CONF_KEY("unique", conf_parse_bool, AT(unique), "no", "in a union no file twice", false),
	CONF_KEY("names", conf_parse_words, AT(names), NULL, "kernel modules", false),
	CONF_KEY("major", conf_parse_u64, AT(major), "0", "of a device node", false),
	CONF_KEY("minor", conf_parse_u64, AT(minor), "0", "of a device node", false),
	CONF_KEY("label", conf_parse_words, AT(label), NULL, "of a boot entry", false),
	CONF_KEY("version", conf_parse_str, AT(version), NULL, "of a boot entry", false),
	CONF_KEY("kernel", conf_parse_str, AT(kernel), NULL, "of a boot entry", false),
	CONF_KEY("initrd", conf_parse_str, AT(initrd), NULL, "of a boot entry", false),
	CONF_KEY("parameters", conf_parse_words, AT(parameters), NULL, "of a boot entry", false),
};

static int spec_section(void *arg, struct conf_ctx *c, struct slice kind, struct slice name)
{
	static const char *const none[] = { NULL };
	struct vec *specs = arg;
	struct spec *s = ARENA_NEW(c->arena, struct spec);
	size_t k = 0;

	if (!s)
		return err_set(c->err, -ENOMEM, "out of memory");
	while (k < SPEC_MAX && !slice_is(kind, spec_names[k]))
		k++;
	if (k == SPEC_MAX)
		return conf_error(c, "unknown section");
	*s = (struct spec){ .kind = (enum spec_kind)k,
			    .path = arena_slice(c->arena, name),
			    .text = none,
			    .from = none,
			    .parts = none,
			    .names = none,
			    .label = none,
			    .parameters = none,
			    .version = "",
			    .kernel = "",
			    .initrd = "",
			    .mode = 0755 };
	if (s->kind == SPEC_UNION && s->path && strcmp(s->path, ".") == 0)
		s->path = "";
	else if (!s->path || !s->path[0] || s->path[0] == '/' || !path_is_clean(s->path))
		return conf_error(c, "expected a relative path");
	vec_add(specs, s);
	c->object = s;
	return specs->err ? err_set(c->err, specs->err, "out of memory") : 0;
}

/* ---- Items ----------------------------------------------------------------------------------- */

struct build {
	bool unique; /* of the union that is being read */
	struct arena *a;
	struct vec *items;
	const char *out;
	struct err *e;
};

static struct tree_item *item_new(struct build *b, enum tree_kind kind, const char *path)
{
	struct tree_item *t = ARENA_NEW(b->a, struct tree_item);

	if (t && path && b->items->n < LIMIT_TREE_ITEMS) {
		t->kind = kind;
		t->path = path;
		t->mode = kind == TREE_DIR ? 0755 : 0444;
		vec_add(b->items, t);
		return t;
	}
	if (b->items->n >= LIMIT_TREE_ITEMS)
		err_set(b->e, -ERR_LIMIT, "more than %d files", LIMIT_TREE_ITEMS);
	else
		err_set(b->e, -ENOMEM, "out of memory");
	return NULL;
}

/* text with @out@ replaced, in arena; NULL when there is no memory. */
static const char *with_self(struct build *b, const char *text)
{
	auto_str struct str s = STR_INIT;
	const char *at;

	while ((at = strstr(text, "@out@"))) {
		str_addn(&s, text, (size_t)(at - text));
		str_add(&s, b->out);
		text = at + 5;
	}
	str_add(&s, text);
	return str_err(&s) ? NULL : arena_slice(b->a, str_slice(&s));
}

static const char *first_word(const char *const *words)
{
	return words[0] ? words[0] : "";
}

static int add_file(struct build *b, const struct spec *s)
{
	struct tree_item *t = item_new(b, TREE_FILE, s->path);
	const char *text = first_word(s->text);

	if (!t)
		return b->e->code;
	if (s->executable)
		t->mode = 0555;
	if (s->hex) {
		size_t n = strlen(s->hex) / 2;
		uint8_t *bytes = arena_alloc(b->a, n);

		if (!bytes || text_unhex(slice_of(s->hex), bytes, n) < 0)
			return err_set(b->e, -ERR_SYNTAX, "%s: not hex digits", s->path);
		t->data = (struct slice){ (const char *)bytes, n };
		return 0;
	}
	if (s->self)
		text = with_self(b, text);
	if (!text)
		return err_set(b->e, -ENOMEM, "out of memory");
	t->data = slice_of(text);
	return 0;
}

static int add_boot_entry(struct build *b, const struct spec *s)
{
	struct tree_item *t = item_new(b, TREE_FILE, s->path);
	auto_str struct str text = STR_INIT;
	struct boot_entry entry = { first_word(s->label), s->version, s->kernel, s->initrd,
				    with_self(b, first_word(s->parameters)) };
	char *copy;
	int rc;

	if (!t)
		return b->e->code;
	if (!entry.parameters)
		return err_set(b->e, -ENOMEM, "out of memory");
	rc = boot_entry_format(&entry, &text, b->e);
	if (rc < 0)
		return rc;
	copy = arena_slice(b->a, str_slice(&text));
	if (!copy)
		return err_set(b->e, -ENOMEM, "out of memory");
	t->data = (struct slice){ copy, text.len };
	return 0;
}

static int union_dir(struct build *b, const char *from, const char *to, unsigned depth);

static int union_entry(struct build *b, const char *from, const char *to, unsigned depth)
{
	struct tree_item *t;
	struct stat st;

	if (!from || !to)
		return err_set(b->e, -ENOMEM, "out of memory");
	if (lstat(from, &st) < 0)
		return err_sys(b->e, "%s", from);
	if (S_ISDIR(st.st_mode))
		return union_dir(b, from, to, depth + 1);
	t = item_new(b, TREE_LINK, to);
	if (!t)
		return b->e->code;
	t->target = from;
	t->weak = true;
	t->unique = b->unique;
	return 0;
}

static int union_dir(struct build *b, const char *from, const char *to, unsigned depth)
{
	struct tree_item *t = to && to[0] ? item_new(b, TREE_DIR, to) : NULL;
	struct dirent *d;
	DIR *dir;
	int rc = 0, more = 0;

	if (!t && !(to && !to[0]))
		return to ? b->e->code : err_set(b->e, -ENOMEM, "out of memory");
	if (t)
		t->weak = true;
	if (depth > LIMIT_TREE_DEPTH)
		return err_set(b->e, -ERR_LIMIT, "%s: too deep", from);
	dir = opendir(from);
	if (!dir)
		return err_sys(b->e, "%s", from);
	while (rc == 0 && (more = file_next(dir, &d)) > 0) {
		if (strcmp(d->d_name, ".") == 0 || strcmp(d->d_name, "..") == 0)
			continue;
		rc = union_entry(b, arena_fmt(b->a, "%s/%s", from, d->d_name),
				 arena_fmt(b->a, "%s%s%s", to, to[0] ? "/" : "", d->d_name), depth);
	}
	closedir(dir);
	return rc == 0 && more < 0 ? err_num(b->e, more, "%s", from) : rc;
}

static int add_union(struct build *b, const struct spec *s)
{
	const char *slash = s->path[0] ? "/" : "";

	if (s->path[0]) {
		struct tree_item *top = item_new(b, TREE_DIR, s->path);

		if (!top)
			return b->e->code;
		top->weak = true;
	}
	b->unique = s->unique;
	for (size_t i = 0; s->from[i]; i++) {
		if (!s->parts[0]) {
			int rc = union_dir(b, s->from[i], s->path, 0);

			if (rc < 0)
				return rc;
		}
		for (size_t k = 0; s->parts[k]; k++) {
			char *from = arena_fmt(b->a, "%s/%s", s->from[i], s->parts[k]);
			struct stat st;
			int rc;

			if (!from)
				return err_set(b->e, -ENOMEM, "out of memory");
			/* bin may itself be a link, sbin -> bin */
			if (stat(from, &st) < 0 || !S_ISDIR(st.st_mode))
				continue;
			rc = union_dir(b, from,
				       arena_fmt(b->a, "%s%s%s", s->path, slash, s->parts[k]), 0);
			if (rc < 0)
				return rc;
		}
	}
	return 0;
}

static int add_modules(struct build *b, const struct spec *s)
{
	auto_vec struct vec files = VEC_INIT;
	auto_str struct str list = STR_INIT;
	struct tree_item *t;
	int rc = modules_resolve(b->a, first_word(s->from), s->names, &files, b->e);

	if (rc < 0)
		return rc;
	for (size_t i = 0; i < files.n; i++) {
		const char *file = files.v[i];

		t = item_new(b, TREE_COPY, arena_fmt(b->a, "%s/%s", s->path, path_base(file)));
		if (!t)
			return b->e->code;
		t->target = file;
		str_addf(&list, "%s\n", path_base(file));
	}
	t = item_new(b, TREE_FILE, arena_fmt(b->a, "%s/order", s->path));
	if (!t)
		return b->e->code;
	if (str_err(&list))
		return err_set(b->e, -ENOMEM, "out of memory");
	t->data = slice_of(arena_slice(b->a, str_slice(&list)));
	return 0;
}

static int add_module_tree(struct build *b, const struct spec *s)
{
	auto_vec struct vec files = VEC_INIT;
	int rc = module_tree(b->a, s->from, &files, b->e);

	for (size_t i = 0; rc == 0 && i < files.n; i++) {
		const struct module_file *f = files.v[i];
		struct tree_item *t = item_new(b, f->target ? TREE_LINK : TREE_FILE,
					       arena_fmt(b->a, "%s/%s", s->path, f->path));

		if (!t)
			return b->e->code;
		t->target = f->target;
		t->data = f->text;
	}
	return rc;
}

static int add_plain(struct build *b, const struct spec *s)
{
	static const enum tree_kind kinds[SPEC_MAX] = {
		[SPEC_DIR] = TREE_DIR,
		[SPEC_LINK] = TREE_LINK,
		[SPEC_COPY] = TREE_COPY,
		[SPEC_NODE] = TREE_NODE,
	};
	struct tree_item *t = item_new(b, kinds[s->kind], s->path);

	if (!t)
		return b->e->code;
	t->target = s->kind == SPEC_COPY ? first_word(s->from) : s->target;
	t->major = (unsigned)s->major;
	t->minor = (unsigned)s->minor;
	if (s->kind == SPEC_DIR)
		t->mode = (unsigned)s->mode;
	if (s->kind == SPEC_NODE)
		t->mode = 0600;
	if (s->executable)
		t->mode = 0555;
	if (s->kind == SPEC_LINK && (!t->target || !t->target[0]))
		return err_set(b->e, -ERR_INVALID, "%s: a link needs a target", s->path);
	if (s->kind == SPEC_LINK && s->self) {
		t->target = with_self(b, t->target);
		if (!t->target)
			return err_set(b->e, -ENOMEM, "out of memory");
	}
	return 0;
}

static int add_spec(struct build *b, const struct spec *s)
{
	switch (s->kind) {
	case SPEC_FILE:
		return add_file(b, s);
	case SPEC_BOOT_ENTRY:
		return add_boot_entry(b, s);
	case SPEC_UNION:
		return add_union(b, s);
	case SPEC_MODULES:
		return add_modules(b, s);
	case SPEC_MODULE_TREE:
		return add_module_tree(b, s);
	default:
		return add_plain(b, s);
	}
}

/* ---- Order ----------------------------------------------------------------------------------- */

/* Bytewise with '/' lowest, so that parents come before children; strong items before weak ones;
 * the rest stays in the order of the description. */
static int compare_path(const char *a, const char *b)
{
	for (;; a++, b++) {
		int x = *a == '/' ? 1 : (unsigned char)*a + (*a ? 1 : 0);
		int y = *b == '/' ? 1 : (unsigned char)*b + (*b ? 1 : 0);

		if (x != y || !x)
			return x - y;
	}
}

struct ordered {
	struct tree_item *item;
	size_t index;
};

static int compare_items(const void *x, const void *y)
{
	const struct ordered *a = x, *b = y;
	int c = compare_path(a->item->path, b->item->path);

	if (c == 0 && a->item->weak != b->item->weak)
		return a->item->weak ? 1 : -1;
	if (c != 0)
		return c;
	return a->index < b->index ? -1 : 1;
}

static int add_parents(struct build *b)
{
	size_t n = b->items->n;

	for (size_t i = 0; i < n; i++) {
		const struct tree_item *t = b->items->v[i];

		for (const char *p = t->path; (p = strchr(p, '/')); p++) {
			struct tree_item *dir = item_new(
				b, TREE_DIR, arena_strn(b->a, t->path, (size_t)(p - t->path)));

			if (!dir)
				return b->e->code;
			dir->weak = true;
		}
	}
	return b->items->err ? err_set(b->e, -ENOMEM, "out of memory") : 0;
}

/* Whether two files, or links, say the same. */
static int same_file(const char *x, const char *y, bool *ret, struct err *e)
{
	auto_str struct str a = STR_INIT, b = STR_INIT;
	struct stat sx, sy;
	int rc;

	if (lstat(x, &sx) < 0)
		return err_sys(e, "%s", x);
	if (lstat(y, &sy) < 0)
		return err_sys(e, "%s", y);
	*ret = false;
	if ((sx.st_mode ^ sy.st_mode) & (S_IFMT | S_IXUSR) || sx.st_size != sy.st_size)
		return 0;
	if (S_ISLNK(sx.st_mode)) {
		rc = file_readlink(AT_FDCWD, x, &a, e);
		if (rc == 0)
			rc = file_readlink(AT_FDCWD, y, &b, e);
	} else {
		rc = file_read(AT_FDCWD, x, &a, LIMIT_COPY, e);
		if (rc == 0)
			rc = file_read(AT_FDCWD, y, &b, LIMIT_COPY, e);
	}
	*ret = rc == 0 && slice_eq(str_slice(&a), str_slice(&b));
	return rc;
}

static int check_unique(struct build *b, const struct tree_item *x, const struct tree_item *y)
{
	bool same = false;
	int rc;

	if (!x->unique || !y->unique)
		return 0;
	rc = same_file(x->target, y->target, &same, b->e);
	if (rc < 0 || same)
		return rc;
	return err_set(b->e, -ERR_INVALID, "%s is in two packages: %s and %s", x->path, x->target,
		       y->target);
}

/* Sort; of several items with one path keep the first, which must be of the same kind if it is a
 * directory, and the only strong one. */
static int order(struct build *b, struct vec *ret)
{
	size_t n = b->items->n;
	struct ordered *v = arena_array(b->a, n ? n : 1, sizeof(*v));

	if (!v)
		return err_set(b->e, -ENOMEM, "out of memory");
	for (size_t i = 0; i < n; i++)
		v[i] = (struct ordered){ b->items->v[i], i };
	qsort(v, n, sizeof(*v), compare_items);
	for (size_t i = 0; i < n; i++) {
		struct tree_item *t = v[i].item;
		struct tree_item *last = ret->n ? ret->v[ret->n - 1] : NULL;

		if (!last || strcmp(last->path, t->path) != 0) {
			vec_add(ret, t);
			continue;
		}
		if (!t->weak)
			return err_set(b->e, -ERR_INVALID, "%s is described twice", t->path);
		if ((t->kind == TREE_DIR) != (last->kind == TREE_DIR))
			return err_set(b->e, -ERR_INVALID,
				       "%s is a directory in one place and a file in another",
				       t->path);
		if (t->kind == TREE_LINK && last->kind == TREE_LINK) {
			int rc = check_unique(b, last, t);

			if (rc < 0)
				return rc;
		}
	}
	return ret->err ? err_set(b->e, -ENOMEM, "out of memory") : 0;
}

int tree_parse(struct arena *a, struct slice text, const char *file, const char *out,
	       struct tree *ret, struct err *e)
{
	auto_vec struct vec specs = VEC_INIT;
	auto_vec struct vec items = VEC_INIT;
	struct build b = { .a = a, .items = &items, .out = out, .e = e };
	struct tree t = { a, VEC_INIT };
	int rc =
		conf_parse(text, file, spec_keys, ARRAY_LEN(spec_keys), spec_section, &specs, a, e);

	for (size_t i = 0; rc == 0 && i < specs.n; i++)
		rc = add_spec(&b, specs.v[i]);
	if (rc == 0)
		rc = add_parents(&b);
	if (rc == 0)
		rc = order(&b, &t.items);
	if (rc < 0) {
		tree_done(&t);
		return rc;
	}
	*ret = t;
	return 0;
}

void tree_done(struct tree *t)
{
	if (t)
		vec_done(&t->items);
}

/* ---- As a directory -------------------------------------------------------------------------- */

static int write_bytes(int dir, const struct tree_item *t, struct slice data, struct err *e)
{
	auto_fd int fd = openat(dir, t->path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	int rc;

	if (fd < 0)
		return err_sys(e, "%s", t->path);
	rc = fd_write_full(fd, data.p, data.n);
	if (rc < 0)
		return err_num(e, rc, "%s", t->path);
	return fchmod(fd, t->mode) < 0 ? err_sys(e, "%s", t->path) : 0;
}

static int write_item(int dir, const struct tree_item *t, struct err *e)
{
	auto_str struct str data = STR_INIT;
	int rc;

	switch (t->kind) {
	case TREE_DIR:
		return mkdirat(dir, t->path, t->mode) < 0 ? err_sys(e, "%s", t->path) : 0;
	case TREE_LINK:
		return symlinkat(t->target, dir, t->path) < 0 ? err_sys(e, "%s", t->path) : 0;
	case TREE_FILE:
		return write_bytes(dir, t, t->data, e);
	case TREE_COPY:
		rc = file_read(AT_FDCWD, t->target, &data, LIMIT_COPY, e);
		return rc < 0 ? rc : write_bytes(dir, t, str_slice(&data), e);
	default:
		return err_set(e, -ERR_INVALID, "%s: a device node cannot be in the store",
			       t->path);
	}
}

int tree_write(const struct tree *t, const char *path, struct err *e)
{
	auto_fd int dir = -1;

	if (mkdir(path, 0755) < 0)
		return err_sys(e, "%s", path);
	dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0)
		return err_sys(e, "%s", path);
	for (size_t i = 0; i < t->items.n; i++) {
		int rc = write_item(dir, t->items.v[i], e);

		if (rc < 0)
			return rc;
	}
	return 0;
}
