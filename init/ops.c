/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "init/ops.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "init/accept.h"
#include "init/added.h"
#include "init/cgroup.h"
#include "init/child.h"
#include "init/control.h"
#include "init/condition.h"
#include "init/fdstore.h"
#include "init/listen.h"
#include "init/logs.h"
#include "init/reap.h"
#include "init/spare.h"
#include "init/rescue-shell.h"
#include "init/state.h"
#include "init/sweep.h"
#include "init/timing.h"
#include "init/world.h"
#include "lib/fd.h"
#include "lib/log.h"
#include "lib/text.h"

#define MS 1000000ull

#ifndef SYS_pidfd_send_signal
#define SYS_pidfd_send_signal 424
#endif
#ifndef SYS_pidfd_open
#define SYS_pidfd_open 434
#endif

static void on_timer(struct loop_timer *t)
{
	svc_timeout(&world.mgr, t->arg);
	state_commit_svc(t->arg);
}

static void op_timer(struct svc *s, uint64_t when)
{
	s->timer.fn = on_timer;
	s->timer.arg = s;
	if (!when)
		loop_disarm(world.loop, &s->timer);
	else if (loop_arm(world.loop, &s->timer, when) < 0)
		log_error("timer: none left name=%s", s->name);
}

static int drop_ready(struct svc *s)
{
	int fd = s->ready_src.fd;

	loop_del(&s->ready_src);
	s->ready_src.fd = -1;
	return fd;
}

static void close_ready(struct svc *s)
{
	int fd = drop_ready(s);

	fd_close(&fd);
}

static void on_ready(struct loop_fd *src, uint32_t events)
{
	struct svc *s = src->arg;
	char *buf = state_reading(s);
	ssize_t n = fd_read_some(src->fd, buf, STATE_READ);

	bool said = n > 0 && memchr(buf, '\n', (size_t)n);
	bool closed = n <= 0 && n != -EAGAIN;

	if (!said && !closed)
		return;
	int fd = drop_ready(s);
	if (said)
		svc_ready(&world.mgr, s);
	else
		svc_not_ready(&world.mgr, s);
	state_commit_svc(s);
	(void)state_reading(NULL);
	fd_close(&fd); /* until here a next life would read it again */
}

/* The pipe for notify = fd:N. The write end is closed again after the start. */
static int open_ready(struct svc *s, struct child_spec *spec)
{
	int p[2];

	close_ready(s);
	if (pipe2(p, O_CLOEXEC) < 0)
		return -errno;
	s->ready_src.fn = on_ready;
	s->ready_src.arg = s;
	int r = loop_add(world.loop, &s->ready_src, p[0], EPOLLIN);
	if (r < 0) {
		fd_close(&p[0]);
		fd_close(&p[1]);
		return r;
	}
	spec->fds[spec->nfds++] = (struct child_fd){ p[1], (int)s->def->notify_fd };
	return p[1];
}

static int output_of(struct svc *s)
{
	switch (s->def->output) {
	case SVC_OUT_LOG:
		return s->def->terminal ? -1 : logs_end(s);
	case SVC_OUT_CONSOLE:
		return -2;
	default:
		return -1;
	}
}

static int op_launch(struct svc *s)
{
	const struct svc_def *d = s->def;
	struct child_spec spec = { .def = d,
				   .argv = d->exec,
				   .base_environment = &world.mgr.set->init.environment,
				   .out = output_of(s),
				   .join = -1,
				   .exe = world.exe,
				   .main = true };
	auto_fd int ready = -1;
	int r, stdio[3] = { -1, -1, -1 };

	if (spec.out == -1 && d->output == SVC_OUT_LOG && !d->terminal) {
		snprintf(s->why, sizeof(s->why), "log: %s", strerror(errno));
		return -errno;
	}

	if (added_take_stdio(s, stdio))
		for (int i = 0; i < 3; i++)
			spec.fds[spec.nfds++] = (struct child_fd){ stdio[i], i };
	for (size_t i = 0; i < s->nlisten; i++)
		spec.fds[spec.nfds++] = (struct child_fd){ s->listen_fd[i], 3 + (int)i };
	spec.nlisten = s->nlisten;
	fdstore_give(s, &spec);
	spec.notify_socket = d->type == SVC_NOTIFY && d->notify_fd == 0;
	if (d->type == SVC_NOTIFY && d->notify_fd) {
		ready = open_ready(s, &spec);
		if (ready < 0) {
			snprintf(s->why, sizeof(s->why), "notify: %s", strerror(-ready));
			return ready;
		}
	}
	s->has_cgroup = cgroup_on() && d->cgroup.use;
	state_launch(LAUNCH_MAIN, s);
	r = child_start(&spec, &s->pid, &s->pidfd, s->why, sizeof(s->why));
	s->ended &= r < 0;
	state_launch(LAUNCH_NONE, s);
	for (size_t i = 0; i < 3; i++)
		fd_close(&stdio[i]);
	if (r < 0) {
		close_ready(s);
		log_warn("svc: start failed name=%s why=\"%s\"", s->name, s->why);
		return r;
	}
	reap_watch(&s->main_link, s->pid, s);
	return 0;
}

