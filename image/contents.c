/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "image/contents.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/fd.h"
#include "lib/path.h"
#include "lib/size.h"
#include "store/store.h"
#include "system/system.h"

#define PROFILES "var/guix/profiles"
#define DB_FILE	 "var/guix/db/db.sqlite"

static const struct {
	const char *path;
	unsigned mode;
} contents_dirs[] = {
	{ "", 0755 },
	{ "boot", 0755 },
	{ "boot/grub", 0755 },
	{ "dev", 0755 },
	{ "etc", 0755 },
	{ "gnu", 0755 },
	{ "gnu/store", 0755 },
	{ "home", 0755 },
	{ "mnt", 0755 },
	{ "proc", 0555 },
	{ "root", 0700 },
	{ "run", 0755 },
	{ "sys", 0555 },
	{ "tmp", 01777 },
	{ "var", 0755 },
	{ "var/cache", 0755 },
	{ "var/empty", 0555 },
	{ "var/guix", 0755 },
	{ "var/guix/db", 0755 },
	{ "var/guix/gcroots", 0755 },
	{ PROFILES, 0755 },
	{ PROFILES "/per-user", 0755 },
	{ "var/lib", 0755 },
	{ "var/log", 0755 },
	{ "var/log/guix", 0755 },
	{ "var/tmp", 01777 },
};

static const struct {
	const char *path, *target;
} contents_links[] = {
	{ "var/guix/gcroots/booted-system", "/run/booted-system" },
	{ "var/guix/gcroots/current-system", "/run/current-system" },
	{ "var/guix/gcroots/profiles", "/" PROFILES },
	{ "var/lock", "/run/lock" },
	{ "var/run", "/run" },
	{ PROFILES "/system", "system-1-link" },
};

/* ---- Database -------------------------------------------------------------------------------- */

static int db_write(const struct contents *c, const char *name, uint64_t *ret_size, struct err *e)
{
	const struct store_info *const *items = (const struct store_info *const *)c->closure->v;
	char *file = arena_fmt(c->arena, "%s/%s", c->work, name);
	struct stat st;

	if (!file)
		return err_num(e, -ENOMEM, "database");
	if (unlink(file) < 0 && errno != ENOENT) /* of an earlier run that was cut short */
		return err_sys(e, "%s", file);
	int r = store_db_create(file, items, c->closure->n, e);
	if (r < 0)
		return r;
	if (stat(file, &st) < 0)
		return err_sys(e, "%s", file);
	*ret_size = (uint64_t)st.st_size;
	return 0;
}

/* Unless they are known by now, hashes have the same length whatever they are, and the sizes at
 * most these digits. */
static int db_estimate(const struct contents *c, uint64_t *ret_size, struct err *e)
{
	for (size_t i = 0; i < c->closure->n && !c->without_store; i++) {
		struct store_info *info = (struct store_info *)c->closure->v[i];

		info->nar_hash = digest_of(DIGEST_SHA256, info->path, strlen(info->path));
		info->nar_size = UINT64_C(1) << 40;
	}
	int r = db_write(c, "estimate.sqlite", ret_size, e);
	char *file = arena_fmt(c->arena, "%s/estimate.sqlite", c->work);
	if (file)
		(void)unlink(file); /* scratch */
	return r;
}

static int check_items(const struct contents *c, struct err *e)
{
	for (size_t i = 0; c->want && i < c->closure->n; i++) {
		const struct store_info *info = (const struct store_info *)c->closure->v[i];
		const struct digest *want = tab_find(c->want, slice_of(info->path));

		if (!want || !digest_eq(want, &info->nar_hash))
			return err_set(e, -ERR_HASH, "%s is damaged where it comes from",
				       info->path);
	}
	return 0;
}

static int prepare(void *arg, struct man_entry *n, struct err *e)
{
	struct contents *c = arg;
	uint64_t size = 0;

	int r = check_items(c, e);
	if (r == 0)
		r = db_write(c, "db.sqlite", &size, e);
	if (r < 0)
		return r;
	if (size > n->size)
		return err_set(e, -ERR_INTERNAL, "database is larger than was reckoned");
	n->source = arena_fmt(c->arena, "%s/db.sqlite", c->work);
	n->size = size;
	return n->source ? 0 : err_num(e, -ENOMEM, "database");
}

struct fill_opts contents_fill(struct contents *c)
{
	return (struct fill_opts){ .prepare = prepare,
				   .arg = c,
				   .progress = c->progress,
				   .progress_arg = c->progress_arg };
}

static int add_database(struct contents *c, struct err *e)
{
	struct man_entry *n = manifest_add(&c->manifest, MAN_FILE, DB_FILE);
	uint64_t size = 0;

	(void)manifest_bytes(&c->manifest, "var/guix/db/schema", 0644, SLICE("7"));
	int r = n ? db_estimate(c, &size, e) : err_num(e, -ENOMEM, "database");
	if (r < 0)
		return r;
	n->late = true;
	n->size = size;
	return 0;
}

/* ---- The rest -------------------------------------------------------------------------------- */

