/* SPDX-License-Identifier: GPL-3.0-or-later */
/* All that a boot loader reads of a machine, together: put in place, or listed for an image. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>

#include "bootloader/efimenu.h"
#include "bootloader/env.h"
#include "bootloader/loader.h"
#include "bootloader/put.h"
#include "lib/fd.h"
#include "lib/path.h"
#include "lib/text.h"

/* The menu, and the files that it names. */
struct deploy {
	const struct boot_loader *loader;
	struct bootfiles files;
	struct str text;
	int root, top; /* of the machine; of the boot partition, or root's */
	int dir;       /* of the text */
	int kernels;   /* of the files, or of their sets */
};

static int deploy_load(struct deploy *d, const struct boot_place *p, const struct boot_menu *m,
		       struct arena *a, struct err *e)
{
	*d = (struct deploy){ .loader = boot_loader_get(p->type),
			      .text = STR_INIT,
			      .root = -1,
			      .top = -1,
			      .dir = -1,
			      .kernels = -1 };
	d->files = (struct bootfiles){ .arena = a, .root = p->root, .sets = d->loader->sets };
	int r = bootfiles_load(&d->files, p->store, m, e);

	return r == 0 ? d->loader->text(&d->files, m, &d->text, e) : r;
}

static void deploy_done(struct deploy *d)
{
	bootfiles_done(&d->files);
	str_done(&d->text);
	fd_close(&d->root);
	fd_close(&d->top);
	fd_close(&d->dir);
	fd_close(&d->kernels);
}

/* ---- On a machine ---------------------------------------------------------------------------- */

