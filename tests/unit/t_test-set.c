/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What of a service set is skipped in a container that tests it, and what is taken for health. */
#include "system/test-boot.h"
#include "system/test-set.h"
#include "tests/unit/test.h"

#define SECOND 1000000000ull
#define SKIP   "condition = not-virtual:container\n"

static void format(const char *set, const char *wanted)
{
	auto_str struct str out = STR_INIT;

	test_set_format(slice_of(set), &out);
	CHECK_STR(out.buf, wanted);
}

TEST(sections)
{
	format("", "");
	format("[init]\nhostname = x\n", "[init]\nhostname = x\n");
	format("[service mount@data]\ntype = oneshot\n[service web]\nexec = /bin/web\n",
	       "[service mount@data]\n" SKIP "type = oneshot\n[service web]\nexec = /bin/web\n");
	format("[service dhcp]\nexec = /a\n", "[service dhcp]\n" SKIP "exec = /a\n");
	format("[service dhcpd]\nexec = /a\n", "[service dhcpd]\nexec = /a\n");
	format("[service boot-good]\nexec = /a\n", "[service boot-good]\n" SKIP "exec = /a\n");
	format("[service getty@]\nexec = /a %i\n", "[service getty@]\n" SKIP "exec = /a %i\n");
}

TEST(keys)
{
	format("[service menu]\nexec = /a\nterminal = /dev/tty1\n[service b]\nexec = /b\n",
	       "[service menu]\n" SKIP "exec = /a\nterminal = /dev/tty1\n[service b]\nexec = /b\n");
	/* Not a key: a line that goes on, and another service's. */
	format("[service a]\nexec = /a \\\nterminal = x\n[service b]\nterminal=/dev/tty1\n",
	       "[service a]\nexec = /a \\\nterminal = x\n[service b]\n" SKIP
	       "terminal=/dev/tty1\n");
}

#define ROW(name, state, wanted, restarts)                                                         \
	"{\"name\":\"" name "\",\"state\":\"" state "\",\"why\":\"\",\"log\":\"/var/log/" name     \
	".log\",\"wanted\":" wanted ",\"listening\":false,\"restarts\":" restarts "},\n"

static enum test_state see(struct test_watch *w, const char *rows, uint64_t seconds)
{
	return test_watch_see(w, slice_of(rows), (seconds + 1) * SECOND);
}

TEST(health)
{
	const char *up = "[" ROW("a", "up", "true", "0") ROW("b", "down", "false", "0");
	struct err e = ERR_INIT;
	struct test_watch w;

	test_watch_init(&w, "there", 10);
	CHECK_INT(see(&w, "[]", 0), TEST_WAITS);
	CHECK_INT(see(&w, "[]", 9), TEST_WAITS);
	CHECK_INT(see(&w, up, 10), TEST_WAITS);
	CHECK_INT(see(&w, up, 12), TEST_WAITS);
	/* What restarts is not well. */
	CHECK_INT(see(&w, "[" ROW("a", "up", "true", "1"), 13), TEST_WAITS);
	CHECK_INT(see(&w, "[" ROW("a", "up", "true", "1"), 14), TEST_WAITS);
	CHECK_INT(see(&w, "[" ROW("a", "starting", "true", "1"), 15), TEST_WAITS);
	CHECK_STR(w.waiting.buf, "a is starting");
	CHECK_INT(see(&w, "[" ROW("a", "up", "true", "1"), 16), TEST_WAITS);
	CHECK_INT(see(&w, "[" ROW("a", "up", "true", "1"), 19), TEST_HEALTHY);
	test_watch_done(&w);

	test_watch_init(&w, "there", 10);
	CHECK_INT(see(&w,
		      "[{\"name\":\"a\",\"state\":\"failed\",\"why\":\"it "
		      "\\\"state\\\":\\\"up\\\"\",\"log\":\"\","
		      "\"wanted\":true},\n" ROW("b", "up", "true", "0"),
		      1),
		  TEST_FAILED);
	CHECK_INT(w.failed.n, 1);
	CHECK_INT(test_watch_fail(&w, &e), -ERR_UNHEALTHY);
	CHECK(strstr(e.msg, "services failed in there: a: it "));
	test_watch_done(&w);
}

TEST(options)
{
	struct test_boot t = { .kind = TEST_NONE };
	struct err e = ERR_INIT;

	CHECK_INT(test_boot_parse(NULL, NULL, &t, &e), 0);
	CHECK_INT(t.kind, TEST_NONE);
	CHECK_INT(test_boot_parse("container", NULL, &t, &e), 0);
	CHECK_INT(t.kind, TEST_CONTAINER);
	CHECK_INT(t.seconds, 120);
	CHECK_INT(test_boot_parse("vm", "5min", &t, &e), 0);
	CHECK_INT(t.seconds, 300);
	CHECK_INT(test_boot_parse("vm", "0", &t, &e), -ERR_USAGE);
	CHECK_INT(test_boot_parse("vm", "2d", &t, &e), -ERR_USAGE);
	CHECK_INT(test_boot_parse(NULL, "5", &t, &e), -ERR_USAGE);
	CHECK_INT(test_boot_parse("machine", NULL, &t, &e), -ERR_USAGE);
}

TEST_MAIN(sections, keys, health, options)
