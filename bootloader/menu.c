/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * GRUB reads blocks, not the journal. A file that was fsynced and renamed can still be absent for
 * it, or worse, its directory entry can point to blocks that the journal has since given to another
 * file. Hence: flush everything past the journal, keep the blocks of the old menu taken (a second
 * name) until the new name is itself past the journal, and only then let them go.
 */
#include "bootloader/put.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "bootloader/freeze.h"
#include "lib/fd.h"
#include "lib/log.h"

#define NAME_SIZE  64
#define LIMIT_MENU (4 * 1024 * 1024)

bool menu_is_mount_root(int fd)
{
	struct stat x, y;

	if (fstat(fd, &x) < 0 || fstatat(fd, "..", &y, 0) < 0)
		return true; /* the careful answer */
	return x.st_dev != y.st_dev || x.st_ino == y.st_ino;
}

int menu_sync(int fd)
{
	return syncfs(fd) < 0 ? -1 : fsync(fd);
}

int menu_flush(const struct menu_place *p, int fd, struct err *e)
{
	bool frozen = false;

	if (!p->flush)
		return syncfs(fd) < 0 ? err_sys(e, "syncing the boot menu") : 0;
	int r = freeze_flush(fd, &frozen, e);
	if (r == 0)
		log_debug("boot", "menu: flushed frozen=%s", frozen ? "yes" : "no");
	return r;
}

struct menu_names {
	char new[NAME_SIZE], old[NAME_SIZE];
};

static struct menu_names names_of(const struct menu_place *p)
{
	struct menu_names n;

	(void)snprintf(n.new, sizeof(n.new), "%s.new", p->name);
	(void)snprintf(n.old, sizeof(n.old), "%s.old", p->name);
	return n;
}

static int check_written(int fd, const struct str *text, const char *name, struct err *e)
{
	auto_str struct str have = STR_INIT;

	(void)posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED); /* from the disk, where possible */
	if (lseek(fd, 0, SEEK_SET) < 0)
		return err_sys(e, "%s", name);
	int r = fd_read_all(fd, &have, LIMIT_MENU);
	if (r < 0)
		return err_num(e, r, "reading %s back", name);
	return slice_eq(str_slice(&have), str_slice(text))
		       ? 0
		       : err_set(e, -EIO, "%s is not what was written", name);
}

/* flags: how it is opened besides */
static int write_file(int dir, const char *name, int flags, const struct str *text, struct err *e)
{
	auto_fd int fd = openat(dir, name, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC | flags, 0644);
	if (fd < 0)
		return err_sys(e, "%s", name);
	int r = fd_write_full(fd, text->buf, text->len);
	if (r < 0)
		return err_num(e, r, "writing %s", name);
	if (ftruncate(fd, (off_t)text->len) < 0 || fchmod(fd, 0644) < 0 || fsync(fd) < 0)
		return err_sys(e, "%s", name);
	return check_written(fd, text, name, e);
}

int menu_write_new(int dir, const char *name, const struct str *text, struct err *e)
{
	return write_file(dir, name, O_EXCL, text, e);
}

int menu_write_over(int dir, const char *name, const struct str *text, struct err *e)
{
	return write_file(dir, name, 0, text, e);
}

static int unlink_if_there(int dir, const char *name, struct err *e)
{
	if (unlinkat(dir, name, 0) < 0 && errno != ENOENT)
		return err_sys(e, "removing %s", name);
	return 0;
}

int menu_get(const struct menu_place *p, struct str *out, struct err *e)
{
	struct err tmp = ERR_INIT;

	if (p->pair)
		return pair_get(p, out, e);
	int r = file_read(p->dir, p->name, out, LIMIT_MENU, &tmp);

	if (r == -ENOENT)
		return 0;
	if (r < 0)
		*e = tmp;
	return r;
}

bool menu_is_present(const struct menu_place *p, const struct str *text)
{
	auto_str struct str old = STR_INIT;
	struct err ignored = ERR_INIT;

	return menu_get(p, &old, &ignored) == 0 && old.len &&
	       slice_eq(str_slice(&old), str_slice(text));
}

/* The new menu stands complete beside the old one and on disk: give it the name. */
static int switch_names(const struct menu_place *p, const struct menu_names *n, struct err *e)
{
	/* FAT has no second names; and no journal that could bring an old one back. */
	if (linkat(p->dir, p->name, p->dir, n->old, 0) < 0 && errno != ENOENT && errno != EPERM)
		return err_sys(e, "keeping the old %s", p->name);
	int r = boot_exchange(p->dir, n->new, p->name, e);
	if (r == 0 && menu_sync(p->dir) < 0)
		r = err_sys(e, "%s", p->name);
	if (r == 0)
		r = menu_flush(p, p->dir, e);
	if (r == 0)
		r = unlink_if_there(p->dir, n->new, e);
	return r == 0 ? unlink_if_there(p->dir, n->old, e) : r;
}

int menu_put(const struct menu_place *p, const struct str *text, struct err *e)
{
	const struct menu_names n = names_of(p);
	int r;

	if (p->pair)
		return pair_put(p, text, e);
	if (boot_is_twin(p->dir, n.new, p->name))
		return err_hint(
			e, err_set(e, -EIO, "%s and %s have the same clusters", p->name, n.new),
			"a power cut left that; repair the file system with fsck.vfat -a");
	/* Left over from a crash. Both are past use: either the rename did not happen, or the menu
	 * under its name is complete. The old one is dropped only below, behind a flush. */
	if ((r = unlink_if_there(p->dir, n.new, e)) < 0)
		return r;
	bool present = menu_is_present(p, text);
	if (!present && (r = menu_write_new(p->dir, n.new, text, e)) < 0) {
		(void)unlinkat(p->dir, n.new, 0); /* half a menu is only in the way */
		return r;
	}
	if ((r = menu_flush(p, p->dir, e)) < 0 || (r = unlink_if_there(p->dir, n.old, e)) < 0)
		return r;
	return present ? 0 : switch_names(p, &n, e);
}
