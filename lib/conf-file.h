/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Files in the form of lib/conf, as a table says. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "lib/arena.h"
#include "lib/conf.h"
#include "lib/err.h"

struct conf_file {
	size_t limit; /* bytes of the file */
	const struct conf_key *keys;
	size_t nkeys;
	const char *only;	  /* its one kind of section, without a name; or NULL, and */
	conf_section_fn *section; /* who is told of each */
};

/* Read and parse. arg: what the keys of the only section fill, or what section is given. No file:
 * false in *ret_found and 0; -ENOENT where ret_found is NULL. */
int conf_load(const struct conf_file *f, const char *path, void *arg, bool *ret_found,
	      struct arena *a, struct err *e);
