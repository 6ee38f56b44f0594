/* SPDX-License-Identifier: GPL-3.0-or-later */
/* "cairn builder image-raw, image-initramfs, image-iso": images that boot; run inside derivations.
 */
#include "image/image.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "image/builder.h"
#include "image/disk.h"
#include "image/initramfs.h"
#include "image/iso.h"
#include "lib/fd.h"
#include "lib/text.h"
#include "system/system.h"

#define LIMIT_LAYOUT (64 * 1024)

struct bootable {
	struct builder_opts of;
	const char *bios, *esp;
	const char *layout, *size;		  /* of a disk */
	const char *label;			  /* of an ISO image */
	bool no_menu, is_volatile, without_store; /* of a disk */
	const char *mke2fs, *mkfs_fat, *mtools, *xorriso, *mksquashfs, *mkfs_erofs;
};

#define AT(f) offsetof(struct bootable, f)
#define OPTION(name, field, arg, help)                                                             \
	{                                                                                          \
		name, 0, CMD_STR, AT(field), arg, help                                             \
	}
#define OPTION_OF(NAME) BUILDER_##NAME(struct bootable, of)

static const struct cmd_opt image_raw_opts[] = {
	OPTION("bios-code", bios, "DIR", "directory with boot.img and core.img"),
	OPTION_OF(CLOSURE),
	OPTION("esp", esp, "DIR", "what goes into the EFI system partition"),
	OPTION("layout", layout, "FILE", "partitions (doc/image.md)"),
	OPTION("mke2fs", mke2fs, "FILE", "the program"),
	OPTION("mkfs-erofs", mkfs_erofs, "FILE", "the program"),
	OPTION("mkfs-fat", mkfs_fat, "FILE", "the program"),
	OPTION("mksquashfs", mksquashfs, "FILE", "the program"),
	OPTION("mtools", mtools, "FILE", "the program"),
	{ "no-menu", 0, CMD_FLAG, AT(no_menu), NULL, "without a boot menu" },
	OPTION_OF(OUTPUT),
	OPTION("size", size, "SIZE", "of the disk; else as large as it must be"),
	OPTION_OF(STORE_PREFIX),
	OPTION_OF(SYSTEM),
	{ "volatile", 0, CMD_FLAG, AT(is_volatile), NULL, "start it so that it is only read" },
	{ "without-store", 0, CMD_FLAG, AT(without_store), NULL,
	  "register the closure, but leave its items out" },
	OPTION_OF(WORK),
};

static const struct cmd_opt image_initramfs_opts[] = {
	OPTION_OF(CLOSURE),
	OPTION("mksquashfs", mksquashfs, "FILE", "the program"),
	{ "output", 'o', CMD_STR, AT(of.output), "DIR", "directory to make; else $out" },
	OPTION_OF(STORE_PREFIX),
	OPTION_OF(SYSTEM),
	OPTION_OF(WORK),
};

static const struct cmd_opt image_iso_opts[] = {
	OPTION("bios-code", bios, "DIR", "directory with bios.img and boot_hybrid.img"),
	OPTION_OF(CLOSURE),
	OPTION("efi", esp, "DIR", "directory with EFI/BOOT/BOOTX64.EFI"),
	OPTION("label", label, "TEXT", "of the volume"),
	OPTION("mkfs-fat", mkfs_fat, "FILE", "the program"),
	OPTION("mtools", mtools, "FILE", "the program"),
	OPTION_OF(OUTPUT),
	OPTION("mksquashfs", mksquashfs, "FILE", "the program"),
	OPTION_OF(STORE_PREFIX),
	OPTION_OF(SYSTEM),
	OPTION_OF(WORK),
	OPTION("xorriso", xorriso, "FILE", "the program"),
};

static const char * or (const char *given, const char *other)
{
	return given ? given : other;
}

/* Contents from the options, and the menu, which lives beside them. */
static int load(struct builder *b, struct bootable *o, struct boot_menu *menu, struct err *e)
{
	struct contents *c = &b->contents;
	int r = builder_load(b, &o->of, e);

	if (r == 0)
		r = contents_menu(c->arena, c->store_prefix, c->system, menu, &c->place, e);
	if (r == 0)
		c->menu = c->place.type == BOOT_NONE ? NULL : menu;
	return r;
}

/* How many the builder may use; the daemon says so. */
static unsigned processors(void)
{
	const char *text = getenv("NIX_BUILD_CORES");
	uint64_t n;

	return text && text_u64(slice_of(text), 1024, &n) == 0 && n ? (unsigned)n : 1;
}

/* The menu starts a root that is only read. */
static int make_volatile(struct arena *a, const struct boot_menu *menu, struct err *e)
{
	struct boot_entry *b = (struct boot_entry *)&menu->items[0].entry; /* in a */

	b->parameters = arena_fmt(a, "%s cairn.volatile", b->parameters);
	return b->parameters ? 0 : err_num(e, -ENOMEM, "boot menu");
}

/* ---- image-raw ------------------------------------------------------------------------------- */

