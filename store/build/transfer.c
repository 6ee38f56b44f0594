/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "store/build/transfer.h"

#include <curl/curl.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>

#include "lib/fd.h"
#include "lib/loop.h"
#include "lib/size.h"
#include "lib/text.h"
#include "store/build/hosts.h"

#define CONNECT_SECONDS 8L  /* the C library asks a name server again after 5 */
#define SLOW_SECONDS	30L /* in the beginning */
#define SLOW_BYTES	1024L
#define REDIRECTS	10L
#define PROGRESS_NS	(250ull * 1000000)
#define CACHE_REDIRECTS 5L
#define HEADERS_LIMIT	(64u << 10)
#define CACHE_FORGET	60 /* seconds for which a cache out of reach is not asked */
#define AT_ONCE		32 /* answers asked for at the same time */
#define HELD_MAX	(256u << 10)
#define RESUMES		4

/* ---- What all have in common ----------------------------------------------------------------- */

static int prepare(struct err *e)
{
	static bool ready;
	if (!ready && curl_global_init(CURL_GLOBAL_DEFAULT))
		return err_set(e, -ENOMEM, "cannot set up downloads");
	ready = true;
	return 0;
}

static long patience = SLOW_SECONDS;

void transfer_set_patience(long seconds)
{
	patience = seconds;
}

void transfer_add_url(struct str *out, const char *url)
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

/* ---- Files ----------------------------------------------------------------------------------- */

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
	if (t->progress && now > 0 && (clock - t->told > PROGRESS_NS || now == total)) {
		t->told = clock;
		t->progress(t->arg, t->url, total > 0 ? (uint64_t)total : 0, (uint64_t)now);
	}
	return 0;
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
		curl_easy_setopt(c, CURLOPT_RESUME_FROM_LARGE, (curl_off_t)t->have);
	if (proxy)
		curl_easy_setopt(c, CURLOPT_PROXY, proxy);
}

int transfer_too_large(uint64_t limit, struct err *e)
{
	return err_set(e, -ERR_FETCH, "the file is larger than %llu bytes",
		       (unsigned long long)limit);
}

/* What an earlier try left. */
static int hash_part(struct transfer *t, struct err *e)
{
	char buf[16384];
	ssize_t n;
	while ((n = read(t->fd, buf, sizeof(buf))) > 0) {
		hasher_add(t->h, buf, (size_t)n);
		t->have += (uint64_t)n;
		t->left -= MIN_OF((uint64_t)n, t->left);
	}
	return n < 0 ? err_sys(e, "cannot read a part of %s", t->name) : 0;
}

int transfer_run(struct transfer *t, const char *proxy, struct err *e)
{
	char errbuf[CURL_ERROR_SIZE] = "";
	t->left = t->limit;
	int r = prepare(e);
	if (r)
		return r;
	r = hasher_new(t->algo, &t->h);
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
	t->digest = hasher_end(t->h);
	if (t->write_err)
		return err_num(e, t->write_err, "cannot write %s", t->name);
	if (t->over)
		return transfer_too_large(t->limit, e);
	if (code != CURLE_OK) {
		t->no_range = t->have && (code == CURLE_RANGE_ERROR || http == 416 ||
					  code == CURLE_FTP_COULDNT_USE_REST);
		t->passing = may_pass(code, http);
		if (unreachable(code) && got == 0)
			hosts_set_bad(t->url, HOSTS_FORGET);
		return fail_with(e, code, errbuf, "");
	}
	return 0;
}

/* ---- Answers --------------------------------------------------------------------------------- */

static const char *file_of(const char *url)
{
	return strncmp(url, "file:///", 8) == 0 ? url + 7 : NULL;
}

bool transfer_url_ok(const char *url, bool file)
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
	struct transfer_answer *a;
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

static void answer_file(struct transfer_answer *a, size_t limit)
{
	auto_fd int fd = -1;
	if (open_file(a->url, &fd, NULL) == 0)
		a->status = fd_read_all(fd, &a->body, limit) ? 0 : 200;
	else
		a->status = errno == ENOENT ? 404 : 0;
}

static void ask(CURLM *m, struct question *q)
{
	if (hosts_is_bad(q->a->url))
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
	long http = 0;
	curl_easy_getinfo(q->c, CURLINFO_RESPONSE_CODE, &http);
	if (code == CURLE_OK || code == CURLE_HTTP_RETURNED_ERROR)
		q->a->status = (int)http;
	else if (unreachable(code))
		hosts_set_bad(q->a->url, CACHE_FORGET);
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
static void ask_all(CURLM *m, struct transfer_answer *v, size_t n, size_t limit)
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

int transfer_answers(struct transfer_answer *v, size_t n, size_t limit, struct err *e)
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

/* ---- Streams --------------------------------------------------------------------------------- */

struct transfer_stream {
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
	struct transfer_stream *s = arg;
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

static int start_stream(struct transfer_stream *s, struct err *e)
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

static void stop_stream(struct transfer_stream *s)
{
	if (!s->c)
		return;
	curl_multi_remove_handle(s->m, s->c);
	curl_easy_cleanup(s->c);
	s->c = NULL;
}

int transfer_stream_open(const char *url, uint64_t limit, struct transfer_stream **ret,
			 struct err *e)
{
	struct transfer_stream *s = calloc(1, sizeof(*s));
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
		transfer_stream_close(s);
	else
		*ret = s;
	return r;
}

/* A transfer that ended: well, badly, or to be taken up again. */
static int judge_end(struct transfer_stream *s, struct err *e)
{
	long http = 0;
	auto_str struct str safe = STR_INIT;
	transfer_add_url(&safe, s->url);
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
static int wait_piece(struct transfer_stream *s, struct err *e)
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

ssize_t transfer_stream_read(struct transfer_stream *s, void *p, size_t n, struct err *e)
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

void transfer_stream_close(struct transfer_stream *s)
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
