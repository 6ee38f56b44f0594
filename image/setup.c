/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "image/setup.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/random.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#include "image/closure.h"
#include "image/contents.h"
#include "image/disk.h"
#include "image/layout.h"
#include "lib/fd.h"
#include "lib/path.h"
#include "lib/tab.h"
#include "lib/text.h"

#define MIB	      (1ull << 20)
#define MEMORY_MIN    (192 * MIB)
#define DISK_OVERHEAD (160 * MIB) /* boot partitions, journal, tables, and some room to work in */
#define PROFILE	      "/run/current-system/profile"
#define ROOT_NUMBER   "3"

void setup_init(struct setup *s)
{
	*s = (struct setup){ .arena = ARENA_INIT, .disk = { .fd = -1, .guard = -1 } };
	answers_init(&s->answers);
}

void setup_done(struct setup *s)
{
	struct err ignored = ERR_INIT;

	device_close(&s->disk);
	sys_eval_free(s->ev);
	store_close(s->conn);
	if (s->work)
		(void)file_delete_tree(AT_FDCWD, s->work, NULL, &ignored); /* scratch */
	arena_done(&s->arena);
}

int setup_check_memory(struct err *e)
{
	struct sysinfo info;
	char have[16], want[16];

	if (sysinfo(&info) < 0)
		return err_sys(e, "memory");
	uint64_t total = (uint64_t)info.totalram * info.mem_unit;
	text_human(total, have);
	text_human(MEMORY_MIN, want);
	return total < MEMORY_MIN
		       ? err_set(e, -ERR_SPACE, "this machine has %s of memory, %s are needed",
				 have, want)
		       : 0;
}

/* ---- The disk -------------------------------------------------------------------------------- */

/* What has the name now must be what was chosen. */
static int check_identity(const struct answers *x, const struct device *d, struct err *e)
{
	if (*x->disk_serial && strcmp(x->disk_serial, d->serial) != 0)
		return err_set(e, -ERR_INVALID, "%s has serial number '%s', not '%s'", d->path,
			       d->serial, x->disk_serial);
	if (x->disk_size && x->disk_size != d->size)
		return err_set(e, -ERR_INVALID, "%s has %llu bytes, not %llu", d->path,
			       (unsigned long long)d->size, (unsigned long long)x->disk_size);
	return 0;
}

int setup_open(struct setup *s, struct err *e)
{
	int r = device_open(&s->arena, s->answers.disk, &s->disk, e);

	return r == 0 ? check_identity(&s->answers, &s->disk, e) : r;
}

/* ---- The system ------------------------------------------------------------------------------ */

static int make_work(struct setup *s, struct err *e)
{
	const char *dir = getenv("TMPDIR");
	char *name = arena_fmt(&s->arena, "%s/cairn-install-XXXXXX", dir && *dir ? dir : "/tmp");

	if (s->work)
		return 0;
	if (!name)
		return err_num(e, -ENOMEM, "scratch directory");
	if (!mkdtemp(name))
		return err_sys(e, "%s", name);
	s->work = name;
	return 0;
}

/* The file system's name: the same for a second attempt with the same answers. */
static int make_uuid(struct setup *s, struct err *e)
{
	struct guid g;
	char text[GUID_TEXT_MAX];

	if (*s->answers.root_uuid)
		return 0;
	if (getrandom(g.b, sizeof(g.b), 0) != (ssize_t)sizeof(g.b))
		return err_sys(e, "random numbers");
	g.b[6] = (uint8_t)((g.b[6] & 0x0f) | 0x40);
	g.b[8] = (uint8_t)((g.b[8] & 0x3f) | 0x80);
	guid_format(&g, text);
	s->answers.root_uuid = arena_str(&s->arena, text);
	return s->answers.root_uuid ? 0 : err_num(e, -ENOMEM, "UUID");
}

int setup_evaluate(struct setup *s, struct err *e)
{
	static const char *const args[] = { "bios=" ROOT_NUMBER, "efi=" ROOT_NUMBER };
	auto_str struct str text = STR_INIT;
	int r;

	if ((r = make_work(s, e)) < 0 || (r = make_uuid(s, e)) < 0)
		return r;
	answers_configuration(&s->answers, &text);
	s->config = arena_fmt(&s->arena, "%s/system.lua", s->work);
	if (str_err(&text) || !s->config)
		return err_num(e, -ENOMEM, "configuration");
	if ((r = file_write_atomic(AT_FDCWD, s->config, text.buf, text.len, 0600, e)) < 0)
		return r;
	struct sys_eval_request req = { .kind = SYS_EVAL_FILE,
					.text = s->config,
					.apply = "image.install",
					.args = args,
					.nargs = 2 };
	s->eval.store_dir = s->store.store_dir;
	sys_eval_free(s->ev);
	s->ev = NULL;
	return sys_eval_run(&s->eval, &req, &s->ev, e);
}

static int check_disk_size(struct setup *s, const struct vec *closure, struct err *e)
{
	uint64_t need = DISK_OVERHEAD;
	char want[16], have[16];

	for (size_t i = 0; i < closure->n; i++)
		need += ((const struct store_info *)closure->v[i])->nar_size;
	text_human(need, want);
	text_human(s->disk.size, have);
	return s->disk.size < need ? err_set(e, -ERR_SPACE, "%s has %s, %s are needed",
					     s->disk.path, have, want)
				   : 0;
}

static int closure_of(struct setup *s, struct vec *ret, struct tab *want, struct err *e)
{
	return closure_query(&s->arena, s->conn, sys_eval_value(s->ev, "system"), ret, want, e);
}

