/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * GRUB's two parts on a BIOS disk. boot.img, in the first sector, loads one sector whose number it
 * holds; that sector, the first of core.img, loads the rest by a list of blocks it holds. A GPT
 * disk has a partition of its own for core.img, so the list has one row.
 */
#include "bootloader/bootloader.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "lib/fd.h"
#include "lib/gpt.h"

#define BOOT_IMG_SIZE	 512
#define BOOT_KERNEL	 0x5c  /* sector of core.img */
#define BOOT_DRIVE_CHECK 0x66  /* a jump that is kept only for floppies */
#define CORE_LIST	 0x1f4 /* start, length, segment of the one row */
#define CORE_SEGMENT	 0x820
#define LIMIT_CORE	 (1024 * 1024)

static void put(uint8_t *p, uint64_t v, size_t bytes)
{
	for (size_t i = 0; i < bytes; i++)
		p[i] = (uint8_t)(v >> 8 * i);
}

static int code_check(const struct boot_code *c, uint64_t count, struct err *e)
{
	uint64_t sectors = (c->core.n + GPT_SECTOR - 1) / GPT_SECTOR;

	if (c->boot.n != BOOT_IMG_SIZE || memcmp(c->boot.p + 510, "\x55\xaa", 2) != 0)
		return err_set(e, -ERR_INVALID, "boot.img is not a boot sector");
	if (c->core.n <= GPT_SECTOR || c->core.n > LIMIT_CORE)
		return err_set(e, -ERR_INVALID, "core.img has an impossible size: %zu bytes",
			       c->core.n);
	if (sectors > count)
		return err_set(e, -ERR_LIMIT,
			       "core.img needs %llu sectors, the BIOS boot partition has %llu",
			       (unsigned long long)sectors, (unsigned long long)count);
	return 0;
}

/* Write n bytes at off unless they are there. */
static int put_if_different(int fd, const void *p, size_t n, uint64_t off, bool *changed,
			    struct err *e)
{
	auto_free uint8_t *old = malloc(n);

	if (!old)
		return err_num(e, -ENOMEM, "boot code");
	ssize_t got = pread(fd, old, n, (off_t)off);
	if (got < 0)
		return err_sys(e, "reading boot code");
	if ((size_t)got == n && memcmp(old, p, n) == 0)
		return 0;
	ssize_t put_bytes = pwrite(fd, p, n, (off_t)off);
	if (put_bytes < 0)
		return err_sys(e, "writing boot code");
	if ((size_t)put_bytes != n)
		return err_num(e, -EIO, "writing boot code");
	*changed = true;
	return 0;
}

static bool is_device(int fd)
{
	struct stat st;

	return fstat(fd, &st) == 0 && S_ISBLK(st.st_mode);
}

int boot_embed(int fd, uint64_t start, uint64_t count, const struct boot_code *code,
	       bool *ret_changed, struct err *e)
{
	bool changed = false;

	int r = code_check(code, count, e);
	if (r < 0)
		return r;
	size_t sectors = (code->core.n + GPT_SECTOR - 1) / GPT_SECTOR;
	auto_free uint8_t *core = calloc(sectors, GPT_SECTOR);
	if (!core)
		return err_num(e, -ENOMEM, "core.img");
	memcpy(core, code->core.p, code->core.n);
	put(core + CORE_LIST, start + 1, 8);
	put(core + CORE_LIST + 8, sectors - 1, 2);
	put(core + CORE_LIST + 10, CORE_SEGMENT, 2);
	uint8_t boot[BOOT_CODE_SIZE];
	memcpy(boot, code->boot.p, sizeof(boot));
	put(boot + BOOT_KERNEL, start, 8);
	put(boot + BOOT_DRIVE_CHECK, 0x9090, 2);
	/* Core first: until the boot sector points to it nothing reads it. */
	r = put_if_different(fd, core, sectors * GPT_SECTOR, start * GPT_SECTOR, &changed, e);
	if (r == 0 && changed && is_device(fd) && fsync(fd) < 0)
		r = err_sys(e, "writing boot code");
	if (r == 0)
		r = put_if_different(fd, boot, sizeof(boot), 0, &changed, e);
	if (r == 0)
		r = put_if_different(fd, "\x55\xaa", 2, 510, &changed, e);
	if (r == 0 && ret_changed)
		*ret_changed = changed;
	return r;
}

static int bios_partition(int fd, struct gpt_part *ret, struct err *e)
{
	uint8_t head[GPT_HEAD_SECTORS * GPT_SECTOR];
	struct guid type;
	struct gpt g;

	(void)guid_parse(SLICE(GPT_TYPE_BIOS_BOOT), &type); /* a constant */
	ssize_t n = pread(fd, head, sizeof(head), 0);
	if (n < 0)
		return err_sys(e, "reading the partition table");
	if (n != sizeof(head))
		return err_set(e, -ERR_INVALID, "too small for a partition table");
	int r = gpt_parse(head, &g, e);
	if (r < 0)
		return r;
	for (size_t i = 0; i < g.nparts; i++)
		if (memcmp(&g.part[i].type, &type, sizeof(type)) == 0) {
			*ret = g.part[i];
			return 0;
		}
	return err_set(e, -ERR_NOTFOUND, "no BIOS boot partition");
}

int boot_install(const char *disk, const char *code_dir, bool *ret_changed, struct err *e)
{
	auto_str struct str boot = STR_INIT;
	auto_str struct str core = STR_INIT;
	struct gpt_part part;
	bool changed = false;
	int r;

	auto_fd int dir = open(code_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0)
		return err_sys(e, "%s", code_dir);
	if ((r = file_read(dir, "boot.img", &boot, BOOT_IMG_SIZE, e)) < 0 ||
	    (r = file_read(dir, "core.img", &core, LIMIT_CORE, e)) < 0)
		return r;
	auto_fd int fd = open(disk, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return err_sys(e, "%s", disk);
	if ((r = bios_partition(fd, &part, e)) < 0)
		return err_wrap(e, r, "%s", disk);
	struct boot_code code = { str_slice(&boot), str_slice(&core) };
	r = boot_embed(fd, part.first, part.last - part.first + 1, &code, &changed, e);
	if (r < 0)
		return err_wrap(e, r, "%s", disk);
	if (changed && fsync(fd) < 0)
		return err_sys(e, "%s", disk);
	if (ret_changed)
		*ret_changed = changed;
	return 0;
}
