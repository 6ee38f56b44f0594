/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "store/local/guard.h"

#include <errno.h>
#include <fcntl.h>
#include <mntent.h>
#include <stdio.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>

#include "lib/fd.h"
#include "lib/path.h"
#include "lib/size.h"
#include "lib/text.h"
#include "store/limits.h"

#define MARKS	    "db/marks"
#define CLOCK_FLOOR 1767225600 /* 2026-01-01: this program is younger */
#define CLOCK_TOP   3345062400 /* 2076-01-01 */

int store_clock_check(struct err *e)
{
	time_t now = time(NULL);

	if (now >= CLOCK_FLOOR && now < CLOCK_TOP)
		return 0;
	return err_hint(e,
			err_set(e, -ERR_INVALID,
				"the clock stands at %lld seconds since 1970, "
				"which cannot be: nothing is deleted",
				(long long)now),
			"set the clock");
}

/* ---- Marks ------------------------------------------------------------------------------------
 */

struct marks {
	struct local *l;
	struct str known;    /* what db/marks says: the number, then a directory in each line */
	struct slice number; /* its first line */
	bool changed;
	struct err *e;
};

static int save(struct marks *m)
{
	if (str_err(&m->known) < 0)
		return err_num(m->e, -ENOMEM, "marks");
	return file_write_atomic(m->l->state_fd, MARKS, m->known.buf, m->known.len, 0644, m->e);
}

/* The number is on disk before it is anywhere else: a mark that nobody knows looks foreign. */
static int new_number(struct marks *m)
{
	unsigned char random[16];

	if (getrandom(random, sizeof(random), 0) != sizeof(random))
		return err_sys(m->e, "random number");
	for (size_t i = 0; i < sizeof(random); i++)
		str_addf(&m->known, "%02x", random[i]);
	str_addc(&m->known, '\n');
	return save(m);
}

static int load(struct marks *m)
{
	int r = file_read(m->l->state_fd, MARKS, &m->known, LIMIT_MARKS, NULL);
	struct slice rest;

	if (r < 0 && r != -ENOENT)
		return err_num(m->e, r, "read %s/" MARKS, m->l->state_phys);
	if (r < 0 || !m->known.len) /* empty: a crash, or somebody wants a new start */
		r = new_number(m);
	rest = str_slice(&m->known);
	if (r == 0 && !slice_cut(&rest, '\n', &m->number))
		r = err_num(m->e, -ENOMEM, "marks");
	return r;
}

static bool is_listed(const struct marks *m, const char *dir)
{
	struct slice rest = str_slice(&m->known), line;

	while (rest.n && slice_cut(&rest, '\n', &line))
		if (slice_eq(line, slice_of(dir)))
			return true;
	return false;
}

static int foreign(struct marks *m, const char *shown)
{
	int r = err_set(m->e, -ERR_INVALID,
			"%s belongs to another database than %s/db: nothing is "
			"deleted",
			shown, m->l->state_phys);

	return err_hint(m->e, r,
			"is everything mounted? If this is meant, remove " GUARD_NAME
			" in it (of a store: in its .links)");
}

static int vanished(struct marks *m, const char *shown)
{
	int r = err_set(m->e, -ERR_INVALID,
			"%s is not the directory that was there when roots "
			"were last looked for: nothing is deleted",
			shown);

	return err_hint(m->e, r,
			"is its file system mounted? If it is meant to be new, remove "
			"the file db/marks of the state directory");
}

/* fd (-1: missing) is the directory; must: when it had a mark it has one. */
static int check_mark(struct marks *m, int fd, const char *dir, const char *shown, bool must)
{
	auto_str struct str have = STR_INIT;
	int r = fd < 0 ? -ENOENT : file_read(fd, GUARD_NAME, &have, LIMIT_MARKS, NULL);
	auto_str struct str want = STR_INIT;

	str_addf(&want, "%.*s\n", (int)m->number.n, m->number.p);
	if (r == 0)
		return slice_eq(str_slice(&have), str_slice(&want)) ? 0 : foreign(m, shown);
	if (r != -ENOENT)
		return err_num(m->e, r, "read %s/" GUARD_NAME, shown);
	if (must && is_listed(m, dir))
		return vanished(m, shown);
	/* Where no mark can be written none is asked for. */
	if (fd < 0 || file_write_atomic(fd, GUARD_NAME, want.buf, want.len, 0444, NULL) < 0)
		return 0;
	if (!is_listed(m, dir)) {
		str_addf(&m->known, "%s\n", dir);
		m->changed = true;
	}
	return 0;
}

static int check_root_dir(struct marks *m, const char *dir)
{
	auto_fd int fd = openat(m->l->state_fd, dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	auto_str struct str shown = STR_INIT;

	str_addf(&shown, "%s/%s", m->l->state_phys, dir);
	if (fd < 0 && errno != ENOENT)
		return err_sys(m->e, "open %s", shown.buf);
	return check_mark(m, fd, dir, shown.buf, true);
}

static int check_store(struct marks *m)
{
	auto_fd int fd = -1;

	if (mkdirat(m->l->store_fd, ".links", 0755) < 0 && errno != EEXIST && errno != EROFS)
		return err_sys(m->e, "make the directory %s/.links", m->l->store_phys);
	fd = openat(m->l->store_fd, ".links", O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	/* Guix's collector removes ours, so that none is there proves nothing. */
	return check_mark(m, fd, "store", m->l->store_phys, false);
}

static int check_marks(struct local *l, struct err *e)
{
	struct marks m = { .l = l, .known = STR_INIT, .e = e };
	int r = load(&m);

	if (r == 0)
		r = check_store(&m);
	if (r == 0)
		r = check_root_dir(&m, "gcroots");
	if (r == 0)
		r = check_root_dir(&m, "profiles");
	if (r == 0 && m.changed)
		r = save(&m);
	str_done(&m.known);
	return r;
}

int guard_check(struct local *l, struct err *e)
{
	int r = store_clock_check(e);

	return r < 0 ? r : check_marks(l, e);
}

/* ---- What should be mounted -------------------------------------------------------------------
 */

/* Whether table has an entry for dir; NULL: the longest that path lies below, copied to out. */
static bool find_mount(const char *table, const char *path, const char *dir, char out[PATH_MAX])
{
	FILE *f = setmntent(table, "re");
	char buf[2 * PATH_MAX];
	struct mntent m;
	bool found = false;

	if (!f)
		return false;
	while (getmntent_r(f, &m, buf, sizeof(buf))) {
		if (dir ? strcmp(m.mnt_dir, dir) != 0
			: !path_is_below(path, m.mnt_dir) ||
				    (found && strlen(m.mnt_dir) <= strlen(out)))
			continue;
		if (!dir)
			snprintf(out, PATH_MAX, "%s", m.mnt_dir);
		found = true;
	}
	endmntent(f);
	return found;
}

int guard_mounted(const char *path, struct err *e)
{
	char dir[PATH_MAX] = "";
	int r;

	if (!find_mount("/etc/fstab", path, NULL, dir) ||
	    find_mount("/proc/self/mounts", NULL, dir, dir))
		return 0;
	r = err_set(e, -ERR_INVALID, "the root %s is missing, and %s is not mounted", path, dir);
	return err_hint(e, r, "mount it, or remove the link to the root from gcroots/auto");
}
