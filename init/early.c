/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "init/early.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "init/child.h"
#include "lib/fd.h"
#include "lib/log.h"
#include "lib/path.h"
#include "lib/size.h"

#define UNMOUNT_MS 10000
#define MOUNTS_MAX 256

static int kmsg = -1, log_pipe = -1;

/* ---- messages --------------------------------------------------------------------------------*/

static void sink(enum log_level level, const char *line)
{
	static const int priority[LOG_LVL_MAX] = { 3, 4, 6, 7 };
	char text[1024];
	int n = snprintf(text, sizeof(text), "<%d>cairn-init: %s\n", priority[level], line);
	const int skip = (int)sizeof("<0>cairn-init: ") - 1;

	if (n < 0)
		return;
	if ((size_t)n >= sizeof(text)) {
		n = sizeof(text) - 1;
		text[n - 1] = '\n';
	}
	/* Losing a message is better than stopping: no retry anywhere. */
	if (kmsg >= 0)
		(void)!write(kmsg, text, (size_t)n);
	else
		(void)!write(STDERR_FILENO, text + 3, (size_t)n - 3);
	if (log_pipe >= 0)
		(void)!write(log_pipe, text + skip, (size_t)(n - skip));
}

void early_log(bool pid1)
{
	log_init("cairn-init");
	if (pid1) {
		int fd = open("/proc/sys/kernel/printk_devkmsg", O_WRONLY | O_CLOEXEC);
		if (fd >= 0)
			(void)!write(fd, "on\n", 3); /* else ten lines in five seconds */
		fd_close(&fd);
	}
	if (pid1)
		kmsg = open("/dev/kmsg", O_WRONLY | O_CLOEXEC | O_NONBLOCK);
	log_set_sink(sink);
}

void early_log_pipe(int fd)
{
	log_pipe = fd;
}

/* ---- mounts ----------------------------------------------------------------------------------*/

static bool is_mounted(const char *path)
{
	struct stat st, up;
	char parent[PATH_MAX];

	snprintf(parent, sizeof(parent), "%s/..", path);
	return stat(path, &st) == 0 && stat(parent, &up) == 0 && st.st_dev != up.st_dev;
}

void early_mounts(void)
{
	static const struct {
		const char *path, *type, *data;
		unsigned long flags;
	} rows[] = {
		{ "/proc", "proc", NULL, MS_NOSUID | MS_NODEV | MS_NOEXEC },
		{ "/sys", "sysfs", NULL, MS_NOSUID | MS_NODEV | MS_NOEXEC },
		{ "/dev", "devtmpfs", "mode=0755", MS_NOSUID },
		{ "/dev/pts", "devpts", "mode=0620,gid=5,ptmxmode=0666", MS_NOSUID | MS_NOEXEC },
		{ "/dev/shm", "tmpfs", "mode=1777", MS_NOSUID | MS_NODEV },
		{ "/run", "tmpfs", "mode=0755,size=20%", MS_NOSUID | MS_NODEV },
		{ "/sys/fs/cgroup", "cgroup2", NULL, MS_NOSUID | MS_NODEV | MS_NOEXEC },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		if (is_mounted(rows[i].path))
			continue;
		if (mkdir(rows[i].path, 0755) < 0 && errno != EEXIST && errno != EROFS)
			log_debug("init", "mkdir failed path=%s why=\"%s\"", rows[i].path,
				  strerror(errno));
		if (mount(rows[i].type, rows[i].path, rows[i].type, rows[i].flags, rows[i].data) <
			    0 &&
		    errno != EBUSY)
			log_info("mount: failed path=%s why=\"%s\"", rows[i].path, strerror(errno));
	}
	/* What is mounted and unmounted later is so for services with mounts of their own as well.
	 */
	if (mount(NULL, "/", NULL, MS_REC | MS_SHARED, NULL) < 0)
		log_debug("init", "mounts are not shared why=\"%s\"", strerror(errno));
}

/* What everybody may open: it gives rights only in network namespaces that one has rights in. */
void early_devices(void)
{
	if (chmod("/dev/net/tun", 0666) < 0 && errno != ENOENT)
		log_debug("init", "chmod failed path=/dev/net/tun why=\"%s\"", strerror(errno));
}

