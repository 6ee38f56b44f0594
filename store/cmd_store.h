/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What the commands of "cairn store" share. */
#pragma once

#include "store/format/dialect.h"
#include "store/store.h"

/* What the user means by text: a logical or physical path at or below a store item, or a symbolic
 * link to one. *ret is logical; with item only the item itself, else the path below it, too. */
int store_operand(struct store_conn *c, struct arena *a, const char *text, bool item, char **ret,
		  struct err *e);
/* All operands as items. */
int store_operands(struct store_conn *c, struct arena *a, char *const *args, size_t n,
		   struct vec *ret, struct err *e);
/* Print a store path on a line of its own. */
void store_print_path(struct store_conn *c, const char *path, bool physical);
/* Standard output must have taken everything. */
int store_finish_output(struct err *e);

/* Unpack the archive on standard input, which must be nothing but that, as path. */
int store_restore(const char *path, struct err *e);
/* After an archive from nar_source_fd() nothing may follow. */
int store_archive_end(struct nar_source *in, struct err *e);
/* Fill in the places of a store of that family. The machine's own of Nix's family is opened
 * directly: its daemon does not speak our dialect. */
void store_use_family(struct store_opts *o, enum dialect d);

extern const struct cmd store_cmd_add_root;
extern const struct cmd store_cmd_delete;
extern const struct cmd store_cmd_failures;
extern const struct cmd store_cmd_gc;
extern const struct cmd store_cmd_optimise;
extern const struct cmd store_cmd_protect; /* hidden */
extern const struct cmd store_cmd_query;
extern const struct cmd store_cmd_realise;
extern const struct cmd store_cmd_roots;
extern const struct cmd store_cmd_size;
