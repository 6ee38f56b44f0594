/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Boot counting: three variables of the environment block (lib/bootcount.c). The boot loader, or
 * stage 1 where there is none, takes one of the tries before each boot of a generation on trial;
 * here trials begin and end. Two processes may come here at once, the health gate and a switch: the
 * block is locked.
 */
#include "bootloader/bootloader.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>

#include "bootloader/env.h"
#include "lib/fd.h"
#include "lib/log.h"
#include "lib/path.h"
#include "lib/size.h"

static int env_open(const struct boot_place *p, int flags, char file[PATH_MAX], struct err *e)
{
	char dir[PATH_MAX];
	int r = boot_env_dir(p, dir, e);

	if (r < 0)
		return r;
	if (path_join(file, dir, BOOT_ENV_NAME) < 0)
		return err_num(e, -ENAMETOOLONG, "%s/" BOOT_ENV_NAME, dir);
	int fd = open(file, flags | O_CLOEXEC);
	return fd < 0 ? err_sys(e, "%s", file) : fd;
}

static int count_load(const struct boot_place *p, struct boot_count *ret, bool *ret_damaged,
		      struct err *e)
{
	struct boot_count c = { 0 };
	struct err tmp = ERR_INIT;
	char file[PATH_MAX];
	auto_fd int fd = env_open(p, O_RDONLY, file, &tmp);

	if (fd < 0 && fd != -ENOENT) {
		*e = tmp;
		return fd;
	}
	int r = fd < 0 ? 0 : boot_count_get(fd, &c, &tmp);
	*ret_damaged = r == -ERR_INVALID;
	if (r < 0 && !*ret_damaged)
		return err_set(e, r, "%s: %s", file, tmp.msg);
	*ret = *ret_damaged ? (struct boot_count){ 0 } : c;
	return 0;
}

int boot_count_load(const struct boot_place *p, struct boot_count *ret, struct err *e)
{
	bool damaged;

	return count_load(p, ret, &damaged, e);
}

bool boot_count_is_damaged(const struct boot_place *p)
{
	struct err ignored = ERR_INIT;
	struct boot_count c;
	bool damaged;

	return count_load(p, &c, &damaged, &ignored) == 0 && damaged;
}

#define LOCK_TRIES 50

/* Who can read the block can lock it, on FAT everybody: that may hold up a change, and not keep it
 * from happening. */
static int lock_block(int fd, const char *file, struct err *e)
{
	int r = -EAGAIN;

	for (int i = 0; r == -EAGAIN && i < LOCK_TRIES; i++) {
		r = fd_lock(fd, true, false);
		if (r == -EAGAIN)
			(void)poll(NULL, 0, 100);
	}
	if (r == -EAGAIN)
		log_warn(
			"boot: changed without its lock, which somebody does not give back file=%s",
			file);
	return r < 0 && r != -EAGAIN ? err_num(e, r, "cannot lock %s", file) : 0;
}

/* Open for a change, alone. */
static int env_open_locked(const struct boot_place *p, char file[PATH_MAX], struct err *e)
{
	auto_fd int fd = env_open(p, O_RDWR, file, e);

	if (fd < 0)
		return fd;
	int r = lock_block(fd, file, e);
	return r < 0 ? r : fd_take(&fd);
}

static int trial_begin(int fd, unsigned number, struct err *e)
{
	struct boot_count c;
	int r = boot_count_get(fd, &c, e);

	return r < 0 || c.good == number ? r : boot_count_set_trial(fd, number, BOOT_TRIES, e);
}

static int mark_good(int fd, unsigned number, struct err *e)
{
	char text[16];
	const struct boot_var vars[] = { { COUNT_GOOD, text },
					 { COUNT_TRY, NULL },
					 { COUNT_LEFT, NULL } };
	struct boot_count c;
	int r = boot_count_get(fd, &c, e);

	if (r < 0)
		return r;
	(void)snprintf(text, sizeof(text), "%u", number);
	return boot_env_update(fd, vars, c.trial == number ? ARRAY_LEN(vars) : 1, e);
}

static int trial_end(int fd, unsigned number, const struct boot_count *before, struct err *e)
{
	static const struct boot_var vars[] = { { COUNT_TRY, NULL }, { COUNT_LEFT, NULL } };
	struct boot_count c;
	int r = boot_count_get(fd, &c, e);

	if (r < 0 || c.trial != number)
		return r;
	return before && before->trial && before->trial != c.good
		       ? boot_count_set_trial(fd, before->trial, before->left, e)
		       : boot_env_update(fd, vars, ARRAY_LEN(vars), e);
}

static int change(const struct boot_place *p, unsigned number,
		  int (*fn)(int, unsigned, struct err *), struct err *e)
{
	char file[PATH_MAX];
	auto_fd int fd = env_open_locked(p, file, e);

	if (fd < 0)
		return fd;
	int r = fn(fd, number, e);
	return r < 0 ? err_wrap(e, r, "%s", file) : 0;
}

static int env_ensure(const struct boot_place *p, struct err *e)
{
	auto_fd int dir = boot_env_dir_open(p, e);

	return dir < 0 ? dir : boot_env_ensure(dir, e);
}

int boot_trial_begin(const struct boot_place *p, unsigned number, struct err *e)
{
	int r = env_ensure(p, e);

	return r < 0 ? r : change(p, number, trial_begin, e);
}

int boot_mark_good(const struct boot_place *p, unsigned number, struct err *e)
{
	struct err why = ERR_INIT;
	int r = change(p, number, mark_good, &why);

	if (r != -ERR_INVALID)
		return r < 0 ? err_set(e, r, "%s", why.msg) : 0;
	r = env_ensure(p, e); /* nothing else makes it anew where nobody switches */
	return r < 0 ? r : change(p, number, mark_good, e);
}

int boot_trial_end(const struct boot_place *p, unsigned number, const struct boot_count *before,
		   struct err *e)
{
	char file[PATH_MAX];
	auto_fd int fd = env_open_locked(p, file, e);

	if (fd < 0)
		return fd;
	int r = trial_end(fd, number, before, e);
	return r < 0 ? err_wrap(e, r, "%s", file) : 0;
}
