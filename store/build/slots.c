/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "store/build/slots.h"

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
	int dir;     /* owned: of the files */
	int *files;  /* owned: open lock files, -1 unknown */
	bool *taken; /* owned */
	size_t n, held;
	int hungry;	  /* owned: lock file, shared by those who have nothing and wait */
	bool is_hungry;	  /* we are one of them */
	int broker;	  /* owned; -1: files alone */
	uint64_t max;	  /* of the broker */
	unsigned granted; /* and not taken */
	bool asked;
	bool alone; /* the listener ended: there are the files alone */
};

static struct slots *new_slots(void)
{
	struct slots *s = calloc(1, sizeof(*s));
	if (s)
		s->dir = s->broker = s->hungry = -1;
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
	if (s->dir >= 0)
		s->hungry =
			openat(s->dir, "hungry", O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (s->hungry < 0) {
		int r = err_sys(e, "cannot open %s/slots", l->state_phys);
		slots_free(s);
		return r;
	}
	*ret = s;
	return 0;
}

int slots_broker(struct local *l, int fd, uint64_t max, struct slots **ret, struct err *e)
{
	int r = slots_files(l, ret, e);
	if (r) {
		fd_close(&fd);
		return r;
	}
	(*ret)->broker = fd;
	(*ret)->max = max;
	(void)fd_set_nonblock(fd, true); /* a plain descriptor of ours: cannot fail */
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
	fd_close(&s->hungry);
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

static int open_file(struct slots *s, size_t i, struct err *e)
{
	char name[24];
	if (s->files[i] >= 0)
		return 0;
	snprintf(name, sizeof(name), "%zu", i);
	s->files[i] = openat(s->dir, name, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	return s->files[i] < 0 ? err_sys(e, "cannot open the job slot %zu", i) : 0;
}

static int take_file(struct slots *s, size_t max, unsigned *ret, struct err *e)
{
	int r = grow(s, max, e);
	for (size_t i = 0; !r && i < max; i++) {
		if (s->taken[i])
			continue;
		r = open_file(s, i, e);
		if (!r && fd_lock(s->files[i], true, false) == 0) {
			s->taken[i] = true;
			s->held++;
			*ret = (unsigned)i;
			return 0;
		}
	}
	return r ? r : -EAGAIN;
}

static void be_hungry(struct slots *s, bool hungry)
{
	if (hungry && !s->is_hungry)
		s->is_hungry = fd_lock(s->hungry, false, false) == 0; /* else the next time */
	else if (!hungry && s->is_hungry)
		s->is_hungry = fd_unlock(s->hungry) != 0;
}

static bool others_are_hungry(struct slots *s)
{
	if (fd_lock(s->hungry, true, false))
		return true;
	(void)fd_unlock(s->hungry); /* an open lock file: cannot fail */
	return false;
}

/* In turn: however many one has to do, another one's first job comes before its next. */
static int take_turn(struct slots *s, uint64_t max, unsigned *ret, struct err *e)
{
	if (s->held && others_are_hungry(s))
		return -EAGAIN;
	int r = take_file(s, MIN_OF(max, SLOTS_MAX), ret, e);
	be_hungry(s, r == -EAGAIN && !s->held);
	return r;
}

/* Whether the listener has said that it is our turn. */
static bool is_granted(struct slots *s)
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
	if (s->granted || s->alone)
		return true;
	if (!s->asked && send(s->broker, "r", 1, MSG_NOSIGNAL) == 1)
		s->asked = true;
	return false;
}

int slots_take(struct slots *s, uint64_t max, unsigned *ret, struct err *e)
{
	if (s->broker >= 0 && !is_granted(s))
		return -EAGAIN;
	int r = take_turn(s, s->broker >= 0 ? s->max : max, ret, e);
	if (!r && s->granted)
		s->granted--;
	return r;
}

static void give_back(struct slots *s)
{
	if (s->broker >= 0)
		(void)send(s->broker, "f", 1, MSG_NOSIGNAL); /* gone: nothing to return to */
}

void slots_put(struct slots *s, unsigned slot)
{
	if (slot >= s->n || !s->taken[slot])
		return;
	s->taken[slot] = false;
	s->held--;
	(void)fd_unlock(s->files[slot]); /* an open lock file: cannot fail */
	give_back(s);
}

int slots_fd(const struct slots *s)
{
	return s->alone || s->granted ? -1 : s->broker;
}

void slots_rest(struct slots *s)
{
	be_hungry(s, false);
	if (s->broker < 0)
		return;
	for (; s->granted; s->granted--)
		give_back(s);
	if (s->asked)
		(void)send(s->broker, "c", 1, MSG_NOSIGNAL); /* as above */
	/* A grant that crosses the cancellation is used, or returned, the next time. */
	s->asked = false;
}
