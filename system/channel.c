/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "system/channel.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>

#include "lib/conf.h"
#include "lib/fd.h"
#include "lib/path.h"
#include "lib/proc.h"
#include "lib/size.h"
#include "lib/text.h"
#include "store/store.h"
#include "system/generation.h"

#define SIGNATURE  "# signature "
#define GIT_PREFIX "git+"
#define TREE	   "tree"

static int no_memory(struct err *e)
{
	return err_set(e, -ENOMEM, "out of memory");
}

/* ---- Texts ----------------------------------------------------------------------------------- */

#define AT(f) offsetof(struct channel, f)
static const struct conf_key channel_keys[] = {
	CONF_KEY("name", conf_parse_str, AT(name), "", "of the channel", false),
	CONF_KEY("serial", conf_parse_u64, AT(serial), "", "number of the tree", false),
	CONF_KEY("date", conf_parse_u64, AT(date), "", "when it was signed", false),
	CONF_KEY("hash", conf_parse_str, AT(hash), "", "of the tree", false),
	CONF_KEY("size", conf_parse_u64, AT(size), "", "of its NAR", false),
	CONF_KEY("archive", conf_parse_str, AT(archive), "", "file with the NAR", false),
	CONF_KEY("previous", conf_parse_str, AT(previous), "", "the index before", false),
	CONF_KEY("index", conf_parse_str, AT(index), "", "hash of the index", false),
	CONF_KEY("url", conf_parse_str, AT(url), "", "where it is from", false),
	CONF_KEY("key", conf_parse_str, AT(key), "", "who signs it", false),
};

static int channel_section(void *arg, struct conf_ctx *c, struct slice kind, struct slice name)
{
	if (!slice_is(kind, "channel") || name.n || ((struct channel *)arg)->name)
		return conf_error(c, "expected one section [channel]");
	*(struct channel *)arg = (struct channel){ "", 0, 0, "", "", "", 0, "", "", "" };
	c->object = arg;
	return 0;
}

static int parse(struct arena *a, struct slice text, const char *file, struct channel *ret,
		 struct err *e)
{
	struct channel c = { 0 };
	int r = conf_parse(text, file, channel_keys, ARRAY_LEN(channel_keys), channel_section, &c,
			   a, e);

	if (r == 0 && !c.name)
		r = err_set(e, -ERR_SYNTAX, "%s: there is no section [channel]", file);
	if (r == 0)
		*ret = c;
	return r;
}

int channel_load(struct arena *a, const char *file, struct channel *ret, struct err *e)
{
	auto_str struct str text = STR_INIT;
	struct err tmp = ERR_INIT;
	int r = file_read(AT_FDCWD, file, &text, LIMIT_CHANNEL_INDEX, &tmp);

	if (r == -ENOENT)
		return r;
	return r < 0 ? err_set(e, r, "%s", tmp.msg) : parse(a, str_slice(&text), file, ret, e);
}

int channel_of(const struct sys_root *r, struct arena *a, const char *system, struct channel *ret)
{
	char *dir = gen_part(r, a, system, "modules");
	char *file = dir ? arena_fmt(a, "%s/" CHANNEL_RECORD, dir) : NULL;
	struct err ignored = ERR_INIT;

	return file ? channel_load(a, file, ret, &ignored) : -ENOMEM;
}

void channel_record_text(const struct channel *c, struct str *out)
{
	str_addf(out,
		 "[channel]\nname = %s\nserial = %llu\ndate = %llu\nindex = %s\nurl = %s\n"
		 "key = %s\n",
		 c->name, (unsigned long long)c->serial, (unsigned long long)c->date, c->index,
		 c->url, c->key);
}

void channel_json(const struct channel *c, struct str *out)
{
	const char *const texts[][2] = { { "name", c->name },
					 { "url", c->url },
					 { "key", c->key } };

	str_addf(out, "{\"serial\":%llu,\"date\":%llu", (unsigned long long)c->serial,
		 (unsigned long long)c->date);
	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		str_addf(out, ",\"%s\":", texts[i][0]);
		text_json(out, slice_of(texts[i][1]));
	}
	str_addc(out, '}');
}

