/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Archives in memory: made of words, and read from. */
#pragma once

#include "lib/size.h"
#include "lib/wire.h"
#include "store/store.h"

struct mem_source {
	struct nar_source source;
	struct slice left;
};

static int mem_read(struct nar_source *source, void *p, size_t n, struct err *e)
{
	struct mem_source *s = CONTAINER_OF(source, struct mem_source, source);

	if (n > s->left.n)
		return err_set(e, -ERR_SYNTAX, "the archive ends early");
	memcpy(p, s->left.p, n);
	s->left.p += n;
	s->left.n -= n;
	return 0;
}

/* An archive from words, up to a NULL: each is a token. */
static void add_words(struct str *out, const char *const *words)
{
	for (; *words; words++)
		wr_cstr(out, *words);
}
#define WORDS(out, ...)	 add_words(out, (const char *const[]){ __VA_ARGS__, NULL })
#define MAGIC		 "nix-archive-1"
#define FILE_OF(x)	 "(", "type", "regular", "contents", x, ")"
#define DIR_OF(...)	 "(", "type", "directory", __VA_ARGS__, ")"
#define EMPTY_DIR	 "(", "type", "directory", ")"
#define LINK_TO(x)	 "(", "type", "symlink", "target", x, ")"
#define ENTRY(name, ...) "entry", "(", "name", name, "node", __VA_ARGS__, ")"
