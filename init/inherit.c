/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "init/inherit.h"

#include <fcntl.h>
#include <stdint.h>
#include <sys/stat.h>
#include <unistd.h>

#include "init/numbers.h"

static uint8_t came[INHERIT_MAX / 8];

static bool has_come(int fd)
{
	return fd > 2 && fd < INHERIT_MAX && came[fd / 8] & (1u << (fd % 8));
}

static void set_come(int fd, bool on)
{
	uint8_t bit = (uint8_t)(1u << (fd % 8));

	came[fd / 8] = (uint8_t)(on ? came[fd / 8] | bit : came[fd / 8] & ~bit);
}

static void each(void (*fn)(int fd, void *arg), void *arg)
{
	if (numbers_each("/proc/self/fd", fn, arg))
		return;
	for (int fd = 3; fd < INHERIT_MAX; fd++)
		if (fcntl(fd, F_GETFD) >= 0)
			fn(fd, arg);
}

static void set_pass(int fd, void *on)
{
	if (fd > 2)
		(void)fcntl(fd, F_SETFD, on ? 0 : FD_CLOEXEC);
}

void inherit_pass(bool on)
{
	static int yes;

	each(set_pass, on ? &yes : NULL);
}

static void note(int fd, void *arg)
{
	if (fd < 3 || fd >= INHERIT_MAX)
		return;
	set_come(fd, true);
	set_pass(fd, arg);
}

void inherit_note(void)
{
	each(note, NULL);
	/* That of the walk is gone again. */
	for (int fd = 3; fd < INHERIT_MAX; fd++) {
		if (!came[fd / 8])
			fd |= 7;
		else if (has_come(fd) && fcntl(fd, F_GETFD) < 0)
			set_come(fd, false);
	}
}

int inherit_take(int fd, mode_t type)
{
	struct stat st;

	if (!has_come(fd) || (type && (fstat(fd, &st) < 0 || (st.st_mode & S_IFMT) != type)))
		return -1;
	set_come(fd, false);
	return fd;
}

void inherit_close_rest(void)
{
	for (int fd = 3; fd < INHERIT_MAX; fd++) {
		if (!came[fd / 8]) {
			fd |= 7; /* none of these eight */
		} else if (has_come(fd)) {
			(void)close(fd);
			set_come(fd, false);
		}
	}
}
