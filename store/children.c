/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "store/children.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>

#include "lib/banned.h"

struct child_entry {
	pid_t pid;
	uid_t uid;
};

struct crash_entry {
	uid_t uid;
	unsigned n;
	uint64_t last;
};

void children_add(struct children *c, pid_t pid, uid_t uid)
{
	struct child_entry *v = reallocarray(c->live, c->nlive + 1, sizeof(*v));
	if (!v)
		return;
	c->live = v;
	v[c->nlive++] = (struct child_entry){ pid, uid };
}

/* What a program does not do by itself when all is well; the kernel's SIGKILL may be for others. */
static bool is_crash(int status)
{
	if (!WIFSIGNALED(status))
		return false;
	switch (WTERMSIG(status)) {
	case SIGSEGV:
	case SIGBUS:
	case SIGABRT:
	case SIGILL:
	case SIGFPE:
	case SIGSYS:
	case SIGTRAP:
		return true;
	default:
		return false;
	}
}

static struct crash_entry *find_crashes(const struct children *c, uid_t uid)
{
	for (size_t i = 0; i < c->ncrashes; i++)
		if (c->crashes[i].uid == uid)
			return &c->crashes[i];
	return NULL;
}

static bool is_over(const struct crash_entry *x, uint64_t now)
{
	return now - x->last > CHILDREN_PAUSE_S * 1000000000ull;
}

/* The entry of uid, in place of one that is over when it has none; NULL: no memory. */
static struct crash_entry *crashes_of(struct children *c, uid_t uid, uint64_t now)
{
	struct crash_entry *x = find_crashes(c, uid);
	for (size_t i = 0; !x && i < c->ncrashes; i++)
		if (is_over(&c->crashes[i], now))
			x = &c->crashes[i];
	if (!x) {
		struct crash_entry *v = reallocarray(c->crashes, c->ncrashes + 1, sizeof(*v));
		if (!v)
			return NULL;
		c->crashes = v;
		x = &v[c->ncrashes++];
		x->uid = (uid_t)~uid;
	}
	if (x->uid != uid || is_over(x, now))
		*x = (struct crash_entry){ .uid = uid };
	return x;
}

bool children_ended(struct children *c, pid_t pid, int status, uint64_t now, uid_t *ret_uid)
{
	size_t i = 0;
	while (i < c->nlive && c->live[i].pid != pid)
		i++;
	if (i == c->nlive)
		return false;
	uid_t uid = c->live[i].uid;
	*ret_uid = uid;
	c->live[i] = c->live[--c->nlive];
	struct crash_entry *x = is_crash(status) && uid != 0 ? crashes_of(c, uid, now) : NULL;
	if (!x)
		return false;
	x->last = now;
	return ++x->n == CHILDREN_CRASHES;
}

bool children_paused(const struct children *c, uid_t uid, uint64_t now)
{
	const struct crash_entry *x = find_crashes(c, uid);
	return x && x->n >= CHILDREN_CRASHES && !is_over(x, now);
}

void children_done(struct children *c)
{
	free(c->live);
	free(c->crashes);
	*c = (struct children){ 0 };
}
