/* SPDX-License-Identifier: GPL-3.0-or-later */
/* "cairn system image": a configuration becomes a disk, a container image, a tar file. */
#include "image/image.h"

#include <errno.h>
#include <stdio.h>

#include "image/iso.h"
#include "image/oci.h"
#include "image/place.h"
#include "lib/size.h"
#include "lib/text.h"
#include "store/store.h"
#include "system/system.h"

struct image {
	struct store_opts store;
	struct sys_eval_opts eval;
	const char *type, *output, *free_space, *size, *label, *name;
	bool physical, list, json, check, is_volatile, no_bootloader, dry_run;
};

#define AT(f) offsetof(struct image, f)
static const struct cmd_opt image_opts[] = {
	{ "check", 0, CMD_FLAG, AT(check), NULL,
	  "build the image once more and compare: 102 when the bytes differ" },
	{ "dry-run", 'n', CMD_FLAG, AT(dry_run), NULL,
	  "print the derivations that would be built, build nothing" },
	{ "free", 0, CMD_STR, AT(free_space), "SIZE",
	  "of a disk: free space in the root file system (256M)" },
	{ "image-size", 0, CMD_STR, AT(size), "SIZE",
	  "of a disk: its size; the root takes what is left" },
	{ "json", 0, CMD_FLAG, AT(json), NULL, "what was built, or the kinds of image, as data" },
	{ "label", 0, CMD_STR, AT(label), "TEXT",
	  "of the root file system of a disk, or of an ISO volume" },
	{ "list-image-types", 0, CMD_FLAG, AT(list), NULL, "print the kinds of image and end" },
	{ "name", 0, CMD_STR, AT(name), "NAME:TAG",
	  "of a container image (the host name, latest)" },
	{ "no-bootloader", 0, CMD_FLAG, AT(no_bootloader), NULL,
	  "of a disk: neither boot code nor menu" },
	{ "output", 'o', CMD_STR, AT(output), "FILE", "copy the image there and print that path" },
	{ "physical", 0, CMD_FLAG, AT(physical), NULL, "print the path behind the private root" },
	{ "type", 't', CMD_STR, AT(type), "TYPE",
	  "kind of image: raw (unless given), iso9660, qcow2, initramfs, docker, tarball" },
	{ "volatile", 0, CMD_FLAG, AT(is_volatile), NULL,
	  "of a disk: it is only read, what is written is in memory" },
	SYS_EVAL_OPTIONS(struct image, eval),
	STORE_OPTIONS_BASIC(struct image, store),
	STORE_OPTIONS_BUILD(struct image, store),
};

#define IMAGE_STEP (1u << 20) /* sizes of disks are multiples of it */

/* What an option is for. */
#define FOR_DISK      (1u << 0)
#define FOR_LABEL     (1u << 1)
#define FOR_CONTAINER (1u << 2)

/* One module of image/ each; it returns the fields of the derivation. */
static const struct image_type {
	const char *name, *module, *text;
	unsigned takes;
	bool directory; /* the image is one, of files */
} image_types[] = {
	{ "docker", "image.docker",
	  "container image for docker, podman and skopeo (OCI, in a tar file)", FOR_CONTAINER },
	{ "initramfs", "image.initramfs",
	  "the whole system in memory: kernel, initramfs, command line", 0, .directory = true },
	{ "iso9660", "image.iso", "CD and USB stick, BIOS and UEFI; read-only, with memory above",
	  FOR_LABEL },
	{ "qcow2", "image.qcow2", "the disk of raw for QEMU, as large as its contents",
	  FOR_DISK | FOR_LABEL },
	{ "raw", "image.raw", "disk that boots, BIOS and UEFI", FOR_DISK | FOR_LABEL },
	{ "tarball", "image.tarball", "root file system as tar with gzip", 0 },
};

