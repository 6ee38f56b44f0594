/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "image/disk.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bootloader/bootloader.h"
#include "image/erofs.h"
#include "image/ext4.h"
#include "image/fat.h"
#include "image/squashfs.h"
#include "image/readback.h"
#include "image/swap.h"
#include "lib/fd.h"
#include "lib/size.h"
#include "store/store.h"

#define MIB	   (1024ull * 1024)
#define LIMIT_CORE (1024 * 1024)

/* The disk being written. */
struct disk {
	const struct disk_opts *opts;
	struct contents *contents;
	int fd;
	uint64_t place[LIMIT_LAYOUT_PARTS]; /* bytes: where each partition begins */
	uint64_t size[LIMIT_LAYOUT_PARTS];
	struct disk_result result;
	struct readback written; /* of a device; of what is no file of a root, which has its own */
};

struct guid img_guid(const char *system, const char *what)
{
	auto_str struct str text = STR_INIT;
	struct guid g;

	str_addf(&text, "cairn-image:%s:%s", system, what);
	struct digest d = digest_of(DIGEST_SHA256, text.buf, text.len);
	memcpy(g.b, d.bytes, sizeof(g.b));
	g.b[6] = (uint8_t)((g.b[6] & 0x0f) | 0x80); /* version 8: made from what one likes */
	g.b[8] = (uint8_t)((g.b[8] & 0x3f) | 0x80);
	return g;
}

static const char *seed_of(const struct disk *d)
{
	return d->opts->seed ? d->opts->seed : d->contents->system;
}

/* The identifier the layout gives, else the derived one of KIND:NAME. */
static struct guid part_guid(const struct disk *d, const char *given, const char *kind,
			     const char *name)
{
	char what[200];
	struct guid g;

	if (*given && guid_parse(slice_of(given), &g) == 0)
		return g;
	(void)snprintf(what, sizeof(what), "%s:%s", kind, name);
	return img_guid(seed_of(d), what);
}

static int put(int fd, const void *p, size_t n, uint64_t off, struct err *e)
{
	const char *b = p;

	while (n) {
		ssize_t k = pwrite(fd, b, n, (off_t)off);
		if (k < 0 && errno == EINTR)
			continue;
		if (k <= 0)
			return k < 0 ? err_sys(e, "writing the image")
				     : err_num(e, -EIO, "writing the image");
		b += k;
		off += (uint64_t)k;
		n -= (size_t)k;
	}
	return 0;
}

static int resize(const struct disk *d, uint64_t size, struct err *e)
{
	if (!d->opts->device && ftruncate(d->fd, (off_t)size) < 0)
		return err_sys(e, "sizing the image");
	return 0;
}

/* ---- Contents of partitions ------------------------------------------------------------------ */

static int ext4_fill(const struct ext4_opts *fs, struct manifest *m, const struct fill_opts *fill,
		     uint64_t *ret_free, struct err *e)
{
	struct ext4 *x = NULL;

	int r = ext4_open(fs, &x, e);
	if (r < 0)
		return r;
	r = fill_run(m, ext4_sink(x), fill, e);
	if (r < 0) {
		ext4_free(x);
		return r;
	}
	r = ext4_finish(x, ret_free, e);
	if (r == 0 && *ret_free < fs->free_bytes)
		return err_set(e, -ERR_INTERNAL, "%llu bytes are left instead of %llu",
			       (unsigned long long)*ret_free, (unsigned long long)fs->free_bytes);
	return r;
}

/* inodes: that are free besides those that the size asks for. */
static int make_ext4(struct disk *d, size_t i, struct manifest *m, const struct fill_opts *fill,
		     unsigned inodes, struct err *e)
{
	const struct part_spec *p = &d->opts->layout->parts[i];
	struct ext4_opts fs = { .file = d->opts->file,
				.offset = d->place[i],
				.size = d->size[i],
				.uuid = part_guid(d, p->uuid, "filesystem", p->name),
				.label = p->label,
				.mke2fs = d->opts->mke2fs,
				.work = d->contents->work,
				.free_bytes = d->size[i] ? 0 : p->free,
				.device = d->opts->device };

	uint64_t left = 0;
	fs.free_inodes = inodes + (fs.size ? fs.size : fs.free_bytes) / (64 * 1024);
	int r = ext4_make(&fs, m, &d->size[i], e);
	if (r == 0)
		r = ext4_fill(&fs, m, fill, &left, e);
	if (r == 0 && p->content == PART_ROOT)
		d->result.free_bytes = left;
	return r;
}

