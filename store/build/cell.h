/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What the set-up of a process in namespaces of its own is made of. The first half is for that
 * process: nothing there allocates, and what fails is reported to the parent and ends it. The
 * second half is the parent's.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "lib/err.h"
#include "store/kernel.h"

#define CELL_MOUNT_SAFE	 (KERNEL_MOUNT_ATTR_NOSUID | KERNEL_MOUNT_ATTR_NODEV)
#define CELL_MOUNT_INPUT (CELL_MOUNT_SAFE | KERNEL_MOUNT_ATTR_RDONLY)
#define CELL_REPORT_MAX	 400

struct cell_id {
	uid_t uid; /* inside */
	gid_t gid;
	uid_t host_uid; /* what they are outside */
	gid_t host_gid;
	bool privileged; /* the caller is root: may map an id that is not its own */
};

struct cell {
	int sync; /* "g" from the parent; report to it; its end tells that it died */
	int root; /* the tmpfs that becomes "/", and the working directory; -1 until it is made */
};

/* Report the phase that failed, with errno, and end. kind: 'S' set-up, 'B' the program itself. */
__attribute__((noreturn, format(printf, 3, 4))) void cell_die(struct cell *c, char kind,
							      const char *fmt, ...);
/* Paths without a leading '/' are below the new root. */
void cell_put_file(struct cell *c, const char *path, const char *text);
void cell_put_proc(struct cell *c, const char *path, const char *text); /* absolute */
void cell_make_dir(struct cell *c, const char *path, mode_t mode);
/* Directories on the way to an absolute path, and the last one. */
void cell_make_way(struct cell *c, const char *path);
/* Bind source on target and add mount attributes. */
void cell_bind(struct cell *c, const char *source, const char *target, uint64_t attrs);
/* The same directory in our mount namespace: a descriptor from outside names a mount of the other
 * one, which can be neither source nor target of a bind. */
int cell_reopen(struct cell *c, int fd);
/* The new root: an empty tmpfs, attached to the directory place and made the working directory. */
void cell_make_root(struct cell *c, int place);
/* Make it the root, read-only as far as modes go. */
void cell_enter_root(struct cell *c);
void cell_reset_signals(void);
/* Keys of the daemon's session would be ours. */
void cell_leave_keyring(struct cell *c);

/* Take the identity that the parent gave. Capabilities in the namespaces stay. */
void cell_become(struct cell *c, const struct cell_id *id);
/* Where the kernel has it: no abstract socket and no signal reaches a process outside. */
void cell_scope(struct cell *c);
/* Needs no /proc: for who executes nothing, or as somebody who is not 0. */
void cell_drop_capabilities(struct cell *c);
/* Die with the parent. After the last change of identity. */
void cell_tie(struct cell *c);

/* Give the process its identity: nothing else is mapped. */
int cell_write_maps(pid_t pid, const struct cell_id *id, struct err *e);
/* errno of a clone that failed, as -ERR_SANDBOX. */
int cell_clone_error(struct err *e);
/* Wait for the child's report: nothing when it reached its program. */
int cell_read_report(int sync, struct err *e);
/* The report itself, text of n bytes. */
int cell_report_error(const char *text, size_t n, struct err *e);
