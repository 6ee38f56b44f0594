/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "init/generation.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/syscall.h>

#include "lib/bootenv.h"
#include "lib/fd.h"
#include "lib/log.h"

#define LIMIT_PARAMETERS 4096
#define OWN_SYSTEM	 " cairn.system="
#ifndef SYS_kexec_file_load
#define SYS_kexec_file_load 320
#endif
#ifndef RB_KEXEC
#define RB_KEXEC 0x45584543
#endif

/* ---- which one -------------------------------------------------------------------------------*/

/* Counting was asked for, so the block is made when there is none. */
static int block_open(const char *dir, struct err *e)
{
	char path[PATH_MAX];

	(void)snprintf(path, sizeof(path), "%.1024s/" BOOT_ENV_DIR, dir);
	int r = file_mkdir_p(AT_FDCWD, path, 0755, e);
	if (r < 0)
		return r;
	auto_fd int boot = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (boot < 0)
		return err_sys(e, "%s", path);
	if ((r = boot_env_ensure(boot, e)) < 0)
		return r;
	(void)snprintf(path, sizeof(path), "%.1024s/" BOOT_ENV_FILE, dir);
	int fd = open(path, O_RDWR | O_CLOEXEC);
	return fd < 0 ? err_sys(e, "%s", path) : fd;
}

static bool is_there(const char *dir, unsigned number)
{
	struct root_spec s = { .generation = number };

	return number && root_generation(dir, &s, NULL) == 0;
}

/* The choice, saved. */
static int count(const char *dir, unsigned def, struct boot_choice *ret, struct err *e)
{
	struct boot_count now;
	auto_fd int fd = block_open(dir, e);
	int r = fd < 0 ? fd : boot_count_get(fd, &now, e);

	if (r < 0)
		return r;
	struct boot_choice c = boot_count_choose(&now, def, is_there(dir, now.good));
	if (c.counted && (r = boot_count_set_trial(fd, c.after.trial, c.after.left, e)) < 0)
		return r;
	*ret = c;
	return 0;
}

static void tell_choice(const struct boot_choice *c, unsigned def)
{
	if (c->number != def)
		log_warn("boot: generation %u did not come up in %d tries: back to generation %u",
			 def, BOOT_TRIES, c->number);
	else if (c->trial)
		log_warn("boot: generation %u is on trial, tries left: %u", def, c->after.left);
	else
		log_info("boot: generation %u", def);
}

int generation_choose(const char *dir, struct root_spec *s, struct err *e)
{
	struct err why = ERR_INIT;
	unsigned def;
	int r = root_default(dir, &def, e);

	if (r < 0)
		return r;
	struct boot_choice c = { .number = def };
	if (s->is_volatile || s->image[0])
		log_warn("boot: nothing is written to the root, so boots are not counted");
	else if (count(dir, def, &c, &why) < 0)
		log_warn("boot: not counted why=\"%s\"", why.msg);
	tell_choice(&c, def);
	s->generation = c.number;
	s->trial = c.trial;
	s->left = c.after.left;
	return root_generation(dir, s, e);
}

/* ---- its kernel ------------------------------------------------------------------------------*/

static int read_parameters(const char *dir, const char *system, struct str *out, struct err *e)
{
	char path[PATH_MAX];

	(void)snprintf(path, sizeof(path), "%.1024s%.2900s/parameters", dir, system);
	int r = file_read(AT_FDCWD, path, out, LIMIT_PARAMETERS, e);
	while (r >= 0 && out->len && out->buf[out->len - 1] == '\n')
		str_cut(out, out->len - 1);
	return r < 0 ? r : 0;
}

static bool same_link(const char *dir, const char *one, const char *other, const char *name)
{
	char path[PATH_MAX], to[2][PATH_MAX];
	const char *system[] = { one, other };

	for (size_t i = 0; i < 2; i++) {
		(void)snprintf(path, sizeof(path), "%.1024s%.2900s/%s", dir, system[i], name);
		ssize_t n = readlink(path, to[i], sizeof(to[i]) - 1);
		if (n < 0)
			return false;
		to[i][n] = '\0';
	}
	return strcmp(to[0], to[1]) == 0;
}

/* What is before cairn.system=, which is the last word. */
static size_t common_length(const struct str *line)
{
	const char *own = strstr(line->buf, OWN_SYSTEM);

	return own && !strchr(own + 1, ' ') ? (size_t)(own - line->buf) : line->len;
}

bool generation_same_kernel(const char *dir, const char *one, const char *other)
{
	auto_str struct str a = STR_INIT, b = STR_INIT;

	if (strcmp(one, other) == 0)
		return true;
	if (!one[0] || !same_link(dir, one, other, "kernel") ||
	    !same_link(dir, one, other, "initrd") || read_parameters(dir, one, &a, NULL) < 0 ||
	    read_parameters(dir, other, &b, NULL) < 0)
		return false;
	size_t n = common_length(&a);
	return n == common_length(&b) && memcmp(a.buf, b.buf, n) == 0;
}

static int open_part(const char *dir, const char *system, const char *name, struct err *e)
{
	char path[PATH_MAX];

	(void)snprintf(path, sizeof(path), "%.2900s/%s", system, name);
	int fd = root_open(dir, path, O_RDONLY);
	return fd < 0 ? err_num(e, fd, "%s on the root file system", path) : fd;
}

static int kexec_load(const char *dir, const struct root_spec *s, const char *line,
		      bool *ret_damaged, struct err *e)
{
	*ret_damaged = true;
	auto_fd int kernel = open_part(dir, s->system, "kernel", e);
	if (kernel < 0)
		return kernel;
	auto_fd int initrd = open_part(dir, s->system, "initrd", e);
	if (initrd < 0)
		return initrd;
	if (syscall(SYS_kexec_file_load, kernel, initrd, strlen(line) + 1, line, 0ul) < 0) {
		*ret_damaged = errno == ENOEXEC;
		return err_sys(e, "kexec");
	}
	return 0;
}

int generation_kexec(const char *dir, const struct root_spec *s, bool *ret_damaged, struct err *e)
{
	auto_str struct str line = STR_INIT;
	int r = read_parameters(dir, s->system, &line, e);

	*ret_damaged = r < 0;
	if (r < 0)
		return r;
	if (s->trial)
		str_addf(&line, " cairn.trial=%u", s->left);
	if (str_err(&line) < 0)
		return err_num(e, str_err(&line), "kexec");
	if ((r = kexec_load(dir, s, line.buf, ret_damaged, e)) < 0)
		return r;
	log_info("boot: kexec of %s/kernel", s->system);
	/* The next stage 1 mounts it again; a journal to replay would do no harm. */
	if (umount2(dir, 0) < 0)
		(void)mount(NULL, dir, NULL, MS_REMOUNT | MS_RDONLY, NULL);
	sync();
	(void)reboot(RB_KEXEC);
	r = err_sys(e, "kexec");
	(void)reboot(RB_AUTOBOOT); /* the root is gone */
	return r;
}
