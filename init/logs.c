/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "init/logs.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "init/child.h"
#include "init/early.h"
#include "init/inherit.h"
#include "init/listen.h"
#include "init/logger.h"
#include "init/state.h"
#include "init/world.h"
#include "lib/fd.h"
#include "lib/log.h"
#include "lib/size.h"

#define MS     1000000ull
#define SECOND 1000000000ull

#define PAUSE (100 * MS) /* before a logger that died soon is followed by another */

static struct {
	pid_t logger;
	int fd, sock; /* its pidfd; our end of its socket */
	uint64_t since;
	bool due; /* streams wait to be sent */
	int own[2];
} st = { .logger = -1, .fd = -1, .sock = -1, .own = { -1, -1 } };
/* What is the loggers', of one after the other. Its other descriptors are those of st. */
static struct {
	int journal, queue[2], syslog;
} own = { -1, { -1, -1 }, -1 };
static struct loop_timer timer;

static int exec_logger(void *arg)
{
	static const char *const argv[] = { "cairn-init", "--logger", NULL };
	static const char *const envp[] = { NULL };
	int fds[] = { *(int *)arg, own.journal, own.queue[0], own.queue[1], own.syslog };

	/* Out of the way first; what is not there stays closed. */
	for (size_t i = 0; i < ARRAY_LEN(fds); i++)
		fds[i] = fcntl(fds[i], F_DUPFD_CLOEXEC, LOGGER_FDS);
	for (size_t i = 0; i < ARRAY_LEN(fds); i++)
		(void)dup2(fds[i], LOGGER_CONTROL + (int)i);
	syscall(SYS_execveat, world.exe, "", argv, envp, AT_EMPTY_PATH);
	return -errno;
}

static uint64_t pick(uint64_t of_service, uint64_t of_set, uint64_t other)
{
	return of_service != SVC_NO_VALUE ? of_service : of_set != SVC_NO_VALUE ? of_set : other;
}

static int send_conf(const char *name, const struct svc_def *d, int fd)
{
	const struct svc_def *i = &world.mgr.set->init;
	struct log_stream stream = { name,
				     i->log_directory,
				     pick(d->log_size, i->log_size, 1 << 20),
				     pick(d->log_keep, i->log_keep, 3),
				     pick(d->log_rate, i->log_rate, 4 << 20),
				     i->log_boots };

	return logger_send(st.sock, &stream, fd);
}

static int send_stream(struct svc *s)
{
	int r = st.sock < 0 ? -EAGAIN : send_conf(s->name, s->def, s->log_read);

	s->log_sent = r == 0;
	if (r < 0)
		st.due = true;
	return r;
}

static void send_streams(void)
{
	st.due = false;
	if (st.own[0] >= 0)
		(void)send_conf(LOG_INIT, &world.mgr.set->init, st.own[0]);
	for (size_t i = 0; i < world.mgr.set->n; i++) {
		struct svc *s = world.mgr.v[i];
		if (s->log_read >= 0 && !s->log_sent && send_stream(s) < 0)
			return;
	}
}

/* What is missing is made; without a queue or a journal the logger cannot work. */
static void make_own(void)
{
	static const struct svc_listen l = { .kind = SVC_DGRAM,
					     .address = "/dev/log",
					     .mode = 0666 };
	char why[120];

	if (own.journal < 0) {
		own.journal = memfd_create("cairn-log", MFD_CLOEXEC);
		(void)!ftruncate(own.journal, LOGGER_JOURNAL_SIZE);
	}
	if (own.queue[0] < 0)
		(void)!pipe2(own.queue, O_CLOEXEC);
	if (own.syslog < 0 && world.pid1) {
		own.syslog = listen_open(&l, why, sizeof(why));
		if (own.syslog < 0)
			log_warn("logger: %s", why);
	}
}

static void start_logger(void)
{
	int pair[2];

	make_own();
	int r = socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0 ? -errno : 0;

	if (r == 0) {
		r = child_fork(exec_logger, &pair[1], &st.logger, &st.fd);
		fd_close(&pair[1]);
		if (r < 0)
			fd_close(&pair[0]);
	}
	st.since = loop_now();
	if (r < 0) {
		log_warn("logger: not started why=\"%s\"", strerror(-r));
		(void)loop_arm(world.loop, &timer, loop_now() + SECOND);
		return;
	}
	st.sock = pair[0];
	for (size_t i = 0; i < world.mgr.set->n; i++)
		world.mgr.v[i]->log_sent = false;
	send_streams();
	/* Its socket takes so many at once. */
	if (st.due && !timer.index)
		(void)loop_arm(world.loop, &timer, loop_now() + 10 * MS);
}

