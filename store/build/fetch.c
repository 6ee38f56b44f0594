/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "store/build/fetch.h"

#include <curl/curl.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>

#include "lib/fd.h"
#include "lib/loop.h"
#include "lib/size.h"
#include "lib/text.h"
#include "store/limits.h"
#include "store/build/localfile.h"
#include "store/build/mirror.h"

#define CONNECT_SECONDS 8L  /* the C library asks a name server again after 5 */
#define SLOW_SECONDS	30L /* in the beginning */
#define SLOW_BYTES	1024L
#define REDIRECTS	10L
#define HOSTS_MAX	64
#define HOST_MAX	120
#define HOST_FORGET	600 /* seconds */
#define HOSTS_OFFLINE	3   /* so many unreachable hosts mean: no way out of here */
#define PROGRESS_NS	(250ull * 1000000)

/* Seconds before the second, third, … try of what failed for a reason that may pass. */
static const unsigned pauses[] = { 1, 3, 6 };

/* ---- Hosts ----------------------------------------------------------------------------------- */

struct host {
	char name[HOST_MAX];
	int64_t until; /* Unix seconds */
};

struct hosts {
	struct host v[HOSTS_MAX];
	unsigned next;	 /* slot to overwrite */
	int64_t reached; /* last time an upstream host answered */
};

static struct hosts own_hosts, *hosts = &own_hosts;

void fetch_hosts_share(void)
{
	if (hosts != &own_hosts)
		return;
	void *p = mmap(NULL, sizeof(*hosts), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
		       0);
	if (p != MAP_FAILED) /* else children keep what they learn to themselves */
		hosts = p;
}

static bool host_bad(const char *name, int64_t now)
{
	for (size_t i = 0; i < HOSTS_MAX; i++)
		if (hosts->v[i].until > now && strncmp(hosts->v[i].name, name, HOST_MAX) == 0)
			return true;
	return false;
}

static void host_set_bad(const char *name, int64_t until)
{
	if (!*name || strlen(name) >= HOST_MAX)
		return;
	struct host *h = &hosts->v[hosts->next++ % HOSTS_MAX];
	h->until = 0; /* readers in other processes see no half name */
	memcpy(h->name, name, strlen(name) + 1);
	h->until = until;
}

static bool offline(int64_t now)
{
	unsigned n = 0;
	for (size_t i = 0; i < HOSTS_MAX; i++)
		n += hosts->v[i].until > now;
	return n >= HOSTS_OFFLINE && hosts->reached + HOST_FORGET < now;
}

void fetch_hosts_load(int dirfd)
{
	auto_str struct str text = STR_INIT;
	if (file_read(dirfd, "unreachable", &text, 1 << 16, NULL))
		return;
	struct slice rest = str_slice(&text), line, name;
	int64_t now = time(NULL);
	while (slice_cut(&rest, '\n', &line)) {
		uint64_t until;
		char buf[HOST_MAX];
		if (!slice_cut(&line, ' ', &name) || text_u64(line, INT64_MAX, &until) ||
		    name.n >= sizeof(buf) || (int64_t)until > now + HOST_FORGET)
			continue;
		memcpy(buf, name.p, name.n);
		buf[name.n] = 0;
		if ((int64_t)until > now && !host_bad(buf, now))
			host_set_bad(buf, (int64_t)until);
	}
}

void fetch_hosts_save(int dirfd)
{
	auto_str struct str text = STR_INIT;
	int64_t now = time(NULL);
	for (size_t i = 0; i < HOSTS_MAX; i++)
		if (hosts->v[i].until > now)
			str_addf(&text, "%.*s %lld\n", HOST_MAX - 1, hosts->v[i].name,
				 (long long)hosts->v[i].until);
	if (!text.len && faccessat(dirfd, "unreachable", F_OK, 0) < 0)
		return;
	/* Lost at a crash without harm: not worth a wait for the disk. */
	auto_fd int fd = openat(dirfd, "unreachable",
				O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0644);
	if (fd >= 0 && !str_err(&text))
		(void)fd_write_full(fd, text.buf, text.len);
}

