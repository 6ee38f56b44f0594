/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Texts that are signed by keys of their own, which have nothing to do with those of the store. */
#include <errno.h>
#include <fcntl.h>

#include "lib/fd.h"
#include "lib/size.h"
#include "store/build/transfer.h"
#include "store/subst/keys.h"

int store_key_make(const char *file, const char *name, struct err *e)
{
	auto_arena struct arena a = ARENA_INIT;
	auto_str struct str secret = STR_INIT, public = STR_INIT;
	struct signer s = SIGNER_INIT;
	char *pub = arena_fmt(&a, "%s.pub", file);
	int r;

	if (!pub)
		return err_set(e, -ENOMEM, "out of memory");
	if (faccessat(AT_FDCWD, file, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
		return err_set(e, -EEXIST, "%s is there already", file);
	r = keys_make_secret(name, &secret, e);
	if (r == 0)
		r = file_write_atomic(AT_FDCWD, file, secret.buf, secret.len, 0400, e);
	explicit_bzero(secret.buf, secret.len);
	if (r == 0)
		r = signer_load(&s, file, e);
	if (r == 0)
		r = signer_public(&s, &public, e);
	if (r == 0)
		r = file_write_atomic(AT_FDCWD, pub, public.buf, public.len, 0644, e);
	signer_done(&s);
	return r;
}

int store_key_sign(const char *file, struct slice text, struct str *ret, struct str *ret_public,
		   struct err *e)
{
	struct signer s = SIGNER_INIT;
	int r = signer_load(&s, file, e);

	if (r == 0)
		r = signer_sign_nix(&s, text, ret, e);
	if (r == 0)
		r = signer_public(&s, ret_public, e);
	signer_done(&s);
	return r;
}

int store_key_check(const char *public, struct slice sig, struct slice text, struct err *e)
{
	struct trust t = TRUST_INIT;
	int r = trust_add_words(&t, public, e);

	if (r == 0 && t.nix.n != 1)
		r = err_set(e, -ERR_SYNTAX, "'%s' is not one public key", public);
	if (r == 0 && !trust_check_nix(&t, slice_trim(sig), text))
		r = err_set(e, -ERR_INVALID, "it is not signed by the key %s", public);
	trust_done(&t);
	return r;
}

/* What is read from a URL, bit by bit. */
typedef int take_fn(void *arg, const void *p, size_t n);

static int read_url(const char *url, uint64_t limit, take_fn *take, void *arg, struct err *e)
{
	struct transfer_stream *s = NULL;
	uint64_t left = limit;
	char buf[16384];
	ssize_t n = 1;
	int r;

	if (!transfer_url_ok(url, true))
		return err_set(e, -ERR_USAGE, "'%s' is no URL of https, http or file", url);
	r = transfer_stream_open(url, limit, &s, e);
	while (r == 0 && (n = transfer_stream_read(s, buf, sizeof(buf), e)) > 0) {
		if ((uint64_t)n > left)
			r = err_set(e, -ERR_LIMIT, "%s is larger than %llu bytes", url,
				    (unsigned long long)limit);
		else if ((r = take(arg, buf, (size_t)n)) < 0)
			r = err_num(e, r, "what %s has", url);
		left -= MIN_OF((uint64_t)n, left);
	}
	transfer_stream_close(s);
	return r < 0 ? r : n < 0 ? (int)n : 0;
}

static int take_text(void *arg, const void *p, size_t n)
{
	struct str *out = arg;

	str_addn(out, p, n);
	return str_err(out);
}

int fetch_text(const char *url, size_t limit, struct str *out, struct err *e)
{
	return read_url(url, limit, take_text, out, e);
}

struct copy {
	int fd;
	struct hasher *h;
};

static int take_copy(void *arg, const void *p, size_t n)
{
	struct copy *c = arg;

	hasher_add(c->h, p, n);
	return fd_write_full(c->fd, p, n);
}

int fetch_signed(const char *url, uint64_t size, const struct digest *want, int dirfd,
		 const char *name, struct err *e)
{
	auto_fd int fd = openat(dirfd, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	struct copy c = { fd, NULL };
	struct digest got;
	int r;

	if (fd < 0)
		return err_sys(e, "%s", name);
	r = hasher_new(want->algo, &c.h);
	if (r < 0)
		return err_num(e, r, "%s", name);
	r = read_url(url, size, take_copy, &c, e);
	got = hasher_end(c.h);
	if (r == 0 && !digest_eq(&got, want))
		r = err_set(e, -ERR_HASH, "%s is not what was signed: it has another hash", url);
	if (r < 0)
		(void)unlinkat(dirfd, name, 0); /* the failure is told */
	return r;
}
