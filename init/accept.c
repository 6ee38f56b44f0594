/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "init/accept.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "init/cgroup.h"
#include "init/child.h"
#include "init/def.h"
#include "init/inherit.h"
#include "init/logs.h"
#include "init/ops.h"
#include "init/reap.h"
#include "init/spare.h"
#include "init/state.h"
#include "init/world.h"
#include "lib/fd.h"
#include "lib/log.h"

#define BATCH	    8		 /* connections a turn */
#define SHORT_PAUSE 200000000ull /* when there is no descriptor for one */

static struct pid_link links[LIMIT_CONNECTIONS]; /* pid 0: free */

/* The process of each, in memory that outlives this program. */
static struct kept {
	int32_t pid, pidfd; /* pid 0: none */
	uint32_t service;
} * kept;

static int free_place(void)
{
	for (int i = 0; i < LIMIT_CONNECTIONS; i++)
		if (!links[i].pid)
			return i;
	return -1;
}

static void release(int i)
{
	struct svc *s = links[i].svc;
	int fd = kept[i].pidfd;

	reap_forget(&links[i]);
	kept[i].pid = 0;
	fd_close(&fd);
	s->nconns--;
}

static void serve(struct svc *s, int place, int fd)
{
	struct child_spec spec = { .def = s->def,
				   .argv = s->def->exec,
				   .base_environment = &world.mgr.set->init.environment,
				   .out = s->def->output == SVC_OUT_LOG ? logs_end(s) : -1,
				   .main = true };
	char why[120];
	pid_t pid;
	int pidfd;

	spec.fds[spec.nfds++] = (struct child_fd){ fd, 0 };
	spec.fds[spec.nfds++] = (struct child_fd){ fd, 1 };
	s->has_cgroup = cgroup_on() && s->def->cgroup.use;
	if (child_start(&spec, &pid, &pidfd, why, sizeof(why)) < 0) {
		log_warn("svc: connection refused name=%s why=\"%s\"", s->name, why);
		return;
	}
	kept[place] = (struct kept){ .pid = pid, .pidfd = pidfd, .service = svc_name_hash(s) };
	reap_watch(&links[place], pid, s);
	s->nconns++;
}

/* A connection, only when there is room, too, for what its process takes: that of its pid, and for
 * a moment that of its group. What is accepted cannot be put back. */
static int accept_with_room(int listener)
{
	auto_fd int a = fcntl(listener, F_DUPFD_CLOEXEC, 3);
	auto_fd int b = a < 0 ? -1 : fcntl(listener, F_DUPFD_CLOEXEC, 3);

	return b < 0 ? -1 : accept4(listener, NULL, NULL, SOCK_CLOEXEC);
}

void accept_some(struct svc *s, int listener)
{
	for (int i = 0; i < BATCH; i++) {
		int place = s->nconns < s->def->max_connections ? free_place() : -1;
		if (place < 0) { /* the others wait in the kernel's queue until one ends */
			world_ops.listen(s, false);
			return;
		}
		auto_fd int fd = accept_with_room(listener);
		if (fd < 0 && spare_is_short(errno)) { /* svc_timeout() listens again */
			world_ops.listen(s, false);
			world_ops.timer(s, loop_now() + SHORT_PAUSE);
		}
		if (fd < 0)
			return;
		serve(s, place, fd);
	}
}

void accept_ended(struct pid_link *l)
{
	struct svc *s = l->svc;

	release((int)(l - links));
	if (s->state == SVC_UP && !s->listening)
		world_ops.listen(s, true);
	/* Others may have found no place. */
	for (size_t i = 0; i < world.mgr.set->n; i++) {
		struct svc *o = world.mgr.v[i];
		if (o->def->accept && o->state == SVC_UP && !o->listening &&
		    o->nconns < o->def->max_connections)
			world_ops.listen(o, true);
	}
	svc_conn_ended(&world.mgr, s);
}

void accept_forget(struct svc *s)
{
	for (int i = 0; s->nconns && i < LIMIT_CONNECTIONS; i++)
		if (links[i].pid && links[i].svc == s)
			release(i);
}

void accept_signal(const struct svc *s, unsigned sig)
{
	for (size_t i = 0; s->nconns && i < LIMIT_CONNECTIONS; i++)
		if (links[i].pid && links[i].svc == s)
			ops_pidfd_signal(kept[i].pidfd, sig);
}

/* ---- after a life before ---------------------------------------------------------------------*/

int accept_init(void)
{
	bool came;

	kept = state_area(LIMIT_CONNECTIONS * sizeof(*kept), &came);
	return kept ? 0 : -ENOMEM;
}

static void take_over(int i, struct svc *s)
{
	siginfo_t si;
	int fd = inherit_take(kept[i].pidfd, 0);

	/* Not our child: the life before has reaped it. */
	if (fd < 0 || waitid(P_PID, (id_t)kept[i].pid, &si, WEXITED | WNOHANG | WNOWAIT) < 0) {
		fd_close(&fd);
		return;
	}
	kept[i].pidfd = fd;
	reap_watch(&links[i], kept[i].pid, s);
	s->nconns++;
}

void accept_resume(void)
{
	for (size_t k = 0; k < world.mgr.set->n; k++) {
		struct svc *s = world.mgr.v[k];
		for (int i = 0; s->def->accept && i < LIMIT_CONNECTIONS; i++)
			if (kept[i].pid && !links[i].pid && kept[i].service == svc_name_hash(s))
				take_over(i, s);
	}
	for (int i = 0; i < LIMIT_CONNECTIONS; i++)
		if (!links[i].pid)
			kept[i].pid = 0;
}
