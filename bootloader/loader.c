/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "bootloader/loader.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "bootloader/env.h"
#include "lib/fd.h"
#include "lib/path.h"

static int write_nothing(const struct boot_place *p, const struct boot_menu *m, struct err *e)
{
	return 0;
}

static int no_default(const struct boot_place *p, unsigned *ret, struct err *e)
{
	*ret = 0;
	return 0;
}

static const struct boot_loader loaders[BOOT_TYPE_MAX] = {
	[BOOT_GRUB] = { "grub", "boot/grub", grub_menu_write, grub_menu_default },
	[BOOT_EFI] = { "efi", "EFI/cairn", write_nothing, no_default },
	[BOOT_EXTLINUX] = { "extlinux", "extlinux", write_nothing, no_default },
	[BOOT_NONE] = { "none", "boot/grub", write_nothing, no_default },
};

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

int boot_env_dir(const struct boot_place *p, char out[PATH_MAX], struct err *e)
{
	char top[PATH_MAX];
	int r = top_path(p, top, e);

	if (r < 0)
		return r;
	return path_join(out, top, loaders[p->type].dir) < 0 ? err_num(e, -ENAMETOOLONG, "%s", top)
							     : 0;
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
	return p->type == BOOT_GRUB || p->type == BOOT_EFI ||
	       (p->type == BOOT_NONE && has_block(p));
}

int boot_dir_open(const struct boot_place *p, struct err *e)
{
	const char *dir = loaders[p->type].dir;
	char path[PATH_MAX];
	int r = top_path(p, path, e);

	if (r < 0)
		return r;
	auto_fd int top = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (top < 0)
		return err_sys(e, "%s", path);
	if ((r = file_mkdir_p(top, dir, 0755, e)) < 0)
		return r;
	int fd = openat(top, dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 ? err_sys(e, "%s/%s", path, dir) : fd;
}

int boot_write_menu(const struct boot_place *p, const struct boot_menu *menu, struct err *e)
{
	int r = loaders[p->type].write(p, menu, e);

	return r < 0 ? err_wrap(e, r, "boot menu") : 0;
}

int boot_menu_default(const struct boot_place *p, unsigned *ret, struct err *e)
{
	return loaders[p->type].get_default(p, ret, e);
}
