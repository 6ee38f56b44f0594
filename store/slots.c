/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "store/slots.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "lib/fd.h"
#include "lib/size.h"

#define SLOTS_MAX 1024u

struct slots {
	int dir;     /* owned: of the files; -1: a broker */
	int *files;  /* owned: open lock files, -1 unknown */
	bool *taken; /* owned */
	size_t n;
	int broker;	  /* owned; -1: files */
	unsigned granted; /* and not taken */
	bool asked;
	bool alone; /* the listener ended: what this connection may run is all that counts */
};

static struct slots *new_slots(void)
{
	struct slots *s = calloc(1, sizeof(*s));
	if (s)
		s->dir = s->broker = -1;
	return s;
}

int slots_files(struct local *l, struct slots **ret, struct err *e)
{
	struct slots *s = new_slots();
	if (!s)
		return err_set(e, -ENOMEM, "out of memory");
	if (mkdirat(l->state_fd, "slots", 0755) < 0 && errno != EEXIST) {
		int r = err_sys(e, "cannot make %s/slots", l->state_phys);
		slots_free(s);
		return r;
	}
	s->dir = openat(l->state_fd, "slots", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (s->dir < 0) {
		int r = err_sys(e, "cannot open %s/slots", l->state_phys);
		slots_free(s);
		return r;
	}
	*ret = s;
	return 0;
}

int slots_broker(int fd, struct slots **ret, struct err *e)
{
	struct slots *s = new_slots();
	if (!s) {
		fd_close(&fd);
		return err_set(e, -ENOMEM, "out of memory");
	}
	s->broker = fd;
	(void)fd_set_nonblock(fd, true); /* a plain descriptor of ours: cannot fail */
	*ret = s;
	return 0;
}

void slots_free(struct slots *s)
{
	if (!s)
		return;
	for (size_t i = 0; i < s->n; i++)
		fd_close(&s->files[i]);
	free(s->files);
	free(s->taken);
	fd_close(&s->dir);
	fd_close(&s->broker);
	free(s);
}

static int grow(struct slots *s, size_t n, struct err *e)
{
	if (n <= s->n)
		return 0;
	int *files = reallocarray(s->files, n, sizeof(*files));
	if (files)
		s->files = files;
	bool *taken = reallocarray(s->taken, n, sizeof(*taken));
	if (taken)
		s->taken = taken;
	if (!files || !taken)
		return err_set(e, -ENOMEM, "out of memory");
	for (; s->n < n; s->n++) {
		s->files[s->n] = -1;
		s->taken[s->n] = false;
	}
	return 0;
}

static int take_file(struct slots *s, size_t max, unsigned *ret, struct err *e)
{
	int r = grow(s, max, e);
	if (r)
		return r;
	for (size_t i = 0; i < max; i++) {
		if (s->taken[i])
			continue;
		if (s->files[i] < 0) {
			char name[24];
			snprintf(name, sizeof(name), "%zu", i);
			s->files[i] = openat(s->dir, name,
					     O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
			if (s->files[i] < 0)
				return err_sys(e, "cannot open the job slot %zu", i);
		}
		if (fd_lock(s->files[i], true, false) == 0) {
			s->taken[i] = true;
			*ret = (unsigned)i;
			return 0;
		}
	}
	return -EAGAIN;
}

static int take_granted(struct slots *s, unsigned *ret)
{
	char buf[64];
	for (;;) {
		ssize_t n = recv(s->broker, buf, sizeof(buf), MSG_DONTWAIT);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			s->alone |= n == 0;
			break;
		}
		s->granted += (unsigned)n;
		s->asked = false;
	}
	if (s->granted || s->alone) {
		s->granted -= s->granted ? 1 : 0;
		*ret = 0;
		return 0;
	}
	if (!s->asked && send(s->broker, "r", 1, MSG_NOSIGNAL) == 1)
		s->asked = true;
	return -EAGAIN;
}

int slots_take(struct slots *s, uint64_t max, unsigned *ret, struct err *e)
{
	if (s->broker >= 0)
		return take_granted(s, ret);
	return take_file(s, MIN_OF(max, SLOTS_MAX), ret, e);
}

void slots_put(struct slots *s, unsigned slot)
{
	if (s->broker >= 0) {
		(void)send(s->broker, "f", 1, MSG_NOSIGNAL); /* gone: nothing to return to */
	} else if (slot < s->n && s->taken[slot]) {
		s->taken[slot] = false;
		(void)fd_unlock(s->files[slot]); /* an open lock file: cannot fail */
	}
}

int slots_fd(const struct slots *s)
{
	return s->alone ? -1 : s->broker;
}

void slots_rest(struct slots *s)
{
	if (s->broker < 0)
		return;
	for (; s->granted; s->granted--)
		slots_put(s, 0);
	if (s->asked)
		(void)send(s->broker, "c", 1, MSG_NOSIGNAL); /* as above */
	/* A grant that crosses the cancellation is used, or returned, the next time. */
	s->asked = false;
}