/* What is in file goes to partition i, which gets its size from it unless it has one. */
static int put_file(struct disk *d, size_t i, const char *file, struct err *e)
{
	auto_free char *buf = malloc(MIB);
	auto_fd int fd = open(file, O_RDONLY | O_CLOEXEC);
	uint64_t at = d->place[i], size;
	ssize_t n = 0;
	struct stat st;

	if (!buf)
		return err_num(e, -ENOMEM, "%s", file);
	if (fd < 0 || fstat(fd, &st) < 0)
		return err_sys(e, "%s", file);
	size = ((uint64_t)st.st_size + MIB - 1) / MIB * MIB;
	if (d->size[i] && d->size[i] < size)
		return err_set(e, -ERR_LIMIT, "the root needs %llu MiB, the partition has %llu MiB",
			       (unsigned long long)(size / MIB),
			       (unsigned long long)(d->size[i] / MIB));
	if (!d->size[i])
		d->size[i] = size;
	while ((n = fd_read_some(fd, buf, MIB)) > 0) {
		int r = put(d->fd, buf, (size_t)n, at, e);
		if (r < 0)
			return r;
		at += (uint64_t)n;
	}
	return n < 0 ? err_num(e, (int)n, "%s", file) : 0;
}

/* Both programs make a file of their own; it is put into the disk when it is complete. */
static int make_read_only(struct disk *d, size_t i, struct err *e)
{
	const struct part_spec *p = &d->opts->layout->parts[i];
	const char *file = arena_fmt(d->contents->arena, "%s/root.image", d->contents->work);
	const struct squashfs_opts squashfs = { .file = file,
						.mksquashfs = d->opts->mksquashfs,
						.processors = d->opts->processors };
	const struct erofs_opts erofs = { .file = file,
					  .mkfs_erofs = d->opts->mkfs_erofs,
					  .uuid = part_guid(d, p->uuid, "filesystem", p->name),
					  .label = p->label };

	if (!file)
		return err_num(e, -ENOMEM, "root");
	if (unlink(file) < 0 && errno != ENOENT) /* of an earlier run that was cut short */
		return err_sys(e, "%s", file);
	int r = p->file_system == PART_FS_EROFS ? erofs_make(&erofs, d->contents, e)
						: squashfs_make(&squashfs, d->contents, e);
	if (r < 0)
		return r;
	r = put_file(d, i, file, e);
	(void)unlink(file); /* scratch */
	return r;
}

static int make_root(struct disk *d, size_t i, struct err *e)
{
	struct fill_opts fill = contents_fill(d->contents);

	if (d->opts->layout->parts[i].file_system != PART_FS_EXT4)
		return make_read_only(d, i, e);
	return make_ext4(d, i, &d->contents->manifest, &fill, 4096, e);
}

static int make_boot(struct disk *d, size_t i, struct err *e)
{
	const struct fill_opts fill = { 0 };
	struct manifest m;

	int r = contents_boot(d->contents, &m, e);
	if (r == 0)
		r = make_ext4(d, i, &m, &fill, 0, e);
	manifest_done(&m);
	return r;
}

static int make_empty(struct disk *d, size_t i, struct err *e)
{
	struct manifest m = { .arena = d->contents->arena, .entries = VEC_INIT };
	const struct fill_opts fill = { 0 };

	(void)manifest_dir(&m, "", 0755);
	int r = manifest_finish(&m, e);
	if (r == 0)
		r = make_ext4(d, i, &m, &fill, 0, e);
	manifest_done(&m);
	return r;
}

#define LIMIT_ESP_READ (1ull << 30) /* of one that is shared; others are smaller */
#define EFI_DIR	       "EFI/BOOT"
#define EFI_NAME       "BOOTX64.EFI"

/* Other systems may be started from it, too. */
static int share_esp(struct disk *d, size_t i, struct err *e)
{
	const struct fat_opts fat = { .file = d->opts->file,
				      .offset = d->place[i],
				      .mtools = d->opts->mtools,
				      .foreign = true };
	const char *source =
		arena_fmt(d->contents->arena, "%s/" EFI_DIR "/" EFI_NAME, d->opts->esp_dir);

	return source ? fat_share(&fat, source, EFI_DIR, EFI_NAME, e)
		      : err_num(e, -ENOMEM, "EFI system partition");
}

