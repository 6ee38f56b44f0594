/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Whose connections crash too often. */
#include "store/build/children.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <signal.h>

#include "store/daemon/listen.h"
#include "tests/unit/test.h"

#define SECOND 1000000000ull

static struct children book;

/* One connection of client that ends with status; whether it was one too many. */
static bool ends(uint64_t client, int status, uint64_t now)
{
	uint64_t whose = 12345;
	children_add(&book, 77, client);
	bool last = children_ended(&book, 77, status, now, &whose);
	CHECK_INT(whose, client);
	CHECK_INT(book.nlive, 0);
	return last;
}

static unsigned crashes_until_paused(uint64_t client, uint64_t now)
{
	unsigned n = 1;
	while (n < 1000 && !ends(client, SIGSEGV, now))
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
	uint64_t client = 5;
	CHECK(!children_ended(&book, 1, SIGSEGV, 1, &client));
	CHECK_INT(client, 5);
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

static uint64_t client_at(const char *text)
{
	struct sockaddr_storage sa = { .ss_family = strchr(text, ':') ? AF_INET6 : AF_INET };

	CHECK_INT(inet_pton(sa.ss_family, text,
			    sa.ss_family == AF_INET
				    ? (void *)&((struct sockaddr_in *)&sa)->sin_addr
				    : (void *)&((struct sockaddr_in6 *)&sa)->sin6_addr),
		  1);
	return listen_client(&sa);
}

static void check_text(uint64_t client, const char *want)
{
	char text[LISTEN_CLIENT_TEXT];

	listen_client_text(client, text);
	CHECK_STR(text, want);
}

/* Who counts as one client. */
TEST(addresses)
{
	CHECK(client_at("192.0.2.1") == client_at("::ffff:192.0.2.1"));
	CHECK(client_at("192.0.2.1") != client_at("192.0.2.2"));
	CHECK(client_at("127.0.0.1") == client_at("::1"));
	CHECK(client_at("2001:db8:1:2::3") == client_at("2001:db8:1:2:4:5:6:7"));
	CHECK(client_at("2001:db8:1:2::3") != client_at("2001:db8:1:3::3"));
	CHECK(client_at("0.0.3.232") != 1000);
	check_text(1000, "uid=1000");
	check_text(client_at("192.0.2.1"), "address=192.0.2.1");
	check_text(client_at("2001:db8:1:2::3"), "network=2001:db8:1:2::/64");
}

TEST(one_address_of_many)
{
	crashes_until_paused(client_at("192.0.2.1"), 1);
	CHECK(children_paused(&book, client_at("192.0.2.1"), 2));
	CHECK(!children_paused(&book, client_at("192.0.2.2"), 2));
	children_done(&book);
}

/* Who has many addresses does not fill the memory. */
TEST(many_at_once)
{
	for (unsigned i = 1; i < 3 * CHILDREN_CLIENTS; i++)
		CHECK(!ends(LISTEN_FAR | i, SIGABRT, i));
	CHECK(book.ncrashes <= CHILDREN_CLIENTS);
	children_done(&book);
}

TEST_MAIN(pauses, ends_of_a_pause, other_ends, root, strangers, many_users, addresses,
	  one_address_of_many, many_at_once)
