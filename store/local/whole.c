/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A closure on disk compared with the database, in as many looks as it has items: nothing is read,
 * so that it takes no time, and needs nobody, when a machine goes back to what it was. */
#include <errno.h>
#include <sys/stat.h>

#include "store/format/dialect.h"
#include "store/local/db.h"

#define WAIT_MS 5000 /* for another's write, where the database has no log */

/* The NAR of a file: the words around the contents, and those padded to 8 bytes. */
#define NAR_FILE_WORDS	  112
#define NAR_PROGRAM_WORDS 32
#define NAR_PADDED(n)	  (((n) + 7) / 8 * 8)

static uint64_t nar_size_of(const struct stat *st)
{
	return NAR_FILE_WORDS + (st->st_mode & S_IXUSR ? NAR_PROGRAM_WORDS : 0) +
	       NAR_PADDED((uint64_t)st->st_size);
}

/* What a look at something that is lost, or at a disk that fails, ends with. */
static bool is_loss(int error)
{
	return error == ENOENT || error == ENOTDIR || error == EIO || error == EUCLEAN ||
	       error == EBADMSG;
}

static int check_item(const char *root, struct arena *a, const struct db_item *x, struct err *e)
{
	char *file = arena_fmt(a, "%s%s", root, x->path);
	struct stat st;

	if (!file)
		return err_set(e, -ENOMEM, "out of memory");
	if (lstat(file, &st) < 0)
		return errno == ENOENT
			       ? err_set(e, -ERR_HASH, "%s is missing", x->path)
			       : err_set(e, is_loss(errno) ? -ERR_HASH : -errno,
					 "%s cannot be looked at: %s", x->path, err_text(-errno));
	/* 0: not known. The schema lets it be NULL. */
	return S_ISREG(st.st_mode) && x->nar_size && nar_size_of(&st) != x->nar_size
		       ? err_set(e, -ERR_HASH, "%s is not as large as it was", x->path)
		       : 0;
}

/* What is lost is told in place of being the error. */
static int pass_over(const struct store_found *lost, int r, struct err *inner, struct err *e)
{
	if (lost && (r == -ERR_HASH || r == -ERR_NOTVALID)) {
		lost->line(lost->arg, slice_of(inner->msg));
		*inner = (struct err)ERR_INIT;
		return 0;
	}
	return r < 0 ? err_set(e, r, "%s", inner->msg) : 0;
}

int store_check_whole(const char *root, const char *state_dir, const char *item,
		      const struct store_found *lost, struct err *e)
{
	struct err inner = ERR_INIT;
	auto_arena struct arena a = ARENA_INIT;
	auto_vec struct vec items = VEC_INIT;
	char *file = arena_fmt(&a, "%s%s/db/db.sqlite", root, state_dir);
	struct db *db;
	int r;

	if (!file)
		return err_set(e, -ENOMEM, "out of memory");
	r = db_open_read(file, DIALECT_GUIX, WAIT_MS, &db, e);
	if (r < 0)
		return r;
	r = db_closure_sizes(db, &a, item, &items, &inner);
	db_close(db);
	if (r == 0 && !items.n)
		r = err_set(&inner, -ERR_NOTVALID, "the database %s does not know %s", file, item);
	r = pass_over(lost, r, &inner, e);
	for (size_t i = 0; r == 0 && i < items.n; i++) {
		const struct db_item *x = items.v[i];

		if (x->path)
			r = pass_over(lost, check_item(root, &a, x, &inner), &inner, e);
	}
	return r;
}
