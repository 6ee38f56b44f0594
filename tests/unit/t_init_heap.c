/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The memory of PID 1 (init/heap.h). */
#include "init/heap.h"

#include <signal.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/size.h"
#include "tests/unit/test.h"

static uint32_t dice(void)
{
	static uint32_t x = 1;

	x ^= x << 13, x ^= x >> 17, x ^= x << 5;
	return x;
}

static bool holds(const uint8_t *p, size_t n, uint8_t with)
{
	for (size_t i = 0; i < n; i++)
		if (p[i] != with)
			return false;
	return true;
}

static uintptr_t end_of_memory(void)
{
	return (uintptr_t)syscall(SYS_brk, 0);
}

/* Blocks of all sizes, in any order: none touches another, and memory is found again. */
TEST(blocks)
{
	static struct {
		uint8_t *p;
		size_t n;
	} v[256];
	uintptr_t begin = end_of_memory();
	size_t bad = 0;

	for (unsigned turn = 0; turn < 50000; turn++) {
		unsigned i = dice() % ARRAY_LEN(v);
		size_t n = dice() % (dice() % 16 == 0 ? 9000 : 300);
		bad += v[i].p && !holds(v[i].p, v[i].n, (uint8_t)i);
		if (v[i].p && turn % 3 == 0) {
			heap_free(v[i].p);
			v[i].p = NULL;
			continue;
		}
		uint8_t *p = heap_realloc(v[i].p, n);
		bad += !p || (uintptr_t)p % 16;
		bad += p && v[i].p && !holds(p, v[i].n < n ? v[i].n : n, (uint8_t)i);
		v[i].p = p;
		v[i].n = n;
		if (p)
			memset(p, (int)i, n);
	}
	CHECK_INT(bad, 0);
	for (size_t i = 0; i < ARRAY_LEN(v); i++)
		heap_free(v[i].p);
	uintptr_t end = end_of_memory();
	CHECK((end - begin) < 1 << 20);
	void *all = heap_alloc(end - begin - 4096); /* in one piece again */
	CHECK(all != NULL);
	CHECK(end_of_memory() == end);
	heap_free(all);
}

static int fate_of(void (*crime)(void))
{
	pid_t pid = fork();
	int status = 0;

	if (pid == 0) {
		struct rlimit none = { 0, 0 };
		(void)setrlimit(RLIMIT_CORE, &none);
		crime();
		_exit(0);
	}
	(void)waitpid(pid, &status, 0);
	return status;
}

static void twice(void)
{
	void *p = heap_alloc(100);

	heap_free(p);
	heap_free(p);
}

static void beyond(void)
{
	char *p = heap_alloc(96), *q = heap_alloc(96);

	memset(p, 'x', 96 + 4);
	heap_free(q);
}

static void neither(void)
{
	char *p = heap_alloc(96), *q = heap_alloc(96);

	memset(p, 'x', 96);
	heap_free(q);
	heap_free(p);
}

TEST(misuse)
{
	CHECK(WIFSIGNALED(fate_of(twice)));
	CHECK(WIFSIGNALED(fate_of(beyond)));
	CHECK_INT(fate_of(neither), 0);
}

static void no_more(void)
{
	struct rlimit little = { 1 << 20, 1 << 20 };

	(void)setrlimit(RLIMIT_DATA, &little);
	void *big = heap_alloc(64 << 20), *small = heap_alloc(1000);
	_exit(!big && small && !heap_alloc(SIZE_MAX) && !heap_alloc(SIZE_MAX - 20) ? 0 : 1);
}

TEST(no_memory)
{
	CHECK_INT(fate_of(no_more), 0);
}

static long resident(void)
{
	long pages = 0, all = 0;
	FILE *f = fopen("/proc/self/statm", "re");

	if (f) {
		(void)!fscanf(f, "%ld %ld", &all, &pages);
		(void)fclose(f);
	}
	return pages;
}

TEST(trim)
{
	enum { BYTES = 8 << 20 };
	char *p = heap_alloc(BYTES), *q = heap_alloc(1);

	memset(p, 1, BYTES);
	long with = resident();
	heap_free(p);
	heap_trim();
	CHECK(with - resident() > BYTES / 4096 / 2);
	heap_free(q);
}

TEST_MAIN(blocks, misuse, no_memory, trim)
