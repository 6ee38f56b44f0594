/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The one file that uses libgcrypt, which has SHA-256 in assembly for every common processor:
 * hashes, and below them public keys. */
#include <errno.h>
#include <gcrypt.h>

#include "lib/mem.h"
#include "lib/text.h"
#include "store/format/base32.h"
#include "store/format/crypto.h"
#include "store/store.h"

struct hasher {
	gcry_md_hd_t md;
	enum digest_algo algo;
};

static const struct {
	const char *name;
	int gcry;
	size_t size;
} algos[DIGEST_MAX] = {
	[DIGEST_MD5] = { "md5", GCRY_MD_MD5, 16 },
	[DIGEST_SHA1] = { "sha1", GCRY_MD_SHA1, 20 },
	[DIGEST_SHA256] = { "sha256", GCRY_MD_SHA256, 32 },
	[DIGEST_SHA512] = { "sha512", GCRY_MD_SHA512, 64 },
};

/* libgcrypt wants its version asked for before anything else. Its self tests at that point cost
 * milliseconds and are of use only in FIPS mode. */
static void prepare(void)
{
	static bool done;

	if (done)
		return;
	done = true;
	if (gcry_control(GCRYCTL_INITIALIZATION_FINISHED_P))
		return;
	gcry_check_version(NULL);
	gcry_control(GCRYCTL_DISABLE_SECMEM, 0);
	gcry_control(GCRYCTL_INITIALIZATION_FINISHED, 0);
}

size_t digest_size(enum digest_algo algo)
{
	return algos[algo].size;
}

const char *digest_name(enum digest_algo algo)
{
	return algos[algo].name;
}

int digest_algo_parse(struct slice name, enum digest_algo *ret)
{
	for (int i = 0; i < DIGEST_MAX; i++)
		if (slice_is(name, algos[i].name)) {
			*ret = (enum digest_algo)i;
			return 0;
		}
	return -ERR_SYNTAX;
}

struct digest digest_of(enum digest_algo algo, const void *p, size_t n)
{
	struct digest d = { .algo = algo };

	prepare();
	gcry_md_hash_buffer(algos[algo].gcry, d.bytes, p, n);
	return d;
}

bool digest_eq(const struct digest *a, const struct digest *b)
{
	return a->algo == b->algo && !memcmp(a->bytes, b->bytes, algos[a->algo].size);
}

void digest_hex(const struct digest *d, char out[DIGEST_TEXT_MAX])
{
	text_hex(d->bytes, algos[d->algo].size, out);
}

void digest_base32(const struct digest *d, char out[DIGEST_TEXT_MAX])
{
	size_t n = algos[d->algo].size;

	base32_encode(d->bytes, n, out);
	out[base32_len(n)] = 0;
}

int digest_parse(enum digest_algo algo, struct slice text, struct digest *ret)
{
	struct digest d = { .algo = algo };
	size_t n = algos[algo].size;
	int r;

	if (text.n == 2 * n)
		r = text_unhex(text, d.bytes, n);
	else
		r = base32_decode(text, d.bytes, n);
	if (r < 0)
		return r;
	*ret = d;
	return 0;
}

int hasher_new(enum digest_algo algo, struct hasher **ret)
{
	struct hasher *h = mem_zalloc(sizeof(*h));

	if (!h)
		return -ENOMEM;
	prepare();
	h->algo = algo;
	if (gcry_md_open(&h->md, algos[algo].gcry, 0)) {
		free(h);
		return -ENOMEM;
	}
	*ret = h;
	return 0;
}

void hasher_add(struct hasher *h, const void *p, size_t n)
{
	gcry_md_write(h->md, p, n);
}

struct digest hasher_end(struct hasher *h)
{
	struct digest d = { .algo = h->algo };

	memcpy(d.bytes, gcry_md_read(h->md, algos[h->algo].gcry), algos[h->algo].size);
	hasher_free(h);
	return d;
}

void hasher_free(struct hasher *h)
{
	if (!h)
		return;
	gcry_md_close(h->md);
	free(h);
}

/* ---- S-expressions --------------------------------------------------------------------------- */

