/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "system/profile.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <time.h>

#include "lib/conf.h"
#include "lib/path.h"
#include "lib/size.h"
#include "lib/text.h"
#include "store/store.h"

static int no_memory(struct err *e)
{
	return err_set(e, -ENOMEM, "out of memory");
}

/* ---- Links ----------------------------------------------------------------------------------- */

/* "NAME-12-link" -> 12; 0: another name. */
static unsigned link_number(const struct profile *p, const char *file)
{
	struct slice s = slice_of(file);
	size_t n = strlen(p->name);
	uint64_t number;

	if (s.n <= n + 6 || strncmp(file, p->name, n) != 0 || file[n] != '-' ||
	    !slice_ends(s, "-link"))
		return 0;
	s.p += n + 1;
	s.n -= n + 6;
	if (s.p[0] == '0' || text_u64(s, PROFILE_NUMBER_MAX, &number) < 0)
		return 0;
	return (unsigned)number;
}

char *profile_gen_link(struct profile *p, unsigned number)
{
	return arena_fmt(&p->arena, "%s/%s-%u-link", p->dir, p->name, number);
}

char *profile_link(struct profile *p)
{
	return arena_fmt(&p->arena, "%s/%s", p->dir, p->name);
}

/* Logical path of the item a link names. */
static int read_item(struct profile *p, const char *link, const char **ret, struct err *e)
{
	auto_str struct str text = STR_INIT;
	size_t n = strlen(p->root);
	const char *target;
	int r = file_readlink(AT_FDCWD, link, &text, e);

	if (r < 0)
		return r;
	target = text.buf;
	if (n && strncmp(target, p->root, n) == 0 && target[n] == '/')
		target += n;
	if (store_path_check(p->store_dir, slice_of(target), e) < 0)
		return err_wrap(e, e->code, "%s", link);
	*ret = arena_str(&p->arena, target);
	return *ret ? 0 : no_memory(e);
}

static int load_one(struct profile *p, unsigned number, struct err *e)
{
	struct profile_gen *g = ARENA_NEW(&p->arena, struct profile_gen);
	char *link = profile_gen_link(p, number);
	struct stat st;
	int r;

	if (!g || !link)
		return no_memory(e);
	if (lstat(link, &st) < 0)
		return err_sys(e, "%s", link);
	g->number = number;
	g->date = st.st_mtime;
	r = read_item(p, link, &g->path, e);
	if (r == 0)
		vec_add(&p->gens, g);
	return r < 0 ? r : p->gens.err ? no_memory(e) : 0;
}

static int compare(const void *x, const void *y)
{
	const struct profile_gen *a = *(struct profile_gen *const *)x;
	const struct profile_gen *b = *(struct profile_gen *const *)y;

	return a->number < b->number ? -1 : a->number > b->number;
}

static int load_all(struct profile *p, DIR *dir, struct err *e)
{
	struct dirent *d;
	int r = 0;

	while (r == 0 && (d = readdir(dir))) {
		unsigned number = link_number(p, d->d_name);

		if (number && p->gens.n == LIMIT_PROFILE_GENS)
			r = err_set(e, -ERR_LIMIT, "more than %d generations of %s/%s",
				    LIMIT_PROFILE_GENS, p->dir, p->name);
		else if (number)
			r = load_one(p, number, e);
	}
	if (p->gens.n)
		qsort(p->gens.v, p->gens.n, sizeof(*p->gens.v), compare);
	return r;
}

static int load(struct profile *p, struct err *e)
{
	auto_str struct str target = STR_INIT;
	struct err tmp = ERR_INIT;
	char *link = profile_link(p);
	DIR *dir = opendir(p->dir);
	int r;

	if (!dir)
		return errno == ENOENT ? 0 : err_sys(e, "%s", p->dir);
	r = load_all(p, dir, e);
	(void)closedir(dir); /* only read from */
	if (r < 0)
		return r;
	if (!link)
		return no_memory(e);
	r = file_readlink(AT_FDCWD, link, &target, &tmp);
	if (r == -ENOENT)
		return 0;
	p->current = r == 0 ? link_number(p, target.buf) : 0;
	if (!p->current)
		return err_set(e, -ERR_INVALID,
			       "%s is there, but is not a profile: it does not lead to %s-N-link",
			       link, p->name);
	return 0;
}

/* ---- Opening --------------------------------------------------------------------------------- */

