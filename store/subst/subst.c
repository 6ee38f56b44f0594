/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "store/subst/subst.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>

#include "lib/fd.h"
#include "lib/path.h"
#include "lib/size.h"
#include "lib/text.h"
#include "lib/wire.h"
#include "store/format/base32.h"
#include "store/build/hosts.h"
#include "store/build/transfer.h"
#include "store/limits.h"
#include "store/format/nar.h"
#include "store/testing.h"

#define TTL_HIT	     (36 * 3600) /* seconds, where the server says nothing */
#define TTL_MISS     120
#define TTL_MAX	     (60 * 86400)
#define SLOW_SECONDS 30
#define STALL_NS     (120ull * 1000000000)
#define CHUNK	     256
#define CACHE_DIR    "substitute/cache"
#define CACHE_WORD   "cairn-narinfo"
#define CACHE_DAYS   14 /* after which an answer is not kept, whatever the server said */
#define CLEANED	     "cleaned"

/* ---- Settings -------------------------------------------------------------------------------- */

void subst_init(struct subst *t, const struct policy *p)
{
	*t = (struct subst){ .use = !p->no_substitutes };
}

void subst_done(struct subst *t)
{
	free(t->urls);
	free(t->keys);
	t->urls = t->keys = NULL;
}

static int set_text(char **place, const char *text, struct err *e)
{
	char *copy = strdup(text);

	if (!copy)
		return err_set(e, -ENOMEM, "out of memory");
	free(*place);
	*place = copy;
	return 0;
}

static int split_urls(const char *text, bool file, struct arena *a, struct vec *ret, struct err *e)
{
	struct slice rest = slice_of(text), word;

	while (slice_cut(&rest, ' ', &word)) {
		char *url = NULL;

		while (word.n && word.p[word.n - 1] == '/')
			word.n--;
		if (!word.n)
			continue;
		url = arena_slice(a, word);
		if (!url || ret->n >= LIMIT_SUBST_URLS)
			return err_set(e, -ERR_LIMIT, "at most %d URLs of substitutes",
				       LIMIT_SUBST_URLS);
		if (!transfer_url_ok(url, file))
			return err_set(e, -ERR_INVALID,
				       "'%.200s' is no URL of substitutes [http, https%s]", url,
				       file ? ", file" : "");
		vec_add(ret, url);
	}
	return ret->err ? err_set(e, -ENOMEM, "out of memory") : 0;
}

int subst_check_policy(const struct policy *p, struct err *e)
{
	auto_arena struct arena a = ARENA_INIT;
	auto_vec struct vec urls = VEC_INIT;
	struct trust t = TRUST_INIT;
	int r = p->substitute_urls ? split_urls(p->substitute_urls, true, &a, &urls, e) : 0;

	if (r == 0 && p->trusted_keys)
		r = trust_add_words(&t, p->trusted_keys, e);
	trust_done(&t);
	return r;
}

int subst_set_urls(struct session *s, const char *urls, struct err *e)
{
	auto_arena struct arena a = ARENA_INIT;
	auto_vec struct vec v = VEC_INIT;
	int r = split_urls(urls, s->trusted, &a, &v, e);

	if (r == 0)
		r = set_text(&s->subst.urls, urls, e);
	if (r == 0)
		s->subst.free_urls = !s->trusted;
	return r;
}

int subst_set_keys(struct session *s, const char *keys, struct err *e)
{
	struct trust t = TRUST_INIT;
	int r = s->trusted ? trust_add_words(&t, keys, e)
			   : err_set(e, -EPERM, "you are not privileged to choose trusted keys");

	trust_done(&t);
	return r == 0 ? set_text(&s->subst.keys, keys, e) : r;
}

int subst_urls(const struct session *s, struct arena *a, struct vec *ret, struct err *e)
{
	const char *text = s->subst.urls ? s->subst.urls : s->policy.substitute_urls;

	if (!s->subst.use || s->policy.no_substitutes || !text)
		return 0;
	return split_urls(text, !s->subst.free_urls, a, ret, e);
}

int subst_load_trust(const struct session *s, struct trust *t, struct err *e)
{
	char dir[PATH_MAX];
	int n = snprintf(dir, sizeof(dir), "%s%s", s->l->root,
			 dialect_facts(s->l->dialect)->conf_dir);
	int r = n < 0 || (size_t)n >= sizeof(dir) ? err_set(e, -ENAMETOOLONG, "%s", s->l->root)
						  : trust_load(t, dir, e);

	if (r == 0 && s->policy.trusted_keys)
		r = trust_add_words(t, s->policy.trusted_keys, e);
	if (r == 0 && s->subst.keys)
		r = trust_add_words(t, s->subst.keys, e);
	return r;
}

