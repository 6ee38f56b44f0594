/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "store/build/seccomp.h"

#include <errno.h>
#include <fcntl.h>
#include <seccomp.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "lib/fd.h"
#include "lib/size.h"
#include "store/store.h"

#define SECCOMP_MODE_FILTER_NR 2
#define FAMILIES_MAX	       64
#define TUNSETIFF	       0x400454caU
#define CLONE_ANY_NS	       0x7e020080UL

/* Calls that take a mode: which argument it is. */
static const struct {
	const char *name;
	unsigned arg;
	bool creat; /* the mode counts only with O_CREAT or O_TMPFILE; filtering it always is right
		     */
} mode_calls[] = {
	{ "chmod", 1, false }, { "fchmod", 1, false },	{ "fchmodat", 2, false },
	{ "open", 2, true },   { "creat", 1, true },	{ "openat", 3, true },
	{ "mknod", 1, false }, { "mknodat", 2, false },
};

/* Refused as if the file system had no attributes: tools then go on without. */
static const char *const xattr_calls[] = {
	"setxattr",  "lsetxattr",  "fsetxattr",	 "getxattr",	"lgetxattr",	"fgetxattr",
	"listxattr", "llistxattr", "flistxattr", "removexattr", "lremovexattr", "fremovexattr",
};

/* Refused as if the kernel were older: arguments in memory or calls run by the kernel itself,
 * which a filter cannot look into. Callers fall back. */
static const int blind_numbers[] = { 437 /* openat2 */, 425 /* io_uring_setup */ };

/* EDOM, EEXIST: the call does not exist in one of the tables, or the rule is there already. */
static bool rule_ok(int r)
{
	return r == 0 || r == -EDOM || r == -EEXIST;
}

/* Ways out that no namespace closes: sockets to the hypervisor; and, because its arguments are in
 * memory, the old call of 32-bit programs that could make one. They have the direct call. */
static int add_socket_rules(scmp_filter_ctx ctx)
{
	struct scmp_arg_cmp vsock = SCMP_CMP(0, SCMP_CMP_EQ, AF_VSOCK);
	int r = seccomp_rule_add(ctx, SCMP_ACT_ERRNO(EAFNOSUPPORT), SCMP_SYS(socket), 1, vsock);
	if (!rule_ok(r))
		return r;
	return seccomp_rule_add(ctx, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(socketcall), 0);
}

static int add_bit_rules(scmp_filter_ctx ctx, int nr, unsigned arg, bool o_creat)
{
	static const uint64_t bits[] = { S_ISUID, S_ISGID };
	for (size_t i = 0; i < ARRAY_LEN(bits); i++) {
		struct scmp_arg_cmp mode = SCMP_CMP(arg, SCMP_CMP_MASKED_EQ, bits[i], bits[i]);
		int r;
		if (o_creat) {
			/* Without O_CREAT the argument is whatever was in the register. */
			struct scmp_arg_cmp flag =
				SCMP_CMP(arg - 1, SCMP_CMP_MASKED_EQ, O_CREAT, O_CREAT);
			struct scmp_arg_cmp tmp = SCMP_CMP(arg - 1, SCMP_CMP_MASKED_EQ, 020000000,
							   020000000); /* __O_TMPFILE */
			r = seccomp_rule_add(ctx, SCMP_ACT_ERRNO(EPERM), nr, 2, mode, flag);
			if (!r)
				r = seccomp_rule_add(ctx, SCMP_ACT_ERRNO(EPERM), nr, 2, mode, tmp);
		} else {
			r = seccomp_rule_add(ctx, SCMP_ACT_ERRNO(EPERM), nr, 1, mode);
		}
		if (r)
			return r;
	}
	return 0;
}