static int lock_busy(const char *file, int fd, struct err *e)
{
	auto_str struct str holder = STR_INIT;
	auto_str struct str safe = STR_INIT;

	if (lseek(fd, 0, SEEK_SET) < 0 || fd_read_all(fd, &holder, 512) < 0)
		str_cut(&holder, 0);
	text_safe(&safe, slice_trim(str_slice(&holder)));
	return err_set(e, -ERR_IN_USE, "%s: the profile is being changed by another command: %s",
		       file, safe.len ? safe.buf : "unknown");
}

static int lock(struct profile *p, const char *verb, struct err *e)
{
	char *file = arena_fmt(&p->arena, "%s/%s.lock", p->dir, p->name);
	time_t now = time(NULL);
	char when[32] = "";
	struct tm tm;
	int r;

	if (!file)
		return no_memory(e);
	p->lock = file_open_lock(AT_FDCWD, file, e);
	if (p->lock < 0)
		return err_wrap(e, p->lock, "cannot lock the profile");
	r = fd_lock(p->lock, true, false);
	if (r == -EAGAIN)
		return lock_busy(file, p->lock, e);
	if (r < 0)
		return err_num(e, r, "cannot lock %s", file);
	if (gmtime_r(&now, &tm))
		(void)strftime(when, sizeof(when), "%Y-%m-%d %H:%M:%S UTC", &tm);
	if (ftruncate(p->lock, 0) < 0 ||
	    dprintf(p->lock, "process %ld, %s, since %s\n", (long)getpid(), verb, when) < 0)
		return err_sys(e, "%s", file);
	return 0;
}

int profile_open(struct profile *p, const char *link, const char *root, const char *store_dir,
		 bool change, const char *verb, struct err *e)
{
	char dir[PATH_MAX], *real;
	int r;

	if (!path_base(link)[0] || path_dir(dir, link) < 0)
		return err_set(e, -ERR_USAGE, "'%s' is not the name of a profile", link);
	real = realpath(dir, NULL); /* a later chdir does not matter */
	if (!real && (errno != ENOENT || change))
		return err_sys(e, "the directory of the profile: %s", dir);
	p->dir = arena_str(&p->arena, real ? real : dir);
	free(real);
	p->name = arena_str(&p->arena, path_base(link));
	p->root = arena_str(&p->arena, root);
	p->store_dir = arena_str(&p->arena, store_dir);
	if (arena_err(&p->arena))
		return no_memory(e);
	r = change ? lock(p, verb, e) : 0;
	return r < 0 ? r : load(p, e);
}

void profile_done(struct profile *p)
{
	fd_close(&p->lock);
	vec_done(&p->gens);
	arena_done(&p->arena);
}

const struct profile_gen *profile_find(const struct profile *p, unsigned number)
{
	for (size_t i = 0; i < p->gens.n; i++) {
		const struct profile_gen *g = p->gens.v[i];

		if (g->number == number)
			return g;
	}
	return NULL;
}

const struct profile_gen *profile_current(const struct profile *p)
{
	return p->current ? profile_find(p, p->current) : NULL;
}

int profile_check(const struct profile *p, struct err *e)
{
	if (!p->current || profile_current(p))
		return 0;
	return err_set(e, -ERR_INVALID,
		       "%s/%s leads to generation %u, which is not there [switch to another one]",
		       p->dir, p->name, p->current);
}

unsigned profile_next(const struct profile *p)
{
	const struct profile_gen *last = p->gens.n ? p->gens.v[p->gens.n - 1] : NULL;

	return MAX_OF(last ? last->number : 0, p->current) + 1;
}

int profile_select(struct profile *p, unsigned number, struct err *e)
{
	char *target = arena_fmt(&p->arena, "%s-%u-link", p->name, number);
	char *link = profile_link(p);
	int r = target && link ? file_symlink_atomic(AT_FDCWD, target, link, e) : no_memory(e);

	if (r == 0)
		p->current = number;
	return r;
}

int profile_remove(struct profile *p, unsigned number, struct err *e)
{
	char *link = profile_gen_link(p, number);

	if (!link)
		return no_memory(e);
	if (unlink(link) < 0 && errno != ENOENT)
		return err_sys(e, "%s", link);
	return file_sync(AT_FDCWD, p->dir, e);
}

/* ---- Patterns -------------------------------------------------------------------------------- */

