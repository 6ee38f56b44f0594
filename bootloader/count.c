/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Boot counting: three variables of the environment block. The boot loader takes one of the tries
 * before each boot of a generation on trial (bootloader/grub.c has that half); here trials begin
 * and end. Two processes may come here at once, the health gate and a switch: the block is locked.
 */
#include "bootloader/bootloader.h"

#include <errno.h>
#include <fcntl.h>

#include "bootloader/env.h"
#include "lib/fd.h"
#include "lib/path.h"
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

static int count_get(int fd, struct boot_count *ret, struct err *e)
{
	int r = number_get(fd, COUNT_GOOD, &ret->good, e);

	if (r == 0)
		r = number_get(fd, COUNT_TRY, &ret->trial, e);
	if (r == 0)
		r = number_get(fd, COUNT_LEFT, &ret->left, e);
	return r;
}

static int env_open(const char *root, int flags, char file[PATH_MAX], struct err *e)
{
	if (path_join(file, *root ? root : "/", BOOT_ENV_FILE) < 0)
		return err_num(e, -ENAMETOOLONG, "%s/" BOOT_ENV_FILE, root);
	int fd = open(file, flags | O_CLOEXEC);
	return fd < 0 ? err_sys(e, "%s", file) : fd;
}

int boot_count_load(const char *root, struct boot_count *ret, struct err *e)
{
	struct boot_count c = { 0 };
	struct err tmp = ERR_INIT;
	char file[PATH_MAX];
	auto_fd int fd = env_open(root, O_RDONLY, file, &tmp);

	if (fd < 0 && fd != -ENOENT) {
		*e = tmp;
		return fd;
	}
	int r = fd < 0 ? 0 : count_get(fd, &c, e);
	if (r < 0)
		return err_wrap(e, r, "%s", file);
	*ret = c;
	return 0;
}

/* Open for a change, alone. */
static int env_open_locked(const char *root, char file[PATH_MAX], struct err *e)
{
	auto_fd int fd = env_open(root, O_RDWR, file, e);

	if (fd < 0)
		return fd;
	int r = fd_lock(fd, true, true);
	return r < 0 ? err_num(e, r, "cannot lock %s", file) : fd_take(&fd);
}

static int trial_begin(int fd, unsigned number, struct err *e)
{
	char text[16], tries[16];
	const struct boot_var vars[] = { { COUNT_TRY, text }, { COUNT_LEFT, tries } };
	struct boot_count c;
	int r = count_get(fd, &c, e);

	if (r < 0 || c.good == number)
		return r;
	(void)snprintf(text, sizeof(text), "%u", number);
	(void)snprintf(tries, sizeof(tries), "%d", BOOT_TRIES);
	return boot_env_update(fd, vars, ARRAY_LEN(vars), e);
}

static int mark_good(int fd, unsigned number, struct err *e)
{
	char text[16];
	const struct boot_var vars[] = { { COUNT_GOOD, text },
					 { COUNT_TRY, NULL },
					 { COUNT_LEFT, NULL } };
	struct boot_count c;
	int r = count_get(fd, &c, e);

	if (r < 0)
		return r;
	(void)snprintf(text, sizeof(text), "%u", number);
	return boot_env_update(fd, vars, c.trial == number ? ARRAY_LEN(vars) : 1, e);
}

static int change(const char *root, unsigned number, int (*fn)(int, unsigned, struct err *),
		  struct err *e)
{
	char file[PATH_MAX];
	auto_fd int fd = env_open_locked(root, file, e);

	if (fd < 0)
		return fd;
	int r = fn(fd, number, e);
	return r < 0 ? err_wrap(e, r, "%s", file) : 0;
}

static int env_ensure(const char *root, struct err *e)
{
	auto_fd int top = open(*root ? root : "/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (top < 0)
		return err_sys(e, "%s", *root ? root : "/");
	int r = file_mkdir_p(top, BOOT_DIR, 0755, e);
	if (r < 0)
		return r;
	auto_fd int dir = openat(top, BOOT_DIR, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return dir < 0 ? err_sys(e, "%s/" BOOT_DIR, root) : boot_env_ensure(dir, e);
}

int boot_trial_begin(const char *root, unsigned number, struct err *e)
{
	int r = env_ensure(root, e);

	return r < 0 ? r : change(root, number, trial_begin, e);
}

int boot_mark_good(const char *root, unsigned number, struct err *e)
{
	return change(root, number, mark_good, e);
}
