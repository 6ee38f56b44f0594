/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "init/adopt.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "init/accept.h"
#include "init/cgroup.h"
#include "init/control.h"
#include "init/fdstore.h"
#include "init/inherit.h"
#include "init/logs.h"
#include "init/numbers.h"
#include "init/ops.h"
#include "init/reap.h"
#include "init/state.h"
#include "init/sweep.h"
#include "init/world.h"
#include "lib/fd.h"
#include "lib/log.h"
#include "lib/text.h"

#ifndef SYS_pidfd_open
#define SYS_pidfd_open 434
#endif

static struct {
	struct svc_set *next; /* owned until adopt_services() */
	bool switching;
	bool unknown[LIMIT_SVC_COUNT]; /* services of which nothing is kept */
	bool ready[LIMIT_SVC_COUNT];   /* said so, and the life before had read it only */
} st;

int adopt_sets(struct svc_set **ret)
{
	return world_recall(ret, &st.next, &st.switching);
}

/* ---- by the record ---------------------------------------------------------------------------*/

static bool is_child(pid_t pid)
{
	siginfo_t si;

	return pid > 0 && waitid(P_PID, (id_t)pid, &si, WEXITED | WNOHANG | WNOWAIT) == 0;
}

/* A child's number is its own until we reap it, whatever happened to the descriptor. */
static void take_process(pid_t *pid, int *pidfd)
{
	int fd = inherit_take(*pidfd, 0);

	*pidfd = fd;
	if (*pid < 0 || !is_child(*pid))
		return;
	int own = (int)syscall(SYS_pidfd_open, *pid, 0);
	if (own < 0)
		return;
	fd_close(&fd);
	*pidfd = own;
}

/* What was being started, and by the kernel's word was. One that failed is started again, and fails
 * again. */
static void take_launch(struct svc *s)
{
	const struct child_cell *cell = NULL;
	enum state_launch kind = state_old_launch(s, &cell);
	pid_t *pid = kind == LAUNCH_MAIN ? &s->pid : &s->aux;

	if (kind == LAUNCH_NONE || *pid >= 0)
		return;
	if (cell->pid > 0 && cell->error == 0) {
		*pid = cell->pid;
		*(kind == LAUNCH_MAIN ? &s->pidfd : &s->auxfd) = cell->pidfd;
		if (kind == LAUNCH_MAIN)
			s->ended = false;
		else if (!s->aux_is_stop)
			control_acted();
	} else if (kind == LAUNCH_AUX) {
		s->aux_is_stop = false;
	}
}

static void take_listeners(struct svc *s)
{
	bool all = s->nlisten <= LIMIT_SVC_LISTEN;

	for (size_t i = 0; all && i < s->nlisten; i++) {
		s->listen_fd[i] = inherit_take(s->listen_fd[i], S_IFSOCK);
		all = s->listen_fd[i] >= 0;
	}
	if (!all) {
		for (size_t i = 0; i < LIMIT_SVC_LISTEN; i++)
			s->listen_fd[i] = -1; /* made anew; those taken stay open, harmlessly */
		s->nlisten = 0;
	}
}

static void take_over(struct svc *s)
{
	int ready = inherit_take(s->ready_src.fd, S_IFIFO);
	bool watched = s->main_src.fd >= 0;
	const char *read = state_old_reading(s);

	s->ready_src.fd = s->main_src.fd = -1;
	if ((unsigned)s->state >= SVC_STATE_MAX)
		s->state = SVC_DOWN;
	take_launch(s);
	take_process(&s->pid, &s->pidfd);
	take_process(&s->aux, &s->auxfd);
	take_listeners(s);
	s->log_read = inherit_take(s->log_read, S_IFIFO);
	s->log_write = inherit_take(s->log_write, S_IFIFO);
	if (s->log_read < 0 || s->log_write < 0)
		fd_close(s->log_read < 0 ? &s->log_write : &s->log_read);
	st.ready[s->index] = ready >= 0 && read && memchr(read, '\n', STATE_READ);
	ops_attach(s, ready, watched);
}

/* Processes that ended and were reaped by the life before, in its last moment. */
static void tell_lost(struct svc *s)
{
	struct pid_link *links[] = { &s->main_link, &s->aux_link };

	for (size_t i = 0; i < 2; i++)
		if (links[i]->pid && !is_child(links[i]->pid) && !s->main_src.loop)
			reap_tell(links[i], 0);
}

/* ---- by what runs ----------------------------------------------------------------------------*/

