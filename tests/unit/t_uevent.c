/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What the kernel says of devices, and what others might: names, rules, nodes. */
#include "system/hotplug.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/unit/test.h"

static bool parse(const char *name, const char *alias, struct uevent *u)
{
	static char text[4096];
	int n = snprintf(
		text, sizeof(text),
		"add@/devices/"
		"x%cACTION=add%cSUBSYSTEM=block%cMAJOR=8%cMINOR=17%cDEVNAME=%s%cMODALIAS=%s%c",
		0, 0, 0, 0, 0, name, 0, alias, 0);

	return uevent_parse((struct slice){ text, (size_t)n }, '\0', u);
}

TEST(words)
{
	struct uevent u;

	CHECK(parse("sdb1", "pci:v00008086d*", &u));
	CHECK(slice_is(u.action, "add"));
	CHECK(slice_is(u.subsystem, "block"));
	CHECK(slice_is(u.name, "sdb1"));
	CHECK(slice_is(u.alias, "pci:v00008086d*"));
	CHECK(u.major == 8 && u.minor == 17);
	CHECK(uevent_parse(SLICE("MAJOR=1\nMINOR=3\nDEVNAME=bus/usb/001/002\n"), '\n', &u));
	CHECK(slice_is(u.name, "bus/usb/001/002") && u.major == 1 && u.action.n == 0);
	CHECK(uevent_parse(SLICE(""), '\n', &u));
}

TEST(names_that_no_device_has)
{
	static const char *const names[] = { "../etc/shadow",
					     "a/../../etc/shadow",
					     "/etc/shadow",
					     "a//b",
					     "a/.",
					     "..",
					     "a\nb",
					     "a b",
					     "%n",
					     "$(id)",
					     "a;b",
					     "\xff",
					     "a/" };
	struct uevent u;

	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
		if (parse(names[i], "", &u))
			TEST_FAIL("'%s' was taken", names[i]);
	CHECK(!parse("sda", "-r", &u));
	CHECK(!parse("sda", "a b", &u));
	CHECK(!parse("sda", "a\nb", &u));
	CHECK(!parse("sda", "$(id)\"", &u));
	CHECK(!uevent_parse(SLICE("MAJOR=-1\n"), '\n', &u));
	CHECK(!uevent_parse(SLICE("MINOR=99999999999\n"), '\n', &u));
}

TEST(rules)
{
	char file[] = "/tmp/t_uevent.XXXXXX";
	static const char text[] =
		"# comment\nblock sr* 660 root\nblock * 640 root\n\ntty ttyS* 600 root\n";
	struct arena a = ARENA_INIT;
	struct vec rules = VEC_INIT;
	struct err e = ERR_INIT;
	struct uevent u;
	int fd = mkstemp(file);

	CHECK(fd >= 0 && write(fd, text, sizeof(text) - 1) == (ssize_t)sizeof(text) - 1);
	CHECK(hotplug_rules_load(file, &a, &rules, &e) == 0);
	CHECK(rules.n == 3);
	CHECK(parse("sr0", "", &u) && hotplug_rule_find(&rules, &u)->mode == 0660);
	CHECK(parse("sda", "", &u) && hotplug_rule_find(&rules, &u)->mode == 0640);
	CHECK(parse("", "x", &u) && !hotplug_rule_find(&rules, &u));
	CHECK(uevent_parse(SLICE("SUBSYSTEM=tty\nDEVNAME=tty1\n"), '\n', &u) &&
	      !hotplug_rule_find(&rules, &u));
	CHECK(ftruncate(fd, 0) == 0 && pwrite(fd, "block * 9 root\n", 15, 0) == 15);
	CHECK(hotplug_rules_load(file, &a, &rules, &e) < 0 &&
	      strstr(e.msg, ":1: '9' is not a mode"));
	CHECK(pwrite(fd, "block * 600    \n", 16, 0) == 16);
	e = (struct err)ERR_INIT;
	CHECK(hotplug_rules_load(file, &a, &rules, &e) < 0 && strstr(e.msg, "expected SUBSYSTEM"));
	close(fd);
	unlink(file);
	vec_done(&rules);
	arena_done(&a);
}

/* What others put where a device was said to be keeps its mode. */
TEST(nodes)
{
	char dir[] = "/tmp/t_uevent.XXXXXX";
	const struct hotplug_rule r = { .mode = 0666, .gid = 0 };
	struct uevent u;
	struct stat st;

	CHECK(mkdtemp(dir) != NULL);
	int d = open(dir, O_RDONLY | O_DIRECTORY);
	int fd = openat(d, "sda", O_CREAT | O_WRONLY, 0600);
	CHECK(symlinkat("sda", d, "link") == 0);
	CHECK(parse("sda", "", &u) && hotplug_node(d, &r, &u) == -ENODEV);
	CHECK(parse("link", "", &u) && hotplug_node(d, &r, &u) == -ENODEV);
	CHECK(parse("none", "", &u) && hotplug_node(d, &r, &u) == -ENOENT);
	CHECK(fstat(fd, &st) == 0 && (st.st_mode & 0777) == 0600);
	if (mknodat(d, "sdb", S_IFCHR | 0600, 0) ==
	    0) { /* root only; no device has these numbers */
		CHECK(parse("sdb", "", &u) && hotplug_node(d, &r, &u) == -ENODEV);
		u.major = u.minor = 0;
		CHECK(hotplug_node(d, &r, &u) == 0);
		CHECK(fstatat(d, "sdb", &st, 0) == 0 && (st.st_mode & 0777) == 0666);
		unlinkat(d, "sdb", 0);
	}
	unlinkat(d, "link", 0);
	unlinkat(d, "sda", 0);
	close(fd);
	close(d);
	rmdir(dir);
}

/* Whoever may send to such a socket is not the kernel. */
TEST(senders)
{
	int pair[2];
	char buf[UEVENT_BYTES];
	struct uevent u;

	CHECK(socketpair(AF_UNIX, SOCK_DGRAM, 0, pair) == 0);
	CHECK(send(pair[0], "ACTION=add", 11, 0) == 11);
	CHECK(hotplug_read(pair[1], buf, &u) == 0);
	close(pair[0]);
	close(pair[1]);
}
TEST_MAIN(words, names_that_no_device_has, rules, nodes, senders)