/* ---- URLs ------------------------------------------------------------------------------------ */

/* Host of url into out; "" when there is none. */
static void url_host(const char *url, char out[HOST_MAX])
{
	out[0] = 0;
	const char *p = strstr(url, "://");
	if (!p)
		return;
	p += 3;
	size_t n = strcspn(p, "/?#");
	for (size_t i = 0; i < n; i++)
		if (p[i] == '@') { /* past the user */
			p += i + 1;
			n -= i + 1;
			i = (size_t)-1;
		}
	if (n < HOST_MAX) {
		memcpy(out, p, n);
		out[n] = 0;
	}
}

/* url without user name and password, for messages. */
static void add_safe_url(struct str *out, const char *url)
{
	const char *p = strstr(url, "://");
	const char *at = NULL;
	if (p)
		for (const char *q = p + 3; *q && *q != '/' && *q != '?'; q++)
			if (*q == '@')
				at = q;
	if (at)
		str_addf(out, "%.*s%s", (int)(p + 3 - url), url, at + 1);
	else
		str_add(out, url);
}

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
	int64_t now = time(NULL);
	bool out = offline(now);
	size_t n = 0;
	for (int late = 0; late < 2; late++)
		for (size_t i = 0; i < all.n; i++) {
			char host[HOST_MAX];
			url_host(all.v[i], host);
			bool mirror = kind.v[i] == &kind;
			if (!kind.v[i] && localfile_path(all.v[i]))
				continue;
			bool is_late = host_bad(host, now) || (out && !mirror);
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

/* ---- One transfer ---------------------------------------------------------------------------- */

struct transfer {
	const struct fetch *f;
	const char *url;
	struct hasher *h;
	int fd;
	curl_off_t have; /* bytes that are there already */
	uint64_t left;	 /* bytes that may come yet */
	bool over;	 /* more came */
	int write_err;
	bool passing;  /* the failure may be gone in a moment */
	bool no_range; /* the server begins at the beginning or not at all */
	uint64_t told; /* ns */
};

static size_t on_data(char *p, size_t size, size_t n, void *arg)
{
	struct transfer *t = arg;
	size_t len = size * n;
	t->over = len > t->left; /* a server need not say how long a file is */
	if (t->over)
		return 0;
	t->left -= len;
	t->write_err = fd_write_full(t->fd, p, len);
	if (t->write_err)
		return 0;
	hasher_add(t->h, p, len);
	return len;
}

static int on_progress(void *arg, curl_off_t total, curl_off_t now, curl_off_t a, curl_off_t b)
{
	struct transfer *t = arg;
	uint64_t clock = loop_now();
	(void)a;
	(void)b;
	if (t->f->progress && now > 0 && (clock - t->told > PROGRESS_NS || now == total)) {
		t->told = clock;
		t->f->progress(t->f->arg, t->url, total > 0 ? (uint64_t)total : 0, (uint64_t)now);
	}
	return 0;
}

static int prepare(struct err *e)
{
	static bool ready;
	if (!ready && curl_global_init(CURL_GLOBAL_DEFAULT))
		return err_set(e, -ENOMEM, "cannot set up downloads");
	ready = true;
	return 0;
}

static long patience = SLOW_SECONDS;

void fetch_set_patience(long seconds)
{
	patience = seconds;
}

/* Why a transfer failed. Of certificates that are refused many are so for the date alone. */
static void describe(CURLcode code, const char *errbuf, struct str *out)
{
	time_t now = time(NULL);
	struct tm tm;
	char day[32];

	str_add(out, errbuf[0] ? errbuf : curl_easy_strerror(code));
	if (code == CURLE_PEER_FAILED_VERIFICATION && gmtime_r(&now, &tm) &&
	    strftime(day, sizeof(day), "%Y-%m-%d", &tm))
		str_addf(out, " [the clock says %s: is that right?]", day);
	(void)str_err(out); /* a message without its end is one */
}

/* -ERR_FETCH of url, "" for none. */
static int fail_with(struct err *e, CURLcode code, const char *errbuf, const char *url)
{
	auto_str struct str why = STR_INIT;

	describe(code, errbuf, &why);
	return err_set(e, -ERR_FETCH, "%s%s%s", url, *url ? ": " : "", why.buf);
}

/* Whom to believe over TLS, for how long to wait. A redirection never leaves TLS. */
static void set_common(CURL *c, const char *url, bool ftp)
{
	static const char *const bundles[] = { "/etc/ssl/certs/ca-certificates.crt",
					       "/etc/pki/tls/certs/ca-bundle.crt",
					       "/etc/ssl/cert.pem" };
	bool tls = strncasecmp(url, "https:", 6) == 0;
	curl_easy_setopt(c, CURLOPT_URL, url);
	curl_easy_setopt(c, CURLOPT_FOLLOWLOCATION, 1L);
	curl_easy_setopt(c, CURLOPT_FAILONERROR, 1L);
	curl_easy_setopt(c, CURLOPT_CONNECTTIMEOUT, CONNECT_SECONDS);
	curl_easy_setopt(c, CURLOPT_LOW_SPEED_LIMIT, SLOW_BYTES);
	curl_easy_setopt(c, CURLOPT_LOW_SPEED_TIME, patience);
	curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(c, CURLOPT_USERAGENT, "cairn");
#if LIBCURL_VERSION_NUM >= 0x075500
	curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, ftp ? "http,https,ftp" : "http,https");
	curl_easy_setopt(c, CURLOPT_REDIR_PROTOCOLS_STR, tls ? "https" : "http,https");
#else
	curl_easy_setopt(c, CURLOPT_PROTOCOLS,
			 CURLPROTO_HTTP | CURLPROTO_HTTPS | (ftp ? CURLPROTO_FTP : 0));
	curl_easy_setopt(c, CURLOPT_REDIR_PROTOCOLS, CURLPROTO_HTTPS | (tls ? 0 : CURLPROTO_HTTP));
#endif
	const char *own = getenv("SSL_CERT_FILE");
	if (own)
		curl_easy_setopt(c, CURLOPT_CAINFO, own);
	for (size_t i = 0; !own && i < ARRAY_LEN(bundles); i++) {
		if (access(bundles[i], R_OK) != 0)
			continue;
		curl_easy_setopt(c, CURLOPT_CAINFO, bundles[i]);
		break;
	}
}

