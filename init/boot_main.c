/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * cairn-boot: /init of the initramfs. Mounts what the kernel needs, loads the keyboard's layout and
 * modules, opens mapped devices, finds, checks and mounts the root file system, and becomes the
 * init of the system there. Every failure ends in a rescue shell when the initramfs has one, else
 * in a reboot; on a boot that the boot loader counts always in a reboot.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <sys/wait.h>

#include "init/generation.h"
#include "init/keymap.h"
#include "init/mapped.h"
#include "init/overlay.h"
#include "init/rescue.h"
#include "init/root.h"
#include "init/watchdog.h"
#include "lib/fd.h"
#include "lib/log.h"
#include "lib/proc.h"
#include "lib/size.h"

#define NEW_ROOT	  "/root"
#define MODULES		  "/modules"
#define KEYMAP		  "/keymap"
#define MAPPED		  "/mapped"
#define MOUNTS		  "/mounts"
#define RAMFS_MAGIC	  0x858458f6
#define TMPFS_MAGIC	  0x01021994
#define LIMIT_LIST	  (64u << 10)
#define LIMIT_GENERATIONS 4096
#define LIST_MAX	  20 /* the newest, as many as a screen has room for */
#define TRIAL_WAIT	  5  /* seconds to read a message that nobody may read */
#define FSCK_REBOOT	  2  /* bits of e2fsck's exit status */
#define FSCK_ERRORS	  4
#define COMPRESSED	  4 /* MODULE_INIT_COMPRESSED_FILE */

static int kmsg = -1;
static bool watched;	    /* by the hardware */
static const char *root_at; /* where the root file system is: "/root", then ""; NULL: nowhere yet */

/* The kernel brings it to all consoles; also: to /dev/console, whatever the kernel lets through. */
static void tell(int priority, const char *line, bool also)
{
	char text[1024];
	int n = snprintf(text, sizeof(text), "<%d>cairn-boot: %s\n", priority, line);

	if (n < 0)
		return;
	n = MIN_OF(n, (int)sizeof(text) - 1);
	if (kmsg < 0 || also)
		(void)!write(STDERR_FILENO, text + 3, (size_t)n - 3); /* nowhere to tell */
	if (kmsg >= 0)
		(void)!write(kmsg, text, (size_t)n);
}

static void sink(enum log_level level, const char *line)
{
	static const int priority[LOG_LVL_MAX] = { 3, 4, 6, 7 };

	tell(priority[level], line, level == LOG_LVL_ERROR);
}

/* ---- the first mounts ------------------------------------------------------------------------*/

static void open_console(void)
{
	int fd;

	do {
		fd = open("/dev/console", O_RDWR | O_NOCTTY);
		if (fd < 0)
			fd = open("/dev/null", O_RDWR);
	} while (fd >= 0 && fd < 2);
	if (fd > 2)
		fd_close(&fd);
}

static int first_mounts(struct err *e)
{
	static const struct {
		const char *path, *type, *data;
		unsigned long flags;
	} rows[] = {
		{ "/proc", "proc", NULL, MS_NOSUID | MS_NODEV | MS_NOEXEC },
		{ "/sys", "sysfs", NULL, MS_NOSUID | MS_NODEV | MS_NOEXEC },
		{ "/dev", "devtmpfs", "mode=0755", MS_NOSUID },
		{ "/run", "tmpfs", "mode=0755,size=20%", MS_NOSUID | MS_NODEV },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		(void)mkdir(rows[i].path, 0755); /* mostly there */
		if (mount(rows[i].type, rows[i].path, rows[i].type, rows[i].flags, rows[i].data) <
			    0 &&
		    errno != EBUSY)
			return err_sys(e, "mount %s", rows[i].path);
	}
	return 0;
}

static void open_kmsg(void)
{
	auto_fd int limit = open("/proc/sys/kernel/printk_devkmsg", O_WRONLY | O_CLOEXEC);

	if (limit >= 0)
		(void)!write(limit, "on\n", 3); /* else ten lines in five seconds */
	kmsg = open("/dev/kmsg", O_WRONLY | O_CLOEXEC);
}

/* ---- the keyboard ----------------------------------------------------------------------------*/

