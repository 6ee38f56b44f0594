/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "system/test-root.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lib/fd.h"
#include "lib/path.h"
#include "lib/size.h"
#include "store/store.h"
#include "system/test-given.h"
#include "system/test-set.h"

#define LIMIT_SET (1u << 20)
/* A place for the new root, over which it is mounted in there: it is there anyway, and nothing in
 * it is needed for the new one. */
#define PLACE "/sys"

struct attr { /* struct mount_attr of the kernel */
	uint64_t set, clear, propagation, userns;
};

static int mount_new(const char *type, const char *path, unsigned long flags, const char *options,
		     struct err *e)
{
	int rc = file_mkdir_p(AT_FDCWD, path, 0755, e);

	if (rc == 0 && mount(type, path, type, flags | MS_NOSUID, options) < 0)
		rc = err_sys(e, "mount %s", path);
	return rc;
}

static int bind_store(int store, struct err *e)
{
	struct attr ro = { .set = MS_RDONLY | MS_NOSUID | MS_NODEV };
	char from[64];
	int rc = file_mkdir_p(AT_FDCWD, PLACE STORE_DIR_DEFAULT, 0755, e);

	(void)snprintf(from, sizeof(from), "/proc/self/fd/%d", store);
	if (rc == 0 && mount(from, PLACE STORE_DIR_DEFAULT, NULL, MS_BIND, NULL) < 0)
		rc = err_sys(e, "mount the store");
	if (rc == 0 &&
	    syscall(SYS_mount_setattr, AT_FDCWD, PLACE STORE_DIR_DEFAULT, 0, &ro, sizeof(ro)) < 0)
		rc = err_sys(e, "make the store read-only");
	return rc;
}

static int make_devices(struct err *e)
{
	static const char *const names[] = { "null", "zero", "full", "random", "urandom", "tty" };
	static const char *const links[][2] = { { "pts/ptmx", "ptmx" },
						{ "/proc/self/fd", "fd" },
						{ "/proc/self/fd/0", "stdin" },
						{ "/proc/self/fd/1", "stdout" },
						{ "/proc/self/fd/2", "stderr" } };
	char from[PATH_MAX], to[PATH_MAX];
	int rc = mount_new("tmpfs", PLACE "/dev", 0, "mode=0755,size=1m", e);

	for (size_t i = 0; rc == 0 && i < ARRAY_LEN(names); i++) {
		(void)snprintf(from, sizeof(from), "/dev/%s", names[i]);
		(void)snprintf(to, sizeof(to), PLACE "/dev/%s", names[i]);
		auto_fd int fd = open(to, O_WRONLY | O_CREAT | O_CLOEXEC, 0666);
		if (fd < 0 || mount(from, to, NULL, MS_BIND, NULL) < 0)
			rc = err_sys(e, "%s", from);
	}
	for (size_t i = 0; rc == 0 && i < ARRAY_LEN(links); i++) {
		(void)snprintf(to, sizeof(to), PLACE "/dev/%s", links[i][1]);
		if (symlink(links[i][0], to) < 0)
			rc = err_sys(e, "%s", to);
	}
	if (rc == 0)
		rc = mount_new("devpts", PLACE "/dev/pts", MS_NOEXEC,
			       "newinstance,ptmxmode=0666,mode=0620,gid=5", e);
	return rc == 0 ? mount_new("tmpfs", PLACE "/dev/shm", MS_NODEV, "mode=1777", e) : rc;
}

