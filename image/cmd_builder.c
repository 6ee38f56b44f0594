/* SPDX-License-Identifier: GPL-3.0-or-later */
/* "cairn builder image-raw, image-initramfs, image-iso": images that boot; run inside derivations.
 */
#include "image/image.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "image/closure.h"
#include "image/disk.h"
#include "image/initramfs.h"
#include "image/iso.h"
#include "lib/fd.h"
#include "lib/text.h"
#include "store/store.h"
#include "system/system.h"

#define LIMIT_LAYOUT (64 * 1024)

struct bootable {
	const char *closure, *system, *output, *store_prefix, *work;
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
#define OPTION_OUTPUT                                                                              \
	{                                                                                          \
		"output", 'o', CMD_STR, AT(output), "FILE", "image to make; else $out"             \
	}

static const struct cmd_opt image_raw_opts[] = {
	OPTION("bios-code", bios, "DIR", "directory with boot.img and core.img"),
	OPTION("closure", closure, "FILE", "closure as exportReferencesGraph writes it"),
	OPTION("esp", esp, "DIR", "what goes into the EFI system partition"),
	OPTION("layout", layout, "FILE", "partitions (doc/image.md)"),
	OPTION("mke2fs", mke2fs, "FILE", "the program"),
	OPTION("mkfs-erofs", mkfs_erofs, "FILE", "the program"),
	OPTION("mkfs-fat", mkfs_fat, "FILE", "the program"),
	OPTION("mksquashfs", mksquashfs, "FILE", "the program"),
	OPTION("mtools", mtools, "FILE", "the program"),
	{ "no-menu", 0, CMD_FLAG, AT(no_menu), NULL, "without a boot menu" },
	OPTION_OUTPUT,
	OPTION("size", size, "SIZE", "of the disk; else as large as it must be"),
	OPTION("store-prefix", store_prefix, "DIR", "directory in front of the store"),
	OPTION("system", system, "PATH", "generation"),
	{ "volatile", 0, CMD_FLAG, AT(is_volatile), NULL, "start it so that it is only read" },
	{ "without-store", 0, CMD_FLAG, AT(without_store), NULL,
	  "register the closure, but leave its items out" },
	OPTION("work", work, "DIR", "scratch directory"),
};

static const struct cmd_opt image_initramfs_opts[] = {
	OPTION("closure", closure, "FILE", "closure as exportReferencesGraph writes it"),
	OPTION("mksquashfs", mksquashfs, "FILE", "the program"),
	{ "output", 'o', CMD_STR, AT(output), "DIR", "directory to make; else $out" },
	OPTION("store-prefix", store_prefix, "DIR", "directory in front of the store"),
	OPTION("system", system, "PATH", "generation"),
	OPTION("work", work, "DIR", "scratch directory"),
};

static const struct cmd_opt image_iso_opts[] = {
	OPTION("bios-code", bios, "DIR", "directory with bios.img and boot_hybrid.img"),
	OPTION("closure", closure, "FILE", "closure as exportReferencesGraph writes it"),
	OPTION("efi", esp, "DIR", "directory with EFI/BOOT/BOOTX64.EFI"),
	OPTION("label", label, "TEXT", "of the volume"),
	OPTION("mkfs-fat", mkfs_fat, "FILE", "the program"),
	OPTION("mtools", mtools, "FILE", "the program"),
	OPTION_OUTPUT,
	OPTION("mksquashfs", mksquashfs, "FILE", "the program"),
	OPTION("store-prefix", store_prefix, "DIR", "directory in front of the store"),
	OPTION("system", system, "PATH", "generation"),
	OPTION("work", work, "DIR", "scratch directory"),
	OPTION("xorriso", xorriso, "FILE", "the program"),
};

static const char * or (const char *given, const char *other)
{
	return given ? given : other;
}

/* Contents from the options; everything lives in a, closure and menu. */
static int load(struct bootable *o, struct arena *a, struct vec *closure, struct boot_menu *menu,
		struct contents *ret, struct err *e)
{
	struct boot_place place = { .type = BOOT_NONE };
	int r;