/* Passphrases were chosen with it, and shells are to have it. */
static void load_keymap(void)
{
	struct err e = ERR_INIT;

	if (access(KEYMAP, F_OK) < 0)
		return;
	auto_fd int screen = open("/dev/tty0", O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (screen < 0)
		return; /* a machine without one */
	if (keymap_load(screen, KEYMAP, &e) < 0)
		log_warn("keyboard: layout not loaded why=\"%s\"", e.msg);
	else
		log_info("keyboard: layout loaded");
}

/* ---- modules ---------------------------------------------------------------------------------*/

static void load_module(const char *name, const char *arguments)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s%s", name[0] == '/' ? "" : MODULES "/", name);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	bool plain = slice_ends(slice_of(path), ".ko");
	if (fd < 0 || (syscall(SYS_finit_module, fd, arguments, plain ? 0 : COMPRESSED) < 0 &&
		       errno != EEXIST))
		log_warn("module: not loaded path=%s why=\"%s\"", path, strerror(errno));
	fd_close(&fd);
}

/* MODULES/order: one file a line, in the order to load, arguments after a blank. */
static void load_modules(void)
{
	auto_str struct str text = STR_INIT;

	if (file_read(AT_FDCWD, MODULES "/order", &text, LIMIT_LIST, NULL) < 0)
		return;
	for (char *line = text.buf; *line;) {
		char *end = line + strcspn(line, "\n"), *next = *end ? end + 1 : end;
		*end = '\0';
		char *arguments = line + strcspn(line, " ");
		if (*arguments)
			*arguments++ = '\0';
		if (*line && *line != '#')
			load_module(line, arguments);
		line = next;
	}
}

/* panic= on the command line asks for a machine that comes back by itself; a trial has a generation
 * to go back to. */
static bool is_unattended(const struct root_spec *s)
{
	return s->trial || (s->has_panic && s->panic > 0);
}

/* ---- mapped devices --------------------------------------------------------------------------*/

static int open_mapped(const struct root_spec *s, struct err *e)
{
	auto_str struct str text = STR_INIT;

	if (strcmp(s->root, ROOT_INITRAMFS) == 0 ||
	    file_read(AT_FDCWD, MAPPED, &text, LIMIT_LIST, NULL) < 0)
		return 0;
	return mapped_open_all(text.buf, s->wait, is_unattended(s), e);
}

/* ---- the root file system --------------------------------------------------------------------*/

/* how: the option of e2fsck that says what it repairs. */
static int check_file_system(const char *device, const char *how, struct err *e)
{
	static const char *const programs[] = { "/sbin/e2fsck", "/bin/e2fsck" };
	const char *argv[] = { NULL, how, device, NULL };
	struct proc_spec spec = PROC_SPEC_INIT;
	struct proc p = PROC_INIT;
	int status = 0;

	for (size_t i = 0; i < ARRAY_LEN(programs) && !argv[0]; i++)
		if (access(programs[i], X_OK) == 0)
			argv[0] = programs[i];
	if (!argv[0])
		return 0;
	spec.argv = argv;
	int r = proc_start(&spec, &p, e);
	if (r == 0 && (r = proc_wait(&p, &status)) < 0)
		err_num(e, r, "%s", argv[0]);
	if (r < 0)
		return r;
	int bits = WIFEXITED(status) ? WEXITSTATUS(status) : FSCK_ERRORS;
	if (bits & ~3)
		return err_hint(
			e,
			err_set(e, -EUCLEAN, "%s: the check found what it may not repair", device),
			"run e2fsck on it by hand");
	if (bits & FSCK_REBOOT) {
		log_warn("check: repaired, rebooting");
		sync();
		(void)reboot(RB_AUTOBOOT);
	}
	if (bits)
		log_warn("check: repaired device=%s", device);
	return 0;
}

static int mount_at(const struct root_spec *s, const char *device, const char *type,
		    const char *where, bool read_only, struct err *e)
{
	char data[sizeof(s->flags)];
	unsigned long flags = root_mount_flags(s->flags, data);

	if (read_only)
		flags |= MS_RDONLY;
	int r = file_mkdir_p(AT_FDCWD, where, 0755, e);
	if (r < 0)
		return r;
	if (mount(device, where, type, flags, data) < 0)
		return err_sys(e, "cannot mount %s as %s", device, type);
	return 0;
}

/* The root as it is, or an image file on it, or memory above either. Without a device the image
 * file is in the initramfs. */
static int mount_root(const struct root_spec *s, const char *device, const char *type,
		      struct err *e)
{
	bool above = s->is_volatile || s->image[0];
	const char *where = s->image[0] ? OVERLAY_MEDIUM : above ? OVERLAY_LOWER : NEW_ROOT;

