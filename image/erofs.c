/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The only file that knows mkfs.erofs. */
#include "image/erofs.h"

#include <errno.h>
#include <string.h>

#include "image/tarpipe.h"
#include "lib/size.h"

int erofs_make(const struct erofs_opts *o, struct contents *c, struct err *e)
{
	char uuid[GUID_TEXT_MAX];
	/* It spools the contents of files: to the end of the image, or to a temporary file. */
	const char *temporary = arena_fmt(c->arena, "TMPDIR=%s", c->work);
	const char *const envp[] = { "LC_ALL=C", "TZ=UTC", temporary, NULL };
	const char *argv[20] = {
		o->mkfs_erofs, "--tar=f", "--quiet",	"-zlz4hc", "-C65536",
		"-x-1",	       "-T1",	  "--all-time", "-U",	   uuid,
	};
	const struct tarpipe_opts pipe = { .argv = argv, .envp = envp, .file = o->file };
	size_t n = 0;

	if (!temporary)
		return err_num(e, -ENOMEM, "erofs");
	if (strlen(o->label) > EROFS_LABEL_MAX)
		return err_set(e, -ERR_INVALID, "label '%s' is longer than %d bytes", o->label,
			       EROFS_LABEL_MAX);
	guid_format(&o->uuid, uuid);
	while (argv[n])
		n++;
	if (*o->label) {
		argv[n++] = "-L";
		argv[n++] = o->label;
	}
	argv[n] = o->file;
	return tarpipe_run(&pipe, c, e);
}
