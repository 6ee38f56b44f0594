/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "store/daemon/drain.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

#include "lib/fd.h"
#include "lib/loop.h"
#include "lib/path.h"
#include "lib/size.h"
#include "lib/slice.h"
#include "lib/str.h"
#include "store/kernel.h"

#define GROUPS	   "/sys/fs/cgroup"
#define START	   "/main" /* where PID 1 puts the process of a service to which it delegated */
#define PREFIX	   "run-"
#define UNTIL	   "user.drain-until" /* seconds since 1970; 0: no bound (doc/service-set.md) */
#define SECOND	   1000000000ull
#define POLL_MS	   3600000 /* poll(2) takes no more than 24 days */
#define LIMIT_FILE 4096

/* ---- the group -------------------------------------------------------------------------------*/

/* The directory of the caller's control group (version 2). -ENOENT: none. */
static int own_group(char path[PATH_MAX])
{
	auto_str struct str text = STR_INIT;
	int r = file_read(AT_FDCWD, "/proc/self/cgroup", &text, LIMIT_FILE, NULL);
	struct slice rest = str_slice(&text), line;
	while (r >= 0 && slice_cut(&rest, '\n', &line)) {
		if (!slice_starts(line, "0::/"))
			continue;
		int n = snprintf(path, PATH_MAX, GROUPS "%.*s", (int)line.n - 3, line.p + 3);
		return n > 0 && n < PATH_MAX ? 0 : -ENAMETOOLONG;
	}
	return -ENOENT;
}

/* A group that has processes stays. */
static void remove_empty(int service)
{
	int copy = openat(service, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = copy < 0 ? NULL : fdopendir(copy);
	if (!d) {
		fd_close(&copy);
		return;
	}
	for (struct dirent *ent; (ent = readdir(d));)
		if (strncmp(ent->d_name, PREFIX, sizeof(PREFIX) - 1) == 0)
			(void)unlinkat(service, ent->d_name, AT_REMOVEDIR);
	closedir(d);
}

void drain_own_group(void)
{
	const char *name = getenv("SERVICE_NAME");
	char path[PATH_MAX], want[PATH_MAX], own[32], file[64];
	int n = snprintf(want, sizeof(want), "/service/%s" START, name ? name : "");
	size_t len = own_group(path) < 0 ? 0 : strlen(path);
	/* Only what is delegated: elsewhere groups are somebody else's business. */
	if (!name || n < 0 || len < (size_t)n || strcmp(path + len - n, want) != 0)
		return;
	path[len - (sizeof(START) - 1)] = 0;
	auto_fd int service = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (service < 0)
		return;
	remove_empty(service);
	snprintf(own, sizeof(own), PREFIX "%d", (int)getpid());
	snprintf(file, sizeof(file), "%s/cgroup.procs", own);
	if (mkdirat(service, own, 0755) < 0 && errno != EEXIST)
		return;
	auto_fd int procs = openat(service, file, O_WRONLY | O_CLOEXEC);
	if (procs >= 0)
		(void)!write(procs, "0", 1); /* else it stays where it is */
}

/* For `cairn service status`. */
static void mark(uint64_t seconds)
{
	char path[PATH_MAX], text[24];
	if (own_group(path) < 0 || strncmp(path_base(path), PREFIX, sizeof(PREFIX) - 1) != 0)
		return;
	int n = snprintf(text, sizeof(text), "%llu",
			 (unsigned long long)(seconds ? (uint64_t)time(NULL) + seconds : 0));
	(void)setxattr(path, UNTIL, text, (size_t)n, 0); /* before Linux 5.7: it is not shown */
}

/* ---- waiting ---------------------------------------------------------------------------------*/

static size_t count_left(const struct pollfd *p, size_t n)
{
	size_t left = 0;
	for (size_t i = 0; i < n; i++)
		left += p[i].fd >= 0;
	return left;
}

/* Until all have ended, or the time is over. */
static void wait_for(struct pollfd *p, size_t n, uint64_t seconds)
{
	uint64_t until = loop_now() + seconds * SECOND, now;
	while (count_left(p, n) && (!seconds || (now = loop_now()) < until)) {
		uint64_t ms = seconds ? (until - now) / (SECOND / 1000) + 1 : POLL_MS;
		if (poll(p, n, (int)MIN_OF(ms, (uint64_t)POLL_MS)) < 0 && errno != EINTR)
			return;
		for (size_t i = 0; i < n; i++)
			if (p[i].fd >= 0 && p[i].revents)
				fd_close(&p[i].fd);
	}
}

static void drain(struct pollfd *p, size_t n, uint64_t seconds, void (*say)(bool over, size_t n))
{
	sigset_t none;
	setsid();
	prctl(PR_SET_NAME, "cairn-drain");
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	mark(seconds);
	say(false, n);
	wait_for(p, n, seconds);
	size_t left = count_left(p, n);
	/* The kernel does the rest: builders die with the process that started them. */
	for (size_t i = 0; i < n; i++)
		if (p[i].fd >= 0)
			(void)syscall(SYS_pidfd_send_signal, p[i].fd, SIGKILL, NULL, 0);
	if (left)
		say(true, left);
	_exit(0);
}

int drain_begin(const pid_t *pids, size_t n, uint64_t seconds, void (*say)(bool over, size_t n),
		struct err *e)
{
	struct pollfd *p = calloc(n, sizeof(*p));
	size_t open = 0;
	int r = p ? 0 : err_set(e, -ENOMEM, "out of memory");
	for (size_t i = 0; !r && i < n; i++) {
		int fd = (int)syscall(SYS_pidfd_open, pids[i], 0);
		if (fd < 0)
			r = err_sys(e, "process %d", (int)pids[i]);
		else
			p[open++] = (struct pollfd){ .fd = fd, .events = POLLIN };
	}
	pid_t pid = r ? 0 : fork();
	if (pid == 0 && !r)
		drain(p, n, seconds, say);
	if (pid < 0)
		r = err_sys(e, "cannot start a process");
	for (size_t i = 0; i < open; i++)
		fd_close(&p[i].fd);
	free(p);
	return r;
}
