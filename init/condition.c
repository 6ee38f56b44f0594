/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "init/condition.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#if defined(__x86_64__) || defined(__i386__)
#include <cpuid.h>
#endif

#include "init/early.h"
#include "lib/fd.h"
#include "lib/size.h"

static bool path_exists(const char *path)
{
	return access(path, F_OK) == 0;
}

static bool path_writable(const char *path)
{
	return access(path, W_OK) == 0;
}

static mode_t mode_of(const char *path)
{
	struct stat st;

	return stat(path, &st) < 0 ? 0 : st.st_mode;
}

static bool path_directory(const char *path)
{
	return S_ISDIR(mode_of(path));
}

static bool path_file(const char *path)
{
	return S_ISREG(mode_of(path));
}

static bool path_executable(const char *path)
{
	return S_ISREG(mode_of(path)) && access(path, X_OK) == 0;
}

static bool is_container(void)
{
	return getenv("container") || path_exists("/run/.containerenv") ||
	       path_exists("/.dockerenv");
}

/* The processor says so; where it cannot, the kernel does. */
static bool is_machine(void)
{
#if defined(__x86_64__) || defined(__i386__)
	unsigned a, b, c, d;

	return __get_cpuid(1, &a, &b, &c, &d) && (c & (1u << 31));
#else
	return path_exists("/sys/hypervisor/type") ||
	       path_exists("/proc/device-tree/hypervisor/compatible");
#endif
}

static bool virtual(const char *what)
{
	if (strcmp(what, "container") == 0)
		return is_container();
	return strcmp(what, "machine") == 0 ? is_machine() : is_container() || is_machine();
}

/* Nobody gave the machine its identity yet. What is found first holds until PID 1 ends. */
static bool first_boot(const char *unused)
{
	static signed char first = -1;
	char id[32] = "";

	(void)unused;
	if (first < 0) {
		int fd = open("/etc/machine-id", O_RDONLY | O_CLOEXEC | O_NONBLOCK);
		ssize_t n = fd < 0 ? 0 : fd_read_some(fd, id, sizeof(id));
		fd_close(&fd);
		first = n < (ssize_t)sizeof(id);
	}
	return first;
}

static const struct {
	const char *start; /* a path begins with a slash */
	bool (*holds)(const char *argument);
} kinds[] = {
	{ "exists:/", path_exists },	     { "writable:/", path_writable },
	{ "directory:/", path_directory },   { "file:/", path_file },
	{ "executable:/", path_executable }, { "kernel-arg:", early_kernel_word },
	{ "virtual:any", virtual },	     { "virtual:container", virtual },
	{ "virtual:machine", virtual },	     { "first-boot:yes", first_boot },
};

static size_t find_kind(struct slice text, bool *ret_not)
{
	size_t i = 0;

	*ret_not = slice_starts(text, "not-");
	if (*ret_not)
		text = (struct slice){ text.p + 4, text.n - 4 };
	while (i < ARRAY_LEN(kinds) && !slice_starts(text, kinds[i].start))
		i++;
	return i;
}

bool condition_is_known(struct slice text)
{
	bool not ;

	return find_kind(text, &not ) < ARRAY_LEN(kinds);
}

bool condition_holds(const char *text)
{
	bool not ;
	size_t i = find_kind(slice_of(text), &not );

	return i < ARRAY_LEN(kinds) && kinds[i].holds(strchr(text, ':') + 1) != not ;
}
