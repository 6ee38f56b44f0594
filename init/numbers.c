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

bool numbers_each(const char *path, void (*fn)(int number, void *arg), void *arg)
{
	struct entry {
		uint64_t ino;
		int64_t off;
		unsigned short len;
		unsigned char type;
		char name[];
	};
	_Alignas(8) char buf[1024];
	int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	long n;

	if (dir < 0)
		return false;
	while ((n = syscall(SYS_getdents64, dir, buf, sizeof(buf))) > 0) {
		for (long i = 0; i < n;) {
			const struct entry *e = (const void *)(buf + i);
			int number = number_of(e->name);
			if (number >= 0)
				fn(number, arg);
			i += e->len;
		}
	}
	(void)close(dir);
	return n == 0;
}
