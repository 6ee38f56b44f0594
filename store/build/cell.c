/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "store/build/cell.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>

#include "lib/fd.h"
#include "lib/size.h"

#define KEYRING_JOIN 1 /* KEYCTL_JOIN_SESSION_KEYRING */

/* ---- Child ----------------------------------------------------------------------------------- */

void cell_die(struct cell *c, char kind, const char *fmt, ...)
{
	int err = errno;
	char buf[CELL_REPORT_MAX];
	buf[0] = kind;
	va_list ap;
	va_start(ap, fmt);
	int n = vsnprintf(buf + 1, sizeof(buf) - 1, fmt, ap);
	va_end(ap);
	size_t len = n < 0 ? 1 : MIN_OF((size_t)n + 1, sizeof(buf) - 1);
	if (err && len < sizeof(buf) - 1) {
		n = snprintf(buf + len, sizeof(buf) - len, ": %s", strerror(err));
		len = MIN_OF(len + (size_t)(n < 0 ? 0 : n), sizeof(buf) - 1);
	}
	(void)!write(c->sync, buf, len); /* nobody left to tell when this fails */
	_exit(127);
}

void cell_put_file(struct cell *c, const char *path, const char *text)
{
	int fd = openat(c->root, path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	int r = fd < 0 ? -errno : fd_write_full(fd, text, strlen(text));
	if (r) {
		errno = -r;
		cell_die(c, 'S', "cannot write /%s", path);
	}
	close(fd);
}

void cell_put_proc(struct cell *c, const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0 || write(fd, text, strlen(text)) < 0)
		cell_die(c, 'S', "cannot write %s", path);
	close(fd);
}

void cell_bind(struct cell *c, const char *source, const char *target, uint64_t attrs)
{
	if (mount(source, target, NULL, MS_BIND, NULL) < 0)
		cell_die(c, 'S', "cannot bind %s on /%s", source, target);
	if (attrs && kernel_mount_setattr(AT_FDCWD, target, 0, attrs, 0) < 0)
		cell_die(c, 'S', "cannot restrict the mount /%s", target);
}

void cell_make_dir(struct cell *c, const char *path, mode_t mode)
{
	if (mkdirat(c->root, path, mode) < 0 && errno != EEXIST)
		cell_die(c, 'S', "cannot make /%s", path);
}

