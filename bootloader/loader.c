/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "bootloader/efimenu.h"
#include "bootloader/loader.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "bootloader/env.h"
#include "bootloader/mount.h"
#include "bootloader/put.h"
#include "lib/fd.h"
#include "lib/path.h"

static const struct boot_loader loaders[BOOT_TYPE_MAX] = {
	[BOOT_GRUB] = { .name = "grub",
			.dir = "boot/grub",
			.text_name = "grub.cfg",
			.sets = BOOT_SETS,
			.has_block = true,
			.text = grub_text,
			.get_default = grub_default,
			.mark = " --id 'gen-",
			.mark_end = "'" },
	[BOOT_EFI] = { .name = "efi",
		       .dir = BOOT_EFI_DIR,
		       .text_name = EM_FILE,
		       .pair = true,
		       .has_block = true,
		       .program = efi_program,
		       .text = efi_text,
		       .get_default = efi_default,
		       .mark = "\nentry ",
		       .mark_end = "\n" },
	[BOOT_EXTLINUX] = { .name = "extlinux",
			    .dir = "extlinux",
			    .text_name = "extlinux.conf",
			    .text = extlinux_text,
			    .get_default = extlinux_default },
	[BOOT_NONE] = { .name = "none", .dir = "boot/grub" },
};

const struct boot_loader *boot_loader_get(enum boot_type type)
{
	return &loaders[type];
}

const char *boot_type_name(enum boot_type type)
{
	return loaders[type].name;
}

enum boot_type boot_type_find(struct slice name)
{
	enum boot_type type = 0;

	while (type < BOOT_TYPE_MAX && !slice_is(name, loaders[type].name))
		type++;
	return type;
}

static bool is_apart(const struct boot_place *p)
{
	return p->type == BOOT_EFI || p->type == BOOT_EXTLINUX;
}

/* ROOT, or the mount point of the boot partition below it. */
static int top_path(const struct boot_place *p, char out[PATH_MAX], struct err *e)
{
	const char *root = *p->root ? p->root : "/";

	if (path_join(out, root, is_apart(p) ? p->dir + 1 : ".") < 0)
		return err_num(e, -ENAMETOOLONG, "%s", root);
	return 0;
}

int boot_menu_dir(const struct boot_place *p, char out[PATH_MAX], struct err *e)
{
	char top[PATH_MAX];
	int r = top_path(p, top, e);

	if (r < 0)
		return r;
	return path_join(out, top, loaders[p->type].dir) < 0 ? err_num(e, -ENAMETOOLONG, "%s", top)
							     : 0;
}

/* Where nobody before the kernel can count, stage 1 does, and has the block on the root. */
static bool counts_later(enum boot_type type)
{
	return type == BOOT_EXTLINUX || type == BOOT_NONE;
}

static struct boot_place place_of_block(const struct boot_place *p)
{
	struct boot_place block = *p;

	if (counts_later(p->type))
		block.type = BOOT_NONE;
	return block;
}

int boot_env_dir(const struct boot_place *p, char out[PATH_MAX], struct err *e)
{
	const struct boot_place block = place_of_block(p);

	return boot_menu_dir(&block, out, e);
}

int boot_env_dir_open(const struct boot_place *p, struct err *e)
{
	const struct boot_place block = place_of_block(p);

	return boot_dir_open(&block, e);
}

static bool has_block(const struct boot_place *p)
{
	char dir[PATH_MAX], file[PATH_MAX];
	struct err ignored = ERR_INIT;

	return boot_env_dir(p, dir, &ignored) == 0 && path_join(file, dir, BOOT_ENV_NAME) == 0 &&
	       access(file, F_OK) == 0;
}

bool boot_counts(const struct boot_place *p)
{
	return !counts_later(p->type) || has_block(p);
}

/* A machine, not a scratch directory of a test: a boot loader could start from it. */
static int check_place(const struct boot_place *p, int top, const char *path, struct err *e)
{
	const char *dir = loaders[p->type].dir;
	auto_fd int root = open(*p->root ? p->root : "/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (root < 0)
		return err_sys(e, "%s", p->root);
	if (!is_apart(p) || !menu_is_mount_root(root))
		return 0;
	int r = boot_mount_check(p, root, top, path, e);
	if (r < 0 || p->type != BOOT_EFI || faccessat(top, dir, F_OK, 0) == 0)
		return r;
	return err_hint(e,
			err_set(e, -ERR_NOTFOUND,
				"the partition at %s has no directory %s: is it "
				"the right one?",
				path, dir),
			"mkdir -p makes one on the partition that this machine starts from");
}

int boot_top_open(const struct boot_place *p, struct err *e)
{
	char path[PATH_MAX];
	int r = top_path(p, path, e);

	if (r < 0)
		return r;
	auto_fd int top = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (top < 0)
		return err_sys(e, "%s", path);
	r = check_place(p, top, path, e);
	return r < 0 ? r : fd_take(&top);
}

int boot_check(const struct boot_place *p, struct err *e)
{
	auto_fd int top = boot_top_open(p, e);

	return top < 0 ? top : 0;
}

int boot_dir_open(const struct boot_place *p, struct err *e)
{
	const char *dir = loaders[p->type].dir;
	auto_fd int top = boot_top_open(p, e);
	int r = top < 0 ? top : file_mkdir_p(top, dir, 0755, e);

	if (r < 0)
		return r;
	int fd = openat(top, dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 ? err_sys(e, "%s", dir) : fd;
}
