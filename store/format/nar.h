/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Archives: what the rest of store/ needs beyond the public part in store/store.h. */
#pragma once

#include "store/store.h"

/* As nar_restore, but with the metadata of the store (modes 0444 and 0555, time 1). A directory at
 * the top cannot be renamed by ordinary users then; local_move_in knows. */
int nar_restore_canonical(struct nar_source *in, int dirfd, const char *name, struct err *e);

/* A source that hashes and counts what passes. h is borrowed. */
struct nar_tee {
	struct nar_source source;
	struct nar_source *in; /* borrowed */
	struct hasher *h[2];   /* borrowed; NULL: none */
	uint64_t size;
};
void nar_tee_init(struct nar_tee *t, struct nar_source *in, struct hasher *a, struct hasher *b);

/* Whether a source from nar_source_fd is at the end of its file. */
int nar_source_fd_at_end(struct nar_source *s, bool *ret, struct err *e);

/* Names in a directory, sorted bytewise, without "." and ".."; fd is left open. */
int nar_list_dir(struct arena *a, int fd, struct vec *ret);

/* What an archive holds. */
struct nar_entry {
	const char *path; /* from the top, which is ""; "/bin/x" */
	enum nar_type { NAR_DIRECTORY, NAR_FILE, NAR_PROGRAM, NAR_LINK } type;
	uint64_t size;	    /* of a file or program: bytes */
	const char *target; /* of a link, else "" */
};
/* Returns 0 or a negative code with e filled, which ends the reading. Texts are borrowed for the
 * call. */
typedef int nar_entry_fn(void *arg, const struct nar_entry *entry, struct err *e);
/* Read an archive to its end, as nar_restore() does, and call fn for each thing in it, a directory
 * before what it holds. Nothing is made, and little kept: names to the current place. */
int nar_list(struct nar_source *in, nar_entry_fn *fn, void *arg, struct err *e);