/* A child of ours that leads its session: what child.c made, or a daemon that came to us. */
static bool leads(int pid)
{
	char buf[512];
	uint64_t parent = 0, session = 0;
	struct slice state, word;

	if (sweep_read(pid, "stat", buf, sizeof(buf)) <= 0)
		return false;
	const char *end = strrchr(buf, ')'); /* of the program's name, which may be anything */
	struct slice rest = slice_of(end && end[1] ? end + 2 : "");
	return slice_cut(&rest, ' ', &state) && !slice_is(state, "Z") &&
	       slice_cut(&rest, ' ', &word) && text_u64(word, INT32_MAX, &parent) == 0 &&
	       slice_cut(&rest, ' ', &word) && slice_cut(&rest, ' ', &word) &&
	       text_u64(word, INT32_MAX, &session) == 0 && parent == (uint64_t)getpid() &&
	       session == (uint64_t)pid;
}

/* The pipe that the process writes to is opened at both ends again. */
static void take_log(struct svc *s)
{
	char path[48];
	struct stat sb;

	if (s->def->output != SVC_OUT_LOG || s->def->terminal)
		return;
	snprintf(path, sizeof(path), "/proc/%d/fd/1", (int)s->pid);
	if (stat(path, &sb) < 0 || !S_ISFIFO(sb.st_mode))
		return;
	s->log_read = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	s->log_write = s->log_read < 0 ? -1 : open(path, O_WRONLY | O_NONBLOCK | O_CLOEXEC);
	if (s->log_write < 0) {
		fd_close(&s->log_read);
		return;
	}
	(void)fd_set_nonblock(s->log_write, false);
}

static void see(int pid, void *arg)
{
	char name[LIMIT_SVC_NAME + 1];

	(void)arg;
	if (pid < 2 || !leads(pid) || reap_knows(pid))
		return;
	bool grouped = cgroup_on() && cgroup_service_of(pid, name);
	if (!grouped && !sweep_service_of(pid, name))
		return;
	struct svc *s = svc_mgr_find(&world.mgr, slice_of(name));
	if (!s || !st.unknown[s->index] || s->pid >= 0)
		return;
	s->pid = pid;
	s->pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	s->has_cgroup = grouped;
	s->wish = true;
	s->state = SVC_UP;
	s->since = s->started = loop_now();
	take_log(s);
	ops_attach(s, -1, false);
	log_info("adopt: by its process name=%s pid=%d", s->name, pid);
}

/* Nothing of it runs under our eyes. What ran once at boot is not run again. */
static void guess(struct svc *s)
{
	bool kept = s->def->type == SVC_GROUP || (s->def->type == SVC_ONESHOT && s->def->remain);

	if (cgroup_on() && cgroup_populated(s->name)) {
		s->has_cgroup = true;
		s->state = SVC_KILLING;
		s->fate = SVC_FATE_DOWN;
	} else if (world.booted && s->wish && kept) {
		s->state = SVC_UP;
	}
}

static void adopt_seen(void)
{
	(void)numbers_each("/proc", see, NULL);
	for (size_t i = 0; i < world.mgr.set->n; i++)
		if (st.unknown[i] && world.mgr.v[i]->pid < 0)
			guess(world.mgr.v[i]);
}

/* ---- all -------------------------------------------------------------------------------------*/

void adopt_services(void)
{
	struct svc_mgr *m = &world.mgr;
	bool seen = false, minimal = state_is_minimal();

	for (size_t i = 0; i < m->set->n; i++) {
		int r = minimal ? -ENOENT : state_find_svc(m->v[i]);
		if (r == 0)
			take_over(m->v[i]);
		st.unknown[i] = r < 0;
		seen |= r < 0;
		if (r == -EBADMSG)
			log_warn("adopt: its record does not check name=%s", m->v[i]->name);
	}
	if (!minimal)
		accept_resume();
	fdstore_resume(!minimal);
	if (seen)
		adopt_seen();
	if (world.shutdown)
		svc_set_free(st.next);
	else
		m->pending = st.next;
	st.next = NULL;
	for (size_t i = 0; i < m->set->n; i++)
		state_commit_svc(m->v[i]);
	world_commit();
	state_switch();
	inherit_close_rest();
	/* From here on this life's state counts. */
	svc_resume(m, st.switching);
	for (size_t i = 0; i < m->set->n; i++) {
		if (st.ready[i])
			svc_ready(m, m->v[i]);
		tell_lost(m->v[i]);
	}
	control_resume();
}