static void set_up(CURL *c, struct transfer *t, char errbuf[CURL_ERROR_SIZE], const char *proxy)
{
	set_common(c, t->url, true);
	curl_easy_setopt(c, CURLOPT_ERRORBUFFER, errbuf);
	curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, on_data);
	curl_easy_setopt(c, CURLOPT_WRITEDATA, t);
	curl_easy_setopt(c, CURLOPT_NOPROGRESS, 0L);
	curl_easy_setopt(c, CURLOPT_XFERINFOFUNCTION, on_progress);
	curl_easy_setopt(c, CURLOPT_XFERINFODATA, t);
	curl_easy_setopt(c, CURLOPT_MAXREDIRS, REDIRECTS);
	curl_easy_setopt(c, CURLOPT_MAXFILESIZE_LARGE, (curl_off_t)t->left);
	if (t->have)
		curl_easy_setopt(c, CURLOPT_RESUME_FROM_LARGE, t->have);
	if (proxy)
		curl_easy_setopt(c, CURLOPT_PROXY, proxy);
}

/* Whether the host as such is to blame, not the one file. */
static bool unreachable(CURLcode code)
{
	return code == CURLE_COULDNT_RESOLVE_HOST || code == CURLE_COULDNT_CONNECT ||
	       code == CURLE_COULDNT_RESOLVE_PROXY || code == CURLE_OPERATION_TIMEDOUT;
}

/* Whether the same request may well succeed a moment later. */
static bool may_pass(CURLcode code, long http)
{
	switch (code) {
	case CURLE_PARTIAL_FILE:
	case CURLE_GOT_NOTHING:
	case CURLE_SEND_ERROR:
	case CURLE_RECV_ERROR:
	case CURLE_SSL_CONNECT_ERROR:
		return true;
	case CURLE_HTTP_RETURNED_ERROR:
		return http == 408 || http == 429 || http >= 500;
	default:
		return unreachable(code);
	}
}

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

