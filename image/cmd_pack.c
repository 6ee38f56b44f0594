/* SPDX-License-Identifier: GPL-3.0-or-later */
/* "cairn builder image-tarball, image-docker, image-qcow2": run inside derivations. */
#include "image/image.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "image/builder.h"
#include "image/docker.h"
#include "image/qcow2.h"
#include "image/tarball.h"

struct pack {
	struct builder_opts of; /* a closure; of.output: also what a disk becomes */
	const char *name;
	uint64_t layers;
	const char *input; /* of a disk */
};

#define AT(f)	 offsetof(struct pack, f)
#define OF(NAME) BUILDER_##NAME(struct pack, of)
#define PLACES	 OF(STORE_PREFIX), OF(SYSTEM), OF(WORK)

static const struct cmd_opt tarball_opts[] = { OF(CLOSURE), OF(OUTPUT), PLACES };
static const struct cmd_opt docker_opts[] = {
	OF(CLOSURE),
	{ "layers", 0, CMD_U64, AT(layers), "N", "at most; 40 unless given" },
	{ "name", 0, CMD_STR, AT(name), "NAME:TAG", "what the image is called" },
	OF(OUTPUT),
	PLACES,
};
static const struct cmd_opt qcow2_opts[] = {
	{ "input", 0, CMD_STR, AT(input), "FILE", "raw disk" },
	OF(OUTPUT),
};

static int tarball_run(struct cmd_env *env, struct err *e)
{
	struct pack *o = env->ctx;
	auto_builder struct builder b = BUILDER_INIT;
	uint64_t size = 0;

	int r = builder_load(&b, &o->of, e);
	if (r == 0)
		r = tarball_make(o->of.output, &b.contents, &size, e);
	if (r == 0)
		builder_report(size, "store items", b.closure.n);
	return r;
}

static int docker_run(struct cmd_env *env, struct err *e)
{
	struct pack *o = env->ctx;
	auto_builder struct builder b = BUILDER_INIT;
	struct docker_opts docker = { .max_layers = o->layers ? o->layers : DOCKER_LAYERS };
	struct docker_result result = { 0 };

	if (docker.max_layers < DOCKER_LAYERS_MIN || docker.max_layers > LIMIT_DOCKER_LAYERS)
		return cmd_usage(e, "an image has %d to %d layers", DOCKER_LAYERS_MIN,
				 LIMIT_DOCKER_LAYERS);
	int r = oci_name_parse(&b.arena, o->name ? o->name : "cairn", &docker.name, e);
	if (r < 0 || (r = builder_load(&b, &o->of, e)) < 0)
		return r;
	docker.file = o->of.output;
	r = docker_make(&docker, &b.contents, &result, e);
	if (r == 0)
		builder_report(result.size, "layers", result.layers);
	return r;
}

static int qcow2_run(struct cmd_env *env, struct err *e)
{
	struct pack *o = env->ctx;
	const char *output = o->of.output ? o->of.output : getenv("out");
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
