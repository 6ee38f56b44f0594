/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "image/raw.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "bootloader/bootloader.h"
#include "image/ext4.h"
#include "lib/fd.h"
#include "store/store.h"

#define SECTORS_PER_MB (1024 * 1024 / GPT_SECTOR)
#define LIMIT_CORE     (1024 * 1024)

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

static int put(int fd, const void *p, size_t n, uint64_t sector, struct err *e)
{
	const char *b = p;
	uint64_t off = sector * GPT_SECTOR;

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

static int write_table(const struct raw_opts *o, int fd, const char *system, uint64_t root_sectors,
		       uint64_t *ret_size, struct err *e)
{
	uint8_t head[GPT_HEAD_SECTORS * GPT_SECTOR], tail[GPT_TAIL_SECTORS * GPT_SECTOR];
	struct gpt *g = calloc(1, sizeof(*g));

	if (!g)
		return err_num(e, -ENOMEM, "partition table");
	g->disk = img_guid(system, "disk");
	g->sectors = RAW_ROOT_FIRST + root_sectors + SECTORS_PER_MB; /* whole MiB, backup table */
	g->nparts = 2;
	g->part[0] = (struct gpt_part){ .id = img_guid(system, "partition:bios-boot"),
					.first = RAW_BOOT_FIRST,
					.last = RAW_ROOT_FIRST - 1,
					.label = "bios-boot" };
	g->part[1] = (struct gpt_part){ .id = o->part_uuid ? *o->part_uuid
							   : img_guid(system, "partition:root"),
					.first = RAW_ROOT_FIRST,
					.last = RAW_ROOT_FIRST + root_sectors - 1,
					.label = o->part_label };
	(void)guid_parse(SLICE(GPT_TYPE_BIOS_BOOT), &g->part[0].type); /* constants */
	(void)guid_parse(SLICE(GPT_TYPE_LINUX_ROOT), &g->part[1].type);
	uint64_t sectors = g->sectors;
	int r = gpt_format(g, head, tail, e);
	free(g);
	if (r < 0)
		return r;
	if (ftruncate(fd, (off_t)(sectors * GPT_SECTOR)) < 0)
		return err_sys(e, "sizing the image");
	if ((r = put(fd, head, sizeof(head), 0, e)) < 0 ||
	    (r = put(fd, tail, sizeof(tail), sectors - GPT_TAIL_SECTORS, e)) < 0)
		return r;
	*ret_size = sectors * GPT_SECTOR;
	return 0;
}

static int write_code(int fd, const char *code_dir, struct err *e)
{
	auto_str struct str boot = STR_INIT;
	auto_str struct str core = STR_INIT;
	int r;

	auto_fd int dir = open(code_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0)
		return err_sys(e, "%s", code_dir);
	if ((r = file_read(dir, "boot.img", &boot, GPT_SECTOR, e)) < 0 ||
	    (r = file_read(dir, "core.img", &core, LIMIT_CORE, e)) < 0)
		return r;
	struct boot_code code = { str_slice(&boot), str_slice(&core) };
	return boot_embed(fd, RAW_BOOT_FIRST, RAW_ROOT_FIRST - RAW_BOOT_FIRST, &code, NULL, e);
}

static int write_root(const struct ext4_opts *fs, struct contents *c, struct raw_result *ret,
		      struct err *e)
{
	struct ext4 *x = NULL;
	struct fill_opts fill = contents_fill(c);

	int r = ext4_open(fs, &x, e);
	if (r < 0)
		return r;
	r = fill_run(&c->manifest, ext4_sink(x), &fill, e);
	if (r < 0) {
		ext4_free(x);
		return r;
	}
	r = ext4_finish(x, &ret->free_bytes, e);
	if (r == 0 && ret->free_bytes < fs->free_bytes)
		return err_set(e, -ERR_INTERNAL, "%llu bytes are left instead of %llu",
			       (unsigned long long)ret->free_bytes,
			       (unsigned long long)fs->free_bytes);
	return r;
}

static int raw_write(const struct raw_opts *o, int fd, struct contents *c, struct raw_result *ret,
		     struct err *e)
{
	struct ext4_opts fs = { .file = o->file,
				.offset = (uint64_t)RAW_ROOT_FIRST * GPT_SECTOR,
				.uuid = o->uuid ? *o->uuid : img_guid(c->system, "filesystem:root"),
				.label = o->label,
				.mke2fs = o->mke2fs,
				.work = c->work,
				.free_bytes = o->free_bytes,
				.free_inodes = o->free_inodes };
	uint64_t bytes = 0;
	int r;

	if ((r = ext4_make(&fs, &c->manifest, &bytes, e)) < 0 ||
	    (r = write_root(&fs, c, ret, e)) < 0 ||
	    (r = write_table(o, fd, c->system, bytes / GPT_SECTOR, &ret->size, e)) < 0)
		return r;
	return o->code_dir ? write_code(fd, o->code_dir, e) : 0;
}

int raw_make(const struct raw_opts *o, struct contents *c, struct raw_result *ret, struct err *e)
{
	auto_fd int fd = open(o->file, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0644);

	if (fd < 0)
		return err_sys(e, "%s", o->file);
	int r = contents_make(c, e);
	if (r == 0)
		r = raw_write(o, fd, c, ret, e);
	manifest_done(&c->manifest);
	if (r < 0)
		(void)unlink(o->file); /* half an image is of no use */
	return r;
}