	int r = device ? mount_at(s, device, type, where, s->read_only || above, e) : 0;
	if (r == 0 && s->image[0])
		r = overlay_image(device ? OVERLAY_MEDIUM : "", s->image, e);
	if (r == 0 && above && (r = file_mkdir_p(AT_FDCWD, NEW_ROOT, 0755, e)) == 0)
		r = overlay_mount(NEW_ROOT, e);
	if (r == 0 && s->store[0])
		r = overlay_store(NEW_ROOT, s->store, e);
	if (r == 0)
		root_at = NEW_ROOT;
	return r;
}

/* ---- what else is needed ---------------------------------------------------------------------*/

struct mount_line {
	char *where, *device, *type, *options, *check;
};

/* "WHERE DEVICE TYPE OPTIONS CHECK"; CHECK is an option of e2fsck, or "-": it is not checked. */
static int cut_mount(char *line, struct mount_line *ret, struct err *e)
{
	char **const fields[] = { &ret->where, &ret->device, &ret->type, &ret->options,
				  &ret->check };

	for (size_t i = 0; i < ARRAY_LEN(fields); i++) {
		*fields[i] = line;
		line += strcspn(line, " ");
		if (i + 1 < ARRAY_LEN(fields) && !*line)
			return err_set(e, -ERR_SYNTAX, MOUNTS ": a line is too short");
		if (*line)
			*line++ = '\0';
	}
	return 0;
}

/* Links on the way are those of the new root. */
static int mount_inside(const char *device, const struct mount_line *m, bool read_only,
			struct err *e)
{
	char path[PATH_MAX], data[512];

	if (strlen(m->options) >= sizeof(data))
		return err_set(e, -ERR_LIMIT, "%s: the options are too long", m->where);
	unsigned long flags = root_mount_flags(m->options, data);
	(void)snprintf(path, sizeof(path), NEW_ROOT "%.4000s", m->where);
	auto_fd int fd = root_open(NEW_ROOT, m->where, O_PATH | O_DIRECTORY);
	if (fd == -ENOENT || fd == -ENOSYS) {
		int r = file_mkdir_p(AT_FDCWD, path, 0755, e);
		if (r < 0)
			return r;
	}
	if (fd == -ENOENT)
		fd = root_open(NEW_ROOT, m->where, O_PATH | O_DIRECTORY);
	if (fd < 0 && fd != -ENOSYS)
		return err_num(e, fd, "%s on the root file system", m->where);
	if (fd >= 0)
		(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	if (mount(device, path, m->type, flags | (read_only ? MS_RDONLY : 0), data) < 0)
		return err_sys(e, "cannot mount %s as %s at %s", device, m->type, m->where);
	return 0;
}

static int mount_one(const struct root_spec *s, const struct mount_line *m, struct err *e)
{
	char device[PATH_MAX], type[32];
	bool disk = m->device[0] == '/' || strchr(m->device, '=');

	if (disk && root_wait_device(m->device, s->wait, device, type) < 0)
		return err_set(e, -ERR_TIMEOUT, "%s: %s not found within %llu seconds", m->where,
			       m->device, (unsigned long long)s->wait);
	/* e2fsck would take anything else for a damaged ext4, which it is not. */
	if (disk && strcmp(m->check, "-") != 0 && strncmp(type, "ext", 3) == 0 && !s->no_fsck &&
	    !s->is_volatile) {
		int r = check_file_system(device, m->check, e);
		if (r < 0)
			return r;
	}
	return mount_inside(disk ? device : m->device, m, s->is_volatile, e);
}

/* The file systems that are there before PID 1 is. */
static int mount_others(const struct root_spec *s, struct err *e)
{
	auto_str struct str text = STR_INIT;
	struct mount_line m;
	int r = 0;

	if (strcmp(s->root, ROOT_INITRAMFS) == 0 ||
	    file_read(AT_FDCWD, MOUNTS, &text, LIMIT_LIST, NULL) < 0)
		return 0;
	for (char *line = text.buf; r == 0 && *line;) {
		char *end = line + strcspn(line, "\n"), *next = *end ? end + 1 : end;

		*end = '\0';
		if (*line && (r = cut_mount(line, &m, e)) == 0)
			r = mount_one(s, &m, e);
		line = next;
	}
	return r;
}

/* ---- the switch ------------------------------------------------------------------------------*/

/* Everything on the initramfs, and nothing else: other devices are not entered. */
static void delete_below(int dir, dev_t dev)
{
	DIR *d = fdopendir(dir);
	struct dirent *entry;
	struct stat st;

	while (d && (entry = readdir(d))) {
		const char *name = entry->d_name;
		if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0 ||
		    fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0 || st.st_dev != dev)
			continue;
		if (S_ISDIR(st.st_mode)) {
			int sub =
				openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
			if (sub >= 0)
				delete_below(sub, dev);
			(void)unlinkat(dir, name, AT_REMOVEDIR); /* mount points stay */
		} else {
			(void)unlinkat(dir, name, 0);
		}
	}
	if (d)
		closedir(d);
	else
		fd_close(&dir);
}

