/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "init/world.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/reboot.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "init/cgroup.h"
#include "init/child.h"
#include "init/control.h"
#include "init/early.h"
#include "init/gate.h"
#include "init/listen.h"
#include "init/logger.h"
#include "init/notify.h"
#include "init/watchdog.h"
#include "lib/fd.h"
#include "lib/log.h"
#include "lib/size.h"
#include "lib/text.h"

#define MS	       1000000ull
#define SECOND	       1000000000ull
#define PID_BUCKETS    256
#define STUCK	       (5 * SECOND)  /* after KILL: say so */
#define TRIAL_SHUTDOWN (90 * SECOND) /* bound of a set that gives none */

#ifndef SYS_pidfd_send_signal
#define SYS_pidfd_send_signal 424
#endif
#ifndef SYS_pidfd_open
#define SYS_pidfd_open 434
#endif

const char *const shutdown_names[SHUT_MAX] = { "none", "reboot", "poweroff", "halt" };

struct world world;

static struct {
	struct pid_link *pids[PID_BUCKETS];
	pid_t logger, rescue;
	int logger_fd, logger_sock, rescue_fd;
	uint64_t logger_since;
	bool logger_due; /* streams wait to be sent */
	int init_pipe[2];
	struct loop_timer logger_timer, shutdown_timer, gate_timer, watchdog_timer;
	struct gate gate;
	bool reap, shutdown_late;
	char notify_path[108];
} st = { .logger = -1,
	 .rescue = -1,
	 .logger_fd = -1,
	 .logger_sock = -1,
	 .rescue_fd = -1,
	 .init_pipe = { -1, -1 } };

/* ---- who is pid ------------------------------------------------------------------------------*/

static void pid_add(struct pid_link *l, pid_t pid, struct svc *s)
{
	struct pid_link **bucket = &st.pids[(unsigned)pid % PID_BUCKETS];

	*l = (struct pid_link){ .next = *bucket, .pid = pid, .svc = s };
	*bucket = l;
}

static void pid_remove(struct pid_link *l)
{
	struct pid_link **p = &st.pids[(unsigned)l->pid % PID_BUCKETS];

	while (*p && *p != l)
		p = &(*p)->next;
	if (*p)
		*p = l->next;
	l->pid = 0;
}

static struct pid_link *pid_lookup(pid_t pid)
{
	struct pid_link *l = st.pids[(unsigned)pid % PID_BUCKETS];

	while (l && l->pid != pid)
		l = l->next;
	return l;
}

struct svc *world_find_pid(pid_t pid)
{
	struct pid_link *l = pid_lookup(pid);
	char name[LIMIT_SVC_NAME + 1];

	if (l)
		return l->svc;
	if (cgroup_on() && cgroup_service_of(pid, name))
		return svc_mgr_find(&world.mgr, slice_of(name));
	return NULL;
}

/* ---- the logger ------------------------------------------------------------------------------*/

static int exec_logger(void *arg)
{
	static const char *const argv[] = { "cairn-init", "--logger", NULL };
	static const char *const envp[] = { NULL };
	int sock = *(int *)arg;

	if (dup2(sock, 3) != 3)
		return -errno;
	(void)fcntl(3, F_SETFD, 0); /* dup2 of 3 to itself would keep the flag */
	syscall(SYS_execveat, world.exe, "", argv, envp, AT_EMPTY_PATH);
	return -errno;
}

static int send_stream(struct svc *s)
{
	struct log_stream stream = { s->name, world.mgr.set->init.log_directory, s->def->log_size,
				     s->def->log_keep };
	int r = st.logger_sock < 0 ? -EAGAIN : logger_send(st.logger_sock, &stream, s->log_read);

	s->log_sent = r == 0;
	if (r < 0)
		st.logger_due = true;
	return r;
}

static void send_streams(void)
{
	struct log_stream own = { "init", world.mgr.set->init.log_directory, 1 << 20, 3 };

	st.logger_due = false;
	if (st.init_pipe[0] >= 0)
		(void)logger_send(st.logger_sock, &own, st.init_pipe[0]);
	for (size_t i = 0; i < world.mgr.set->n; i++) {
		struct svc *s = world.mgr.v[i];
		if (s->log_read >= 0 && !s->log_sent && send_stream(s) < 0)
			return;
	}
}