static void index_text(const struct channel *c, struct str *out)
{
	str_addf(out, "[channel]\nname = %s\nserial = %llu\ndate = %llu\nhash = %s\nsize = %llu\n",
		 c->name, (unsigned long long)c->serial, (unsigned long long)c->date, c->hash,
		 (unsigned long long)c->size);
	if (c->archive[0])
		str_addf(out, "archive = %s\n", c->archive);
	if (c->previous[0])
		str_addf(out, "previous = %s\n", c->previous);
}

/* A word that may stand in file names and on a line of its own. */
static bool is_plain(const char *s)
{
	return s[0] && s[0] != '.' && s[0] != '-' && strlen(s) <= 100 &&
	       strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") ==
		       strlen(s);
}

static bool is_hash(const char *s)
{
	struct digest d;

	return strlen(s) == 64 && digest_parse(DIGEST_SHA256, slice_of(s), &d) == 0;
}

static int check_index(const struct channel *c, const char *url, struct err *e)
{
	const char *why = NULL;

	if (!is_plain(c->name))
		why = "name";
	else if (!c->serial || c->serial > CHANNEL_SERIAL_MAX)
		why = "serial";
	else if (!is_hash(c->hash))
		why = "hash";
	else if (c->archive[0] && !is_plain(c->archive))
		why = "archive";
	else if (c->previous[0] && !is_hash(c->previous))
		why = "previous";
	else if (!c->size || c->size > LIMIT_CHANNEL_TREE)
		why = "size";
	return why ? err_set(e, -ERR_INVALID, "%s: the index has no usable '%s'", url, why) : 0;
}

/* The signed part of the text of an index, and its signature. */
static int split(struct slice text, struct slice *ret_signed, struct slice *ret_sig)
{
	const char *at = memmem(text.p, text.n, "\n" SIGNATURE, strlen(SIGNATURE) + 1);
	size_t n = at ? (size_t)(at - text.p) + 1 : 0;

	if (!at)
		return -ERR_SYNTAX;
	*ret_signed = (struct slice){ text.p, n };
	n += strlen(SIGNATURE);
	*ret_sig = slice_trim((struct slice){ text.p + n, text.n - n });
	return memchr(ret_sig->p, '\n', ret_sig->n) ? -ERR_SYNTAX : 0;
}

static char *text_hash(struct arena *a, struct slice text)
{
	struct digest d = digest_of(DIGEST_SHA256, text.p, text.n);
	char hex[DIGEST_TEXT_MAX];

	digest_hex(&d, hex);
	return arena_str(a, hex);
}

/* What is in an index, once key is known to have signed it. */
static int open_index(struct arena *a, struct slice text, const char *url, const char *key,
		      struct channel *ret, struct err *e)
{
	struct slice body, sig;
	struct channel c;
	int r = split(text, &body, &sig);

	if (r < 0)
		return err_set(e, -ERR_INVALID, "%s: the index has no signature", url);
	if (key && (r = store_key_check(key, sig, body, e)) < 0)
		return err_wrap(e, r, "%s", url);
	r = parse(a, body, url, &c, e);
	if (r == 0)
		r = check_index(&c, url, e);
	if (r < 0)
		return r;
	c.index = text_hash(a, body);
	c.url = arena_str(a, url);
	c.key = key ? arena_str(a, key) : "";
	*ret = c;
	return arena_err(a) ? no_memory(e) : 0;
}

/* ---- Getting it ------------------------------------------------------------------------------ */

static bool is_git(const char *url)
{
	return strncmp(url, GIT_PREFIX, strlen(GIT_PREFIX)) == 0;
}

/* git+https://HOST/REPOSITORY[#BRANCH]. Only the content is believed, and that not before its hash
 * is checked; no program of the repository runs. */