static int make_esp(struct disk *d, size_t i, struct err *e)
{
	const struct part_spec *p = &d->opts->layout->parts[i];
	struct guid id = part_guid(d, p->uuid, "filesystem", p->name);
	struct manifest m = { .arena = d->contents->arena, .entries = VEC_INIT };
	struct fat_opts fat = { .file = d->opts->file,
				.offset = d->place[i],
				.size = d->size[i],
				.serial = (uint32_t)id.b[0] << 24 | (uint32_t)id.b[1] << 16 |
					  (uint32_t)id.b[2] << 8 | id.b[3],
				.label = p->label,
				.mkfs = d->opts->mkfs_fat,
				.mtools = d->opts->mtools,
				.device = d->opts->device };
	int r = 0;

	if (d->opts->esp_dir)
		r = manifest_add_copy(&m, d->contents->store_prefix, d->opts->esp_dir, "", e);
	if (r == 0 && d->contents->menu && d->contents->place.type == BOOT_EFI) {
		fat.roomy = BOOT_EFI_DIR;
		fat.room = BOOT_DIR_SIZE;
		if (!m.entries.n)
			(void)manifest_dir(&m, "", 0755);
		r = contents_add_boot(d->contents, &m, "", e);
	}
	if (r == 0 && m.entries.n)
		r = manifest_finish(&m, e);
	if (r == 0)
		r = fat_make(&fat, &m, e);
	manifest_done(&m);
	return r;
}

static int make_swap(struct disk *d, size_t i, struct err *e)
{
	const struct part_spec *p = &d->opts->layout->parts[i];
	struct guid uuid = part_guid(d, p->uuid, "filesystem", p->name);

	return swap_make(d->fd, d->place[i], d->size[i], &uuid, p->label, e);
}

static int make_nothing(struct disk *d, size_t i, struct err *e)
{
	return 0;
}

/* What was written there must be there: checked before anything starts from it. */
static int remember(struct disk *d, uint64_t offset, uint64_t size, struct err *e)
{
	int r = d->opts->device ? readback_add_range(&d->written, d->fd, offset, size) : 0;

	return r < 0 ? err_num(e, r, "%s", d->opts->file) : 0;
}

static int remember_part(struct disk *d, size_t i, struct err *e)
{
	enum part_content content = d->opts->layout->parts[i].content;

	if (content == PART_ESP)
		return remember(d, d->place[i], MIN_OF(d->size[i], LIMIT_ESP_READ), e);
	return content == PART_SWAP ? remember(d, d->place[i], READBACK_BLOCK, e) : 0;
}

static int make_part(struct disk *d, size_t i, struct err *e)
{
	static int (*const make[PART_CONTENT_MAX])(struct disk *, size_t, struct err *) = {
		[PART_BIOS] = make_nothing,  [PART_ESP] = make_esp,    [PART_ROOT] = make_root,
		[PART_BOOT] = make_boot,     [PART_EXT4] = make_empty, [PART_SWAP] = make_swap,
		[PART_EMPTY] = make_nothing,
	};
	const struct part_spec *p = &d->opts->layout->parts[i];

	int r = d->size[i] ? resize(d, d->place[i] + d->size[i], e) : 0;
	if (r == 0)
		r = make[p->content](d, i, e);
	if (r == 0)
		r = remember_part(d, i, e);
	return r < 0 ? err_wrap(e, r, "partition '%s'", p->name) : 0;
}

/* ---- The disk -------------------------------------------------------------------------------- */

/* A root without size gets what the others leave of a disk with one. */
static int share_out(struct disk *d, struct err *e)
{
	const struct layout *l = d->opts->layout;
	uint64_t others = 2 * MIB; /* both tables */
	size_t root = l->n;

	for (size_t i = 0; i < l->n; i++) {
		d->size[i] = l->parts[i].size;
		others += d->size[i];
		if (l->parts[i].content == PART_ROOT && !d->size[i])
			root = i;
	}
	if (!d->opts->size)
		return 0;
	if (d->opts->size % (d->opts->device ? GPT_SECTOR : MIB))
		return err_set(e, -ERR_INVALID, "the size of the image is not a number of MiB");
	if (d->opts->size < others + (root < l->n ? MIB : 0))
		return err_set(e, -ERR_LIMIT,
			       "the partitions need %llu MiB, the image has %llu MiB",
			       (unsigned long long)(others / MIB),
			       (unsigned long long)(d->opts->size / MIB));
	if (root < l->n)
		d->size[root] = (d->opts->size - others) / MIB * MIB;
	return 0;
}

