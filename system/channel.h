/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Channels: where a machine gets new modules from. A maker signs a tree of them; the machine checks
 * the signature before it unpacks anything, and does not go back to an older tree.
 *
 * At the URL is a file "channel.index":
 *
 *	[channel]
 *	name = cairn
 *	serial = 17				grows with each tree
 *	date = 1795708800			Unix seconds
 *	hash = …				SHA-256, in hex, of the tree as a NAR
 *	size = 7340032				bytes of that NAR
 *	archive = cairn-17.nar			the NAR, beside this file; none: the tree is around
 *it previous = …				SHA-256 of the index before, up to its signature #
 *signature NAME:BASE64			of all bytes before this line
 *
 * A git repository has the index at its top; the hash is that of all of the tree but ".git" and the
 * index. In the tree that was pulled, and so in the modules of a machine, the file "channel" says
 * where it came from:
 *
 *	[channel]
 *	name, serial, date			of the index
 *	index = …				its SHA-256, as previous above
 *	url = …, key = NAME:BASE64		where it was pulled from, who signed it
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "lib/arena.h"
#include "lib/err.h"
#include "lib/str.h"
#include "system/root.h"

#define CHANNEL_INDEX	    "channel.index"
#define CHANNEL_RECORD	    "channel"
#define CHANNEL_SETTINGS    "/etc/cairn/pull" /* url and key, as in the record */
#define CHANNEL_PROFILE	    "/profiles/per-user/root/cairn-modules" /* below the state directory */
#define CHANNEL_SERIAL_MAX  UINT64_C(1000000000000)
#define LIMIT_CHANNEL_INDEX (64u << 10)
#define LIMIT_CHANNEL_TREE  (UINT64_C(1) << 30)

struct channel {
	const char *name;
	uint64_t serial, date;
	const char *hash, *archive, *previous; /* of an index; "" when missing */
	uint64_t size;
	const char *index, *url, *key; /* of a record; "" when missing */
};

/* Read a record, or settings, which have url and key alone. -ENOENT when there is no such file, e
 * untouched. All strings in a. */
int channel_load(struct arena *a, const char *file, struct channel *ret, struct err *e);
/* The record of the modules of a generation; -ENOENT when there is none. */
int channel_of(const struct sys_root *r, struct arena *a, const char *system, struct channel *ret);
/* What is shown of a record. */
void channel_json(const struct channel *c, struct str *out);
void channel_record_text(const struct channel *c, struct str *out);

/* Get the index from url, and check that key signed it; what is returned is signed. index, url and
 * key of *ret are filled in. A git repository is cloned as the new directory dir/tree for this;
 * nothing of it may be used before channel_fetch_tree(). */
int channel_fetch_index(struct arena *a, const char *url, const char *key, const char *dir,
			struct channel *ret, struct err *e);
/* Get the tree of that index as dir/tree, checked. */
int channel_fetch_tree(const struct channel *c, const char *dir, struct err *e);
/* Whether to go from the tree of old to that of c: 0, -ERR_INVALID when it is older, does not
 * follow where it should, or is of another channel. *ret_same: it is that one. */
int channel_compare(const struct channel *old, const struct channel *c, bool *ret_same,
		    struct err *e);

/* The maker's side: the new index for a tree of that hash and size, signed by the key in the file;
 * what is in dir is the one before, whose name and serial are gone on with unless given (NULL, 0).
 */
struct channel_sign {
	const char *dir, *key_file;
	const char *name;
	uint64_t serial, date;
	bool in_tree;	     /* the tree is dir itself */
	const char *archive; /* physical path of a NAR, which is put into dir */
};
int channel_sign(struct arena *a, const struct channel_sign *s, struct channel *ret, struct err *e);
