/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Which generation boots, and what is written before. GRUB's half of the same is in
 * tests/cmd/boot-count.sh. */
#include <sys/mman.h>
#include <unistd.h>

#include "lib/bootenv.h"
#include "lib/fd.h"
#include "lib/size.h"
#include "tests/unit/test.h"

TEST(choose)
{
	static const struct {
		const char *what;
		struct boot_count now;
		unsigned def;
		bool has_good;
		unsigned number;
		bool counted, trial;
		unsigned left;
	} rows[] = {
		{ "the good one", { 1, 0, 0 }, 1, true, 1, false, false, 0 },
		{ "the good one while another is on trial",
		  { 1, 2, 1 },
		  1,
		  true,
		  1,
		  false,
		  false,
		  0 },
		{ "first try", { 1, 2, 3 }, 2, true, 2, true, true, 2 },
		{ "second try", { 1, 2, 2 }, 2, true, 2, true, true, 1 },
		{ "third try", { 1, 2, 1 }, 2, true, 2, true, true, 0 },
		{ "no try left", { 1, 2, 0 }, 2, true, 1, false, false, 0 },
		{ "a trial that nobody wrote", { 1, 0, 0 }, 2, true, 2, true, true, 2 },
		{ "another one was on trial", { 1, 3, 0 }, 2, true, 2, true, true, 2 },
		{ "nothing is good yet", { 0, 0, 0 }, 1, false, 1, true, false, 2 },
		{ "nothing is good, no try left", { 0, 1, 0 }, 1, false, 1, true, false, 0 },
		{ "the good one is gone", { 1, 2, 0 }, 2, false, 2, true, false, 0 },
		{ "more tries than there are", { 1, 2, 99 }, 2, true, 2, true, true, 2 },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct boot_choice c =
			boot_count_choose(&rows[i].now, rows[i].def, rows[i].has_good);

		if (c.number != rows[i].number || c.counted != rows[i].counted ||
		    c.trial != rows[i].trial)
			TEST_FAIL("%s: generation %u%s%s", rows[i].what, c.number,
				  c.counted ? ", counted" : "", c.trial ? ", on trial" : "");
		if (c.counted && (c.after.trial != rows[i].def || c.after.left != rows[i].left))
			TEST_FAIL("%s: saves %u %u", rows[i].what, c.after.trial, c.after.left);
		CHECK_INT(c.after.good, rows[i].now.good);
	}
}

/* Boots until the default is given up, as stage 1 does them. */
TEST(boots)
{
	static const unsigned want[] = { 2, 2, 2, 1, 1 };
	char block[BOOT_ENV_SIZE];
	const struct boot_var good = { COUNT_GOOD, "1" };
	struct err e = ERR_INIT;
	auto_fd int fd = memfd_create("block", MFD_CLOEXEC);

	boot_env_format(block);
	CHECK_INT(fd_write_full(fd, block, sizeof(block)), 0);
	CHECK_INT(boot_env_update(fd, &good, 1, &e), 0);
	CHECK_INT(boot_count_set_trial(fd, 2, BOOT_TRIES, &e), 0);
	for (size_t i = 0; i < ARRAY_LEN(want); i++) {
		struct boot_count now;

		CHECK_INT(boot_count_get(fd, &now, &e), 0);
		struct boot_choice c = boot_count_choose(&now, 2, true);
		CHECK_INT(c.number, want[i]);
		if (c.counted)
			CHECK_INT(boot_count_set_trial(fd, c.after.trial, c.after.left, &e), 0);
	}
}

TEST_MAIN(choose, boots)