static int add_rules(scmp_filter_ctx ctx)
{
	for (size_t i = 0; i < ARRAY_LEN(mode_calls); i++) {
		int nr = seccomp_syscall_resolve_name(mode_calls[i].name);
		bool flagged = mode_calls[i].creat && mode_calls[i].arg >= 2;
		int r = nr == __NR_SCMP_ERROR ? 0
					      : add_bit_rules(ctx, nr, mode_calls[i].arg, flagged);
		if (!rule_ok(r))
			return r;
	}
	for (size_t i = 0; i < ARRAY_LEN(xattr_calls); i++) {
		int nr = seccomp_syscall_resolve_name(xattr_calls[i]);
		if (nr == __NR_SCMP_ERROR)
			continue;
		int r = seccomp_rule_add(ctx, SCMP_ACT_ERRNO(EOPNOTSUPP), nr, 0);
		if (!rule_ok(r))
			return r;
	}
	for (size_t i = 0; i < ARRAY_LEN(blind_numbers); i++) {
		int r = seccomp_rule_add(ctx, SCMP_ACT_ERRNO(ENOSYS), blind_numbers[i], 0);
		if (!rule_ok(r))
			return r;
	}
	int r = add_socket_rules(ctx);
	return rule_ok(r) ? 0 : r;
}

static int export_filter(scmp_filter_ctx ctx, struct filter_prog *ret)
{
	auto_fd int fd = memfd_create("seccomp", MFD_CLOEXEC);
	if (fd < 0)
		return -errno;
	int r = seccomp_export_bpf(ctx, fd);
	if (r)
		return r;
	struct stat st;
	if (fstat(fd, &st) < 0)
		return -errno;
	size_t n = (size_t)st.st_size;
	if (n == 0 || n % 8 || n / 8 > UINT16_MAX)
		return -EINVAL;
	void *p = mmap(NULL, n, PROT_READ, MAP_PRIVATE, fd, 0);
	if (p == MAP_FAILED)
		return -errno;
	ret->filter = p;
	ret->len = (unsigned short)(n / 8);
	return 0;
}

/* Every table of the machine, with the same rules; others are refused, not let through. */
static int add_tables(scmp_filter_ctx ctx)
{
	int r = seccomp_attr_set(ctx, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_ERRNO(ENOSYS));
#ifdef __x86_64__
	if (!r)
		r = seccomp_arch_add(ctx, SCMP_ARCH_X86);
	if (!r)
		r = seccomp_arch_add(ctx, SCMP_ARCH_X32);
#endif
	return r;
}

static int builder_rules(scmp_filter_ctx ctx)
{
	int r = add_tables(ctx);
	return r ? r : add_rules(ctx);
}

/* Unix sockets reach whoever listens at an abstract name; the machine's network is shared here. */
static int download_rules(scmp_filter_ctx ctx)
{
	int r = builder_rules(ctx);
	for (int family = 0; !r && family < FAMILIES_MAX; family++) {
		if (family == AF_INET || family == AF_INET6 || family == AF_NETLINK)
			continue;
		struct scmp_arg_cmp is = SCMP_CMP(0, SCMP_CMP_EQ, (scmp_datum_t)family);
		r = seccomp_rule_add(ctx, SCMP_ACT_ERRNO(EAFNOSUPPORT), SCMP_SYS(socket), 1, is);
		r = rule_ok(r) ? 0 : r;
	}
	struct scmp_arg_cmp more = SCMP_CMP(0, SCMP_CMP_GE, FAMILIES_MAX);
	struct scmp_arg_cmp other = SCMP_CMP(1, SCMP_CMP_MASKED_EQ, 0xe, SOCK_DGRAM);
	struct scmp_arg_cmp seq = SCMP_CMP(1, SCMP_CMP_MASKED_EQ, 0xf, SOCK_SEQPACKET);
	if (!r) /* an end of a pair of these can be sent from to anybody */
		r = seccomp_rule_add(ctx, SCMP_ACT_ERRNO(EAFNOSUPPORT), SCMP_SYS(socketpair), 1,
				     other);
	if (rule_ok(r))
		r = seccomp_rule_add(ctx, SCMP_ACT_ERRNO(EAFNOSUPPORT), SCMP_SYS(socketpair), 1,
				     seq);
	if (rule_ok(r))
		r = seccomp_rule_add(ctx, SCMP_ACT_ERRNO(EAFNOSUPPORT), SCMP_SYS(socket), 1, more);
	return rule_ok(r) ? 0 : r;
}