static void on_timer(struct loop_timer *t)
{
	if (st.logger < 0)
		start_logger();
	else if (st.due)
		send_streams();
	if (st.due && !t->index)
		(void)loop_arm(world.loop, t, loop_now() + 100 * MS);
}

pid_t logs_pid(void)
{
	return st.logger;
}

bool logs_ended(pid_t pid)
{
	if (pid != st.logger)
		return false;
	st.logger = -1;
	fd_close(&st.fd);
	fd_close(&st.sock);
	if (world.shutdown)
		return true;
	log_warn("logger: died, starting another");
	if (loop_now() - st.since > SECOND)
		start_logger();
	else
		(void)loop_arm(world.loop, &timer, loop_now() + PAUSE);
	return true;
}

void logs_stamp(const char *path, uint64_t seconds)
{
	int r = st.sock < 0 ? -EAGAIN : logger_stamp(st.sock, path, seconds);

	if (r < 0)
		log_warn("stamp: not written path=%s why=\"%s\"", path, strerror(-r));
}

int logs_end(struct svc *s)
{
	int p[2];

	if (s->log_write < 0) {
		if (pipe2(p, O_CLOEXEC) < 0) {
			int error = errno;
			log_warn("svc: no pipe for its output name=%s why=\"%s\"", s->name,
				 strerror(error));
			errno = error;
			return -1;
		}
		s->log_read = p[0];
		s->log_write = p[1];
		s->log_sent = false;
	}
	if (!s->log_sent && send_stream(s) < 0 && !timer.index)
		(void)loop_arm(world.loop, &timer, loop_now() + 100 * MS);
	return s->log_write;
}

void logs_open(void)
{
	if (st.own[0] >= 0 || pipe2(st.own, O_CLOEXEC) < 0)
		return;
	(void)fd_set_nonblock(st.own[1], true);
	early_log_pipe(st.own[1]);
}

/* The logger of a life before is our child still, with all pipes that it got. */
static void take_over(void)
{
	st.fd = inherit_take(st.fd, 0);
	st.sock = inherit_take(st.sock, S_IFSOCK);
	for (int i = 0; i < 2; i++) {
		st.own[i] = inherit_take(st.own[i], S_IFIFO);
		own.queue[i] = inherit_take(own.queue[i], S_IFIFO);
	}
	own.journal = inherit_take(own.journal, S_IFREG);
	own.syslog = inherit_take(own.syslog, S_IFSOCK);
	if (st.own[0] < 0 || st.own[1] < 0)
		logs_open();
	else
		early_log_pipe(st.own[1]);
	if (st.logger >= 0 && st.sock >= 0 && own.journal >= 0)
		return;
	st.logger = -1;
	fd_close(&st.fd);
	fd_close(&st.sock);
}

void logs_init(void)
{
	timer.fn = on_timer;
	(void)state_keep(STATE_JOURNAL, &own, sizeof(own));
	if (!state_keep(STATE_LOGS, &st, sizeof(st)))
		logs_open();
	else
		take_over();
}

void logs_start(void)
{
	siginfo_t si;

	if (st.logger < 0 && !world.shutdown)
		start_logger();
	else if (st.logger >= 0 &&
		 waitid(P_PID, (id_t)st.logger, &si, WEXITED | WNOHANG | WNOWAIT) < 0)
		(void)logs_ended(st.logger); /* it was reaped by the life before */
	if (st.due && !timer.index)
		(void)loop_arm(world.loop, &timer, loop_now() + 10 * MS);
}

void logs_resend(void)
{
	for (size_t i = 0; i < world.mgr.set->n; i++)
		world.mgr.v[i]->log_sent = false;
	if (st.sock >= 0)
		send_streams();
	if (st.due && !timer.index)
		(void)loop_arm(world.loop, &timer, loop_now() + 100 * MS);
}

void logs_close(void)
{
	early_log_pipe(-1);
	for (size_t i = 0; i < world.mgr.set->n; i++) {
		fd_close(&world.mgr.v[i]->log_write);
		fd_close(&world.mgr.v[i]->log_read);
	}
	fd_close(&st.own[1]);
	fd_close(&st.own[0]);
	fd_close(&st.sock);
	if (st.logger > 1)
		(void)kill(st.logger, SIGCONT); /* a stopped one could not write its last line */
}
