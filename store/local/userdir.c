/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "store/local/userdir.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pwd.h>
#include <sys/stat.h>

#include "lib/fd.h"
#include "lib/log.h"

#define PER_USER "per-user"

/* A name that leads nowhere else. */
static bool is_plain(const char *name)
{
	return *name && *name != '.' && !strchr(name, '/') && strlen(name) <= NAME_MAX;
}

static int enter(int dirfd, const char *name, int *ret)
{
	if (mkdirat(dirfd, name, 0755) < 0 && errno != EEXIST)
		return -errno;
	*ret = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return *ret < 0 ? -errno : 0;
}

/* The owner is set before anybody can be in it: it stays empty until then. */
static int make_own(int dirfd, const char *name, uid_t uid, gid_t gid)
{
	if (mkdirat(dirfd, name, 0755) < 0)
		return errno == EEXIST ? 0 : -errno;
	auto_fd int fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd >= 0 && (uid == geteuid() || fchown(fd, uid, gid) == 0))
		return 0;
	int r = -errno;
	(void)unlinkat(dirfd, name, AT_REMOVEDIR); /* it belongs to nobody who wants it */
	return r;
}

static void make_below(struct local *l, const char *top, const char *name, uid_t uid, gid_t gid)
{
	auto_fd int dir = -1;
	auto_fd int users = -1;
	int r = enter(l->state_fd, top, &dir);
	if (!r)
		r = enter(dir, PER_USER, &users);
	if (!r)
		r = make_own(users, name, uid, gid);
	if (r)
		log_debug("daemon", "no directory %s/%s/%s: error %d", top, PER_USER, name, -r);
}

void userdir_make(struct local *l, uid_t uid, gid_t gid)
{
	const struct passwd *pw = getpwuid(uid);
	if (!pw || !is_plain(pw->pw_name))
		return;
	make_below(l, "profiles", pw->pw_name, uid, gid);
	if (l->dialect == DIALECT_NIX)
		make_below(l, "gcroots", pw->pw_name, uid, gid);
}

void userdir_make_named(struct local *l, const char *name)
{
	const struct passwd *pw = is_plain(name) ? getpwnam(name) : NULL;
	if (pw)
		make_below(l, "profiles", pw->pw_name, pw->pw_uid, pw->pw_gid);
}
