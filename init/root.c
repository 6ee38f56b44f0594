/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "init/root.h"

#include <dirent.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <linux/openat2.h>
#include <poll.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "lib/fd.h"
#include "lib/loop.h"
#include "lib/probe.h"
#include "lib/size.h"
#include "lib/text.h"

#define SECOND		 1000000000ull
#define LOOK_MS		 500 /* between looks when no event comes: not all drivers send one in time */
#define WAIT_DEF	 30
#define LIMIT_GENERATION 999999
#define PROFILES	 "/var/guix/profiles"
#ifndef SYS_openat2
#define SYS_openat2 437
#endif

/* ---- the command line ------------------------------------------------------------------------*/

static int copy(char *out, size_t size, struct slice v, struct err *e)
{
	if (v.n >= size)
		return err_set(e, -ERR_LIMIT, "kernel command line: a value is longer than %zu",
			       size - 1);
	memcpy(out, v.n ? v.p : "", v.n);
	out[v.n] = '\0';
	return 0;
}

static int take_word(struct root_spec *s, struct slice word, struct err *e)
{
	struct slice value = word, key;
	uint64_t n;

	slice_cut(&value, '=', &key);
	if (value.n >= 2 && value.p[0] == '"' && value.p[value.n - 1] == '"')
		value = (struct slice){ value.p + 1, value.n - 2 };
	if (!value.p) {
		if (slice_is(key, "ro"))
			s->read_only = true;
		else if (slice_is(key, "rw"))
			s->read_only = false;
		else if (slice_is(key, "cairn.rescue"))
			s->shell = true;
		else if (slice_is(key, "cairn.volatile"))
			s->is_volatile = true;
		return 0;
	}
	if (slice_is(key, "root"))
		return copy(s->root, sizeof(s->root), value, e);
	if (slice_is(key, "rootfstype"))
		return copy(s->type, sizeof(s->type), value, e);
	if (slice_is(key, "rootflags"))
		return copy(s->flags, sizeof(s->flags), value, e);
	if (slice_is(key, "cairn.image"))
		return copy(s->image, sizeof(s->image), value, e);
	if (slice_is(key, "cairn.store"))
		return copy(s->store, sizeof(s->store), value, e);
	if (slice_is(key, "cairn.system"))
		return copy(s->system, sizeof(s->system), value, e);
	if (slice_is(key, "init"))
		return copy(s->init, sizeof(s->init), value, e);
	if (slice_is(key, "fsck.mode"))
		s->no_fsck = slice_is(value, "skip");
	else if (slice_is(key, "rootdelay") && text_u64(value, 86400, &n) == 0)
		s->wait = n;
	else if (slice_is(key, "panic") && text_u64(value, 86400, &n) == 0)
		s->panic = n, s->has_panic = true;
	else if (slice_is(key, "cairn.trial"))
		s->trial = true;
	else if (slice_is(key, "cairn.watchdog") && text_u64(value, 86400, &n) == 0)
		s->watchdog = n;
	else if (slice_is(key, "generation") && slice_is(value, "default"))
		s->generation = 0, s->choose = true;
	else if (slice_is(key, "generation") && text_u64(value, LIMIT_GENERATION, &n) == 0)
		s->generation = n, s->choose = false;
	return 0;
}

int root_parse(struct slice cmdline, struct root_spec *ret, struct err *e)
{
	int first = 0;

	*ret = (struct root_spec){ .wait = WAIT_DEF, .panic = 10 };
	for (size_t i = 0; i < cmdline.n;) {
		size_t start = i;
		bool quoted = false;
		for (; i < cmdline.n; i++) {
			char ch = cmdline.p[i];
			if (ch == '"')
				quoted = !quoted;
			else if (!quoted && (ch == ' ' || ch == '\n' || ch == '\t'))
				break;
		}
		struct slice word = { cmdline.p + start, i - start };
		if (slice_is(word, "--")) /* the rest is for init */
			break;
		struct err later = ERR_INIT;
		int r = word.n ? take_word(ret, word, first < 0 ? &later : e) : 0;
		if (r < 0 && first == 0)
			first = r;
		i++;
	}
	if (first < 0)
		return first;
	if (!ret->init[0] && ret->system[0] &&
	    (size_t)snprintf(ret->init, sizeof(ret->init), "%s/init", ret->system) >=
		    sizeof(ret->init))
		return err_set(e, -ERR_LIMIT, "kernel command line: cairn.system is too long");
	return 0;
}

/* ---- generations -----------------------------------------------------------------------------*/

