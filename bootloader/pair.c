/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A menu on FAT. That has no journal and no atomic rename: the clusters of what is replaced are
 * free before the directory says so, and a power cut between the two leaves no menu that can be
 * read. So the text is written into one of two files in turn, with a serial number and a sum, while
 * the other is not touched. What is half written does not check, and the older one counts.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>

#include "bootloader/efimenu.h"
#include "bootloader/put.h"
#include "lib/fd.h"

#define LIMIT_FILE (4 * 1024 * 1024)
#define EXCHANGE   2U /* of renameat2, for which musl has no function */
#define FILES	   2

static const char *const file_names[FILES] = { EM_FILE, EM_FILE_2 };

struct pair {
	struct str file[FILES];
	int active; /* -1: none is whole */
	unsigned serial;
	struct slice text; /* of the active one */
};

static void pair_done(struct pair *s)
{
	for (int i = 0; i < FILES; i++)
		str_done(&s->file[i]);
}

/* As the disk has it: what was written in vain is whole in memory, and the program reads the disk.
 */
static int read_slot(int dir, const char *name, struct str *out, struct err *e)
{
	auto_fd int fd = openat(dir, name, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return err_sys(e, "%s", name);
	(void)posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
	int r = fd_read_all(fd, out, LIMIT_FILE);
	return r < 0 ? err_num(e, r, "reading %s", name) : 0;
}

/* What the program would not take is no hindrance to the next menu, unless neither can be read. */
static int pair_read(int dir, struct pair *s, struct err *e)
{
	struct err why = ERR_INIT;
	int bad = 0;

	*s = (struct pair){ .file = { STR_INIT, STR_INIT }, .active = -1 };
	for (int i = 0; i < FILES; i++) {
		struct err tmp = ERR_INIT;
		struct em_text menu;
		unsigned serial;
		int r = read_slot(dir, file_names[i], &s->file[i], &tmp);

		if (r < 0 && r != -ENOENT && r != -ERR_LIMIT) {
			bad = r;
			why = tmp;
		}
		if (r < 0 ||
		    !em_open((struct em_text){ s->file[i].buf, s->file[i].len }, &menu, &serial) ||
		    (s->active >= 0 && !em_beats(serial, s->serial)))
			continue;
		s->active = i;
		s->serial = serial;
		s->text = (struct slice){ menu.p, menu.n };
	}
	if (s->active >= 0 || bad == 0)
		return 0;
	*e = why;
	return bad;
}

int pair_get(const struct menu_place *p, struct str *out, struct err *e)
{
	struct pair s;
	int r = pair_read(p->dir, &s, e);

	if (r == 0 && s.active >= 0)
		str_adds(out, s.text);
	pair_done(&s);
	return r == 0 && str_err(out) ? err_num(e, str_err(out), "%s", p->name) : r;
}

/* Into the file that does not count, where it is: a directory that grows while the power goes ends
 * in a cluster that is free, and firmware that looks for a name up to there takes the whole
 * directory for damaged. So both names, and those of what they name, stay at the beginning. */
static int write_slot(const struct menu_place *p, int slot, unsigned serial, struct slice text,
		      struct err *e)
{
	const char *name = file_names[slot];
	auto_str struct str file = STR_INIT;

	str_adds(&file, text);
	str_addf(&file, "slot %u ", serial);
	str_addf(&file, "%08x\n", em_sum((struct em_text){ file.buf, file.len }));
	if (str_err(&file))
		return err_num(e, str_err(&file), "%s", name);
	int r = menu_write_over(p->dir, name, &file, e);
	return r == 0 ? menu_flush(p, p->dir, e) : r;
}

static bool is_missing(int dir, int slot)
{
	return faccessat(dir, file_names[slot], F_OK, AT_SYMLINK_NOFOLLOW) < 0 && errno == ENOENT;
}

int pair_put(const struct menu_place *p, const struct str *text, struct err *e)
{
	struct pair s;
	int r = menu_flush(p, p->dir, e); /* what the text names */

	if (r < 0)
		return r;
	r = pair_read(p->dir, &s, e);
	int other = s.active == 0; /* than the one that counts */
	/* Both are there from the beginning. */
	if (r == 0 && is_missing(p->dir, !other) && s.active < 0)
		r = write_slot(p, !other, s.serial, str_slice(text), e);
	if (r == 0 && s.active >= 0 && is_missing(p->dir, other))
		r = write_slot(p, other, s.serial ? s.serial - 1 : 0, s.text, e);
	if (r == 0 && s.active >= 0 && slice_eq(s.text, str_slice(text)))
		r = file_sync(p->dir, file_names[s.active], e); /* the disk's cache, too */
	else if (r == 0)
		r = write_slot(p, other, s.serial + 1, str_slice(text), e);
	pair_done(&s);
	return r;
}

/* ---- Single files on FAT -----------------------------------------------------------------------
 */

int boot_exchange(int dir, const char *new, const char *name, struct err *e)
{
	if (syscall(SYS_renameat2, dir, new, dir, name, EXCHANGE) == 0)
		return 0;
	if (errno != ENOENT && errno != EINVAL && errno != ENOSYS)
		return err_sys(e, "%s", name);
	return renameat(dir, new, dir, name) < 0 ? err_sys(e, "%s", name) : 0;
}

/* Number of the first block; 0: not known. */
static int first_block(int dir, const char *name)
{
	auto_fd int fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	int block = 0;

	return fd < 0 || ioctl(fd, FIBMAP, &block) < 0 ? 0 : block;
}

bool boot_is_twin(int dir, const char *name, const char *other)
{
	int block = first_block(dir, name);

	return block && block == first_block(dir, other);
}
