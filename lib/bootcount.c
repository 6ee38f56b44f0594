/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Boot counting: three variables of the environment block, and what they mean for a boot. */
#include <errno.h>
#include <stdio.h>

#include "lib/bootenv.h"
#include "lib/size.h"
#include "lib/text.h"

#define LIMIT_GENERATION 999999

/* The number in a variable; 0 when it holds none. */
static int number_get(int fd, const char *name, unsigned *ret, struct err *e)
{
	auto_arena struct arena a = ARENA_INIT;
	const char *text = NULL;
	uint64_t n;
	int r = boot_env_get(fd, &a, name, &text, e);

	if (r < 0)
		return r;
	*ret = text && text_u64(slice_of(text), LIMIT_GENERATION, &n) == 0 ? (unsigned)n : 0;
	return 0;
}

int boot_count_get(int fd, struct boot_count *ret, struct err *e)
{
	struct boot_count c;
	int r = number_get(fd, COUNT_GOOD, &c.good, e);

	if (r == 0)
		r = number_get(fd, COUNT_TRY, &c.trial, e);
	if (r == 0)
		r = number_get(fd, COUNT_LEFT, &c.left, e);
	if (r == 0)
		*ret = c;
	return r;
}

int boot_count_set_trial(int fd, unsigned trial, unsigned left, struct err *e)
{
	char number[16], tries[16];
	const struct boot_var vars[] = { { COUNT_TRY, number }, { COUNT_LEFT, tries } };

	(void)snprintf(number, sizeof(number), "%u", trial);
	(void)snprintf(tries, sizeof(tries), "%u", left);
	return boot_env_update(fd, vars, ARRAY_LEN(vars), e);
}

struct boot_choice boot_count_choose(const struct boot_count *now, unsigned def, bool has_good)
{
	struct boot_choice c = { .number = def, .after = *now };

	if (def == now->good)
		return c;
	if (has_good && now->trial == def && now->left == 0) {
		c.number = now->good;
		return c;
	}
	unsigned left = now->trial == def ? MIN_OF(now->left, (unsigned)BOOT_TRIES) : BOOT_TRIES;
	c.counted = true;
	c.trial = has_good;
	c.after.trial = def;
	c.after.left = left ? left - 1 : 0;
	return c;
}
