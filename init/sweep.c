/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "init/sweep.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "init/logs.h"
#include "init/numbers.h"
#include "init/ops.h"
#include "init/reap.h"
#include "lib/fd.h"

#define WAITS_MAX 40
#define WAIT_USEC 250
#define BARE_MAX  4

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

/* Waits that are left for programs in the middle of an exec; a walk begins with all of them. */
static int waits = WAITS_MAX;

/* In the middle of an exec a process has neither arguments nor, a moment longer, environment; it is
 * looked at again soon. Who has arguments alone so often has no environment. Who stays without
 * both, because its program lies where reading hangs, costs a bounded time. */
static ssize_t read_environ(int pid, char *buf, size_t size)
{
	char first[2];
	int bare = 0;
	ssize_t n;

	while ((n = sweep_read(pid, "environ", buf, size)) == 0 && bare < BARE_MAX && waits > 0) {
		bare += sweep_read(pid, "cmdline", first, sizeof(first)) != 0;
		waits--;
		usleep(WAIT_USEC);
	}
	return n;
}

bool sweep_service_of(int pid, char name[LIMIT_SVC_NAME + 1])
{
	static const char key[] = "SERVICE_NAME=";
	static char buf[16384];
	ssize_t n = read_environ(pid, buf, sizeof(buf));
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
	bool strangers; /* only those that PID 1 did not start */
};

static void see(int pid, void *arg)
{
	const struct walk *w = arg;
	siginfo_t si = { 0 };

	/* Only a child can be waited for; the look does not reap. */
	if (pid > 1 && !(w->strangers && (reap_knows(pid) || pid == logs_pid())) &&
	    waitid(P_PID, (id_t)pid, &si, WEXITED | WNOHANG | WNOWAIT) == 0 && si.si_pid == 0)
		w->fn(pid, w->arg);
}

/* The kernel's own list, which only PID 1 takes from, so none is missed; numbers, each with a
 * blank behind it. false: there is none. */
static bool each_child(void (*fn)(int pid, void *arg), void *arg)
{
	char buf[1024];
	int pid = 0, fd = open("/proc/thread-self/children", O_RDONLY | O_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		return false;
	while ((n = fd_read_some(fd, buf, sizeof(buf))) > 0) {
		for (ssize_t i = 0; i < n; i++) {
			if (buf[i] != ' ') {
				pid = pid * 10 + (buf[i] - '0');
			} else {
				fn(pid, arg);
				pid = 0;
			}
		}
	}
	fd_close(&fd);
	return true;
}

static void walk_children(struct walk *w)
{
	waits = WAITS_MAX;
	if (!each_child(see, w))
		(void)numbers_each("/proc", see, w);
}

void sweep_children(void (*fn)(int pid, void *arg), void *arg)
{
	walk_children(&(struct walk){ .fn = fn, .arg = arg });
}

struct hunt {
	const char *service;
	bool kill, found;
};

static void catch_one(int pid, void *arg)
{
	char name[LIMIT_SVC_NAME + 1];
	struct hunt *h = arg;

	if (!sweep_service_of(pid, name) || strcmp(name, h->service) != 0)
		return;
	h->found = true;
	/* It is our child and not reaped, so the number is still its own. */
	int fd = h->kill ? (int)syscall(SYS_pidfd_open, pid, 0) : -1;
	ops_pidfd_signal(fd, SIGKILL);
	fd_close(&fd);
}

static void hunt(struct hunt *h)
{
	walk_children(&(struct walk){ .fn = catch_one, .arg = h, .strangers = true });
}

bool sweep_finds(const char *name)
{
	struct hunt h = { .service = name };

	hunt(&h);
	return h.found;
}

void sweep_kill(const char *name)
{
	hunt(&(struct hunt){ .service = name, .kill = true });
}