int root_generation(const char *dir, struct root_spec *s, struct err *e)
{
	char link[PATH_MAX], system[PATH_MAX];
	unsigned n = (unsigned)s->generation;

	(void)snprintf(link, sizeof(link), "%.1024s" PROFILES "/system-%u-link", dir, n);
	ssize_t len = readlink(link, system, sizeof(system) - sizeof("/init"));
	if (len < 0)
		return errno == ENOENT ? err_set(e, -ERR_NOTFOUND, "there is no generation %u", n)
				       : err_sys(e, "generation %u", n);
	system[len] = '\0';
	/* A generation's link names its store item; anything else was not made by Cairn. */
	if (system[0] != '/' || len >= (ssize_t)(sizeof(system) - sizeof("/init")))
		return err_set(e, -ERR_INVALID, "generation %u is not a link to a system", n);
	(void)snprintf(s->system, sizeof(s->system), "%s", system);
	(void)snprintf(s->init, sizeof(s->init), "%.4000s/init", system);
	return 0;
}

/* N of "system-N-link"; 0: another name. */
static unsigned link_number(struct slice name)
{
	uint64_t number;

	if (!slice_starts(name, "system-") || !slice_ends(name, "-link") || name.n <= 12)
		return 0;
	name = (struct slice){ name.p + 7, name.n - 12 };
	return text_u64(name, LIMIT_GENERATION, &number) == 0 ? (unsigned)number : 0;
}

int root_default(const char *dir, unsigned *ret, struct err *e)
{
	char link[PATH_MAX], name[64];

	(void)snprintf(link, sizeof(link), "%.1024s" PROFILES "/system", dir);
	ssize_t len = readlink(link, name, sizeof(name));
	if (len < 0)
		return err_sys(e, PROFILES "/system on the root file system");
	unsigned number = link_number((struct slice){ name, (size_t)len });
	if (!number)
		return err_set(e, -ERR_INVALID, PROFILES "/system names no generation");
	*ret = number;
	return 0;
}

int root_open(const char *dir, const char *path, int flags)
{
	struct open_how how = { .flags = (unsigned)flags | O_CLOEXEC, .resolve = RESOLVE_IN_ROOT };
	auto_fd int root = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);

	if (root < 0)
		return -errno;
	int fd = (int)syscall(SYS_openat2, root, path, &how, sizeof(how));
	return fd < 0 ? -errno : fd;
}

int root_check_init(const char *dir, const char *path, struct err *e)
{
	struct stat st;
	auto_fd int fd = root_open(dir, path, O_PATH);

	if (fd < 0)
		return fd == -ENOSYS ? 0 : err_num(e, fd, "%s on the root file system", path);
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || !(st.st_mode & 0111))
		return err_set(e, -EACCES, "%s on the root file system is not a program", path);
	return 0;
}

/* Of a file that is executed (is_program), or is text. */
static int check_begin(const char *dir, const char *path, bool is_program, struct err *e)
{
	char have[SELFMAG] = "";
	auto_fd int fd = root_open(dir, path, O_RDONLY | O_NOCTTY | O_NONBLOCK);

	if (fd < 0)
		return fd == -ENOSYS ? 0 : err_num(e, fd, "%s on the root file system", path);
	if (read(fd, have, sizeof(have)) < 0)
		return err_sys(e, "reading %s on the root file system", path);
	if (is_program ? memcmp(have, ELFMAG, SELFMAG) != 0 : !have[0])
		return err_set(e, -ERR_INVALID, "%s on the root file system is empty or damaged",
			       path);
	return 0;
}

int root_check_system(const char *dir, const struct root_spec *spec, struct err *e)
{
	char set[PATH_MAX];
	int r = root_check_init(dir, spec->init, e);

	if (r < 0 || (r = check_begin(dir, spec->init, true, e)) < 0)
		return r;
	(void)snprintf(set, sizeof(set), "%.4000s/services/set", spec->system);
	return check_begin(dir, set, false, e);
}

static int compare_numbers(const void *a, const void *b)
{
	unsigned x = *(const unsigned *)a, y = *(const unsigned *)b;

	return x < y ? -1 : x > y;
}

size_t root_generations(const char *dir, unsigned *ret, size_t max)
{
	char path[PATH_MAX];
	struct dirent *entry;
	size_t n = 0;

	(void)snprintf(path, sizeof(path), "%.1024s" PROFILES, dir);
	DIR *d = opendir(path);
	while (d && n < max && (entry = readdir(d))) {
		unsigned number = link_number(slice_of(entry->d_name));

		if (number)
			ret[n++] = number;
	}
	if (d)
		(void)closedir(d); /* only read from */
	qsort(ret, n, sizeof(*ret), compare_numbers);
	return n;
}

