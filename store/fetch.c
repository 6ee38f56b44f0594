/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "store/fetch.h"

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
#include "store/mirror.h"

#define CONNECT_SECONDS 8L /* the C library asks a name server again after 5 */
#define SLOW_SECONDS	30L
#define SLOW_BYTES	1024L
#define REDIRECTS	10L
#define HOSTS_MAX	64
#define HOST_MAX	120
#define HOST_FORGET	600 /* seconds */
#define HOSTS_OFFLINE	3   /* so many unreachable hosts mean: no way out of here */
#define PROGRESS_NS	(250ull * 1000000)
#define SIZE_LIMIT	((curl_off_t)16 << 30)

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
			bool mirror = kind.v[i] != NULL;
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
	int write_err;
	bool passing;  /* the failure may be gone in a moment */
	bool no_range; /* the server begins at the beginning or not at all */
	uint64_t told; /* ns */
};

static size_t on_data(char *p, size_t size, size_t n, void *arg)
{
	struct transfer *t = arg;
	size_t len = size * n;
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

static void set_up(CURL *c, struct transfer *t, char errbuf[CURL_ERROR_SIZE], const char *proxy)
{
	static const char *const bundles[] = { "/etc/ssl/certs/ca-certificates.crt",
					       "/etc/pki/tls/certs/ca-bundle.crt",
					       "/etc/ssl/cert.pem" };
	bool tls = strncasecmp(t->url, "https:", 6) == 0;
	curl_easy_setopt(c, CURLOPT_URL, t->url);
	curl_easy_setopt(c, CURLOPT_ERRORBUFFER, errbuf);
	curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, on_data);
	curl_easy_setopt(c, CURLOPT_WRITEDATA, t);
	curl_easy_setopt(c, CURLOPT_NOPROGRESS, 0L);
	curl_easy_setopt(c, CURLOPT_XFERINFOFUNCTION, on_progress);
	curl_easy_setopt(c, CURLOPT_XFERINFODATA, t);
	curl_easy_setopt(c, CURLOPT_FOLLOWLOCATION, 1L);
	curl_easy_setopt(c, CURLOPT_MAXREDIRS, REDIRECTS);
	curl_easy_setopt(c, CURLOPT_FAILONERROR, 1L);
	curl_easy_setopt(c, CURLOPT_CONNECTTIMEOUT, CONNECT_SECONDS);
	curl_easy_setopt(c, CURLOPT_LOW_SPEED_LIMIT, SLOW_BYTES);
	curl_easy_setopt(c, CURLOPT_LOW_SPEED_TIME, SLOW_SECONDS);
	curl_easy_setopt(c, CURLOPT_MAXFILESIZE_LARGE, SIZE_LIMIT);
	curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(c, CURLOPT_USERAGENT, "cairn");
#if LIBCURL_VERSION_NUM >= 0x075500
	curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, "http,https,ftp");
	curl_easy_setopt(c, CURLOPT_REDIR_PROTOCOLS_STR, tls ? "https" : "http,https");
#else
	curl_easy_setopt(c, CURLOPT_PROTOCOLS, CURLPROTO_HTTP | CURLPROTO_HTTPS | CURLPROTO_FTP);
	curl_easy_setopt(c, CURLOPT_REDIR_PROTOCOLS, CURLPROTO_HTTPS | (tls ? 0 : CURLPROTO_HTTP));
#endif
	if (t->have)
		curl_easy_setopt(c, CURLOPT_RESUME_FROM_LARGE, t->have);
	if (proxy)
		curl_easy_setopt(c, CURLOPT_PROXY, proxy);
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

/* What an earlier try left. */
static int hash_part(struct transfer *t, struct err *e)
{
	char buf[16384];
	ssize_t n;
	while ((n = read(t->fd, buf, sizeof(buf))) > 0) {
		hasher_add(t->h, buf, (size_t)n);
		t->have += n;
	}
	return n < 0 ? err_sys(e, "cannot read a part of %s", t->f->name) : 0;
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
	char host[HOST_MAX];
	url_host(t->url, host);
	if (code != CURLE_OK) {
		t->no_range = t->have && (code == CURLE_RANGE_ERROR || http == 416 ||
					  code == CURLE_FTP_COULDNT_USE_REST);
		t->passing = may_pass(code, http);
		if (unreachable(code) && got == 0 && !host_bad(host, time(NULL)))
			host_set_bad(host, time(NULL) + HOST_FORGET);
		return err_set(e, -ERR_FETCH, "%s", errbuf[0] ? errbuf : curl_easy_strerror(code));
	}
	return t->f->nar ? 0 : judge_hash(t->f, d, e);
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
	struct transfer t = { .f = f, .url = c->url, .fd = fd };
	r = transfer(&t, c->mirror ? proxy : NULL, e);
	/* Without a way out only a mirror can come back. */
	c->again = t.passing && (c->mirror || !offline(time(NULL)));
	c->part = r && c->again && !t.no_range && lseek(fd, 0, SEEK_CUR) > 0;
	if (!r && f->nar) {
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
	static bool ready;
	if (!ready && curl_global_init(CURL_GLOBAL_DEFAULT))
		return err_set(e, -ENOMEM, "cannot set up downloads");
	ready = true;
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
