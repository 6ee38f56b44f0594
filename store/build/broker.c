/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The listener's side of job slots: who gets the next one. */
#include <errno.h>
#include <stdbool.h>
#include <sys/socket.h>

#include "lib/fd.h"
#include "lib/size.h"
#include "store/build/slots.h"

struct member {
	int fd; /* owned */
	uint64_t client;
	unsigned held;
	bool wants;
	uint64_t served; /* turn of the last grant */
};

struct broker {
	struct member *v; /* owned */
	size_t n;
	unsigned free;
	uint64_t turn;
};

int broker_new(unsigned max, struct broker **ret)
{
	struct broker *b = calloc(1, sizeof(*b));
	if (!b)
		return -ENOMEM;
	b->free = max;
	*ret = b;
	return 0;
}

void broker_free(struct broker *b)
{
	if (!b)
		return;
	for (size_t i = 0; i < b->n; i++)
		fd_close(&b->v[i].fd);
	free(b->v);
	free(b);
}

int broker_join(struct broker *b, uint64_t client, int *ret_fd, struct err *e)
{
	int pair[2];
	struct member *v = reallocarray(b->v, b->n + 1, sizeof(*v));
	if (!v)
		return err_set(e, -ENOMEM, "out of memory");
	b->v = v;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) < 0)
		return err_sys(e, "cannot make a socket pair");
	b->v[b->n++] = (struct member){ .fd = pair[0], .client = client };
	*ret_fd = pair[1];
	return 0;
}

size_t broker_fds(const struct broker *b, int *fds, size_t max)
{
	for (size_t i = 0; i < b->n && i < max; i++)
		fds[i] = b->v[i].fd;
	return b->n;
}

size_t broker_count(const struct broker *b, uint64_t client, size_t *ret_all)
{
	size_t n = 0;
	for (size_t i = 0; i < b->n; i++)
		n += b->v[i].client == client;
	*ret_all = b->n;
	return n;
}

/* When client was last given a slot. */
static uint64_t client_served(const struct broker *b, uint64_t client)
{
	uint64_t t = 0;
	for (size_t i = 0; i < b->n; i++)
		if (b->v[i].client == client)
			t = MAX_OF(t, b->v[i].served);
	return t;
}

/* Round robin over clients, then over the connections of one. */
static struct member *next_member(struct broker *b)
{
	struct member *best = NULL;
	uint64_t best_client = 0;
	for (size_t i = 0; i < b->n; i++) {
		struct member *m = &b->v[i];
		if (!m->wants)
			continue;
		uint64_t u = client_served(b, m->client);
		bool better =
			!best || u < best_client || (u == best_client && m->served < best->served);
		if (better) {
			best = m;
			best_client = u;
		}
	}
	return best;
}

static void grant(struct broker *b)
{
	struct member *m;
	while (b->free && (m = next_member(b))) {
		m->wants = false;
		if (send(m->fd, "g", 1, MSG_NOSIGNAL) != 1)
			continue; /* it is ending; its end will be seen */
		m->served = ++b->turn;
		m->held++;
		b->free--;
	}
}

static void leave(struct broker *b, struct member *m)
{
	b->free += m->held;
	fd_close(&m->fd);
	*m = b->v[--b->n];
}

void broker_event(struct broker *b, int fd)
{
	char buf[256];
	for (size_t i = 0; i < b->n; i++) {
		struct member *m = &b->v[i];
		if (m->fd != fd)
			continue;
		ssize_t n = fd_read_some(fd, buf, sizeof(buf));
		if (n == -EAGAIN)
			return;
		if (n <= 0) {
			leave(b, m);
			break;
		}
		for (ssize_t k = 0; k < n; k++) {
			if (buf[k] == 'r') {
				m->wants = true;
			} else if (buf[k] == 'c') {
				m->wants = false;
			} else if (buf[k] == 'f' && m->held) {
				m->held--;
				b->free++;
			}
		}
		break;
	}
	grant(b);
}
