/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "system/whole.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/fd.h"
#include "lib/size.h"
#include "store/store.h"
#include "system/generation.h"

/* What a boot reads before anything could be said to anybody: the boot loader, stage 1, PID 1, and
 * the first service. */
static const struct part {
	const char *name, *file;
	bool program;
} parts[] = {
	{ "kernel", "", false }, { "initrd", "", false },	{ "boot", "/entry", false },
	{ "init", "", true },	 { "services", "/set", false }, { "accounts", "", false },
};

/* In the kernel's own format: PID 1 has nobody yet who would read a script. */
static bool is_program(int fd, const struct stat *st)
{
	char head[SELFMAG];

	return (st->st_mode & 0111) && pread(fd, head, sizeof(head), 0) == sizeof(head) &&
	       memcmp(head, ELFMAG, SELFMAG) == 0;
}

static int check_part(const struct sys_root *r, const char *path, const struct part *p,
		      struct err *e)
{
	auto_arena struct arena a = ARENA_INIT;
	char *part = gen_part(r, &a, path, p->name);
	char *file = part ? arena_fmt(&a, "%s%s", part, p->file) : NULL;
	struct stat st;

	if (!file)
		return err_set(e, -ENOMEM, "out of memory");
	auto_fd int fd = open(file, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0 || fstat(fd, &st) < 0)
		return err_sys(e, "%s", file);
	if (!S_ISREG(st.st_mode))
		return err_set(e, -ERR_HASH, "%s is no file", file);
	if (st.st_size == 0)
		return err_set(e, -ERR_HASH, "%s is empty", file);
	return p->program && !is_program(fd, &st)
		       ? err_set(e, -ERR_HASH, "%s is not a program", file)
		       : 0;
}

static int check_items(const struct sys_root *r, const char *state_dir, const char *path,
		       struct err *e)
{
	struct err why = ERR_INIT;
	int rc = store_check_whole(r->store, state_dir ? state_dir : STORE_STATE_DEFAULT, path,
				   &why);

	if (rc == -ERR_DB) {
		fprintf(stderr,
			"warning: %s: what %s refers to cannot be looked for [cairn store verify "
			"says more about the database]\n",
			why.msg, path);
		return 0;
	}
	return rc < 0 ? err_set(e, rc, "%s", why.msg) : 0;
}

int whole_check(const struct sys_root *r, const char *state_dir, unsigned number, const char *path,
		struct err *e)
{
	int rc = gen_check(r, path, e);

	if (rc == 0)
		rc = check_items(r, state_dir, path, e);
	for (size_t i = 0; rc == 0 && i < ARRAY_LEN(parts); i++)
		rc = check_part(r, path, &parts[i], e);
	if (rc == 0 || rc == -ENOMEM)
		return rc;
	rc = number ? err_wrap(e, -ERR_HASH, "nothing was switched: generation %u, %s, is damaged",
			       number, path)
		    : err_wrap(e, -ERR_HASH, "nothing was switched: %s is damaged", path);
	return err_hint(e, rc,
			"cairn store verify --repair mends what can be built or fetched again, "
			"cairn system verify looks at all files of a generation, cairn system "
			"switch-generation takes another one");
}
