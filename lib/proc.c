/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/proc.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "lib/fd.h"
#include "lib/size.h"

enum step { STEP_FORK, STEP_STDIO, STEP_SESSION, STEP_CWD, STEP_SETUP, STEP_EXEC, STEP_MAX };

static const char *const step_texts[STEP_MAX] = {
	[STEP_FORK] = "cannot start a process for",
	[STEP_STDIO] = "cannot set up the descriptors of",
	[STEP_SESSION] = "cannot make a session for",
	[STEP_CWD] = "cannot enter the working directory of",
	[STEP_SETUP] = "cannot set up the process of",
	[STEP_EXEC] = "cannot execute",
};

/* What the child tells before it gives up; nothing on success, exec closes the pipe. */
struct report {
	int step, err;
};

static const char *program_of(const struct proc_spec *s)
{
	return s->path ? s->path : s->argv[0];
}

/* A descriptor for standard stream `to`, moved above the three so that dup2 cannot clobber it. */
static int stdio_source(int spec)
{
	if (spec == -1)
		return -1;
	if (spec == -2)
		spec = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (spec < 0)
		return -2;
	if (spec > 2)
		return spec;
	spec = fcntl(spec, F_DUPFD_CLOEXEC, 3);
	return spec < 0 ? -2 : spec;
}

static int set_stdio(const struct proc_spec *s)
{
	int from[3] = { stdio_source(s->in), stdio_source(s->out), stdio_source(s->err) };

	for (int i = 0; i < 3; i++) {
		if (from[i] == -1)
			continue;
		if (from[i] == -2 || dup2(from[i], i) < 0)
			return -errno;
	}
	return 0;
}

/* Whoever died before it was asked for is noticed by the new parent. */
static int tie_to(pid_t parent)
{
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
		return -errno;
	return getppid() == parent ? 0 : -ESRCH;
}

/* Everything up to exec, in the child; the step that failed is in *step. */
static int child_steps(const struct proc_spec *s, pid_t parent, enum step *step)
{
	sigset_t none;
	int r;

	sigemptyset(&none);
	(void)signal(SIGPIPE, SIG_DFL);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	*step = STEP_STDIO;
	r = set_stdio(s);
	if (r < 0)
		return r;
	*step = STEP_SESSION;
	if (s->setsid && setsid() < 0)
		return -errno;
	*step = STEP_CWD;
	if (s->cwd && chdir(s->cwd) < 0)
		return -errno;
	*step = STEP_SETUP;
	if (s->dies_with_us && (r = tie_to(parent)) < 0)
		return r;
	r = s->setup ? s->setup(s->arg) : 0;
	if (r < 0)
		return r;
	*step = STEP_EXEC;
	if (s->path || strchr(s->argv[0], '/'))
		execve(program_of(s), (char *const *)s->argv,
		       (char *const *)(s->envp ? s->envp : (const char *const *)environ));
	else
		execvpe(s->argv[0], (char *const *)s->argv,
			(char *const *)(s->envp ? s->envp : (const char *const *)environ));
	return -errno;
}

static void child(const struct proc_spec *s, pid_t parent, int pipe_fd)
{
	struct report report;
	enum step step;
	int safe = pipe_fd > 2 ? pipe_fd : fcntl(pipe_fd, F_DUPFD_CLOEXEC, 3);

	report.err = child_steps(s, parent, &step);
	report.step = (int)step;
	(void)!write(safe, &report, sizeof(report)); /* the exit status says the rest */
	_exit(127);
}

static int pidfd_open_of(pid_t pid)
{
#ifdef SYS_pidfd_open
	return (int)syscall(SYS_pidfd_open, pid, 0);
#else
	return (int)syscall(434, pid, 0);
#endif
}

static void reap(pid_t pid)
{
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
}

int proc_start(const struct proc_spec *spec, struct proc *ret, struct err *e)
{
	struct report report;
	pid_t pid, parent = getpid();
	int fds[2], got;

	if (pipe2(fds, O_CLOEXEC) < 0)
		return err_sys(e, "%s %s", step_texts[STEP_FORK], program_of(spec));
	pid = fork();
	if (pid == 0)
		child(spec, parent, fds[1]);
	got = pid < 0 ? -errno : 0;
	fd_close(&fds[1]);
	if (pid > 0)
		got = (int)fd_read_some(fds[0], &report, sizeof(report));
	fd_close(&fds[0]);
	if (pid < 0)
		return err_num(e, got, "%s %s", step_texts[STEP_FORK], program_of(spec));
	if (got == (int)sizeof(report)) {
		reap(pid);
		return err_num(e, report.err, "%s %s", step_texts[report.step], program_of(spec));
	}
	ret->pid = pid;
	/* Not reaped yet, so the number cannot have been reused. */
	ret->pidfd = pidfd_open_of(pid);
	if (ret->pidfd < 0) {
		got = err_sys(e, "cannot open a descriptor of the process of %s", program_of(spec));
		(void)kill(pid, SIGKILL);
		reap(pid);
		ret->pid = -1;
		return got;
	}
	return 0;
}

