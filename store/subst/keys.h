/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Whose store items are believed, and the key that signs ours.
 *
 * In CONFDIR (/etc/guix, /etc/nix): signing-key.sec, signing-key.pub, and the trusted keys, which
 * are an access control list "acl" in the one and lines of "trusted-public-keys" in the other. A
 * key is told by its first byte: Guix's are s-expressions, Nix's "NAME:BASE64". In either directory
 * "authorized-keys" has more of them, one after the other, which a system's configuration declares
 * and --authorize leaves alone.
 */
#pragma once

#include "store/format/dialect.h"
#include "store/store.h"

#define LIMIT_KEY_FILE (1U << 20)

/* ---- Trusted keys ---------------------------------------------------------------------------- */

struct trust {
	struct arena a;
	struct vec guix; /* struct slice *: canonical public keys */
	struct vec nix;	 /* "NAME:BASE64" */
};
#define TRUST_INIT                                                                                 \
	{                                                                                          \
		.a = ARENA_INIT, .guix = VEC_INIT, .nix = VEC_INIT                                 \
	}

/* Add what the files of a configuration directory list; a missing file lists nothing, one of
 * another shape is an error. */
int trust_load(struct trust *t, const char *conf_dir, struct err *e);
/* Add keys in Nix's form, separated by blanks. */
int trust_add_words(struct trust *t, const char *words, struct err *e);
void trust_done(struct trust *t);

/* Whether sexp, a (signature …), is one of hash by a trusted key: 0 or -ERR_INVALID. */
int trust_check_guix(const struct trust *t, struct slice sexp, const struct digest *hash,
		     struct err *e);
/* As above for a (signature …) of any hash, which is returned. */
int trust_check_any(const struct trust *t, struct slice sexp, struct digest *ret, struct err *e);
/* Whether sig, "NAME:BASE64", is one of text by the trusted key of that name. */
bool trust_check_nix(const struct trust *t, struct slice sig, struct slice text);

/* Put a public key, in either form, on the list it belongs to; conf_dir(family). Of two at a time
 * one waits for the other. */
typedef const char *keys_dir_fn(void *arg, enum dialect d);
int trust_authorize(struct slice key, keys_dir_fn *dir, void *arg, struct err *e);

/* ---- Own key --------------------------------------------------------------------------------- */

/* Make signing-key.sec and .pub, and make sure that our own key is trusted. An existing secret key
 * stays, with -EEXIST, and gets its public file back when that is missing. name: of a key of Nix's
 * form. */
int keys_generate(enum dialect d, const char *conf_dir, const char *name, struct err *e);

/* The text of a secret key of Nix's form. */
int keys_make_secret(const char *name, struct str *out, struct err *e);

struct signer {
	struct str guix; /* canonical (private-key …), or empty */
	struct str name; /* of a key of Nix's form */
	uint8_t nix[64];
};
#define SIGNER_INIT                                                                                \
	{                                                                                          \
		.guix = STR_INIT, .name = STR_INIT                                                 \
	}

/* Read a secret key, which nobody but its owner may be able to read. */
int signer_load(struct signer *s, const char *file, struct err *e);
enum dialect signer_family(const struct signer *s);
/* Text of the public key, as in signing-key.pub. */
int signer_public(const struct signer *s, struct str *out, struct err *e);
/* A (signature …) of hash, as Guix writes it. */
int signer_sign_guix(const struct signer *s, const struct digest *hash, struct str *out,
		     struct err *e);
/* "NAME:BASE64" */
int signer_sign_nix(const struct signer *s, struct slice text, struct str *out, struct err *e);
void signer_done(struct signer *s);