static int allow_names(scmp_filter_ctx ctx, const char *const *names, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		int nr = seccomp_syscall_resolve_name(names[i]);
		int r = nr == __NR_SCMP_ERROR ? 0 : seccomp_rule_add(ctx, SCMP_ACT_ALLOW, nr, 0);
		if (!rule_ok(r))
			return r;
	}
	return 0;
}

/* open and openat alone have a file's name: nothing can be written, and descriptor 0 is what
 * "/dev/net/tun" would become. */
static int slirp_open_rules(scmp_filter_ctx ctx, int nr, unsigned arg)
{
	struct scmp_arg_cmp read = SCMP_CMP(arg, SCMP_CMP_MASKED_EQ, O_ACCMODE | O_CREAT, O_RDONLY);
	struct scmp_arg_cmp both = SCMP_CMP(arg, SCMP_CMP_MASKED_EQ, O_ACCMODE, O_RDWR);
	int r = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, nr, 1, read);
	return rule_ok(r) ? seccomp_rule_add(ctx, SCMP_ACT_ERRNO(0), nr, 1, both) : r;
}

static int slirp_socket_rules(scmp_filter_ctx ctx)
{
	struct scmp_arg_cmp v4 = SCMP_CMP(0, SCMP_CMP_EQ, AF_INET);
	struct scmp_arg_cmp v6 = SCMP_CMP(0, SCMP_CMP_EQ, AF_INET6);
	/* Of a pair of streams neither end can be sent elsewhere. */
	struct scmp_arg_cmp local = SCMP_CMP(0, SCMP_CMP_EQ, AF_UNIX);
	struct scmp_arg_cmp stream = SCMP_CMP(1, SCMP_CMP_MASKED_EQ, 0xf, SOCK_STREAM);
	int r = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(socket), 1, v4);
	if (rule_ok(r))
		r = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(socket), 1, v6);
	if (rule_ok(r))
		r = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(socketpair), 2, local, stream);
	return r;
}

/* What it calls in any way it likes. */
static const char *const slirp_names[] = {
	"accept",
	"accept4",
	"access",
	"arch_prctl",
	"bind",
	"brk",
	"clock_gettime",
	"close",
	"connect",
	"dup",
	"dup2",
	"dup3",
	"execve",
	"exit",
	"exit_group",
	"faccessat",
	"fcntl",
	"fork",
	"fstat",
	"futex",
	"getcwd",
	"getegid",
	"geteuid",
	"getgid",
	"getpeername",
	"getpid",
	"getrandom",
	"getsockname",
	"getsockopt",
	"gettid",
	"gettimeofday",
	"getuid",
	"listen",
	"lseek",
	"madvise",
	"membarrier",
	"mmap",
	"mprotect",
	"mremap",
	"munmap",
	"nanosleep",
	"newfstatat",
	"pipe2",
	"poll",
	"ppoll",
	"pread64",
	"prlimit64",
	"pselect6",
	"read",
	"readlink",
	"readv",
	"recvfrom",
	"recvmsg",
	"restart_syscall",
	"rseq",
	"rt_sigaction",
	"rt_sigprocmask",
	"rt_sigreturn",
	"sched_getaffinity",
	"select",
	"sendmmsg",
	"sendmsg",
	"sendto",
	"set_robust_list",
	"set_tid_address",
	"setsockopt",
	"shutdown",
	"stat",
	"statx",
	"sysinfo",
	"tgkill",
	"time",
	"uname",
	"wait4",
	"write",
	"writev",
};

