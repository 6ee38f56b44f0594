/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "store/local/below.h"

#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "lib/fd.h"
#include "lib/slice.h"

#define LIMIT_MOUNTS ((size_t)4 << 20)

/* A line of mountinfo: ID PARENT DEVICE ROOT POINT OPTIONS [MORE…] - TYPE SOURCE OPTIONS */
struct mount_line {
	struct slice device, root, point, options;
};

static bool line_parse(struct slice line, struct mount_line *ret)
{
	struct slice field = { NULL, 0 }, first[5] = { { NULL, 0 } };

	for (int i = 0; i < 5; i++)
		if (!slice_cut(&line, ' ', &first[i]))
			return false;
	while (slice_cut(&line, ' ', &field) && !slice_is(field, "-"))
		continue;
	if (!slice_cut(&line, ' ', &field) || !slice_cut(&line, ' ', &field) || !line.p)
		return false;
	*ret = (struct mount_line){ first[2], first[3], first[4], line };
	return true;
}

/* The one lower directory; empty: there are several, or it is written with escapes. */
static struct slice lower_of(struct slice options)
{
	struct slice option, key;

	while (slice_cut(&options, ',', &option)) {
		if (!slice_cut(&option, '=', &key) || !slice_is(key, "lowerdir"))
			continue;
		for (size_t i = 0; i < option.n; i++)
			if (option.p[i] == ':' || option.p[i] == '\\')
				return (struct slice){ NULL, 0 };
		if (option.n && option.p[0] == '/')
			return option;
	}
	return (struct slice){ NULL, 0 };
}

/* What path has behind dir, from its slash on; false: it is not in it. */
static bool cut_dir(struct slice path, struct slice dir, struct slice *ret)
{
	if (dir.n == 1)
		dir.n = 0; /* "/" */
	if (path.n < dir.n || memcmp(path.p, dir.p, dir.n) != 0 ||
	    (path.n > dir.n && path.p[dir.n] != '/'))
		return false;
	*ret = (struct slice){ path.p + dir.n, path.n - dir.n };
	return true;
}

static int open_lower(const struct mount_line *m, struct slice path)
{
	const struct slice lower = lower_of(m->options);
	struct slice root = m->root, rest;
	char dir[PATH_MAX];

	if (!lower.n || !cut_dir(path, m->point, &rest))
		return -1;
	if (root.n == 1)
		root.n = 0;
	int n = snprintf(dir, sizeof(dir), "%.*s%.*s%.*s", (int)lower.n, lower.p, (int)root.n,
			 root.p, (int)rest.n, rest.p);
	if (n < 0 || (size_t)n >= sizeof(dir))
		return -1;
	return open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
}

int below_open(int dir)
{
	auto_str struct str mounts = STR_INIT, path = STR_INIT;
	struct err ignored = ERR_INIT;
	char self[64], device[64];
	struct mount_line m;
	struct statfs fs;
	struct stat st;
	int fd = -1;

	(void)snprintf(self, sizeof(self), "/proc/self/fd/%d", dir);
	if (fstatfs(dir, &fs) < 0 || fs.f_type != OVERLAYFS_SUPER_MAGIC || fstat(dir, &st) < 0 ||
	    file_readlink(AT_FDCWD, self, &path, &ignored) < 0 ||
	    file_read(AT_FDCWD, "/proc/self/mountinfo", &mounts, LIMIT_MOUNTS, &ignored) < 0)
		return -1;
	(void)snprintf(device, sizeof(device), "%u:%u", major(st.st_dev), minor(st.st_dev));
	struct slice rest = str_slice(&mounts), line;
	while (fd < 0 && slice_cut(&rest, '\n', &line))
		if (line_parse(line, &m) && slice_is(m.device, device))
			fd = open_lower(&m, str_slice(&path));
	return fd;
}
