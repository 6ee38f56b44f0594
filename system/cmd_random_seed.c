/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * cairn system random-seed, for the service of that name: randomness kept over reboots.
 *
 * A seed is credited to the kernel only once: its file is gone, for good, before the kernel hears
 * of it, and a new one is written at once, so that a machine that loses power has one, too. A seed
 * is only written when the kernel has enough randomness itself.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/random.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/random.h>
#include <sys/stat.h>

#include "lib/fd.h"
#include "lib/log.h"
#include "lib/path.h"
#include "system/system.h"

#define SEED_BYTES 512
#define CREDIT	   256 /* bits, all that the kernel's generator has room for */

/* struct rand_pool_info, with room for the bytes. */
struct pool {
	int entropy_count, buf_size;
	unsigned char bytes[SEED_BYTES];
};

/* What others could read or write is stirred in, but counts for nothing. */
static bool is_secret(const struct stat *st)
{
	return st->st_uid == 0 && !(st->st_mode & 077) && st->st_nlink == 1;
}

/* 0 when there is none. */
static int read_seed(const char *path, struct pool *p, struct err *e)
{
	struct stat st;
	auto_fd int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);

	if (fd < 0)
		return errno == ENOENT ? 0 : err_sys(e, "%s", path);
	if (fstat(fd, &st) < 0)
		return err_sys(e, "%s", path);
	if (!S_ISREG(st.st_mode))
		return err_set(e, -ERR_INVALID, "%s is not a file", path);
	ssize_t n = fd_read_some(fd, p->bytes, sizeof(p->bytes));
	if (n < 0)
		return err_num(e, (int)n, "%s", path);
	p->buf_size = (int)n;
	p->entropy_count = n == SEED_BYTES && is_secret(&st) ? CREDIT : 0;
	return 0;
}

static int forget_seed(const char *path, struct err *e)
{
	char dir[PATH_MAX];
	int r = path_dir(dir, path);

	if (r < 0)
		return err_num(e, r, "%s", path);
	if (unlink(path) < 0)
		return errno == ENOENT ? 0 : err_sys(e, "%s", path);
	return file_sync(AT_FDCWD, dir, e);
}

static int stir(struct pool *p, struct err *e)
{
	auto_fd int fd = open("/dev/urandom", O_WRONLY | O_CLOEXEC);

	if (fd < 0)
		return err_sys(e, "/dev/urandom");
	if (ioctl(fd, RNDADDENTROPY, p) == 0) {
		log_info("random-seed: bits=%d", p->entropy_count);
		return 0;
	}
	/* Not allowed in a container. */
	int r = fd_write_full(fd, p->bytes, (size_t)p->buf_size);
	return r < 0 ? err_num(e, r, "/dev/urandom") : 0;
}

static int save(const char *path, struct err *e)
{
	unsigned char bytes[SEED_BYTES];
	int r = 0;

	for (size_t n = 0; n < sizeof(bytes) && r == 0; n += 256) /* so much comes in one piece */
		if (getrandom(bytes + n, 256, GRND_NONBLOCK) != 256)
			r = errno == EAGAIN ? -EAGAIN : err_sys(e, "no random numbers");
	if (r == 0)
		r = file_write_atomic(AT_FDCWD, path, bytes, sizeof(bytes), 0600, e);
	explicit_bzero(bytes, sizeof(bytes));
	if (r != -EAGAIN)
		return r;
	log_info("random-seed: the kernel has none yet, so none is kept");
	return 0;
}

static int load(const char *path, struct err *e)
{
	struct pool p = { 0 };
	int r = read_seed(path, &p, e);

	/* A seed that cannot be taken away would be used again, so it is not used. */
	if (r == 0)
		r = forget_seed(path, e);
	if (r == 0 && p.buf_size)
		r = stir(&p, e);
	explicit_bzero(&p, sizeof(p));
	return r < 0 ? r : save(path, e);
}

static int run(struct cmd_env *env, struct err *e)
{
	const char *what = env->args[0], *path = env->args[1];

	if (strcmp(what, "load") == 0)
		return load(path, e);
	if (strcmp(what, "save") == 0)
		return save(path, e);
	return cmd_usage(e, "'%s' is neither load nor save", what);
}

const struct cmd sys_cmd_random_seed = {
	.name = "random-seed",
	.synopsis = "load|save FILE",
	.summary = "give the kernel the randomness of FILE, keep some for the next boot",
	.min_args = 2,
	.max_args = 2,
	.run = run,
	.hidden = true,
};
