/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What a builder might try. Run by sandbox.sh and builds.sh, as a builder or inside one; static.
 *
 *	attack ways OUTSIDE           a line "can NAME" or "cannot NAME" for each way out; OUTSIDE
 *is a file that is to be seen only there attack mounts INPUT OUTSIDE   the same for mounts, as root
 *of a user namespace attack with-key COMMAND...    run it with a key in the session keyring;
 *outside attack traced                 ask to be traced by the parent, take a signal, make $out
 *	attack orphan TEXT            give up the death with the parent, and stay
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#define KEY		"cairn-test-key"
#define BUILDER		30001
#define KEYRING_SESSION (-3)
#define KEYCTL_JOIN	1
#define KEYCTL_SEARCH	10

static void tell(const char *name, int can)
{
	printf("%s %s\n", can ? "can" : "cannot", name);
}

#ifdef __x86_64__
/* The old way of 32-bit programs to sockets: what is one of its calls; its arguments lie below
 * 4 GiB. */
static long i386_socketcall(long what, int family)
{
	int *args = mmap(NULL, 4096, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
	long r;

	if (args == MAP_FAILED)
		return -ENOMEM;
	args[0] = family;
	args[1] = SOCK_STREAM;
	args[2] = 0;
	args[3] = (int)(long)(args + 8); /* of a pair: where it goes */
	__asm__ volatile("int $0x80"
			 : "=a"(r)
			 : "a"(102L), "b"(what), "c"((long)args)
			 : "memory", "r8", "r9", "r10", "r11");
	return r;
}
#else
static long i386_socketcall(long what, int family)
{
	(void)what;
	(void)family;
	return -ENOSYS;
}
#endif

static int may_peek(pid_t pid)
{
	char here[8], *there = here;
	struct iovec to = { here, sizeof(here) }, from = { there, sizeof(here) };

	return process_vm_readv(pid, &to, 1, &from, 1, 0) > 0;
}

static int may_trace(pid_t pid)
{
	if (ptrace(PTRACE_ATTACH, pid, NULL, NULL) < 0)
		return 0;
	(void)waitpid(pid, NULL, __WALL);
	(void)ptrace(PTRACE_DETACH, pid, NULL, NULL);
	return 1;
}

/* Tracing among the builder's own processes is theirs to do: debuggers are tested in builds. */
static int own_tracing(void)
{
	int status = 0;
	pid_t pid = fork();

	if (pid == 0) {
		if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) == 0)
			(void)raise(SIGSTOP);
		_exit(7);
	}
	if (waitpid(pid, &status, 0) != pid || !WIFSTOPPED(status))
		return 0;
	(void)ptrace(PTRACE_CONT, pid, NULL, NULL);
	return waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 7;
}

/* From the memory of the kernel's own queue: a filter does not see what is in it. */
static int may_use_rings(void)
{
	char params[120] = { 0 };

	return syscall(SYS_io_uring_setup, 4, params) >= 0;
}

/* Labels of the machine's, or capabilities: by each call there is for them. */
static int may_set_xattr(const char *file)
{
	static const char name[] = "user.cairn", value[] = "x";
	const struct {
		unsigned long long value;
		unsigned size, flags;
	} args = { (unsigned long long)value, 1, 0 };
	int fd = open(file, O_CREAT | O_RDWR, 0644);

	return syscall(SYS_setxattr, file, name, value, 1, 0) == 0 ||
	       syscall(SYS_lsetxattr, file, name, value, 1, 0) == 0 ||
	       syscall(SYS_fsetxattr, fd, name, value, 1, 0) == 0 ||
	       syscall(463, AT_FDCWD, file, 0, name, &args, sizeof(args)) == 0; /* setxattrat */
}

/* The size of its list would be an answer, too: that of nothing is 0. */
static int may_list_xattrs(const char *file)
{
	int fd = open(file, O_RDONLY);

	return syscall(SYS_listxattr, file, NULL, 0) >= 0 ||
	       syscall(SYS_llistxattr, file, NULL, 0) >= 0 ||
	       syscall(SYS_flistxattr, fd, NULL, 0) >= 0 ||
	       syscall(465, AT_FDCWD, file, 0, NULL, 0) >= 0; /* listxattrat */
}

