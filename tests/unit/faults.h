/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Calls that change the disk, of which the n-th is the last one of the process, or fails. To be
 * included by the one file of a test, which then has these in place of the C library's.
 */
#pragma once

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static int countdown;				  /* the n-th call; 0: none */
static int failure;				  /* errno to fail with; 0: end the process */
static enum { LINKS, FAR_LINKS, NO_LINKS } links; /* LINKS; not from the store; as on FAT */
static void (*on_flush)(void);			  /* after a syncfs(); may be NULL */
static void (*on_drop)(int fd); /* what fd has will be read from the disk; may be NULL */
static const char *failed_call; /* the last call that failed here */
static char failed_name[256];	/* what it was about; "" for a descriptor */

#define CUT 99 /* status of a process that was ended */

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

/* true when the call must fail */
static bool tick_at(const char *call, const char *name)
{
	if (countdown == 0 || --countdown > 0)
		return false;
	if (!failure)
		_exit(CUT);
	failed_call = call;
	(void)snprintf(failed_name, sizeof(failed_name), "%s", name);
	errno = failure;
	return true;
}

#define tick() tick_at(__func__, "")

/* A process that ends loses nothing: waiting is for nothing. */
int fsync(int fd)
{
	(void)fd;
	return tick() ? -1 : 0;
}

int syncfs(int fd)
{
	(void)fd;
	if (tick())
		return -1;
	if (on_flush)
		on_flush();
	return 0;
}

/* Reading from the disk itself waits for it. */
int posix_fadvise(int fd, off_t at, off_t n, int advice)
{
	(void)at, (void)n;
	if (advice == POSIX_FADV_DONTNEED && on_drop)
		on_drop(fd);
	return 0;
}

int mkdirat(int dir, const char *path, mode_t mode)
{
	return tick_at(__func__, path) ? -1 : REAL(mkdirat)(dir, path, mode);
}

int renameat(int a, const char *x, int b, const char *y)
{
	return tick_at(__func__, y) ? -1 : REAL(renameat)(a, x, b, y);
}

int linkat(int a, const char *x, int b, const char *y, int flags)
{
	if (tick_at(__func__, y))
		return -1;
	if (links == NO_LINKS)
		return errno = EPERM, -1;
	if (links == FAR_LINKS && strstr(x, "gnu/store/"))
		return errno = EXDEV, -1;
	return REAL(linkat)(a, x, b, y, flags);
}

int symlinkat(const char *target, int dir, const char *path)
{
	return tick_at(__func__, path) ? -1 : REAL(symlinkat)(target, dir, path);
}

int unlinkat(int dir, const char *path, int flags)
{
	return tick_at(__func__, path) ? -1 : REAL(unlinkat)(dir, path, flags);
}

int unlink(const char *path)
{
	return tick_at(__func__, path) ? -1 : REAL(unlink)(path);
}

/* In a child that ends at its n-th call: run(arg), which returns 0 when all went well. CUT: it
 * ended there; 0: it got through; -1: it failed. */
static inline int run_cut_at(int n, int (*run)(void *arg), void *arg)
{
	int status = 0;
	pid_t pid = fork();

	if (pid == 0) {
		countdown = n;
		failure = 0;
		_exit(run(arg) == 0 ? 0 : 1);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid || !WIFEXITED(status))
		return -1;
	return WEXITSTATUS(status) == 0 || WEXITSTATUS(status) == CUT ? WEXITSTATUS(status) : -1;
}
