/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Content addresses as stores of Nix's family note them: "text:sha256:HASH" for a text,
 * "fixed:ALGO:HASH" for the bytes of a file, "fixed:r:ALGO:HASH" for a tree; HASH in nix-base32. A
 * path that follows from its contents needs nobody's signature.
 */
#pragma once

#include "store/store.h"

/* Results in a; NULL when there is no memory. */
char *ca_text(struct arena *a, const struct digest *contents);
char *ca_fixed(struct arena *a, bool recursive, const struct digest *hash);
/* Whether info->path is what info->ca and the references make it. That the contents have that hash
 * is for the caller to see. */
bool ca_names(const char *store_dir, const struct store_info *info);
/* Parts of a fixed address; -ERR_SYNTAX for any other text. */
int ca_parse_fixed(struct slice ca, bool *ret_recursive, struct digest *ret);
int ca_parse_text(struct slice ca, struct digest *ret);
