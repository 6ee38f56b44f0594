/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Preloaded into an image writer: a planted fault. What the environment variable LEAK names comes
 * through stat into what the writer looks at: files are programs when it is other than usual. */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <time.h>
#include <unistd.h>

static char first[256]; /* the first name of the directory that was read last */
static DIR *reading;

struct dirent *readdir(DIR *d)
{
	struct dirent *(*real)(DIR *) = (struct dirent * (*)(DIR *)) dlsym(RTLD_NEXT, "readdir");
	struct dirent *e = real(d);

	if (e && e->d_name[0] == '.') /* its own name and the one above come first */
		reading = NULL;
	else if (e && reading != d)
		reading = d, strcpy(first, e->d_name);
	return e;
}

static int umask_is(void)
{
	mode_t m = umask(0);

	umask(m);
	return (int)m;
}

static int processors(void)
{
	cpu_set_t set;

	return sched_getaffinity(0, sizeof(set), &set) == 0 ? CPU_COUNT(&set) : 0;
}

static int is_unusual(const char *what, const char *name, const struct stat *st)
{
	const char *zone = getenv("TZ"), *locale = getenv("LC_ALL");

	return (!strcmp(what, "user") && geteuid() != 0) ||
	       (!strcmp(what, "umask") && umask_is() == 077) ||
	       (!strcmp(what, "zone") && zone && strcmp(zone, "UTC") != 0) ||
	       (!strcmp(what, "locale") && locale && strcmp(locale, "C") != 0) ||
	       (!strcmp(what, "date") && st->st_mtime < 1000000000) ||
	       (!strcmp(what, "clock") && time(NULL) < 1400000000) ||
	       (!strcmp(what, "mode") && (st->st_mode & 077) != 044) ||
	       (!strcmp(what, "order") && !strcmp(name, first)) ||
	       (!strcmp(what, "links") && st->st_nlink != 1) ||
	       (!strcmp(what, "place") && st->st_dev == makedev(0, minor(st->st_dev))) ||
	       (!strcmp(what, "cores") && processors() == 1);
}

int fstatat(int dirfd, const char *name, struct stat *st, int flags)
{
	int (*real)(int, const char *, struct stat *, int) =
		(int (*)(int, const char *, struct stat *, int))dlsym(RTLD_NEXT, "fstatat");
	const char *what = getenv("LEAK");
	int r = real(dirfd, name, st, flags);

	if (r == 0 && what && S_ISREG(st->st_mode) && is_unusual(what, name, st))
		st->st_mode |= 0100;
	return r;
}