void proc_untrace(pid_t pid, int status)
{
	int sig = WSTOPSIG(status);

	/* SIGTRAP is the tracer's own; any other was on its way to the process. */
	(void)ptrace(PTRACE_DETACH, pid, 0, (void *)(uintptr_t)(sig == SIGTRAP ? 0 : sig));
}

int proc_wait(struct proc *p, int *ret_status)
{
	int status;
	pid_t r;

	if (p->pid < 0)
		return -ECHILD;
	while ((r = waitpid(p->pid, &status, 0)) < 0 ? errno == EINTR : WIFSTOPPED(status))
		if (r > 0)
			proc_untrace(p->pid, status);
	if (r < 0)
		return -errno;
	p->pid = -1;
	fd_close(&p->pidfd);
	*ret_status = status;
	return 0;
}

int proc_kill(const struct proc *p, int sig)
{
	if (p->pidfd < 0)
		return -ESRCH;
#ifdef SYS_pidfd_send_signal
	return syscall(SYS_pidfd_send_signal, p->pidfd, sig, NULL, 0) < 0 ? -errno : 0;
#else
	return syscall(424, p->pidfd, sig, NULL, 0) < 0 ? -errno : 0;
#endif
}

void proc_end(struct proc *p)
{
	int status;
	(void)proc_kill(p, SIGKILL);
	(void)proc_wait(p, &status);
}

void proc_signal_unignore(int sig)
{
	static const unsigned long by_default[4]; /* the kernel's struct sigaction: SIG_DFL first */
	unsigned long now[4] = { 0 };

	(void)syscall(SYS_rt_sigaction, sig, NULL, now, sizeof(uint64_t)); /* no such: stays 0 */
	if (now[0] == (unsigned long)(uintptr_t)SIG_IGN)
		(void)syscall(SYS_rt_sigaction, sig, by_default, NULL, sizeof(uint64_t));
}

int proc_server_signals(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGCHLD);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
	int fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return fd < 0 ? -errno : fd;
}

void proc_status_text(int status, char out[64])
{
	if (WIFEXITED(status))
		snprintf(out, 64, "exit code %d", WEXITSTATUS(status));
	else if (WIFSIGNALED(status))
		snprintf(out, 64, "signal %d (%s)", WTERMSIG(status), strsignal(WTERMSIG(status)));
	else
		snprintf(out, 64, "wait status %#x", (unsigned)status);
}

static int finish(struct proc *p, const struct proc_spec *spec, struct err *e)
{
	const char *program = program_of(spec);
	char text[64];
	int status, r = proc_wait(p, &status);

	if (r < 0)
		return err_num(e, r, "cannot wait for %s", program);
	if (spec->ret_status)
		*spec->ret_status = status;
	if (status == 0)
		return 0;
	proc_status_text(status, text);
	return err_set(e, -EIO, "%s failed: %s", program, text);
}

int proc_run(const struct proc_spec *spec, struct err *e)
{
	struct proc p = PROC_INIT;
	int r = proc_start(spec, &p, e);

	return r < 0 ? r : finish(&p, spec, e);
}

int proc_output(struct proc_spec *spec, struct str *out, size_t limit, struct err *e)
{
	struct proc p = PROC_INIT;
	int fds[2], r, ended;

	if (pipe2(fds, O_CLOEXEC) < 0)
		return err_sys(e, "cannot make a pipe for %s", program_of(spec));
	spec->out = fds[1];
	r = proc_start(spec, &p, e);
	spec->out = -1;
	fd_close(&fds[1]);
	if (r < 0) {
		fd_close(&fds[0]);
		return r;
	}
	r = fd_read_all(fds[0], out, limit);
	fd_close(&fds[0]);
	if (r < 0) {
		(void)proc_kill(&p, SIGKILL); /* it may have ended by itself */
		(void)finish(&p, spec, NULL);
		return err_num(e, r, "cannot read the output of %s", program_of(spec));
	}
	ended = finish(&p, spec, e);
	return ended;
}
