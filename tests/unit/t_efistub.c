/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What the program for EFI system partitions offers, on a firmware of this test's own. */
#include "tests/unit/test.h"

#include "bootloader/efistub.c"

#define FIRMWARE_S 300 /* after so long its watchdog resets the machine */

static struct {
	const char *keys; /* pressed one after the other, */
	uint64_t at;	  /* when so many microseconds have passed */
	uint64_t now;
	bool armed, was_reset;
	char said[4096];
	size_t n;
} fw;

static status EFIAPI fw_write(struct output *out, const uint16_t *text)
{
	(void)out;
	for (; *text && fw.n + 1 < sizeof(fw.said); text++)
		fw.said[fw.n++] = (char)*text;
	return 0;
}

static status EFIAPI fw_read(struct input *in, struct key *k)
{
	(void)in;
	if (fw.now < fw.at || !*fw.keys)
		return LOAD_ERROR;
	*k = (struct key){ 0, (uint8_t)*fw.keys++ };
	return 0;
}

static status EFIAPI fw_stall(uint64_t us)
{
	fw.now += us;
	if (fw.armed && fw.now >= FIRMWARE_S * 1000000ull)
		fw.was_reset = true;
	return 0;
}

static status EFIAPI fw_watchdog(uint64_t seconds, uint64_t code, uint64_t n, const uint16_t *data)
{
	(void)n;
	(void)data;
	CHECK(!seconds || code > 0xffff);
	fw.armed = seconds > 0;
	return 0;
}

/* What starts: generation 3 is the usual one, 2 is there too. */
static unsigned offered(const char *timeout, bool keyboard, const char *keys, uint64_t at_s)
{
	static struct input in = { NULL, fw_read };
	static struct output out = { NULL, fw_write };
	struct services boot = { .stall = fw_stall, .watchdog = fw_watchdog };
	struct system sys = { .in = keyboard ? &in : NULL, .out = &out, .boot = &boot };
	struct stub s = { .sys = &sys };
	char menu[256];

	memset(&fw, 0, sizeof(fw));
	fw.keys = keys;
	fw.at = at_s * 1000000ull;
	fw.armed = true;
	snprintf(menu, sizeof(menu),
		 EM_HEAD "\ndefault 3\ntimeout %s\nentry 3\ntitle three\nkernel k\nentry 2\n"
			 "title two\nkernel k\nend\n",
		 timeout);
	s.menu = (struct em_text){ menu, strlen(menu) };
	return offer(&s, 3);
}

TEST(counts_down)
{
	CHECK_INT(offered("0", true, "2\r", 0), 3);
	CHECK_STR(fw.said, "");
	CHECK(fw.armed);
	CHECK_INT(offered("5", true, "", 0), 3);
	CHECK_INT(fw.now, 5000000);
	CHECK(fw.armed);
	CHECK_STR(fw.said, "Generation 3 starts in 5 s; any key shows the list.\r\n");
	CHECK_INT(offered("5", true, "x2\r", 4), 2);
	CHECK(strstr(fw.said, "three\r\ntwo\r\n"));
}

TEST(firmware_lets_it_count)
{
	CHECK_INT(offered("3600", true, "", 0), 3);
	CHECK_INT(fw.now, 3600000000);
	CHECK(!fw.was_reset);
	CHECK_INT(offered("3600", true, "x2\r", 1000), 2);
	CHECK(!fw.was_reset);
}

TEST(waits_for_a_choice)
{
	CHECK_INT(offered("999999999", true, "7\r2\r", 86400), 2);
	CHECK(!fw.was_reset);
	CHECK(strstr(fw.said, "Generation 3 is the usual one; the menu waits for a choice.\r\n"
			      "three\r\ntwo\r\n"));
	CHECK(strstr(fw.said, "There is no such generation."));
	CHECK(!strstr(fw.said, "999999999"));
	CHECK_INT(offered("999999999", true, "\r", 0), 3);
}

TEST(nobody_can_choose)
{
	CHECK_INT(offered("999999999", false, "", 0), 3);
	CHECK_INT(fw.now, 0);
	CHECK_STR(fw.said, "");
}

TEST_MAIN(counts_down, firmware_lets_it_count, waits_for_a_choice, nobody_can_choose)