static int too_large(const struct fetch *f, struct err *e)
{
	return err_set(e, -ERR_FETCH, "the file is larger than %llu bytes",
		       (unsigned long long)size_limit(f));
}

/* What an earlier try left. */
static int hash_part(struct transfer *t, struct err *e)
{
	char buf[16384];
	ssize_t n;
	while ((n = read(t->fd, buf, sizeof(buf))) > 0) {
		hasher_add(t->h, buf, (size_t)n);
		t->have += n;
		t->left -= MIN_OF((uint64_t)n, t->left);
	}
	return n < 0 ? err_sys(e, "cannot read a part of %s", t->f->name) : 0;
}

/* From a directory of this machine. */
static int copy_file(struct transfer *t, struct err *e)
{
	auto_fd int in = -1;
	char buf[16384];
	ssize_t n = 0;
	int r = localfile_open(t->url, &in, e);
	if (!r)
		r = hasher_new(t->f->want->algo, &t->h);
	while (!r && (n = read(in, buf, sizeof(buf))) > 0) {
		r = (uint64_t)n > t->left ? too_large(t->f, e)
					  : fd_write_full(t->fd, buf, (size_t)n);
		t->left -= MIN_OF((uint64_t)n, t->left);
		hasher_add(t->h, buf, (size_t)n);
	}
	struct digest d = { 0 };
	if (t->h)
		d = hasher_end(t->h);
	if (r)
		return r == -ERR_FETCH ? r : err_num(e, r, "cannot write %s", t->f->name);
	if (n < 0)
		return err_set(e, -ERR_FETCH, "%s", strerror(errno));
	return t->f->nar || t->f->unchecked ? 0 : judge_hash(t->f, d, e);
}

static int transfer(struct transfer *t, const char *proxy, struct err *e)
{
	char errbuf[CURL_ERROR_SIZE] = "";
	int r = hasher_new(t->f->want->algo, &t->h);
	if (r)
		return err_num(e, r, "cannot hash");
	r = hash_part(t, e);
	CURL *c = r ? NULL : curl_easy_init();
	if (!c) {
		hasher_free(t->h);
		return r ? r : err_set(e, -ENOMEM, "out of memory");
	}
	set_up(c, t, errbuf, proxy);
	CURLcode code = curl_easy_perform(c);
	curl_off_t got = 0;
	long http = 0;
	curl_easy_getinfo(c, CURLINFO_SIZE_DOWNLOAD_T, &got);
	curl_easy_getinfo(c, CURLINFO_RESPONSE_CODE, &http);
	curl_easy_cleanup(c);
	struct digest d = hasher_end(t->h);
	if (t->write_err)
		return err_num(e, t->write_err, "cannot write %s", t->f->name);
	if (t->over)
		return too_large(t->f, e);
	char host[HOST_MAX];
	url_host(t->url, host);
	if (code != CURLE_OK) {
		t->no_range = t->have && (code == CURLE_RANGE_ERROR || http == 416 ||
					  code == CURLE_FTP_COULDNT_USE_REST);
		t->passing = may_pass(code, http);
		if (unreachable(code) && got == 0 && !host_bad(host, time(NULL)))
			host_set_bad(host, time(NULL) + HOST_FORGET);
		return fail_with(e, code, errbuf, "");
	}
	return t->f->nar || t->f->unchecked ? 0 : judge_hash(t->f, d, e);
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
	struct transfer t = { .f = f, .url = c->url, .fd = fd, .left = size_limit(f) };
	r = localfile_path(c->url) ? copy_file(&t, e) : transfer(&t, c->mirror ? proxy : NULL, e);
	/* Without a way out only a mirror can come back. */
	c->again = t.passing && (c->mirror || !offline(time(NULL)));
	c->part = r && c->again && !t.no_range && lseek(fd, 0, SEEK_CUR) > 0;
	if (!r && f->nar && !f->unchecked) {
		struct digest got;
		uint64_t size;
		r = nar_hash(f->dirfd, tmp, f->want->algo, NULL, NULL, &got, &size, e);
		if (!r)
			r = judge_hash(f, got, e);
	}
	if (!r && !c->mirror)
		hosts->reached = time(NULL);
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
		add_safe_url(&why, v[i].url);
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
	r = prepare(e);
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

/* ---- Caches ---------------------------------------------------------------------------------- */

#define CACHE_REDIRECTS 5L
#define HEADERS_LIMIT	(64u << 10)
#define CACHE_FORGET	60 /* seconds for which a cache out of reach is not asked */
#define AT_ONCE		32 /* answers asked for at the same time */
#define HELD_MAX	(256u << 10)
#define RESUMES		4

static const char *file_of(const char *url)
{
	return strncmp(url, "file:///", 8) == 0 ? url + 7 : NULL;
}

bool fetch_url_ok(const char *url, bool file)
{
	for (const char *p = url; *p; p++)
		if ((unsigned char)*p <= ' ' || (unsigned char)*p >= 127)
			return false;
	return strncasecmp(url, "https://", 8) == 0 || strncasecmp(url, "http://", 7) == 0 ||
	       (file && file_of(url));
}

static int open_file(const char *url, int *ret, struct err *e)
{
	int fd = open(file_of(url), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY | O_NOFOLLOW);
	struct stat st;
	if (fd < 0)
		return err_sys(e, "cannot open %s", url);
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)) {
		fd_close(&fd);
		return err_set(e, -ERR_FETCH, "%s is no file", url);
	}
	*ret = fd;
	return 0;
}