static int op_run_aux(struct svc *s, const char *const *argv)
{
	struct child_spec spec = { .def = s->def,
				   .argv = argv,
				   .base_environment = &world.mgr.set->init.environment,
				   .out = output_of(s),
				   .join = s->pidfd,
				   .join_pid = s->pid,
				   .exe = world.exe };
	char why[120];
	state_launch(LAUNCH_AUX, s);
	int r = child_start(&spec, &s->aux, &s->auxfd, why, sizeof(why));
	/* One that has to stop may not go without its command. */
	if (r < 0 && spare_lend(-r, 0))
		r = child_start(&spec, &s->aux, &s->auxfd, why, sizeof(why));
	if (r == 0)
		control_acted();
	state_launch(LAUNCH_NONE, s);

	if (r < 0)
		log_warn("svc: command failed name=%s why=\"%s\"", s->name, why);
	else
		reap_watch(&s->aux_link, s->aux, s);
	return r;
}

void ops_pidfd_signal(int pidfd, unsigned sig)
{
	if (pidfd >= 0)
		(void)syscall(SYS_pidfd_send_signal, pidfd, sig, NULL, 0); /* gone is fine */
}

static void op_signal(struct svc *s, unsigned sig)
{
	state_commit_svc(s); /* from here on it is told twice rather than not */
	ops_pidfd_signal(s->pidfd, sig);
	accept_signal(s, sig);
	if (sig == SIGTERM || sig == SIGHUP)
		ops_pidfd_signal(s->pidfd, SIGCONT); /* a stopped one could not hear it */
	control_acted();
}

static void op_kill(struct svc *s)
{
	if (!s->def->scope_main || world.shutdown) {
		if (s->has_cgroup)
			cgroup_kill(s->name);
		else if (s->pid > 1)
			(void)kill(-s->pid, SIGKILL); /* not reaped yet, so the group is its own */
		if (!s->has_cgroup)
			sweep_kill(s->name);
	}
	if (!s->def->scope_main || world.shutdown)
		accept_signal(s, SIGKILL);
	ops_pidfd_signal(s->pidfd, SIGKILL);
	ops_pidfd_signal(s->auxfd, SIGKILL);
}

static void op_kill_aux(struct svc *s)
{
	if (s->aux > 1)
		(void)kill(-s->aux, SIGKILL); /* not reaped yet, so the group is its own */
	ops_pidfd_signal(s->auxfd, SIGKILL);
}

static bool op_left_over(struct svc *s)
{
	return s->has_cgroup ? cgroup_populated(s->name) : sweep_finds(s->name);
}

/* Is pid a process of the service that nobody else owns? */
static bool is_of(const struct svc *s, pid_t pid)
{
	char name[LIMIT_SVC_NAME + 1];

	if (pid < 2 || reap_knows(pid))
		return false;
	if (s->has_cgroup)
		return cgroup_service_of(pid, name) && strcmp(name, s->name) == 0;
	return s->pid < 0 || getsid(pid) == getsid(s->pid);
}

static int take_main(struct svc *s, pid_t pid)
{
	int fd = (int)syscall(SYS_pidfd_open, pid, 0);

	if (fd < 0)
		return -EAGAIN;
	s->pid = pid;
	s->pidfd = fd;
	reap_watch(&s->main_link, pid, s);
	return 0;
}