static void delete_initramfs(int old)
{
	struct statfs fs;
	struct stat st;

	if (fstatfs(old, &fs) < 0 || fstat(old, &st) < 0 ||
	    ((unsigned long)fs.f_type != RAMFS_MAGIC && (unsigned long)fs.f_type != TMPFS_MAGIC))
		fd_close(&old);
	else
		delete_below(old, st.st_dev);
}

static int switch_root(struct err *e)
{
	static const char *const moved[] = { "/dev", "/proc", "/sys", "/run" };
	int old = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	for (size_t i = 0; i < ARRAY_LEN(moved); i++) {
		char to[PATH_MAX];
		snprintf(to, sizeof(to), NEW_ROOT "%s", moved[i]);
		(void)mkdir(to, 0755); /* read-only roots have them */
		if (mount(moved[i], to, NULL, MS_MOVE, NULL) < 0) {
			log_warn("switch: not moved path=%s why=\"%s\"", moved[i], strerror(errno));
			(void)umount2(moved[i], MNT_DETACH); /* PID 1 mounts it again */
		}
	}
	if (chdir(NEW_ROOT) < 0 || mount(".", "/", NULL, MS_MOVE, NULL) < 0 || chroot(".") < 0 ||
	    chdir("/") < 0) {
		int r = err_sys(e, "switch to the root file system");
		fd_close(&old);
		return r;
	}
	root_at = "";
	if (old >= 0)
		delete_initramfs(old);
	return 0;
}

/* ---- failures --------------------------------------------------------------------------------*/

/* Of a person at the shell it would know nothing. */
static void stop_watchdog(void)
{
	auto_fd int fd = watched ? open("/dev/watchdog0", O_WRONLY | O_CLOEXEC) : -1;

	if (fd >= 0)
		(void)!write(fd, "V", 1); /* what does not know the word has stopped before */
}

/* First line of GENERATION/label, "" when it cannot be read. */
static void read_label(const char *system, char *out, size_t size)
{
	char path[PATH_MAX];

	(void)snprintf(path, sizeof(path), "%s%.4000s/label", root_at, system);
	auto_fd int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	ssize_t n = fd < 0 ? 0 : fd_read_some(fd, out, size - 1);
	out[n > 0 ? n : 0] = '\0';
	out[strcspn(out, "\n")] = '\0';
}

static void list_generations(void)
{
	static unsigned numbers[LIMIT_GENERATIONS];
	size_t n = root_at ? root_generations(root_at, numbers, LIMIT_GENERATIONS) : 0;

	if (n == 0)
		return;
	tell(3, "boot: generations; generation=N on the kernel's command line starts one:", false);
	for (size_t i = n > LIST_MAX ? n - LIST_MAX : 0; i < n; i++) {
		struct root_spec s = { .generation = numbers[i] };
		char label[200] = "", line[512];

		if (root_generation(root_at, &s, NULL) < 0)
			continue;
		read_label(s.system, label, sizeof(label));
		(void)snprintf(line, sizeof(line), "boot: %5u  %.200s  %s", numbers[i], s.system,
			       label);
		tell(3, line, false);
	}
}

__attribute__((noreturn)) static void give_up(const struct root_spec *s, const char *why)
{
	log_error("boot: failed why=\"%s\"", why);
	if (!is_unattended(s)) {
		stop_watchdog();
		list_generations();
		log_error("boot: a shell follows; the machine reboots when it ends");
		if (!rescue_shell() && s->panic == 0)
			for (;;)
				pause();
	}
	uint64_t left = s->trial && !(s->has_panic && s->panic) ? TRIAL_WAIT : s->panic;
	log_error("boot: rebooting in %llu seconds", (unsigned long long)left);
	while (left > 0)
		left = sleep((unsigned)left);
	sync();
	(void)reboot(RB_AUTOBOOT);
	for (;;)
		pause();
}

/* ---- all of it -------------------------------------------------------------------------------*/

