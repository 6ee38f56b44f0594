/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "store/format/buildid.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <sys/stat.h>

#include "lib/fd.h"
#include "lib/str.h"

#define ID_DIR	 "/run/cairn-build-ids"
#define ID_BASE	 872415232U /* 0x34000000: far from what systems hand out */
#define ID_COUNT 4096U

/* Whether [base, base+count) is mapped in this process's user namespace. */
static bool ids_mapped(unsigned base, unsigned count)
{
	auto_str struct str text = STR_INIT;
	if (file_read(AT_FDCWD, "/proc/self/uid_map", &text, 1 << 16, NULL))
		return false;
	bool found = false;
	FILE *f = fmemopen(text.buf, text.len, "r");
	unsigned long in, out, n;
	while (f && fscanf(f, "%lu %lu %lu", &in, &out, &n) == 3)
		if (base >= in && (unsigned long)base + count <= in + n)
			found = true;
	if (f)
		fclose(f);
	return found;
}

/* Which range: the private one; in a container of 64Ki ids, its upper end. */
static unsigned id_base(void)
{
	static unsigned base;
	if (base)
		return base;
	if (ids_mapped(ID_BASE, ID_COUNT))
		base = ID_BASE;
	else if (ids_mapped(60000, ID_COUNT))
		base = 60000;
	return base;
}

/* 0 is host root unless this is a user namespace that maps it to somebody else. */
static bool root_is_host_root(void)
{
	auto_str struct str text = STR_INIT;
	unsigned long in, out, n;
	if (file_read(AT_FDCWD, "/proc/self/uid_map", &text, 1 << 16, NULL))
		return true;
	return sscanf(text.buf, "%lu %lu %lu", &in, &out, &n) != 3 || in != 0 || out == 0;
}

static int open_locks(int *ret, struct err *e)
{
	if (mkdir(ID_DIR, 0700) < 0 && errno != EEXIST)
		return err_sys(e, "cannot make %s", ID_DIR);
	auto_fd int dir = open(ID_DIR, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	struct stat st;
	if (dir < 0 || fstat(dir, &st) < 0)
		return err_sys(e, "cannot open %s", ID_DIR);
	if (st.st_uid != 0 || (st.st_mode & 022))
		return err_set(e, -ERR_SANDBOX, "%s is writable by others", ID_DIR);
	*ret = fd_take(&dir);
	return 0;
}

/* 0, -EAGAIN when somebody has it. */
static int try_lock(int dir, const char *name, int *ret, struct err *e)
{
	auto_fd int fd = openat(dir, name, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return err_sys(e, "cannot open %s/%s", ID_DIR, name);
	if (fd_lock(fd, true, false))
		return -EAGAIN;
	*ret = fd_take(&fd);
	return 0;
}

static int take_unnamed(int dir, uid_t *ret_uid, gid_t *ret_gid, int *ret_lock, struct err *e)
{
	unsigned base = id_base();
	if (!base)
		return err_set(e, -ERR_SANDBOX,
			       "no unprivileged user id is available in this user namespace");
	for (unsigned i = 0; i < ID_COUNT; i++) {
		char name[16];
		snprintf(name, sizeof(name), "%u", i);
		int r = try_lock(dir, name, ret_lock, e);
		if (r == -EAGAIN)
			continue;
		*ret_uid = base + i;
		*ret_gid = base + i;
		return r;
	}
	return err_set(e, -ERR_LIMIT, "all %u build users are in use", ID_COUNT);
}

static int take_member(int dir, const char *group, uid_t *ret_uid, gid_t *ret_gid, int *ret_lock,
		       struct err *e)
{
	const struct group *gr = getgrnam(group);
	if (!gr)
		return err_set(e, -ERR_INVALID, "the group '%s' does not exist", group);
	bool any = false;
	for (char **member = gr->gr_mem; *member; member++) {
		const struct passwd *pw = getpwnam(*member);
		char name[24];
		if (!pw || pw->pw_uid == 0)
			continue;
		any = true;
		snprintf(name, sizeof(name), "uid-%u", (unsigned)pw->pw_uid);
		int r = try_lock(dir, name, ret_lock, e);
		if (r == -EAGAIN)
			continue;
		*ret_uid = pw->pw_uid;
		*ret_gid = gr->gr_gid;
		return r;
	}
	if (any)
		return -EAGAIN;
	return err_set(e, -ERR_INVALID, "the group '%s' has no members to build as", group);
}

int buildid_take(const char *group, uid_t *ret_uid, gid_t *ret_gid, int *ret_lock, struct err *e)
{
	*ret_lock = -1;
	if (geteuid() != 0 || (!group && !id_base() && !root_is_host_root())) {
		*ret_uid = geteuid();
		*ret_gid = getegid();
		return 0;
	}
	auto_fd int dir = -1;
	int r = open_locks(&dir, e);
	if (r)
		return r;
	return group ? take_member(dir, group, ret_uid, ret_gid, ret_lock, e)
		     : take_unnamed(dir, ret_uid, ret_gid, ret_lock, e);
}
