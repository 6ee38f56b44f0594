/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "system/generation.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "lib/conf-file.h"
#include "lib/fd.h"
#include "lib/path.h"
#include "lib/size.h"
#include "store/store.h"
#include "system/links.h"
#include "system/notes.h"

#define DATE_OF_IMAGES 1 /* of whatever is in one */
#define LIMIT_FACTS    16384
#define LIMIT_FILE     ((size_t)1 << 20)

static struct links links_of(const struct sys_root *r)
{
	return (struct links){ r->target, GEN_PROFILES, "system", "", STORE_DIR_DEFAULT };
}

int gen_list_load(const struct sys_root *r, struct arena *a, struct gen_list *ret, struct err *e)
{
	const struct links links = links_of(r);
	struct gen_list l = { NULL, 0, 0 };
	auto_vec struct vec found = VEC_INIT;
	const char *profile;
	int rc = links_load(&links, a, &found, e);

	if (rc == 0)
		rc = links_selected(&links, a, &profile, e);
	if (rc < 0)
		return rc;
	l.v = arena_array(a, found.n, sizeof(*l.v));
	if (!l.v)
		return err_set(e, -ENOMEM, "out of memory");
	for (; l.n < found.n; l.n++) {
		const struct links_item *x = found.v[l.n];

		l.v[l.n] = (struct gen){ .number = x->number,
					 .path = x->path,
					 .date = x->date > DATE_OF_IMAGES ? x->date : 0,
					 .label = "" };
	}
	if (profile)
		l.current = links_number(&links, path_base(profile));
	notes_apply(r, a, &l);
	*ret = l;
	return 0;
}

const struct gen *gen_find(const struct gen_list *l, unsigned number)
{
	for (size_t i = 0; i < l->n; i++) {
		if (l->v[i].number == number)
			return &l->v[i];
	}
	return NULL;
}

const struct gen *gen_current(const struct gen_list *l)
{
	return l->current ? gen_find(l, l->current) : NULL;
}

const struct gen *gen_before(const struct gen_list *l)
{
	const struct gen *before = NULL;

	for (size_t i = 0; i < l->n && l->v[i].number < l->current; i++)
		if (!l->v[i].tried)
			before = &l->v[i];
	return before;
}

unsigned gen_next(const struct gen_list *l)
{
	unsigned last = l->n ? l->v[l->n - 1].number : 0;

	return MAX_OF(last, l->current) + 1;
}

int gen_link_make(const struct sys_root *r, unsigned number, const char *path, struct err *e)
{
	const struct links links = links_of(r);

	return links_make(&links, number, path, e);
}

int gen_link_remove(const struct sys_root *r, unsigned number, struct err *e)
{
	const struct links links = links_of(r);

	return links_remove(&links, number, e);
}

int gen_select(const struct sys_root *r, unsigned number, struct err *e)
{
	const struct links links = links_of(r);

	return links_select(&links, number, e);
}

char *gen_part(const struct sys_root *r, struct arena *a, const char *path, const char *name)
{
	auto_str struct str target = STR_INIT;
	struct err ignored = ERR_INIT;
	char *file = arena_fmt(a, "%s%s/%s", r->store, path, name);

	if (file && file_readlink(AT_FDCWD, file, &target, &ignored) == 0 && target.buf[0] == '/')
		return sys_root_store(r, a, target.buf);
	return file;
}

int gen_check(const struct sys_root *r, const char *path, struct err *e)
{
	static const char *const files[][2] = {
		{ "accounts", "" },	{ "activation", "" }, { "boot", "/entry" },
		{ "boot", "/menu" },	{ "etc", "" },	      { "facts", "" },
		{ "init", "" },		{ "kernel", "" },     { "initrd", "" },
		{ "services", "/set" },
	};
	int rc = store_path_check(STORE_DIR_DEFAULT, slice_of(path), e);

	if (rc < 0)
		return rc;
	for (size_t i = 0; i < ARRAY_LEN(files); i++) {
		auto_arena struct arena a = ARENA_INIT;
		struct stat st;
		char *part = gen_part(r, &a, path, files[i][0]);
		char *file = part ? arena_fmt(&a, "%s%s", part, files[i][1]) : NULL;

		if (!file)
			return err_set(e, -ENOMEM, "out of memory");
		if (lstat(file, &st) < 0)
			return err_set(e, errno == ENOENT ? -ERR_INVALID : -errno,
				       "%s is not a complete system: %s%s is missing", path,
				       files[i][0], files[i][1]);
	}
	return 0;
}

int gen_running(const struct sys_root *r, const char *link, struct arena *a, const char **ret,
		struct err *e)
{
	char *path = sys_root_path(r, a, link);

	return path ? links_read(a, path, ret, e) : err_set(e, -ENOMEM, "out of memory");
}

static const struct conf_key facts_keys[] = {
	CONF_KEY("label", conf_parse_str, offsetof(struct gen_facts, label), "", "text of the menu",
		 0),
	CONF_KEY("host-name", conf_parse_str, offsetof(struct gen_facts, host_name), "",
		 "host name", 0),
	CONF_KEY("kernel", conf_parse_str, offsetof(struct gen_facts, kernel), "",
		 "name and version", 0),
	CONF_KEY("kernel-path", conf_parse_str, offsetof(struct gen_facts, kernel_path), "",
		 "kernel", 0),
	CONF_KEY("initrd-path", conf_parse_str, offsetof(struct gen_facts, initrd_path), "",
		 "initrd", 0),
	CONF_KEY("configuration", conf_parse_str, offsetof(struct gen_facts, configuration), "",
		 "file below config/", 0),
};

static const struct conf_file facts_file = {
	.limit = LIMIT_FACTS, .keys = facts_keys, .nkeys = ARRAY_LEN(facts_keys), .only = "system"
};

int gen_facts_load(const struct sys_root *r, struct arena *a, const char *path,
		   struct gen_facts *ret, struct err *e)
{
	struct gen_facts f = { "", "", "", "", "", "" };
	char *file = arena_fmt(a, "%s%s/facts", r->store, path);
	int rc;

	if (!file)
		return err_set(e, -ENOMEM, "out of memory");
	rc = conf_load(&facts_file, file, &f, NULL, a, e);
	if (rc < 0)
		return rc;
	*ret = f;
	return 0;
}

int gen_file_load(const struct sys_root *r, struct arena *a, const char *path,
		  const struct gen_file *what, struct vec *list, struct err *e)
{
	const struct conf_file f = { .limit = LIMIT_FILE,
				     .keys = what->keys,
				     .nkeys = what->nkeys,
				     .section = what->section };
	char *file = arena_fmt(a, "%s%s/%s", r->store, path, what->name);
	bool found;
	int rc = file ? conf_load(&f, file, list, &found, a, e) : -ENOMEM;

	return file && (rc < 0 || !list->err) ? rc : err_set(e, -ENOMEM, "out of memory");
}

int gen_lock(const struct sys_root *r, const char *verb, int *ret_fd, struct err *e)
{
	auto_arena struct arena a = ARENA_INIT;
	const struct links links = links_of(r);
	char *dir = sys_root_path(r, &a, GEN_PROFILES);
	int rc = dir ? file_mkdir_p(AT_FDCWD, dir, 0755, e) : err_set(e, -ENOMEM, "out of memory");

	return rc < 0 ? rc : links_lock(&links, "the system", verb, ret_fd, e);
}
