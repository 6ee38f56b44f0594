/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A menu on the wrong file system is worse than none: the machine starts what it started before,
 * and whatever the new menu was to say nobody reads. What is declared must be what is mounted, and
 * where two partitions answer to that name, the one on the disk of the root.
 */
#include "bootloader/mount.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "lib/fd.h"
#include "lib/gpt.h"
#include "lib/path.h"
#include "lib/probe.h"

#define LIMIT_UEVENT 4096
#define LIMIT_MOUNTS ((size_t)4 << 20)
#define MBR_TYPE_ESP "0xef"

/* ---- What is mounted ------------------------------------------------------------------------- */

struct mounted {
	dev_t number;
	char device[PATH_MAX]; /* "" when it has none */
	struct probe seen;
	bool known; /* seen says what is there */
};

/* A block device by its directory in /sys; "" when it has no name. */
static void device_of(const char *dir, char out[PATH_MAX])
{
	auto_str struct str text = STR_INIT;
	struct err ignored = ERR_INIT;
	char file[PATH_MAX];

	out[0] = '\0';
	if (path_join(file, dir, "uevent") < 0 ||
	    file_read(AT_FDCWD, file, &text, LIMIT_UEVENT, &ignored) < 0)
		return;
	struct slice rest = str_slice(&text), line, key;
	while (slice_cut(&rest, '\n', &line))
		if (slice_cut(&line, '=', &key) && slice_is(key, "DEVNAME"))
			(void)snprintf(out, PATH_MAX, "/dev/%.*s", (int)line.n, line.p);
}

static void sys_dir(dev_t number, char out[64])
{
	(void)snprintf(out, 64, "/sys/dev/block/%u:%u", major(number), minor(number));
}

static void look(dev_t number, struct mounted *ret)
{
	char dir[64];

	ret->number = number;
	sys_dir(number, dir);
	device_of(dir, ret->device);
	ret->known = *ret->device && probe_device(ret->device, &ret->seen) == 0;
}

/* ---- Where it is mounted, and as what -------------------------------------------------------- */

/* The type by which the kernel has it mounted; empty: it is not to be found. */
static struct slice type_of(dev_t number, struct slice mounts)
{
	struct slice line, field = { NULL, 0 };
	char want[32];

	(void)snprintf(want, sizeof(want), "%u:%u", major(number), minor(number));
	while (slice_cut(&mounts, '\n', &line)) {
		for (int i = 0; i < 3; i++)
			(void)slice_cut(&line, ' ', &field);
		if (!slice_is(field, want))
			continue;
		while (slice_cut(&line, ' ', &field))
			if (slice_is(field, "-"))
				return slice_cut(&line, ' ', &field) ? field : line;
	}
	return (struct slice){ NULL, 0 };
}

static int check_type(const struct boot_place *p, dev_t number, const char *path, struct err *e)
{
	auto_str struct str mounts = STR_INIT;
	struct err ignored = ERR_INIT;
	struct slice type;

	if (!p->fs_type || !*p->fs_type || strcmp(p->fs_type, "auto") == 0 ||
	    file_read(AT_FDCWD, "/proc/self/mountinfo", &mounts, LIMIT_MOUNTS, &ignored) < 0)
		return 0;
	type = type_of(number, str_slice(&mounts));
	if (!type.n || slice_is(type, p->fs_type))
		return 0;
	return err_set(e, -ERR_INVALID, "what is mounted at %s is %.*s, not %s as declared", path,
		       (int)type.n, type.p, p->fs_type);
}

/* The device number of what is mounted at the mount point, which is not that of what is above. */
static int check_mounted(const struct boot_place *p, dev_t *ret, struct err *e)
{
	const char *root = *p->root ? p->root : "/";
	struct stat at, above;
	char path[PATH_MAX];

	if (path_join(path, root, p->mount_point + 1) < 0)
		return err_num(e, -ENAMETOOLONG, "%s", p->mount_point);
	auto_fd int fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &at) < 0 || fstatat(fd, "..", &above, 0) < 0)
		return err_sys(e, "%s", path);
	if (at.st_dev == above.st_dev)
		return err_hint(e,
				err_set(e, -ERR_INVALID,
					"no file system is mounted at %s, where the boot loader "
					"reads",
					path),
				"file_systems of the configuration has %s there",
				p->partition && *p->partition ? p->partition : "one");
	*ret = at.st_dev;
	return check_type(p, at.st_dev, path, e);
}

/* ---- Which partition it is ------------------------------------------------------------------- */

/* The directory in /sys of the disk that has the partition; false: nobody knows. */
static bool disk_of(dev_t number, char out[PATH_MAX])
{
	char dir[64], file[PATH_MAX];

	sys_dir(number, dir);
	if (!realpath(dir, out) || path_join(file, out, "partition") < 0)
		return false;
	if (access(file, F_OK) == 0)
		*strrchr(out, '/') = '\0';
	return true;
}