static void start_logger(void)
{
	int pair[2];
	int r = socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0 ? -errno : 0;

	if (r == 0) {
		r = child_fork(exec_logger, &pair[1], &st.logger, &st.logger_fd);
		fd_close(&pair[1]);
		if (r < 0)
			fd_close(&pair[0]);
	}
	st.logger_since = loop_now();
	if (r < 0) {
		log_warn("logger: not started why=\"%s\"", strerror(-r));
		(void)loop_arm(world.loop, &st.logger_timer, loop_now() + SECOND);
		return;
	}
	st.logger_sock = pair[0];
	for (size_t i = 0; i < world.mgr.set->n; i++)
		world.mgr.v[i]->log_sent = false;
	send_streams();
	/* Its socket takes so many at once. */
	if (st.logger_due && !st.logger_timer.index)
		(void)loop_arm(world.loop, &st.logger_timer, loop_now() + 10 * MS);
}

static void on_logger_timer(struct loop_timer *t)
{
	if (st.logger < 0)
		start_logger();
	else if (st.logger_due)
		send_streams();
	if (st.logger_due && !t->index)
		(void)loop_arm(world.loop, t, loop_now() + 100 * MS);
}

static void logger_died(void)
{
	st.logger = -1;
	fd_close(&st.logger_fd);
	fd_close(&st.logger_sock);
	if (world.shutdown)
		return;
	log_warn("logger: died, starting another");
	if (loop_now() - st.logger_since > SECOND)
		start_logger();
	else
		(void)loop_arm(world.loop, &st.logger_timer, loop_now() + SECOND);
}

/* The pipe of a service, made once and kept over its restarts. */
static int log_end(struct svc *s)
{
	int p[2];

	if (s->log_write < 0) {
		if (pipe2(p, O_CLOEXEC) < 0) {
			log_warn("svc: output is lost, no pipe name=%s why=\"%s\"", s->name,
				 strerror(errno));
			return -1;
		}
		s->log_read = p[0];
		s->log_write = p[1];
		s->log_sent = false;
	}
	if (!s->log_sent && send_stream(s) < 0 && !st.logger_timer.index)
		(void)loop_arm(world.loop, &st.logger_timer, loop_now() + 100 * MS);
	return s->log_write;
}

/* ---- what the machine asks for ---------------------------------------------------------------*/

static void on_timer(struct loop_timer *t)
{
	svc_timeout(&world.mgr, t->arg);
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

static void close_ready(struct svc *s)
{
	int fd = s->ready_src.fd;

	if (fd < 0)
		return;
	loop_del(&s->ready_src);
	fd_close(&fd);
	s->ready_src.fd = -1;
}

static void on_ready(struct loop_fd *src, uint32_t events)
{
	struct svc *s = src->arg;
	char buf[4096];
	ssize_t n = fd_read_some(src->fd, buf, sizeof(buf));

	if (n > 0 && memchr(buf, '\n', (size_t)n)) {
		close_ready(s);
		svc_ready(&world.mgr, s);
	} else if (n <= 0 && n != -EAGAIN) {
		close_ready(s);
		svc_not_ready(&world.mgr, s);
	}
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
		return s->def->terminal ? -1 : log_end(s);
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
				   .main = true };
	auto_fd int ready = -1;
	int r;

	for (size_t i = 0; i < s->nlisten; i++)
		spec.fds[spec.nfds++] = (struct child_fd){ s->listen_fd[i], 3 + (int)i };
	spec.nlisten = s->nlisten;
	spec.notify_socket = d->type == SVC_NOTIFY && d->notify_fd == 0;
	if (d->type == SVC_NOTIFY && d->notify_fd) {
		ready = open_ready(s, &spec);
		if (ready < 0) {
			snprintf(s->why, sizeof(s->why), "notify: %s", strerror(-ready));
			return ready;
		}
	}
	s->has_cgroup = cgroup_on() && d->cgroup.use;
	r = child_start(&spec, &s->pid, &s->pidfd, s->why, sizeof(s->why));
	if (r < 0) {
		close_ready(s);
		log_warn("svc: start failed name=%s why=\"%s\"", s->name, s->why);
		return r;
	}
	s->ended = false;
	pid_add(&s->main_link, s->pid, s);
	return 0;
}