static int add_closure(struct contents *c, struct err *e)
{
	bool found = false;

	for (size_t i = 0; i < c->closure->n; i++) {
		struct store_info *info = (struct store_info *)c->closure->v[i];
		char *source = arena_fmt(c->arena, "%s%s", c->store_prefix, info->path);

		if (!source)
			return err_num(e, -ENOMEM, "closure");
		found |= strcmp(info->path, c->system) == 0;
		int r = c->without_store ? nar_hash(AT_FDCWD, source, DIGEST_SHA256, NULL, NULL,
						    &info->nar_hash, &info->nar_size, e)
					 : manifest_add_item(&c->manifest, source, info, e);
		if (r < 0)
			return r;
	}
	return found ? 0 : err_set(e, -ERR_INVALID, "%s is not in the closure given", c->system);
}

static bool is_there(const struct manifest *m, const char *path)
{
	size_t i = 0;

	while (i < m->entries.n && strcmp(manifest_at(m, i)->path, path) != 0)
		i++;
	return i < m->entries.n;
}

/* The directories above path that are not there. */
static void add_parents(const struct contents *c, struct manifest *m, const char *path)
{
	for (const char *slash = strchr(path, '/'); slash; slash = strchr(slash + 1, '/')) {
		char *dir = arena_strn(c->arena, path, (size_t)(slash - path));
		if (dir && !is_there(m, dir))
			(void)manifest_dir(m, dir, 0755);
	}
}

int contents_boot(const struct contents *c, struct manifest *m, struct err *e)
{
	*m = (struct manifest){ .arena = c->arena, .entries = VEC_INIT };
	(void)manifest_dir(m, "", 0755);
	int r = c->menu ? contents_add_boot(c, m, "", e) : 0;
	return r == 0 ? manifest_finish(m, e) : r;
}

/* share: files of the store that are in m need not be there twice. */
static int add_files(const struct contents *c, struct manifest *m, const char *dir, bool share,
		     struct err *e)
{
	auto_vec struct vec files = VEC_INIT;
	int r = boot_files(&c->place, c->menu, c->arena, &files, e);

	for (size_t i = 0; r == 0 && i < files.n; i++) {
		const struct boot_file *f = files.v[i];
		const char *path = arena_fmt(c->arena, "%s%s%s", dir, *dir ? "/" : "", f->path);
		struct man_entry *n = path ? manifest_add(m, MAN_FILE, path) : NULL;

		if (!n)
			return err_num(e, -ENOMEM, "boot files");
		add_parents(c, m, path);
		if (f->source && share)
			n->same = f->source + strlen(c->store_prefix) + 1;
		else
			n->source = f->source;
		n->data = f->data;
		n->size = n->same ? 0 : f->size;
	}
	return r;
}

int contents_add_boot(const struct contents *c, struct manifest *m, const char *dir, struct err *e)
{
	return add_files(c, m, dir, false, e);
}

/* What the boot loader reads of the root; a partition of its own is somebody else's. */
static int add_boot(struct contents *c, struct err *e)
{
	if (!c->menu || c->boot_apart || c->place.type == BOOT_EFI)
		return 0;
	if (c->place.type == BOOT_EXTLINUX)
		return contents_add_boot(c, &c->manifest, c->place.dir + 1, e);
	return add_files(c, &c->manifest, "", c->links && !c->without_store, e);
}

/* The configuration the system came from becomes the machine's to edit. */
static int add_configuration(struct contents *c, struct err *e)
{
	char *source = arena_fmt(c->arena, "%s%s/config", c->store_prefix, c->system);

	if (!source)
		return err_num(e, -ENOMEM, "configuration");
	return manifest_add_copy(&c->manifest, c->store_prefix, source, "etc/cairn", e);
}

int contents_menu(struct arena *a, const char *store_prefix, const char *system,
		  struct boot_menu *ret, struct boot_place *ret_place, struct err *e)
{
	const struct sys_root root = { .target = "", .store = store_prefix };
	struct gen gen = { .number = 1, .path = system };
	struct gen_list list = { .v = &gen, .n = 1, .current = 1 };

	return sys_menu_build(&root, a, &list, 1, 0, ret, ret_place, e);
}

static int add_private(struct contents *c, struct err *e)
{
	for (size_t i = 0; i < c->nprivate; i++) {
		const char *path = c->private[i].path + 1;

		add_parents(c, &c->manifest, path);
		if (!manifest_bytes(&c->manifest, path, 0600, slice_of(c->private[i].text)))
			return err_num(e, -ENOMEM, "%s", path);
	}
	return 0;
}

int contents_make(struct contents *c, struct err *e)
{
	struct manifest *m = &c->manifest;
	int r;

	*m = (struct manifest){ .arena = c->arena, .entries = VEC_INIT };
	for (size_t i = 0; i < ARRAY_LEN(contents_dirs); i++)
		(void)manifest_dir(m, contents_dirs[i].path, contents_dirs[i].mode);
	for (size_t i = 0; i < ARRAY_LEN(contents_links); i++)
		(void)manifest_link(m, contents_links[i].path, contents_links[i].target);
	struct man_entry *link = manifest_link(m, PROFILES "/system-1-link", c->system);
	if (link && c->date > 0)
		link->mtime = c->date;
	if ((r = add_closure(c, e)) < 0 || (r = add_boot(c, e)) < 0 ||
	    (r = add_configuration(c, e)) < 0 || (r = add_private(c, e)) < 0 ||
	    (r = add_database(c, e)) < 0)
		return r;
	return manifest_finish(m, e); /* also says when memory ran out above */
}
