/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "store/subst/publish.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "lib/fd.h"
#include "lib/path.h"
#include "lib/size.h"
#include "lib/text.h"
#include "store/subst/bake.h"
#include "store/format/base32.h"
#include "store/build/buildlog.h"
#include "store/build/http.h"

#define REQUESTS_MAX 10000 /* of one connection */
#define PAUSE_MS     200   /* between requests, after which it needs no store */
#define NARINFO_TYPE "application/x-nix-narinfo"

struct visit {
	const struct publish *p;
	struct http_conn *c;
	struct store_conn *store; /* owned; NULL until needed */
	struct arena a;		  /* of the request */
};

int publish_parse_kind(struct slice text, struct publish_kind *ret)
{
	struct publish_kind k = { .level = 0 };
	struct slice level = text, name;
	uint64_t n = 0;

	if (!slice_cut(&level, ':', &name) || zip_parse(name, &k.kind) ||
	    (level.p && text_u64(level, 22, &n)))
		return -ERR_SYNTAX;
	k.level = (unsigned)n;
	*ret = k;
	return 0;
}

/* ---- Short answers --------------------------------------------------------------------------- */

static void answer_text(struct visit *v, const char *type, struct slice text)
{
	http_text(v->c, &(struct http_answer){ .status = 200, .type = type }, text);
}

/* The reasons stay here: they could name what is no reader's concern. */
static void answer_error(struct visit *v, int status)
{
	char body[64], extra[64] = "";

	snprintf(body, sizeof(body), "%s\n", http_reason(status));
	if (status == 404 && v->p->has_negative_ttl)
		snprintf(extra, sizeof(extra), "Cache-Control: max-age=%llu\r\n",
			 (unsigned long long)v->p->negative_ttl);
	if (status == 405)
		snprintf(extra, sizeof(extra), "Allow: GET, HEAD\r\n");
	http_text(v->c, &(struct http_answer){ .status = status, .extra = extra }, slice_of(body));
}

/* The archive is being made: ask again in some minutes. */
static void answer_later(struct visit *v)
{
	http_text(v->c,
		  &(struct http_answer){ .status = 404,
					 .extra = "Cache-Control: max-age=300\r\nX-Baking: 1\r\n" },
		  SLICE("the archive is being made\n"));
}

static void answer_failure(struct visit *v, int code)
{
	bool absent = code == -ERR_NOTFOUND || code == -ERR_NOTVALID || code == -ENOENT ||
		      code == -ERR_INVALID;

	answer_error(v, absent ? 404 : 503);
}

static const char *ttl_line(struct visit *v)
{
	return v->p->has_ttl ? arena_fmt(&v->a, "Cache-Control: max-age=%llu\r\n",
					 (unsigned long long)v->p->ttl)
			     : NULL;
}

/* A regular file, whole or from the place the reader asks for. */
static void answer_file(struct visit *v, int fd, const char *type, const char *extra)
{
	struct http_answer a = { .status = 200, .type = type, .extra = extra };
	struct http_request *q = &v->c->req;
	struct stat st;

	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)) {
		answer_error(v, 404);
		return;
	}
	a.length = (uint64_t)st.st_size;
	if (q->has_range && q->from >= a.length && q->from) {
		answer_error(v, 416);
		return;
	}
	if (q->has_range && q->from) {
		a.status = 206;
		a.extra = arena_fmt(&v->a, "Content-Range: bytes %llu-%llu/%llu\r\n%s",
				    (unsigned long long)q->from, (unsigned long long)a.length - 1,
				    (unsigned long long)a.length, extra ? extra : "");
		a.length -= q->from;
		if (!a.extra || lseek(fd, (off_t)q->from, SEEK_SET) < 0) {
			answer_error(v, 500);
			return;
		}
	}
	if (http_start(v->c, &a))
		http_file(v->c, fd, a.length);
}

/* ---- The store ------------------------------------------------------------------------------- */

static int need_store(struct visit *v, struct err *e)
{
	return v->store ? 0 : store_open(&v->p->store, &v->store, e);
}

static const char *store_dir(struct visit *v)
{
	return v->p->store.store_dir;
}