static int op_run_aux(struct svc *s, const char *const *argv)
{
	struct child_spec spec = { .def = s->def,
				   .argv = argv,
				   .base_environment = &world.mgr.set->init.environment,
				   .out = output_of(s) };
	char why[120];
	int r = child_start(&spec, &s->aux, &s->auxfd, why, sizeof(why));

	if (r < 0)
		log_warn("svc: command failed name=%s why=\"%s\"", s->name, why);
	else
		pid_add(&s->aux_link, s->aux, s);
	return r;
}

static void pidfd_signal(int pidfd, unsigned sig)
{
	if (pidfd >= 0)
		(void)syscall(SYS_pidfd_send_signal, pidfd, sig, NULL, 0); /* gone is fine */
}

static void op_signal(struct svc *s, unsigned sig)
{
	pidfd_signal(s->pidfd, sig);
	if (sig == SIGTERM || sig == SIGHUP)
		pidfd_signal(s->pidfd, SIGCONT); /* a stopped one could not hear it */
}

static void op_kill(struct svc *s)
{
	if (!s->def->scope_main || world.shutdown) {
		if (s->has_cgroup)
			cgroup_kill(s->name);
		else if (s->pid > 1)
			(void)kill(-s->pid, SIGKILL); /* not reaped yet, so the group is its own */
	}
	pidfd_signal(s->pidfd, SIGKILL);
	pidfd_signal(s->auxfd, SIGKILL);
}

static void op_kill_aux(struct svc *s)
{
	if (s->aux > 1)
		(void)kill(-s->aux, SIGKILL); /* not reaped yet, so the group is its own */
	pidfd_signal(s->auxfd, SIGKILL);
}

static bool op_left_over(struct svc *s)
{
	return s->has_cgroup && cgroup_populated(s->name);
}

/* Is pid a process of the service that nobody else owns? */
static bool is_of(const struct svc *s, pid_t pid)
{
	char name[LIMIT_SVC_NAME + 1];

	if (pid < 2 || pid_lookup(pid))
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
	pid_add(&s->main_link, pid, s);
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

static void reap_owned(struct pid_link *l, int status);

/* A main process named by its service is perhaps not our child: then nobody but its descriptor
 * tells that it ended, and its status went to its parent. */
static void on_main_end(struct loop_fd *src, uint32_t events)
{
	struct svc *s = src->arg;
	siginfo_t si;

	loop_del(src);
	if (waitid(P_PID, (id_t)s->pid, &si, WEXITED | WNOHANG | WNOWAIT) < 0)
		reap_owned(&s->main_link, 0);
	else
		st.reap = true;
}

void world_set_main(struct svc *s, pid_t pid)
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
	pid_remove(&s->main_link);
	if (take_main(s, pid) < 0) {
		pid_add(&s->main_link, old.pid, s);
		return;
	}
	fd_close(&old_fd);
	s->main_src.fn = on_main_end;
	s->main_src.arg = s;
	int r = loop_add(world.loop, &s->main_src, s->pidfd, EPOLLIN);
	if (r < 0)
		log_error("svc: cannot watch process name=%s why=\"%s\"", s->name, strerror(-r));
}

static void on_connection(struct loop_fd *src, uint32_t events)
{
	svc_activated(&world.mgr, src->arg);
}

static void op_listen(struct svc *s, bool on)
{
	for (size_t i = 0; i < s->nlisten; i++) {
		struct loop_fd *src = &s->listen_src[i];
		if (on && !src->loop) {
			src->fn = on_connection;
			src->arg = s;
			int r = loop_add(world.loop, src, s->listen_fd[i], EPOLLIN);
			if (r < 0)
				log_error("svc: cannot watch socket name=%s why=\"%s\"", s->name,
					  strerror(-r));
		} else if (!on) {
			loop_del(src);
		}
	}
	s->listening = on && s->nlisten;
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
	return 0;
}