static int sync_device(struct disk *d, struct err *e)
{
	return d->opts->device && fsync(d->fd) < 0 ? err_sys(e, "%s", d->opts->file) : 0;
}

static int table_format(struct disk *d, uint64_t size, uint8_t *head, uint8_t *tail, struct err *e)
{
	const struct layout *l = d->opts->layout;
	auto_free struct gpt *g = calloc(1, sizeof(*g));

	if (!g)
		return err_num(e, -ENOMEM, "partition table");
	g->disk = img_guid(seed_of(d), "disk");
	g->sectors = size / GPT_SECTOR;
	g->nparts = l->n;
	for (size_t i = 0; i < l->n; i++) {
		const struct part_spec *p = &l->parts[i];
		g->part[i] = (struct gpt_part){
			.type = layout_type(p),
			.id = part_guid(d, p->part_uuid, "partition", p->name),
			.first = d->place[i] / GPT_SECTOR,
			.last = (d->place[i] + d->size[i]) / GPT_SECTOR - 1,
			.attributes = p->attributes,
			.label = p->part_label,
		};
	}
	return gpt_format(g, head, tail, e);
}

static int write_code(struct disk *d, struct err *e)
{
	const struct layout *l = d->opts->layout;
	auto_str struct str boot = STR_INIT;
	auto_str struct str core = STR_INIT;
	size_t i = 0;
	int r;

	while (i < l->n && l->parts[i].content != PART_BIOS)
		i++;
	if (!d->opts->bios_dir || i == l->n)
		return 0;
	auto_fd int dir = open(d->opts->bios_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0)
		return err_sys(e, "%s", d->opts->bios_dir);
	if ((r = file_read(dir, "boot.img", &boot, GPT_SECTOR, e)) < 0 ||
	    (r = file_read(dir, "core.img", &core, LIMIT_CORE, e)) < 0)
		return r;
	struct boot_code code = { str_slice(&boot), str_slice(&core) };
	return boot_embed(d->fd, d->place[i] / GPT_SECTOR, d->size[i] / GPT_SECTOR, &code, NULL, e);
}

/* The first sectors are the last that is written, and what they lead to is on the device before:
 * without them no machine finds a partition. The boot code's bytes in the first sector are there
 * already. */
static int write_table(struct disk *d, uint64_t size, struct err *e)
{
	uint8_t head[GPT_HEAD_SECTORS * GPT_SECTOR], tail[GPT_TAIL_SECTORS * GPT_SECTOR];

	int r = table_format(d, size, head, tail, e);
	if (r == 0)
		r = resize(d, size, e);
	if (r == 0)
		r = put(d->fd, tail, sizeof(tail), size - sizeof(tail), e);
	if (r == 0)
		r = write_code(d, e);
	if (r == 0)
		r = sync_device(d, e);
	d->result.size = size;
	return r < 0 ? r
		     : put(d->fd, head + BOOT_CODE_SIZE, sizeof(head) - BOOT_CODE_SIZE,
			   BOOT_CODE_SIZE, e);
}

static int check_written(struct disk *d, struct err *e)
{
	if (!d->opts->device)
		return 0;
	int r = readback_check(&d->written, d->opts->file, e);
	readback_done(&d->written);
	d->written = (struct readback)READBACK_INIT;
	return r;
}

/* Table, boot code, and both ends of the disk. */
static int check_start(struct disk *d, struct err *e)
{
	const struct layout *l = d->opts->layout;
	uint64_t end = (d->opts->size - MIB) / READBACK_BLOCK * READBACK_BLOCK;
	int r = remember(d, 0, MIB, e);

	for (size_t i = 0; r == 0 && i < l->n; i++)
		if (l->parts[i].content == PART_BIOS)
			r = remember(d, d->place[i], d->size[i], e);
	if (r == 0)
		r = remember(d, end, d->opts->size - end, e);
	return r == 0 ? check_written(d, e) : r;
}