static int read_command_line(struct root_spec *s, struct err *e)
{
	auto_str struct str text = STR_INIT;
	int r = file_read(AT_FDCWD, "/proc/cmdline", &text, LIMIT_LIST, e);

	return r < 0 ? r : root_parse(str_slice(&text), s, e);
}

/* It runs on when this program is gone: PID 1 opens it again, or the machine starts anew. A driver
 * that does not know the magic close stops at the end of this program; there is no harm in that. */
static void start_watchdog(uint64_t timeout)
{
	int seconds = (int)timeout;

	if (!timeout)
		return;
	auto_fd int fd = open("/dev/watchdog0", O_WRONLY | O_CLOEXEC);
	watched = fd >= 0;
	if (fd < 0 || ioctl(fd, WATCHDOG_SET, &seconds) < 0)
		log_warn("watchdog: not set why=\"%s\"", strerror(errno));
	else
		log_info("watchdog: on seconds=%d", seconds);
}

/* The kernel that runs is that of the system named by running, which may be another one than the
 * generation's. Where it cannot be changed, the generation's userland is better than nothing. */
static int change_kernel(const struct root_spec *s, const char *running, struct err *e)
{
	struct err why = ERR_INIT;
	bool damaged;

	if (generation_same_kernel(NEW_ROOT, running, s->system))
		return 0;
	/* The parameters of the generation would not say it: what is not to be written would be. */
	if (s->is_volatile || s->image[0] || s->store[0]) {
		log_warn("boot: the kernel is not that of the generation, and stays: the root is "
			 "one of this boot only");
		return 0;
	}
	int r = generation_kexec(NEW_ROOT, s, &damaged, &why);
	if (damaged && s->trial) {
		*e = why;
		return r;
	}
	log_error("boot: generation %llu starts with a kernel that is not its own why=\"%s\"",
		  (unsigned long long)s->generation, why.msg);
	return 0;
}

static int find_generation(struct root_spec *s, struct err *e)
{
	char running[PATH_MAX];

	if (s->choose) {
		(void)snprintf(running, sizeof(running), "%s", s->system);
		int r = generation_choose(NEW_ROOT, s, e);
		return r < 0 ? r : change_kernel(s, running, e);
	}
	int r = s->generation ? root_generation(NEW_ROOT, s, e) : 0;

	if (s->generation && r == 0)
		log_info("root: generation %llu system=%s", (unsigned long long)s->generation,
			 s->system);
	return r;
}

/* Was it never more than tried out? (system/notes.h) */
static bool was_tried(const char *tried, const struct root_spec *s)
{
	char line[PATH_MAX + 32];

	(void)snprintf(line, sizeof(line), "%llu %s\n", (unsigned long long)s->generation,
		       s->system);
	const char *at = strstr(tried, line);
	return at && (at == tried || at[-1] == '\n');
}

/* Of generation number, unless it is that of s, or one of tried. */
static bool take_generation(struct root_spec *s, unsigned number, const char *tried)
{
	static struct root_spec other;

	other = *s;
	other.generation = number;
	if (root_generation(NEW_ROOT, &other, NULL) < 0 || strcmp(other.system, s->system) == 0 ||
	    was_tried(tried, &other) || root_check_system(NEW_ROOT, &other, NULL) < 0)
		return false;
	*s = other;
	return true;
}

/* The nearest generation before that of s which can start; else the nearest one after it. */
static bool take_nearest(struct root_spec *s, const char *tried)
{
	static unsigned numbers[LIMIT_GENERATIONS];
	size_t n = root_generations(NEW_ROOT, numbers, LIMIT_GENERATIONS), own = n;

	for (size_t i = 0; i < n; i++) {
		struct root_spec other = { .generation = numbers[i] };
		if (root_generation(NEW_ROOT, &other, NULL) == 0 &&
		    strcmp(other.system, s->system) == 0)
			own = i;
	}
	for (size_t i = own; i-- > 0;)
		if (take_generation(s, numbers[i], tried))
			return true;
	for (size_t i = own + 1; i < n; i++)
		if (take_generation(s, numbers[i], tried))
			return true;
	return false;
}

/* Rather one that somebody switched to once than one that was only tried out. */
static bool take_another(struct root_spec *s)
{
	auto_str struct str tried = STR_INIT;
	bool known = file_read(AT_FDCWD, NEW_ROOT "/var/guix/profiles/system.tried", &tried,
			       LIMIT_LIST, NULL) == 0 &&
		     tried.len;

	return (known && take_nearest(s, tried.buf)) || take_nearest(s, "");
}