static bool condition_holds(const char *text)
{
	struct slice rest = slice_of(text), kind;

	slice_cut(&rest, ':', &kind);
	const char *arg = rest.p;
	if (slice_is(kind, "exists"))
		return access(arg, F_OK) == 0;
	if (slice_is(kind, "not-exists"))
		return access(arg, F_OK) < 0;
	if (slice_is(kind, "kernel-arg"))
		return early_kernel_word(arg);
	if (slice_is(kind, "not-kernel-arg"))
		return !early_kernel_word(arg);
	return access(arg, W_OK) == 0;
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
	loop_disarm(world.loop, &s->timer);
	close_ready(s);
	close_sockets(s);
	fd_close(&s->log_read);
	fd_close(&s->log_write);
	log_info("svc: removed name=%s", s->name);
}

static void op_changed(struct svc *s, enum svc_state old)
{
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
			world_rescue(s->name);
		break;
	case SVC_DOWN:
		if (old != SVC_WAITING && old != SVC_FAILED && old != SVC_DONE)
			log_info("svc: down name=%s", s->name);
		break;
	case SVC_KILLING:
		if (s->stuck)
			log_warn("svc: does not die name=%s pid=%d", s->name, (int)s->pid);
		else if (s->pid >= 0)
			log_warn("svc: killing name=%s pid=%d", s->name, (int)s->pid);
		break;
	default:
		log_debug("svc", "svc: %s name=%s", svc_state_names[s->state], s->name);
		break;
	}
}

static const struct svc_ops ops = {
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
	.gone = op_gone,
	.changed = op_changed,
};

/* ---- the console of last resort --------------------------------------------------------------*/

static int exec_rescue(void *arg)
{
	static const char *const fallback[] = { "/bin/sh", NULL };
	static const char *const envp[] = { "TERM=linux", "HOME=/",
					    "PATH=/run/current-system/profile/bin:/bin:/sbin",
					    NULL };
	const char *const *argv = world.mgr.set->init.rescue;
	int fd = open("/dev/console", O_RDWR | O_CLOEXEC | O_NOCTTY);

	(void)setsid();
	for (int i = 0; fd >= 0 && i < 3; i++)
		(void)dup2(fd, i);
	(void)!write(1, "\r\ncairn-init: rescue; the machine reboots when this ends\r\n", 58);
	if (!argv)
		argv = fallback;
	execve(argv[0], (char *const *)argv, (char *const *)envp);
	return -errno;
}

void world_rescue(const char *why)
{
	if (st.rescue >= 0)
		return;
	if (world.trial) {
		log_error("trial: given up, rebooting why=\"%s\"", why);
		world_shutdown(SHUT_REBOOT);
		return;
	}
	log_error("rescue: starting why=\"%s\"", why);
	int r = child_fork(exec_rescue, NULL, &st.rescue, &st.rescue_fd);
	if (r < 0)
		log_error("rescue: not started why=\"%s\"", strerror(-r));
}

/* ---- reaping ---------------------------------------------------------------------------------*/

/* Without a control group the process group goes with its leader, before its number is free. */
static void kill_group(const struct svc *s, const siginfo_t *si)
{
	bool launcher = (s->def->type == SVC_ONESHOT || s->def->type == SVC_FORKING) &&
			s->state == SVC_STARTING && si->si_code == CLD_EXITED && si->si_status == 0;

	if (!s->has_cgroup && !s->def->scope_main && !launcher)
		(void)kill(-si->si_pid, SIGKILL);
}

static void reap_owned(struct pid_link *l, int status)
{
	struct svc *s = l->svc;
	bool main = l == &s->main_link;

	pid_remove(l);
	if (main)
		loop_del(&s->main_src);
	fd_close(main ? &s->pidfd : &s->auxfd);
	if (main) {
		s->pid = -1;
		svc_exited(&world.mgr, s, status);
	} else {
		s->aux = -1;
		svc_aux_exited(&world.mgr, s, status);
	}
}

