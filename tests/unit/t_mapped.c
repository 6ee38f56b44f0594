/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Stage 1: the list of mapped devices. */
#include "init/mapped.h"

#include "tests/unit/test.h"

static struct mapped m;

static int parse(const char *text)
{
	static char line[512]; /* m points into it */
	struct err e = ERR_INIT;

	(void)snprintf(line, sizeof(line), "%s", text);
	return mapped_parse(line, &m, &e);
}

TEST(luks)
{
	CHECK_INT(parse("luks needed /dev/mapper/root LABEL=x 5 discards"), 0);
	CHECK_INT(m.kind, MAPPED_LUKS);
	CHECK(m.needed && m.discards);
	CHECK_STR(m.path, "/dev/mapper/root");
	CHECK_STR(m.source, "LABEL=x");
	CHECK_INT(m.tries, 5);
	CHECK_INT(parse("luks wanted /dev/mapper/root LABEL=x 1 -"), 0);
	CHECK(!m.needed && !m.discards);
}

TEST(raid)
{
	CHECK_INT(parse("raid needed /dev/md0 - /dev/a PARTUUID=b"), 0);
	CHECK_INT(m.kind, MAPPED_RAID);
	CHECK(!m.source);
	CHECK_STR(m.disks[0], "/dev/a");
	CHECK_STR(m.disks[1], "PARTUUID=b");
	CHECK(!m.disks[2]);
	CHECK_INT(parse("raid needed /dev/md/x 01:02"), 0);
	CHECK_STR(m.source, "01:02");
	CHECK(!m.disks[0]);
}

TEST(lvm)
{
	CHECK_INT(parse("lvm needed /dev/mapper/vg-x vg/x"), 0);
	CHECK_INT(m.kind, MAPPED_LVM);
	CHECK_STR(m.source, "vg/x");
}

TEST(what_is_none)
{
	CHECK(parse("") < 0);
	CHECK(parse(" ") < 0);
	CHECK(parse("luks") < 0);
	CHECK(parse("luks needed /dev/mapper/x LABEL=x 3") < 0);
	CHECK(parse("luks needed /dev/mapper/x LABEL=x three -") < 0);
	CHECK(parse("lvm needed /dev/mapper/x") < 0);
	CHECK(parse("zfs needed /dev/x y z 1 -") < 0);
}

/* More disks than there is room for are left out, and nothing is written behind the last. */
TEST(many_disks)
{
	char line[512] = "raid needed /dev/md0 -";

	for (int i = 0; i < MAPPED_DISKS + 10; i++)
		(void)snprintf(line + strlen(line), sizeof(line) - strlen(line), " /dev/d%d", i);
	CHECK_INT(parse(line), 0);
	CHECK_STR(m.disks[MAPPED_DISKS - 1], "/dev/d31");
	CHECK(!m.disks[MAPPED_DISKS]);
}

TEST_MAIN(luks, raid, lvm, what_is_none, many_disks)
