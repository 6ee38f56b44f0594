/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Accounts over ten thousand random changes: accounts that come, go, come back and are called
 * otherwise, and roll-backs to what was there before. No number ever belongs to a second name, and
 * none that somebody had changes, so that no file changes its owner; what people changed of their
 * password stays.
 */
#include "system/accounts.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "lib/fd.h"
#include "lib/size.h"
#include "lib/text.h"
#include "system/ids.h"
#include "tests/unit/test.h"

#define STEPS	10000
#define NAMES	24
#define HISTORY 32

/* Ten thousand changes need not be on a disk. */
int fsync(int fd)
{
	(void)fd;
	return 0;
}

static char top[64];
static struct sys_root root = { top, top };

static uint32_t seed = 20240229;
static uint32_t any(uint32_t n)
{
	seed ^= seed << 13;
	seed ^= seed >> 17;
	seed ^= seed << 5;
	return seed % n;
}

/* ---- What a generation declares ---------------------------------------------------------------
 */

struct declared {
	bool present, system;
	unsigned subids;
};
static struct declared now[NAMES], history[HISTORY][NAMES];

/* What the machine is known to have given out. */
static struct {
	uint64_t uid, gid, sub_start, sub_count;
	char password[32]; /* what the person changed it to; "" never */
} known[NAMES];

static const char *const none[] = { NULL };
static char names[NAMES][16];

static void declare(struct vec *list, struct account *v)
{
	size_t n = 0;

	for (unsigned i = 0; i < NAMES; i++) {
		if (!now[i].present)
			continue;
		v[n] = (struct account){ .is_user = true,
					 .name = names[i],
					 .id = ACCOUNTS_ANY,
					 .system = now[i].system,
					 .group = "",
					 .groups = none,
					 .comment = "",
					 .home = "/var/empty",
					 .shell = "/bin/sh",
					 .password = "!",
					 .password_file = "",
					 .subids = now[i].subids,
					 .subid_start = ACCOUNTS_ANY };
		v[n + 1] = v[n];
		v[n + 1].is_user = false;
		vec_add(list, &v[n]);
		vec_add(list, &v[n + 1]);
		n += 2;
	}
}

static void change_something(void)
{
	unsigned i = any(NAMES), k = any(NAMES);

	switch (any(5)) {
	case 0:
	case 1:
		now[i] = (struct declared){ true, any(4) == 0, any(3) ? 0 : 65536 };
		break;
	case 2:
		now[i].present = false;
		break;
	case 3: /* another name for the same person */
		now[k] = now[i];
		now[i].present = false;
		break;
	default:
		memcpy(now, history[any(HISTORY)], sizeof(now));
	}
	memcpy(history[any(HISTORY)], now, sizeof(now));
}

/* ---- What the machine says --------------------------------------------------------------------
 */

static void read_text(const char *path, struct str *out)
{
	struct err e = ERR_INIT;
	char full[128];

	snprintf(full, sizeof(full), "%s%s", top, path);
	if (file_read(AT_FDCWD, full, out, 1 << 20, &e) < 0)
		out->len = 0;
}

static unsigned index_of(struct slice name)
{
	for (unsigned i = 0; i < NAMES; i++) {
		if (slice_is(name, names[i]))
			return i;
	}
	return NAMES;
}

/* NAME:…:NUMBER… of a file; field counts from 0. */
static void check_numbers(const char *path, unsigned field, size_t offset)
{
	static uint16_t owner_of[2][65536]; /* 0: nobody yet; by uid, by gid */
	auto_str struct str text = STR_INIT;
	struct slice rest, line, part = { "", 0 }, name = { "", 0 };

	read_text(path, &text);
	rest = str_slice(&text);
	while (slice_cut(&rest, '\n', &line) && line.n) {
		uint64_t number = 0, *place;
		uint16_t *owner;
		unsigned i;

		for (unsigned f = 0; f <= field; f++) {
			CHECK(slice_cut(&line, ':', &part));
			if (f == 0)
				name = part;
		}
		i = index_of(name);
		CHECK_INT(text_u64(part, 65535, &number), 0);
		if (i == NAMES || number > 65535)
			continue;
		owner = &owner_of[offset != offsetof(__typeof__(known[0]), uid)][number];
		if (*owner && *owner != i + 1)
			TEST_FAIL("number %u of %s was that of %s", (unsigned)number, names[i],
				  names[*owner - 1]);
		*owner = (uint16_t)(i + 1);
		place = (uint64_t *)((char *)&known[i] + offset);
		if (*place && *place != number)
			TEST_FAIL("%s had number %u and has %u", names[i], (unsigned)*place,
				  (unsigned)number);
		*place = number;
	}
}

