/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The only file that knows mksquashfs. */
#include "image/squashfs.h"

#include <stdio.h>

#include "image/tarball.h"
#include "image/tarpipe.h"

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
	static const char *const envp[] = { "LC_ALL=C", "TZ=UTC", NULL };
	char processors[16];
	/* The root directory would get the user and the time of day, and of the options for it only
	 * its mode is heeded with -tar. So all entries get owner and time here; plain_check() sees
	 * to it that these are theirs. */
	const char *const argv[] = {
		o->mksquashfs, "-",	      o->file,
		"-tar",	       "-quiet",      "-no-progress",
		"-comp",       "zstd",	      "-Xcompression-level",
		"15",	       "-b",	      "256K",
		"-mkfs-time",  "1",	      "-all-time",
		"1",	       "-all-root",   "-root-mode",
		"0755",	       "-processors", processors,
		NULL,
	};
	const struct tarpipe_opts pipe = {
		.argv = argv, .envp = envp, .file = o->file, .flags = TARBALL_NO_TOP
	};

	(void)snprintf(processors, sizeof(processors), "%u", o->processors ? o->processors : 1);
	int r = plain_check(&c->manifest, e);
	return r < 0 ? r : tarpipe_run(&pipe, c, e);
}
