/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The two families of stores and of their protocol, and all that differs between them in numbers
 * and names.
 *
 * A store is of one family from its beginning: db/schema says of which. A socket speaks one
 * dialect. The daemon of a store speaks the dialect of its family; the embedded one always speaks
 * Guix's to our own client.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "lib/slice.h"

enum dialect { DIALECT_GUIX, DIALECT_NIX, DIALECT_ANY };

struct dialect_facts {
	const char *name;			     /* of --dialect */
	const char *store_dir, *state_dir, *log_dir; /* defaults, logical */
	const char *conf_dir;			     /* keys; below a private root, too */
	const char *schema;			     /* text of db/schema */
	uint64_t version;			     /* of the protocol */
	uint64_t minor_min;			     /* oldest client */
	const char *log_suffix;
	const char *build_dir; /* in the sandbox; NULL: a directory of its own in /tmp */
};

/* d is not DIALECT_ANY. */
const struct dialect_facts *dialect_facts(enum dialect d);
/* 0, or -ERR_SYNTAX for no name of a dialect. */
int dialect_parse(struct slice name, enum dialect *ret);

/* What a variable of a derivation means to the daemon beyond being passed to the builder. */
enum drv_key {
	KEY_ALLOW_SUBSTITUTES,
	KEY_ALLOWED_REFERENCES,
	KEY_ALLOWED_REQUISITES,
	KEY_DISALLOWED_REFERENCES,
	KEY_DISALLOWED_REQUISITES,
	KEY_EXPORT_REFERENCES_GRAPH,
	KEY_IMPURE_ENV_VARS,
	KEY_MACHINE_FEATURES, /* where to build; KEY_REQUIRED_SYSTEM_FEATURES: whether here */
	KEY_PASS_AS_FILE,
	KEY_PREFER_LOCAL_BUILD,
	KEY_REQUIRED_SYSTEM_FEATURES,
	KEY_STRUCTURED_ATTRS, /* all others are members of it; store/build/attrs.h */
	KEY_MAX
};

/* The variable's name when it has its meaning in dialect d, else NULL: it is then a variable like
 * any other. */
const char *dialect_key(enum dialect d, enum drv_key key);
/* The name of a variable that has its meaning in every dialect. */
const char *dialect_key_name(enum drv_key key);
