/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Compressed byte streams, by libarchive (archive.c). */
#pragma once

#include "store/store.h"

enum zip { ZIP_NONE, ZIP_GZIP, ZIP_LZIP, ZIP_ZSTD, ZIP_XZ, ZIP_BZIP2, ZIP_MAX };

/* Names are those of the Compression field of narinfos. */
const char *zip_name(enum zip kind);
int zip_parse(struct slice name, enum zip *ret); /* 0 or -ERR_UNSUPPORTED */

/* Compress what is written to zip_sink() into out. level 0: the library's usual one. The same bytes
 * make the same bytes. */
struct zipper;
int zip_open(struct nar_sink *out, enum zip kind, unsigned level, struct zipper **ret,
	     struct err *e);
struct nar_sink *zip_sink(struct zipper *z);	/* borrowed */
int zip_close(struct zipper *z, struct err *e); /* writes the end; frees z, also on failure */
void zip_free(struct zipper *z);		/* gives up; NULL allowed */

/* Some bytes, 0 at the end, negative with e filled. */
struct zip_input {
	ssize_t (*read)(struct zip_input *in, void *p, size_t n, struct err *e);
};

/* Decompress in with exactly that one method: what comes out is never looked into for another. A
 * stream of no bytes is an error.
 * Memory is bounded by the library's windows (128 MiB for zstd); a caller who does not trust the
 * input should have a limit of his own. */
struct unzipper;
int unzip_open(struct zip_input *in, enum zip kind, struct unzipper **ret, struct err *e);
/* As zip_input.read. */
ssize_t unzip_read(struct unzipper *u, void *p, size_t n, struct err *e);
void unzip_free(struct unzipper *u); /* NULL allowed */
