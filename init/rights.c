/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "init/rights.h"

#include <sys/socket.h>

#include "init/user.h"
#include "lib/log.h"

#ifndef SO_PEERGROUPS
#define SO_PEERGROUPS 59
#endif

#define GROUPS_MAX  256
#define REFUSALS    5 /* that are told in one window */
#define WINDOW	    10000000000ull
#define PREFIX(lit) (sizeof(lit) - 1)

enum right {
	RIGHT_ROOT,
	RIGHT_SERVICE, /* who is named by the service, too */
	RIGHT_ALL,
};

/* What has no row is for root. */
static const struct {
	const char *name;
	uint8_t right;
} ops[CTL_OP_MAX] = {
	[CTL_LIST] = { "list", RIGHT_ALL },	     [CTL_STATUS] = { "status", RIGHT_ALL },
	[CTL_INFO] = { "info", RIGHT_ALL },	     [CTL_SET] = { "set", RIGHT_ALL },
	[CTL_WATCH] = { "watch", RIGHT_ALL },	     [CTL_START] = { "start", RIGHT_SERVICE },
	[CTL_STOP] = { "stop", RIGHT_SERVICE },	     [CTL_RESTART] = { "restart", RIGHT_SERVICE },
	[CTL_RELOAD] = { "reload", RIGHT_SERVICE },  [CTL_TRIGGER] = { "trigger", RIGHT_SERVICE },
	[CTL_ACTION] = { "action", RIGHT_SERVICE },  [CTL_LOAD] = { "load", RIGHT_ROOT },
	[CTL_SHUTDOWN] = { "shutdown", RIGHT_ROOT }, [CTL_REEXEC] = { "re-exec", RIGHT_ROOT },
	[CTL_RUN] = { "run", RIGHT_ROOT },	     [CTL_OVERRIDE] = { "override", RIGHT_ROOT },
};

static bool is_in_group(int fd, const struct ucred *cred, gid_t gid)
{
	gid_t groups[GROUPS_MAX];
	socklen_t len = sizeof(groups);

	if (cred->gid == gid)
		return true;
	if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &len) < 0)
		return false;
	for (size_t i = 0; i < len / sizeof(gid_t); i++)
		if (groups[i] == gid)
			return true;
	return false;
}

/* who: "user:NAME" or "group:NAME". */
static bool is_named(int fd, const struct ucred *cred, const char *who)
{
	struct user user;
	gid_t gid;

	if (who[0] == 'u')
		return user_find(who + PREFIX("user:"), &user) == 0 && user.uid == cred->uid;
	return user_group_find(who + PREFIX("group:"), &gid) == 0 && is_in_group(fd, cred, gid);
}

static void refuse(enum ctl_op op, const struct svc *s, const struct ucred *cred)
{
	static uint64_t since;
	static unsigned told;
	uint64_t now = loop_now();

	if (now - since > WINDOW) {
		if (told > REFUSALS)
			log_warn("control: refused more=%u", told - REFUSALS);
		since = now;
		told = 0;
	}
	if (told++ < REFUSALS)
		log_warn("control: refused op=%s name=%s uid=%u pid=%d", ops[op].name,
			 s ? s->name : "", (unsigned)cred->uid, (int)cred->pid);
}

bool rights_allow(int fd, enum ctl_op op, const struct svc *s, char *why, size_t size)
{
	struct ucred cred = { .uid = (uid_t)-1, .gid = (gid_t)-1 };
	socklen_t len = sizeof(cred);
	bool by_service = ops[op].right == RIGHT_SERVICE && s;
	size_t n = (size_t)snprintf(why, size, "only root");

	if (ops[op].right == RIGHT_ALL)
		return true;
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) < 0)
		by_service = false;
	for (size_t i = 0; by_service && i < s->def->control.n; i++) {
		const char *who = s->def->control.v[i];
		if (is_named(fd, &cred, who))
			return true;
		if (n < size)
			n += (size_t)snprintf(why + n, size - n, " or %s", who);
	}
	if (n < size)
		snprintf(why + n, size - n, " may do that%s%s", by_service ? " to " : "",
			 by_service ? s->name : "");
	refuse(op, s, &cred);
	return false;
}
