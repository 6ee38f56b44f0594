/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What a cache says about a store item: lines of "Field: value".
 *
 * In Guix's form a Signature covers the bytes before it; in Nix's, each Sig covers a text made from
 * path, hash, size and references. A field that is signed may stand once, and counts only where it
 * is signed. Compression, size of the file and URL are anybody's word: they can make a download
 * fail, no more.
 */
#pragma once

#include "store/format/dialect.h"
#include "store/subst/keys.h"
#include "store/format/zip.h"

struct narinfo_file {
	const char *url; /* relative to the cache, or whole */
	enum zip kind;
	bool known;	    /* kind is; else the file is of no use here */
	uint64_t size;	    /* compressed; 0: not told */
	const char *sha256; /* "sha256:…" of the file, written only; NULL: none */
};

struct narinfo {
	struct store_info info;	    /* logical paths */
	struct narinfo_file *files; /* the same archive in several forms */
	size_t nfiles;
	/* Guix's */
	struct slice signed_text;
	struct slice sig; /* text of a (signature …) */
			  /* Nix's: info.sigs, info.ca */
};

/* Result in a, which also borrows text. -ERR_SYNTAX, -ERR_LIMIT. */
int narinfo_parse(struct arena *a, enum dialect d, const char *store_dir, struct slice text,
		  struct narinfo **ret, struct err *e);
/* Whether somebody we trust says so, or the path itself follows from the contents it names (which
 * are then checked against it when they are there). 0 or -ERR_INVALID. */
int narinfo_check(const struct narinfo *n, enum dialect d, const char *store_dir,
		  const struct trust *t, struct err *e);
/* Append the text for info as it will be found in files; signed by s, whose family is d. */
int narinfo_format(const struct store_info *info, enum dialect d, const char *store_dir,
		   const struct narinfo_file *files, size_t nfiles, const struct signer *s,
		   struct str *out, struct err *e);
/* "1;PATH;sha256:HASH;SIZE;REF,REF": what Nix's signatures sign. */
void narinfo_fingerprint(const struct store_info *info, struct str *out);