static int slirp_ioctl_rules(scmp_filter_ctx ctx)
{
	struct scmp_arg_cmp name_it = SCMP_CMP(1, SCMP_CMP_EQ, TUNSETIFF);
	struct scmp_arg_cmp nonblock = SCMP_CMP(1, SCMP_CMP_EQ, FIONBIO);
	struct scmp_arg_cmp pending = SCMP_CMP(1, SCMP_CMP_EQ, FIONREAD);
	int r = seccomp_rule_add(ctx, SCMP_ACT_ERRNO(0), SCMP_SYS(ioctl), 1, name_it);
	if (rule_ok(r))
		r = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(ioctl), 1, nonblock);
	if (rule_ok(r))
		r = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(ioctl), 1, pending);
	return r;
}

static int slirp_rules(scmp_filter_ctx ctx)
{
	struct scmp_arg_cmp plain = SCMP_CMP(0, SCMP_CMP_MASKED_EQ, CLONE_ANY_NS, 0);
	int r = seccomp_attr_set(ctx, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_ERRNO(EPERM));
	if (!r)
		r = allow_names(ctx, slirp_names, ARRAY_LEN(slirp_names));
	if (rule_ok(r))
		r = slirp_socket_rules(ctx);
	if (rule_ok(r))
		r = slirp_open_rules(ctx, SCMP_SYS(open), 1);
	if (rule_ok(r))
		r = slirp_open_rules(ctx, SCMP_SYS(openat), 2);
	if (rule_ok(r))
		r = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(clone), 1, plain);
	if (rule_ok(r))
		r = seccomp_rule_add(ctx, SCMP_ACT_ERRNO(0), SCMP_SYS(setns), 0);
	if (rule_ok(r))
		r = slirp_ioctl_rules(ctx);
	return rule_ok(r) ? 0 : r;
}

/* What a service has no business with: the machine's mounts, modules, kernels, clocks and swap,
 * other processes, programs in the kernel, keys, and families of sockets that few know. */
static int service_rules(scmp_filter_ctx ctx, bool packet)
{
	static const char *const names[] = {
		"_sysctl",
		"acct",
		"add_key",
		"adjtimex",
		"bpf",
		"clock_adjtime",
		"clock_settime",
		"create_module",
		"delete_module",
		"finit_module",
		"fsconfig",
		"fsmount",
		"fsopen",
		"fspick",
		"get_kernel_syms",
		"init_module",
		"ioperm",
		"iopl",
		"kexec_file_load",
		"kexec_load",
		"keyctl",
		"lookup_dcookie",
		"mount",
		"mount_setattr",
		"move_mount",
		"move_pages",
		"nfsservctl",
		"open_by_handle_at",
		"open_tree",
		"perf_event_open",
		"pivot_root",
		"process_vm_readv",
		"process_vm_writev",
		"ptrace",
		"query_module",
		"quotactl",
		"quotactl_fd",
		"reboot",
		"request_key",
		"setns",
		"settimeofday",
		"stime",
		"swapoff",
		"swapon",
		"sysfs",
		"umount",
		"umount2",
		"unshare",
		"uselib",
		"userfaultfd",
		"vhangup",
		"vm86",
		"vm86old",
	};
	int r = add_tables(ctx);
	for (size_t i = 0; !r && i < ARRAY_LEN(names); i++) {
		int nr = seccomp_syscall_resolve_name(names[i]);
		if (nr == __NR_SCMP_ERROR)
			continue;
		r = seccomp_rule_add(ctx, SCMP_ACT_ERRNO(EPERM), nr, 0);
		r = rule_ok(r) ? 0 : r;
	}
	for (int family = 0; !r && family < FAMILIES_MAX; family++) {
		if (family == AF_UNIX || family == AF_INET || family == AF_INET6 ||
		    family == AF_NETLINK || (packet && family == AF_PACKET))
			continue;
		struct scmp_arg_cmp is = SCMP_CMP(0, SCMP_CMP_EQ, (scmp_datum_t)family);
		r = seccomp_rule_add(ctx, SCMP_ACT_ERRNO(EAFNOSUPPORT), SCMP_SYS(socket), 1, is);
		r = rule_ok(r) ? 0 : r;
	}
	return r;
}

