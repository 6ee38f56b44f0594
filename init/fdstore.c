/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "init/fdstore.h"

#include "init/inherit.h"
#include "init/state.h"
#include "lib/fd.h"
#include "lib/log.h"

static struct stored {
	int fd;		  /* -1 or 0: free */
	uint32_t service; /* svc_name_hash() */
	char name[LIMIT_FD_NAME + 1];
} own[LIMIT_FD_STORE], *store = own; /* in memory that a next life reads, if there is any */

#define EACH_STORED(x) for (struct stored *x = store; x < store + LIMIT_FD_STORE; x++)

__attribute__((noinline)) static bool is_of(const struct stored *x, const struct svc *s)
{
	return x->fd > 0 && x->service == svc_name_hash(s);
}

void fdstore_init(void)
{
	bool came;
	void *area = state_area(sizeof(own), &came);

	if (area)
		store = area;
}

void fdstore_resume(bool trusted)
{
	EACH_STORED(x)
	{
		x->fd = trusted && x->fd > 0 ? inherit_take(x->fd, 0) : -1;
	}
}

void fdstore_put(const struct svc *s, int *fds, size_t n, struct slice name)
{
	bool may = !s->def->notify_fd && name.n <= LIMIT_FD_NAME;
	size_t k = 0, room = may ? s->def->fd_store : 0;

	EACH_STORED(x)
	{
		if (room && is_of(x, s))
			room--;
	}
	EACH_STORED(x)
	{
		if (x->fd > 0 || k == n || k == room)
			continue;
		snprintf(x->name, sizeof(x->name), "%.*s", (int)name.n, name.p);
		x->service = svc_name_hash(s);
		x->fd = fds[k]; /* makes it one */
		fds[k++] = -1;
	}
	if (k < n)
		log_warn("svc: not kept name=%s", s->name);
}

void fdstore_remove(const struct svc *s, struct slice name)
{
	EACH_STORED(x)
	{
		int fd = x->fd;
		if (!is_of(x, s) || (name.n && !slice_is(name, x->name)))
			continue;
		x->fd = -1; /* a next life must not look for it */
		fd_close(&fd);
	}
}

void fdstore_give(const struct svc *s, struct child_spec *spec)
{
	EACH_STORED(x)
	{
		if (!is_of(x, s) || spec->nstored == LIMIT_SVC_FDS)
			continue;
		int to = 3 + (int)(spec->nlisten + spec->nstored);
		spec->fds[spec->nfds++] = (struct child_fd){ x->fd, to };
		spec->stored[spec->nstored++] = x->name[0] ? x->name : "stored";
	}
}
