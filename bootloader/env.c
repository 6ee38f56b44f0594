/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * GRUB's environment block: a signature line, "name=value" lines with backslash escapes, '#' up to
 * 1024 bytes. GRUB writes it by the block list of the file, so the file must keep its blocks: it is
 * overwritten in place and never renamed.
 */
#include "bootloader/bootloader.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "lib/fd.h"
#include "lib/path.h"

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

int boot_env_set(int fd, const char *name, const char *value, struct err *e)
{
	char block[BOOT_ENV_SIZE];
	auto_str struct str out = STR_INIT;
	struct slice line;

	if (!*name || strpbrk(name, "=\\\n#"))
		return err_set(e, -ERR_INVALID, "'%s' is not the name of a variable", name);
	int r = env_read(fd, block, e);
	if (r < 0)
		return r;
	struct slice rest = { block + sizeof(ENV_HEAD) - 1, BOOT_ENV_SIZE - sizeof(ENV_HEAD) + 1 };
	str_add(&out, ENV_HEAD);
	while (env_next(&rest, &line)) {
		if (env_is(line, name))
			continue;
		str_adds(&out, line);
		str_addc(&out, '\n');
	}
	if (value) {
		str_addf(&out, "%s=", name);
		for (; *value; value++) {
			if (*value == '\\' || *value == '\n')
				str_addc(&out, '\\');
			str_addc(&out, *value);
		}
		str_addc(&out, '\n');
	}
	if (str_err(&out) < 0)
		return err_num(e, str_err(&out), "environment block");
	if (out.len > BOOT_ENV_SIZE)
		return err_set(e, -ERR_LIMIT, "environment block is full");
	memset(block, '#', sizeof(block));
	memcpy(block, out.buf, out.len);
	ssize_t n = pwrite(fd, block, sizeof(block), 0);
	if (n < 0 || fsync(fd) < 0)
		return err_sys(e, "environment block");
	if (n != sizeof(block))
		return err_num(e, -EIO, "environment block");
	return 0;
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

int boot_mark_good(const char *root, unsigned number, struct err *e)
{
	char file[PATH_MAX], text[16];

	if (path_join(file, *root ? root : "/", BOOT_ENV_FILE) < 0)
		return err_num(e, -ENAMETOOLONG, "%s/" BOOT_ENV_FILE, root);
	auto_fd int fd = open(file, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return err_sys(e, "%s", file);
	(void)snprintf(text, sizeof(text), "%u", number);
	int r = boot_env_set(fd, "cairn_good", text, e);
	return r < 0 ? err_wrap(e, r, "%s", file) : 0;
}
