/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Kernel interfaces that not every libc declares: clone3, the descriptor-based mount calls,
 * close_range. Own declarations, so that the files using them compile against musl without the
 * kernel's headers. Numbers are the generic ones, the same on every architecture.
 */
#pragma once

#include <fcntl.h>
#include <sched.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

#ifndef SYS_open_tree
#define SYS_open_tree 428
#endif
#ifndef SYS_move_mount
#define SYS_move_mount 429
#endif
#ifndef SYS_pidfd_send_signal
#define SYS_pidfd_send_signal 424
#endif
#ifndef SYS_pidfd_open
#define SYS_pidfd_open 434
#endif
#ifndef SYS_fsopen
#define SYS_fsopen 430
#endif
#ifndef SYS_fsconfig
#define SYS_fsconfig 431
#endif
#ifndef SYS_fsmount
#define SYS_fsmount 432
#endif
#ifndef SYS_clone3
#define SYS_clone3 435
#endif
#ifndef SYS_close_range
#define SYS_close_range 436
#endif
#ifndef SYS_mount_setattr
#define SYS_mount_setattr 442
#endif

#ifndef SYS_fchmodat2
#define SYS_fchmodat2 452
#endif
#ifndef SYS_landlock_create_ruleset
#define SYS_landlock_create_ruleset 444
#endif
#ifndef SYS_landlock_restrict_self
#define SYS_landlock_restrict_self 446
#endif

#define KERNEL_CLONE_PIDFD	   0x00001000ULL
#define KERNEL_CLONE_NEWCGROUP	   0x02000000ULL
#define KERNEL_CLONE_CLEAR_SIGHAND 0x100000000ULL
#define KERNEL_FSOPEN_CLOEXEC	   1
#define KERNEL_FSCONFIG_SET_STRING 1
#define KERNEL_FSCONFIG_CMD_CREATE 6
#define KERNEL_FSMOUNT_CLOEXEC	   1
#define KERNEL_MOVE_F_EMPTY_PATH   0x04
#define KERNEL_MOVE_T_EMPTY_PATH   0x40
#define KERNEL_MOUNT_ATTR_RDONLY   0x01
#define KERNEL_MOUNT_ATTR_NOSUID   0x02
#define KERNEL_MOUNT_ATTR_NODEV	   0x04
#define KERNEL_CLOSE_RANGE_CLOEXEC 4
#define KERNEL_AT_RECURSIVE	   0x8000
#define KERNEL_OPEN_TREE_CLONE	   1

struct kernel_clone_args {
	uint64_t flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls;
	uint64_t set_tid, set_tid_size, cgroup;
};

struct kernel_mount_attr {
	uint64_t attr_set, attr_clr, propagation, userns_fd;
};

/* As fork(2) with clone flags and a pidfd; only the calling thread exists in the child. */
static inline pid_t kernel_fork(uint64_t flags, int *ret_pidfd)
{
	struct kernel_clone_args a = { .flags = flags | KERNEL_CLONE_PIDFD, .exit_signal = 17 };
	a.pidfd = (uint64_t)(uintptr_t)ret_pidfd;
	return (pid_t)syscall(SYS_clone3, &a, sizeof(a));
}

static inline int kernel_mount_setattr(int dirfd, const char *path, unsigned flags, uint64_t set,
				       uint64_t clear)
{
	struct kernel_mount_attr a = { .attr_set = set, .attr_clr = clear };
	return (int)syscall(SYS_mount_setattr, dirfd, path, flags, &a, sizeof(a));
}

/* A copy of the mount at path, attached nowhere, closed on exec; flags: AT_*. */
static inline int kernel_open_tree(int dirfd, const char *path, unsigned flags)
{
	return (int)syscall(SYS_open_tree, dirfd, path, KERNEL_OPEN_TREE_CLONE | O_CLOEXEC | flags);
}

/* Attach such a copy at path. */
static inline int kernel_place_tree(int tree, const char *path)
{
	return (int)syscall(SYS_move_mount, tree, "", AT_FDCWD, path, KERNEL_MOVE_F_EMPTY_PATH);
}

static inline int kernel_close_range(unsigned from)
{
	return (int)syscall(SYS_close_range, from, ~0U, 0U);
}

static inline int kernel_close_range_cloexec(unsigned from)
{
	return (int)syscall(SYS_close_range, from, ~0U, KERNEL_CLOSE_RANGE_CLOEXEC);
}