/* ---- Answers that are remembered ------------------------------------------------------------- */

/* What one cache says about one path. */
struct word {
	const char *base; /* URL of the cache */
	const char *path;
	const char *url;
	int status;
	int64_t max_age;
	struct slice body;
	const char *why; /* there is no answer; NULL: nobody was asked */
};

/* Where an answer is kept. That something is not there can be asked about any number of paths: for
 * this there are only so many places, in which the later answer takes that of the earlier one. */
static bool cache_name(const struct word *w, bool missing, char out[PATH_MAX])
{
	struct digest d = digest_of(DIGEST_SHA256, w->base, strlen(w->base));
	char key[DIGEST_TEXT_MAX];

	digest_base32(&d, key);
	return snprintf(out, PATH_MAX, CACHE_DIR "/%s/%.*s", key,
			missing ? LIMIT_MISSING_LETTERS : STORE_HASH_CHARS,
			path_base(w->path)) < PATH_MAX;
}

/* "cairn-narinfo EXPIRES STATUS URL\n" and the body. */
static bool parse_cached(struct slice text, const struct stat *st, struct word *w)
{
	struct slice head, word, expires, status;
	uint64_t until, code;
	int64_t now = time(NULL);

	if (!slice_cut(&text, '\n', &head) || !text.p || !slice_cut(&head, ' ', &word) ||
	    !slice_is(word, CACHE_WORD) || !slice_cut(&head, ' ', &expires) ||
	    !slice_cut(&head, ' ', &status) || !slice_is(head, w->url) ||
	    text_u64(expires, INT64_MAX, &until) || text_u64(status, 999, &code))
		return false;
	/* written in the future: the clock was set back, and nothing is known about its age */
	if ((int64_t)until <= now || st->st_mtime > now || (int64_t)until - st->st_mtime > TTL_MAX)
		return false;
	if (code != 404 && (code != 200 || !text.n))
		return false;
	w->status = (int)code;
	w->body = text;
	return true;
}

