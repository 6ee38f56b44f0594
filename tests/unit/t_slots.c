/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Job slots: how many there are, whose turn it is, and that none is lost. */
#include "store/build/slots.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/fd.h"
#include "lib/loop.h"
#include "tests/unit/test.h"

#define MAX	    2
#define PATIENCE_NS (60ull * 1000000000) /* for a slot that is free; many times what it takes */

struct bench {
	char dir[256];
	struct local *l;
	struct broker *b;
	struct err e;
};

static bool begin(struct bench *b)
{
	const char *tmp = getenv("TMP");
	struct local_opts opts = { .root = b->dir, .no_sync = true };

	*b = (struct bench){ .e = ERR_INIT };
	snprintf(b->dir, sizeof(b->dir), "%.200s/t_slots.XXXXXX", tmp && *tmp ? tmp : "/tmp");
	if (mkdtemp(b->dir) && local_open(&opts, &b->l, &b->e) == 0 && !broker_new(MAX, &b->b))
		return true;
	TEST_FAIL("%s", b->e.msg);
	return false;
}

static void end(struct bench *b)
{
	broker_free(b->b);
	local_close(b->l);
	CHECK_INT(file_delete_tree(AT_FDCWD, b->dir, NULL, NULL), 0);
}

/* What the listener does when it wakes up. */
static void serve_all(struct bench *b)
{
	int fds[64];
	struct pollfd p = { .events = POLLIN };
	bool any;

	do {
		size_t n = broker_fds(b->b, fds, 64);

		any = false;
		for (size_t i = 0; i < n && !any; i++) {
			p.fd = fds[i];
			any = poll(&p, 1, 0) > 0;
		}
		if (any)
			broker_event(b->b, p.fd);
	} while (any);
}

static struct slots *join(struct bench *b, uid_t uid)
{
	struct slots *s = NULL;
	int fd = -1;

	CHECK_INT(broker_join(b->b, uid, &fd, &b->e), 0);
	CHECK_INT(slots_broker(b->l, fd, MAX, &s, &b->e), 0);
	return s;
}

/* Ask until the answer is there. */
static int take(struct bench *b, struct slots *s, unsigned *ret)
{
	int r = slots_take(s, MAX, ret, &b->e);

	serve_all(b);
	return r == -EAGAIN ? slots_take(s, MAX, ret, &b->e) : r;
}

/* One with a thousand jobs against one with one, of the same user and of another. */
static void compete(uid_t busy_uid, uid_t other_uid)
{
	struct bench b;
	struct slots *busy, *other;
	unsigned held[MAX], slot = 0, waited = 0;
	bool served = false;

	if (!begin(&b))
		return;
	busy = join(&b, busy_uid);
	other = join(&b, other_uid);
	for (unsigned i = 0; i < MAX; i++)
		CHECK_INT(take(&b, busy, &held[i]), 0);
	CHECK_INT(take(&b, busy, &slot), -EAGAIN); /* and waits for the next */
	CHECK_INT(take(&b, other, &slot), -EAGAIN);
	for (unsigned job = MAX; job < 1000 && !served; job++) {
		slots_put(busy, held[job % MAX]);
		serve_all(&b);
		served = slots_take(other, MAX, &slot, &b.e) == 0;
		waited++;
		if (!served)
			CHECK_INT(take(&b, busy, &held[job % MAX]), 0);
	}
	CHECK(served);
	CHECK(waited <= 2);
	slots_free(other);
	slots_free(busy);
	end(&b);
}

TEST(many_jobs_do_not_starve_one)
{
	compete(1000, 1001);
	compete(1000, 1000);
}

TEST(without_a_listener_neither)
{
	struct bench b;
	struct slots *busy = NULL, *other = NULL;
	unsigned one = 0, two = 0, three = 0;

	if (!begin(&b))
		return;
	CHECK_INT(slots_files(b.l, &busy, &b.e), 0);
	CHECK_INT(slots_files(b.l, &other, &b.e), 0);
	CHECK_INT(slots_take(busy, MAX, &one, &b.e), 0);
	CHECK_INT(slots_take(busy, MAX, &two, &b.e), 0);
	CHECK_INT(slots_take(other, MAX, &three, &b.e), -EAGAIN);
	slots_put(busy, two);
	CHECK_INT(slots_take(busy, MAX, &two, &b.e), -EAGAIN); /* the other one's turn */
	CHECK_INT(slots_take(other, MAX, &three, &b.e), 0);
	CHECK_INT(slots_take(busy, MAX, &two, &b.e), -EAGAIN);
	slots_put(other, three);
	CHECK_INT(slots_take(busy, MAX, &two, &b.e), 0);
	/* who does not want any more stands in nobody's way */
	CHECK_INT(slots_take(other, MAX, &three, &b.e), -EAGAIN);
	slots_rest(other);
	slots_put(busy, two);
	CHECK_INT(slots_take(busy, MAX, &two, &b.e), 0);
	slots_free(other);
	slots_free(busy);
	end(&b);
}

