// SPDX-License-Identifier: GPL-3.0-or-later
// What services and the program that measures share: a file of the machine, mapped by all. A
// service writes its own slot and no other.
#pragma once
#include <stdint.h>
#include <time.h>

#define PAGE_PATH "/bench/page"
#define SLOTS	  512

struct slot {
	uint64_t first; // when its process ran for the first time, and for the last; ns of the
			// machine's clock
	uint64_t last;
	uint32_t pid;
	uint32_t starts;
};

struct page {
	uint64_t handed_over; // just before the init was executed
	struct slot slot[SLOTS];
};

static inline uint64_t now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}