/* Ranges do not overlap, and stay. */
static void check_subids(void)
{
	auto_str struct str text = STR_INIT;
	struct slice rest, line;

	read_text("/etc/subuid", &text);
	rest = str_slice(&text);
	while (slice_cut(&rest, '\n', &line) && line.n) {
		struct slice name = { 0 }, first = { 0 };
		uint64_t start = 0, count = 0;
		unsigned i;

		CHECK(slice_cut(&line, ':', &name) && slice_cut(&line, ':', &first));
		CHECK_INT(text_u64(first, UINT32_MAX, &start), 0);
		CHECK_INT(text_u64(line, UINT32_MAX, &count), 0);
		i = index_of(name);
		if (i == NAMES)
			continue;
		if (known[i].sub_count)
			CHECK_INT(start, known[i].sub_start);
		known[i].sub_start = start;
		known[i].sub_count = count;
		for (unsigned k = 0; k < NAMES; k++) {
			if (k != i && known[k].sub_count &&
			    start < known[k].sub_start + known[k].sub_count &&
			    known[k].sub_start < start + count)
				TEST_FAIL("%s and %s share subordinate numbers", names[i],
					  names[k]);
		}
	}
}

static bool shadow_line(const char *text, const char *name, char out[64])
{
	char start[32];
	const char *at = text;

	snprintf(start, sizeof(start), "%.16s:", name);
	while ((at = strstr(at, start)) && at != text && at[-1] != '\n')
		at++;
	if (!at)
		return false;
	at += strlen(start);
	snprintf(out, 64, "%.*s", (int)strcspn(at, ":"), at);
	return true;
}

static void check_passwords(void)
{
	auto_str struct str text = STR_INIT;
	char password[64];

	read_text("/etc/shadow", &text);
	for (unsigned i = 0; i < NAMES; i++) {
		bool there = shadow_line(text.buf, names[i], password);

		CHECK_INT(there, now[i].present);
		if (there && strcmp(password, known[i].password[0] ? known[i].password : "!") != 0)
			TEST_FAIL("the password of %s is %s, not %s", names[i], password,
				  known[i].password);
	}
}

/* As passwd(1) does it. */
static void change_password(unsigned step)
{
	auto_str struct str text = STR_INIT, out = STR_INIT;
	struct slice rest, line;
	struct err e = ERR_INIT;
	unsigned who = any(NAMES);
	char path[128];

	read_text("/etc/shadow", &text);
	rest = str_slice(&text);
	while (slice_cut(&rest, '\n', &line) && line.n) {
		struct slice fields = line, name;

		CHECK(slice_cut(&fields, ':', &name));
		if (slice_is(name, names[who])) {
			snprintf(known[who].password, sizeof(known[who].password), "$6$x$%u", step);
			str_addf(&out, "%s:%s:1::::::\n", names[who], known[who].password);
			continue;
		}
		str_adds(&out, line);
		str_addc(&out, '\n');
	}
	snprintf(path, sizeof(path), "%s/etc/shadow", top);
	CHECK_INT(file_write_atomic(AT_FDCWD, path, out.buf, out.len, 0600, &e), 0);
}

TEST(sys_09_ten_thousand_changes)
{
	static struct account v[2 * NAMES];

	for (unsigned i = 0; i < NAMES; i++)
		snprintf(names[i], sizeof(names[i]), "name%u", i);
	for (unsigned step = 0; step < STEPS && test_failures == 0; step++) {
		auto_vec struct vec list = VEC_INIT;
		struct err e = ERR_INIT;

		change_something();
		declare(&list, v);
		if (accounts_apply(&root, &list, NULL, true, &e) < 0) {
			TEST_FAIL("step %u: %s", step, e.msg);
			return;
		}
		check_numbers("/etc/passwd", 2, offsetof(__typeof__(known[0]), uid));
		check_numbers("/etc/group", 2, offsetof(__typeof__(known[0]), gid));
		check_subids();
		check_passwords();
		if (any(4) == 0)
			change_password(step);
	}
}