static void rescue_ended(int status)
{
	st.rescue = -1;
	fd_close(&st.rescue_fd);
	if (world.shutdown)
		return; /* it was told what to do, perhaps from that very shell */
	/* No rescue program: leave the rest running rather than reboot in a circle. */
	if (WIFEXITED(status) && WEXITSTATUS(status) == 1 && !world.mgr.set->init.rescue)
		log_error("rescue: no program to run");
	else
		world_shutdown(SHUT_REBOOT);
}

/* The one place that waits: peek, so that the number stays taken; find the owner; reap; tell. */
static bool reap_children(void)
{
	for (unsigned i = 0; i < LIMIT_REAP_TURN; i++) {
		siginfo_t si = { 0 };
		int status = 0;
		if (waitid(P_ALL, 0, &si, WEXITED | WNOHANG | WNOWAIT) < 0 || si.si_pid == 0)
			return false;
		struct pid_link *l = pid_lookup(si.si_pid);
		if (l && l == &l->svc->main_link)
			kill_group(l->svc, &si);
		if (waitpid(si.si_pid, &status, WNOHANG) < 0)
			return false;
		if (l)
			reap_owned(l, status);
		else if (si.si_pid == st.logger)
			logger_died();
		else if (si.si_pid == st.rescue)
			rescue_ended(status);
	}
	return true; /* more may be there */
}

/* ---- signals and shutdown --------------------------------------------------------------------*/

void world_shutdown(enum shutdown kind)
{
	bool first = world.shutdown == SHUT_NONE;
	uint64_t limit = world.mgr.set->init.shutdown_timeout;

	world.shutdown = kind; /* a second request changes only the kind */
	if (!first)
		return;
	log_info("shutdown: begins kind=%s", shutdown_names[kind]);
	svc_shutdown(&world.mgr);
	if (!limit && world.trial)
		limit = TRIAL_SHUTDOWN;
	if (limit)
		(void)loop_arm(world.loop, &st.shutdown_timer, loop_now() + limit);
}

static void on_shutdown_timer(struct loop_timer *t)
{
	(void)t;
	st.shutdown_late = true;
	for (size_t i = 0; i < world.mgr.set->n; i++)
		if (svc_is_active(world.mgr.v[i]))
			log_warn("shutdown: out of time name=%s state=%s", world.mgr.v[i]->name,
				 svc_state_names[world.mgr.v[i]->state]);
}

static void ctrl_alt_del(void)
{
	switch (world.mgr.set->init.ctrl_alt_del) {
	case SVC_CAD_REBOOT:
		world_shutdown(SHUT_REBOOT);
		break;
	case SVC_CAD_POWEROFF:
		world_shutdown(SHUT_POWEROFF);
		break;
	default:
		break;
	}
}

static void on_signal(struct loop *l, const void *info, void *arg)
{
	const struct signalfd_siginfo *si = info;
	int sig = (int)si->ssi_signo;

	if (sig == SIGCHLD)
		st.reap = true;
	else if (sig == SIGINT)
		ctrl_alt_del();
	else if (sig == SIGTERM || sig == SIGUSR2 || sig == SIGPWR || sig == SIGRTMIN + 3)
		world_shutdown(SHUT_POWEROFF);
	else if (sig == SIGUSR1)
		world_shutdown(SHUT_HALT);
}

static bool services_gone(void)
{
	for (size_t i = 0; i < world.mgr.set->n; i++)
		if (svc_is_active(world.mgr.v[i]))
			return false;
	return true;
}