/* ENODATA would be the answer of a file system that was asked. */
static int may_get_xattr(const char *file)
{
	static const char name[] = "security.selinux";
	const struct {
		unsigned long long value;
		unsigned size, flags;
	} args = { 0, 0, 0 };
	int fd = open(file, O_RDONLY);

	return syscall(SYS_getxattr, file, name, NULL, 0) >= 0 || errno != EOPNOTSUPP ||
	       syscall(SYS_lgetxattr, file, name, NULL, 0) >= 0 || errno != EOPNOTSUPP ||
	       syscall(SYS_fgetxattr, fd, name, NULL, 0) >= 0 || errno != EOPNOTSUPP ||
	       syscall(464, AT_FDCWD, file, 0, name, &args, sizeof(args)) >= 0 ||
	       (errno != EOPNOTSUPP && errno != ENOSYS); /* getxattrat */
}

static int ways(const char *outside)
{
	if (getuid() != BUILDER) /* whose first process would be the machine's */
		return 2;
	tell("find-key", syscall(SYS_keyctl, KEYCTL_SEARCH, KEYRING_SESSION, "user", KEY, 0) > 0);
	tell("vsock", socket(AF_VSOCK, SOCK_STREAM, 0) >= 0);
	tell("i386-socketcall", i386_socketcall(1, AF_UNIX) >= 0);
	tell("i386-socketcall-pair", i386_socketcall(8, AF_UNIX) >= 0);
	tell("io-uring", may_use_rings());
	tell("set-xattr", may_set_xattr("xattrs"));
	tell("list-xattrs", may_list_xattrs("xattrs"));
	tell("get-xattr", may_get_xattr("xattrs"));
	tell("see-outside", access(outside, F_OK) == 0);
	tell("peek-init", may_peek(1));
	tell("trace-init", may_trace(1));
	tell("init-exe", open("/proc/1/exe", O_RDONLY) >= 0);
	tell("init-fd", open("/proc/1/fd", O_RDONLY | O_DIRECTORY) >= 0);
	tell("init-environ", open("/proc/1/environ", O_RDONLY) >= 0);
	tell("trace-own", own_tracing());
	tell("socket", socket(AF_UNIX, SOCK_STREAM, 0) >= 0);
	(void)kill(1, SIGKILL); /* nobody would be left to say that it worked */
	tell("kill-init", 0);
	printf("tried ways\n");
	return 0;
}

/* The old way out of a root that was only changed: one that one is not below of has no end. */
static int may_leave_root(const char *outside)
{
	int top = open("/", O_RDONLY | O_DIRECTORY);

	if (mkdir("below", 0755) < 0 || chroot("below") < 0 || fchdir(top) < 0)
		return -1;
	for (int i = 0; i < 100; i++)
		if (chdir("..") < 0)
			return -1;
	return access(outside + 1, F_OK) == 0;
}

static int mounts(const char *input, const char *outside)
{
	const unsigned long long clear[] = { 0, 1 /* read-only */, 0, 0 };
	int tree = (int)syscall(SYS_open_tree, AT_FDCWD, input, 1 /* a clone */), left;

	tell("clear-read-only", syscall(442, AT_FDCWD, input, 0, clear, sizeof(clear)) == 0);
	tell("clear-read-only-of-clone",
	     syscall(442, tree, "", AT_EMPTY_PATH, clear, sizeof(clear)) == 0);
	tell("detach-input", umount2(input, MNT_DETACH) == 0);
	tell("detach-proc", umount2("/proc", MNT_DETACH) == 0);
	tell("detach-root", umount2("/", MNT_DETACH) == 0);
	left = may_leave_root(outside);
	if (left < 0)
		return 1;
	tell("leave-root", left);
	printf("tried mounts\n");
	return 0;
}

static int with_key(char **command)
{
	if (syscall(SYS_keyctl, KEYCTL_JOIN, NULL) < 0 ||
	    syscall(SYS_add_key, "user", KEY, "x", 1, KEYRING_SESSION) < 0)
		fprintf(stderr, "no key: %s\n", strerror(errno));
	execvp(command[0], command);
	return 127;
}

static void handler(int sig)
{
	(void)sig;
}

static int traced(const char *file)
{
	if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) < 0)
		return 1;
	(void)signal(SIGUSR1, handler);
	(void)raise(SIGUSR1); /* a tracer must let us go on */
	return open(file, O_CREAT | O_WRONLY, 0644) < 0;
}

static __attribute__((noreturn)) void orphan(void)
{
	(void)prctl(PR_SET_PDEATHSIG, 0);
	for (;;)
		(void)pause();
}

int main(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "";

	if (!strcmp(what, "ways") && argc > 2)
		return ways(argv[2]);
	if (!strcmp(what, "mounts") && argc > 3)
		return mounts(argv[2], argv[3]);
	if (!strcmp(what, "with-key") && argc > 2)
		return with_key(argv + 2);
	if (!strcmp(what, "traced") && getenv("out"))
		return traced(getenv("out"));
	if (!strcmp(what, "orphan"))
		orphan();
	return 2;
}