static void set_cache(CURL *c, const char *url)
{
	set_common(c, url, false);
	curl_easy_setopt(c, CURLOPT_MAXREDIRS, CACHE_REDIRECTS);
}

struct question {
	struct fetch_answer *a;
	CURL *c; /* owned; NULL: free place */
	size_t limit, headers;
	char errbuf[CURL_ERROR_SIZE];
};

static size_t on_answer(char *p, size_t size, size_t n, void *arg)
{
	struct question *q = arg;
	if (q->a->body.len + size * n > q->limit)
		return 0;
	str_addn(&q->a->body, p, size * n);
	return str_err(&q->a->body) ? 0 : size * n;
}

/* Of all the headers one is looked at: Cache-Control: max-age=SECONDS. */
static size_t on_header(char *p, size_t size, size_t n, void *arg)
{
	static const char name[] = "Cache-Control:", key[] = "max-age=";
	struct question *q = arg;
	struct slice line = { p, size * n };
	q->headers += line.n;
	if (q->headers > HEADERS_LIMIT)
		return 0;
	if (line.n < sizeof(name) || strncasecmp(p, name, sizeof(name) - 1) != 0)
		return line.n;
	const char *at = memmem(p, line.n, key, sizeof(key) - 1);
	uint64_t v;
	if (at) {
		struct slice digits = { at + sizeof(key) - 1, 0 };
		while (digits.p + digits.n < p + line.n && digits.p[digits.n] >= '0' &&
		       digits.p[digits.n] <= '9')
			digits.n++;
		if (text_u64(digits, INT32_MAX, &v) == 0)
			q->a->max_age = (int64_t)v;
	}
	return line.n;
}

static void answer_file(struct fetch_answer *a, size_t limit)
{
	auto_fd int fd = -1;
	if (open_file(a->url, &fd, NULL) == 0)
		a->status = fd_read_all(fd, &a->body, limit) ? 0 : 200;
	else
		a->status = errno == ENOENT ? 404 : 0;
}

static void ask(CURLM *m, struct question *q)
{
	char host[HOST_MAX];
	url_host(q->a->url, host);
	if (host_bad(host, time(NULL)))
		return;
	q->c = curl_easy_init();
	if (!q->c)
		return;
	set_cache(q->c, q->a->url);
	curl_easy_setopt(q->c, CURLOPT_ERRORBUFFER, q->errbuf);
	curl_easy_setopt(q->c, CURLOPT_WRITEFUNCTION, on_answer);
	curl_easy_setopt(q->c, CURLOPT_WRITEDATA, q);
	curl_easy_setopt(q->c, CURLOPT_HEADERFUNCTION, on_header);
	curl_easy_setopt(q->c, CURLOPT_HEADERDATA, q);
	curl_easy_setopt(q->c, CURLOPT_PRIVATE, q);
	curl_multi_add_handle(m, q->c);
}