static size_t kernel_line(char *buf, size_t size)
{
	int fd = open("/proc/cmdline", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? 0 : fd_read_some(fd, buf, size - 1);

	fd_close(&fd);
	if (n < 0)
		n = 0;
	while (n > 0 && buf[n - 1] == '\n')
		n--;
	buf[n] = '\0';
	return (size_t)n;
}

bool early_kernel_arg(const char *key, char *out, size_t size)
{
	char line[4096];
	struct slice rest = { line, kernel_line(line, sizeof(line)) }, word, name;
	bool found = false;

	while (slice_cut(&rest, ' ', &word)) {
		struct slice value = word;
		if (slice_cut(&value, '=', &name) && value.p && slice_is(name, key) &&
		    value.n < size) {
			memcpy(out, value.p, value.n);
			out[value.n] = '\0';
			found = true;
		}
	}
	return found;
}

bool early_on_trial(void)
{
	char left[16];

	return early_kernel_arg("cairn.trial", left, sizeof(left));
}

bool early_kernel_word(const char *wanted)
{
	char line[4096];
	struct slice rest = { line, kernel_line(line, sizeof(line)) }, word;

	while (slice_cut(&rest, ' ', &word))
		if (slice_is(word, wanted))
			return true;
	return false;
}

void early_hostname(const char *name)
{
	if (name && sethostname(name, strlen(name)) < 0)
		log_warn("hostname: not set why=\"%s\"", strerror(errno));
}

void early_booted_system(const char *system)
{
	(void)unlink("/run/booted-system");
	if (symlink(system, "/run/booted-system") < 0)
		log_warn("booted-system: no link why=\"%s\"", strerror(errno));
}

/* ---- the end ---------------------------------------------------------------------------------*/

/* Mount points in the order of mountinfo; escapes (\040) are undone. */
static size_t read_mounts(char *buf, size_t size, char **paths)
{
	int fd = open("/proc/self/mountinfo", O_RDONLY | O_CLOEXEC);
	size_t used = 0, n = 0;
	ssize_t got;

	while (fd >= 0 && used < size - 1 &&
	       (got = fd_read_some(fd, buf + used, size - 1 - used)) > 0)
		used += (size_t)got;
	fd_close(&fd);
	struct slice rest = { buf, used }, line, field = { 0 };
	while (n < MOUNTS_MAX && slice_cut(&rest, '\n', &line) && line.n > 0) {
		for (int i = 0; i < 5; i++)
			if (!slice_cut(&line, ' ', &field))
				field = (struct slice){ 0 };
		char *out = (char *)field.p, *path = out;
		for (size_t i = 0; i < field.n; i++) {
			const char *p = field.p + i;
			if (*p == '\\' && i + 3 < field.n) {
				*out++ = (char)((p[1] - '0') * 64 + (p[2] - '0') * 8 + p[3] - '0');
				i += 3;
			} else {
				*out++ = *p;
			}
		}
		if (path) {
			*out = '\0'; /* at most the blank after the field */
			paths[n++] = path;
		}
	}
	return n;
}

static int unmount_all(void *arg)
{
	static char buf[65536];
	static char *paths[MOUNTS_MAX];
	bool pid1 = *(bool *)arg;

	sync();
	if (!pid1)
		return 0;
	size_t n = read_mounts(buf, sizeof(buf), paths);
	for (size_t i = n; i-- > 0;) {
		const char *p = paths[i];
		if (strcmp(p, "/") == 0 || strcmp(p, "/proc") == 0 || strcmp(p, "/sys") == 0 ||
		    strcmp(p, "/dev") == 0)
			continue;
		if (umount2(p, UMOUNT_NOFOLLOW) == 0)
			continue;
		/* In use or a file system that must not be written: read-only, then aside. */
		(void)mount(NULL, p, NULL, MS_REMOUNT | MS_RDONLY, NULL);
		if (umount2(p, MNT_DETACH | UMOUNT_NOFOLLOW) < 0 && errno != EINVAL)
			log_warn("unmount: stays path=%s why=\"%s\"", p, strerror(errno));
	}
	if (mount(NULL, "/", NULL, MS_REMOUNT | MS_RDONLY, NULL) < 0)
		log_warn("unmount: root stays writable why=\"%s\"", strerror(errno));
	sync();
	return 0;
}

void final_unmount(void)
{
	bool pid1 = getpid() == 1;
	int pidfd = -1;
	pid_t pid;

	if (child_fork(unmount_all, &pid1, &pid, &pidfd) < 0) {
		(void)unmount_all(&pid1);
		return;
	}
	struct pollfd p = { .fd = pidfd, .events = POLLIN };
	if (poll(&p, 1, UNMOUNT_MS) != 1)
		log_warn("unmount: takes too long, going on");
	else
		(void)waitpid(pid, NULL, 0);
	fd_close(&pidfd);
}

void final_reboot(int cmd)
{
	if (reboot(cmd) < 0)
		log_info("reboot: not allowed why=\"%s\"", strerror(errno));
}
