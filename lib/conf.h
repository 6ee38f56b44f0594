/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Configuration text to structs by table: one row per key holds name, parser and place.
 * "[section NAME]" headers, "key = value" lines, '#' comments; a line that ends in a backslash
 * continues. The same rows parse and suggest.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/arena.h"
#include "lib/err.h"
#include "lib/slice.h"

struct conf_key;

struct conf_ctx {
	const char *file; /* borrowed */
	unsigned line;
	const char *key;
	struct arena *arena;
	void *object;  /* the struct the row's offset is relative to */
	unsigned kind; /* of the section: a bit of what its rows have */
	/* Told of each line after it was parsed; a section sets it. NULL: nobody. */
	void (*told)(struct conf_ctx *c, const struct conf_key *key, struct slice value);
	struct err *err;
};

typedef int conf_parse_fn(struct conf_ctx *c, struct slice value, void *place);

struct conf_key {
	const char *name;
	conf_parse_fn *parse;
	unsigned offset;
	bool repeat;   /* may stand more than once */
	uint8_t kinds; /* of sections that it may stand in; 0: all */
};

/* A row. Default (NULL: none) and meaning are for who reads the table: no program prints them, so
 * none carries them. */
#define CONF_KEY(name, parse, offset, def, doc, repeat)                                            \
	CONF_KEY_OF(0, name, parse, offset, def, doc, repeat)
#define CONF_KEY_OF(kinds, name, parse, offset, def, doc, repeat)                                  \
	{                                                                                          \
		name, parse, offset, repeat, kinds                                                 \
	}

int conf_parse_str(struct conf_ctx *c, struct slice v, void *place);	  /* const char * */
int conf_parse_bool(struct conf_ctx *c, struct slice v, void *place);	  /* bool: yes no */
int conf_parse_u64(struct conf_ctx *c, struct slice v, void *place);	  /* uint64_t */
int conf_parse_duration(struct conf_ctx *c, struct slice v, void *place); /* uint64_t ns */
int conf_parse_size(struct conf_ctx *c, struct slice v, void *place);	  /* uint64_t */
/* const char *const *, NULL-terminated: words split at blanks, "double quotes" with \\ \" \n \t
 * \xNN. */
int conf_parse_words(struct conf_ctx *c, struct slice v, void *place);

/* Called at each section header; gives the object the following keys fill, or an error. */
typedef int conf_section_fn(void *arg, struct conf_ctx *c, struct slice kind, struct slice name);

/* Parse text. keys of every section share one table. Errors are "FILE:LINE: …" with a suggestion
 * for unknown keys. */
int conf_parse(struct slice text, const char *file, const struct conf_key *keys, size_t nkeys,
	       conf_section_fn *section, void *arg, struct arena *arena, struct err *e);
/* Error at the current line. */
int conf_error(struct conf_ctx *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
int conf_no_memory(struct conf_ctx *c); /* what the arena says, else -ENOMEM; at that line */
