/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The one file that uses libgcrypt, which has SHA-256 in assembly for every common processor. */
#include <errno.h>
#include <gcrypt.h>

#include "lib/mem.h"
#include "lib/text.h"
#include "store/base32.h"
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
