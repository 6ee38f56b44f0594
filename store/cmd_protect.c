/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * cairn store protect, for the service that makes the store of a running system read-only.
 *
 * The mount is made, and made read-only, before it is put in place. Read-only afterwards is refused
 * (EBUSY) while somebody writes through it, and the first reader of an old file does: its access
 * time.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/statvfs.h>

#include "lib/fd.h"
#include "store/cmd_store.h"
#include "store/kernel.h"

static int mount_read_only(const char *dir)
{
	auto_fd int tree = kernel_open_tree(AT_FDCWD, dir, KERNEL_AT_RECURSIVE);

	if (tree < 0 ||
	    kernel_mount_setattr(tree, "", AT_EMPTY_PATH | KERNEL_AT_RECURSIVE,
				 KERNEL_MOUNT_ATTR_RDONLY, 0) < 0 ||
	    kernel_place_tree(tree, dir) < 0)
		return -errno;
	return 0;
}

static int run_protect(struct cmd_env *env, struct err *e)
{
	const char *dir = env->args[0];
	struct statvfs v;
	int r;

	if (statvfs(dir, &v) < 0)
		return err_sys(e, "%s", dir);
	if (v.f_flag & ST_RDONLY)
		return 0;
	r = mount_read_only(dir);
	if (r == -EPERM || r == -ENOSYS) { /* a container may not be allowed to */
		printf("%s stays writable: mounts are not permitted\n", dir);
		return store_finish_output(e);
	}
	return r < 0 ? err_num(e, r, "%s: mount it read-only", dir) : 0;
}

const struct cmd store_cmd_protect = {
	.name = "protect",
	.synopsis = "DIRECTORY",
	.summary = "make a store read-only for all but those who keep it",
	.examples = "cairn store protect /gnu/store",
	.help = "For the service that does so when a system starts: lasts until the next boot.",
	.min_args = 1,
	.max_args = 1,
	.run = run_protect,
	.hidden = true,
};