static int plain_service_rules(scmp_filter_ctx ctx)
{
	return service_rules(ctx, false);
}

static int packet_service_rules(scmp_filter_ctx ctx)
{
	return service_rules(ctx, true);
}

/* Compile once: *prog is kept for the next time. */
static int make_filter(struct filter_prog *prog, uint32_t rest, int (*rules)(scmp_filter_ctx),
		       struct filter_prog *ret, struct err *e)
{
	if (prog->filter) {
		*ret = *prog;
		return 0;
	}
	scmp_filter_ctx ctx = seccomp_init(rest);
	if (!ctx)
		return err_set(e, -ENOMEM, "out of memory");
	int r = rules(ctx);
	if (!r)
		r = export_filter(ctx, prog);
	seccomp_release(ctx);
	if (r)
		return err_num(e, r, "cannot make the system call filter");
	*ret = *prog;
	return 0;
}

int filter_builder(struct filter_prog *ret, struct err *e)
{
	static struct filter_prog prog;
	return make_filter(&prog, SCMP_ACT_ALLOW, builder_rules, ret, e);
}

int filter_download(struct filter_prog *ret, struct err *e)
{
	static struct filter_prog prog;
	return make_filter(&prog, SCMP_ACT_ALLOW, download_rules, ret, e);
}

int filter_slirp(struct filter_prog *ret, struct err *e)
{
	static struct filter_prog prog;
	return make_filter(&prog, SCMP_ACT_ERRNO(ENOSYS), slirp_rules, ret, e);
}

int store_service_filter(const char *profile, struct str *out, struct err *e)
{
	static const struct {
		const char *name;
		int (*rules)(scmp_filter_ctx);
	} profiles[] = { { "service", plain_service_rules },
			 { "service-packet", packet_service_rules } };
	struct filter_prog prog = { 0 }, filter;
	for (size_t i = 0; i < ARRAY_LEN(profiles); i++) {
		if (strcmp(profile, profiles[i].name) != 0)
			continue;
		int r = make_filter(&prog, SCMP_ACT_ALLOW, profiles[i].rules, &filter, e);
		if (r == 0)
			str_addn(out, filter.filter, (size_t)filter.len * 8);
		return r < 0 ? r : str_err(out) ? err_num(e, str_err(out), "filter") : 0;
	}
	return err_set(e, -ERR_INVALID, "there is no profile of system calls '%s'", profile);
}

/* Calls younger than libraries know, which then refuse them or take them for those of one table:
 * fchmodat2 of Linux 6.6 with a set-id bit, the *xattrat calls of 6.13. Their numbers are the same
 * in every table (x32 adds a high bit). A second program, stacked on the first. */
static struct insn {
	uint16_t code;
	uint8_t jt, jf;
	uint32_t k;
} young_calls[] = {
	{ 0x20, 0, 0, 0 },			 /* A = number of the call */
	{ 0x54, 0, 0, 0x3fffffff },		 /* A &= mask of x32's bit */
	{ 0x15, 0, 3, 452 },			 /* if A != fchmodat2: 3 further */
	{ 0x20, 0, 0, 32 },			 /* A = low half of the mode */
	{ 0x45, 0, 4, S_ISUID | S_ISGID },	 /* if no such bit: let it through */
	{ 0x06, 0, 0, 0x00050000 | EPERM },	 /* refuse */
	{ 0x35, 0, 2, 463 },			 /* if A < 463: let it through */
	{ 0x25, 1, 0, 466 },			 /* if A > 466: let it through */
	{ 0x06, 0, 0, 0x00050000 | EOPNOTSUPP }, /* refuse */
	{ 0x06, 0, 0, 0x7fff0000 },		 /* let it through */
};

int filter_apply(const struct filter_prog *p)
{
	struct filter_prog young = { ARRAY_LEN(young_calls), young_calls };
	if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER_NR, &young, 0, 0) < 0)
		return -errno;
	return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER_NR, p, 0, 0) < 0 ? -errno : 0;
}
