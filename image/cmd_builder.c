/* SPDX-License-Identifier: GPL-3.0-or-later */
/* "cairn builder image-raw": runs inside a derivation. */
#include "image/image.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "image/closure.h"
#include "image/raw.h"
#include "lib/fd.h"
#include "lib/text.h"
#include "store/store.h"
#include "system/system.h"

#define LIMIT_CLOSURE (64 * 1024 * 1024)

struct image_raw {
	const char *closure, *system, *output, *mke2fs, *code, *free_space, *store_prefix, *work;
	const char *label, *uuid, *part_label, *part_uuid;
};

#define AT(f) offsetof(struct image_raw, f)
static const struct cmd_opt image_raw_opts[] = {
	{ "boot-code", 0, CMD_STR, AT(code), "DIR", "directory with boot.img and core.img" },
	{ "closure", 0, CMD_STR, AT(closure), "FILE",
	  "closure as exportReferencesGraph writes it" },
	{ "free", 0, CMD_STR, AT(free_space), "SIZE", "free space in the root file system" },
	{ "label", 0, CMD_STR, AT(label), "TEXT", "label of the root file system" },
	{ "mke2fs", 0, CMD_STR, AT(mke2fs), "FILE", "the program" },
	{ "output", 'o', CMD_STR, AT(output), "FILE", "image to make; else $out" },
	{ "part-label", 0, CMD_STR, AT(part_label), "TEXT", "label of the root partition (root)" },
	{ "part-uuid", 0, CMD_STR, AT(part_uuid), "UUID", "of the root partition; else derived" },
	{ "store-prefix", 0, CMD_STR, AT(store_prefix), "DIR", "directory in front of the store" },
	{ "system", 0, CMD_STR, AT(system), "PATH", "generation" },
	{ "uuid", 0, CMD_STR, AT(uuid), "UUID", "of the root file system; else derived" },
	{ "work", 0, CMD_STR, AT(work), "DIR", "scratch directory" },
};

static int check_options(struct image_raw *o, struct raw_opts *raw, struct guid uuid[2],
			 struct err *e)
{
	o->output = o->output ? o->output : getenv("out");
	o->label = o->label ? o->label : "";
	o->store_prefix = o->store_prefix ? o->store_prefix : "";
	o->work = o->work ? o->work : ".";
	if (!o->closure || !o->system || !o->output || !o->mke2fs)
		return cmd_usage(e, "--closure, --system, --mke2fs and an output are needed");
	if (o->uuid && guid_parse(slice_of(o->uuid), &uuid[0]) < 0)
		return cmd_usage(e, "'%s' is not a UUID", o->uuid);
	if (o->part_uuid && guid_parse(slice_of(o->part_uuid), &uuid[1]) < 0)
		return cmd_usage(e, "'%s' is not a UUID", o->part_uuid);
	*raw = (struct raw_opts){ .file = o->output,
				  .label = o->label,
				  .part_label = o->part_label ? o->part_label : "root",
				  .uuid = o->uuid ? &uuid[0] : NULL,
				  .part_uuid = o->part_uuid ? &uuid[1] : NULL,
				  .mke2fs = o->mke2fs,
				  .code_dir = o->code };
	if (text_size(slice_of(o->free_space ? o->free_space : "256M"), &raw->free_bytes) < 0)
		return cmd_usage(e, "'%s' is not a size", o->free_space);
	raw->free_inodes = 4096 + raw->free_bytes / (64 * 1024);
	return store_path_check(STORE_DIR_DEFAULT, slice_of(o->system), e);
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
	auto_str struct str text = STR_INIT;
	auto_vec struct vec closure = VEC_INIT;
	struct raw_result result = { 0 };
	struct boot_menu menu;
	struct raw_opts raw;
	struct guid uuid[2];
	bool none = false;
	int r;

	if ((r = check_options(o, &raw, uuid, e)) < 0 ||
	    (r = file_read(AT_FDCWD, o->closure, &text, LIMIT_CLOSURE, e)) < 0 ||
	    (r = closure_parse(&a, STORE_DIR_DEFAULT, str_slice(&text), &closure, e)) < 0 ||
	    (r = first_menu(o, &a, &menu, &none, e)) < 0)
		return r;
	struct contents c = { .arena = &a,
			      .store_prefix = o->store_prefix,
			      .system = o->system,
			      .closure = &closure,
			      .menu = none ? NULL : &menu,
			      .work = o->work };
	if ((r = raw_make(&raw, &c, &result, e)) < 0)
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
