/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "store/build/fetch.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <time.h>

#include "lib/fd.h"
#include "lib/size.h"
#include "store/build/hosts.h"
#include "store/build/localfile.h"
#include "store/build/mirror.h"
#include "store/limits.h"

/* Seconds before the second, third, … try of what failed for a reason that may pass. */
static const unsigned pauses[] = { 1, 3, 6 };

/* ---- Places ---------------------------------------------------------------------------------- */

struct candidate {
	const char *url;
	bool mirror, late;
	bool again; /* not tried yet, or failed for a reason that may pass */
	bool part;  /* the beginning of the file is there, and asked for no more */
	struct err why;
};

/* Where a file is asked for by its hash: what CAIRN_CONTENT_MIRRORS says, in which %n stands for
 * the name, %a for the algorithm, %h and %b for the hash in hex and in nix-base32. */
static void add_content_mirrors(const struct fetch *f, struct arena *a, struct vec *ret)
{
	const char *env = getenv("CAIRN_CONTENT_MIRRORS");
	struct slice list = slice_of(env), word;
	char hex[DIGEST_TEXT_MAX], b32[DIGEST_TEXT_MAX];
	digest_hex(f->want, hex);
	digest_base32(f->want, b32);
	while (env && !f->nar && !f->unchecked && slice_cut(&list, ' ', &word)) {
		auto_str struct str url = STR_INIT;
		for (size_t i = 0; i < word.n; i++) {
			char c = word.p[i] == '%' && i + 1 < word.n ? word.p[++i] : 0;
			if (c == 'n')
				str_add(&url, f->label ? f->label : f->name);
			else if (c == 'a')
				str_add(&url, digest_name(f->want->algo));
			else if (c == 'h' || c == 'b')
				str_add(&url, c == 'h' ? hex : b32);
			else
				str_addc(&url, word.p[i]);
		}
		if (url.len)
			vec_add(ret, arena_strn(a, url.buf, url.len));
	}
}

/* URLs as they will be tried: those whose host is known to be out of reach go to the end. */
static int list_candidates(const struct fetch *f, struct arena *a, struct candidate **ret,
			   size_t *ret_n, struct err *e)
{
	auto_vec struct vec all = VEC_INIT;
	auto_vec struct vec kind = VEC_INIT;
	for (size_t i = 0; i < f->nurls; i++) {
		int r = mirror_expand(a, f->urls[i], &all, e);
		if (r)
			return r;
		while (kind.n < all.n && !kind.err)
			vec_add(&kind, strncmp(f->urls[i], "mirror:", 7) == 0 ? &kind : NULL);
	}
	add_content_mirrors(f, a, &all);
	while (kind.n < all.n && !kind.err)
		vec_add(&kind, &all); /* the administrator's, but no mirror of Debian */
	struct candidate *v = arena_array(a, all.n, sizeof(*v));
	if (!v || all.err || kind.err)
		return err_set(e, -ENOMEM, "out of memory");
	bool out = hosts_offline();
	size_t n = 0;
	for (int late = 0; late < 2; late++)
		for (size_t i = 0; i < all.n; i++) {
			bool mirror = kind.v[i] == &kind;
			if (!kind.v[i] && localfile_path(all.v[i]))
				continue;
			bool is_late = hosts_is_bad(all.v[i]) || (out && !mirror);
			if (is_late == (late == 1))
				v[n++] = (struct candidate){ .url = all.v[i],
							     .mirror = mirror,
							     .late = is_late,
							     .again = true };
		}
	*ret = v;
	*ret_n = n;
	return 0;
}

/* ---- One try --------------------------------------------------------------------------------- */

static int judge_hash(const struct fetch *f, struct digest got, struct err *e)
{
	if (digest_eq(&got, f->want))
		return 0;
	char want[DIGEST_TEXT_MAX], have[DIGEST_TEXT_MAX];
	digest_hex(f->want, want);
	digest_hex(&got, have);
	return err_set(e, -ERR_HASH, "the file has %s %s instead of %s", digest_name(got.algo),
		       have, want);
}

static uint64_t size_limit(const struct fetch *f)
{
	return f->limit ? f->limit : LIMIT_DOWNLOAD;
}

/* From a directory of this machine. */
static int copy_file(const struct fetch *f, const char *url, int fd, struct digest *ret,
		     struct err *e)
{
	auto_fd int in = -1;
	struct hasher *h = NULL;
	char buf[16384];
	uint64_t left = size_limit(f);
	ssize_t n = 0;
	int r = localfile_open(url, &in, e);
	if (!r)
		r = hasher_new(f->want->algo, &h);
	while (!r && (n = read(in, buf, sizeof(buf))) > 0) {
		r = (uint64_t)n > left ? transfer_too_large(size_limit(f), e)
				       : fd_write_full(fd, buf, (size_t)n);
		left -= MIN_OF((uint64_t)n, left);
		hasher_add(h, buf, (size_t)n);
	}
	if (h)
		*ret = hasher_end(h);
	if (r)
		return r == -ERR_FETCH ? r : err_num(e, r, "cannot write %s", f->name);
	return n < 0 ? err_set(e, -ERR_FETCH, "%s", strerror(errno)) : 0;
}

static void part_name(const struct fetch *f, size_t index, char out[280])
{
	snprintf(out, 280, ".%.230s.%zu.part", f->name, index);
}

