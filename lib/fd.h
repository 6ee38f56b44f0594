/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * File descriptors and files. Descriptors are close-on-exec from birth, start at -1, and are closed
 * once. Functions fill e on failure and name the path they worked on.
 */
#pragma once

#include <dirent.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

#include "lib/err.h"
#include "lib/str.h"

/* Closes *fd if >= 0 and sets it to -1; keeps errno. */
void fd_close(int *fd);
int fd_take(int *fd); /* returns *fd and leaves -1 */

static inline void fd_cleanup(int *fd)
{
	fd_close(fd);
}
#define auto_fd __attribute__((cleanup(fd_cleanup)))

static inline void free_cleanup(void *p)
{
	free(*(void **)p);
}
#define auto_free __attribute__((cleanup(free_cleanup)))

/* Whole reads and writes: EINTR and short counts are handled. 0 or -errno; fd_read_full gives
 * -ENODATA when the file ends early. */
int fd_read_full(int fd, void *buf, size_t n);
int fd_write_full(int fd, const void *buf, size_t n);
/* As read(2) with EINTR handled: count, 0 at the end, or -errno. */
ssize_t fd_read_some(int fd, void *buf, size_t n);
/* Append everything up to the end of fd, at most limit bytes (-ERR_LIMIT beyond). */
int fd_read_all(int fd, struct str *out, size_t limit);

/* Read the file dirfd/path. dirfd may be AT_FDCWD. */
int file_read(int dirfd, const char *path, struct str *out, size_t limit, struct err *e);
/* Write a file so that after a crash it is the old or the new one: temporary name in the same
 * directory, fsync, rename, fsync of the directory. */
int file_write_atomic(int dirfd, const char *path, const void *p, size_t n, mode_t mode,
		      struct err *e);
/* Remove what file_write_atomic() and file_symlink_atomic(), cut off, left in the directory.
 * Only for who alone writes there; what cannot be removed stays. */
void file_sweep_temps(int dirfd);
/* The next entry of a directory: 1; none is left: 0; -errno: what was seen is not all there is.
 * *ret is valid until the next call. */
int file_next(DIR *dir, struct dirent **ret);
/* Replace or make the symbolic link dirfd/path by rename, with fsync of the directory. */
int file_symlink_atomic(int dirfd, const char *target, const char *path, struct err *e);
/* readlink of any length. */
int file_readlink(int dirfd, const char *path, struct str *out, struct err *e);
/* mkdir -p; existing directories (not links to files) are fine. */
int file_mkdir_p(int dirfd, const char *path, mode_t mode, struct err *e);
/* Delete a tree of any depth without following links, by a bounded number of descriptors; makes
 * directories writable as needed. A missing path is success. ret_bytes (may be NULL): bytes of
 * blocks freed. */
int file_delete_tree(int dirfd, const char *path, uint64_t *ret_bytes, struct err *e);
/* Tells of each file that is deleted and has other names, as it was before. */
typedef void file_linked_fn(void *arg, const struct stat *st);
int file_delete_tree_linked(int dirfd, const char *path, file_linked_fn *linked, void *arg,
			    uint64_t *ret_bytes, struct err *e);
/* fsync a path (file or directory). */
int file_sync(int dirfd, const char *path, struct err *e);
/* A file to lock, made if it is not there, which nobody but its owner can open: who can read it can
 * hold a lock that keeps everybody from writing. Descriptor or negative code. */
int file_open_lock(int dirfd, const char *path, struct err *e);
/* Open-file-description lock on fd: exclusive or shared. wait false: -EAGAIN when taken. */
int fd_lock(int fd, bool exclusive, bool wait);
int fd_unlock(int fd);
/* Send and receive one descriptor with one data byte over a Unix socket. */
int fd_send(int sock, int fd, char byte);
int fd_recv(int sock, int *ret_fd, char *ret_byte);
int fd_set_nonblock(int fd, bool on);
