/* SPDX-License-Identifier: GPL-3.0-or-later */
/* "cairn builder image-raw": runs inside a derivation. */
#include "image/image.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "image/closure.h"
#include "image/disk.h"
#include "lib/fd.h"
#include "lib/text.h"
#include "store/store.h"
#include "system/system.h"

#define LIMIT_LAYOUT  (64 * 1024)

struct image_raw {
	const char *closure, *system, *output, *store_prefix, *work;
	const char *layout, *size, *bios, *esp;
	const char *mke2fs, *mkfs_fat, *mtools;
};

#define AT(f) offsetof(struct image_raw, f)
static const struct cmd_opt image_raw_opts[] = {
	{ "bios-code", 0, CMD_STR, AT(bios), "DIR", "directory with boot.img and core.img" },
	{ "closure", 0, CMD_STR, AT(closure), "FILE",
	  "closure as exportReferencesGraph writes it" },
	{ "esp", 0, CMD_STR, AT(esp), "DIR", "what goes into the EFI system partition" },
	{ "layout", 0, CMD_STR, AT(layout), "FILE", "partitions (doc/image.md)" },
	{ "mke2fs", 0, CMD_STR, AT(mke2fs), "FILE", "the program" },
	{ "mkfs-fat", 0, CMD_STR, AT(mkfs_fat), "FILE", "the program" },
	{ "mtools", 0, CMD_STR, AT(mtools), "FILE", "the program" },
	{ "output", 'o', CMD_STR, AT(output), "FILE", "image to make; else $out" },
	{ "size", 0, CMD_STR, AT(size), "SIZE", "of the disk; else as large as it must be" },
	{ "store-prefix", 0, CMD_STR, AT(store_prefix), "DIR", "directory in front of the store" },
	{ "system", 0, CMD_STR, AT(system), "PATH", "generation" },
	{ "work", 0, CMD_STR, AT(work), "DIR", "scratch directory" },
};

static int check_options(struct image_raw *o, struct disk_opts *disk, struct err *e)
{
	o->output = o->output ? o->output : getenv("out");
	o->store_prefix = o->store_prefix ? o->store_prefix : "";
	o->work = o->work ? o->work : ".";
	if (!o->closure || !o->system || !o->output || !o->layout)
		return cmd_usage(e, "--closure, --system, --layout and an output are needed");
	*disk = (struct disk_opts){ .file = o->output,
				    .mke2fs = o->mke2fs ? o->mke2fs : "mke2fs",
				    .mkfs_fat = o->mkfs_fat ? o->mkfs_fat : "mkfs.fat",
				    .mtools = o->mtools ? o->mtools : "mtools",
				    .bios_dir = o->bios,
				    .esp_dir = o->esp };
	if (o->size && text_size(slice_of(o->size), &disk->size) < 0)
		return cmd_usage(e, "'%s' is not a size", o->size);
	return store_path_check(STORE_DIR_DEFAULT, slice_of(o->system), e);
}

static int load_layout(const char *file, struct arena *a, struct layout *ret, struct err *e)
{
	auto_str struct str text = STR_INIT;

	int r = file_read(AT_FDCWD, file, &text, LIMIT_LAYOUT, e);
	return r < 0 ? r : layout_parse(a, str_slice(&text), file, ret, e);
}

/* The menu of a machine whose only generation is this one. */
static int first_menu(const struct image_raw *o, struct arena *a, struct boot_menu *ret,
		      bool *ret_none, struct err *e)
{
	struct sys_root root = { .target = "", .store = o->store_prefix };
	struct gen gen = { .number = 1, .path = o->system };
	struct gen_list list = { .v = &gen, .n = 1, .current = 1 };

	return sys_menu_build(&root, a, &list, 1, 0, ret, ret_none, e);
}

static int image_raw_run(struct cmd_env *env, struct err *e)
{
	struct image_raw *o = env->ctx;
	auto_arena struct arena a = ARENA_INIT;
	auto_vec struct vec closure = VEC_INIT;
	struct disk_result result = { 0 };
	struct layout layout;
	struct boot_menu menu;
	struct disk_opts disk;
	bool none = false;
	int r;

	if ((r = check_options(o, &disk, e)) < 0 ||
	    (r = load_layout(o->layout, &a, &layout, e)) < 0 ||
	    (r = closure_load(&a, STORE_DIR_DEFAULT, o->closure, &closure, e)) < 0 ||
	    (r = first_menu(o, &a, &menu, &none, e)) < 0)
		return r;
	struct contents c = { .arena = &a,
			      .store_prefix = o->store_prefix,
			      .system = o->system,
			      .closure = &closure,
			      .menu = none ? NULL : &menu,
			      .work = o->work };
	disk.layout = &layout;
	if ((r = disk_make(&disk, &c, &result, e)) < 0)
		return r;
	char size[16], left[16];
	text_human(result.size, size);
	text_human(result.free_bytes, left);
	(void)fprintf(stderr, "image: %s, %zu store items, %s free\n", size, closure.n, left);
	return 0;
}

const struct cmd image_cmd_builder_image_raw = {
	.name = "image-raw",
	.summary = "write a raw disk image",
	CMD_OPTS(image_raw_opts),
	.context_size = sizeof(struct image_raw),
	.run = image_raw_run,
	.hidden = true,
};