/* The valid item of that base name, protected from collection while we send it. */
static int find_item(struct visit *v, const char *base, char **ret, struct err *e)
{
	char *path = arena_fmt(&v->a, "%s/%s", store_dir(v), base);
	bool valid = false;
	int r = path ? store_path_check(store_dir(v), slice_of(path), e) : -ENOMEM;

	if (r == 0)
		r = need_store(v, e);
	if (r == 0)
		r = store_add_temp_root(v->store, path, e);
	if (r == 0)
		r = store_is_valid(v->store, path, &valid, e);
	if (r == 0 && !valid)
		r = -ERR_NOTVALID;
	if (r == 0)
		*ret = path;
	return r;
}

/* Open a regular file of the store without following a link. */
static int open_item(struct visit *v, const char *path, int *ret, struct err *e)
{
	char *file = store_conn_physical(v->store, &v->a, path);
	int fd = file ? open(file, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY) : -1;

	if (fd < 0)
		return err_set(e, -ERR_NOTFOUND, "%s is no file", path);
	*ret = fd;
	return 0;
}

/* ---- Narinfos -------------------------------------------------------------------------------- */

/* Whether compression is worth nothing. */
static bool is_packed(const char *path)
{
	static const char *const suffixes[] = { ".gz",	".bz2",	 ".xz",	  ".lz",  ".zst",
						".tgz", ".tbz2", ".txz",  ".zip", ".png",
						".jpg", ".webp", ".woff2" };

	for (size_t i = 0; i < ARRAY_LEN(suffixes); i++)
		if (slice_ends(slice_of(path), suffixes[i]))
			return true;
	return false;
}

static char *safe_name(struct arena *a, const char *base)
{
	auto_str struct str s = STR_INIT;

	for (; *base; base++)
		str_addf(&s, *base == '?' ? "%%%02X" : "%c", *base);
	return str_err(&s) ? NULL : arena_slice(a, str_slice(&s));
}

size_t publish_list_files(const struct publish *p, struct arena *a, const char *path,
			  struct narinfo_file ret[PUBLISH_KINDS_MAX])
{
	char *name = safe_name(a, path_base(path));
	size_t n = is_packed(path) ? 1 : p->dialect == DIALECT_NIX ? 1 : p->nkinds;

	for (size_t i = 0; i < n; i++) {
		enum zip kind = is_packed(path) ? ZIP_NONE : p->kinds[i].kind;

		ret[i] = (struct narinfo_file){ .kind = kind, .known = true };
		ret[i].url = kind == ZIP_NONE
				     ? arena_fmt(a, "%s/%s", p->nar_path, name)
				     : arena_fmt(a, "%s/%s/%s", p->nar_path, zip_name(kind), name);
	}
	return n;
}

/* Whether the archive is still to be made before it is offered; it is begun then. */
static bool must_wait(struct visit *v, const struct store_info *info)
{
	if (!v->p->cache)
		return false;
	bake_start(v->p, info->path);
	return info->nar_size > v->p->bypass;
}

/* -EAGAIN: later. */
static int make_narinfo(struct visit *v, const char *hash_part, struct str *out, struct err *e)
{
	struct narinfo_file files[PUBLISH_KINDS_MAX];
	struct store_info *info;
	char *path;
	int r = need_store(v, e);

	if (r == 0)
		r = store_by_hash_part(v->store, &v->a, hash_part, &path, e);
	if (r == 0)
		r = store_info(v->store, &v->a, path, &info, e);
	if (r < 0)
		return r;
	if (must_wait(v, info))
		return -EAGAIN;
	size_t n = publish_list_files(v->p, &v->a, path, files);
	if (arena_err(&v->a))
		return err_set(e, -ENOMEM, "out of memory");
	return narinfo_format(info, v->p->dialect, store_dir(v), files, n, v->p->signer, out, e);
}