static int open_part(const struct fetch *f, const struct candidate *c, const char *tmp, int *ret,
		     struct err *e)
{
	if (!c->part && unlinkat(f->dirfd, tmp, 0) < 0 && errno != ENOENT)
		return err_sys(e, "cannot remove %s", tmp);
	int flags = O_RDWR | O_NOFOLLOW | O_CLOEXEC | (c->part ? 0 : O_CREAT | O_EXCL);
	*ret = openat(f->dirfd, tmp, flags, f->mode);
	return *ret < 0 ? err_sys(e, "cannot make %s", tmp) : 0;
}

static void drop_parts(const struct fetch *f, const struct candidate *v, size_t n)
{
	char tmp[280];
	for (size_t i = 0; i < n; i++)
		if (v[i].part) {
			part_name(f, i, tmp);
			(void)unlinkat(f->dirfd, tmp, 0); /* it is in nobody's way */
		}
}

/* Fetch one URL into a temporary file and give it its name. c->again: whether to try once more,
 * which goes on with the part that came. */
static int try_url(const struct fetch *f, struct candidate *c, size_t index, const char *proxy,
		   struct err *e)
{
	char tmp[280];
	auto_fd int fd = -1;
	part_name(f, index, tmp);
	c->again = false;
	int r = open_part(f, c, tmp, &fd, e);
	if (r)
		return r;
	struct transfer t = { .url = c->url,
			      .fd = fd,
			      .name = f->name,
			      .limit = size_limit(f),
			      .algo = f->want->algo,
			      .progress = f->progress,
			      .arg = f->arg };
	r = localfile_path(c->url) ? copy_file(f, c->url, fd, &t.digest, e)
				   : transfer_run(&t, c->mirror ? proxy : NULL, e);
	if (!r && !f->nar && !f->unchecked)
		r = judge_hash(f, t.digest, e);
	/* Without a way out only a mirror can come back. */
	c->again = t.passing && (c->mirror || !hosts_offline());
	c->part = r && c->again && !t.no_range && lseek(fd, 0, SEEK_CUR) > 0;
	if (!r && f->nar && !f->unchecked) {
		struct digest got;
		uint64_t size;
		r = nar_hash(f->dirfd, tmp, f->want->algo, NULL, NULL, &got, &size, e);
		if (!r)
			r = judge_hash(f, got, e);
	}
	if (!r && !c->mirror)
		hosts_reached();
	if (!r && renameat(f->dirfd, tmp, f->dirfd, f->name) < 0)
		r = err_sys(e, "cannot rename %s", tmp);
	if (!r || c->part)
		return r;
	(void)unlinkat(f->dirfd, tmp, 0); /* the first error counts */
	if (!t.have)
		return r;
	/* The file was another one by now, or the server knows no parts. */
	return try_url(f, c, index, proxy, e);
}

/* One try of each candidate that is worth one. *ret_again: whether another round makes sense. */
static int try_round(const struct fetch *f, struct candidate *v, size_t n, const char *proxy,
		     bool *ret_again, struct err *e)
{
	int last = -ERR_FETCH;
	*ret_again = false;
	for (size_t i = 0; i < n; i++) {
		struct err one = ERR_INIT;
		if (v[i].again) {
			int r = try_url(f, &v[i], i, proxy, &one);
			if (!r)
				return 0;
			if (r != -ERR_FETCH && r != -ERR_HASH)
				return err_set(e, r, "%s", one.msg);
			v[i].why = one;
		}
		if (v[i].why.code == -ERR_HASH)
			last = -ERR_HASH;
		*ret_again |= v[i].again;
	}
	return last;
}

static int all_failed(const struct fetch *f, const struct candidate *v, size_t n, int code,
		      struct err *e)
{
	auto_str struct str why = STR_INIT;
	const char *what = f->label ? f->label : f->name;
	if (!n)
		return err_hint(e, err_set(e, -ERR_FETCH, "no usable URL for %s", what),
				"configure a mirror, for Debian's: CAIRN_MIRROR_DEBIAN");
	for (size_t i = 0; i < n; i++) {
		str_add(&why, i ? "; " : "");
		transfer_add_url(&why, v[i].url);
		str_addf(&why, ": %s", v[i].why.msg);
	}
	return err_set(e, code, "cannot download %s: %s", what, why.buf);
}

int fetch_run(const struct fetch *f, struct err *e)
{
	auto_arena struct arena a = ARENA_INIT;
	struct candidate *v = NULL;
	size_t n = 0;
	int r = list_candidates(f, &a, &v, &n, e);
	if (r)
		return r;
	bool env = getenv("http_proxy") || getenv("all_proxy") || getenv("ALL_PROXY");
	const char *proxy = env ? NULL : mirror_apt_proxy(&a);
	for (size_t round = 0;; round++) {
		bool again;
		r = try_round(f, v, n, proxy, &again, e);
		bool over = !again || round == ARRAY_LEN(pauses);
		if (over || (r != -ERR_FETCH && r != -ERR_HASH)) {
			drop_parts(f, v, n);
			return r == -ERR_FETCH || r == -ERR_HASH ? all_failed(f, v, n, r, e) : r;
		}
		nanosleep(&(struct timespec){ .tv_sec = pauses[round] }, NULL);
	}
}

int fetch_file(const char *const *urls, size_t nurls, const struct digest *want, int dirfd,
	       const char *name, struct err *e)
{
	struct fetch f = { .urls = urls,
			   .nurls = nurls,
			   .want = want,
			   .dirfd = dirfd,
			   .name = name,
			   .mode = 0644 };
	return fetch_run(&f, e);
}
