/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "init/user.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>

#include "lib/fd.h"
#include "lib/text.h"

struct lines {
	int fd;
	size_t start, end;
	char buf[4096];
};

/* Next line without newline; one longer than the buffer ends the walk. */
static bool next_line(struct lines *l, struct slice *ret)
{
	for (;;) {
		char *nl = memchr(l->buf + l->start, '\n', l->end - l->start);
		if (nl) {
			*ret = (struct slice){ l->buf + l->start,
					       (size_t)(nl - l->buf) - l->start };
			l->start += ret->n + 1;
			return true;
		}
		memmove(l->buf, l->buf + l->start, l->end - l->start);
		l->end -= l->start;
		l->start = 0;
		ssize_t n = l->end == sizeof(l->buf)
				    ? 0
				    : fd_read_some(l->fd, l->buf + l->end, sizeof(l->buf) - l->end);
		if (n <= 0)
			return false;
		l->end += (size_t)n;
	}
}

static bool fields(struct slice line, struct slice *f, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (!slice_cut(&line, ':', &f[i]))
			return false;
	return true;
}

static void copy(char *out, size_t size, struct slice s)
{
	size_t n = s.n < size ? s.n : size - 1;

	memcpy(out, s.p, n);
	out[n] = '\0';
}

static int find_passwd(struct slice who, bool numeric, struct user *ret)
{
	struct lines l = { .fd = open("/etc/passwd", O_RDONLY | O_CLOEXEC) };
	struct slice line, f[6];
	uint64_t uid, gid;
	int r = -ENOENT;

	while (l.fd >= 0 && r < 0 && next_line(&l, &line)) {
		if (!fields(line, f, 6) || !slice_eq(f[numeric ? 2 : 0], who))
			continue;
		if (text_u64(f[2], UINT32_MAX - 1, &uid) < 0 ||
		    text_u64(f[3], UINT32_MAX - 1, &gid) < 0)
			continue;
		ret->uid = (uid_t)uid;
		ret->gid = (gid_t)gid;
		copy(ret->name, sizeof(ret->name), f[0]);
		copy(ret->home, sizeof(ret->home), f[5]);
		r = 0;
	}
	fd_close(&l.fd);
	return r;
}

static void find_groups(struct user *u)
{
	struct lines l = { .fd = open("/etc/group", O_RDONLY | O_CLOEXEC) };
	struct slice line, f[4], member;
	uint64_t gid;

	while (l.fd >= 0 && next_line(&l, &line)) {
		if (!fields(line, f, 4) || text_u64(f[2], UINT32_MAX - 1, &gid) < 0)
			continue;
		while (slice_cut(&f[3], ',', &member))
			if (slice_is(member, u->name) && u->ngroups < LIMIT_SVC_GROUPS)
				u->groups[u->ngroups++] = (gid_t)gid;
	}
	fd_close(&l.fd);
}

int user_find(const char *who, struct user *ret)
{
	uint64_t number;
	bool numeric = text_u64(slice_of(who), UINT32_MAX - 1, &number) == 0;

	memset(ret, 0, sizeof(*ret));
	int r = find_passwd(slice_of(who), numeric, ret);
	if (r < 0 && !numeric && strcmp(who, "root") != 0)
		return r;
	if (r < 0) {
		ret->uid = numeric ? (uid_t)number : 0;
		ret->gid = (gid_t)ret->uid;
		snprintf(ret->name, sizeof(ret->name), "%s", who);
		snprintf(ret->home, sizeof(ret->home), "/");
	}
	find_groups(ret);
	return 0;
}

int user_group_find(const char *who, gid_t *ret)
{
	struct lines l = { .fd = -1 };
	struct slice line, f[3];
	uint64_t gid;
	int r = -ENOENT;

	if (text_u64(slice_of(who), UINT32_MAX - 1, &gid) == 0) {
		*ret = (gid_t)gid;
		return 0;
	}
	l.fd = open("/etc/group", O_RDONLY | O_CLOEXEC);
	while (l.fd >= 0 && r < 0 && next_line(&l, &line)) {
		if (fields(line, f, 3) && slice_is(f[0], who) &&
		    text_u64(f[2], UINT32_MAX - 1, &gid) == 0) {
			*ret = (gid_t)gid;
			r = 0;
		}
	}
	fd_close(&l.fd);
	return r;
}