static void take_answer(CURLM *m, struct question *q, CURLcode code)
{
	char host[HOST_MAX];
	long http = 0;
	curl_easy_getinfo(q->c, CURLINFO_RESPONSE_CODE, &http);
	url_host(q->a->url, host);
	if (code == CURLE_OK || code == CURLE_HTTP_RETURNED_ERROR)
		q->a->status = (int)http;
	else if (unreachable(code) && !host_bad(host, time(NULL)))
		host_set_bad(host, time(NULL) + CACHE_FORGET);
	if (code != CURLE_OK)
		str_cut(&q->a->body, 0);
	if (!q->a->status) {
		auto_str struct str why = STR_INIT;
		describe(code, q->errbuf, &why);
		snprintf(q->a->why, sizeof(q->a->why), "%s", why.buf);
	}
	curl_multi_remove_handle(m, q->c);
	curl_easy_cleanup(q->c);
	q->c = NULL;
}

/* Keep AT_ONCE questions open until all have been asked and answered. */
static void ask_all(CURLM *m, struct fetch_answer *v, size_t n, size_t limit)
{
	static struct question places[AT_ONCE];
	size_t next = 0, busy = 0;
	do {
		for (size_t i = 0; i < AT_ONCE && next < n; i++) {
			if (places[i].c)
				continue;
			places[i] = (struct question){ .a = &v[next++], .limit = limit };
			if (file_of(places[i].a->url))
				answer_file(places[i].a, limit);
			else
				ask(m, &places[i]);
			busy += places[i].c != NULL;
		}
		int running, left;
		curl_multi_perform(m, &running);
		for (CURLMsg *msg; (msg = curl_multi_info_read(m, &left));) {
			struct question *q;
			if (msg->msg != CURLMSG_DONE)
				continue;
			curl_easy_getinfo(msg->easy_handle, CURLINFO_PRIVATE, &q);
			take_answer(m, q, msg->data.result);
			busy--;
		}
		if (busy)
			curl_multi_poll(m, NULL, 0, 1000, NULL);
	} while (busy || next < n);
}

int fetch_answers(struct fetch_answer *v, size_t n, size_t limit, struct err *e)
{
	int r = prepare(e);
	CURLM *m = r ? NULL : curl_multi_init();
	if (!m)
		return r ? r : err_set(e, -ENOMEM, "out of memory");
	for (size_t i = 0; i < n; i++) {
		v[i].status = 0;
		v[i].max_age = -1;
		v[i].why[0] = 0;
	}
	ask_all(m, v, n, limit);
	curl_multi_cleanup(m);
	return 0;
}

struct fetch_stream {
	char *url; /* owned */
	int fd;	   /* owned: of a file; -1 */
	CURLM *m;  /* owned */
	CURL *c;   /* owned */
	struct str held;
	size_t pos; /* what of held was taken */
	uint64_t got, limit;
	bool paused, ended, over;
	CURLcode code;
	unsigned resumes;
	char errbuf[CURL_ERROR_SIZE];
};

static size_t on_piece(char *p, size_t size, size_t n, void *arg)
{
	struct fetch_stream *s = arg;
	if (s->held.len - s->pos > HELD_MAX) {
		s->paused = true;
		return CURL_WRITEFUNC_PAUSE;
	}
	s->over = s->limit - s->got < size * n;
	if (s->over)
		return 0;
	str_addn(&s->held, p, size * n);
	s->got += size * n;
	return str_err(&s->held) ? 0 : size * n;
}

