/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Databases that a disk or a stranger has damaged; the first byte chooses the schema. What cannot
 * be read is an error that is said, and the file is there afterwards whatever was wrong with it. */
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "lib/fd.h"
#include "store/local/db.h"

#define INPUT_MAX (256U << 10)
#define PATHS_MAX 16 /* of those in it, asked about one by one */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char dir[] = "/dev/shm/fz_db.XXXXXX";
static char file[sizeof(dir) + 3];

static void remove_dir(void)
{
	(void)file_delete_tree(AT_FDCWD, dir, NULL, NULL); /* a scratch directory */
}

static void make_dir(void)
{
	if (*file)
		return;
	if (!mkdtemp(dir))
		abort();
	snprintf(file, sizeof(file), "%s/db", dir);
	atexit(remove_dir);
}

static void put_file(const uint8_t *data, size_t size)
{
	static const char *const beside[] = { "-wal", "-shm", "-journal", ".lock" };
	char name[sizeof(file) + 16];
	auto_fd int fd = open(file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	for (size_t i = 0; i < sizeof(beside) / sizeof(*beside); i++) {
		snprintf(name, sizeof(name), "%s%s", file, beside[i]);
		(void)unlink(name); /* mostly not there */
	}
	if (fd < 0 || fd_write_full(fd, data, size) < 0)
		abort();
}

static void expect(int r, const struct err *e)
{
	if (r < 0 && (!e->code || !*e->msg))
		abort();
}

static int count_row(void *arg, const struct db_row *row)
{
	size_t *n = arg;

	*n += strlen(row->path) + strlen(row->deriver);
	return 0;
}

static void ask_about(struct db *db, const char *path)
{
	auto_arena struct arena a = ARENA_INIT;
	struct vec one = VEC_INIT, two = VEC_INIT;
	struct store_info *info = NULL;
	struct err e = ERR_INIT;

	expect(db_info(db, &a, path, true, &info, &e), &e);
	expect(db_referrers(db, &a, path, &one, &e), &e);
	expect(db_derivers(db, &a, path, &one, &e), &e);
	expect(db_drv_outputs(db, &a, path, &one, &two, &e), &e);
	expect(db_closure(db, &a, path, &one, &e), &e);
	vec_done(&one);
	vec_done(&two);
}

static void read_all(struct db *db, struct vec *paths, struct arena *a)
{
	struct err e = ERR_INIT;
	const char *found = NULL;
	size_t n = 0;

	expect(db_all_valid(db, a, paths, &e), &e);
	for (size_t i = 0; i < paths->n && i < PATHS_MAX; i++)
		ask_about(db, paths->v[i]);
	expect(db_by_prefix(db, a, "/", &found, &e), &e);
	for (enum db_table t = DB_PATHS; t <= DB_OUTPUTS; t++)
		expect(db_each(db, t, count_row, &n, &e), &e);
}

static void change(struct db *db, const char *path, bool guix)
{
	struct store_info info = { .path = "/gnu/store/0-new", .deriver = "", .nar_size = 1 };
	struct err e = ERR_INIT;
	int r = db_begin(db, &e);

	expect(r, &e);
	if (r < 0)
		return;
	expect(db_insert(db, &info, &e), &e);
	expect(db_add_ref(db, info.path, path, &e), &e);
	if (guix)
		expect(db_fail_add(db, path, &e), &e);
	expect(db_delete(db, path, &e), &e);
	r = db_commit(db, &e);
	expect(r, &e);
	if (r < 0)
		db_rollback(db);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	auto_arena struct arena a = ARENA_INIT;
	struct vec paths = VEC_INIT;
	struct err e = ERR_INIT;
	struct db *db = NULL;
	int r;

	if (size < 1 || size > INPUT_MAX)
		return 0;
	make_dir();
	put_file(data + 1, size - 1);
	bool guix = !(data[0] & 1);
	r = db_open(file, guix ? DIALECT_GUIX : DIALECT_NIX, true, &db, &e);
	expect(r, &e);
	if (r == 0) {
		read_all(db, &paths, &a);
		change(db, paths.n ? paths.v[0] : "/gnu/store/0-none", guix);
		db_close(db);
	}
	vec_done(&paths);
	if (access(file, F_OK) < 0)
		abort();
	return 0;
}
