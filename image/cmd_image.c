/* SPDX-License-Identifier: GPL-3.0-or-later */
/* "cairn system image": a configuration becomes a disk, a container image, a tar file. */
#include "image/image.h"

#include <errno.h>
#include <stdio.h>

#include "image/oci.h"
#include "image/place.h"
#include "lib/size.h"
#include "lib/text.h"
#include "store/store.h"
#include "system/system.h"

struct image {
	struct store_opts store;
	struct sys_eval_opts eval;
	const char *type, *output, *free_space, *name;
	bool physical, list, json;
};

#define AT(f) offsetof(struct image, f)
static const struct cmd_opt image_opts[] = {
	{ "free", 0, CMD_STR, AT(free_space), "SIZE",
	  "of a disk: free space in the root file system (256M)" },
	{ "json", 0, CMD_FLAG, AT(json), NULL, "with --list-image-types: as data" },
	{ "list-image-types", 0, CMD_FLAG, AT(list), NULL, "print the kinds of image and end" },
	{ "name", 0, CMD_STR, AT(name), "NAME:TAG",
	  "of a container image (the host name, latest)" },
	{ "output", 'o', CMD_STR, AT(output), "FILE", "copy the image there and print that path" },
	{ "physical", 0, CMD_FLAG, AT(physical), NULL, "print the path behind the private root" },
	{ "type", 't', CMD_STR, AT(type), "TYPE",
	  "kind of image: raw (unless given), iso9660, qcow2, docker, tarball" },
	SYS_EVAL_OPTIONS(struct image, eval),
	STORE_OPTIONS_BASIC(struct image, store),
	STORE_OPTIONS_BUILD(struct image, store),
};

/* One module of image/ each; it returns the fields of the derivation. */
static const struct image_type {
	const char *name, *module, *text;
	bool disk, named; /* --free, --name have a meaning */
} image_types[] = {
	{ "docker", "image.docker",
	  "container image for docker, podman and skopeo (OCI, in a tar file)", .named = true },
	{ "iso9660", "image.iso", "CD and USB stick, BIOS and UEFI; read-only, with memory above" },
	{ "qcow2", "image.qcow2", "the disk of raw for QEMU, as large as its contents",
	  .disk = true },
	{ "raw", "image.raw", "disk that boots", .disk = true },
	{ "tarball", "image.tarball", "root file system as tar with gzip" },
};

static const struct image_type *type_find(const char *name, struct err *e)
{
	auto_str struct str known = STR_INIT;

	for (size_t i = 0; i < ARRAY_LEN(image_types); i++) {
		if (strcmp(image_types[i].name, name) == 0)
			return &image_types[i];
		str_addf(&known, "%s%s", i ? ", " : "", image_types[i].name);
	}
	(void)cmd_usage(e, "unknown type of image '%s' (known: %s)", name, known.buf);
	return NULL;
}

static int list_types(bool json, struct err *e)
{
	auto_str struct str out = STR_INIT;

	for (size_t i = 0; i < ARRAY_LEN(image_types); i++) {
		const struct image_type *t = &image_types[i];

		if (json)
			str_addf(&out, "%s{\"name\":\"%s\",\"description\":\"%s\"}",
				 i ? ",\n" : "[", t->name, t->text);
		else
			str_addf(&out, "%-8s  %s\n", t->name, t->text);
	}
	str_add(&out, json ? "]\n" : "");
	if (str_err(&out) < 0)
		return err_num(e, -ENOMEM, "types of images");
	return fputs(out.buf, stdout) < 0 || fflush(stdout) == EOF ? err_sys(e, "standard output")
								   : 0;
}

/* Options that would have no meaning, and a name no tool would take: said before a long build. */
static int check_options(const struct image *o, const struct image_type *type, struct err *e)
{
	auto_arena struct arena a = ARENA_INIT;
	struct oci_name name;

	if (o->free_space && !type->disk)
		return cmd_usage(e, "--free is for disks, not for '%s'", type->name);
	if (o->name && !type->named)
		return cmd_usage(e, "--name is for container images, not for '%s'", type->name);
	return o->name ? oci_name_parse(&a, o->name, &name, e) : 0;
}

static int build(struct image *o, const struct image_type *type, const char *config,
		 struct store_conn **ret_conn, struct sys_eval **ret_eval, struct err *e)
{
	char free_arg[64], name_arg[LIMIT_OCI_NAME + 8];
	const char *args[2];
	struct sys_eval_request req = {
		.kind = SYS_EVAL_FILE, .text = config, .apply = type->module, .args = args
	};
	uint64_t bytes;
	int r = check_options(o, type, e);

	if (r < 0)
		return r;
	if (o->free_space && text_size(slice_of(o->free_space), &bytes) < 0)
		return cmd_usage(e, "'%s' is not a size", o->free_space);
	/* As bytes, so that 1G and 1024M are the same derivation. */
	if (o->free_space) {
		(void)snprintf(free_arg, sizeof(free_arg), "free=%llu", (unsigned long long)bytes);
		args[req.nargs++] = free_arg;
	}
	if (o->name) {
		(void)snprintf(name_arg, sizeof(name_arg), "name=%s", o->name);
		args[req.nargs++] = name_arg;
	}
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

	if (o->list)
		return list_types(o->json, e);
	if (env->nargs == 0 || o->json)
		return env->nargs ? cmd_usage(e, "--json is for --list-image-types")
				  : cmd_usage(e, "missing operand: CONFIG");
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
	.synopsis = "CONFIG | --list-image-types",
	.summary = "build a disk, container image or tar file of a system",
	.help = "Evaluates CONFIG, builds the system and an image of it, and prints the image's "
		"path.\nNeeds neither root nor a virtual machine; the same input makes the same "
		"bytes.",
	CMD_OPTS(image_opts),
	.context_size = sizeof(struct image),
	.max_args = 1,
	.run = image_run,
};