int test_root_make(int store, struct err *e)
{
	struct err ignored = ERR_INIT;
	int rc;

	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		return err_sys(e, "make the mounts private");
	if (mount("tmpfs", PLACE, "tmpfs", MS_NODEV, "mode=0755") < 0)
		return err_sys(e, "mount a root in memory");
	rc = bind_store(store, e);
	if (rc == 0)
		rc = make_devices(e);
	if (rc == 0)
		rc = mount_new("proc", PLACE "/proc", MS_NODEV | MS_NOEXEC, NULL, e);
	if (rc == 0)
		rc = mount_new("tmpfs", PLACE "/run", MS_NODEV, "mode=0755", e);
	if (rc == 0)
		rc = mount_new("tmpfs", PLACE "/tmp", MS_NODEV, "mode=1777", e);
	if (rc < 0)
		return rc;
	/* What shows hardware is not to be had everywhere, and PID 1 makes no groups of processes
	 * that would be left behind. */
	(void)mount_new("sysfs", PLACE "/sys", MS_NODEV | MS_NOEXEC | MS_RDONLY, NULL, &ignored);
	(void)mount_new("tmpfs", PLACE "/sys/fs/cgroup", MS_RDONLY, NULL, &ignored);
	if (chdir(PLACE) < 0 || syscall(SYS_pivot_root, ".", ".") < 0 ||
	    umount2(".", MNT_DETACH) < 0 || chdir("/") < 0)
		return err_sys(e, "enter the new root");
	return 0;
}

/* Mount points of file systems that are not mounted here are directories all the same. */
static void make_mount_points(const char *system)
{
	auto_str struct str text = STR_INIT;
	struct err ignored = ERR_INIT;
	char path[PATH_MAX];
	struct slice rest, line, point;

	if (snprintf(path, sizeof(path), "%s/etc/fstab", system) >= (int)sizeof(path) ||
	    file_read(AT_FDCWD, path, &text, LIMIT_SET, &ignored) < 0)
		return;
	rest = str_slice(&text);
	while (rest.n && slice_cut(&rest, '\n', &line)) {
		(void)slice_cut(&line, '\t', &point);
		(void)slice_cut(&line, '\t', &point);
		if (!slice_starts(point, "/") || point.n >= sizeof(path))
			continue;
		(void)snprintf(path, sizeof(path), "%.*s", (int)point.n, point.p);
		(void)file_mkdir_p(AT_FDCWD, path, 0755, &ignored);
	}
}

static int write_files(const struct vec *files, struct err *e)
{
	char dir[PATH_MAX];
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < files->n; i++) {
		const struct test_file *x = files->v[i];

		rc = path_dir(dir, x->path);
		if (rc < 0)
			return err_num(e, rc, "%s", x->path);
		rc = file_mkdir_p(AT_FDCWD, dir, 0755, e);
		if (rc == 0)
			rc = file_write_atomic(AT_FDCWD, x->path, x->text.p, x->text.n, 0600, e);
	}
	return rc;
}

static int write_set(const char *system, struct err *e)
{
	auto_str struct str text = STR_INIT, set = STR_INIT;
	char path[PATH_MAX];
	int rc;

	(void)snprintf(path, sizeof(path), "%s/services/set", system);
	rc = file_read(AT_FDCWD, path, &text, LIMIT_SET, e);
	if (rc < 0)
		return rc;
	test_set_format(str_slice(&text), &set);
	if (str_err(&set))
		return err_set(e, -ENOMEM, "out of memory");
	return file_write_atomic(AT_FDCWD, TEST_ROOT_SET, set.buf, set.len, 0644, e);
}

int test_root_fill(const char *system, const struct vec *files, struct err *e)
{
	static const char *const dirs[] = { "/etc",	"/home", "/root", "/var/guix/profiles",
					    "/var/log", "/boot" };
	char parameters[PATH_MAX];
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < ARRAY_LEN(dirs); i++)
		rc = file_mkdir_p(AT_FDCWD, dirs[i], 0755, e);
	if (rc < 0)
		return rc;
	if (symlink(system, "/var/guix/profiles/system-1-link") < 0 ||
	    symlink("system-1-link", "/var/guix/profiles/system") < 0 ||
	    symlink(system, "/run/booted-system") < 0)
		return err_sys(e, "links to the system");
	make_mount_points(system);
	/* What services ask of the command line is to be what the next boot has. */
	(void)snprintf(parameters, sizeof(parameters), "%s/parameters", system);
	(void)mount(parameters, "/proc/cmdline", NULL, MS_BIND, NULL);
	rc = write_files(files, e);
	return rc == 0 ? write_set(system, e) : rc;
}