/* left: bytes that this lookup may take yet. */
static bool read_cached(struct session *s, struct arena *a, struct word *w, bool missing,
			size_t *left)
{
	auto_str struct str text = STR_INIT;
	char name[PATH_MAX];
	struct stat st;

	if (!cache_name(w, missing, name))
		return false;
	auto_fd int fd =
		openat(s->l->state_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (fd < 0 || fstat(fd, &st) < 0 ||
	    fd_read_all(fd, &text, MIN_OF(*left, (size_t)LIMIT_NARINFO + 8192)))
		return false;
	struct slice copy = { arena_slice(a, str_slice(&text)), text.len };
	*left -= text.len;
	return copy.p && parse_cached(copy, &st, w);
}

static bool find_cached(struct session *s, struct arena *a, struct word *w, size_t *left)
{
	return !s->subst.free_urls &&
	       (read_cached(s, a, w, false, left) || read_cached(s, a, w, true, left));
}

/* Lost or torn at a crash without harm: not worth a wait for the disk. */
static void keep_answer(struct session *s, const struct word *w)
{
	auto_str struct str text = STR_INIT;
	char name[PATH_MAX], temp[PATH_MAX], dir[PATH_MAX];
	int64_t ttl = w->max_age >= 0 ? w->max_age : w->status == 200 ? TTL_HIT : TTL_MISS;

	if (s->subst.free_urls || (w->status != 200 && w->status != 404) || ttl <= 0 ||
	    !cache_name(w, w->status == 404, name) || path_dir(dir, name) < 0 ||
	    snprintf(temp, sizeof(temp), "%s/.%d", dir, (int)getpid()) >= (int)sizeof(temp))
		return;
	str_addf(&text, CACHE_WORD " %lld %d %s\n",
		 (long long)time(NULL) + MIN_OF(ttl, (int64_t)TTL_MAX - 1), w->status, w->url);
	if (w->status == 200)
		str_adds(&text, w->body);
	if (str_err(&text) || file_mkdir_p(s->l->state_fd, dir, 0755, NULL))
		return;
	auto_fd int fd = openat(s->l->state_fd, temp,
				O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0644);
	if (fd < 0)
		return;
	if (fd_write_full(fd, text.buf, text.len) < 0 ||
	    renameat(s->l->state_fd, temp, s->l->state_fd, name) < 0)
		(void)unlinkat(s->l->state_fd, temp, 0); /* nothing depends on it */
}

static void clean_dir(int dirfd, const char *name)
{
	auto_fd int fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	auto_arena struct arena a = ARENA_INIT;
	auto_vec struct vec names = VEC_INIT;
	struct stat st;

	if (fd < 0 || nar_list_dir(&a, fd, &names) < 0)
		return;
	for (size_t i = 0; i < names.n; i++)
		if (fstatat(fd, names.v[i], &st, AT_SYMLINK_NOFOLLOW) == 0 &&
		    st.st_mtime + CACHE_DAYS * 86400 < time(NULL))
			(void)unlinkat(fd, names.v[i], 0); /* tomorrow is another day */
}

/* Once a day what was told long ago goes. */
static void clean_cache(struct session *s)
{
	auto_arena struct arena a = ARENA_INIT;
	auto_vec struct vec names = VEC_INIT;
	struct stat st;
	auto_fd int dir =
		openat(s->l->state_fd, CACHE_DIR, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	if (dir < 0 || (fstatat(dir, CLEANED, &st, 0) == 0 && st.st_mtime + 86400 > time(NULL)) ||
	    nar_list_dir(&a, dir, &names) < 0)
		return;
	auto_fd int mark =
		openat(dir, CLEANED, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0644);
	if (mark < 0 || futimens(mark, NULL) < 0)
		return;
	for (size_t i = 0; i < names.n; i++)
		clean_dir(dir, names.v[i]);
}

/* ---- Asking the network ---------------------------------------------------------------------- */

struct asking {
	struct word **words;
	size_t n;
	size_t left;   /* bytes that the answers may have */
	long patience; /* seconds; see transfer_set_patience */
};

static int send_answers(const struct transfer_answer *v, size_t n, int out)
{
	auto_str struct str text = STR_INIT;

	for (size_t i = 0; i < n; i++) {
		wr_u64(&text, (uint64_t)v[i].status);
		wr_u64(&text, (uint64_t)(v[i].max_age + 1));
		wr_str(&text, str_slice(&v[i].body));
		wr_cstr(&text, v[i].why);
	}
	return str_err(&text) ? -ENOMEM : fd_write_full(out, text.buf, text.len);
}

/* In the helper: ask in chunks, so that something is heard now and then. */
static int ask_child(void *arg, int out)
{
	static struct transfer_answer v[CHUNK];
	const struct asking *q = arg;
	int r = 0;

	transfer_set_patience(q->patience);
	for (size_t at = 0; r == 0 && at < q->n; at += CHUNK) {
		size_t n = MIN_OF(q->n - at, (size_t)CHUNK);

		for (size_t i = 0; i < n; i++) {
			str_done(&v[i].body);
			v[i] = (struct transfer_answer){ .url = q->words[at + i]->url,
							 .body = STR_INIT };
		}
		r = transfer_answers(v, n, LIMIT_NARINFO, NULL);
		if (r == 0)
			r = send_answers(v, n, out);
	}
	return r ? 1 : 0;
}

static int read_answers(const struct asking *q, int fd, struct arena *a, struct err *e)
{
	struct stream in;

	if (stream_init(&in, fd))
		return err_set(e, -ENOMEM, "out of memory");
	in.stall_ns = MIN_OF(STALL_NS, (uint64_t)q->patience * 4000000000ull);
	in.left = q->left;
	for (size_t i = 0; i < q->n && !in.err; i++) {
		struct word *w = q->words[i];

		w->status = (int)stream_max(&in, 999);
		w->max_age = (int64_t)stream_max(&in, INT32_MAX) - 1;
		w->body = stream_str(&in, a, LIMIT_NARINFO);
		w->why = stream_cstr(&in, a, TRANSFER_WHY);
	}
	int code = in.err;
	stream_done(&in);
	return code ? err_set(e, -ERR_FETCH, "the search for substitutes failed: %s",
			      err_text(code))
		    : 0;
}

static int ask_network(struct session *s, struct arena *a, const struct asking *q, struct err *e)
{
	struct build_id id;
	struct subst_cage c;
	struct proc child;
	int fd, status;
	int r = session_take_id(s, &id, e);

	if (r < 0)
		return r;
	hosts_share();
	r = subst_cage_init(&c, s, &id, e);
	if (r == 0)
		r = subst_fork(&c, -1, ask_child, (void *)(uintptr_t)q, &child, &fd, e);
	subst_cage_done(&c);
	if (r == 0) {
		r = read_answers(q, fd, a, e);
		(void)proc_kill(&child, SIGKILL); /* done, or not to be waited for */
		(void)proc_wait(&child, &status); /* its answers count, not its end */
	}
	session_put_id(s, &id);
	return r;
}

/* ---- Choosing -------------------------------------------------------------------------------- */

/* SUB-11: below the base, or at least at the same server; nothing that leads elsewhere. */
const char *subst_join_url(struct arena *a, const char *base, const char *url)
{
	const char *host = strstr(base, "://");
	struct slice rest = slice_of(url), part;

	if (strstr(url, "://")) {
		size_t n = host ? (size_t)(host - base) + 3 : 0;

		n += strcspn(base + n, "/");
		return n > 3 && !strncmp(url, base, n) && url[n] == '/' ? arena_str(a, url) : NULL;
	}
	while (slice_cut(&rest, '/', &part))
		if (!part.n || slice_is(part, "..") || slice_is(part, "."))
			return NULL;
	return arena_fmt(a, "%s/%s", base, url);
}

/* Cheap ones to unpack first. */
static unsigned rank(enum zip kind)
{
	static const unsigned char ranks[ZIP_MAX] = {
		[ZIP_ZSTD] = 0, [ZIP_GZIP] = 1, [ZIP_NONE] = 2,
		[ZIP_XZ] = 3,	[ZIP_LZIP] = 4, [ZIP_BZIP2] = 5
	};

	return ranks[kind];
}

static void add_files(struct arena *a, const struct word *w, const struct narinfo *n,
		      struct subst_item *item)
{
	uint64_t size = item->info.nar_size;
	struct subst_file *v = arena_array(a, item->nfiles + n->nfiles, sizeof(*v));
	size_t old = item->nfiles;

	if (!v)
		return;
	memcpy(v, item->files ? item->files : v, old * sizeof(*v));
	for (unsigned want = 0; want < ZIP_MAX; want++)
		for (size_t i = 0; i < n->nfiles; i++) {
			const struct narinfo_file *f = &n->files[i];
			const char *url = subst_join_url(a, w->base, f->url);

			if (!f->known || rank(f->kind) != want || !url)
				continue;
			if (!item->nfiles)
				item->download = f->size;
			/* what does not compress grows by a little */
			v[item->nfiles++] = (struct subst_file){
				url, f->kind, f->kind == ZIP_NONE ? size : size + size / 8 + 65536
			};
		}
	item->files = v;
}

static bool same_item(const struct store_info *a, const struct store_info *b)
{
	if (!digest_eq(&a->nar_hash, &b->nar_hash) || a->nar_size != b->nar_size ||
	    a->nrefs != b->nrefs)
		return false;
	for (size_t i = 0; i < a->nrefs; i++)
		if (strcmp(a->refs[i], b->refs[i]) != 0)
			return false;
	return true;
}

static int parse_word(struct session *s, struct arena *a, const struct word *w,
		      struct narinfo **ret, struct err *e)
{
	int r = narinfo_parse(a, s->l->dialect, s->l->store_dir, w->body, ret, e);

	if (r == 0 && strcmp((*ret)->info.path, w->path) != 0)
		r = err_set(e, -ERR_INVALID, "it is about %s", (*ret)->info.path);
	return r;
}

static int check_same(const struct narinfo *n, const struct digest *want, struct err *e)
{
	return !want || digest_eq(&n->info.nar_hash, want)
		       ? 0
		       : err_set(e, -ERR_HASH, "its archive is not the one that is registered");
}

/* The first word that can be believed, and the same archive from whoever else has it. want: the
 * hash of the only archive that will do; NULL: any. */
static struct subst_item *choose(struct session *s, struct arena *a, const struct trust *t,
				 const struct word *words, size_t n, const struct digest *want)
{
	struct narinfo *parsed[LIMIT_SUBST_URLS] = { NULL };
	struct subst_item *item = NULL;

	for (size_t i = 0; i < n; i++) {
		struct err e = ERR_INIT;

		if (words[i].status != 200)
			continue;
		int r = parse_word(s, a, &words[i], &parsed[i], &e);
		if (r == 0 && !item) {
			r = narinfo_check(parsed[i], s->l->dialect, s->l->store_dir, t, &e);
			r = r ? r : check_same(parsed[i], want, &e);
			item = r == 0 ? ARENA_NEW(a, struct subst_item) : NULL;
		}
		if (r < 0 && !item)
			session_say(s, "substitute of %s from %s is not used: %s", words[i].path,
				    words[i].base, e.msg);
		if (r < 0 && r != -ERR_INVALID)
			parsed[i] = NULL;
		if (item && !item->info.path)
			item->info = parsed[i]->info;
	}
	for (size_t i = 0; item && i < n; i++)
		if (parsed[i] && !strcmp(parsed[i]->info.path, item->info.path) &&
		    same_item(&parsed[i]->info, &item->info))
			add_files(a, &words[i], parsed[i], item);
	if (!item || !item->nfiles)
		return NULL;
	item->log = -1;
	item->line = (struct str)STR_INIT;
	item->proc = (struct proc)PROC_INIT;
	return item;
}

/* ---- Lookups --------------------------------------------------------------------------------- */

static int fill_words(struct session *s, struct arena *a, const struct vec *urls,
		      const struct vec *paths, struct word *words, struct asking *q, struct err *e)
{
	for (size_t i = 0; i < paths->n * urls->n; i++) {
		struct word *w = &words[i];

		*w = (struct word){ .base = urls->v[i % urls->n], .path = paths->v[i / urls->n] };
		w->url = arena_fmt(a, "%s/%.32s.narinfo", w->base, path_base(w->path));
		if (!w->url)
			return err_set(e, -ENOMEM, "out of memory");
		if (!find_cached(s, a, w, &q->left))
			q->words[q->n++] = w;
	}
	return 0;
}

static void say_silent(struct session *s, const struct vec *urls, const struct asking *q)
{
	for (size_t u = 0; u < urls->n; u++)
		for (size_t i = 0; i < q->n; i++)
			if (!q->words[i]->status && q->words[i]->base == urls->v[u]) {
				const char *why = q->words[i]->why;

				session_say(s, "substitutes: %s does not answer%s%s",
					    (const char *)urls->v[u], why && *why ? ": " : "",
					    why ? why : "");
				break;
			}
}

static int look_up(struct session *s, struct arena *a, const struct vec *urls,
		   const struct vec *paths, struct word *words, struct err *e)
{
	struct asking q = { .words = arena_array(a, paths->n * urls->n, sizeof(*q.words)),
			    .left = LIMIT_NARINFOS,
			    .patience = testing_patience(s->l, SLOW_SECONDS) };
	struct err why = ERR_INIT;
	int r = q.words ? fill_words(s, a, urls, paths, words, &q, e)
			: err_set(e, -ENOMEM, "out of memory");

	if (r < 0 || !q.n)
		return r;
	if (ask_network(s, a, &q, &why) < 0) /* what was heard until then counts */
		session_say(s, "substitutes: %s", why.msg);
	for (size_t i = 0; i < q.n; i++)
		keep_answer(s, q.words[i]);
	say_silent(s, urls, &q);
	clean_cache(s);
	return 0;
}

static int look_for(struct session *s, struct arena *a, const struct vec *paths,
		    const struct digest *want, struct tab *ret, struct err *e)
{
	auto_vec struct vec urls = VEC_INIT;
	struct trust t = TRUST_INIT;
	struct word *words;
	int r = subst_urls(s, a, &urls, e);

	if (r < 0 || !urls.n || !paths->n)
		return r;
	if (paths->n > LIMIT_SUBST_PATHS)
		return err_set(e, -ERR_LIMIT, "too many paths at once");
	words = arena_array(a, paths->n * urls.n, sizeof(*words));
	r = words ? subst_load_trust(s, &t, e) : err_set(e, -ENOMEM, "out of memory");
	if (r == 0)
		r = look_up(s, a, &urls, paths, words, e);
	for (size_t i = 0; r == 0 && i < paths->n; i++) {
		struct subst_item *item = choose(s, a, &t, words + i * urls.n, urls.n, want);
		void **place = item ? tab_put(ret, slice_of(item->info.path), NULL) : NULL;

		if (place)
			*place = item;
		else if (item)
			r = err_set(e, -ENOMEM, "out of memory");
	}
	trust_done(&t);
	return r;
}

int subst_lookup(struct session *s, struct arena *a, const struct vec *paths, struct tab *ret,
		 struct err *e)
{
	return look_for(s, a, paths, NULL, ret, e);
}

int subst_lookup_same(struct session *s, struct arena *a, const char *path,
		      const struct digest *want, struct subst_item **ret, struct err *e)
{
	auto_tab struct tab found = TAB_INIT;
	auto_vec struct vec paths = VEC_INIT;

	vec_add(&paths, (void *)(uintptr_t)path);
	int r = paths.err ? err_set(e, -ENOMEM, "out of memory")
			  : look_for(s, a, &paths, want, &found, e);
	*ret = r == 0 ? tab_find(&found, slice_of(path)) : NULL;
	return r;
}
