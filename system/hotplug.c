/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "system/hotplug.h"

#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <linux/netlink.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "lib/fd.h"
#include "lib/log.h"
#include "system/accounts.h"
#include "system/root.h"

#define LIMIT_RULES (64u << 10)
#define GROUP	    1 /* of the kernel's own messages; 2 is that of a udev */
#define ROOM	    (4 << 20)

/* ---- rules ---------------------------------------------------------------------------------- */

static bool take_word(struct slice *line, struct slice *ret)
{
	do
		if (!slice_cut(line, ' ', ret))
			return false;
	while (ret->n == 0);
	return true;
}

static int parse_rule(struct slice line, struct arena *a, struct vec *out, struct err *e)
{
	const struct sys_root machine = SYS_ROOT_MACHINE;
	struct slice word[4];
	uint64_t gid = 0;

	for (size_t i = 0; i < 4; i++)
		if (!take_word(&line, &word[i]))
			return err_set(e, -ERR_SYNTAX, "expected SUBSYSTEM NAME MODE GROUP");
	struct hotplug_rule *r = ARENA_NEW(a, struct hotplug_rule);
	char *group = arena_slice(a, word[3]);
	if (!r || !group)
		return err_set(e, -ENOMEM, "out of memory");
	*r = (struct hotplug_rule){ .subsystem = arena_slice(a, word[0]),
				    .name = arena_slice(a, word[1]) };
	for (size_t i = 0; i < word[2].n; i++) {
		char c = word[2].p[i];
		if (c < '0' || c > '7' || word[2].n > 4)
			return err_set(e, -ERR_SYNTAX, "'%.*s' is not a mode", (int)word[2].n,
				       word[2].p);
		r->mode = r->mode * 8 + (unsigned)(c - '0');
	}
	int rc = accounts_group(&machine, group, &gid, e);
	if (rc < 0)
		return rc;
	r->gid = (unsigned)gid;
	vec_add(out, r);
	return out->err ? err_set(e, -ENOMEM, "out of memory") : 0;
}

int hotplug_rules_load(const char *file, struct arena *a, struct vec *ret, struct err *e)
{
	auto_str struct str text = STR_INIT;
	struct slice rest, line;
	unsigned n = 0;
	int rc = file_read(AT_FDCWD, file, &text, LIMIT_RULES, e);

	rest = str_slice(&text);
	while (rc >= 0 && slice_cut(&rest, '\n', &line)) {
		n++;
		line = slice_trim(line);
		if (line.n && line.p[0] != '#' && (rc = parse_rule(line, a, ret, e)) < 0)
			err_wrap(e, rc, "%s:%u", file, n);
	}
	return rc < 0 ? rc : 0;
}

const struct hotplug_rule *hotplug_rule_find(const struct vec *rules, const struct uevent *u)
{
	char subsystem[80], name[160];

	(void)snprintf(subsystem, sizeof(subsystem), "%.*s", (int)u->subsystem.n,
		       u->subsystem.p ? u->subsystem.p : "");
	(void)snprintf(name, sizeof(name), "%.*s", (int)u->name.n, u->name.p ? u->name.p : "");
	for (size_t i = 0; i < rules->n && u->name.n; i++) {
		const struct hotplug_rule *r = rules->v[i];
		if (fnmatch(r->subsystem, subsystem, 0) == 0 && fnmatch(r->name, name, 0) == 0)
			return r;
	}
	return NULL;
}

int hotplug_node(int dev, const struct hotplug_rule *r, const struct uevent *u)
{
	char name[160], self[40];
	struct stat st;

	(void)snprintf(name, sizeof(name), "%.*s", (int)u->name.n, u->name.p);
	auto_fd int fd = openat(dev, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0)
		return -errno;
	if ((!S_ISCHR(st.st_mode) && !S_ISBLK(st.st_mode)) ||
	    st.st_rdev != makedev(u->major, u->minor))
		return -ENODEV;
	if (fchownat(fd, "", 0, r->gid, AT_EMPTY_PATH) < 0)
		return -errno;
	(void)snprintf(self, sizeof(self), "/proc/self/fd/%d", fd);
	return chmod(self, r->mode) < 0 ? -errno : 0; /* there is no fchmod for O_PATH */
}

/* ---- the kernel's messages ------------------------------------------------------------------- */

int hotplug_open(struct err *e)
{
	struct sockaddr_nl at = { .nl_family = AF_NETLINK, .nl_groups = GROUP };
	int room = ROOM;
	auto_fd int fd = socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC, NETLINK_KOBJECT_UEVENT);

	if (fd < 0)
		return err_sys(e, "cannot hear of devices");
	if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof(room)) < 0)
		(void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &room, sizeof(room));
	if (bind(fd, (struct sockaddr *)&at, sizeof(at)) < 0)
		return err_sys(e, "cannot hear of devices");
	return fd_take(&fd);
}

int hotplug_read(int sock, char buf[UEVENT_BYTES], struct uevent *ret)
{
	struct sockaddr_nl from = { .nl_pid = 1 };
	socklen_t len = sizeof(from);
	ssize_t n = recvfrom(sock, buf, UEVENT_BYTES, MSG_TRUNC, (struct sockaddr *)&from, &len);

	if (n < 0)
		return errno == EINTR ? 0 : -errno;
	/* Whoever may send to this socket could say what he likes; the kernel has number 0. */
	if (len != sizeof(from) || from.nl_pid != 0 || from.nl_groups != GROUP) {
		log_warn("hotplug: a message that is not the kernel's pid=%u", from.nl_pid);
		return 0;
	}
	if (n > UEVENT_BYTES || !uevent_parse((struct slice){ buf, (size_t)n }, '\0', ret)) {
		log_warn("hotplug: a message that makes no sense bytes=%zd", n);
		return 0;
	}
	return 1;
}
