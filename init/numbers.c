/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "init/numbers.h"

#include <fcntl.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

#define NUMBER_MAX (1 << 22)

static int number_of(const char *name)
{
	int n = 0;

	if (!*name)
		return -1;
	for (; *name >= '0' && *name <= '9' && n < NUMBER_MAX; name++)
		n = n * 10 + (*name - '0');
	return *name ? -1 : n;
}

bool numbers_names(int dir, void (*fn)(const char *name, unsigned char type, void *arg), void *arg)
{
	struct entry {
		uint64_t ino;
		int64_t off;
		unsigned short len;
		unsigned char type;
		char name[];
	};
	_Alignas(8) char buf[1024];
	long n;

	while ((n = syscall(SYS_getdents64, dir, buf, sizeof(buf))) > 0) {
		for (long i = 0; i < n;) {
			const struct entry *e = (const void *)(buf + i);
			fn(e->name, e->type, arg);
			i += e->len;
		}
	}
	return n == 0;
}

struct each {
	void (*fn)(int number, void *arg);
	void *arg;
};

static void each_number(const char *name, unsigned char type, void *arg)
{
	const struct each *x = arg;
	int number = number_of(name);

	if (number >= 0)
		x->fn(number, x->arg);
}

bool numbers_each(const char *path, void (*fn)(int number, void *arg), void *arg)
{
	struct each x = { fn, arg };
	int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (dir < 0)
		return false;
	bool whole = numbers_names(dir, each_number, &x);
	(void)close(dir);
	return whole;
}
