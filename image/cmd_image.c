/* SPDX-License-Identifier: GPL-3.0-or-later */
/* "cairn system image": a configuration becomes a disk. */
#include "image/image.h"

#include <errno.h>
#include <stdio.h>

#include "image/place.h"
#include "lib/text.h"
#include "store/store.h"
#include "system/system.h"

struct image {
	struct store_opts store;
	struct sys_eval_opts eval;
	const char *type, *output, *free_space;
	bool physical;
};

#define AT(f) offsetof(struct image, f)
static const struct cmd_opt image_opts[] = {
	{ "free", 0, CMD_STR, AT(free_space), "SIZE", "free space in the root file system (256M)" },
	{ "output", 'o', CMD_STR, AT(output), "FILE", "copy the image there and print that path" },
	{ "physical", 0, CMD_FLAG, AT(physical), NULL, "print the path behind the private root" },
	{ "type", 't', CMD_STR, AT(type), "TYPE",
	  "kind of image: raw (a disk, for BIOS machines)" },
	SYS_EVAL_OPTIONS(struct image, eval),
	STORE_OPTIONS_BASIC(struct image, store),
	STORE_OPTIONS_BUILD(struct image, store),
};

/* One module of image/ each; it returns the fields of the derivation. */
static const struct image_type {
	const char *name, *module;
} image_types[] = {
	{ "raw", "image.raw" },
};

static const struct image_type *type_find(const char *name, struct err *e)
{
	auto_str struct str known = STR_INIT;
	const size_t n = sizeof(image_types) / sizeof(image_types[0]);

	for (size_t i = 0; i < n; i++) {
		if (strcmp(image_types[i].name, name) == 0)
			return &image_types[i];
		str_addf(&known, "%s%s", i ? ", " : "", image_types[i].name);
	}
	(void)cmd_usage(e, "unknown type of image '%s' (known: %s)", name, known.buf);
	return NULL;
}

static int build(struct image *o, const struct image_type *type, const char *config,
		 struct store_conn **ret_conn, struct sys_eval **ret_eval, struct err *e)
{
	char free_arg[64];
	const char *const args[] = { free_arg };
	struct sys_eval_request req = { .kind = SYS_EVAL_FILE,
					.text = config,
					.apply = type->module,
					.args = args,
					.nargs = o->free_space ? 1 : 0 };
	uint64_t bytes;
	int r;

	if (o->free_space && text_size(slice_of(o->free_space), &bytes) < 0)
		return cmd_usage(e, "'%s' is not a size", o->free_space);
	/* As bytes, so that 1G and 1024M are the same derivation. */
	if (o->free_space)
		(void)snprintf(free_arg, sizeof(free_arg), "free=%llu", (unsigned long long)bytes);
	o->eval.store_dir = o->store.store_dir;
	if (o->output && (r = img_place_check(o->output, e)) < 0)
		return r;
	if ((r = sys_eval_run(&o->eval, &req, ret_eval, e)) < 0 ||
	    (r = store_open(&o->store, ret_conn, e)) < 0)
		return r;
	return sys_eval_build(*ret_eval, *ret_conn, "image", e);
}

static int image_run(struct cmd_env *env, struct err *e)
{
	struct image *o = env->ctx;
	auto_arena struct arena a = ARENA_INIT;
	struct store_conn *conn = NULL;
	struct sys_eval *eval = NULL;
	const char *shown = NULL;

	const struct image_type *type = type_find(o->type ? o->type : "raw", e);
	int r = type ? build(o, type, env->args[0], &conn, &eval, e) : e->code;
	const char *image = r == 0 ? sys_eval_value(eval, "image") : NULL;
	if (r == 0 && !image)
		r = err_set(e, -ERR_INTERNAL, "%s made no image", type->module);
	const char *physical = r == 0 ? store_conn_physical(conn, &a, image) : NULL;
	if (r == 0 && !physical)
		r = err_num(e, -ENOMEM, "image");
	if (r == 0)
		shown = o->physical ? physical : image;
	if (r == 0 && o->output)
		r = img_place(physical, o->output, &a, &shown, e);
	if (r == 0 && (printf("%s\n", shown) < 0 || fflush(stdout) == EOF))
		r = err_sys(e, "standard output");
	sys_eval_free(eval);
	store_close(conn);
	return r;
}

const struct cmd image_cmd_image = {
	.name = "image",
	.synopsis = "CONFIG",
	.summary = "build a disk image of a system",
	.help = "Evaluates CONFIG, builds the system and an image of it, and prints the image's "
		"path.\nNeeds neither root nor a virtual machine; the same input makes the same "
		"bytes.",
	CMD_OPTS(image_opts),
	.context_size = sizeof(struct image),
	.min_args = 1,
	.max_args = 1,
	.run = image_run,
};
