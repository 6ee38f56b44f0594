/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Names of container images, and the documents that describe one (all JSON). */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "lib/arena.h"
#include "lib/err.h"
#include "lib/str.h"
#include "store/store.h"

/* "NAME:TAG", "HOST:PORT/PATH/NAME:TAG", …; without a tag it is "latest". */
struct oci_name {
	const char *name, *tag;
};

#define LIMIT_OCI_NAME (255 + 1 + 128)

/* Strings in arena. -ERR_INVALID for what container tools would not take. */
int oci_name_parse(struct arena *a, const char *text, struct oci_name *ret, struct err *e);

struct oci_blob {
	const char *what;     /* for people */
	struct digest digest; /* SHA-256 */
	uint64_t size;
};

struct oci_image {
	struct oci_name name;
	const char *system;	       /* logical path of the generation */
	const struct oci_blob *layers; /* lowest first; tar files as they are */
	size_t nlayers;
};

/* How the container runs. */
void oci_config(const struct oci_image *i, struct str *out);
void oci_manifest(const struct oci_image *i, const struct oci_blob *config, struct str *out);
/* index.json of the layout. */
void oci_index(const struct oci_image *i, const struct oci_blob *manifest, struct str *out);
/* manifest.json of "docker save". */
void oci_docker_manifest(const struct oci_image *i, const struct oci_blob *config, struct str *out);
/* "blobs/sha256/…" */
void oci_blob_path(const struct oci_blob *b, struct str *out);
