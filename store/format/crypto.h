/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * S-expressions and public keys, by libgcrypt (digest.c). Expressions are bytes in canonical form:
 * "(3:abc(1:d))"; equal expressions are equal bytes, and sexp_next walks over them.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "lib/err.h"
#include "lib/slice.h"
#include "lib/str.h"

#define LIMIT_SEXP (64u << 10)

/* ---- Expressions (store/format/sexp.c; _canon and _format: digest.c)
 * -------------------------------- */

/* Canonical form of an expression in any of libgcrypt's notations: one list, nothing behind it.
 * -ERR_SYNTAX, -ERR_LIMIT, -ENOMEM. */
int sexp_canon(struct slice text, struct str *out);
/* Append the notation for people, which Guix writes. */
void sexp_format(struct slice canon, struct str *out);

struct sexp_item {
	bool list;
	struct slice v;	    /* an atom's bytes, or what is inside a list */
	struct slice whole; /* with its length or parentheses */
};

/* Take the first item off *rest; false at the end and where *rest is not canonical. */
bool sexp_next(struct slice *rest, struct sexp_item *ret);
/* Whether canon is a list that begins with the atom name; *ret_rest is what follows the name. */
bool sexp_is(struct slice canon, const char *name, struct slice *ret_rest);
void sexp_atom(struct str *out, const void *p, size_t n);

/* ---- Signatures (store/format/digest.c)
 * ------------------------------------------------------------- */

/* Make a key for Guix's signatures: ECDSA by RFC 6979 on the curve Ed25519. */
int pk_generate(struct str *ret_public, struct str *ret_private, struct err *e);
/* (sig-val …) of data (data …). */
int pk_sign(struct slice private, struct slice data, struct str *ret, struct err *e);
/* 0, or -ERR_INVALID when value (sig-val …) is not a signature of data by public. */
int pk_verify(struct slice public, struct slice data, struct slice value, struct err *e);

/* Nix's signatures: EdDSA of RFC 8032. A secret key is seed and public key, 64 bytes. */
#define ED25519_PUBLIC 32
#define ED25519_SECRET 64
#define ED25519_SIG    64
int ed25519_generate(uint8_t secret[ED25519_SECRET], struct err *e);
int ed25519_sign(const uint8_t secret[ED25519_SECRET], struct slice text, uint8_t sig[ED25519_SIG],
		 struct err *e);
/* Accepts the one canonical spelling of a signature alone. */
bool ed25519_verify(const uint8_t public[ED25519_PUBLIC], struct slice text,
		    const uint8_t sig[ED25519_SIG]);