/* "HASHPART.narinfo" */
static void route_narinfo(struct visit *v, const char *name)
{
	auto_str struct str text = STR_INIT;
	struct err e = ERR_INIT;
	char part[STORE_HASH_CHARS + 1] = "";
	auto_fd int kept = -1;
	int r = -ERR_NOTFOUND;

	if (strspn(name, "0123456789abcdfghijklmnpqrsvwxyz") == STORE_HASH_CHARS &&
	    !strcmp(name + STORE_HASH_CHARS, ".narinfo")) {
		memcpy(part, name, STORE_HASH_CHARS);
		if (v->p->cache && bake_open_narinfo(v->p, part, &kept) == 0) {
			answer_file(v, kept, NARINFO_TYPE, ttl_line(v));
			return;
		}
		r = make_narinfo(v, part, &text, &e);
	}
	if (r == -EAGAIN) {
		answer_later(v);
		return;
	}
	if (r < 0) {
		answer_failure(v, r);
		return;
	}
	http_text(
		v->c,
		&(struct http_answer){ .status = 200, .type = NARINFO_TYPE, .extra = ttl_line(v) },
		str_slice(&text));
}

/* ---- Archives -------------------------------------------------------------------------------- */

/* Compress while it is sent. What fails in the middle is seen as an answer without its end. */
static void send_archive(struct visit *v, const char *path, const struct publish_kind *k)
{
	char *file = store_conn_physical(v->store, &v->a, path);
	struct http_sink out;
	struct zipper *z = NULL;
	struct err e = ERR_INIT;
	int r;

	http_sink_init(&out, v->c);
	r = file ? zip_open(&out.sink, k->kind, k->level, &z, &e) : -ENOMEM;
	if (r == 0)
		r = nar_dump(AT_FDCWD, file, NULL, NULL, zip_sink(z), &e);
	if (r == 0)
		r = zip_close(z, &e);
	else
		zip_free(z);
	if (r == 0)
		http_sink_end(&out);
	else if (!v->c->err)
		v->c->err = r;
}

/* The way to compress that is meant by "KIND/"; none for the plain archive. */
static bool find_kind(struct visit *v, struct slice *rest, struct publish_kind *ret)
{
	struct slice after = *rest, name;

	*ret = (struct publish_kind){ .kind = ZIP_NONE };
	if (!slice_cut(&after, '/', &name) || !after.p)
		return true;
	*rest = after;
	for (size_t i = 0; i < v->p->nkinds; i++)
		if (slice_is(name, zip_name(v->p->kinds[i].kind))) {
			*ret = v->p->kinds[i];
			return true;
		}
	return false;
}

/* "ITEM", "KIND/ITEM" */
static void route_nar(struct visit *v, const char *name)
{
	struct http_answer a = { .status = 200,
				 .type = "application/x-nix-archive",
				 .stream = true };
	struct slice rest = slice_of(name);
	struct publish_kind kind;
	struct err e = ERR_INIT;
	auto_fd int kept = -1;
	char *path;
	bool known = find_kind(v, &rest, &kind) && !memchr(rest.p, '/', rest.n);

	if (known && v->p->cache && bake_open_nar(v->p, kind.kind, rest.p, &kept) == 0) {
		answer_file(v, kept, "application/octet-stream", NULL);
		return;
	}
	int r = known ? find_item(v, rest.p, &path, &e) : -ERR_NOTFOUND;

	if (r < 0)
		answer_failure(v, r);
	else if (http_start(v->c, &a))
		send_archive(v, path, &kind);
}

/* ---- Files, logs ----------------------------------------------------------------------------- */

/* "NAME/ALGO/HASH": the contents of a fixed output that is a file. */
static void route_file(struct visit *v, const char *text)
{
	struct slice hash = slice_of(text), name, algo;
	enum digest_algo id;
	struct digest d;
	struct err e = ERR_INIT;
	char *path = NULL;
	auto_fd int fd = -1;
	int r = -ERR_NOTFOUND;

	if (slice_cut(&hash, '/', &name) && slice_cut(&hash, '/', &algo) && hash.p &&
	    digest_algo_parse(algo, &id) == 0 && digest_parse(id, hash, &d) == 0 &&
	    store_name_check(name, &e) == 0)
		path = store_path_fixed(&v->a, store_dir(v), name, false, &d, &e);
	if (path)
		r = find_item(v, path_base(path), &path, &e);
	if (r == 0)
		r = open_item(v, path, &fd, &e);
	if (r < 0)
		answer_failure(v, r);
	else
		answer_file(v, fd, "application/octet-stream", NULL);
}

