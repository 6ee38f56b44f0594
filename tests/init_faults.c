/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What is linked into PID 1 in place of init/step.c: faults at given steps of its journal. The
 * file named by CAIRN_STEPS, 8 bytes, counts the steps of all lives; CAIRN_CRASH_AT=N: a fault at
 * the N-th; CAIRN_CRASH_EVERY=N: at each N-th.
 *
 * The file named by CAIRN_SHORTAGE says what there is none of, see struct shortage.
 */
#include "init/step.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "init/heap.h"
#include "lib/size.h"
#include "lib/text.h"

const unsigned crash_burst = UINT_MAX;

#ifndef __has_feature
#define __has_feature(x) 0
#endif

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

/* In a file that the test writes while the program runs. */
struct shortage {
	/* n + 1: the n-th request for memory fails, and all after it; 1: all do; 0: none. */
	uint64_t memory;
	uint64_t refused; /* requests for memory, counted here */
	uint64_t clone;	  /* errno of each clone; 0: they work */
};

static volatile struct shortage *shortage;

static void *shared(const char *name, size_t size, void *otherwise)
{
	const char *path = getenv(name);
	int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
	void *p = fd < 0 ? MAP_FAILED : mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	if (fd >= 0)
		(void)close(fd);
	return p == MAP_FAILED ? otherwise : p;
}

static void begin(void)
{
	static uint64_t nowhere;
	static struct shortage plenty;

	shortage = shared("CAIRN_SHORTAGE", sizeof(*shortage), &plenty);
	st.count = shared("CAIRN_STEPS", sizeof(*st.count), &nowhere);
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

/* ---- shortages -------------------------------------------------------------------------------*/

/* The C library's, for what PID 1 calls by number. */
long syscall(long number, ...)
{
	static long (*real)(long, ...);
	va_list ap;
	long a[6];

	va_start(ap, number);
	for (size_t i = 0; i < ARRAY_LEN(a); i++)
		a[i] = va_arg(ap, long);
	va_end(ap);
	if ((number == SYS_clone3 || number == SYS_clone) && shortage && shortage->clone) {
		errno = (int)shortage->clone;
		return -1;
	}
	if (!real)
		real = (long (*)(long, ...))dlsym(RTLD_NEXT, "syscall");
	return real(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}

#if !defined(__SANITIZE_ADDRESS__) && !__has_feature(address_sanitizer)

static bool is_refused(void)
{
	if (!shortage || !shortage->memory)
		return false;
	if (shortage->memory > 1) {
		shortage->memory--;
		return false;
	}
	shortage->refused++;
	return true;
}

/* Not by way of malloc(): the compiler makes calloc() of that and memset(). */
static void *take(size_t n)
{
	return is_refused() ? NULL : heap_alloc(n);
}

void *malloc(size_t n)
{
	return take(n);
}

void *calloc(size_t count, size_t size)
{
	size_t n;
	void *p = size_mul(count, size, &n) ? take(n) : NULL;

	return p ? memset(p, 0, n) : NULL;
}

void *realloc(void *p, size_t n)
{
	return is_refused() ? NULL : heap_realloc(p, n);
}

void free(void *p)
{
	heap_free(p);
}

#endif