static void sexp_cleanup(gcry_sexp_t *s)
{
	gcry_sexp_release(*s); /* NULL allowed */
}
#define auto_sexp __attribute__((cleanup(sexp_cleanup))) gcry_sexp_t

static int print_sexp(gcry_sexp_t s, int mode, struct str *out)
{
	size_t n =
		gcry_sexp_sprint(s, mode, NULL, 0); /* with a NUL, which the canonical form lacks */
	char *p = n ? str_room(out, n) : NULL;

	if (!p)
		return -ENOMEM;
	str_grown(out, gcry_sexp_sprint(s, mode, p, n));
	return 0;
}

static int scan_sexp(struct slice text, gcry_sexp_t *ret)
{
	prepare();
	if (text.n > LIMIT_SEXP)
		return -ERR_LIMIT;
	text = slice_trim(text);
	/* the scanner overlooks an atom behind the list */
	if (!text.n || text.p[0] != '(' || text.p[text.n - 1] != ')')
		return -ERR_SYNTAX;
	if (gcry_sexp_sscan(ret, NULL, text.p, text.n))
		return -ERR_SYNTAX;
	return 0;
}

int sexp_canon(struct slice text, struct str *out)
{
	auto_sexp s = NULL;
	struct sexp_item item;
	struct slice all;
	size_t start = out->len;
	int r = scan_sexp(text, &s);

	if (r == 0)
		r = print_sexp(s, GCRYSEXP_FMT_CANON, out);
	if (r < 0)
		return r;
	all = (struct slice){ out->buf + start, out->len - start };
	if (sexp_next(&all, &item) && item.list && !all.n)
		return 0;
	str_cut(out, start);
	return -ERR_SYNTAX;
}

void sexp_format(struct slice canon, struct str *out)
{
	auto_sexp s = NULL;

	if (scan_sexp(canon, &s) < 0 || print_sexp(s, GCRYSEXP_FMT_ADVANCED, out) < 0)
		out->err = out->err ? out->err : -ENOMEM;
}

/* ---- Public keys ----------------------------------------------------------------------------- */

static int crypto_fail(struct err *e, const char *what, gcry_error_t why)
{
	return err_set(e, -ERR_INVALID, "%s: %s", what, gcry_strerror(why));
}

/* Append the part of list that begins with name. */
static int add_part(gcry_sexp_t list, const char *name, struct str *out, struct err *e)
{
	auto_sexp part = gcry_sexp_find_token(list, name, 0);

	if (!part || print_sexp(part, GCRYSEXP_FMT_CANON, out) < 0)
		return err_set(e, -ENOMEM, "out of memory");
	return 0;
}

static int generate(const char *how, gcry_sexp_t *ret, struct err *e)
{
	auto_sexp params = NULL;
	gcry_error_t why;

	prepare();
	why = gcry_sexp_new(&params, how, 0, 1);
	if (!why)
		why = gcry_pk_genkey(ret, params);
	return why ? crypto_fail(e, "cannot make a key", why) : 0;
}

int pk_generate(struct str *ret_public, struct str *ret_private, struct err *e)
{
	auto_sexp pair = NULL;
	int r = generate("(genkey (ecdsa (curve Ed25519) (flags rfc6979)))", &pair, e);

	if (r == 0)
		r = add_part(pair, "public-key", ret_public, e);
	return r == 0 ? add_part(pair, "private-key", ret_private, e) : r;
}

int pk_sign(struct slice private, struct slice data, struct str *ret, struct err *e)
{
	auto_sexp key = NULL;
	auto_sexp text = NULL;
	auto_sexp sig = NULL;
	gcry_error_t why;

	if (scan_sexp(private, &key) < 0 || scan_sexp(data, &text) < 0)
		return err_set(e, -ERR_INVALID, "the signing key is malformed");
	why = gcry_pk_sign(&sig, text, key);
	if (why)
		return crypto_fail(e, "cannot sign", why);
	return print_sexp(sig, GCRYSEXP_FMT_CANON, ret) < 0 ? err_set(e, -ENOMEM, "out of memory")
							    : 0;
}