/* The process a forking service left behind: alive, ours, and not somebody else's. */
static int op_adopt(struct svc *s)
{
	char buf[32];
	uint64_t pid;
	int fd = open(s->def->pid_file, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	ssize_t n = fd < 0 ? -1 : fd_read_some(fd, buf, sizeof(buf));

	fd_close(&fd);
	if (n <= 0 || text_u64(slice_trim((struct slice){ buf, (size_t)n }), 1 << 22, &pid) < 0 ||
	    !is_of(s, (pid_t)pid))
		return -EAGAIN;
	/* Only a child of PID 1 can be waited for; the look does not reap. */
	siginfo_t si = { 0 };
	if (waitid(P_PID, (id_t)pid, &si, WEXITED | WNOHANG | WNOWAIT) < 0 || si.si_pid)
		return -EAGAIN;
	return take_main(s, (pid_t)pid);
}

/* A main process named by its service is perhaps not our child: then nobody but its descriptor
 * tells that it ended, and its status went to its parent. */
static void on_main_end(struct loop_fd *src, uint32_t events)
{
	struct svc *s = src->arg;
	siginfo_t si;

	loop_del(src);
	state_commit_svc(s);
	if (waitid(P_PID, (id_t)s->pid, &si, WEXITED | WNOHANG | WNOWAIT) < 0)
		reap_tell(&s->main_link, 0);
	else
		reap_soon();
}

static void watch_main(struct svc *s)
{
	s->main_src.fn = on_main_end;
	s->main_src.arg = s;
	int r = loop_add(world.loop, &s->main_src, s->pidfd, EPOLLIN);
	if (r < 0)
		log_error("svc: cannot watch process name=%s why=\"%s\"", s->name, strerror(-r));
}

void ops_set_main(struct svc *s, pid_t pid)
{
	struct pid_link old = s->main_link;
	int old_fd = s->pidfd;

	if (s->def->type != SVC_NOTIFY || s->pid < 0 || pid == s->pid)
		return;
	if (!is_of(s, pid)) {
		log_warn("svc: MAINPID refused, not a process of the service name=%s pid=%d",
			 s->name, (int)pid);
		return;
	}
	loop_del(&s->main_src);
	reap_forget(&s->main_link);
	if (take_main(s, pid) < 0) {
		reap_watch(&s->main_link, old.pid, s);
		return;
	}
	watch_main(s);
	state_commit_svc(s);
	fd_close(&old_fd);
}

void ops_attach(struct svc *s, int ready, bool watched)
{
	uint64_t when = s->timer.when;
	int r = 0;

	s->timer.when = 0;
	if (when)
		op_timer(s, when);
	if (ready >= 0) {
		s->ready_src.fn = on_ready;
		s->ready_src.arg = s;
		r = loop_add(world.loop, &s->ready_src, ready, EPOLLIN);
	}
	if (r < 0)
		log_error("svc: cannot watch descriptor name=%s why=\"%s\"", s->name, strerror(-r));
	if (s->pid >= 0)
		reap_watch(&s->main_link, s->pid, s);
	if (s->aux >= 0)
		reap_watch(&s->aux_link, s->aux, s);
	if (watched && s->pid >= 0)
		watch_main(s);
	timing_attach(s);
}

static void on_connection(struct loop_fd *src, uint32_t events)
{
	struct svc *s = src->arg;

	if (s->def->accept)
		accept_some(s, src->fd);
	else
		svc_activated(&world.mgr, s);
	state_commit_svc(s);
}

/* Few services listen, so the sources are made when one does. */
static bool make_sources(struct svc *s)
{
	if (!s->listen_src)
		s->listen_src = calloc(LIMIT_SVC_LISTEN, sizeof(*s->listen_src));
	if (!s->listen_src)
		log_error("svc: no memory to watch sockets name=%s", s->name);
	return s->listen_src;
}

static void watch_socket(struct svc *s, size_t i)
{
	struct loop_fd *src = &s->listen_src[i];

	if (src->loop)
		return;
	src->fn = on_connection;
	src->arg = s;
	if (s->def->accept) /* whoever called may have gone again */
		(void)fd_set_nonblock(s->listen_fd[i], true);
	int r = loop_add(world.loop, src, s->listen_fd[i], EPOLLIN);
	if (r < 0)
		log_error("svc: cannot watch socket name=%s why=\"%s\"", s->name, strerror(-r));
}

static void op_listen(struct svc *s, bool on)
{
	on = on && s->nlisten && make_sources(s);
	for (size_t i = 0; s->listen_src && i < s->nlisten; i++)
		if (on)
			watch_socket(s, i);
		else
			loop_del(&s->listen_src[i]);
	s->listening = on;
}

static void close_sockets(struct svc *s)
{
	op_listen(s, false);
	for (size_t i = 0; i < s->nlisten; i++)
		fd_close(&s->listen_fd[i]);
	s->nlisten = 0;
}

static int op_open_sockets(struct svc *s)
{
	const struct svc_def *d = s->def;

	if (s->nlisten == d->nlisten && s->listen_id == d->listen_id)
		return 0;
	close_sockets(s);
	for (size_t i = 0; i < d->nlisten; i++) {
		s->listen_fd[i] = listen_open(&d->listen[i], s->why, sizeof(s->why));
		if (s->listen_fd[i] < 0) {
			close_sockets(s);
			log_warn("svc: start failed name=%s why=\"%s\"", s->name, s->why);
			return -EIO;
		}
		s->nlisten = i + 1;
	}
	s->listen_id = d->listen_id;
	state_commit_svc(s);
	return 0;
}

static bool op_condition(struct svc *s)
{
	for (size_t i = 0; i < s->def->conditions.n; i++)
		if (!condition_holds(s->def->conditions.v[i]))
			return false;
	return true;
}

static void op_gone(struct svc *s)
{
	close_ready(s);
	if (s->has_cgroup)
		cgroup_remove(s->name);
	s->has_cgroup = false;
}

static void forget(struct svc *s)
{
	state_forget_svc(s);
	accept_forget(s);
	loop_disarm(world.loop, &s->timer);
	close_ready(s);
	close_sockets(s);
	free(s->listen_src);
	s->listen_src = NULL;
	fd_close(&s->log_read);
	fd_close(&s->log_write);
	log_info("svc: removed name=%s", s->name);
}

static void op_changed(struct svc *s, enum svc_state old)
{
	control_changed(s, old);
	/* They are for the next start: does it come? */
	if (old == SVC_STATE_MAX || s->state >= SVC_DONE ||
	    (s->state == SVC_DOWN && !s->goal && !s->leaving))
		fdstore_remove(s, (struct slice){ 0 });
	if (old == SVC_STATE_MAX) {
		forget(s);
		return;
	}
	switch (s->state) {
	case SVC_UP:
		log_info("svc: up name=%s%s", s->name, s->skipped ? " skipped=yes" : "");
		break;
	case SVC_BACKOFF:
		log_warn("svc: ended name=%s why=\"%s\" restart_ms=%llu", s->name, s->why,
			 (unsigned long long)((s->deadline - s->since) / MS));
		break;
	case SVC_FAILED:
		log_warn("svc: failed name=%s why=\"%s\"", s->name, s->why);
		if (s->def->critical && !world.booted && !world.shutdown)
			rescue_shell(s->name);
		break;
	case SVC_DOWN:
		if (old != SVC_WAITING && old != SVC_FAILED && old != SVC_DONE)
			log_info("svc: down name=%s", s->name);
		break;
	case SVC_KILLING:
		if (s->stuck)
			log_error("svc: does not die name=%s pid=%d", s->name, (int)s->pid);
		else if (s->pid >= 0)
			log_warn("svc: killing name=%s pid=%d", s->name, (int)s->pid);
		break;
	default:
		log_debug("svc", "svc: %s name=%s", svc_state_names[s->state], s->name);
		break;
	}
}

const struct svc_ops world_ops = {
	.now = loop_now,
	.timer = op_timer,
	.launch = op_launch,
	.run_aux = op_run_aux,
	.kill_aux = op_kill_aux,
	.signal = op_signal,
	.kill = op_kill,
	.left_over = op_left_over,
	.adopt = op_adopt,
	.open_sockets = op_open_sockets,
	.listen = op_listen,
	.condition = op_condition,
	.next_run = timing_next_run,
	.run_begins = timing_run_begins,
	.gone = op_gone,
	.changed = op_changed,
	.commit = state_commit_svc,
	.switching = world_switching,
};
