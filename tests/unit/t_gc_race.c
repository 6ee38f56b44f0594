/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Collections beside additions, in processes of their own. What was added, or found valid after a
 * temporary root was taken, is there with its contents until the root ends; so is what a link
 * holds. Collectors are killed now and then. GC_ROUNDS: how many collections (default 80).
 */
#include "store/local/gc.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/fd.h"
#include "lib/text.h"
#include "store/local/roots.h"
#include "tests/unit/test.h"

#define ADDERS 3
#define NAMES  12

static char dir[256];
static struct err err;

static struct local *open_store(void)
{
	struct local_opts opts = { .root = dir, .no_sync = true };
	struct local *l = NULL;

	if (local_open(&opts, &l, &err) < 0)
		fprintf(stderr, "# %s\n", err.msg);
	return l;
}

static unsigned next(unsigned *seed)
{
	*seed = *seed * 1103515245 + 12345;
	return *seed >> 16;
}

/* Valid, and there, with what it should have. */
static bool is_whole(struct local *l, const char *path)
{
	bool valid = false, good = false;

	if (local_is_valid(l, path, &valid, &err) < 0 || !valid) {
		fprintf(stderr, "# %s is not valid\n", path);
		return false;
	}
	if (local_is_good(l, path, &good, &err) < 0 || !good)
		fprintf(stderr, "# %s is damaged or gone\n", path);
	return good;
}

static bool add(struct local *l, struct arena *a, unsigned n, const char *ref, char **ret)
{
	char name[16];
	char text[64];

	snprintf(name, sizeof(name), "%c%u", ref ? 'b' : 'a', n);
	snprintf(text, sizeof(text), "contents of %u %s", n, ref ? ref : "");
	if (local_add_text(l, a, name, slice_of(text), &ref, ref ? 1 : 0, ret, &err) == 0)
		return true;
	fprintf(stderr, "# %s\n", err.msg);
	return false;
}

/* GC-01: who asks after taking a root may rely on the answer. */
static bool ask(struct local *l, struct arena *a, unsigned n)
{
	char name[16], text[64];
	bool valid = false;
	char *path;

	snprintf(name, sizeof(name), "a%u", n);
	snprintf(text, sizeof(text), "contents of %u ", n);
	path = store_path_text(a, l->store_dir, slice_of(name), slice_of(text), NULL, 0, &err);
	if (!path || local_temp_root(l, path, &err) < 0 ||
	    local_is_valid(l, path, &valid, &err) < 0) {
		fprintf(stderr, "# %s\n", err.msg);
		return false;
	}
	return !valid || is_whole(l, path);
}

/* One life of a process with its temporary roots; its last item stays held by a link. */
static bool live(unsigned who, unsigned *seed, char *held, size_t max)
{
	auto_arena struct arena a = ARENA_INIT;
	struct local *l = open_store();
	char link[300];
	bool ok = l && (!*held || is_whole(l, held));

	snprintf(link, sizeof(link), "%s/link-%u", dir, who);
	(void)unlink(link);
	for (unsigned i = 0; ok && i < 8; i++) {
		char *one = NULL, *two = NULL;

		ok = ask(l, &a, next(seed) % NAMES) && add(l, &a, next(seed) % NAMES, NULL, &one) &&
		     add(l, &a, next(seed) % NAMES, one, &two) && local_flush(l, &err) == 0 &&
		     is_whole(l, one) && is_whole(l, two);
		if (ok && i == 7) {
			snprintf(held, max, "%s", two);
			ok = symlink(two, link) == 0 &&
			     roots_add_indirect(l, link, -1, -1, &err) == 0;
		}
	}
	local_close(l);
	return ok;
}

static int add_until_killed(unsigned who)
{
	unsigned seed = who;
	char held[256] = "";

	for (;;)
		if (!live(who, &seed, held, sizeof(held)))
			return 1;
}

static int collect_once(void)
{
	auto_arena struct arena a = ARENA_INIT;
	auto_vec struct vec paths = VEC_INIT;
	struct gc_request req = { .action = STORE_GC_DELETE, .max_freed = UINT64_MAX };
	struct local *l = open_store();
	uint64_t bytes;
	int r = l ? gc_run(l, &a, &req, &paths, &bytes, &err) : -1;

	if (r < 0)
		fprintf(stderr, "# collection: %s\n", err.msg);
	local_close(l);
	return r < 0;
}

static int wait_for(pid_t pid)
{
	int status = -1;

	while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
	}
	return status;
}

/* One collection; kill_after: microseconds, 0 not at all. */
static bool collect_beside(unsigned kill_after)
{
	pid_t pid = fork();
	int status;

	if (pid == 0)
		_exit(collect_once());
	if (kill_after) {
		usleep(kill_after);
		kill(pid, SIGKILL);
	}
	status = wait_for(pid);
	return WIFSIGNALED(status) ? kill_after != 0 : WEXITSTATUS(status) == 0;
}

static uint64_t rounds(void)
{
	const char *text = getenv("GC_ROUNDS");
	uint64_t n = 80;

	if (text)
		(void)text_u64(slice_of(text), 10000000, &n);
	return n;
}

static void check_store(void)
{
	struct local_verify o = { .contents = true };
	struct local *l = open_store();
	uint64_t errors = 99;

	CHECK_INT(local_verify(l, &o, &errors, &err), 0);
	CHECK_INT(errors, 0);
	local_close(l);
}

TEST(gc_01_additions_beside_collections)
{
	const char *tmp = getenv("TMP");
	pid_t adders[ADDERS];
	unsigned seed = 1;
	bool ok = true;
	struct local *l;

	snprintf(dir, sizeof(dir), "%.200s/t_gc_race.XXXXXX", tmp && *tmp ? tmp : "/tmp");
	if (!mkdtemp(dir)) {
		TEST_FAIL("%s", dir);
		return;
	}
	l = open_store(); /* made before they meet in it */
	CHECK(l != NULL);
	local_close(l);
	for (unsigned i = 0; i < ADDERS; i++) {
		adders[i] = fork();
		if (adders[i] == 0)
			_exit(add_until_killed(i + 1));
	}
	for (uint64_t i = 0; ok && i < rounds(); i++)
		ok = collect_beside(i % 3 == 2 ? 1 + next(&seed) % 6000 : 0);
	CHECK(ok);
	for (unsigned i = 0; i < ADDERS; i++) {
		CHECK_INT(waitpid(adders[i], NULL, WNOHANG), 0); /* none gave up */
		kill(adders[i], SIGKILL);
		(void)wait_for(adders[i]);
	}
	check_store();
	CHECK_INT(collect_once(), 0);
	check_store();
	CHECK_INT(file_delete_tree(AT_FDCWD, dir, NULL, NULL), 0);
}

TEST_MAIN(gc_01_additions_beside_collections);
