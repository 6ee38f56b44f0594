/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "store/build/children.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>

#include "lib/banned.h"

struct child_entry {
	pid_t pid;
	uint64_t client;
};

struct crash_entry {
	uint64_t client;
	unsigned n;
	uint64_t last;
};

void children_add(struct children *c, pid_t pid, uint64_t client)
{
	struct child_entry *v = reallocarray(c->live, c->nlive + 1, sizeof(*v));
	if (!v)
		return;
	c->live = v;
	v[c->nlive++] = (struct child_entry){ pid, client };
}

size_t children_pids(const struct children *c, pid_t *out, size_t max)
{
	size_t n = 0;
	for (; n < c->nlive && n < max; n++)
		out[n] = c->live[n].pid;
	return n;
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

static struct crash_entry *find_crashes(const struct children *c, uint64_t client)
{
	for (size_t i = 0; i < c->ncrashes; i++)
		if (c->crashes[i].client == client)
			return &c->crashes[i];
	return NULL;
}

static bool is_over(const struct crash_entry *x, uint64_t now)
{
	return now - x->last > CHILDREN_PAUSE_S * 1000000000ull;
}

/* The entry of client, in place of the oldest one when that is over or there are many; NULL: no
 * memory. */
static struct crash_entry *crashes_of(struct children *c, uint64_t client, uint64_t now)
{
	struct crash_entry *x = find_crashes(c, client), *oldest = NULL;
	for (size_t i = 0; i < c->ncrashes; i++)
		if (!oldest || c->crashes[i].last < oldest->last)
			oldest = &c->crashes[i];
	if (!x && oldest && (is_over(oldest, now) || c->ncrashes == CHILDREN_CLIENTS)) {
		x = oldest;
		*x = (struct crash_entry){ .client = client };
	}
	if (!x) {
		struct crash_entry *v = reallocarray(c->crashes, c->ncrashes + 1, sizeof(*v));
		if (!v)
			return NULL;
		c->crashes = v;
		x = &v[c->ncrashes++];
		*x = (struct crash_entry){ .client = client };
	}
	if (is_over(x, now))
		x->n = 0;
	return x;
}

bool children_ended(struct children *c, pid_t pid, int status, uint64_t now, uint64_t *ret_client)
{
	size_t i = 0;
	while (i < c->nlive && c->live[i].pid != pid)
		i++;
	if (i == c->nlive)
		return false;
	uint64_t client = c->live[i].client;
	*ret_client = client;
	c->live[i] = c->live[--c->nlive];
	struct crash_entry *x = is_crash(status) && client != 0 ? crashes_of(c, client, now) : NULL;
	if (!x)
		return false;
	x->last = now;
	return ++x->n == CHILDREN_CRASHES;
}

bool children_paused(const struct children *c, uint64_t client, uint64_t now)
{
	const struct crash_entry *x = find_crashes(c, client);
	return x && x->n >= CHILDREN_CRASHES && !is_over(x, now);
}

void children_done(struct children *c)
{
	free(c->live);
	free(c->crashes);
	*c = (struct children){ 0 };
}