static int start_stream(struct fetch_stream *s, struct err *e)
{
	s->c = curl_easy_init();
	if (!s->c)
		return err_set(e, -ENOMEM, "out of memory");
	set_cache(s->c, s->url);
	s->errbuf[0] = 0;
	curl_easy_setopt(s->c, CURLOPT_ERRORBUFFER, s->errbuf);
	curl_easy_setopt(s->c, CURLOPT_WRITEFUNCTION, on_piece);
	curl_easy_setopt(s->c, CURLOPT_WRITEDATA, s);
	if (s->got)
		curl_easy_setopt(s->c, CURLOPT_RESUME_FROM_LARGE, (curl_off_t)s->got);
	s->ended = s->paused = false;
	curl_multi_add_handle(s->m, s->c);
	return 0;
}

static void stop_stream(struct fetch_stream *s)
{
	if (!s->c)
		return;
	curl_multi_remove_handle(s->m, s->c);
	curl_easy_cleanup(s->c);
	s->c = NULL;
}

int fetch_stream_open(const char *url, uint64_t limit, struct fetch_stream **ret, struct err *e)
{
	struct fetch_stream *s = calloc(1, sizeof(*s));
	if (!s)
		return err_set(e, -ENOMEM, "out of memory");
	s->fd = -1;
	s->held = (struct str)STR_INIT;
	s->limit = limit;
	s->url = strdup(url);
	int r = s->url ? prepare(e) : err_set(e, -ENOMEM, "out of memory");
	if (!r && file_of(url)) {
		r = open_file(url, &s->fd, e);
	} else if (!r) {
		s->m = curl_multi_init();
		r = s->m ? start_stream(s, e) : err_set(e, -ENOMEM, "out of memory");
	}
	if (r)
		fetch_stream_close(s);
	else
		*ret = s;
	return r;
}

/* A transfer that ended: well, badly, or to be taken up again. */
static int judge_end(struct fetch_stream *s, struct err *e)
{
	long http = 0;
	auto_str struct str safe = STR_INIT;
	add_safe_url(&safe, s->url);
	if (s->over)
		return err_set(e, -ERR_LIMIT, "%s is larger than it may be", safe.buf);
	if (s->code == CURLE_OK)
		return 0;
	curl_easy_getinfo(s->c, CURLINFO_RESPONSE_CODE, &http);
	if (!may_pass(s->code, http) || s->resumes++ >= RESUMES)
		return fail_with(e, s->code, s->errbuf, safe.buf);
	stop_stream(s);
	nanosleep(&(struct timespec){ .tv_sec = s->resumes - 1 }, NULL);
	return start_stream(s, e);
}

/* Something in held, or the end. */
static int wait_piece(struct fetch_stream *s, struct err *e)
{
	while (!s->held.len && !s->ended) {
		int running, left;
		if (s->paused) {
			s->paused = false;
			curl_easy_pause(s->c, CURLPAUSE_CONT);
		}
		curl_multi_perform(s->m, &running);
		CURLMsg *msg = curl_multi_info_read(s->m, &left);
		if (msg && msg->msg == CURLMSG_DONE) {
			s->ended = true;
			s->code = msg->data.result;
			if (s->held.len)
				break;
			int r = judge_end(s, e);
			if (r)
				return r;
		} else if (!s->held.len) {
			curl_multi_poll(s->m, NULL, 0, 1000, NULL);
		}
	}
	return 0;
}

ssize_t fetch_stream_read(struct fetch_stream *s, void *p, size_t n, struct err *e)
{
	if (s->fd >= 0) {
		ssize_t got = fd_read_some(s->fd, p, n);
		return got < 0 ? err_num(e, (int)got, "cannot read %s", s->url) : got;
	}
	int r = 0;
	if (!s->held.len && s->ended && (s->code != CURLE_OK || s->over))
		r = judge_end(s, e);
	if (!r)
		r = wait_piece(s, e);
	if (r)
		return r;
	size_t part = MIN_OF(n, s->held.len - s->pos);
	memcpy(p, s->held.buf + s->pos, part);
	s->pos += part;
	if (s->pos == s->held.len) {
		str_cut(&s->held, 0);
		s->pos = 0;
	}
	return (ssize_t)part;
}

void fetch_stream_close(struct fetch_stream *s)
{
	if (!s)
		return;
	stop_stream(s);
	curl_multi_cleanup(s->m); /* NULL allowed */
	fd_close(&s->fd);
	str_done(&s->held);
	free(s->url);
	free(s);
}
