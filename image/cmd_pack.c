/* SPDX-License-Identifier: GPL-3.0-or-later */
/* "cairn builder image-tarball, image-docker, image-qcow2": run inside derivations. */
#include "image/image.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "image/closure.h"
#include "image/contents.h"
#include "image/docker.h"
#include "image/qcow2.h"
#include "image/tarball.h"
#include "lib/text.h"
#include "store/store.h"

struct pack {
	const char *closure, *system, *output, *store_prefix, *work; /* of a closure */
	const char *name;
	uint64_t layers;
	const char *input; /* of a disk */
};

#define AT(f) offsetof(struct pack, f)
#define OPT_OUTPUT                                                                                 \
	{                                                                                          \
		"output", 'o', CMD_STR, AT(output), "FILE", "image to make; else $out"             \
	}
#define OPT_CLOSURE                                                                                \
	{                                                                                          \
		"closure", 0, CMD_STR, AT(closure), "FILE",                                        \
			"closure as exportReferencesGraph writes it"                               \
	}
#define OPT_PLACES                                                                                 \
	{                                                                                          \
		"store-prefix",	  0,	 CMD_STR,                                                  \
		AT(store_prefix), "DIR", "directory in front of the store"                         \
	},                                                                                         \
		{ "system", 0, CMD_STR, AT(system), "PATH", "generation" },                        \
	{                                                                                          \
		"work", 0, CMD_STR, AT(work), "DIR", "scratch directory"                           \
	}

static const struct cmd_opt tarball_opts[] = { OPT_CLOSURE, OPT_OUTPUT, OPT_PLACES };
static const struct cmd_opt docker_opts[] = {
	OPT_CLOSURE,
	{ "layers", 0, CMD_U64, AT(layers), "N", "at most; 40 unless given" },
	{ "name", 0, CMD_STR, AT(name), "NAME:TAG", "what the image is called" },
	OPT_OUTPUT,
	OPT_PLACES,
};
static const struct cmd_opt qcow2_opts[] = {
	{ "input", 0, CMD_STR, AT(input), "FILE", "raw disk" },
	OPT_OUTPUT,
};

/* Contents from the options; everything lives in a and closure. */
static int load(struct pack *o, struct arena *a, struct vec *closure, struct contents *ret,
		struct err *e)
{
	o->output = o->output ? o->output : getenv("out");
	if (!o->closure || !o->system || !o->output)
		return cmd_usage(e, "--closure, --system and an output are needed");
	int r = store_path_check(STORE_DIR_DEFAULT, slice_of(o->system), e);
	if (r < 0 || (r = closure_load(a, STORE_DIR_DEFAULT, o->closure, closure, e)) < 0)
		return r;
	*ret = (struct contents){ .arena = a,
				  .store_prefix = o->store_prefix ? o->store_prefix : "",
				  .system = o->system,
				  .closure = closure,
				  .work = o->work ? o->work : "." };
	return 0;
}

static void report(uint64_t bytes, const char *what, size_t n)
{
	char size[16];

	text_human(bytes, size);
	(void)fprintf(stderr, "image: %s, %zu %s\n", size, n, what);
}

static int tarball_run(struct cmd_env *env, struct err *e)
{
	struct pack *o = env->ctx;
	auto_arena struct arena a = ARENA_INIT;
	auto_vec struct vec closure = VEC_INIT;
	struct contents c;
	uint64_t size = 0;

	int r = load(o, &a, &closure, &c, e);
	if (r == 0)
		r = tarball_make(o->output, &c, &size, e);
	if (r == 0)
		report(size, "store items", closure.n);
	return r;
}

static int docker_run(struct cmd_env *env, struct err *e)
{
	struct pack *o = env->ctx;
	auto_arena struct arena a = ARENA_INIT;
	auto_vec struct vec closure = VEC_INIT;
	struct docker_opts docker = { .max_layers = o->layers ? o->layers : DOCKER_LAYERS };
	struct docker_result result = { 0 };
	struct contents c;

	if (docker.max_layers < DOCKER_LAYERS_MIN || docker.max_layers > LIMIT_DOCKER_LAYERS)
		return cmd_usage(e, "an image has %d to %d layers", DOCKER_LAYERS_MIN,
				 LIMIT_DOCKER_LAYERS);
	int r = oci_name_parse(&a, o->name ? o->name : "cairn", &docker.name, e);
	if (r < 0 || (r = load(o, &a, &closure, &c, e)) < 0)
		return r;
	docker.file = o->output;
	r = docker_make(&docker, &c, &result, e);
	if (r == 0)
		report(result.size, "layers", result.layers);
	return r;
}

static int qcow2_run(struct cmd_env *env, struct err *e)
{
	struct pack *o = env->ctx;
	const char *output = o->output ? o->output : getenv("out");
	uint64_t size = 0;

	if (!o->input || !output)
		return cmd_usage(e, "--input and an output are needed");
	return qcow2_make(o->input, output, &size, e);
}

const struct cmd image_cmd_builder_image_tarball = {
	.name = "image-tarball",
	.summary = "write a tar file of a machine's root",
	CMD_OPTS(tarball_opts),
	.context_size = sizeof(struct pack),
	.run = tarball_run,
	.hidden = true,
};

const struct cmd image_cmd_builder_image_docker = {
	.name = "image-docker",
	.summary = "write a container image",
	CMD_OPTS(docker_opts),
	.context_size = sizeof(struct pack),
	.run = docker_run,
	.hidden = true,
};

const struct cmd image_cmd_builder_image_qcow2 = {
	.name = "image-qcow2",
	.summary = "write a raw disk as qcow2",
	CMD_OPTS(qcow2_opts),
	.context_size = sizeof(struct pack),
	.run = qcow2_run,
	.hidden = true,
};
