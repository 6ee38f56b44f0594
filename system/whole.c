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
 * the first services. */
static const struct part {
	const char *name, *file;
	enum { FILLED, PROGRAM, DIRECTORY } kind;
} parts[] = {
	{ "kernel", "", FILLED }, { "initrd", "", FILLED },	  { "boot", "/entry", FILLED },
	{ "init", "", PROGRAM },  { "services", "/set", FILLED }, { "accounts", "", FILLED },
	{ "etc", "", DIRECTORY },
};

/* What system/contained.lua has in place of a kernel: a name, and an empty file. */
#define NO_KERNEL "no-kernel"

/* In the kernel's own format: PID 1 has nobody yet who would read a script. */
static bool is_program(int fd, const struct stat *st)
{
	char head[SELFMAG];

	return (st->st_mode & 0111) && pread(fd, head, sizeof(head), 0) == sizeof(head) &&
	       memcmp(head, ELFMAG, SELFMAG) == 0;
}

/* Is it the host's kernel that runs it? */
static bool is_contained(const struct sys_root *r, struct arena *a, const char *path)
{
	struct err ignored = ERR_INIT;
	struct gen_facts facts;

	return gen_facts_load(r, a, path, &facts, &ignored) == 0 &&
	       strcmp(facts.kernel, NO_KERNEL) == 0;
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
	if (p->kind == DIRECTORY)
		return S_ISDIR(st.st_mode) ? 0 : err_set(e, -ERR_HASH, "%s is no directory", file);
	if (!S_ISREG(st.st_mode))
		return err_set(e, -ERR_HASH, "%s is no file", file);
	if (st.st_size == 0 && !(p == &parts[0] && is_contained(r, &a, path)))
		return err_set(e, -ERR_HASH, "%s is empty", file);
	return p->kind == PROGRAM && !is_program(fd, &st)
		       ? err_set(e, -ERR_HASH, "%s is not a program", file)
		       : 0;
}

static int check_items(const struct sys_root *r, const char *state_dir, const char *path,
		       const struct store_found *lost, struct err *e)
{
	struct err why = ERR_INIT;
	int rc = store_check_whole(r->store, state_dir ? state_dir : STORE_STATE_DEFAULT, path,
				   lost, &why);

	if (rc == -ERR_DB) {
		fprintf(stderr,
			"warning: %s: what %s refers to cannot be looked for [cairn store verify "
			"says more about the database]\n",
			why.msg, path);
		return 0;
	}
	return rc < 0 ? err_set(e, rc, "%s", why.msg) : 0;
}

static void warn(void *arg, struct slice why)
{
	(void)arg;
	fprintf(stderr, "warning: %.*s\n", (int)why.n, why.p);
}

/* Else there is another reason why nothing can be said: no descriptor is left, somebody else owns
 * the files. */
static bool is_damage(int code)
{
	return code == -ERR_HASH || code == -ERR_NOTVALID || code == -ERR_INVALID ||
	       code == -ENOENT || code == -ENOTDIR || code == -EIO || code == -EUCLEAN ||
	       code == -EBADMSG;
}

int whole_check(const struct sys_root *r, const struct whole *w, struct err *e)
{
	static const struct store_found warnings = { warn, NULL };
	int rc = gen_check(r, w->path, e);
	bool skippable;

	if (rc == 0 && !w->skip)
		rc = check_items(r, w->state_dir, w->path, NULL, e);
	skippable = rc == -ERR_HASH || rc == -ERR_NOTVALID;
	for (size_t i = 0; rc == 0 && i < ARRAY_LEN(parts); i++)
		rc = check_part(r, w->path, &parts[i], e);
	if (rc == 0 && w->skip)
		rc = check_items(r, w->state_dir, w->path, &warnings, e);
	if (rc == 0 || rc == -ENOMEM)
		return rc;
	bool damage = is_damage(rc);
	rc = damage ? -ERR_HASH : rc;
	rc = w->number ? err_wrap(e, rc, "nothing was switched: generation %u, %s%s", w->number,
				  w->path, damage ? ", is damaged" : "")
		       : err_wrap(e, rc, "nothing was switched: %s%s", w->path,
				  damage ? " is damaged" : "");
	if (!damage)
		return rc;
	return err_hint(e, rc,
			"cairn store verify --repair mends what can be built or fetched again, "
			"cairn system verify looks at all files of a generation, cairn system "
			"switch-generation takes another one%s",
			skippable ? "; --skip-checks goes on without what no boot needs" : "");
}