static int clone(const char *url, const char *tree, struct err *e)
{
	auto_arena struct arena a = ARENA_INIT;
	const char *from = url + strlen(GIT_PREFIX), *hash = strchr(from, '#');
	const char *repo = hash ? arena_strn(&a, from, (size_t)(hash - from)) : from;
	const char *argv[24] = { "env",
				 "GIT_TERMINAL_PROMPT=0",
				 "GIT_CONFIG_NOSYSTEM=1",
				 "GIT_CONFIG_GLOBAL=/dev/null",
				 "GIT_ALLOW_PROTOCOL=https:ssh:file",
				 "git",
				 "-c",
				 "core.autocrlf=false",
				 "-c",
				 "core.hooksPath=/dev/null",
				 "clone",
				 "-q",
				 "--depth=1",
				 "--template=" };
	struct proc_spec spec = PROC_SPEC_INIT;
	size_t n = 14;
	int r;

	if (hash) {
		argv[n++] = "--branch";
		argv[n++] = hash + 1;
	}
	argv[n++] = "--";
	argv[n++] = repo;
	argv[n++] = tree;
	if (arena_err(&a))
		return no_memory(e);
	if (hash && hash[1] == '-')
		return err_set(e, -ERR_USAGE, "%s: that is no name of a branch", url);
	spec.argv = argv;
	spec.dies_with_us = true;
	r = proc_run(&spec, e);
	return r < 0 ? err_set(e, -ERR_FETCH, "%s cannot be cloned", url) : 0;
}

/* URL/NAME in a */
static char *below(struct arena *a, const char *url, const char *name)
{
	size_t n = strlen(url);

	return arena_fmt(a, "%s%s%s", url, n && url[n - 1] == '/' ? "" : "/", name);
}

int channel_fetch_index(struct arena *a, const char *url, const char *key, const char *dir,
			struct channel *ret, struct err *e)
{
	auto_str struct str text = STR_INIT;
	char *tree = arena_fmt(a, "%s/" TREE, dir);
	char *file = is_git(url) ? arena_fmt(a, "%s/" CHANNEL_INDEX, tree)
				 : below(a, url, CHANNEL_INDEX);
	int r;

	if (!tree || !file)
		return no_memory(e);
	if (is_git(url)) {
		struct stat st;

		r = clone(url, tree, e);
		if (r == 0 && (lstat(file, &st) < 0 || !S_ISREG(st.st_mode)))
			r = err_set(e, -ERR_NOTFOUND, "%s: the repository has no file %s", url,
				    CHANNEL_INDEX);
		if (r == 0)
			r = file_read(AT_FDCWD, file, &text, LIMIT_CHANNEL_INDEX, e);
	} else {
		r = fetch_text(file, LIMIT_CHANNEL_INDEX, &text, e);
	}
	return r < 0 ? r : open_index(a, str_slice(&text), url, key, ret, e);
}

static bool is_tree_file(void *arg, const char *rel, unsigned mode)
{
	(void)arg;
	(void)mode;
	return strcmp(rel, ".git") != 0 && strcmp(rel, CHANNEL_INDEX) != 0;
}

/* The hash of a tree that has its index in it. */
static int tree_hash(const char *path, char hex[DIGEST_TEXT_MAX], uint64_t *ret_size, struct err *e)
{
	struct digest d;
	int r = nar_hash(AT_FDCWD, path, DIGEST_SHA256, is_tree_file, NULL, &d, ret_size, e);

	if (r == 0)
		digest_hex(&d, hex);
	return r;
}

static int check_clone(const struct channel *c, const char *tree, struct err *e)
{
	auto_arena struct arena a = ARENA_INIT;
	char hex[DIGEST_TEXT_MAX];
	uint64_t size = 0;
	int r = tree_hash(tree, hex, &size, e);

	if (r < 0)
		return r;
	if (strcmp(hex, c->hash) != 0)
		return err_set(e, -ERR_HASH, "%s: the tree has the hash %s, but %s was signed",
			       c->url, hex, c->hash);
	r = file_delete_tree(AT_FDCWD, arena_fmt(&a, "%s/.git", tree), NULL, e);
	if (r == 0)
		r = file_delete_tree(AT_FDCWD, arena_fmt(&a, "%s/" CHANNEL_INDEX, tree), NULL, e);
	return r;
}