/* Options that the module gets as arguments. */
static const struct image_arg {
	const char *option, *key;
	unsigned needs;
	const char *of;	    /* in messages */
	enum cmd_kind kind; /* CMD_U64: a size */
	size_t at;
} image_args[] = {
	{ "free", "free", FOR_DISK, "disks", CMD_U64, AT(free_space) },
	{ "image-size", "size", FOR_DISK, "disks", CMD_U64, AT(size) },
	{ "label", "label", FOR_LABEL, "disks and ISO images", CMD_STR, AT(label) },
	{ "name", "name", FOR_CONTAINER, "container images", CMD_STR, AT(name) },
	{ "no-bootloader", "no_bootloader", FOR_DISK, "disks", CMD_FLAG, AT(no_bootloader) },
	{ "volatile", "volatile", FOR_DISK, "disks", CMD_FLAG, AT(is_volatile) },
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
			str_addf(&out, "%-9s  %s\n", t->name, t->text);
	}
	str_add(&out, json ? "]\n" : "");
	if (str_err(&out) < 0)
		return err_num(e, -ENOMEM, "types of images");
	return fputs(out.buf, stdout) < 0 || fflush(stdout) == EOF ? err_sys(e, "standard output")
								   : 0;
}

/* "key=value" of an option that was given; NULL for one that was not. A size as bytes, so that 1G
 * and 1024M are the same derivation. */
static int arg_text(const struct image *o, const struct image_arg *x, struct arena *a,
		    const char **ret, struct err *e)
{
	const void *place = (const char *)o + x->at;
	const char *text = x->kind == CMD_FLAG ? (*(const bool *)place ? "1" : NULL)
					       : *(const char *const *)place;
	uint64_t bytes;

	*ret = NULL;
	if (!text)
		return 0;
	if (x->kind == CMD_U64) {
		if (text_size(slice_of(text), &bytes) < 0)
			return cmd_usage(e, "'%s' is not a size", text);
		*ret = arena_fmt(a, "%s=%llu", x->key, (unsigned long long)bytes);
	} else {
		*ret = arena_fmt(a, "%s=%s", x->key, text);
	}
	return *ret ? 0 : err_num(e, -ENOMEM, "--%s", x->option);
}

/* Arguments of the module. Options that would have no meaning, and a name no tool would take, are
 * said before a long build. */
static int module_args(const struct image *o, const struct image_type *type, struct arena *a,
		       const char *args[ARRAY_LEN(image_args)], size_t *ret_n, struct err *e)
{
	struct oci_name name;
	uint64_t size;
	size_t n = 0;

	for (size_t i = 0; i < ARRAY_LEN(image_args); i++) {
		const struct image_arg *x = &image_args[i];
		int r = arg_text(o, x, a, &args[n], e);

		if (r < 0)
			return r;
		if (!args[n])
			continue;
		if (!(type->takes & x->needs))
			return cmd_usage(e, "--%s is for %s, not for '%s'", x->option, x->of,
					 type->name);
		n++;
	}
	*ret_n = n;
	if (o->size && text_size(slice_of(o->size), &size) == 0 && (!size || size % IMAGE_STEP))
		return cmd_usage(e, "--image-size is a number of MiB, such as 400M");
	if (o->label && type->takes == FOR_LABEL)
		return iso_label_check(o->label, e);
	return o->name ? oci_name_parse(a, o->name, &name, e) : 0;
}

static int build(struct image *o, const struct image_type *type, const char *config,
		 struct arena *a, struct store_conn **ret_conn, struct sys_eval **ret_eval,
		 struct vec *missing, struct err *e)
{
	const char *args[ARRAY_LEN(image_args)];
	struct sys_eval_request req = {
		.kind = SYS_EVAL_FILE, .text = config, .apply = type->module, .args = args
	};
	int r = module_args(o, type, a, args, &req.nargs, e);

	if (r < 0)
		return r;
	o->eval.store_dir = o->store.store_dir;
	if (o->output && !*o->output)
		return cmd_usage(e, "--output is a name, not ''");
	if (o->output &&
	    (r = (type->directory ? img_place_files_check : img_place_check)(o->output, e)) < 0)
		return r;
	if ((r = sys_eval_run(&o->eval, &req, ret_eval, e)) < 0 ||
	    (r = store_open(&o->store, ret_conn, e)) < 0)
		return r;
	return o->dry_run ? sys_eval_missing(*ret_eval, *ret_conn, missing, e)
			  : sys_eval_build(*ret_eval, *ret_conn, "image", e);
}

