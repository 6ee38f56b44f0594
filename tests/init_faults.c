/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What is linked into PID 1 in place of init/step.c: faults at given steps of its journal. The
 * file named by CAIRN_STEPS, 8 bytes, counts the steps of all lives; CAIRN_CRASH_AT=N: a fault at
 * the N-th; CAIRN_CRASH_EVERY=N: at each N-th.
 */
#include "init/step.h"

#include <fcntl.h>
#include <limits.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "lib/text.h"

const unsigned crash_burst = UINT_MAX;

static struct {
	volatile uint64_t *count;
	uint64_t at, every;
} st;

static uint64_t number(const char *name)
{
	const char *text = getenv(name);
	uint64_t n = 0;

	return text && text_u64(slice_of(text), UINT32_MAX, &n) == 0 ? n : 0;
}

static void begin(void)
{
	static uint64_t nowhere;
	const char *path = getenv("CAIRN_STEPS");
	int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
	void *p = fd < 0 ? MAP_FAILED : mmap(NULL, 8, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	if (fd >= 0)
		(void)close(fd);
	st.count = p == MAP_FAILED ? &nowhere : p;
	st.at = number("CAIRN_CRASH_AT");
	st.every = number("CAIRN_CRASH_EVERY");
}

void step_done(void)
{
	if (!st.count)
		begin();
	uint64_t n = ++*st.count;
	if (n == st.at || (st.every && n % st.every == 0))
		*(volatile int *)0 = 0;
}