/* ---- The map itself ---------------------------------------------------------------------------
 */

static void write_map(const char *path, const char *text)
{
	struct err e = ERR_INIT;
	char full[128];

	snprintf(full, sizeof(full), "%s%s", top, path);
	CHECK_INT(file_write_atomic(AT_FDCWD, full, text, strlen(text), 0644, &e), 0);
}

static int load(struct ids *ids, struct err *e)
{
	*e = (struct err)ERR_INIT;
	return ids_load(&root, ids, e);
}

TEST(a_map_that_is_none)
{
	static const char *const bad[] = {
		"user a 1 2\n",
		"user a\n",
		"user a -1\n",
		"user a 65535\n",
		"user A:b 1\n",
		"person a 1\n",
		"subids a 1\n",
		"subids a 4294967295 1\n",
		"subids a 1 5000000000\n",
		"user a 1\nuser",
		"user a\t1\n",
		"user a 0x10\n",
	};

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct ids ids = IDS_INIT;
		struct err e;

		write_map(ACCOUNTS_MAP, bad[i]);
		if (load(&ids, &e) == 0)
			TEST_FAIL("taken for a map: %s", bad[i]);
		ids_done(&ids);
	}
	struct ids ids = IDS_INIT;
	struct err e;
	write_map(ACCOUNTS_MAP, "format 2\nuser a 1\n");
	CHECK_INT(load(&ids, &e), -ERR_UNSUPPORTED);
	ids_done(&ids);
}

TEST(a_map_of_before_there_was_a_format)
{
	struct ids ids = IDS_INIT;
	struct err e;

	write_map(ACCOUNTS_MAP, "# Numbers\nuser a 1000\ngroup a 1000\n");
	CHECK_INT(load(&ids, &e), 0);
	CHECK(ids_find(&ids, true, "a") && ids_find(&ids, true, "a")->number == 1000);
	ids_done(&ids);
}

/* The numbers of the accounts that are there are known all the same. */
TEST(sys_09_a_map_that_is_lost)
{
	struct ids ids = IDS_INIT;
	char path[128];
	struct err e;

	snprintf(path, sizeof(path), "%s" ACCOUNTS_MAP, top);
	CHECK_INT(unlink(path), 0);
	write_map("/etc/passwd",
		  "ann:x:1007:1008::/home/ann:/bin/sh\nbroken\ntwin:x:1007:1::/:/bin/sh\n");
	write_map("/etc/group", "ann:x:1008:\n");
	CHECK_INT(load(&ids, &e), 0);
	CHECK(ids_find(&ids, true, "ann") && ids_find(&ids, true, "ann")->number == 1007);
	CHECK(ids_find(&ids, false, "ann") && ids_find(&ids, false, "ann")->number == 1008);
	CHECK(!ids_find(&ids, true, "twin"));
	CHECK(ids.grown);
	ids_done(&ids);
}

static void prepare(void)
{
	/* Memory, where a rename waits for nothing. */
	snprintf(top, sizeof(top), "/dev/shm/cairn-accounts-XXXXXX");
	if (mkdtemp(top))
		return;
	snprintf(top, sizeof(top), "%s/accounts-XXXXXX", getenv("TMP") ? getenv("TMP") : "/tmp");
	if (!mkdtemp(top))
		_exit(1);
}

TEST(a_directory)
{
	prepare();
}

TEST(nothing_is_left)
{
	struct err e = ERR_INIT;

	CHECK_INT(file_delete_tree(AT_FDCWD, top, NULL, &e), 0);
}

TEST_MAIN(a_directory, sys_09_ten_thousand_changes, a_map_that_is_none,
	  a_map_of_before_there_was_a_format, sys_09_a_map_that_is_lost, nothing_is_left)