	o->output = or (o->output, getenv("out"));
	o->store_prefix = or (o->store_prefix, "");
	if (!o->closure || !o->system || !o->output)
		return cmd_usage(e, "--closure, --system and an output are needed");
	if ((r = store_path_check(STORE_DIR_DEFAULT, slice_of(o->system), e)) < 0 ||
	    (r = closure_load(a, STORE_DIR_DEFAULT, o->closure, closure, e)) < 0 ||
	    (r = contents_menu(a, o->store_prefix, o->system, menu, &place, e)) < 0)
		return r;
	*ret = (struct contents){ .arena = a,
				  .store_prefix = o->store_prefix,
				  .system = o->system,
				  .closure = closure,
				  .place = place,
				  .menu = place.type == BOOT_NONE ? NULL : menu,
				  .work = or (o->work, ".") };
	return 0;
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
	*disk = (struct disk_opts){ .file = o->output,
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
	auto_arena struct arena a = ARENA_INIT;
	auto_vec struct vec closure = VEC_INIT;
	struct disk_result result = { 0 };
	struct boot_menu menu;
	struct layout layout;
	struct disk_opts disk;
	struct contents c;
	char size[16], left[16];
	int r;

	if ((r = load(o, &a, &closure, &menu, &c, e)) < 0 || (r = disk_options(o, &disk, e)) < 0 ||
	    (r = load_layout(o->layout, &a, &layout, e)) < 0)
		return r;
	if (o->no_menu)
		c.menu = NULL;
	c.without_store = o->without_store;
	if (o->is_volatile && c.menu && (r = make_volatile(&a, c.menu, e)) < 0)
		return r;
	disk.layout = &layout;
	if ((r = disk_make(&disk, &c, &result, e)) < 0)
		return r;
	text_human(result.size, size);
	text_human(result.free_bytes, left);
	(void)fprintf(stderr, "image: %s, %zu store items, %s free\n", size, closure.n, left);
	return 0;
}

/* ---- image-initramfs ------------------------------------------------------------------------- */

static int image_initramfs_run(struct cmd_env *env, struct err *e)
{
	struct bootable *o = env->ctx;
	auto_arena struct arena a = ARENA_INIT;
	auto_vec struct vec closure = VEC_INIT;
	struct boot_menu menu;
	struct contents c;
	uint64_t bytes = 0;
	char size[16];

	int r = load(o, &a, &closure, &menu, &c, e);
	if (r < 0)
		return r;
	c.menu = NULL; /* nothing would read it */
	struct initramfs_opts initramfs = { .dir = o->output,
					    .mksquashfs = or (o->mksquashfs, "mksquashfs"),
					    .processors = processors() };
	if ((r = initramfs_make(&initramfs, &c, &bytes, e)) < 0)
		return r;
	text_human(bytes, size);
	(void)fprintf(stderr, "image: initramfs of %s, %zu store items\n", size, closure.n);
	return 0;
}

/* ---- image-iso ------------------------------------------------------------------------------- */

static int image_iso_run(struct cmd_env *env, struct err *e)
{
	struct bootable *o = env->ctx;
	auto_arena struct arena a = ARENA_INIT;
	auto_vec struct vec closure = VEC_INIT;
	struct boot_menu menu;
	struct contents c;
	uint64_t bytes = 0;
	char size[16];

	int r = load(o, &a, &closure, &menu, &c, e);
	if (r == 0 && (!o->bios || !o->esp))
		r = cmd_usage(e, "--bios-code and --efi are needed");
	if (r < 0)
		return r;
	struct iso_opts iso = { .file = o->output,
				.label = or (o->label, "CAIRN"),
				.xorriso = or (o->xorriso, "xorriso"),
				.mksquashfs = or (o->mksquashfs, "mksquashfs"),
				.mkfs_fat = or (o->mkfs_fat, "mkfs.fat"),
				.mtools = or (o->mtools, "mtools"),
				.bios_dir = o->bios,
				.efi_dir = o->esp,
				.processors = processors() };
	if ((r = iso_make(&iso, &c, &bytes, e)) < 0)
		return r;
	text_human(bytes, size);
	(void)fprintf(stderr, "image: %s, %zu store items\n", size, closure.n);
	return 0;
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
