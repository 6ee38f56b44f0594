/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Whose connections crash too often. */
#include "store/children.h"

#include <signal.h>

#include "tests/unit/test.h"

#define SECOND 1000000000ull

static struct children book;

/* One connection of uid that ends with status; whether it was one too many. */
static bool ends(uid_t uid, int status, uint64_t now)
{
	uid_t whose = 12345;
	children_add(&book, 77, uid);
	bool last = children_ended(&book, 77, status, now, &whose);
	CHECK_INT(whose, uid);
	CHECK_INT(book.nlive, 0);
	return last;
}

static unsigned crashes_until_paused(uid_t uid, uint64_t now)
{
	unsigned n = 1;
	while (n < 1000 && !ends(uid, SIGSEGV, now))
		n++;
	return n;
}

TEST(pauses)
{
	CHECK_INT(crashes_until_paused(1000, 1), CHILDREN_CRASHES);
	CHECK(children_paused(&book, 1000, 2));
	CHECK(!children_paused(&book, 1001, 2));
	CHECK(!children_paused(&book, 0, 2));
	children_done(&book);
}

TEST(ends_of_a_pause)
{
	crashes_until_paused(1000, 1);
	CHECK(children_paused(&book, 1000, CHILDREN_PAUSE_S * SECOND));
	CHECK(!children_paused(&book, 1000, (CHILDREN_PAUSE_S + 1) * SECOND));
	CHECK_INT(crashes_until_paused(1000, (CHILDREN_PAUSE_S + 1) * SECOND), CHILDREN_CRASHES);
	children_done(&book);
}

TEST(other_ends)
{
	for (unsigned i = 0; i < 1000; i++)
		CHECK(!ends(1000, i % 2 ? 0 : SIGKILL, 1));
	CHECK(!children_paused(&book, 1000, 1));
	children_done(&book);
}

TEST(root)
{
	for (unsigned i = 0; i < 1000; i++)
		CHECK(!ends(0, SIGSEGV, 1));
	CHECK(!children_paused(&book, 0, 1));
	children_done(&book);
}

/* A process that was not noted is nobody's. */
TEST(strangers)
{
	uid_t uid = 5;
	CHECK(!children_ended(&book, 1, SIGSEGV, 1, &uid));
	CHECK_INT(uid, 5);
	children_done(&book);
}

/* Entries that are over are used again. */
TEST(many_users)
{
	for (unsigned i = 1; i < 5000; i++)
		CHECK(!ends(i, SIGABRT, i * (CHILDREN_PAUSE_S + 1) * SECOND));
	CHECK(book.ncrashes <= 2);
	children_done(&book);
}

TEST_MAIN(pauses, ends_of_a_pause, other_ends, root, strangers, many_users)
