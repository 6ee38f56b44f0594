/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A store as a binary cache: answers to the requests of one connection. */
#pragma once

#include "store/format/narinfo.h"

#define PUBLISH_KINDS_MAX 4

struct publish_kind {
	enum zip kind;
	unsigned level; /* 0: usual */
};

struct publish {
	struct store_opts store;
	enum dialect dialect;	     /* form of the narinfos */
	const struct signer *signer; /* its family is dialect */
	const char *public_key;	     /* text for /signing-key.pub */
	const char *nar_path;	     /* first part of archives' URLs */
	struct publish_kind kinds[PUBLISH_KINDS_MAX];
	size_t nkinds;
	bool has_ttl, has_negative_ttl;
	uint64_t ttl, negative_ttl; /* seconds */
	uint64_t priority;	    /* in nix-cache-info */
	/* cached publishing */
	const char *cache; /* directory; NULL: compress for each reader */
	uint64_t bypass;   /* archives up to so many bytes are sent before they are cached */
	uint64_t workers;  /* archives made at the same time */
};

/* The archives of path that are offered, their sizes not known; strings in a. The number of them.
 */
size_t publish_list_files(const struct publish *p, struct arena *a, const char *path,
			  struct narinfo_file ret[PUBLISH_KINDS_MAX]);
/* "gzip", "zstd:19"; -ERR_SYNTAX. */
int publish_parse_kind(struct slice text, struct publish_kind *ret);
/* Answer requests until the other side is done. */
void publish_serve(const struct publish *p, int fd);
