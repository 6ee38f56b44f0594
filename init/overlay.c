/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "init/overlay.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/loop.h>
#include <limits.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "lib/fd.h"
#include "lib/size.h"

/* Nobody changes an item of a store, so everything may be cached. */
#define STORE_9P   "trans=virtio,version=9p2000.L,msize=262144,cache=loose"
#define LOOP_TRIES 8 /* somebody may take the free one first */

/* Attach file read-only to a free loop device, which goes away with its last user. */
static int loop_attach(int file, char device[32], int *ret_fd, struct err *e)
{
	struct loop_config config = { .fd = (__u32)file,
				      .info.lo_flags = LO_FLAGS_READ_ONLY | LO_FLAGS_AUTOCLEAR };
	auto_fd int control = open("/dev/loop-control", O_RDWR | O_CLOEXEC);

	if (control < 0)
		return err_sys(e, "/dev/loop-control");
	for (int i = 0; i < LOOP_TRIES; i++) {
		int number = ioctl(control, LOOP_CTL_GET_FREE);
		if (number < 0)
			return err_sys(e, "no loop device is free");
		(void)snprintf(device, 32, "/dev/loop%d", number);
		auto_fd int fd = open(device, O_RDONLY | O_CLOEXEC);
		if (fd < 0)
			return err_sys(e, "%s", device);
		if (ioctl(fd, LOOP_CONFIGURE, &config) == 0) {
			*ret_fd = fd_take(&fd);
			return 0;
		}
		if (errno != EBUSY)
			return err_sys(e, "%s", device);
	}
	return err_num(e, -EBUSY, "no loop device is free");
}

int overlay_image(const char *medium, const char *path, struct err *e)
{
	static const char *const types[] = { "squashfs", "erofs" };
	char file[PATH_MAX], device[32];
	auto_fd int loop = -1;

	int n = snprintf(file, sizeof(file), "%s%s", medium, path);
	if (n < 0 || (size_t)n >= sizeof(file))
		return err_num(e, -ENAMETOOLONG, "%s", path);
	auto_fd int fd = open(file, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return err_sys(e, "%s on the medium", path);
	int r = loop_attach(fd, device, &loop, e);
	if (r < 0)
		return r;
	if ((r = file_mkdir_p(AT_FDCWD, OVERLAY_LOWER, 0755, e)) < 0)
		return r;
	for (size_t i = 0; i < ARRAY_LEN(types); i++) {
		if (mount(device, OVERLAY_LOWER, types[i], MS_RDONLY, NULL) == 0)
			return 0;
		r = -errno;
	}
	return err_num(e, r, "%s on the medium cannot be mounted", path);
}

int overlay_mount(const char *to, struct err *e)
{
	static const char options[] = "lowerdir=" OVERLAY_LOWER ",upperdir=" OVERLAY_UPPER
				      "/files,workdir=" OVERLAY_UPPER "/work";

	int r = file_mkdir_p(AT_FDCWD, OVERLAY_UPPER, 0755, e);
	if (r < 0)
		return r;
	if (mount("tmpfs", OVERLAY_UPPER, "tmpfs", MS_NODEV, "mode=0755,size=75%") < 0)
		return err_sys(e, "mount " OVERLAY_UPPER);
	if ((r = file_mkdir_p(AT_FDCWD, OVERLAY_UPPER "/files", 0755, e)) < 0 ||
	    (r = file_mkdir_p(AT_FDCWD, OVERLAY_UPPER "/work", 0755, e)) < 0)
		return r;
	if (mount("root", to, "overlay", 0, options) < 0)
		return err_sys(e, "cannot mount memory above the root file system");
	return 0;
}

int overlay_store(const char *root, const char *tag, struct err *e)
{
	char store[PATH_MAX], work[PATH_MAX], options[3 * PATH_MAX];

	(void)snprintf(store, sizeof(store), "%.1024s/gnu/store", root);
	(void)snprintf(work, sizeof(work), "%.1024s/gnu/.store-work", root);
	(void)snprintf(options, sizeof(options),
		       "lowerdir=" OVERLAY_STORE ",upperdir=%s,workdir=%s", store, work);
	int r = file_mkdir_p(AT_FDCWD, OVERLAY_STORE, 0755, e);
	if (r < 0 || (r = file_mkdir_p(AT_FDCWD, work, 0700, e)) < 0)
		return r;
	if (mount(tag, OVERLAY_STORE, "9p", MS_RDONLY | MS_NODEV | MS_NOSUID, STORE_9P) < 0)
		return err_sys(e, "cannot mount the shared store %s", tag);
	if (mount("store", store, "overlay", 0, options) < 0)
		return err_sys(e, "cannot mount %s above the shared store", store);
	return 0;
}
