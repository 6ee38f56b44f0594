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
#include <time.h>
#include <unistd.h>

#include "image/closure.h"
#include "image/contents.h"
#include "image/fat.h"
#include "lib/fd.h"
#include "lib/path.h"
#include "lib/size.h"
#include "lib/tab.h"
#include "lib/text.h"

#define MIB	      (1ull << 20)
#define MEMORY_MIN    (192 * MIB)
#define DISK_OVERHEAD (160 * MIB) /* boot partitions, journal, tables, and some room to work in */
#define PROFILE	      "/run/current-system/profile"
#define ROOT_NUMBER   "3"
#define ESP_NEED      (4 * MIB) /* GRUB, beside an older one */

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

/* The system's own program; elsewhere what PATH has. (busybox has an mke2fs, too.) */
static const char *program(const char *profile, const char *name)
{
	return access(profile, X_OK) == 0 ? profile : name;
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

/* ---- Partitions that are there --------------------------------------------------------------- */

static bool has_type(const struct gpt_part *p, const char *type)
{
	struct guid g;

	return guid_parse(slice_of(type), &g) == 0 && memcmp(&g, &p->type, sizeof(g)) == 0;
}

/* A number that was mistyped is most often seen by the type: code and swap space have types of
 * their own, and what has one of these is no place for a root. */
static int check_type(const struct gpt_part *p, enum part_content content, struct err *e)
{
	static const char *const types[] = { [PART_ESP] = GPT_TYPE_ESP,
					     [PART_BIOS] = GPT_TYPE_BIOS_BOOT,
					     [PART_SWAP] = GPT_TYPE_LINUX_SWAP };
	static const char *const names[] = { [PART_ESP] = "EFI system partition",
					     [PART_BIOS] = "BIOS boot partition",
					     [PART_SWAP] = "swap space" };

	for (size_t i = 0; i < ARRAY_LEN(types); i++) {
		bool is = types[i] && has_type(p, types[i]);

		if (types[i] && i == (size_t)content && !is)
			return err_set(e, -ERR_INVALID, "partition %u does not have the type '%s'",
				       p->number, names[i]);
		if (is && content == PART_ROOT)
			return err_set(e, -ERR_INVALID, "partition %u has the type '%s'", p->number,
				       names[i]);
	}
	return 0;
}

static int read_table(const struct setup *s, struct gpt *ret, struct err *e)
{
	uint8_t head[GPT_HEAD_SECTORS * GPT_SECTOR];
	ssize_t n = pread(s->disk.fd, head, sizeof(head), 0);

	if (n != (ssize_t)sizeof(head))
		return n < 0 ? err_sys(e, "%s", s->disk.path)
			     : err_num(e, -EIO, "%s", s->disk.path);
	int r = gpt_parse(head, ret, e);
	if (r == 0 && ret->sectors > s->disk.size / GPT_SECTOR)
		r = err_set(e, -ERR_INVALID, "the partition table is of a larger disk");
	return r < 0 ? err_wrap(e, r, "%s", s->disk.path) : 0;
}

static int check_overlap(const struct gpt *g, const struct gpt_part *p, struct err *e)
{
	for (size_t i = 0; i < g->nparts; i++)
		if (&g->part[i] != p && g->part[i].first <= p->last && p->first <= g->part[i].last)
			return err_set(e, -ERR_INVALID, "partitions %u and %u overlap", p->number,
				       g->part[i].number);
	return 0;
}

static int add_place(struct setup *s, const struct gpt *g, const char *number,
		     enum part_content content, const char *name, struct err *e)
{
	const struct gpt_part *p = NULL;
	struct part_spec *spec = &s->layout.parts[s->layout.n];
	uint64_t want;

	if (text_u64(slice_of(number), GPT_ENTRIES, &want) < 0)
		return 0;
	for (size_t i = 0; i < g->nparts; i++)
		if (g->part[i].number == want)
			p = &g->part[i];
	if (!p)
		return err_set(e, -ERR_INVALID, "%s has no partition %s", s->disk.path, number);
	int r = check_type(p, content, e);
	if (r < 0 || (r = check_overlap(g, p, e)) < 0)
		return err_wrap(e, r, "%s", s->disk.path);
	*spec = (struct part_spec){ .name = name,
				    .content = content,
				    .label = "",
				    .uuid = "",
				    .part_uuid = "",
				    .part_type = "",
				    .part_label = name };
	s->places[s->layout.n++] =
		(struct disk_place){ .offset = p->first * GPT_SECTOR,
				     .size = (p->last - p->first + 1) * GPT_SECTOR };
	return 0;
}

static const struct disk_place *place_of(const struct setup *s, enum part_content content)
{
	for (size_t i = 0; i < s->layout.n; i++)
		if (s->layout.parts[i].content == content)
			return &s->places[i];
	return NULL;
}

/* What an ESP must be before anything is written. */
static int check_esp(struct setup *s, struct err *e)
{
	const struct disk_place *esp = place_of(s, PART_ESP);
	uint64_t spare;

	if (!esp)
		return 0;
	const struct fat_opts fat = { .file = device_fd_path(&s->disk, &s->arena),
				      .offset = esp->offset,
				      .mtools = program(PROFILE "/bin/mtools", "mtools") };
	int r = fat.file ? fat_free(&fat, &spare, e) : err_num(e, -ENOMEM, "%s", s->disk.path);
	if (r == 0 && spare < ESP_NEED)
		r = err_set(e, -ERR_SPACE, "%llu bytes are free, %llu are needed",
			    (unsigned long long)spare, (unsigned long long)ESP_NEED);
	return r < 0 ? err_wrap(e, r, "%s, partition %s", s->disk.path, s->answers.esp_partition)
		     : 0;
}

static int find_partitions(struct setup *s, struct err *e)
{
	const struct answers *x = &s->answers;
	auto_free struct gpt *g = malloc(sizeof(*g));
	int r;

	s->layout.n = 0;
	if (!*x->root_partition)
		return 0;
	if (!g)
		return err_num(e, -ENOMEM, "%s", s->disk.path);
	if ((r = read_table(s, g, e)) < 0 ||
	    (r = add_place(s, g, x->root_partition, PART_ROOT, "root", e)) < 0 ||
	    (r = add_place(s, g, x->swap_partition, PART_SWAP, "swap", e)) < 0 ||
	    (r = add_place(s, g, x->esp_partition, PART_ESP, "esp", e)) < 0 ||
	    (r = add_place(s, g, x->bios_partition, PART_BIOS, "bios-boot", e)) < 0)
		return r;
	s->layout.parts[0].label = "cairn-root";
	return check_esp(s, e);
}

int setup_open(struct setup *s, struct err *e)
{
	int r = device_open(&s->arena, s->answers.disk, &s->disk, e);

	if (r == 0)
		r = check_identity(&s->answers, &s->disk, e);
	return r == 0 ? find_partitions(s, e) : r;
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

/* What image/disk.h will give to the swap space, to the partition of the ESP. */
static int derive_uuids(struct setup *s, struct err *e)
{
	struct guid swap = img_guid(s->answers.root_uuid, "filesystem:swap");
	struct guid esp = img_guid(s->answers.root_uuid, "partition:esp");
	char text[GUID_TEXT_MAX];

	guid_format(&swap, text);
	s->answers.swap_uuid = arena_str(&s->arena, text);
	guid_format(&esp, text);
	s->answers.esp_uuid = arena_str(&s->arena, text);
	return s->answers.swap_uuid && s->answers.esp_uuid ? 0 : err_num(e, -ENOMEM, "UUID");
}

static const char *root_number(const struct setup *s)
{
	return *s->answers.root_partition ? s->answers.root_partition : ROOT_NUMBER;
}

int setup_evaluate(struct setup *s, struct err *e)
{
	const char *const args[] = { arena_fmt(&s->arena, "bios=%s", root_number(s)),
				     arena_fmt(&s->arena, "efi=%s", root_number(s)) };
	auto_str struct str text = STR_INIT;
	int r;

	if ((r = make_work(s, e)) < 0 || (r = make_uuid(s, e)) < 0 || (r = derive_uuids(s, e)) < 0)
		return r;
	answers_configuration(&s->answers, &text);
	s->config = arena_fmt(&s->arena, "%s/system.lua", s->work);
	if (str_err(&text) || !s->config || !args[0] || !args[1])
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
	const struct disk_place *root = place_of(s, PART_ROOT);
	uint64_t need = DISK_OVERHEAD, size = root ? root->size : s->disk.size;
	char want[16], have[16];

	for (size_t i = 0; i < closure->n; i++)
		need += ((const struct store_info *)closure->v[i])->nar_size;
	text_human(need, want);
	text_human(size, have);
	return size < need
		       ? err_set(e, -ERR_SPACE, "%s%s%s has %s, %s are needed", s->disk.path,
				 root ? ", partition " : "", s->answers.root_partition, have, want)
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
	for (size_t i = 0; i < l.n; i++)
		l.parts[i].part_label = l.parts[i].name;
	if (answers_efi(&s->answers)) { /* nothing for BIOS machines */
		memmove(&l.parts[0], &l.parts[1], 2 * sizeof(l.parts[0]));
		l.n = 2;
	}
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

static int write_disk(struct setup *s, struct contents *c, struct err *e)
{
	bool apart = s->layout.n;
	struct layout layout = apart ? s->layout : whole_disk(s);
	struct disk_result result;
	struct disk_opts o = {
		.file = device_fd_path(&s->disk, &s->arena),
		.device = true,
		.seed = s->answers.root_uuid,
		.layout = &layout,
		.places = apart ? s->places : NULL,
		.size = s->disk.size,
		.mke2fs = program(PROFILE "/sbin/mke2fs", "mke2fs"),
		.mkfs_fat = program(PROFILE "/sbin/mkfs.fat", "mkfs.fat"),
		.mtools = program(PROFILE "/bin/mtools", "mtools"),
	};

	if (!answers_efi(&s->answers)) { /* manifests look behind the store's prefix */
		o.bios_dir = store_conn_physical(s->conn, &s->arena, sys_eval_value(s->ev, "bios"));
		o.esp_dir = arena_fmt(&s->arena, "%s%s", store_conn_root(s->conn),
				      sys_eval_value(s->ev, "efi"));
	}
	if (arena_err(&s->arena))
		return err_num(e, -ENOMEM, "%s", s->disk.path);
	for (size_t i = 0; i < layout.n; i++)
		if (layout.parts[i].content == PART_ROOT)
			layout.parts[i].uuid = s->answers.root_uuid;
	/* The programs that make file systems insist on having the device for themselves. */
	device_share(&s->disk);
	int r = disk_make(&o, c, &result, e);
	if (r == 0 && s->disk.number)
		(void)ioctl(s->disk.fd, BLKRRPART); /* the next boot sees it at the latest */
	return r < 0 ? err_wrap(e, r, "%s is incomplete and does not start", s->disk.path) : 0;
}

/* First passwords, which the configuration and so the store must not have. */
static size_t private_files(struct setup *s, struct contents_private out[LIMIT_USERS])
{
	size_t n = 0;

	for (size_t i = 0; i < s->answers.nusers; i++) {
		const struct answers_user *u = &s->answers.users[i];

		if (*u->password)
			out[n++] = (struct contents_private){
				.path = answers_password_file(&s->arena, u),
				.text = arena_fmt(&s->arena, "%s\n", u->password),
			};
	}
	return n;
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
			      .date = (int64_t)time(NULL),
			      .closure = &closure,
			      .menu = &menu,
			      .work = s->work,
			      .want = &want,
			      .progress = progress,
			      .progress_arg = s };
	int r;

	struct contents_private passwords[LIMIT_USERS];
	c.private = passwords;
	c.nprivate = private_files(s, passwords);
	if (arena_err(&s->arena))
		return err_num(e, -ENOMEM, "passwords");
	if ((r = closure_of(s, &closure, &want, e)) < 0 ||
	    (r = contents_menu(&s->arena, c.store_prefix, c.system, &menu, &place, e)) < 0 ||
	    (r = device_again(&s->arena, &s->disk, e)) < 0 ||
	    (r = check_identity(&s->answers, &s->disk, e)) < 0)
		return r;
	c.place = place;
	count(s, &closure);
	return write_disk(s, &c, e);
}

/* ---- The plan -------------------------------------------------------------------------------- */

static void plan_one(const struct setup *s, enum part_content content, const char *number,
		     const char *what, struct str *out)
{
	const struct disk_place *p = place_of(s, content);
	char size[16];

	if (!p)
		return;
	text_human(p->size, size);
	str_addf(out, "partition  %s %s  %s\n", number, size, what);
}

static void plan_partitions(const struct setup *s, struct str *out)
{
	const struct answers *x = &s->answers;

	plan_one(s, PART_ROOT, x->root_partition, "ext4; EVERYTHING on it will be lost", out);
	plan_one(s, PART_SWAP, x->swap_partition, "swap; EVERYTHING on it will be lost", out);
	plan_one(s, PART_ESP, x->esp_partition,
		 "shared: EFI/BOOT/BOOTX64.EFI is put there, another one kept as .saved", out);
	plan_one(s, PART_BIOS, x->bios_partition,
		 "GRUB for BIOS machines, as is the disk's boot sector", out);
	str_add(out, "           other partitions stay as they are\n");
}

void setup_plan(const struct setup *s, struct str *out)
{
	const struct device *d = &s->disk;
	char size[16];

	text_human(d->size, size);
	str_addf(out, "disk       %s, %s%s%s%s%s\n", d->path, size, *d->model ? ", " : "", d->model,
		 *d->serial ? ", serial number " : "", d->serial);
	if (s->layout.n)
		plan_partitions(s, out);
	else if (answers_efi(&s->answers))
		str_add(out,
			"           EVERYTHING on it will be lost\n"
			"partitions 1 esp       64 MiB   FAT, for UEFI machines only: kernels\n"
			"           2 root     the rest  ext4\n");
	else
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
