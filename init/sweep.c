/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "init/sweep.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "init/numbers.h"
#include "init/ops.h"
#include "init/reap.h"
#include "lib/fd.h"

#ifndef SYS_pidfd_open
#define SYS_pidfd_open 434
#endif

ssize_t sweep_read(int pid, const char *file, char *buf, size_t size)
{
	char path[48];

	snprintf(path, sizeof(path), "/proc/%d/%s", pid, file);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : fd_read_some(fd, buf, size - 1);
	fd_close(&fd);
	buf[n > 0 ? n : 0] = '\0';
	return n;
}

bool sweep_service_of(int pid, char name[LIMIT_SVC_NAME + 1])
{
	static const char key[] = "SERVICE_NAME=";
	static char buf[16384];
	ssize_t n = sweep_read(pid, "environ", buf, sizeof(buf));
	struct slice rest = { buf, n > 0 ? (size_t)n : 0 }, word;

	while (slice_cut(&rest, '\0', &word)) {
		if (!slice_starts(word, key) || word.n - sizeof(key) + 1 > LIMIT_SVC_NAME)
			continue;
		snprintf(name, LIMIT_SVC_NAME + 1, "%.*s", (int)(word.n - sizeof(key) + 1),
			 word.p + sizeof(key) - 1);
		return true;
	}
	return false;
}

struct walk {
	void (*fn)(int pid, void *arg);
	void *arg;
};

static void see(int pid, void *arg)
{
	const struct walk *w = arg;
	siginfo_t si = { 0 };

	/* Only a child can be waited for; the look does not reap. */
	if (pid > 1 && waitid(P_PID, (id_t)pid, &si, WEXITED | WNOHANG | WNOWAIT) == 0 &&
	    si.si_pid == 0)
		w->fn(pid, w->arg);
}

void sweep_children(void (*fn)(int pid, void *arg), void *arg)
{
	struct walk w = { fn, arg };

	(void)numbers_each("/proc", see, &w);
}

struct hunt {
	const char *service;
	bool kill, found;
};

static void catch_one(int pid, void *arg)
{
	char name[LIMIT_SVC_NAME + 1];
	struct hunt *h = arg;

	if (reap_knows(pid) || !sweep_service_of(pid, name) || strcmp(name, h->service) != 0)
		return;
	h->found = true;
	/* It is our child and not reaped, so the number is still its own. */
	int fd = h->kill ? (int)syscall(SYS_pidfd_open, pid, 0) : -1;
	ops_pidfd_signal(fd, SIGKILL);
	fd_close(&fd);
}

bool sweep_finds(const char *name)
{
	struct hunt h = { .service = name };

	sweep_children(catch_one, &h);
	return h.found;
}

void sweep_kill(const char *name)
{
	sweep_children(catch_one, &(struct hunt){ .service = name, .kill = true });
}