static int unpack(const struct channel *c, int dirfd, struct err *e)
{
	auto_arena struct arena a = ARENA_INIT;
	auto_fd int fd = openat(dirfd, "archive", O_RDONLY | O_CLOEXEC);
	struct nar_source *in = fd < 0 ? NULL : nar_source_fd(&a, fd);
	char byte;
	int r;

	if (fd < 0)
		return err_sys(e, "archive");
	r = in ? nar_restore(in, dirfd, TREE, e) : no_memory(e);
	if (r == 0 && read(fd, &byte, 1) != 0)
		r = err_set(e, -ERR_INVALID, "there is something behind its end");
	return r < 0 ? err_wrap(e, r, "%s: %s", c->url, c->archive) : 0;
}

static int fetch_archive(const struct channel *c, const char *dir, struct err *e)
{
	auto_arena struct arena a = ARENA_INIT;
	auto_fd int dirfd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	const char *url = below(&a, c->url, c->archive);
	struct digest want;
	struct stat st;
	int r;

	if (dirfd < 0)
		return err_sys(e, "%s", dir);
	if (!url)
		return no_memory(e);
	r = digest_parse(DIGEST_SHA256, slice_of(c->hash), &want);
	if (r == 0)
		r = fetch_signed(url, c->size, &want, dirfd, "archive", e);
	if (r < 0)
		return r;
	if (fstatat(dirfd, "archive", &st, AT_SYMLINK_NOFOLLOW) < 0 ||
	    (uint64_t)st.st_size != c->size)
		return err_set(e, -ERR_INVALID, "%s does not have the size that was signed", url);
	return unpack(c, dirfd, e);
}

int channel_fetch_tree(const struct channel *c, const char *dir, struct err *e)
{
	auto_arena struct arena a = ARENA_INIT;
	char *tree = arena_fmt(&a, "%s/" TREE, dir);

	if (!tree)
		return no_memory(e);
	if (is_git(c->url))
		return check_clone(c, tree, e);
	if (!c->archive[0])
		return err_set(e, -ERR_INVALID,
			       "%s: the index names no archive [a git repository is git+%s]",
			       c->url, c->url);
	return fetch_archive(c, dir, e);
}

int channel_compare(const struct channel *old, const struct channel *c, bool *ret_same,
		    struct err *e)
{
	*ret_same = strcmp(old->index, c->index) == 0;
	if (*ret_same)
		return 0;
	/* One key can sign several: by way of another name one could be led to an older tree. */
	if (strcmp(old->name, c->name) != 0)
		return err_set(e, -ERR_INVALID,
			       "%s has the channel %s, but this machine has %s [--allow-downgrade "
			       "goes over to it]",
			       c->url, c->name, old->name);
	if (c->serial < old->serial)
		return err_set(e, -ERR_INVALID,
			       "%s has number %llu of %s, but this machine has %llu [it can be an "
			       "attack: --allow-downgrade goes back all the same]",
			       c->url, (unsigned long long)c->serial, c->name,
			       (unsigned long long)old->serial);
	if (c->serial == old->serial ||
	    (c->serial == old->serial + 1 && strcmp(c->previous, old->index) != 0))
		return err_set(e, -ERR_INVALID,
			       "number %llu of %s at %s does not follow what this machine has: two "
			       "histories were signed [--allow-downgrade takes it all the same]",
			       (unsigned long long)c->serial, c->name, c->url);
	return 0;
}

/* ---- Signing --------------------------------------------------------------------------------- */

/* The index that is in the directory so far; *ret_there false: none. */
static int load_before(struct arena *a, const char *file, struct channel *ret, bool *ret_there,
		       struct err *e)
{
	auto_str struct str text = STR_INIT;
	struct err tmp = ERR_INIT;
	int r = file_read(AT_FDCWD, file, &text, LIMIT_CHANNEL_INDEX, &tmp);