/* Build what is there once more, and compare. */
static int build_again(struct image *o, struct sys_eval *eval, struct err *e)
{
	struct store_conn *conn = NULL;

	o->store.check = true;
	int r = store_open(&o->store, &conn, e);
	if (r == 0)
		r = sys_eval_build(eval, conn, "image", e);
	store_close(conn);
	return r;
}

/* missing: what a dry run found; shown: where the image is, or would be. */
static int report(const struct image *o, const char *type, const char *image, const char *shown,
		  const struct vec *missing, struct err *e)
{
	auto_str struct str out = STR_INIT;

	if (o->json) {
		str_addf(&out, "{\"type\":\"%s\",\"dry_run\":%s,\"image\":\"%s\",\"file\":", type,
			 o->dry_run ? "true" : "false", image);
		if (o->output && !o->dry_run)
			text_json(&out, slice_of(shown));
		else
			str_add(&out, "null");
		str_add(&out, ",\"derivations\":[");
		for (size_t i = 0; i < missing->n; i++)
			str_addf(&out, "%s\"%s\"", i ? "," : "", (const char *)missing->v[i]);
		str_add(&out, "]}\n");
	} else if (o->dry_run) {
		fprintf(stderr, "%zu derivation%s would be built\n", missing->n,
			missing->n == 1 ? "" : "s");
		for (size_t i = 0; i < missing->n; i++)
			str_addf(&out, "%s\n", (const char *)missing->v[i]);
	} else {
		str_addf(&out, "%s\n", shown);
	}
	if (str_err(&out) < 0)
		return err_num(e, -ENOMEM, "image");
	return fputs(out.buf, stdout) < 0 || fflush(stdout) == EOF ? err_sys(e, "standard output")
								   : 0;
}

static int image_run(struct cmd_env *env, struct err *e)
{
	struct image *o = env->ctx;
	auto_arena struct arena a = ARENA_INIT;
	auto_vec struct vec missing = VEC_INIT;
	struct store_conn *conn = NULL;
	struct sys_eval *eval = NULL;
	const char *shown = NULL;

	if (o->list)
		return list_types(o->json, e);
	if (env->nargs == 0)
		return cmd_usage(e, "missing operand: CONFIG");
	if (o->dry_run && o->check)
		return cmd_usage(e, "--check builds, and --dry-run does not");
	const struct image_type *type = type_find(o->type ? o->type : "raw", e);
	int r = type ? build(o, type, env->args[0], &a, &conn, &eval, &missing, e) : e->code;
	if (r == 0 && o->check)
		r = build_again(o, eval, e);
	const char *image = r == 0 ? sys_eval_value(eval, "image") : NULL;
	if (r == 0 && !image)
		r = err_set(e, -ERR_INTERNAL, "%s made no image", type->module);
	const char *physical = r == 0 ? store_conn_physical(conn, &a, image) : NULL;
	if (r == 0 && !physical)
		r = err_num(e, -ENOMEM, "image");
	if (r == 0)
		shown = o->physical ? physical : image;
	if (r == 0 && o->output && !o->dry_run)
		r = (type->directory ? img_place_files : img_place)(physical, o->output, &a, &shown,
								    e);
	if (r == 0)
		r = report(o, type->name, image, shown, &missing, e);
	sys_eval_free(eval);
	store_close(conn);
	return r;
}

const struct cmd image_cmd_image = {
	.name = "image",
	.synopsis = "CONFIG | --list-image-types",
	.summary = "build a disk, container image or tar file of a system",
	.examples = "cairn system image examples/minimal.lua -o disk.raw             a disk for "
		    "BIOS and UEFI\n"
		    "cairn system image -t iso9660 examples/installer.lua -o cd.iso  the "
		    "installation medium",
	.help = "Evaluates CONFIG, builds the system and an image of it, and prints the image's "
		"path.\nNeeds neither root nor a virtual machine; the same input makes the same "
		"bytes.",
	CMD_OPTS(image_opts),
	.context_size = sizeof(struct image),
	.max_args = 1,
	.statuses = &sys_statuses,
	.run = image_run,
};
