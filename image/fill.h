/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Carry a manifest into a writer: one pass, in order, each source read once. The same bytes that go
 * to the writer are hashed as the NAR of their store item.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "image/manifest.h"
#include "lib/err.h"

/* A writer of one kind of image. Each entry: entry(), data() any number of times (files only; the
 * sum is entry->size), end(). */
struct img_sink {
	int (*entry)(struct img_sink *s, const struct man_entry *n, struct err *e);
	int (*data)(struct img_sink *s, const void *p, size_t n, struct err *e);
	int (*end)(struct img_sink *s, const struct man_entry *n, struct err *e);
};

struct fill_opts {
	/* Makes the source of a late entry and sets its size; every item before it in the manifest
	 * has its hash and size by then. */
	int (*prepare)(void *arg, struct man_entry *n, struct err *e);
	void *arg;
	/* Called with the bytes of contents given so far; NULL: nobody asks. */
	void (*progress)(void *arg, uint64_t bytes);
	void *progress_arg;
};

int fill_run(struct manifest *m, struct img_sink *sink, const struct fill_opts *opts,
	     struct err *e);
