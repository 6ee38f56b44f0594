/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Numbered links, of profiles and of the system, below a scratch directory. */
#include "system/links.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/fd.h"
#include "tests/unit/test.h"

#define ITEM(c) "/gnu/store/" c c c c c c c c c c c c c c c c "-item"
#define ONE	ITEM("11")
#define TWO	ITEM("22")

static char top[200];
static const struct links links = { top, "/dir", "a-b", "/root", "/gnu/store" };

static const char *in(const char *name)
{
	static char path[256];

	(void)snprintf(path, sizeof(path), "%s/dir/%s", top, name);
	return path;
}

static void dir_make(void)
{
	const char *tmp = getenv("TMP");

	(void)snprintf(top, sizeof(top), "%s/links-XXXXXX", tmp ? tmp : "/tmp");
	if (!mkdtemp(top) || mkdir(in(""), 0755) < 0)
		abort();
}

static void dir_remove(void)
{
	CHECK_INT(file_delete_tree(AT_FDCWD, top, NULL, NULL), 0);
}

TEST(numbers)
{
	static const char *const others[] = {
		"a-b",	       "a-b-link",	   "a-b--link", "a-b-0-link",
		"a-b-01-link", "a-b-x-link",	   "a-b-1link", "a-b-1-linkx",
		"xa-b-1-link", "a-b-1000000-link", "a-1-link",	"",
	};

	CHECK_INT(links_number(&links, "a-b-1-link"), 1);
	CHECK_INT(links_number(&links, "a-b-999999-link"), LINKS_NUMBER_MAX);
	for (size_t i = 0; i < sizeof(others) / sizeof(*others); i++)
		CHECK_INT(links_number(&links, others[i]), 0);
}

TEST(no_directory)
{
	auto_arena struct arena a = ARENA_INIT;
	auto_vec struct vec found = VEC_INIT;
	const char *target = "";
	struct err e = ERR_INIT;

	(void)snprintf(top, sizeof(top), "/nowhere");
	CHECK_INT(links_load(&links, &a, &found, &e), 0);
	CHECK_INT(found.n, 0);
	CHECK_INT(links_selected(&links, &a, &target, &e), 0);
	CHECK(!target);
}

TEST(made_selected_removed)
{
	auto_arena struct arena a = ARENA_INIT;
	auto_vec struct vec found = VEC_INIT, left = VEC_INIT;
	const struct links_item *x;
	const char *target;
	struct err e = ERR_INIT;

	dir_make();
	CHECK_INT(links_make(&links, 10, TWO, &e), 0);
	CHECK_INT(links_make(&links, 9, "/root" ONE, &e), 0);
	CHECK_INT(links_make(&links, 11, ONE, &e), 0);
	CHECK_INT(links_make(&links, LINKS_NUMBER_MAX + 1, ONE, &e), -ERR_LIMIT);
	CHECK_INT(symlink("/nowhere", in("other-3-link")), 0);
	CHECK_INT(links_select(&links, 10, &e), 0);
	CHECK_INT(links_load(&links, &a, &found, &e), 0);
	CHECK_INT(found.n, 3);
	x = found.n == 3 ? found.v[0] : NULL;
	CHECK(x && x->number == 9 && x->date > 0);
	CHECK_STR(x ? x->path : NULL, ONE);
	x = found.n == 3 ? found.v[1] : NULL;
	CHECK_STR(x ? x->path : NULL, TWO);
	CHECK_INT(links_selected(&links, &a, &target, &e), 0);
	CHECK_STR(target, "a-b-10-link");

	CHECK_INT(links_remove(&links, 9, &e), 0);
	CHECK_INT(links_remove(&links, 9, &e), 0);
	CHECK_INT(links_load(&links, &a, &left, &e), 0);
	CHECK_INT(left.n, 2);
	dir_remove();
}

TEST(no_item)
{
	auto_arena struct arena a = ARENA_INIT;
	auto_vec struct vec found = VEC_INIT;
	struct err e = ERR_INIT;

	dir_make();
	CHECK_INT(symlink("/somewhere/else", in("a-b-1-link")), 0);
	CHECK(links_load(&links, &a, &found, &e) < 0);
	CHECK(strstr(e.msg, "a-b-1-link") != NULL);
	dir_remove();
}

/* A child takes the lock and writes a byte. */
static pid_t hold(void)
{
	struct err e = ERR_INIT;
	int ready[2], fd = -1;
	char byte;
	pid_t pid;

	CHECK_INT(pipe2(ready, O_CLOEXEC), 0);
	pid = fork();
	if (pid == 0) {
		if (links_lock(&links, "it", "verb", &fd, &e) < 0 || write(ready[1], "x", 1) != 1)
			_exit(1);
		(void)pause();
		_exit(0);
	}
	(void)close(ready[1]);
	CHECK_INT(read(ready[0], &byte, 1), 1);
	(void)close(ready[0]);
	return pid;
}

TEST(one_lock)
{
	struct err e = ERR_INIT;
	char wanted[96];
	int fd = -1;
	pid_t pid;

	dir_make();
	pid = hold();
	(void)snprintf(wanted, sizeof(wanted),
		       "it is being changed by another command: process %ld, verb, since ",
		       (long)pid);
	CHECK_INT(links_lock(&links, "it", "other", &fd, &e), -ERR_IN_USE);
	e.msg[strlen(wanted)] = '\0';
	CHECK_STR(e.msg, wanted);
	(void)kill(pid, SIGKILL);
	CHECK_INT(waitpid(pid, NULL, 0), pid);
	e = (struct err)ERR_INIT;
	CHECK_INT(links_lock(&links, "it", "other", &fd, &e), 0);
	fd_close(&fd);
	dir_remove();
}

TEST_MAIN(numbers, no_directory, made_selected_removed, no_item, one_lock)
