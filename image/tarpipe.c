/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "image/tarpipe.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "image/tarball.h"
#include "lib/fd.h"
#include "lib/proc.h"

static int start(const struct tarpipe_opts *o, int in, struct proc *ret, struct err *e)
{
	struct proc_spec spec = PROC_SPEC_INIT;

	spec.argv = o->argv;
	spec.envp = o->envp;
	spec.in = in;
	spec.out = -2;
	spec.dies_with_us = true;
	return proc_start(&spec, ret, e);
}

/* A writer whose reader has ended gets an error, not a signal: what the program says counts. */
static int write_quietly(const struct tarpipe_opts *o, int out, struct contents *c, struct err *e)
{
	void (*old)(int) = signal(SIGPIPE, SIG_IGN);
	int r = tarball_write(out, o->flags, c, e);

	(void)signal(SIGPIPE, old);
	return r;
}

int tarpipe_run(const struct tarpipe_opts *o, struct contents *c, struct err *e)
{
	struct proc p = PROC_INIT;
	struct err one = ERR_INIT;
	char text[64];
	int ends[2], status = 0;

	if (pipe2(ends, O_CLOEXEC) < 0)
		return err_sys(e, "%s", o->file);
	auto_fd int in = ends[0];
	auto_fd int out = ends[1];
	int r = start(o, in, &p, e);
	if (r < 0)
		return r;
	fd_close(&in);
	int wrote = write_quietly(o, out, c, &one);
	if (wrote < 0 && wrote != -EPIPE)
		(void)proc_kill(&p, SIGTERM);
	fd_close(&out);
	r = proc_wait(&p, &status);
	if (wrote < 0 && wrote != -EPIPE)
		r = err_set(e, wrote, "%s", one.msg);
	else if (r < 0)
		r = err_num(e, r, "waiting for %s", o->argv[0]);
	else if (status != 0 || wrote < 0) {
		proc_status_text(status, text);
		r = err_set(e, -EIO, "%s failed: %s", o->argv[0], text);
	}
	if (r < 0)
		(void)unlink(o->file); /* half a file system is of no use */
	return r;
}
