/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "init/accept.h"

#include <errno.h>
#include <sys/socket.h>

#include "init/cgroup.h"
#include "init/child.h"
#include "init/logs.h"
#include "init/ops.h"
#include "init/reap.h"
#include "init/spare.h"
#include "init/world.h"
#include "lib/fd.h"
#include "lib/log.h"

#define BATCH	    8		 /* connections a turn */
#define SHORT_PAUSE 200000000ull /* when there is no descriptor for one */

static struct conn {
	struct pid_link link; /* pid 0: free */
	int pidfd;
} conns[LIMIT_CONNECTIONS];

static struct conn *free_conn(void)
{
	for (size_t i = 0; i < LIMIT_CONNECTIONS; i++)
		if (!conns[i].link.pid)
			return &conns[i];
	return NULL;
}

static void serve(struct svc *s, struct conn *c, int fd)
{
	struct child_spec spec = { .def = s->def,
				   .argv = s->def->exec,
				   .base_environment = &world.mgr.set->init.environment,
				   .out = s->def->output == SVC_OUT_LOG ? logs_end(s) : -1,
				   .main = true };
	char why[120];
	pid_t pid;

	spec.fds[spec.nfds++] = (struct child_fd){ fd, 0 };
	spec.fds[spec.nfds++] = (struct child_fd){ fd, 1 };
	s->has_cgroup = cgroup_on() && s->def->cgroup.use;
	if (child_start(&spec, &pid, &c->pidfd, why, sizeof(why)) < 0) {
		log_warn("svc: connection refused name=%s why=\"%s\"", s->name, why);
		return;
	}
	reap_watch(&c->link, pid, s);
	s->nconns++;
}

void accept_some(struct svc *s, int listener)
{
	for (int i = 0; i < BATCH; i++) {
		struct conn *c = s->nconns < s->def->max_connections ? free_conn() : NULL;
		if (!c) { /* the others wait in the kernel's queue until one ends */
			world_ops.listen(s, false);
			return;
		}
		auto_fd int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
		if (fd < 0 && spare_is_short(errno)) { /* svc_timeout() listens again */
			world_ops.listen(s, false);
			world_ops.timer(s, loop_now() + SHORT_PAUSE);
		}
		if (fd < 0)
			return;
		serve(s, c, fd);
	}
}

void accept_ended(struct pid_link *l)
{
	struct svc *s = l->svc;
	struct conn *c = (struct conn *)((char *)l - offsetof(struct conn, link));

	reap_forget(l);
	fd_close(&c->pidfd);
	s->nconns--;
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
	for (size_t i = 0; s->nconns && i < LIMIT_CONNECTIONS; i++) {
		if (!conns[i].link.pid || conns[i].link.svc != s)
			continue;
		reap_forget(&conns[i].link);
		fd_close(&conns[i].pidfd);
		s->nconns--;
	}
}

void accept_signal(const struct svc *s, unsigned sig)
{
	for (size_t i = 0; s->nconns && i < LIMIT_CONNECTIONS; i++)
		if (conns[i].link.pid && conns[i].link.svc == s)
			ops_pidfd_signal(conns[i].pidfd, sig);
}