unsigned long root_mount_flags(const char *options, char *data)
{
	static const struct {
		const char *name;
		unsigned long set, clear;
	} rows[] = {
		{ "ro", MS_RDONLY, 0 },
		{ "rw", 0, MS_RDONLY },
		{ "noatime", MS_NOATIME, 0 },
		{ "atime", 0, MS_NOATIME },
		{ "relatime", MS_RELATIME, 0 },
		{ "norelatime", 0, MS_RELATIME },
		{ "nodiratime", MS_NODIRATIME, 0 },
		{ "diratime", 0, MS_NODIRATIME },
		{ "sync", MS_SYNCHRONOUS, 0 },
		{ "async", 0, MS_SYNCHRONOUS },
		{ "dirsync", MS_DIRSYNC, 0 },
		{ "nosuid", MS_NOSUID, 0 },
		{ "suid", 0, MS_NOSUID },
		{ "nodev", MS_NODEV, 0 },
		{ "dev", 0, MS_NODEV },
		{ "noexec", MS_NOEXEC, 0 },
		{ "exec", 0, MS_NOEXEC },
		{ "strictatime", MS_STRICTATIME, 0 },
		{ "nostrictatime", 0, MS_STRICTATIME },
		{ "lazytime", MS_LAZYTIME, 0 },
		{ "nolazytime", 0, MS_LAZYTIME },
		{ "mand", MS_MANDLOCK, 0 },
		{ "nomand", 0, MS_MANDLOCK },
		{ "silent", MS_SILENT, 0 },
		{ "loud", 0, MS_SILENT },
		{ "defaults", 0, 0 },
	};
	struct slice rest = slice_of(options), word;
	unsigned long flags = 0;
	size_t n = 0;

	while (options[0] && slice_cut(&rest, ',', &word)) {
		bool known = false;
		for (size_t i = 0; i < ARRAY_LEN(rows) && !known; i++) {
			if (!slice_is(word, rows[i].name))
				continue;
			flags = (flags | rows[i].set) & ~rows[i].clear;
			known = true;
		}
		if (known || word.n == 0)
			continue;
		if (n)
			data[n++] = ',';
		memcpy(data + n, word.p, word.n);
		n += word.n;
	}
	data[n] = '\0';
	return flags;
}

/* ---- the device ------------------------------------------------------------------------------*/

static int find(const char *name, char device[PATH_MAX], char type[32])
{
	struct stat st;
	struct probe p;

	type[0] = '\0';
	if (name[0] != '/')
		return probe_find(name, device, type);
	if (stat(name, &st) < 0 || !S_ISBLK(st.st_mode))
		return -ENODEV;
	snprintf(device, PATH_MAX, "%s", name);
	/* The size is 0 until the driver has looked at the medium. */
	if (probe_device(device, &p) == 0)
		memcpy(type, p.type, sizeof(p.type));
	return 0;
}

static int open_events(void)
{
	struct sockaddr_nl a = { .nl_family = AF_NETLINK, .nl_groups = 1 };
	int fd = socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK,
			NETLINK_KOBJECT_UEVENT);

	if (fd >= 0 && bind(fd, (struct sockaddr *)&a, sizeof(a)) < 0)
		fd_close(&fd);
	return fd;
}

int root_wait_device(const char *name, uint64_t seconds, char ret_device[PATH_MAX],
		     char ret_type[32])
{
	/* Events are heard before the first look, so none falls between. */
	auto_fd int events = open_events();
	uint64_t until = loop_now() + seconds * SECOND;
	char drain[4096];

	while (find(name, ret_device, ret_type) < 0) {
		uint64_t now = loop_now();
		if (now >= until)
			return -ETIMEDOUT;
		uint64_t left = (until - now) / 1000000 + 1;
		struct pollfd p = { .fd = events, .events = POLLIN };
		(void)poll(&p, 1, (int)MIN_OF(left, (uint64_t)LOOK_MS));
		while (events >= 0 && recv(events, drain, sizeof(drain), 0) > 0)
			;
	}
	return 0;
}

int root_wait(const struct root_spec *s, char ret_device[PATH_MAX], char ret_type[32],
	      struct err *e)
{
	if (!s->root[0])
		return err_set(e, -ERR_NOTFOUND, "no root= on the kernel command line");
	if (s->root[0] != '/' && !strchr(s->root, '='))
		return err_set(e, -ERR_INVALID, "root=%s: neither a device nor KEY=value", s->root);
	if (root_wait_device(s->root, s->wait, ret_device, ret_type) < 0)
		return err_set(e, -ERR_TIMEOUT, "root=%s: not found within %llu seconds", s->root,
			       (unsigned long long)s->wait);
	return 0;
}