/* Everything that is left: ask, wait, kill. The logger ends when its socket is closed. */
static void kill_rest(void)
{
	static const struct {
		int sig;
		uint64_t wait;
	} rounds[] = { { SIGTERM, 2 * SECOND }, { SIGKILL, SECOND } };

	early_log_pipe(-1);
	for (size_t i = 0; i < world.mgr.set->n; i++) {
		fd_close(&world.mgr.v[i]->log_write);
		fd_close(&world.mgr.v[i]->log_read);
	}
	fd_close(&st.init_pipe[1]);
	fd_close(&st.init_pipe[0]);
	fd_close(&st.logger_sock);
	for (size_t i = 0; i < ARRAY_LEN(rounds); i++) {
		uint64_t until = loop_now() + rounds[i].wait;
		if (world.pid1)
			(void)kill(-1, rounds[i].sig);
		while (loop_now() < until) {
			siginfo_t si = { 0 };
			if (waitid(P_ALL, 0, &si, WEXITED | WNOHANG | WNOWAIT) < 0)
				return; /* ECHILD: nobody is left */
			st.reap = false;
			if (si.si_pid)
				(void)reap_children();
			else
				(void)loop_turn(world.loop, until - loop_now());
		}
	}
}

__attribute__((noreturn)) static void finish(void)
{
	static const int commands[SHUT_MAX] = { [SHUT_REBOOT] = RB_AUTOBOOT,
						[SHUT_POWEROFF] = RB_POWER_OFF,
						[SHUT_HALT] = RB_HALT_SYSTEM };

	kill_rest();
	log_info("shutdown: services are down, unmounting");
	watchdog_end(world.shutdown == SHUT_REBOOT);
	final_unmount();
	if (world.pid1)
		final_reboot(commands[world.shutdown]);
	_exit(0);
}

/* ---- a boot on trial; the hardware watchdog --------------------------------------------------*/

static void look_gate(void)
{
	if (st.gate.state != GATE_WAITS || world.shutdown)
		return;
	if (gate_look(&st.gate, &world.mgr, loop_now())) {
		log_error("trial: the health gate failed, rebooting why=\"%s\"", st.gate.why);
		world_shutdown(SHUT_REBOOT);
		svc_settle(&world.mgr); /* this turn: nothing else may happen for long */
	} else if (st.gate.state != GATE_WAITS) {
		world.trial = false; /* what fails from here on may ask for help */
		loop_disarm(world.loop, &st.gate_timer);
		log_info("trial: passed");
	}
}

static void on_gate_timer(struct loop_timer *t)
{
	(void)t; /* the turn that follows looks */
}

static void start_gate(void)
{
	gate_init(&st.gate, &world.mgr.set->init, world.trial, loop_now());
	st.gate_timer.fn = on_gate_timer;
	if (st.gate.deadline)
		(void)loop_arm(world.loop, &st.gate_timer, st.gate.deadline);
}

static void on_watchdog_timer(struct loop_timer *t)
{
	watchdog_pet();
	(void)loop_arm(world.loop, t, loop_now() + watchdog_pause());
}

static void set_watchdog(void)
{
	watchdog_set(world.mgr.set->init.watchdog);
	st.watchdog_timer.fn = on_watchdog_timer;
	if (!watchdog_pause())
		loop_disarm(world.loop, &st.watchdog_timer);
	else
		(void)loop_arm(world.loop, &st.watchdog_timer, loop_now() + watchdog_pause());
}

/* ---- loading ---------------------------------------------------------------------------------*/

int world_read_set(const char *path, struct svc_set **ret, struct err *e)
{
	return svc_set_load(path, ret, e);
}

int world_load(const char *path, struct svc_set *next)
{
	char hostname[256] = "";

	if (next->init.hostname)
		snprintf(hostname, sizeof(hostname), "%s", next->init.hostname);
	int r = svc_load(&world.mgr, next);
	if (r < 0)
		return r;
	if (world.pid1)
		early_hostname(hostname[0] ? hostname : NULL);
	if (path != world.next_path)
		snprintf(world.next_path, sizeof(world.next_path), "%s", path);
	log_info("load: begins set=%s", path);
	return 0;
}

static void load_failed(void)
{
	log_warn("load: failed, the old set stays why=\"%s%s%s\"", world.mgr.load_culprit,
		 world.mgr.load_culprit[0] ? ": " : "", strerror(-world.mgr.load_error));
	if (world.pid1)
		early_hostname(world.mgr.set->init.hostname);
}

