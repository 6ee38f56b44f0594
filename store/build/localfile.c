/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "store/build/localfile.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>

#include "lib/fd.h"

#define SCHEME "file://"

const char *localfile_path(const char *url)
{
	size_t n = strlen(SCHEME);
	return strncmp(url, SCHEME "/", n + 1) == 0 ? url + n : NULL;
}

/* One component at a time: openat2, which could do it at once, is not there for helpers. */
static int walk(const char *path, int *ret)
{
	char name[NAME_MAX + 1];
	auto_fd int dir = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	while (dir >= 0) {
		path += strspn(path, "/");
		size_t n = strcspn(path, "/");
		if (n == 0 || n >= sizeof(name))
			return n ? -ENAMETOOLONG : -EISDIR;
		memcpy(name, path, n);
		name[n] = 0;
		path += n;
		if (strcmp(name, "..") == 0)
			return -EACCES;
		int flags = *path ? O_PATH | O_DIRECTORY : O_RDONLY | O_NONBLOCK | O_NOCTTY;
		int fd = openat(dir, name, flags | O_NOFOLLOW | O_CLOEXEC);
		if (fd < 0)
			return -errno;
		if (!*path) {
			*ret = fd;
			return 0;
		}
		fd_close(&dir);
		dir = fd;
	}
	return -errno;
}

int localfile_open(const char *url, int *ret, struct err *e)
{
	struct stat st;
	auto_fd int fd = -1;
	int r = walk(localfile_path(url), &fd);
	if (!r && (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)))
		r = -EINVAL;
	if (r)
		return err_set(e, -ERR_FETCH, "%s",
			       r == -EINVAL ? "not a regular file" : strerror(-r));
	*ret = fd_take(&fd);
	return 0;
}