static int deploy_open(struct deploy *d, const struct boot_place *p, struct err *e)
{
	const char *root = *p->root ? p->root : "/";
	const char *sets = d->loader->sets;
	int r = 0;

	d->root = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (d->root < 0)
		return err_sys(e, "%s", root);
	if ((d->top = boot_top_open(p, e)) < 0)
		return d->top;
	if ((d->dir = boot_dir_open(p, e)) < 0)
		return d->dir;
	if (sets)
		r = file_mkdir_p(d->top, sets, 0755, e);
	if (r < 0)
		return r;
	d->kernels = openat(sets ? d->top : d->dir, sets ? sets : ".",
			    O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return d->kernels < 0 ? err_sys(e, "%s", sets ? sets : d->loader->dir) : 0;
}

/* What will be written besides kernels. */
static struct bootfiles_more reckon(const struct deploy *d, const struct menu_place *menu)
{
	struct bootfiles_more more = { 0 };

	if (!menu_is_present(menu, &d->text)) {
		more.bytes += d->text.len;
		more.files++;
	}
	if (d->loader->program && !boot_program_is_present(d->top, d->loader->program())) {
		more.bytes += d->loader->program().n;
		more.files++;
	}
	if (d->loader->has_block && faccessat(d->dir, BOOT_ENV_NAME, F_OK, 0) < 0) {
		more.bytes += BOOT_ENV_SIZE;
		more.files++;
	}
	return more;
}

/* Does nothing start from there yet? */
static bool is_first(const struct menu_place *menu)
{
	auto_str struct str text = STR_INIT;
	struct err ignored = ERR_INIT;

	return menu_get(menu, &text, &ignored) == 0 && !text.len;
}

/* The order is what makes it safe: doc/boot.md. */
static int deploy_write(const struct deploy *d, struct err *e)
{
	const struct menu_place menu = { d->dir, d->loader->text_name, menu_is_mount_root(d->root),
					 d->loader->pair };
	int r = is_first(&menu) ? boot_slots_reserve(d->dir, e) : 0;
	const struct bootfiles_more more = reckon(d, &menu);

	if (r == 0)
		r = bootfiles_write(&d->files, d->kernels, &menu, &more, e);
	if (r == 0 && d->loader->program)
		r = boot_program_put(d->top, d->loader->program(), e);
	if (r == 0 && d->loader->has_block)
		r = boot_env_ensure(d->dir, e);
	if (r == 0)
		r = menu_put(&menu, &d->text, e);
	return r == 0 ? bootfiles_prune(&d->files, d->kernels, &menu, e) : r;
}

int boot_write_menu(const struct boot_place *p, const struct boot_menu *menu, struct err *e)
{
	auto_arena struct arena a = ARENA_INIT;
	struct deploy d;

	if (!boot_loader_get(p->type)->text_name)
		return 0;
	int r = deploy_load(&d, p, menu, &a, e);
	if (r == 0)
		r = deploy_open(&d, p, e);
	if (r == 0)
		r = deploy_write(&d, e);
	deploy_done(&d);
	return r < 0 ? err_wrap(e, r, "boot menu") : 0;
}

/* As deploy_open(), but what is not there is not made. */
static int deploy_look(struct deploy *d, const struct boot_place *p, struct err *e)
{
	const char *root = *p->root ? p->root : "/";
	const char *kernels = d->loader->sets ? d->loader->sets : d->loader->dir;

	d->root = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (d->root < 0)
		return err_sys(e, "%s", root);
	if ((d->top = boot_top_open(p, e)) < 0)
		return d->top;
	d->dir = openat(d->top, d->loader->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	d->kernels = openat(d->top, kernels, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return 0;
}

static int deploy_check_room(const struct deploy *d, struct err *e)
{
	const struct menu_place menu = { d->dir, d->loader->text_name, false, d->loader->pair };
	struct bootfiles_more more = { d->text.len, 1 };

	if (d->dir >= 0)
		more = reckon(d, &menu);
	if (d->dir < 0 || is_first(&menu))
		more.bytes += boot_slots_missing(d->top, d->dir);
	return bootfiles_check_room(&d->files, d->top, d->kernels, &menu, &more, e);
}

static bool is_on(const struct boot_place *p, const struct stat *fs, const char *logical)
{
	auto_arena struct arena a = ARENA_INIT;
	char *path = arena_fmt(&a, "%s%s", p->store, logical);
	struct stat st;

	return !*logical || (path && stat(path, &st) == 0 && st.st_dev == fs->st_dev);
}

/* Sets beside the store take links, for which a root has always had room: this saves hashing all
 * kernels once more. */
static bool takes_links(const struct boot_place *p, const struct boot_menu *menu)
{
	struct stat fs;
	bool all = boot_loader_get(p->type)->sets && stat(*p->root ? p->root : "/", &fs) == 0;

	for (size_t i = 0; all && i < menu->nitems; i++)
		all = is_on(p, &fs, menu->items[i].entry.kernel) &&
		      is_on(p, &fs, menu->items[i].entry.initrd);
	return all;
}

int boot_check_room(const struct boot_place *p, const struct boot_menu *menu, struct err *e)
{
	auto_arena struct arena a = ARENA_INIT;
	struct deploy d;

	if (!boot_loader_get(p->type)->text_name || takes_links(p, menu))
		return 0;
	int r = deploy_load(&d, p, menu, &a, e);
	if (r == 0)
		r = deploy_look(&d, p, e);
	if (r == 0)
		r = deploy_check_room(&d, e);
	deploy_done(&d);
	return r < 0 ? err_wrap(e, r, "boot menu") : 0;
}

unsigned boot_number_after(struct slice text, const char *mark, char end)
{
	const char *at = text.n ? memmem(text.p, text.n, mark, strlen(mark)) : NULL;
	struct slice rest, digits;
	uint64_t number;

	if (!at)
		return 0;
	at += strlen(mark);
	rest = (struct slice){ at, text.n - (size_t)(at - text.p) };
	return slice_cut(&rest, end, &digits) && text_u64(digits, UINT32_MAX, &number) == 0
		       ? (unsigned)number
		       : 0;
}

int boot_menu_read(const struct boot_place *p, struct str *out, struct err *e)
{
	const struct boot_loader *l = boot_loader_get(p->type);
	char dir[PATH_MAX];
	int r = boot_menu_dir(p, dir, e);

	if (r < 0 || !l->text_name)
		return r;
	auto_fd int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	const struct menu_place menu = { fd, l->text_name, false, l->pair };
	if (fd < 0)
		return errno == ENOENT ? 0 : err_sys(e, "%s", dir);
	return menu_get(&menu, out, e);
}

int boot_menu_default(const struct boot_place *p, unsigned *ret, struct err *e)
{
	auto_str struct str text = STR_INIT;
	int r = boot_menu_read(p, &text, e);

	if (r == 0)
		*ret = text.len ? boot_loader_get(p->type)->get_default(str_slice(&text)) : 0;
	return r;
}

int boot_menu_has(const struct boot_place *p, unsigned number, bool *ret, struct err *e)
{
	const struct boot_loader *l = boot_loader_get(p->type);
	auto_str struct str text = STR_INIT, entry = STR_INIT;

	*ret = true;
	if (!l->has_block)
		return 0;
	str_addf(&entry, "%s%u%s", l->mark, number, l->mark_end);
	int r = str_err(&entry) < 0 ? err_num(e, str_err(&entry), "boot menu")
				    : boot_menu_read(p, &text, e);
	if (r == 0)
		*ret = text.len && memmem(text.buf, text.len, entry.buf, entry.len);
	return r;
}

/* ---- Files of images ------------------------------------------------------------------------- */

/* Memory that runs out is seen at the end, by boot_files(). */
static struct boot_file *add_file(struct arena *a, struct vec *ret, const char *path)
{
	struct boot_file *f = ARENA_NEW(a, struct boot_file);

	if (f)
		*f = (struct boot_file){ .path = path };
	vec_add(ret, f);
	return f;
}

static struct boot_file *add_data(struct arena *a, struct vec *ret, const char *path,
				  struct slice data)
{
	struct boot_file *f = add_file(a, ret, path);

	if (f) {
		f->data = (struct slice){ arena_dup(a, data.p, data.n), data.n };
		f->size = data.n;
	}
	return f;
}

static void add_kernels(struct arena *a, struct vec *ret, const char *dir,
			const struct bootfiles *b)
{
	const char *last = "";

	for (size_t i = 0; i < b->files.n; i++) {
		const struct bootfile *from = b->files.v[i];
		struct boot_file *f;

		if (strcmp(from->name, last) == 0)
			continue; /* the same bytes under two paths of the store */
		last = from->name;
		f = add_file(a, ret, arena_fmt(a, "%s/%s", dir, from->name));
		if (!f)
			return;
		f->source = from->source;
		f->size = from->size;
	}
}

static void add_menu(struct arena *a, struct vec *ret, const char *dir, const char *name,
		     const struct deploy *d)
{
	struct boot_file *menu =
		add_data(a, ret, arena_fmt(a, "%s/%s", dir, name), str_slice(&d->text));

	if (menu)
		menu->is_menu = true;
}

static void list(const struct deploy *d, struct arena *a, struct vec *ret)
{
	const struct boot_loader *l = d->loader;
	char block[BOOT_ENV_SIZE];

	boot_env_format(block);
	if (l->program)
		add_data(a, ret, BOOT_PROGRAM, l->program());
	if (l->has_block)
		add_data(a, ret, arena_fmt(a, "%s/" BOOT_ENV_NAME, l->dir),
			 (struct slice){ block, sizeof(block) });
	add_menu(a, ret, l->dir, l->text_name, d);
	if (l->pair) /* both are there from the beginning: bootloader/pair.c */
		add_menu(a, ret, l->dir, EM_FILE_2, d);
	add_kernels(a, ret, l->sets ? arena_fmt(a, "%s/%s", l->sets, d->files.set) : l->dir,
		    &d->files);
}

int boot_files(const struct boot_place *p, const struct boot_menu *m, struct arena *a,
	       struct vec *ret, struct err *e)
{
	struct deploy d;

	if (!boot_loader_get(p->type)->text_name)
		return 0;
	int r = deploy_load(&d, p, m, a, e);
	if (r == 0)
		list(&d, a, ret);
	if (r == 0 && (ret->err || arena_err(a)))
		r = err_num(e, -ENOMEM, "boot files");
	deploy_done(&d);
	return r;
}