/* A partition of the disk that answers to spec. */
static bool has_other(const char *disk, const char *spec, char device[PATH_MAX])
{
	const struct dirent *entry;
	DIR *d = opendir(disk);
	bool found = false;

	while (d && !found && (entry = readdir(d))) {
		char dir[PATH_MAX], file[PATH_MAX];
		struct probe seen;

		if (entry->d_name[0] == '.' || path_join(dir, disk, entry->d_name) < 0 ||
		    path_join(file, dir, "partition") < 0 || access(file, F_OK) < 0)
			continue;
		device_of(dir, device);
		found = *device && probe_device(device, &seen) == 0 && probe_matches(&seen, spec);
	}
	if (d)
		(void)closedir(d);
	return found;
}

/* Names in /dev are this machine's, not those of one whose disk is mounted here. A file system that
 * may have several devices (btrfs, bcachefs) has a number of none of them. */
static int check_name(const struct boot_place *p, dev_t number, const char *path, struct err *e)
{
	struct stat st;

	if (*p->root || major(number) == 0 ||
	    (stat(p->partition, &st) == 0 && st.st_rdev == number))
		return 0;
	return err_hint(e,
			err_set(e, -ERR_INVALID, "what is mounted at %s is not %s, as declared",
				path, p->partition),
			"mount %s there", p->partition);
}

static int check_partition(const struct boot_place *p, dev_t root, const struct mounted *m,
			   const char *path, struct err *e)
{
	char own[PATH_MAX], disk[PATH_MAX], device[PATH_MAX];

	if (!p->partition || !*p->partition)
		return 0;
	if (*p->partition == '/')
		return check_name(p, m->number, path, e);
	if (!m->known)
		return 0;
	if (!probe_matches(&m->seen, p->partition))
		return err_hint(e,
				err_set(e, -ERR_INVALID, "%s, mounted at %s, is not %s", m->device,
					path, p->partition),
				"file_systems of its configuration has that there: mount %s at %s",
				p->partition, path);
	if (!disk_of(root, own) || !disk_of(m->number, disk) || strcmp(own, disk) == 0 ||
	    !has_other(own, p->partition, device))
		return 0;
	return err_hint(e,
			err_set(e, -ERR_INVALID,
				"%s, mounted at %s, is %s on another disk than the root, whose own "
				"is %s",
				m->device, path, p->partition, device),
			"in file_systems, PARTUUID= or UUID= tells one from the other");
}

/* ---- EFI system partitions ------------------------------------------------------------------- */

/* Firmware does not look for programs on partitions of another type. A disk without a table, or
 * with one that cannot be read, says nothing about it. */
static int check_parttype(const struct mounted *m, const char *path, struct err *e)
{
	const char *type = m->seen.parttype;

	if (!m->known || !*type || strcasecmp(type, GPT_TYPE_ESP) == 0 ||
	    strcmp(type, MBR_TYPE_ESP) == 0)
		return 0;
	return err_hint(e,
			err_set(e, -ERR_INVALID,
				"%s at %s does not have the type 'EFI system partition'", m->device,
				path),
			"where it is the right one: sfdisk --part-type DISK NUMBER uefi");
}

/* What is mounted there may be another partition, or nothing. */
static int check_esp(dev_t root, int top, const char *path, struct mounted *m, struct err *e)
{
	struct statfs fs;
	struct stat st;

	if (fstat(top, &st) < 0 || fstatfs(top, &fs) < 0)
		return err_sys(e, "%s", path);
	if (st.st_dev == root)
		return err_hint(
			e,
			err_set(e, -ERR_INVALID, "no EFI system partition is mounted at %s", path),
			"file_systems of the configuration says what is mounted there");
	if (fs.f_type != MSDOS_SUPER_MAGIC)
		return err_set(e, -ERR_INVALID, "%s is no FAT file system", path);
	look(st.st_dev, m);
	return check_parttype(m, path, e);
}

int boot_mount_check(const struct boot_place *p, int root, int top, const char *path, struct err *e)
{
	struct mounted m = { .number = 0 };
	dev_t number = 0;
	struct stat st;
	int r = 0;

	if (fstat(root, &st) < 0)
		return err_sys(e, "%s", p->root);
	if (p->type == BOOT_EFI)
		r = check_esp(st.st_dev, top, path, &m, e);
	if (r < 0 || !p->mount_point || !*p->mount_point)
		return r;
	r = check_mounted(p, &number, e);
	if (r == 0 && m.number != number)
		look(number, &m);
	return r == 0 ? check_partition(p, st.st_dev, &m, path, e) : r;
}