/* "7" or "2..5" */
static int match_range(const struct profile_gen *g, struct slice part, bool *ret)
{
	const char *dots = memmem(part.p, part.n, "..", 2);
	struct slice low = part, high = part;
	uint64_t a, b;

	if (dots) {
		low.n = (size_t)(dots - part.p);
		high = (struct slice){ dots + 2, part.n - low.n - 2 };
	}
	if (text_u64(low, PROFILE_NUMBER_MAX, &a) < 0 || text_u64(high, PROFILE_NUMBER_MAX, &b) < 0)
		return -ERR_SYNTAX;
	if (g->number >= a && g->number <= b)
		*ret = true;
	return 0;
}

bool profile_pattern_is_age(const char *pattern)
{
	uint64_t ns;

	return pattern[0] && strspn(pattern, "0123456789.,") < strlen(pattern) &&
	       text_duration(slice_of(pattern), &ns) == 0;
}

int profile_matches(const struct profile_gen *g, const char *pattern, int64_t now, bool *ret,
		    struct err *e)
{
	struct slice rest = slice_of(pattern), part;
	uint64_t ns = 0;
	int r = 0;

	*ret = false;
	if (profile_pattern_is_age(pattern)) {
		(void)text_duration(slice_of(pattern), &ns);
		*ret = g->date < now - (int64_t)(ns / 1000000000u);
		return 0;
	}
	while (r == 0 && slice_cut(&rest, ',', &part))
		r = match_range(g, part, ret);
	return r == 0 ? 0
		      : err_set(e, -ERR_USAGE,
				"'%s' means no generations: give 7, 2..5, a list with commas, or "
				"30d",
				pattern);
}

/* ---- Manifest -------------------------------------------------------------------------------- */

#define AT(f) offsetof(struct profile_entry, f)
static const struct conf_key entry_keys[] = {
	CONF_KEY("version", conf_parse_str, AT(version), "", "of the package", false),
	CONF_KEY("output", conf_parse_str, AT(output), "out", "which one", false),
	CONF_KEY("path", conf_parse_str, AT(path), NULL, "store item", false),
};

struct reader {
	struct vec *entries;
	struct arena *a;
};

static int entry_section(void *arg, struct conf_ctx *c, struct slice kind, struct slice name)
{
	struct reader *r = arg;
	struct profile_entry *x = ARENA_NEW(r->a, struct profile_entry);

	if (!slice_is(kind, "package") || !name.n)
		return conf_error(c, "unknown section");
	if (r->entries->n == LIMIT_PROFILE_WORDS)
		return conf_error(c, "more than %d packages", LIMIT_PROFILE_WORDS);
	if (!x)
		return conf_no_memory(c);
	*x = (struct profile_entry){ arena_slice(r->a, name), "", "out", "" };
	vec_add(r->entries, x);
	c->object = x;
	return r->entries->err || !x->name ? conf_no_memory(c) : 0;
}

int profile_manifest(struct profile *p, const char *item, struct vec *ret, struct err *e)
{
	auto_str struct str text = STR_INIT;
	char *file = arena_fmt(&p->arena, "%s%s/manifest", p->root, item);
	struct reader r = { ret, &p->arena };
	int rc;

	if (!file)
		return no_memory(e);
	rc = file_read(AT_FDCWD, file, &text, LIMIT_PROFILE_TEXT, e);
	if (rc < 0)
		return rc == -ENOENT ? err_hint(e, rc, "this is not a profile of cairn package")
				     : rc;
	rc = conf_parse(str_slice(&text), file, entry_keys, ARRAY_LEN(entry_keys), entry_section,
			&r, &p->arena, e);
	for (size_t i = 0; rc == 0 && i < ret->n; i++) {
		const struct profile_entry *x = ret->v[i];

		if (store_path_check(p->store_dir, slice_of(x->path), e) < 0)
			rc = err_wrap(e, e->code, "%s: package %s", file, x->name);
	}
	return rc;
}

void profile_manifest_text(const struct vec *entries, struct str *out)
{
	for (size_t i = 0; i < entries->n; i++) {
		const struct profile_entry *x = entries->v[i];

		str_addf(out, "[package %s]\n", x->name);
		if (x->version[0])
			str_addf(out, "version = %s\n", x->version);
		str_addf(out, "output = %s\npath = %s\n", x->output, x->path);
	}
}