/* A system that is damaged cannot start, now or ever, and a machine that tries it for ever is lost:
 * another generation starts. Not where somebody named what is to start, nor on trial, which the
 * boot loader ends. */
static int look_whole(struct root_spec *s, bool named, struct err *e)
{
	char own[PATH_MAX], running[PATH_MAX];

	(void)snprintf(own, sizeof(own), "%.4000s/init", s->system);
	if (!s->system[0] || strcmp(own, s->init) != 0)
		return root_check_init(NEW_ROOT, s->init, e);
	if (root_check_system(NEW_ROOT, s, e) == 0)
		return 0;
	(void)snprintf(running, sizeof(running), "%s", s->system);
	if (named || s->trial || !take_another(s))
		return e->code;
	log_error("boot: %s is damaged, generation %llu starts instead why=\"%s\"", running,
		  (unsigned long long)s->generation, e->msg);
	return change_kernel(s, running, e);
}

/* The kernel's command line names another system, and no trial: PID 1 hears of these by its
 * arguments. */
struct init_args {
	char set[PATH_MAX], trial[32];
	char *argv[4];
};

static void tell_init(struct root_spec *s, struct init_args *a)
{
	char **arg = a->argv;

	*arg++ = s->init;
	if (s->generation) {
		(void)snprintf(a->set, sizeof(a->set), "%.4000s/services/set", s->system);
		*arg++ = a->set;
		if (symlink(s->system, "/run/booted-system") < 0)
			log_warn("booted-system: no link why=\"%s\"", strerror(errno));
	}
	if (s->choose && s->trial) {
		(void)snprintf(a->trial, sizeof(a->trial), "cairn.trial=%u", s->left);
		*arg++ = a->trial;
	}
	*arg = NULL;
}

static int find_root(const struct root_spec *s, struct err *e)
{
	char device[PATH_MAX], probed[32];

	if (strcmp(s->root, ROOT_INITRAMFS) == 0)
		return s->image[0] ? mount_root(s, NULL, NULL, e)
				   : err_set(e, -ERR_NOTFOUND,
					     "root=" ROOT_INITRAMFS " needs cairn.image=");
	int r = root_wait(s, device, probed, e);
	if (r < 0)
		return r;
	const char *type = s->type[0] ? s->type : probed;
	log_info("root: found device=%s type=%s", device, type);
	if (!type[0])
		return err_set(e, -ERR_NOTFOUND, "%s: no known file system [give rootfstype=]",
			       device);
	if (strncmp(type, "ext", 3) == 0 && !s->no_fsck && !s->is_volatile)
		r = check_file_system(device, "-p", e);
	return r < 0 ? r : mount_root(s, device, type, e);
}

int main(int argc, char **argv)
{
	struct root_spec spec = { .panic = 10 };
	struct init_args args;
	struct err e = ERR_INIT;
	bool named;

	if (argc == 2 && strcmp(argv[1], "--version") == 0) {
		puts("cairn-boot " CAIRN_VERSION);
		return 0;
	}
	if (getpid() != 1) {
		fputs("cairn-boot: is the init of an initramfs and nothing else\n", stderr);
		return 2;
	}
	log_init("cairn-boot");
	log_set_sink(sink);
	int r = first_mounts(&e);
	open_console();
	open_kmsg();
	load_keymap();
	if (r == 0)
		r = read_command_line(&spec, &e);
	if (r < 0)
		give_up(&spec, e.msg);
	load_modules();
	if (spec.shell)
		(void)rescue_shell();
	if (!spec.init[0] && !spec.generation && !spec.choose)
		give_up(&spec, "no cairn.system= on the kernel command line");
	/* The watchdog waits: the check of a large disk takes longer than it does, and another
	 * kernel may not know of it. */
	named = spec.generation && !spec.choose;
	/* The others come last: where the kernel is changed the root is unmounted. */
	if (open_mapped(&spec, &e) < 0 || find_root(&spec, &e) < 0 ||
	    find_generation(&spec, &e) < 0 || look_whole(&spec, named, &e) < 0 ||
	    mount_others(&spec, &e) < 0)
		give_up(&spec, e.msg);
	start_watchdog(spec.watchdog);
	if (switch_root(&e) < 0)
		give_up(&spec, e.msg);
	tell_init(&spec, &args);
	execv(spec.init, args.argv);
	err_sys(&e, "%s", spec.init);
	give_up(&spec, e.msg);
}