	*ret_there = r == 0;
	if (r == -ENOENT)
		return 0;
	return r < 0 ? err_set(e, r, "%s", tmp.msg)
		     : open_index(a, str_slice(&text), file, NULL, ret, e);
}

static int hash_archive(const char *file, char hex[DIGEST_TEXT_MAX], uint64_t *ret_size,
			struct err *e)
{
	auto_fd int fd = open(file, O_RDONLY | O_CLOEXEC);
	struct hasher *h = NULL;
	char buf[65536];
	struct digest d;
	ssize_t n = 0;
	int r;

	if (fd < 0)
		return err_sys(e, "%s", file);
	r = hasher_new(DIGEST_SHA256, &h);
	if (r < 0)
		return err_num(e, r, "%s", file);
	*ret_size = 0;
	while ((n = fd_read_some(fd, buf, sizeof(buf))) > 0) {
		hasher_add(h, buf, (size_t)n);
		*ret_size += (uint64_t)n;
	}
	d = hasher_end(h);
	digest_hex(&d, hex);
	return n < 0 ? err_num(e, (int)n, "%s", file) : 0;
}

/* The archive gets its name before the index that mentions it is seen. */
static int place_archive(struct arena *a, const struct channel_sign *s, struct channel *c,
			 struct err *e)
{
	char *to;

	c->archive = arena_fmt(a, "%s-%llu.nar", c->name, (unsigned long long)c->serial);
	to = arena_fmt(a, "%s/%s", s->dir, c->archive ? c->archive : "");
	if (!to || !c->archive)
		return no_memory(e);
	if (rename(s->archive, to) < 0)
		return err_sys(e, "%s", to);
	return file_sync(AT_FDCWD, s->dir, e);
}

static int write_index(const struct channel_sign *s, const char *file, struct channel *c,
		       struct arena *a, struct err *e)
{
	auto_str struct str text = STR_INIT, sig = STR_INIT, public = STR_INIT;
	int r;

	index_text(c, &text);
	if (str_err(&text))
		return no_memory(e);
	c->index = text_hash(a, str_slice(&text));
	r = store_key_sign(s->key_file, str_slice(&text), &sig, &public, e);
	if (r < 0)
		return r;
	c->key = arena_slice(a, slice_trim(str_slice(&public)));
	str_addf(&text, SIGNATURE "%s\n", sig.buf);
	if (str_err(&text) || arena_err(a))
		return no_memory(e);
	return file_write_atomic(AT_FDCWD, file, text.buf, text.len, 0644, e);
}

int channel_sign(struct arena *a, const struct channel_sign *s, struct channel *ret, struct err *e)
{
	char *file = arena_fmt(a, "%s/" CHANNEL_INDEX, s->dir), hex[DIGEST_TEXT_MAX];
	struct channel before, c = { "", 0, 0, "", "", "", 0, "", "", "" };
	bool there = false;
	int r = file ? load_before(a, file, &before, &there, e) : no_memory(e);

	if (r < 0)
		return r;
	if (!there && !s->name)
		return err_set(e, -ERR_USAGE, "%s is new: give it a name with --name", file);
	c.name = s->name ? s->name : before.name;
	c.serial = s->serial ? s->serial : there ? before.serial + 1 : 1;
	c.date = s->date;
	c.previous = there ? before.index : "";
	if (there && strcmp(before.name, c.name) == 0 && c.serial <= before.serial)
		return err_set(e, -ERR_INVALID, "%s has number %llu already: machines refuse %llu",
			       file, (unsigned long long)before.serial,
			       (unsigned long long)c.serial);
	r = s->in_tree ? tree_hash(s->dir, hex, &c.size, e)
		       : hash_archive(s->archive, hex, &c.size, e);
	c.hash = hex;
	if (r == 0)
		r = check_index(&c, file, e);
	if (r == 0 && !s->in_tree)
		r = place_archive(a, s, &c, e);
	if (r == 0)
		r = write_index(s, file, &c, a, e);
	c.hash = arena_str(a, hex);
	if (r == 0)
		*ret = c;
	return r;
}
