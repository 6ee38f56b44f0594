/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "init/early.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "lib/fd.h"
#include "lib/log.h"
#include "lib/path.h"
#include "lib/size.h"

static int kmsg = -1, log_pipe = -1;

/* ---- messages --------------------------------------------------------------------------------*/

/* A full pipe loses the message; the next one that fits says so. */
static void write_pipe(const char *text, size_t n)
{
	static size_t lost;
	char mark[48];

	if (log_pipe < 0)
		return;
	if (lost) {
		int m = snprintf(mark, sizeof(mark), "(%zu bytes lost here)\n", lost);
		if (write(log_pipe, mark, (size_t)m) == m)
			lost = 0;
	}
	if (lost || write(log_pipe, text, n) < 0)
		lost += n;
}

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
	write_pipe(text + skip, (size_t)(n - skip));
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
