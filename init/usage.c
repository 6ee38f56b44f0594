/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "init/usage.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "lib/fd.h"
#include "lib/slice.h"
#include "lib/text.h"

#define GROUPS	      "/sys/fs/cgroup/service"
#define LIMIT_COUNTER 4096
#define LIMIT_PROCS   (8u << 20)
#define DEPTH_MAX     8
#define UNTIL	      "user.drain-until"

static uint64_t read_number(int dir, const char *name)
{
	auto_str struct str text = STR_INIT;
	uint64_t n = 0;

	if (file_read(dir, name, &text, LIMIT_COUNTER, NULL) < 0 ||
	    text_u64(slice_trim(str_slice(&text)), UINT64_MAX, &n) < 0)
		return 0;
	return n;
}

/* "usage_usec N" among other lines. */
static uint64_t read_cpu(int dir)
{
	auto_str struct str text = STR_INIT;
	uint64_t n = 0;

	if (file_read(dir, "cpu.stat", &text, LIMIT_COUNTER, NULL) < 0)
		return 0;
	struct slice rest = str_slice(&text), line, key;
	while (slice_cut(&rest, '\n', &line))
		if (slice_cut(&line, ' ', &key) && slice_is(key, "usage_usec"))
			(void)text_u64(line, UINT64_MAX, &n); /* stays 0 */
	return n;
}

static uint64_t count_lines(int dir)
{
	auto_str struct str text = STR_INIT;
	uint64_t n = 0;

	if (file_read(dir, "cgroup.procs", &text, LIMIT_PROCS, NULL) < 0)
		return 0;
	for (size_t i = 0; i < text.len; i++)
		n += text.buf[i] == '\n';
	return n;
}

static uint64_t count_processes(int dir, int depth)
{
	uint64_t n = count_lines(dir);
	int copy = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = copy < 0 ? NULL : fdopendir(copy);
	struct dirent *ent;

	if (!d) {
		fd_close(&copy);
		return n;
	}
	while (depth < DEPTH_MAX && (ent = readdir(d))) {
		if (ent->d_type != DT_DIR || ent->d_name[0] == '.')
			continue;
		auto_fd int sub = openat(dir, ent->d_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (sub >= 0)
			n += count_processes(sub, depth + 1);
	}
	closedir(d);
	return n;
}

/* Open the group of a service; -1: it has none. */
static int open_group(const char *service)
{
	auto_str struct str path = STR_INIT;

	str_addf(&path, GROUPS "/%s", service);
	return str_err(&path) ? -1 : open(path.buf, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

bool usage_read(const char *service, struct usage *ret)
{
	auto_fd int dir = open_group(service);

	if (dir < 0)
		return false;
	*ret = (struct usage){ .memory = read_number(dir, "memory.current"),
			       .cpu = read_cpu(dir),
			       .processes = count_processes(dir, 0) };
	return true;
}

void usage_draining(const char *service, void (*fn)(void *arg, const struct draining *d), void *arg)
{
	int dir = open_group(service);
	DIR *groups = dir < 0 ? NULL : fdopendir(dir);

	if (!groups) {
		fd_close(&dir);
		return;
	}
	for (struct dirent *ent; (ent = readdir(groups));) {
		struct draining d = { .group = ent->d_name };
		char text[24];
		if (ent->d_type != DT_DIR || ent->d_name[0] == '.')
			continue;
		auto_fd int sub = openat(dir, ent->d_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		ssize_t n = sub < 0 ? -1 : fgetxattr(sub, UNTIL, text, sizeof(text));
		if (n < 0 || text_u64((struct slice){ text, (size_t)n }, UINT64_MAX, &d.until) < 0)
			continue;
		d.processes = count_processes(sub, 0);
		if (d.processes)
			fn(arg, &d);
	}
	closedir(groups);
}