int cell_reopen(struct cell *c, int fd)
{
	char link[32], path[PATH_MAX];
	struct stat a, b;
	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	ssize_t n = readlink(link, path, sizeof(path) - 1);
	if (n < 0)
		cell_die(c, 'S', "cannot read %s", link);
	path[n] = 0;
	int own = open(path, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (own < 0 || fstat(own, &a) < 0 || fstat(fd, &b) < 0)
		cell_die(c, 'S', "cannot open %.200s", path);
	errno = 0;
	if (a.st_dev != b.st_dev || a.st_ino != b.st_ino)
		cell_die(c, 'S', "%.200s changed meanwhile", path);
	return own;
}

void cell_make_root(struct cell *c, int place)
{
	int fs = (int)syscall(SYS_fsopen, "tmpfs", KERNEL_FSOPEN_CLOEXEC);
	if (fs < 0)
		cell_die(c, 'S', "cannot open a tmpfs");
	if (syscall(SYS_fsconfig, fs, KERNEL_FSCONFIG_SET_STRING, "mode", "0755", 0) < 0 ||
	    syscall(SYS_fsconfig, fs, KERNEL_FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
		cell_die(c, 'S', "cannot make a tmpfs");
	c->root = (int)syscall(SYS_fsmount, fs, KERNEL_FSMOUNT_CLOEXEC, CELL_MOUNT_SAFE);
	if (c->root < 0)
		cell_die(c, 'S', "cannot mount a tmpfs");
	close(fs);
	if (syscall(SYS_move_mount, c->root, "", place, "",
		    KERNEL_MOVE_F_EMPTY_PATH | KERNEL_MOVE_T_EMPTY_PATH) < 0)
		cell_die(c, 'S', "cannot attach the new root");
	if (fchdir(c->root) < 0)
		cell_die(c, 'S', "cannot enter the new root");
}

void cell_make_way(struct cell *c, const char *path)
{
	char buf[PATH_MAX];
	size_t n = strlen(path);
	if (n >= sizeof(buf)) {
		errno = ENAMETOOLONG;
		cell_die(c, 'S', "%s", path);
	}
	memcpy(buf, path, n + 1);
	for (size_t i = 1; i <= n; i++) {
		if (buf[i] != '/' && buf[i])
			continue;
		char keep = buf[i];
		buf[i] = 0;
		cell_make_dir(c, buf + 1, 0755);
		buf[i] = keep;
	}
}

void cell_enter_root(struct cell *c)
{
	/* The old root ends up on top of the new one, and goes. */
	if (syscall(SYS_pivot_root, ".", ".") < 0)
		cell_die(c, 'S', "cannot pivot into the new root");
	if (umount2(".", MNT_DETACH) < 0)
		cell_die(c, 'S', "cannot unmount the old root");
	if (chdir("/") < 0)
		cell_die(c, 'S', "cannot enter /");
	if (chmod("/", 0555) < 0)
		cell_die(c, 'S', "cannot make / read-only");
}

void cell_leave_keyring(struct cell *c)
{
	if (syscall(SYS_keyctl, KEYRING_JOIN, NULL) < 0 && errno != ENOSYS && errno != EPERM)
		cell_die(c, 'S', "cannot join a new session keyring");
}

/* Handlers were reset by the clone; what the daemon or its client ignores is still ignored. */
void cell_reset_signals(void)
{
	static const int ignored[] = {
		SIGPIPE, SIGINT, SIGHUP, SIGQUIT, SIGTERM, SIGCHLD, SIGXFSZ
	};
	for (size_t i = 0; i < ARRAY_LEN(ignored); i++)
		signal(ignored[i], SIG_DFL);
	sigset_t none;
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

void cell_become(struct cell *c, const struct cell_id *id)
{
	if (id->privileged && setgroups(0, NULL) < 0)
		cell_die(c, 'S', "cannot drop the supplementary groups");
	if (setresgid(id->gid, id->gid, id->gid) < 0 || setresuid(id->uid, id->uid, id->uid) < 0)
		cell_die(c, 'S', "cannot become the build user");
	/* The change made /proc/self root's; the second user namespace needs it back. */
	if (prctl(PR_SET_DUMPABLE, 1, 0, 0, 0) < 0)
		cell_die(c, 'S', "cannot become dumpable");
}

void cell_scope(struct cell *c)
{
	/* handled_access_fs, handled_access_net, scoped: abstract sockets, signals */
	static const uint64_t attr[] = { 0, 0, 1 | 2 };
	int fd = (int)syscall(SYS_landlock_create_ruleset, attr, sizeof(attr), 0);
	if (fd < 0) /* before Linux 6.12 there are no scopes */
		return;
	if (syscall(SYS_landlock_restrict_self, fd, 0) < 0)
		cell_die(c, 'S', "cannot restrict sockets and signals");
	close(fd);
}

void cell_drop_capabilities(struct cell *c)
{
	const uint32_t head[] = { 0x20080522 /* version 3 */, 0 };
	static const uint32_t none[6];
	if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0 ||
	    syscall(SYS_capset, head, none) < 0)
		cell_die(c, 'S', "cannot drop the capabilities");
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		cell_die(c, 'S', "cannot set no_new_privs");
}

void cell_tie(struct cell *c)
{
	if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0)
		cell_die(c, 'S', "cannot tie a process to the daemon");
	struct pollfd p = { .fd = c->sync, .events = POLLRDHUP };
	if (poll(&p, 1, 0) != 0) /* the parent died before the line above */
		_exit(127);
}

/* ---- Parent ---------------------------------------------------------------------------------- */

static int write_map(pid_t pid, const char *file, const char *text, struct err *e)
{
	char path[64];
	snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, file);
	auto_fd int fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return err_sys(e, "cannot open %s", path);
	if (write(fd, text, strlen(text)) < 0)
		return err_sys(e, "cannot write %s", path);
	return 0;
}

int cell_write_maps(pid_t pid, const struct cell_id *id, struct err *e)
{
	char text[64];
	snprintf(text, sizeof(text), "%u %u 1", id->uid, (unsigned)id->host_uid);
	int r = write_map(pid, "uid_map", text, e);
	if (!r && !id->privileged)
		r = write_map(pid, "setgroups", "deny", e);
	snprintf(text, sizeof(text), "%u %u 1", id->gid, (unsigned)id->host_gid);
	if (!r)
		r = write_map(pid, "gid_map", text, e);
	return r;
}

int cell_clone_error(struct err *e)
{
	int code = errno;
	err_sys(e, "cannot make the namespaces of a build");
	if (code == EPERM || code == EACCES)
		err_hint(e, -ERR_SANDBOX,
			 "user namespaces seem to be forbidden: in a chroot, or by the sysctls "
			 "kernel.unprivileged_userns_clone and "
			 "kernel.apparmor_restrict_unprivileged_userns");
	else if (code == ENOSPC || code == EUSERS)
		err_hint(e, -ERR_SANDBOX, "raise the sysctls user.max_*_namespaces");
	else if (code == EINVAL || code == ENOSYS)
		err_hint(e, -ERR_SANDBOX, "the kernel lacks namespaces or clone3 (Linux 5.12)");
	if (e)
		e->code = -ERR_SANDBOX;
	return -ERR_SANDBOX;
}

int cell_report_error(const char *text, size_t n, struct err *e)
{
	if (n == 0)
		return 0;
	if (text[0] == 'B')
		return err_set(e, -ERR_BUILD, "%.*s", (int)n - 1, text + 1);
	return err_set(e, -ERR_SANDBOX, "while setting up the sandbox: %.*s", (int)n - 1, text + 1);
}

int cell_read_report(int sync, struct err *e)
{
	char buf[CELL_REPORT_MAX];
	size_t n = 0;
	while (n < sizeof(buf)) {
		ssize_t got = fd_read_some(sync, buf + n, sizeof(buf) - n);
		if (got <= 0)
			break;
		n += (size_t)got;
	}
	return cell_report_error(buf, n, e);
}