/* The limit is that of the store: a command without the daemon counts, too, and so does a
 * connection that outlives its listener. */
TEST(one_limit_for_all)
{
	struct bench b;
	struct slots *alone = NULL, *client, *orphan;
	unsigned one = 0, two = 0, three = 0;

	if (!begin(&b))
		return;
	orphan = join(&b, 1000);
	CHECK_INT(take(&b, orphan, &one), 0);
	broker_free(b.b);
	CHECK_INT(broker_new(MAX, &b.b), 0);
	CHECK_INT(slots_files(b.l, &alone, &b.e), 0);
	CHECK_INT(slots_take(alone, MAX, &two, &b.e), 0);
	client = join(&b, 1000);
	CHECK_INT(take(&b, client, &three), -EAGAIN);
	CHECK_INT(slots_fd(client), -1); /* what it waits for is not the listener */
	slots_put(orphan, one);
	CHECK_INT(slots_take(client, MAX, &three, &b.e), 0);
	CHECK_INT(slots_take(orphan, MAX, &one, &b.e), -EAGAIN);
	slots_free(client);
	slots_free(orphan);
	slots_free(alone);
	end(&b);
}

/* A child that takes a slot, says so, and waits to be killed. */
static pid_t holder(struct bench *b, struct slots *(*open_slots)(struct bench *), int *ret_ready)
{
	int ready[2];
	pid_t pid;

	if (pipe2(ready, O_CLOEXEC) < 0)
		return -1;
	pid = fork();
	if (pid == 0) {
		struct slots *s = open_slots(b);
		unsigned slot;

		while (!s || slots_take(s, MAX, &slot, &b->e) == -EAGAIN)
			usleep(200);
		(void)!write(ready[1], "x", 1);
		pause();
		_exit(0);
	}
	close(ready[1]);
	*ret_ready = ready[0];
	return pid;
}

static int pending_fd = -1;

static struct slots *open_pending(struct bench *b)
{
	struct slots *s = NULL;

	return slots_broker(b->l, pending_fd, MAX, &s, &b->e) ? NULL : s;
}

static struct slots *open_files(struct bench *b)
{
	struct slots *s = NULL;

	return slots_files(b->l, &s, &b->e) ? NULL : s;
}

/* One that gets a slot, in time, and is killed with it. */
static bool kill_holder(struct bench *b, bool broker)
{
	uint64_t deadline = loop_now() + PATIENCE_NS;
	auto_fd int ready = -1;
	pid_t pid = holder(b, broker ? open_pending : open_files, &ready);
	struct pollfd p = { .fd = ready, .events = POLLIN };
	char got = 0;

	fd_close(&pending_fd);
	while (poll(&p, 1, 1) == 0 && loop_now() < deadline)
		serve_all(b);
	if (p.revents)
		(void)!read(ready, &got, 1);
	kill(pid, SIGKILL);
	CHECK_INT(waitpid(pid, NULL, 0), pid);
	serve_all(b);
	return got == 'x';
}

static void kill_holders(struct bench *b, bool broker)
{
	bool lost = false;

	for (unsigned i = 0; i < 1000 && !lost; i++) {
		if (broker)
			CHECK_INT(broker_join(b->b, 1000 + i % 3, &pending_fd, &b->e), 0);
		lost = !kill_holder(b, broker);
		if (lost)
			TEST_FAIL("no slot is left after %u holders were killed", i);
	}
}

TEST(killed_holders_lose_no_slot)
{
	struct bench b;
	struct slots *s = NULL;
	unsigned slot;

	if (!begin(&b))
		return;
	kill_holders(&b, true);
	s = join(&b, 1000);
	for (unsigned i = 0; i < MAX; i++)
		CHECK_INT(take(&b, s, &slot), 0);
	CHECK_INT(take(&b, s, &slot), -EAGAIN);
	slots_free(s);
	serve_all(&b);
	kill_holders(&b, false);
	s = NULL;
	CHECK_INT(slots_files(b.l, &s, &b.e), 0);
	for (unsigned i = 0; i < MAX; i++)
		CHECK_INT(slots_take(s, MAX, &slot, &b.e), 0);
	slots_free(s);
	end(&b);
}

TEST_MAIN(many_jobs_do_not_starve_one, without_a_listener_neither, one_limit_for_all,
	  killed_holders_lose_no_slot);
