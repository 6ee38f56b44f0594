/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The words of an archive, for its readers. All functions fill the error of the struct: -ERR_SYNTAX
 * for what is not the one spelling of an archive, -ERR_LIMIT, or what the source says.
 */
#pragma once

#include "store/format/nar.h"
#include "store/limits.h"

#define NAR_MAGIC "nix-archive-1" /* the first word */
#define NAR_BUF	  (256U << 10)	  /* bytes of contents that are read or written at once */

struct nar_words {
	struct nar_source *in; /* borrowed */
	struct err *e;	       /* borrowed */
	char word[32];	       /* the last one, with a NUL */
};

/* The archive is bad: what says why. */
int nar_bad(struct nar_words *w, const char *what);
int nar_number(struct nar_words *w, uint64_t *ret);
/* The zeros after n bytes. */
int nar_pad(struct nar_words *w, uint64_t n);
/* A string of at most max bytes into out (max + 1 bytes), NUL appended. */
int nar_string(struct nar_words *w, char *out, size_t max, size_t *ret_len, const char *what);
int nar_word(struct nar_words *w);
int nar_expect(struct nar_words *w, const char *word);

/* The grammar, from its top: the first word, a node, the end. */
int nar_node(struct nar_words *w, enum nar_type *ret); /* up to its type; never NAR_PROGRAM */
/* Of a file, up to its size: nar_number(), the bytes, nar_pad() and ")" follow. */
int nar_file(struct nar_words *w, bool *ret_exec);
int nar_target(struct nar_words *w, char target[LIMIT_NAR_TARGET + 1]); /* of a link; ")" follows */
/* Whether another entry of a directory follows, or its end. */
int nar_next(struct nar_words *w, bool *ret);
/* An entry up to its node, after which ")" follows. last is the name before ("" for the first), and
 * becomes this one. */
int nar_entry(struct nar_words *w, char last[LIMIT_NAR_NAME + 1], char name[LIMIT_NAR_NAME + 1]);
int nar_too_deep(struct nar_words *w); /* -ERR_LIMIT */