int pk_verify(struct slice public, struct slice data, struct slice value, struct err *e)
{
	auto_sexp key = NULL;
	auto_sexp text = NULL;
	auto_sexp sig = NULL;
	gcry_error_t why;

	if (scan_sexp(public, &key) < 0 || scan_sexp(data, &text) < 0 || scan_sexp(value, &sig) < 0)
		return err_set(e, -ERR_INVALID, "malformed signature");
	why = gcry_pk_verify(sig, text, key);
	return why ? crypto_fail(e, "bad signature", why) : 0;
}

/* ---- Ed25519 --------------------------------------------------------------------------------- */

/* The bytes of the atom (name BYTES) somewhere in list. */
static int get_bytes(gcry_sexp_t list, const char *name, uint8_t *out, size_t n, struct err *e)
{
	auto_sexp part = gcry_sexp_find_token(list, name, 0);
	size_t len = 0;
	const char *p = part ? gcry_sexp_nth_data(part, 1, &len) : NULL;

	if (!p || len != n)
		return err_set(e, -ERR_INTERNAL, "no %s of %zu bytes in a key or signature", name,
			       n);
	memcpy(out, p, n);
	return 0;
}

int ed25519_generate(uint8_t secret[ED25519_SECRET], struct err *e)
{
	auto_sexp pair = NULL;
	auto_sexp private = NULL;
	int r = generate("(genkey (ecc (curve Ed25519) (flags eddsa)))", &pair, e);

	if (r < 0)
		return r;
	private = gcry_sexp_find_token(pair, "private-key", 0);
	if (!private)
		return err_set(e, -ENOMEM, "out of memory");
	r = get_bytes(private, "d", secret, 32, e);
	return r == 0 ? get_bytes(private, "q", secret + 32, 32, e) : r;
}

static gcry_error_t eddsa_data(struct slice text, gcry_sexp_t *ret)
{
	prepare();
	return text.n > LIMIT_SEXP
		       ? gcry_error(GPG_ERR_TOO_LARGE)
		       : gcry_sexp_build(ret, NULL,
					 "(data (flags eddsa) (hash-algo sha512) (value %b))",
					 (int)text.n, text.p);
}

int ed25519_sign(const uint8_t secret[ED25519_SECRET], struct slice text, uint8_t sig[ED25519_SIG],
		 struct err *e)
{
	auto_sexp data = NULL;
	auto_sexp key = NULL;
	auto_sexp value = NULL;
	gcry_error_t why = eddsa_data(text, &data);
	int r;

	if (!why)
		why = gcry_sexp_build(
			&key, NULL,
			"(private-key (ecc (curve Ed25519) (flags eddsa) (q %b) (d %b)))", 32,
			secret + 32, 32, secret);
	if (!why)
		why = gcry_pk_sign(&value, data, key);
	if (why)
		return crypto_fail(e, "cannot sign", why);
	r = get_bytes(value, "r", sig, 32, e);
	return r == 0 ? get_bytes(value, "s", sig + 32, 32, e) : r;
}

/* Whether the second half of a signature is below the order of the curve: adding the order gives
 * another spelling of the same signature. */
static bool is_reduced(const uint8_t s[32])
{
	static const uint8_t order[32] = { 0xed, 0xd3, 0xf5, 0x5c, 0x1a,       0x63,
					   0x12, 0x58, 0xd6, 0x9c, 0xf7,       0xa2,
					   0xde, 0xf9, 0xde, 0x14, [31] = 0x10 };

	for (int i = 31; i >= 0; i--)
		if (s[i] != order[i])
			return s[i] < order[i];
	return false;
}

bool ed25519_verify(const uint8_t public[ED25519_PUBLIC], struct slice text,
		    const uint8_t sig[ED25519_SIG])
{
	auto_sexp data = NULL;
	auto_sexp key = NULL;
	auto_sexp value = NULL;

	if (!is_reduced(sig + 32) || eddsa_data(text, &data))
		return false;
	if (gcry_sexp_build(&key, NULL, "(public-key (ecc (curve Ed25519) (flags eddsa) (q %b)))",
			    32, public) ||
	    gcry_sexp_build(&value, NULL, "(sig-val (eddsa (r %b) (s %b)))", 32, sig, 32, sig + 32))
		return false;
	return gcry_pk_verify(value, data, key) == 0;
}
