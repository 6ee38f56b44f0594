/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/gpt.h"

#include "lib/size.h"
#include "tests/unit/test.h"

static uint8_t head[GPT_HEAD_SECTORS * GPT_SECTOR], tail[GPT_TAIL_SECTORS * GPT_SECTOR];

static struct guid guid(const char *text)
{
	struct guid g = { { 0 } };

	CHECK_INT(guid_parse(slice_of(text), &g), 0);
	return g;
}

static void sample(struct gpt *g)
{
	memset(g, 0, sizeof(*g));
	g->disk = guid("00112233-4455-6677-8899-aabbccddeeff");
	g->sectors = 20480;
	g->nparts = 2;
	g->part[0] = (struct gpt_part){ .type = guid(GPT_TYPE_BIOS_BOOT),
					.id = guid("11111111-2222-3333-4444-555555555555"),
					.first = 2048,
					.last = 4095,
					.label = "bios-boot" };
	g->part[1] = (struct gpt_part){ .type = guid(GPT_TYPE_LINUX_ROOT),
					.id = guid("66666666-7777-8888-9999-aaaaaaaaaaaa"),
					.first = 4096,
					.last = 20480 - GPT_TAIL_SECTORS - 1,
					.label = "root" };
}

TEST(crc)
{
	CHECK(crc32_of("", 0) == 0);
	CHECK(crc32_of("123456789", 9) == 0xcbf43926); /* the check value of the standard */
}

TEST(guids)
{
	static const char *const bad[] = { "",
					   "00112233-4455-6677-8899-aabbccddeef",
					   "00112233-4455-6677-8899-aabbccddeeff0",
					   "00112233-4455-6677-8899-aabbccddeefg",
					   "001122334-455-6677-8899-aabbccddeeff",
					   "0011223344556677-8899-aabb-ccddeeff" };
	char text[GUID_TEXT_MAX];
	struct guid g = guid("00112233-4455-6677-8899-AABBCCDDEEFF");

	guid_format(&g, text);
	CHECK_STR(text, "00112233-4455-6677-8899-aabbccddeeff");
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		CHECK_INT(guid_parse(slice_of(bad[i]), &g), -ERR_SYNTAX);
}

TEST(round_trip)
{
	static struct gpt g, back;
	struct err e = ERR_INIT;

	sample(&g);
	CHECK_INT(gpt_format(&g, head, tail, &e), 0);
	CHECK(head[510] == 0x55 && head[511] == 0xaa);
	CHECK(head[446 + 4] == 0xee);
	/* Mixed-endian on disk. */
	CHECK(memcmp(head + GPT_SECTOR + 56, "\x33\x22\x11\x00\x55\x44\x77\x66\x88\x99", 10) == 0);
	CHECK(memcmp(tail, head + 2 * GPT_SECTOR, (size_t)GPT_ENTRIES * 128) == 0);
	CHECK_INT(gpt_parse(head, &back, &e), 0);
	CHECK_INT(back.nparts, 2);
	CHECK(back.sectors == g.sectors);
	CHECK(memcmp(&back.disk, &g.disk, sizeof(g.disk)) == 0);
	for (size_t i = 0; i < 2; i++) {
		CHECK(memcmp(&back.part[i].type, &g.part[i].type, sizeof(struct guid)) == 0);
		CHECK(memcmp(&back.part[i].id, &g.part[i].id, sizeof(struct guid)) == 0);
		CHECK(back.part[i].first == g.part[i].first && back.part[i].last == g.part[i].last);
	}
}

TEST(every_damaged_byte_is_seen)
{
	static struct gpt g, back;
	struct err e = ERR_INIT;

	sample(&g);
	CHECK_INT(gpt_format(&g, head, tail, &e), 0);
	for (size_t i = GPT_SECTOR; i < GPT_SECTOR + 92; i++) {
		head[i] ^= 0x10;
		CHECK(gpt_parse(head, &back, &e) < 0);
		head[i] ^= 0x10;
	}
	for (size_t i = 2 * GPT_SECTOR; i < sizeof(head); i += 97) {
		head[i] ^= 0x01;
		CHECK(gpt_parse(head, &back, &e) < 0);
		head[i] ^= 0x01;
	}
	CHECK_INT(gpt_parse(head, &back, &e), 0);
}

TEST(refuses)
{
	static struct gpt g;
	struct err e = ERR_INIT;

	sample(&g);
	g.part[1].first = 4095; /* overlap */
	CHECK_INT(gpt_format(&g, head, tail, &e), -ERR_INVALID);
	sample(&g);
	g.part[1].last++; /* on the backup table */
	CHECK_INT(gpt_format(&g, head, tail, &e), -ERR_INVALID);
	sample(&g);
	g.part[0].first = GPT_HEAD_SECTORS - 1;
	CHECK_INT(gpt_format(&g, head, tail, &e), -ERR_INVALID);
	sample(&g);
	g.part[0].label = "a label that is longer than thirty-six";
	CHECK_INT(gpt_format(&g, head, tail, &e), -ERR_INVALID);
	sample(&g);
	g.sectors = 60;
	CHECK_INT(gpt_format(&g, head, tail, &e), -ERR_INVALID);
}

TEST_MAIN(crc, guids, round_trip, every_damaged_byte_is_seen, refuses)
