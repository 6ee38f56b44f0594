/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * GRUB's environment block: a signature line, "name=value" lines with backslash escapes, '#' up to
 * 1024 bytes. GRUB writes it by the block list of the file, so the file must keep its blocks: it is
 * overwritten in place and never renamed.
 */
#include "lib/bootenv.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "lib/fd.h"

#define ENV_HEAD "# GRUB Environment Block\n"

void boot_env_format(char out[BOOT_ENV_SIZE])
{
	memset(out, '#', BOOT_ENV_SIZE);
	memcpy(out, ENV_HEAD, sizeof(ENV_HEAD) - 1);
}

static int env_read(int fd, char block[BOOT_ENV_SIZE], struct err *e)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return err_sys(e, "environment block");
	if (st.st_size != BOOT_ENV_SIZE)
		return err_set(e, -ERR_INVALID, "environment block has %lld bytes instead of %d",
			       (long long)st.st_size, BOOT_ENV_SIZE);
	ssize_t n = pread(fd, block, BOOT_ENV_SIZE, 0);
	if (n < 0)
		return err_sys(e, "environment block");
	if (n != BOOT_ENV_SIZE || memcmp(block, ENV_HEAD, sizeof(ENV_HEAD) - 1) != 0)
		return err_set(e, -ERR_INVALID, "not an environment block");
	return 0;
}

/* Cut the next variable line, without its newline, off *rest. A backslash keeps the byte after it
 * from being special, a newline too. */
static bool env_next(struct slice *rest, struct slice *ret)
{
	size_t i = 0;

	if (!rest->n || rest->p[0] == '#')
		return false;
	while (i < rest->n && rest->p[i] != '\n')
		i += rest->p[i] == '\\' && i + 1 < rest->n ? 2 : 1;
	*ret = (struct slice){ rest->p, i < rest->n ? i : rest->n };
	rest->p += i < rest->n ? i + 1 : rest->n;
	rest->n -= i < rest->n ? i + 1 : rest->n;
	return true;
}

static bool env_is(struct slice line, const char *name)
{
	size_t n = strlen(name);

	return line.n > n && line.p[n] == '=' && memcmp(line.p, name, n) == 0;
}

static bool var_is_good(const struct boot_var *v)
{
	return *v->name && !strpbrk(v->name, "=\\\n#");
}

static void add_var(struct str *out, const struct boot_var *v)
{
	str_addf(out, "%s=", v->name);
	for (const char *p = v->value; *p; p++) {
		if (*p == '\\' || *p == '\n')
			str_addc(out, '\\');
		str_addc(out, *p);
	}
	str_addc(out, '\n');
}

/* The variables of block that are not in vars, then those. */
static void merge(const char block[BOOT_ENV_SIZE], const struct boot_var *vars, size_t n,
		  struct str *out)
{
	struct slice rest = { block + sizeof(ENV_HEAD) - 1, BOOT_ENV_SIZE - sizeof(ENV_HEAD) + 1 };
	struct slice line;

	str_add(out, ENV_HEAD);
	while (env_next(&rest, &line)) {
		size_t i = 0;

		while (i < n && !env_is(line, vars[i].name))
			i++;
		if (i < n)
			continue;
		str_adds(out, line);
		str_addc(out, '\n');
	}
	for (size_t i = 0; i < n; i++)
		if (vars[i].value)
			add_var(out, &vars[i]);
}

/* In place, and only when something changed: an fsync is not free. */
static int env_write(int fd, const char old[BOOT_ENV_SIZE], const struct str *text, struct err *e)
{
	char block[BOOT_ENV_SIZE];

	if (str_err(text) < 0)
		return err_num(e, str_err(text), "environment block");
	if (text->len > BOOT_ENV_SIZE)
		return err_set(e, -ERR_LIMIT, "environment block is full");
	memset(block, '#', sizeof(block));
	memcpy(block, text->buf, text->len);
	if (memcmp(block, old, sizeof(block)) == 0)
		return 0;
	ssize_t n = pwrite(fd, block, sizeof(block), 0);
	if (n < 0 || fsync(fd) < 0)
		return err_sys(e, "environment block");
	return n == sizeof(block) ? 0 : err_num(e, -EIO, "environment block");
}

int boot_env_update(int fd, const struct boot_var *vars, size_t n, struct err *e)
{
	auto_str struct str out = STR_INIT;
	char block[BOOT_ENV_SIZE];

	for (size_t i = 0; i < n; i++)
		if (!var_is_good(&vars[i]))
			return err_set(e, -ERR_INVALID, "'%s' is not the name of a variable",
				       vars[i].name);
	int r = env_read(fd, block, e);
	if (r < 0)
		return r;
	merge(block, vars, n, &out);
	return env_write(fd, block, &out, e);
}

int boot_env_get(int fd, struct arena *a, const char *name, const char **ret, struct err *e)
{
	char block[BOOT_ENV_SIZE];
	struct slice line;

	int r = env_read(fd, block, e);
	if (r < 0)
		return r;
	struct slice rest = { block + sizeof(ENV_HEAD) - 1, BOOT_ENV_SIZE - sizeof(ENV_HEAD) + 1 };
	while (env_next(&rest, &line)) {
		if (!env_is(line, name))
			continue;
		size_t skip = strlen(name) + 1, n = 0;
		char *v = arena_strn(a, line.p + skip, line.n - skip);
		if (!v)
			return err_num(e, -ENOMEM, "environment block");
		for (const char *p = v; *p; p++) {
			if (*p == '\\' && p[1])
				p++;
			v[n++] = *p;
		}
		v[n] = '\0';
		*ret = v;
		return 0;
	}
	*ret = NULL;
	return 0;
}

int boot_env_ensure(int dir, struct err *e)
{
	char block[BOOT_ENV_SIZE];
	struct err ignored = ERR_INIT;
	auto_fd int fd = openat(dir, "grubenv", O_RDONLY | O_NOFOLLOW | O_CLOEXEC);

	if (fd >= 0 && env_read(fd, block, &ignored) == 0)
		return 0;
	/* Of one who was cut off here, and made the block for the first time too. */
	file_sweep_temps(dir);
	boot_env_format(block);
	return file_write_atomic(dir, "grubenv", block, sizeof(block), 0644, e);
}
