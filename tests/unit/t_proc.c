/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/proc.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/fd.h"
#include "tests/unit/test.h"

static const char *const *sh(const char *script)
{
	static const char *argv[4] = { "sh", "-c", NULL, NULL };

	argv[2] = script;
	return argv;
}

TEST(output)
{
	struct proc_spec spec = PROC_SPEC_INIT;
	auto_str struct str out = STR_INIT;
	struct err e = ERR_INIT;

	spec.argv = sh("echo hello; pwd");
	spec.cwd = "/";
	CHECK_INT(proc_output(&spec, &out, 100, &e), 0);
	CHECK_STR(out.buf, "hello\n/\n");
	str_cut(&out, 0);
	CHECK_INT(proc_output(&spec, &out, 5, &e), -ERR_LIMIT);
}

TEST(ends_are_told)
{
	struct proc_spec spec = PROC_SPEC_INIT;
	struct err e = ERR_INIT;

	spec.argv = sh("exit 0");
	CHECK_INT(proc_run(&spec, &e), 0);
	spec.argv = sh("exit 3");
	CHECK_INT(proc_run(&spec, &e), -EIO);
	CHECK_STR(e.msg, "sh failed: exit code 3");
	spec.argv = sh("kill -9 $$");
	CHECK_INT(proc_run(&spec, &e), -EIO);
	CHECK_STR(e.msg, "sh failed: signal 9 (Killed)");
}

static int refuse(void *arg)
{
	return *(int *)arg;
}

TEST(failed_steps_are_told_apart)
{
	static const char *const none[] = { "/nonexistent/program", NULL };
	static const char *const nowhere[] = { "no-such-program-anywhere", NULL };
	struct proc_spec spec = PROC_SPEC_INIT;
	struct proc p = PROC_INIT;
	struct err e = ERR_INIT;
	int code = -EPERM;

	spec.argv = none;
	CHECK_INT(proc_start(&spec, &p, &e), -ENOENT);
	CHECK_STR(e.msg, "cannot execute /nonexistent/program: No such file or directory");
	spec.argv = nowhere;
	CHECK_INT(proc_start(&spec, &p, &e), -ENOENT);
	spec.argv = sh("true");
	spec.cwd = "/nonexistent";
	CHECK_INT(proc_start(&spec, &p, &e), -ENOENT);
	CHECK_STR(e.msg, "cannot enter the working directory of sh: No such file or directory");
	spec.cwd = NULL;
	spec.setup = refuse;
	spec.arg = &code;
	CHECK_INT(proc_start(&spec, &p, &e), -EPERM);
	CHECK_STR(e.msg, "cannot set up the process of sh: Operation not permitted");
	CHECK_INT(p.pid, -1);
	CHECK_INT(waitpid(-1, NULL, WNOHANG), -1);
	CHECK_INT(errno, ECHILD);
}

TEST(streams_may_cross)
{
	struct proc_spec spec = PROC_SPEC_INIT;
	struct err e = ERR_INIT;
	auto_str struct str got = STR_INIT;
	int fds[2], saved = dup(1), r;

	/* The parent's descriptor 1 becomes the child's 2, and the pipe its 1. */
	CHECK_INT(pipe2(fds, O_CLOEXEC), 0);
	fflush(stdout);
	dup2(fds[1], 1);
	spec.argv = sh("echo to-err >&2; echo to-out; cat");
	spec.in = -2;
	spec.out = fds[1];
	spec.err = 1;
	r = proc_run(&spec, &e);
	dup2(saved, 1);
	close(saved);
	CHECK_INT(r, 0);
	fd_close(&fds[1]);
	CHECK_INT(fd_read_all(fds[0], &got, 1000), 0);
	CHECK_STR(got.buf, "to-err\nto-out\n");
	fd_close(&fds[0]);
}

TEST(environment_and_session)
{
	static const char *const env[] = { "ONLY=this", "PATH=/usr/bin:/bin", NULL };
	struct proc_spec spec = PROC_SPEC_INIT;
	auto_str struct str out = STR_INIT;
	struct err e = ERR_INIT;

	spec.argv = sh("echo $ONLY $HOME; read _ _ _ _ _ sid _ </proc/$$/stat; [ $sid = $$ ]");
	spec.envp = env;
	spec.setsid = true;
	CHECK_INT(proc_output(&spec, &out, 100, &e), 0);
	CHECK_STR(out.buf, "this\n");
}

