/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What a derivation tells the daemon. It says so by variables of its environment; or, in Nix's
 * dialect, by members of one JSON text, its structured attributes: then the builder gets no
 * variables but two files.
 *
 * Functions give -ERR_BUILD when the JSON is malformed.
 */
#pragma once

#include "store/local/local.h"

#define ATTRS_JSON ".attrs.json" /* in the build directory */
#define ATTRS_SH   ".attrs.sh"

struct attr {
	bool found;
	struct slice words; /* a list's are separated by blanks; true is 1, false nothing */
};

bool attrs_structured(const struct local *l, const struct drv *d);
/* What has its meaning in the dialect of the store; in a. */
int attrs_get(struct local *l, struct arena *a, const struct drv *d, enum drv_key key,
	      struct attr *ret, struct err *e);
/* The same of what is to be checked of one output: structured attributes say it for each. */
int attrs_get_check(struct local *l, struct arena *a, const struct drv *d, const char *output,
		    enum drv_key key, struct attr *ret, struct err *e);
/* Bytes that an output may have, alone and with all that it needs; UINT64_MAX: any number. Only
 * structured attributes say so. */
struct attrs_limits {
	uint64_t size, closure;
};
int attrs_get_limits(struct local *l, struct arena *a, const struct drv *d, const char *output,
		     struct attrs_limits *ret, struct err *e);
/* The two files. inputs: as in struct build, for exportReferencesGraph. */
int attrs_format(struct local *l, const struct drv *d, const struct vec *inputs, struct str *json,
		 struct str *sh, struct err *e);
