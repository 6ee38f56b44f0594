/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A machine as a container image: an OCI layout in a tar file that also has what "docker load"
 * looks for. PID 1 of the container is that of the machine.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "image/contents.h"
#include "image/oci.h"
#include "lib/err.h"

#define DOCKER_LAYERS	    40 /* usual number */
#define DOCKER_LAYERS_MIN   2  /* store, everything else */
#define LIMIT_DOCKER_LAYERS 125

struct docker_opts {
	const char *file; /* is created; must not exist */
	struct oci_name name;
	size_t max_layers;
};

struct docker_result {
	uint64_t size;
	size_t layers;
};

/* Write the image; on failure the file is removed. c->work needs as much room as the image. */
int docker_make(const struct docker_opts *o, struct contents *c, struct docker_result *ret,
		struct err *e);