static int disk_options(const struct bootable *o, struct disk_opts *disk, struct err *e)
{
	if (!o->layout)
		return cmd_usage(e, "--layout is needed");
	*disk = (struct disk_opts){ .file = o->of.output,
				    .mke2fs = or (o->mke2fs, "mke2fs"),
				    .mkfs_fat = or (o->mkfs_fat, "mkfs.fat"),
				    .mtools = or (o->mtools, "mtools"),
				    .mksquashfs = or (o->mksquashfs, "mksquashfs"),
				    .mkfs_erofs = or (o->mkfs_erofs, "mkfs.erofs"),
				    .processors = processors(),
				    .bios_dir = o->bios,
				    .esp_dir = o->esp };
	if (o->size && text_size(slice_of(o->size), &disk->size) < 0)
		return cmd_usage(e, "'%s' is not a size", o->size);
	return 0;
}

static int load_layout(const char *file, struct arena *a, struct layout *ret, struct err *e)
{
	auto_str struct str text = STR_INIT;

	int r = file_read(AT_FDCWD, file, &text, LIMIT_LAYOUT, e);
	return r < 0 ? r : layout_parse(a, str_slice(&text), file, ret, e);
}

static int image_raw_run(struct cmd_env *env, struct err *e)
{
	struct bootable *o = env->ctx;
	auto_builder struct builder b = BUILDER_INIT;
	struct contents *c = &b.contents;
	struct disk_result result = { 0 };
	struct boot_menu menu;
	struct layout layout;
	struct disk_opts disk;
	char size[16], left[16];
	int r;

	if ((r = load(&b, o, &menu, e)) < 0 || (r = disk_options(o, &disk, e)) < 0 ||
	    (r = load_layout(o->layout, &b.arena, &layout, e)) < 0)
		return r;
	if (o->no_menu)
		c->menu = NULL;
	c->without_store = o->without_store;
	if (o->is_volatile && c->menu && (r = make_volatile(&b.arena, c->menu, e)) < 0)
		return r;
	disk.layout = &layout;
	if ((r = disk_make(&disk, c, &result, e)) < 0)
		return r;
	text_human(result.size, size);
	text_human(result.free_bytes, left);
	(void)fprintf(stderr, "image: %s, %zu store items, %s free\n", size, b.closure.n, left);
	return 0;
}

/* ---- image-initramfs ------------------------------------------------------------------------- */

static int image_initramfs_run(struct cmd_env *env, struct err *e)
{
	struct bootable *o = env->ctx;
	auto_builder struct builder b = BUILDER_INIT;
	struct boot_menu menu;
	uint64_t bytes = 0;
	char size[16];

	int r = load(&b, o, &menu, e);
	if (r < 0)
		return r;
	b.contents.menu = NULL; /* nothing would read it */
	struct initramfs_opts initramfs = { .dir = o->of.output,
					    .mksquashfs = or (o->mksquashfs, "mksquashfs"),
					    .processors = processors() };
	if ((r = initramfs_make(&initramfs, &b.contents, &bytes, e)) < 0)
		return r;
	text_human(bytes, size);
	(void)fprintf(stderr, "image: initramfs of %s, %zu store items\n", size, b.closure.n);
	return 0;
}

/* ---- image-iso ------------------------------------------------------------------------------- */

static int image_iso_run(struct cmd_env *env, struct err *e)
{
	struct bootable *o = env->ctx;
	auto_builder struct builder b = BUILDER_INIT;
	struct boot_menu menu;
	uint64_t bytes = 0;

	int r = load(&b, o, &menu, e);
	if (r == 0 && (!o->bios || !o->esp))
		r = cmd_usage(e, "--bios-code and --efi are needed");
	if (r < 0)
		return r;
	struct iso_opts iso = { .file = o->of.output,
				.label = or (o->label, "CAIRN"),
				.xorriso = or (o->xorriso, "xorriso"),
				.mksquashfs = or (o->mksquashfs, "mksquashfs"),
				.mkfs_fat = or (o->mkfs_fat, "mkfs.fat"),
				.mtools = or (o->mtools, "mtools"),
				.bios_dir = o->bios,
				.efi_dir = o->esp,
				.processors = processors() };
	r = iso_make(&iso, &b.contents, &bytes, e);
	if (r == 0)
		builder_report(bytes, "store items", b.closure.n);
	return r;
}

const struct cmd image_cmd_builder_image_initramfs = {
	.name = "image-initramfs",
	.summary = "write a whole system as kernel and initramfs",
	CMD_OPTS(image_initramfs_opts),
	.context_size = sizeof(struct bootable),
	.run = image_initramfs_run,
	.hidden = true,
};

const struct cmd image_cmd_builder_image_iso = {
	.name = "image-iso",
	.summary = "write an ISO 9660 image",
	CMD_OPTS(image_iso_opts),
	.context_size = sizeof(struct bootable),
	.run = image_iso_run,
	.hidden = true,
};

const struct cmd image_cmd_builder_image_raw = {
	.name = "image-raw",
	.summary = "write a raw disk image",
	CMD_OPTS(image_raw_opts),
	.context_size = sizeof(struct bootable),
	.run = image_raw_run,
	.hidden = true,
};
