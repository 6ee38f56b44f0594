/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Stage 1: the layout of the keyboard. What is not a screen refuses it, once the file is whole. */
#include "init/keymap.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>

#include "lib/fd.h"
#include "tests/unit/test.h"

#define HEAD	(7 + 256)
#define MAP_LEN 256

static char bytes[HEAD + 256 * MAP_LEN + 1];

/* Load the first n bytes. */
static int load(size_t n)
{
	struct err e = ERR_INIT;
	auto_fd int none = open("/dev/null", O_RDWR | O_CLOEXEC);
	auto_fd int file = memfd_create("map", MFD_CLOEXEC);
	char path[40];

	CHECK_INT(fd_write_full(file, bytes, n), 0);
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", file);
	return keymap_load(none, path, &e);
}

static void begin(void)
{
	memset(bytes, 0, sizeof(bytes));
	memcpy(bytes, "bkeymap", 7);
}

TEST(length)
{
	begin();
	CHECK_INT(load(HEAD), 0); /* of no map at all */
	bytes[7] = bytes[7 + 255] = 1;
	CHECK_INT(load(HEAD + 2 * MAP_LEN), -ENOTTY);
	CHECK_INT(load(HEAD + 2 * MAP_LEN - 1), -ERR_SYNTAX);
	CHECK_INT(load(HEAD + 2 * MAP_LEN + 1), -ERR_SYNTAX);
	memset(bytes + 7, 1, 256);
	CHECK_INT(load(HEAD + 256 * MAP_LEN), -ENOTTY);
	CHECK_INT(load(HEAD + 256 * MAP_LEN + 1), -ERR_LIMIT);
}

TEST(what_is_none)
{
	struct err e = ERR_INIT;

	begin();
	CHECK_INT(load(0), -ERR_SYNTAX);
	CHECK_INT(load(HEAD - 1), -ERR_SYNTAX);
	bytes[0] = 'x';
	CHECK_INT(load(HEAD), -ERR_SYNTAX);
	CHECK_INT(keymap_load(-1, "/none", &e), -ENOENT);
}

TEST_MAIN(length, what_is_none)
