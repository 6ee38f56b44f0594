/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Squashfs by mksquashfs, which reads a tar stream: owners, modes and times are those of the
 * manifest.
 */
#include "image/squashfs.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "image/tarball.h"
#include "lib/fd.h"
#include "lib/proc.h"

static int start(const struct squashfs_opts *o, int in, struct proc *ret, struct err *e)
{
	static const char *const envp[] = { "LC_ALL=C", "TZ=UTC", NULL };
	char processors[16];
	/* The root directory would get the user and the time of day, and of the options for it only
	 * its mode is heeded with -tar. So all entries get owner and time here; plain_check() sees
	 * to it that these are theirs. */
	const char *const argv[] = {
		o->mksquashfs, "-",	      o->file,
		"-tar",	       "-quiet",      "-no-progress",
		"-comp",       "zstd",	      "-Xcompression-level",
		"19",	       "-b",	      "256K",
		"-mkfs-time",  "1",	      "-all-time",
		"1",	       "-all-root",   "-root-mode",
		"0755",	       "-processors", processors,
		NULL,
	};
	struct proc_spec spec = PROC_SPEC_INIT;

	(void)snprintf(processors, sizeof(processors), "%u", o->processors ? o->processors : 1);
	spec.argv = argv;
	spec.envp = envp;
	spec.in = in;
	spec.out = -2;
	spec.dies_with_us = true;
	return proc_start(&spec, ret, e);
}

static int plain_check(const struct manifest *m, struct err *e)
{
	for (size_t i = 0; i < m->entries.n; i++) {
		const struct man_entry *n = manifest_at(m, i);

		if (n->uid || n->gid || n->mtime != 1)
			return err_set(e, -ERR_UNSUPPORTED,
				       "/%s: in a squashfs everything is root's, of time 1",
				       n->path);
	}
	return 0;
}

int squashfs_make(const struct squashfs_opts *o, struct contents *c, struct err *e)
{
	struct proc p = PROC_INIT;
	struct err one = ERR_INIT;
	char text[64];
	int ends[2], status = 0;

	int r = plain_check(&c->manifest, e);
	if (r < 0)
		return r;
	if (pipe2(ends, O_CLOEXEC) < 0)
		return err_sys(e, "squashfs");
	auto_fd int in = ends[0];
	auto_fd int out = ends[1];
	r = start(o, in, &p, e);
	if (r < 0)
		return r;
	fd_close(&in);
	/* A writer whose reader has ended gets an error, not a signal: what mksquashfs says counts.
	 */
	void (*old)(int) = signal(SIGPIPE, SIG_IGN);
	int wrote = tarball_write(out, TARBALL_NO_TOP, c, &one);
	(void)signal(SIGPIPE, old);
	if (wrote < 0 && wrote != -EPIPE)
		(void)proc_kill(&p, SIGTERM);
	fd_close(&out);
	r = proc_wait(&p, &status);
	if (wrote < 0 && wrote != -EPIPE)
		r = err_set(e, wrote, "%s", one.msg);
	else if (r < 0)
		r = err_num(e, r, "waiting for %s", o->mksquashfs);
	else if (status != 0 || wrote < 0) {
		proc_status_text(status, text);
		r = err_set(e, -EIO, "%s failed: %s", o->mksquashfs, text);
	}
	if (r < 0)
		(void)unlink(o->file); /* half a file system is of no use */
	return r;
}