/* "ITEM": the log of the derivation, or of the one that made it. */
static void route_log(struct visit *v, const char *name)
{
	char *path = arena_fmt(&v->a, "%s/%s", store_dir(v), name), *dir = NULL;
	const char *file = NULL;
	struct err e = ERR_INIT;
	auto_fd int fd = -1;
	int r = path ? store_path_check(store_dir(v), slice_of(path), &e) : -ENOMEM;

	if (r == 0)
		r = need_store(v, &e);
	if (r == 0)
		dir = store_conn_physical(v->store, &v->a, dialect_facts(v->p->dialect)->log_dir);
	if (r == 0)
		r = dir ? buildlog_find(v->store, &v->a, dir, path, &file, &e) : -ENOMEM;
	if (r == 0) {
		fd = open(file, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
		r = fd < 0 ? -ERR_NOTFOUND : 0;
	}
	if (r < 0)
		answer_failure(v, r == -ERR_REMOTE ? -ERR_NOTFOUND : r);
	else
		answer_file(v, fd, "text/plain; charset=utf-8",
			    slice_ends(slice_of(file), ".gz") ? "Content-Encoding: gzip\r\n"
							      : NULL);
}

/* ---- About the cache ------------------------------------------------------------------------- */

static void route_info(struct visit *v, const char *rest)
{
	char text[PATH_MAX + 100];

	(void)rest;
	snprintf(text, sizeof(text), "StoreDir: %s\nWantMassQuery: %d\nPriority: %llu\n",
		 store_dir(v), v->p->dialect == DIALECT_NIX, (unsigned long long)v->p->priority);
	answer_text(v, "text/x-nix-cache-info", slice_of(text));
}

static void route_key(struct visit *v, const char *rest)
{
	(void)rest;
	answer_text(v, NULL, slice_of(v->p->public_key));
}

static void route_index(struct visit *v, const char *rest)
{
	static const char text[] =
		"<!DOCTYPE html>\n<html lang=\"en\"><title>Binary cache</title>\n"
		"<h1>Binary cache</h1>\n<p>This is a cache of store items, for programs. What it "
		"serves is signed by <a href=\"signing-key.pub\">this key</a>.</p></html>\n";

	(void)rest;
	answer_text(v, "text/html; charset=utf-8", slice_of(text));
}

/* ---- The connection -------------------------------------------------------------------------- */

static void route(struct visit *v)
{
	static const struct {
		const char *path;
		bool prefix;
		void (*fn)(struct visit *v, const char *rest);
	} routes[] = {
		{ "/", false, route_index },
		{ "/index.html", false, route_index },
		{ "/nix-cache-info", false, route_info },
		{ "/signing-key.pub", false, route_key },
		{ "/file/", true, route_file },
		{ "/log/", true, route_log },
	};
	const char *path = v->c->req.path;
	size_t n = strlen(v->p->nar_path);

	for (size_t i = 0; i < ARRAY_LEN(routes); i++) {
		size_t len = strlen(routes[i].path);

		if (!strncmp(path, routes[i].path, len) && (routes[i].prefix || !path[len])) {
			routes[i].fn(v, path + len);
			return;
		}
	}
	if (!strncmp(path + 1, v->p->nar_path, n) && path[1 + n] == '/')
		route_nar(v, path + n + 2);
	else
		route_narinfo(v, path + 1);
}

void publish_serve(const struct publish *p, int fd)
{
	struct http_conn c = { .fd = fd, .in = STR_INIT };
	struct visit v = { .p = p, .c = &c, .a = ARENA_INIT };

	for (int i = 0; i < REQUESTS_MAX; i++) {
		if (v.store && !http_ready(&c, PAUSE_MS)) {
			store_close(v.store); /* the daemon has only so many connections */
			v.store = NULL;
		}
		int r = http_next(&c, &v.a);

		if (r < 0)
			break;
		if (r > 0) {
			c.req.keep = false;
			answer_error(&v, r);
		} else {
			route(&v);
		}
		arena_done(&v.a);
		if (c.err || !c.req.keep)
			break;
	}
	arena_done(&v.a);
	store_close(v.store);
	http_conn_done(&c);
	fd_close(&fd);
}