static int disk_write(struct disk *d, struct err *e)
{
	uint64_t at = MIB;

	int r = share_out(d, e);
	for (size_t i = 0; r == 0 && i < d->opts->layout->n; i++) {
		d->place[i] = at;
		r = make_part(d, i, e);
		at += d->size[i];
	}
	if (r == 0)
		r = sync_device(d, e);
	if (r == 0)
		r = check_written(d, e);
	return r == 0 ? write_table(d, d->opts->size ? d->opts->size : at + MIB, e) : r;
}

/* What was on a device is gone first: neither an old table, at either end, nor old boot code is
 * there while the new ones are not. */
static int wipe(struct disk *d, struct err *e)
{
	auto_free uint8_t *zeros = calloc(1, MIB);
	uint64_t size = d->opts->size;

	if (!zeros)
		return err_num(e, -ENOMEM, "%s", d->opts->file);
	if (size < 2 * MIB)
		return err_set(e, -ERR_LIMIT, "the disk has less than 2 MiB");
	int r = put(d->fd, zeros, MIB, 0, e);
	if (r == 0)
		r = put(d->fd, zeros, MIB, size - MIB, e);
	return r == 0 ? sync_device(d, e) : r;
}

/* What was known of a partition by its first or last bytes is no more. */
static int wipe_part(struct disk *d, size_t i, struct err *e)
{
	auto_free uint8_t *zeros = calloc(1, MIB);

	if (!zeros)
		return err_num(e, -ENOMEM, "%s", d->opts->file);
	if (d->size[i] < 2 * MIB)
		return err_set(e, -ERR_LIMIT, "partition '%s' has less than 2 MiB",
			       d->opts->layout->parts[i].name);
	int r = put(d->fd, zeros, MIB, d->place[i], e);
	return r < 0 ? r : put(d->fd, zeros, MIB, d->place[i] + d->size[i] - MIB, e);
}

/* Nothing starts the system before it is complete: code comes after it. */
static int places_write(struct disk *d, struct err *e)
{
	const struct layout *l = d->opts->layout;
	int r = 0;

	for (size_t i = 0; r == 0 && i < l->n; i++) {
		enum part_content content = l->parts[i].content;

		d->place[i] = d->opts->places[i].offset;
		d->size[i] = d->opts->places[i].size;
		if (content != PART_ROOT && content != PART_SWAP)
			continue;
		r = wipe_part(d, i, e);
		if (r == 0)
			r = sync_device(d, e);
		if (r == 0)
			r = make_part(d, i, e);
	}
	if (r == 0)
		r = sync_device(d, e);
	for (size_t i = 0; r == 0 && i < l->n; i++)
		if (l->parts[i].content == PART_ESP)
			if ((r = share_esp(d, i, e)) == 0)
				r = remember_part(d, i, e);
	if (r == 0)
		r = check_written(d, e);
	return r == 0 ? write_code(d, e) : r;
}

/* The table, which makes a disk of it, only when the rest is on it. */
static int device_write(struct disk *d, struct err *e)
{
	int r = d->opts->places ? places_write(d, e) : wipe(d, e);

	if (r == 0 && !d->opts->places)
		r = disk_write(d, e);
	if (r == 0)
		r = sync_device(d, e);
	if (r == 0 && (r = check_start(d, e)) < 0 && !d->opts->places) {
		struct err ignored = ERR_INIT;
		(void)wipe(d, &ignored); /* it must not look like a machine */
	}
	readback_done(&d->written);
	return r;
}

int disk_make(const struct disk_opts *o, struct contents *c, struct disk_result *ret, struct err *e)
{
	struct disk d = { .opts = o, .contents = c };
	int flags = o->device ? O_RDWR : O_RDWR | O_CREAT | O_EXCL;
	auto_fd int fd = open(o->file, flags | O_CLOEXEC, 0644);

	if (fd < 0)
		return err_sys(e, "%s", o->file);
	d.fd = fd;
	for (size_t i = 0; i < o->layout->n; i++) {
		const struct part_spec *p = &o->layout->parts[i];

		c->boot_apart |= p->content == PART_BOOT;
		c->links |= p->content == PART_ROOT && p->file_system == PART_FS_EXT4;
	}
	int r = contents_make(c, e);
	if (r == 0)
		r = o->device ? device_write(&d, e) : disk_write(&d, e);
	manifest_done(&c->manifest);
	if (r < 0 && !o->device)
		(void)unlink(o->file); /* half an image is of no use */
	if (r == 0)
		*ret = d.result;
	return r;
}