TEST(signals_are_reset_in_the_child)
{
	struct proc_spec spec = PROC_SPEC_INIT;
	struct err e = ERR_INIT;
	sigset_t set, old;

	sigfillset(&set);
	sigprocmask(SIG_BLOCK, &set, &old);
	signal(SIGPIPE, SIG_IGN);
	spec.argv = sh("kill -TERM $$; sleep 10; exit 3");
	CHECK_INT(proc_run(&spec, &e), -EIO);
	CHECK_STR(e.msg, "sh failed: signal 15 (Terminated)");
	spec.argv = sh("kill -PIPE $$; exit 3");
	CHECK_INT(proc_run(&spec, &e), -EIO);
	CHECK_STR(e.msg, "sh failed: signal 13 (Broken pipe)");
	signal(SIGPIPE, SIG_DFL);
	sigprocmask(SIG_SETMASK, &old, NULL);
}

static void on_signal(int sig)
{
}

TEST(only_ignored_signals_become_default)
{
	void (*was)(int) = signal(SIGUSR1, SIG_IGN);

	proc_signal_unignore(SIGUSR1);
	CHECK(signal(SIGUSR1, on_signal) == SIG_DFL);
	proc_signal_unignore(SIGUSR1);
	CHECK(signal(SIGUSR1, was) == on_signal);
}

TEST(a_tool_dies_with_its_user)
{
	struct proc_spec spec = PROC_SPEC_INIT;
	struct proc tool = PROC_INIT;
	struct err e = ERR_INIT;
	int fds[2], status;
	char c;

	/* The pipe's other end is open for as long as the tool lives. */
	CHECK_INT(pipe2(fds, O_CLOEXEC), 0);
	pid_t user = fork();
	if (user == 0) {
		/* One process: a child of the tool would keep the pipe. */
		spec.argv = sh("exec sleep 60");
		spec.out = fds[1];
		spec.dies_with_us = true;
		_exit(proc_start(&spec, &tool, &e) == 0 ? 7 : 8);
	}
	fd_close(&fds[1]);
	CHECK_INT(waitpid(user, &status, 0), user);
	CHECK_INT(WEXITSTATUS(status), 7);
	struct pollfd p = { .fd = fds[0], .events = POLLIN };
	CHECK_INT(poll(&p, 1, 20000), 1);
	CHECK_INT(read(fds[0], &c, 1), 0);
	fd_close(&fds[0]);
}

TEST(kill_through_the_descriptor)
{
	static const char *const argv[] = { "sleep", "1000", NULL };
	struct proc_spec spec = PROC_SPEC_INIT;
	struct proc p = PROC_INIT;
	struct err e = ERR_INIT;
	char text[64];
	int status = 0;

	spec.argv = argv;
	CHECK_INT(proc_start(&spec, &p, &e), 0);
	CHECK(p.pid > 0 && p.pidfd >= 0);
	CHECK(fcntl(p.pidfd, F_GETFD) & FD_CLOEXEC);
	CHECK_INT(proc_kill(&p, SIGTERM), 0);
	CHECK_INT(proc_wait(&p, &status), 0);
	proc_status_text(status, text);
	CHECK_STR(text, "signal 15 (Terminated)");
	CHECK_INT(p.pid, -1);
	CHECK_INT(p.pidfd, -1);
	CHECK_INT(proc_wait(&p, &status), -ECHILD);
	CHECK_INT(proc_kill(&p, SIGTERM), -ESRCH);
}

static int be_traced(void *arg)
{
	(void)arg;
	return ptrace(PTRACE_TRACEME, 0, NULL, NULL) < 0 ? -errno : 0;
}

TEST(a_child_cannot_make_us_its_tracer)
{
	struct proc_spec spec = PROC_SPEC_INIT;
	struct proc p = PROC_INIT;
	struct err e = ERR_INIT;
	int status = 0;

	/* The execution stops it, and each signal would. */
	spec.argv = sh("trap 'exit 5' USR1; kill -USR1 $$; exit 6");
	spec.setup = be_traced;
	CHECK_INT(proc_start(&spec, &p, &e), 0);
	CHECK_INT(proc_wait(&p, &status), 0);
	CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 5);
	CHECK_INT(p.pid, -1);
}

TEST_MAIN(output, a_tool_dies_with_its_user, ends_are_told, failed_steps_are_told_apart,
	  streams_may_cross, environment_and_session, signals_are_reset_in_the_child,
	  only_ignored_signals_become_default, kill_through_the_descriptor,
	  a_child_cannot_make_us_its_tracer)