/* Log settings may have changed with the set: tell all again. */
static void load_done(void)
{
	snprintf(world.set_buf, sizeof(world.set_buf), "%s", world.next_path);
	world.set_path = world.set_buf;
	for (size_t i = 0; i < world.mgr.set->n; i++)
		world.mgr.v[i]->log_sent = false;
	if (st.logger_sock >= 0)
		send_streams();
	if (st.logger_due && !st.logger_timer.index)
		(void)loop_arm(world.loop, &st.logger_timer, loop_now() + 100 * MS);
	set_watchdog();
	log_info("load: done services=%zu", world.mgr.set->n);
}

/* ---- start and loop --------------------------------------------------------------------------*/

static int block_signals(void)
{
	sigset_t all;

	sigfillset(&all);
	/* What the kernel raises for a fault must end in a fault. */
	sigdelset(&all, SIGSEGV);
	sigdelset(&all, SIGBUS);
	sigdelset(&all, SIGILL);
	sigdelset(&all, SIGFPE);
	sigdelset(&all, SIGABRT);
	sigdelset(&all, SIGTRAP);
	sigdelset(&all, SIGSYS);
	return loop_signals(world.loop, &all, on_signal, NULL);
}

int world_init(struct svc_set *set, const char *run_dir, struct err *e)
{
	char path[108];
	int r = loop_new(LIMIT_SVC_COUNT * 2 + 16, &world.loop);

	world.run_dir = run_dir;
	world.start = loop_now();
	world.pid1 = getpid() == 1;
	st.logger_timer.fn = on_logger_timer;
	st.shutdown_timer.fn = on_shutdown_timer;
	if (r == 0)
		r = block_signals();
	if (r < 0)
		return err_num(e, r, "event loop");
	if (!world.pid1)
		(void)prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
	r = file_mkdir_p(AT_FDCWD, run_dir, 0755, e);
	if (r < 0)
		return r;
	snprintf(st.notify_path, sizeof(st.notify_path), "%.90s/notify", run_dir);
	r = child_init(st.notify_path);
	if (r < 0)
		return err_num(e, r, "shared page");
	cgroup_init();
	r = svc_mgr_init(&world.mgr, set, &ops);
	if (r < 0)
		return err_num(e, r, "service table");
	r = notify_open(st.notify_path, e);
	if (r < 0)
		return r;
	snprintf(path, sizeof(path), "%.90s/init.sock", run_dir);
	return control_open(path, e);
}

static void open_own_log(void)
{
	if (pipe2(st.init_pipe, O_CLOEXEC) < 0)
		return;
	(void)fd_set_nonblock(st.init_pipe[1], true);
	early_log_pipe(st.init_pipe[1]);
}

static void look_booted(void)
{
	unsigned failed = 0;

	if (world.booted || !svc_all_settled(&world.mgr))
		return;
	world.booted = true;
	for (size_t i = 0; i < world.mgr.set->n; i++)
		failed += world.mgr.v[i]->state == SVC_FAILED;
	log_info("boot: settled services=%zu failed=%u ms=%llu", world.mgr.set->n, failed,
		 (unsigned long long)((loop_now() - world.start) / MS));
}

void world_run(void)
{
	set_watchdog();
	open_own_log();
	start_logger();
	start_gate();
	st.reap = true; /* children from before the signals were blocked */
	for (;;) {
		bool loading = world.mgr.pending != NULL;
		if (st.reap)
			st.reap = reap_children();
		svc_settle(&world.mgr);
		if (loading && !world.mgr.pending && !world.shutdown)
			world.mgr.load_error ? load_failed() : load_done();
		look_booted();
		look_gate();
		control_turn();
		if (world.shutdown && (st.shutdown_late || services_gone()))
			finish();
		int r = loop_turn(world.loop, st.reap ? 0 : UINT64_MAX);
		if (r < 0)
			log_error("loop: turn failed why=\"%s\"", strerror(-r));
	}
}
