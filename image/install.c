/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "image/install.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>
#include <time.h>
#include <unistd.h>

#include "bootloader/bootloader.h"
#include "image/closure.h"
#include "image/contents.h"
#include "image/dirtree.h"
#include "image/ext4.h"
#include "lib/fd.h"
#include "lib/path.h"
#include "lib/text.h"
#include "store/store.h"
#include "system/system.h"

#define MARKER	    ".cairn-install"
#define LOCK	    MARKER "/lock"
#define STORE	    "gnu/store"
#define SLACK	    (1u << 20) /* menu, environment block, directories that grow */
#define LIMIT_EFI   (32u << 20)
#define EFI_PROGRAM "EFI/BOOT/BOOTX64.EFI"

struct install {
	const struct install_opts *opts;
	struct store_conn *conn;
	struct arena arena;
	int dir;
	int lock;
	bool resumed;	       /* the marker was there */
	enum boot_type loader; /* of the system */
	struct vec closure;
	struct tab want; /* path -> struct digest *: what the store it comes from says */
	struct tab kept; /* path -> the item, verified in DIR */
	struct contents contents;
	struct install_result result;
	uint64_t all; /* bytes to write */
};

/* ---- What is in the directory ---------------------------------------------------------------- */

static bool exists(const struct install *x, const char *name)
{
	struct stat st;

	return fstatat(x->dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0;
}

/* Each name in DIR/gnu/store: ours and whole, ours and to be removed, or somebody's. */
static int look_at_item(struct install *x, int store, const char *name, struct err *e)
{
	char *path = arena_fmt(&x->arena, STORE_DIR_DEFAULT "/%s", name);
	const struct digest *want = path ? tab_find(&x->want, slice_of(path)) : NULL;
	struct err ignored = ERR_INIT;
	struct digest have;
	uint64_t size;

	if (!path)
		return err_num(e, -ENOMEM, "%s", name);
	if (!x->resumed)
		return err_hint(
			e, err_set(e, -EEXIST, "%s has a store with %s in it", x->opts->dir, name),
			"an empty root file system is needed");
	if (want && nar_hash(store, name, DIGEST_SHA256, NULL, NULL, &have, &size, &ignored) == 0 &&
	    digest_eq(want, &have)) {
		void **slot = tab_put(&x->kept, slice_of(path), NULL);
		if (!slot)
			return err_num(e, -ENOMEM, "%s", name);
		*slot = path;
		x->result.kept++;
		return 0;
	}
	return file_delete_tree(store, name, NULL, e);
}

static int look_at_store(struct install *x, struct err *e)
{
	auto_vec struct vec names = VEC_INIT;
	struct dirent *d;
	int r = 0;

	auto_fd int fd = openat(x->dir, STORE, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT ? 0 : err_sys(e, "%s/" STORE, x->opts->dir);
	int copy = fcntl(fd, F_DUPFD_CLOEXEC, 0), more;
	DIR *dir = copy < 0 ? NULL : fdopendir(copy);
	if (!dir) {
		r = err_sys(e, "%s/" STORE, x->opts->dir);
		fd_close(&copy);
		return r;
	}
	while ((more = file_next(dir, &d)) > 0)
		if (strcmp(d->d_name, ".") != 0 && strcmp(d->d_name, "..") != 0)
			vec_add(&names, arena_str(&x->arena, d->d_name));
	if (more < 0)
		r = err_num(e, more, "%s/" STORE, x->opts->dir);
	(void)closedir(dir); /* only read from */
	if (r == 0 && (names.err || arena_err(&x->arena)))
		r = err_num(e, -ENOMEM, "%s/" STORE, x->opts->dir);
	for (size_t i = 0; i < names.n && r == 0; i++)
		r = look_at_item(x, fd, names.v[i], e);
	return r;
}

/* A machine that has been used is changed by reconfigure, not installed over. */
static int check_unused(struct install *x, struct err *e)
{
	const struct sys_root root = { x->opts->dir, x->opts->dir };
	struct gen_list list;

	if (!x->resumed && (exists(x, "var/guix/profiles/system") || exists(x, "var/guix/db")))
		return err_hint(
			e, err_set(e, -EEXIST, "%s holds an installation already", x->opts->dir),
			"cairn system reconfigure --target-root changes one");
	int r = gen_list_load(&root, &x->arena, &list, e);
	for (size_t i = 0; r == 0 && i < list.n; i++)
		if (list.v[i].number != 1)
			r = err_set(e, -EEXIST, "%s has been used: it has a generation %u",
				    x->opts->dir, list.v[i].number);
	return r;
}

static int open_dir(struct install *x, struct err *e)
{
	struct stat top, here;

	x->dir = open(x->opts->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (x->dir < 0)
		return err_sys(e, "%s", x->opts->dir);
	if (stat("/", &top) < 0 || fstat(x->dir, &here) < 0)
		return err_sys(e, "%s", x->opts->dir);
	if (top.st_dev == here.st_dev && top.st_ino == here.st_ino)
		return err_set(e, -ERR_INVALID, "%s is the root of the running system",
			       x->opts->dir);
	x->resumed = exists(x, MARKER);
	return 0;
}

/* Open to nobody else until the end. */
static int mark(struct install *x, struct err *e)
{
	if (mkdirat(x->dir, MARKER, 0700) < 0 && errno != EEXIST)
		return err_sys(e, "%s/" MARKER, x->opts->dir);
	x->lock = openat(x->dir, LOCK, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (x->lock < 0)
		return err_sys(e, "%s/" LOCK, x->opts->dir);
	int r = fd_lock(x->lock, true, false);
	if (r == -EAGAIN)
		return err_set(e, -ERR_IN_USE, "somebody else is installing to %s", x->opts->dir);
	if (r < 0)
		return err_num(e, r, "%s/" LOCK, x->opts->dir);
	return fsync(x->dir) < 0 ? err_sys(e, "%s", x->opts->dir) : 0;
}

/* ---- Space ----------------------------------------------------------------------------------- */

/* Take the items that are there out of the manifest. */
static void drop_kept(struct install *x)
{
	struct vec *all = &x->contents.manifest.entries;
	size_t n = 0;

	for (size_t i = 0; i < all->n; i++) {
		struct man_entry *entry = all->v[i];

		if (!entry->item || !tab_has(&x->kept, slice_of(entry->item->path)))
			all->v[n++] = entry;
	}
	all->n = n;
}

static uint64_t late_bytes(const struct manifest *m)
{
	uint64_t n = 0;

	for (size_t i = 0; i < m->entries.n; i++)
		n += manifest_at(m, i)->late ? manifest_at(m, i)->size : 0;
	return n;
}

static int no_space(const struct install *x, uint64_t need, uint64_t spare, struct err *e)
{
	char want[16], have[16];

	text_human(need, want);
	text_human(spare, have);
	return err_set(e, -ERR_SPACE, "%s has %s free, %s are needed (%llu of %llu bytes missing)",
		       x->opts->dir, have, want, (unsigned long long)(need - spare),
		       (unsigned long long)need);
}

/* Sizes of NARs are never less than what their files take but for holes: enough to say no before
 * the first byte is written. Of what was begun an item has its name when it is complete; whether it
 * is as it should be is looked at by who goes on with it. */
static int check_rough(struct install *x, struct err *e)
{
	uint64_t need = 0;
	size_t kept = 0;
	struct statvfs fs;

	if (fstatvfs(x->dir, &fs) < 0)
		return err_sys(e, "%s", x->opts->dir);
	for (size_t i = 0; i < x->closure.n; i++) {
		const struct store_info *item = x->closure.v[i];

		if (exists(x, item->path + 1))
			kept++;
		else
			need += item->nar_size;
	}
	if (x->opts->dry_run)
		x->result.kept = kept;
	uint64_t spare = (uint64_t)fs.f_bavail * fs.f_frsize;
	x->result.need = need;
	x->result.spare = spare;
	/* Of what was begun a part is there. */
	return need > spare && !x->resumed ? no_space(x, need, spare, e) : 0;
}

static int check_space(struct install *x, struct err *e)
{
	const struct manifest *m = &x->contents.manifest;
	struct ext4_need need = ext4_need(m);
	struct statvfs fs;

	for (size_t i = 0; i < m->entries.n; i++)
		if (manifest_at(m, i)->type == MAN_FILE)
			x->all += manifest_at(m, i)->size;
	if (fstatvfs(x->dir, &fs) < 0)
		return err_sys(e, "%s", x->opts->dir);
	x->result.need = need.blocks * EXT4_BLOCK + late_bytes(m) + SLACK;
	x->result.spare = (uint64_t)fs.f_bavail * fs.f_frsize;
	if (x->result.need > x->result.spare)
		return no_space(x, x->result.need, x->result.spare, e);
	if (fs.f_files && need.inodes > fs.f_favail)
		return err_set(e, -ERR_SPACE, "%s has %llu inodes free, %llu are needed",
			       x->opts->dir, (unsigned long long)fs.f_favail,
			       (unsigned long long)need.inodes);
	return 0;
}

/* ---- Boot loader ----------------------------------------------------------------------------- */

/* GRUB's program; a boot loader that is part of the system brings its own with the menu. */
static int write_esp(const char *esp, const char *efi_dir, struct err *e)
{
	auto_str struct str program = STR_INIT;
	char path[PATH_MAX];

	if (!efi_dir)
		return boot_claim(esp, e);
	if (path_join(path, efi_dir, EFI_PROGRAM) < 0)
		return err_num(e, -ENAMETOOLONG, "%s", efi_dir);
	int r = file_read(AT_FDCWD, path, &program, LIMIT_EFI, e);
	return r < 0 ? r : boot_program_write(esp, str_slice(&program), e);
}

static int write_loader(const struct install_opts *o, struct err *e)
{
	int r = o->boot_disk ? boot_install(o->boot_disk, o->bios_dir, NULL, e) : 0;

	return r == 0 && o->esp ? write_esp(o->esp, o->efi_dir, e) : r;
}

/* Features of ext4 that GRUB reads past; one of any other and it sees no file system at all. */
#define EXT4_SUPER	1024
#define EXT4_MAGIC	0x38
#define EXT4_INCOMPAT	0x60
#define GRUB_UNREADABLE (0x2000 | 0x4000 | 0x8000 | 0x20000)

static uint32_t le32(const uint8_t *p)
{
	return p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

/* The device that dir lies on; -1: not to be found. */
static int open_device_of(const char *dir)
{
	auto_str struct str text = STR_INIT;
	struct err ignored = ERR_INIT;
	char path[PATH_MAX];
	struct slice rest, line;
	struct stat st;

	if (stat(dir, &st) < 0)
		return -1;
	(void)snprintf(path, sizeof(path), "/sys/dev/block/%u:%u/uevent", major(st.st_dev),
		       minor(st.st_dev));
	if (file_read(AT_FDCWD, path, &text, 4096, &ignored) < 0)
		return -1;
	for (rest = str_slice(&text); slice_cut(&rest, '\n', &line);)
		if (slice_starts(line, "DEVNAME=")) {
			(void)snprintf(path, sizeof(path), "/dev/%.*s", (int)line.n - 8,
				       line.p + 8);
			return open(path, O_RDONLY | O_CLOEXEC);
		}
	return -1;
}

/* Whatever is not found out is not refused. */
static int check_readable(const struct install_opts *o, struct err *e)
{
	uint8_t super[1024];
	auto_fd int fd = open_device_of(o->dir);

	if (fd < 0 || pread(fd, super, sizeof(super), EXT4_SUPER) != (ssize_t)sizeof(super) ||
	    super[EXT4_MAGIC] != 0x53 || super[EXT4_MAGIC + 1] != 0xef)
		return 0;
	if (!(le32(super + EXT4_INCOMPAT) & GRUB_UNREADABLE))
		return 0;
	return err_hint(e,
			err_set(e, -ERR_UNSUPPORTED,
				"the file system at %s has features that GRUB cannot read", o->dir),
			"mke2fs -O ^metadata_csum_seed,^orphan_file makes one that it can");
}

/* Where kernels are kept on the ESP, it must be where the machine will have it. */
static int check_mounted(const struct install_opts *o, const char *dir, struct err *e)
{
	struct stat given, there;
	char path[PATH_MAX];

	if (path_join(path, o->dir, dir + 1) < 0)
		return err_num(e, -ENAMETOOLONG, "%s", o->dir);
	if (stat(o->esp, &given) < 0)
		return err_sys(e, "%s", o->esp);
	if (stat(path, &there) == 0 && given.st_dev == there.st_dev && given.st_ino == there.st_ino)
		return 0;
	return err_hint(e,
			err_set(e, -ERR_INVALID, "the machine has its boot partition at %s", dir),
			"mount it at %s and give --esp %s", path, path);
}

/* What the system brings itself. */
static int find_loader(struct install *x, struct err *e)
{
	const struct sys_root root = { x->opts->dir, store_conn_root(x->conn) };
	struct sys_menu settings;
	int r = sys_menu_load(&root, &x->arena, x->opts->system, &settings, e);

	if (r < 0)
		return r;
	x->loader = settings.type;
	if (x->opts->esp && !x->opts->efi_dir && settings.type != BOOT_EFI)
		return err_set(e, -ERR_INVALID, "a boot loader of type %s has nothing for --esp",
			       boot_type_name(settings.type));
	return settings.type == BOOT_EFI && x->opts->esp ? check_mounted(x->opts, settings.dir, e)
							 : 0;
}

/* What would fail only at the end. */
static int check_loader(const struct install_opts *o, struct err *e)
{
	struct stat st;

	if (o->boot_disk && access(o->boot_disk, R_OK | W_OK) < 0)
		return err_sys(e, "%s", o->boot_disk);
	if (o->esp && stat(o->esp, &st) < 0)
		return err_sys(e, "%s", o->esp);
	if (o->esp && !S_ISDIR(st.st_mode))
		return err_num(e, -ENOTDIR, "%s", o->esp);
	return o->bios_dir || o->efi_dir ? check_readable(o, e) : 0;
}

/* ---- Writing --------------------------------------------------------------------------------- */

static void progress(void *arg, uint64_t bytes)
{
	struct install *x = arg;

	x->result.bytes = bytes;
	if (x->opts->progress)
		x->opts->progress(x->opts->arg, bytes, x->all);
}

static int make_contents(struct install *x, const char *work, struct err *e)
{
	x->contents = (struct contents){ .arena = &x->arena,
					 .store_prefix = store_conn_root(x->conn),
					 .system = x->opts->system,
					 .date = (int64_t)time(NULL),
					 .closure = &x->closure,
					 .progress = progress,
					 .progress_arg = x,
					 .work = work };
	return contents_make(&x->contents, e);
}

/* The estimate of the database put stand-ins there; the hashes of kept items are known, those of
 * the others come from what is written. */
static void restore_hashes(struct install *x, const struct vec *sizes)
{
	for (size_t i = 0; i < x->closure.n; i++) {
		struct store_info *info = x->closure.v[i];

		info->nar_hash = *(const struct digest *)tab_find(&x->want, slice_of(info->path));
		info->nar_size = *(const uint64_t *)sizes->v[i];
	}
}

static int write_tree(struct install *x, struct err *e)
{
	struct fill_opts fill = contents_fill(&x->contents);
	struct dirtree *t = NULL;
	int r = dirtree_open(x->dir, &x->want, &t, e);

	if (r < 0)
		return r;
	r = fill_run(&x->contents.manifest, dirtree_sink(t), &fill, e);
	if (r == 0)
		return dirtree_finish(t, e);
	dirtree_free(t);
	return r;
}

static int write_menu(struct install *x, struct err *e)
{
	const struct sys_root root = { x->opts->dir, x->opts->dir };
	struct gen_list list;
	int r = gen_list_load(&root, &x->arena, &list, e);

	if (r == 0 && x->loader == BOOT_EFI && !x->opts->esp)
		return 0; /* without a boot loader */
	return r < 0 ? r : sys_menu_write(&root, &list, 1, 0, e);
}

static int unmark(struct install *x, struct err *e)
{
	int r = file_delete_tree(x->dir, MARKER, NULL, e);

	return r == 0 && fsync(x->dir) < 0 ? err_sys(e, "%s", x->opts->dir) : r;
}

static int run(struct install *x, struct err *e)
{
	auto_vec struct vec sizes = VEC_INIT;
	char *work = arena_fmt(&x->arena, "%s/" MARKER, x->opts->dir);
	bool fresh = false;
	int r;

	if (!work)
		return err_num(e, -ENOMEM, "%s", x->opts->dir);
	if ((r = check_loader(x->opts, e)) < 0 || (r = find_loader(x, e)) < 0 ||
	    (r = open_dir(x, e)) < 0 || (r = check_unused(x, e)) < 0 ||
	    (r = closure_query(&x->arena, x->conn, x->opts->system, &x->closure, &x->want, e)) < 0)
		return r;
	for (size_t i = 0; i < x->closure.n; i++)
		vec_add(&sizes,
			arena_dup(&x->arena, &((struct store_info *)x->closure.v[i])->nar_size,
				  sizeof(uint64_t)));
	x->result.items = x->closure.n;
	if (sizes.err || arena_err(&x->arena))
		return err_num(e, -ENOMEM, "closure");
	fresh = !x->resumed;
	if ((fresh && (r = look_at_store(x, e)) < 0) || (r = check_rough(x, e)) < 0)
		return r;
	if (x->opts->dry_run)
		return 0;
	if ((r = mark(x, e)) < 0)
		return r;
	if ((r = fresh ? 0 : look_at_store(x, e)) == 0)
		r = make_contents(x, work, e);
	if (r == 0) {
		drop_kept(x);
		restore_hashes(x, &sizes);
		r = check_space(x, e);
		if (r < 0 && fresh) /* nothing but the marker was written */
			(void)unmark(x, &(struct err)ERR_INIT);
	}
	if (r == 0)
		r = write_tree(x, e);
	if (r == 0)
		r = write_loader(x->opts, e);
	if (r == 0)
		r = write_menu(x, e);
	return r == 0 ? unmark(x, e) : r;
}

int install_system(const struct install_opts *o, struct store_conn *conn,
		   struct install_result *ret, struct err *e)
{
	struct install x = { .opts = o,
			     .conn = conn,
			     .arena = ARENA_INIT,
			     .dir = -1,
			     .lock = -1,
			     .closure = VEC_INIT,
			     .want = TAB_INIT,
			     .kept = TAB_INIT };
	int r = run(&x, e);

	if (r == 0)
		*ret = x.result;
	manifest_done(&x.contents.manifest);
	vec_done(&x.closure);
	tab_done(&x.want);
	tab_done(&x.kept);
	fd_close(&x.lock);
	fd_close(&x.dir);
	arena_done(&x.arena);
	return r;
}