int setup_build(struct setup *s, struct err *e)
{
	auto_vec struct vec closure = VEC_INIT;
	auto_tab struct tab want = TAB_INIT;
	int r = s->conn ? 0 : store_open(&s->store, &s->conn, e);

	if (r == 0)
		r = sys_eval_build(s->ev, s->conn, NULL, e);
	if (r == 0)
		r = store_add_temp_root(s->conn, sys_eval_value(s->ev, "system"), e);
	if (r == 0)
		r = closure_of(s, &closure, &want, e);
	return r == 0 ? check_disk_size(s, &closure, e) : r;
}

/* ---- Writing --------------------------------------------------------------------------------- */

static struct layout whole_disk(const struct setup *s)
{
	static const struct part_spec none = {
		.label = "", .uuid = "", .part_uuid = "", .part_type = ""
	};
	struct layout l = { .parts = { none, none, none }, .n = 3 };

	l.parts[0].content = PART_BIOS;
	l.parts[0].name = "bios-boot";
	l.parts[0].size = MIB;
	l.parts[1].content = PART_ESP;
	l.parts[1].name = "esp";
	l.parts[1].label = "ESP";
	l.parts[1].size = LAYOUT_ESP_SIZE;
	l.parts[2].content = PART_ROOT;
	l.parts[2].name = "root";
	l.parts[2].label = "cairn-root";
	l.parts[2].uuid = s->answers.root_uuid;
	for (size_t i = 0; i < l.n; i++)
		l.parts[i].part_label = l.parts[i].name;
	return l;
}

static void progress(void *arg, uint64_t bytes)
{
	struct setup *s = arg;

	if (s->progress)
		s->progress(s->progress_arg, bytes, s->all);
}

static void count(struct setup *s, const struct vec *closure)
{
	s->all = 0;
	for (size_t i = 0; i < closure->n; i++)
		s->all += ((const struct store_info *)closure->v[i])->nar_size;
}

/* The system's own program; elsewhere what PATH has. (busybox has an mke2fs, too.) */
static const char *program(const char *profile, const char *name)
{
	return access(profile, X_OK) == 0 ? profile : name;
}

static int write_disk(struct setup *s, struct contents *c, struct err *e)
{
	struct layout layout = whole_disk(s);
	struct disk_result result;
	struct disk_opts o = {
		.file = device_fd_path(&s->disk, &s->arena),
		.device = true,
		.seed = s->answers.root_uuid,
		.layout = &layout,
		.size = s->disk.size,
		.mke2fs = program(PROFILE "/sbin/mke2fs", "mke2fs"),
		.mkfs_fat = program(PROFILE "/sbin/mkfs.fat", "mkfs.fat"),
		.mtools = program(PROFILE "/bin/mtools", "mtools"),
		.bios_dir = store_conn_physical(s->conn, &s->arena, sys_eval_value(s->ev, "bios")),
		/* manifests look behind the store's prefix */
		.esp_dir = sys_eval_value(s->ev, "efi"),
	};

	o.esp_dir = arena_fmt(&s->arena, "%s%s", store_conn_root(s->conn), o.esp_dir);
	if (arena_err(&s->arena))
		return err_num(e, -ENOMEM, "%s", s->disk.path);
	/* The programs that make file systems insist on having the device for themselves. */
	device_share(&s->disk);
	int r = disk_make(&o, c, &result, e);
	if (r == 0 && s->disk.number)
		(void)ioctl(s->disk.fd, BLKRRPART); /* the next boot sees it at the latest */
	return r < 0 ? err_wrap(e, r, "%s is incomplete and does not start", s->disk.path) : 0;
}

int setup_write(struct setup *s, struct err *e)
{
	auto_vec struct vec closure = VEC_INIT;
	auto_tab struct tab want = TAB_INIT;
	struct boot_menu menu;
	struct boot_place place;
	struct contents c = { .arena = &s->arena,
			      .store_prefix = store_conn_root(s->conn),
			      .system = sys_eval_value(s->ev, "system"),
			      .closure = &closure,
			      .menu = &menu,
			      .work = s->work,
			      .want = &want,
			      .progress = progress,
			      .progress_arg = s };
	int r;

	if ((r = closure_of(s, &closure, &want, e)) < 0 ||
	    (r = contents_menu(&s->arena, c.store_prefix, c.system, &menu, &place, e)) < 0 ||
	    (r = check_identity(&s->answers, &s->disk, e)) < 0)
		return r;
	c.place = place;
	count(s, &closure);
	return write_disk(s, &c, e);
}

/* ---- The plan -------------------------------------------------------------------------------- */

void setup_plan(const struct setup *s, struct str *out)
{
	const struct device *d = &s->disk;
	char size[16];

	text_human(d->size, size);
	str_addf(out, "disk       %s, %s%s%s%s%s\n", d->path, size, *d->model ? ", " : "", d->model,
		 *d->serial ? ", serial number " : "", d->serial);
	str_add(out, "           EVERYTHING on it will be lost\n"
		     "partitions 1 bios-boot  1 MiB   GRUB for BIOS machines\n"
		     "           2 esp       64 MiB   FAT, GRUB for UEFI machines\n"
		     "           3 root     the rest  ext4\n");
	str_addf(out, "host name  %s\ntime zone  %s\nnetwork    %s %s %s\n", s->answers.host_name,
		 s->answers.timezone, s->answers.network, s->answers.interface, s->answers.address);
	for (size_t i = 0; i < s->answers.nusers; i++) {
		const struct answers_user *u = &s->answers.users[i];

		str_addf(out, "%s %s, %s, %zu SSH keys\n", i ? "          " : "users     ", u->name,
			 *u->password ? "with a password" : "without a password", u->nkeys);
	}
	str_addf(out, "SSH        %s\n",
		 !s->answers.ssh	    ? "no"
		 : s->answers.ssh_passwords ? "with keys and passwords"
					    : "with keys only");
}
