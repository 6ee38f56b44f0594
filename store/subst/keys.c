/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "store/subst/keys.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "lib/base64.h"
#include "lib/fd.h"
#include "lib/path.h"
#include "store/format/crypto.h"

#define SECRET	  "signing-key.sec"
#define PUBLIC	  "signing-key.pub"
#define ACL	  "acl"
#define TRUSTED	  "trusted-public-keys"
#define DECLARED  "authorized-keys"
#define LOCK	  ".keys.lock"
#define KEY_NAME  100
#define TAG	  "(3:tag(4:guix6:import))"
#define EMPTY_ACL "(3:acl)"

/* ---- Lists of trusted keys ------------------------------------------------------------------- */

/* A public key and nothing else, of a kind that is known. */
static bool is_public(struct slice canon)
{
	struct slice rest, inner;
	struct sexp_item key;

	if (!sexp_is(canon, "public-key", &rest) || !sexp_next(&rest, &key) || rest.n)
		return false;
	return sexp_is(key.whole, "ecc", &inner) || sexp_is(key.whole, "rsa", &inner);
}

/* (entry (public-key …) (tag (guix import))): the key of an entry that may import. */
static bool entry_key(struct slice entry, struct slice *ret)
{
	struct slice rest;
	struct sexp_item key, tag;

	if (!sexp_is(entry, "entry", &rest) || !sexp_next(&rest, &key) || !sexp_next(&rest, &tag) ||
	    rest.n || !is_public(key.whole) || !slice_is(tag.whole, TAG))
		return false;
	*ret = key.whole;
	return true;
}

static void add_guix(struct trust *t, struct slice canon)
{
	struct slice *key = ARENA_NEW(&t->a, struct slice);

	if (key)
		*key = (struct slice){ arena_slice(&t->a, canon), canon.n };
	vec_add(&t->guix, key);
}

static int parse_acl(struct trust *t, struct slice text, const char *file, struct err *e)
{
	auto_str struct str canon = STR_INIT;
	struct slice rest, key;
	struct sexp_item entry;

	if (sexp_canon(text, &canon) < 0 || !sexp_is(str_slice(&canon), "acl", &rest))
		return err_set(e, -ERR_SYNTAX, "%s is no access control list", file);
	while (rest.n) {
		if (!sexp_next(&rest, &entry) || !entry_key(entry.whole, &key))
			return err_set(e, -ERR_SYNTAX,
				       "%s has an entry that is no key with (tag (guix import))",
				       file);
		add_guix(t, key);
	}
	return arena_err(&t->a) ? err_set(e, -ENOMEM, "out of memory") : 0;
}

/* "NAME:BASE64" with n bytes behind the colon; the bytes are appended to out. */
static int parse_named(struct slice text, size_t n, struct slice *ret_name, struct str *out)
{
	struct slice rest = text, name;

	if (!slice_cut(&rest, ':', &name) || !rest.p || !name.n || name.n > KEY_NAME ||
	    memchr(text.p, ' ', text.n) || memchr(text.p, '\n', text.n))
		return -ERR_SYNTAX;
	*ret_name = name;
	return base64_decode(rest, out) < 0 || out->len != n ? -ERR_SYNTAX : 0;
}

static int add_nix(struct trust *t, struct slice word, struct err *e)
{
	auto_str struct str bytes = STR_INIT;
	struct slice name;

	if (parse_named(word, ED25519_PUBLIC, &name, &bytes) < 0)
		return err_set(e, -ERR_SYNTAX, "'%.*s' is no public key [like NAME:BASE64]",
			       (int)(word.n < 200 ? word.n : 200), word.p);
	vec_add(&t->nix, arena_slice(&t->a, word));
	return arena_err(&t->a) || t->nix.err ? err_set(e, -ENOMEM, "out of memory") : 0;
}

static int add_words(struct trust *t, struct slice line, struct err *e)
{
	struct slice word;
	int r = 0;

	while (r == 0 && slice_cut(&line, ' ', &word))
		if (word.n)
			r = add_nix(t, word, e);
	return r;
}

int trust_add_words(struct trust *t, const char *words, struct err *e)
{
	return add_words(t, slice_of(words), e);
}

static int parse_lines(struct trust *t, struct slice text, const char *file, struct err *e)
{
	struct slice line;
	int r = 0;

	while (r == 0 && slice_cut(&text, '\n', &line)) {
		line = slice_trim(line);
		if (line.n && line.p[0] != '#')
			r = add_words(t, line, e);
	}
	return r < 0 ? err_wrap(e, r, "%s", file) : 0;
}

/* What is wrong with a key in Guix's form; NULL: nothing. A list that was made by --authorize may
 * have others, which no signature is by. */
static const char *flaw_of(struct slice canon)
{
	struct slice rest, inner, v;
	struct sexp_item key, part, curve = { .list = true }, q = { .list = true };

	if (sexp_is(canon, "private-key", &rest))
		return "this is a private key, which is to stay where it was made";
	if (!is_public(canon))
		return "this is no public key";
	if (!sexp_is(canon, "public-key", &rest) || !sexp_next(&rest, &key) ||
	    !sexp_is(key.whole, "ecc", &inner))
		return NULL;
	while (sexp_next(&inner, &part)) {
		if (sexp_is(part.whole, "curve", &v))
			(void)sexp_next(&v, &curve); /* what is none is a list still */
		else if (sexp_is(part.whole, "q", &v))
			(void)sexp_next(&v, &q);
	}
	if (curve.list || q.list)
		return "this public key lacks its curve or its point";
	if (slice_is(curve.v, "Ed25519") && q.v.n != 32)
		return "the point of this public key has not 32 bytes";
	return NULL;
}

/* Length of the expression that text begins with, in the notation for people; 0: it has no end. */
static size_t expression_length(struct slice text)
{
	size_t depth = 0;
	bool quoted = false;

	for (size_t i = 0; i < text.n; i++) {
		char c = text.p[i];

		if (c == '"')
			quoted = !quoted;
		else if (quoted)
			i += c == '\\';
		else if (c == '(')
			depth++;
		else if (c == ')' && !--depth)
			return i + 1;
	}
	return 0;
}

static size_t run_length(struct slice text, const char *ends)
{
	size_t n = 0;

	while (n < text.n && !strchr(ends, text.p[n])) /* a NUL byte ends it, too */
		n++;
	return n;
}

/* Take the key in Guix's form that text begins with; NULL, or what is wrong. */
static const char *take_expression(struct trust *t, struct slice text, size_t *ret)
{
	auto_str struct str canon = STR_INIT;
	size_t n = expression_length(text);
	const char *why;

	if (!n)
		return "the parenthesis that opens here is not closed";
	if (sexp_canon((struct slice){ text.p, n }, &canon) < 0)
		return "this is no expression like (public-key (ecc ...))";
	why = flaw_of(str_slice(&canon));
	if (!why)
		add_guix(t, str_slice(&canon));
	*ret = n;
	return why;
}

static const char *take_word(struct trust *t, struct slice text, size_t *ret)
{
	auto_str struct str bytes = STR_INIT;
	struct slice name, word = { text.p, run_length(text, " \t\r\n") };

	/* What it is is not shown: it may be a secret key. */
	if (parse_named(word, ED25519_PUBLIC, &name, &bytes) < 0)
		return "this is no public key, neither (public-key (ecc ...)) nor NAME:BASE64";
	vec_add(&t->nix, arena_slice(&t->a, word));
	*ret = word.n;
	return NULL;
}

static int parse_keys(struct trust *t, struct slice text, const char *file, struct err *e)
{
	unsigned line = 1;

	while (text.n) {
		const char *why = NULL;
		char c = text.p[0];
		size_t n = 1;

		if (c == '#')
			n = run_length(text, "\n");
		else if (c == '(')
			why = take_expression(t, text, &n);
		else if (!strchr(" \t\r\n", c) || !c)
			why = take_word(t, text, &n);
		if (why)
			return file ? err_set(e, -ERR_SYNTAX, "%s:%u: %s", file, line, why)
				    : err_set(e, -ERR_SYNTAX, "line %u: %s", line, why);
		for (size_t i = 0; i < n; i++)
			line += text.p[i] == '\n';
		text = (struct slice){ text.p + n, text.n - n };
	}
	return arena_err(&t->a) || t->guix.err || t->nix.err ? err_set(e, -ENOMEM, "out of memory")
							     : 0;
}

int store_keys_check(struct slice text, bool *ret_guix, bool *ret_nix, struct err *e)
{
	struct trust t = TRUST_INIT;
	int r = parse_keys(&t, text, NULL, e);

	if (r == 0 && !t.guix.n && !t.nix.n)
		r = err_set(e, -ERR_SYNTAX, "there is no key in it");
	if (r == 0) {
		*ret_guix = t.guix.n;
		*ret_nix = t.nix.n;
	}
	trust_done(&t);
	return r;
}

typedef int parse_fn(struct trust *t, struct slice text, const char *file, struct err *e);

/* Only the administrator may decide whom to trust. */
static int check_owner(int fd, const char *file, struct err *e)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return err_sys(e, "%s", file);
	if ((st.st_uid != 0 && st.st_uid != geteuid()) || (st.st_mode & 022))
		return err_set(e, -ERR_INVALID, "%s can be changed by others [chmod go-w]", file);
	return 0;
}

static int load_file(struct trust *t, const char *dir, const char *name, parse_fn *parse,
		     struct err *e)
{
	auto_str struct str text = STR_INIT;
	char file[PATH_MAX];
	int r = path_join(file, dir, name);

	if (r < 0)
		return err_num(e, r, "%s", dir);
	auto_fd int fd = open(file, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	if (fd < 0)
		return errno == ENOENT || errno == ENOTDIR ? 0 : err_sys(e, "cannot open %s", file);
	r = check_owner(fd, file, e);
	if (r < 0)
		return r;
	r = fd_read_all(fd, &text, LIMIT_KEY_FILE);
	return r < 0 ? err_num(e, r, "cannot read %s", file) : parse(t, str_slice(&text), file, e);
}

int trust_load(struct trust *t, const char *conf_dir, struct err *e)
{
	int r = load_file(t, conf_dir, ACL, parse_acl, e);

	if (r == 0)
		r = load_file(t, conf_dir, TRUSTED, parse_lines, e);
	return r == 0 ? load_file(t, conf_dir, DECLARED, parse_keys, e) : r;
}

void trust_done(struct trust *t)
{
	vec_done(&t->guix);
	vec_done(&t->nix);
	arena_done(&t->a);
}

/* ---- Checking signatures --------------------------------------------------------------------- */

struct guix_sig {
	struct slice data, value, key; /* canonical */
	struct slice hash;	       /* bytes */
};

/* (hash sha256 BYTES) */
static bool parse_hash(struct slice canon, struct slice *ret)
{
	struct slice rest;
	struct sexp_item algo, bytes;

	if (!sexp_is(canon, "hash", &rest) || !sexp_next(&rest, &algo) ||
	    !sexp_next(&rest, &bytes) || rest.n || algo.list || bytes.list ||
	    !slice_is(algo.v, "sha256") || bytes.v.n != 32)
		return false;
	*ret = bytes.v;
	return true;
}

/* (signature (data (flags …) (hash sha256 …)) (sig-val …) (public-key …)) and nothing more */
static bool parse_sig(struct slice canon, struct guix_sig *ret)
{
	struct slice rest, data, inner;
	struct sexp_item part[3], flags, hash;

	if (!sexp_is(canon, "signature", &rest))
		return false;
	for (int i = 0; i < 3; i++)
		if (!sexp_next(&rest, &part[i]))
			return false;
	if (rest.n || !sexp_is(part[0].whole, "data", &data) || !sexp_next(&data, &flags) ||
	    !sexp_next(&data, &hash) || data.n || !parse_hash(hash.whole, &ret->hash))
		return false;
	if (!slice_is(flags.whole, "(5:flags7:rfc6979)") &&
	    !slice_is(flags.whole, "(5:flags5:pkcs1)"))
		return false;
	if (!sexp_is(part[1].whole, "sig-val", &inner) || !is_public(part[2].whole))
		return false;
	ret->data = part[0].whole;
	ret->value = part[1].whole;
	ret->key = part[2].whole;
	return true;
}

static bool is_trusted(const struct trust *t, struct slice key)
{
	for (size_t i = 0; i < t->guix.n; i++)
		if (slice_eq(*(struct slice *)t->guix.v[i], key))
			return true;
	return false;
}

/* want NULL: any hash. */
static int check_guix(const struct trust *t, struct slice sexp, const struct digest *want,
		      struct digest *ret, struct err *e)
{
	auto_str struct str canon = STR_INIT;
	struct guix_sig sig;
	int r;

	if (sexp_canon(sexp, &canon) < 0 || !parse_sig(str_slice(&canon), &sig))
		return err_set(e, -ERR_INVALID, "the signature is malformed");
	if (!is_trusted(t, sig.key))
		return err_hint(e,
				err_set(e, -ERR_INVALID,
					"the signature is by a key that is not authorized"),
				"cairn archive --authorize");
	if (want && memcmp(sig.hash.p, want->bytes, 32) != 0)
		return err_set(e, -ERR_INVALID, "the signature is of something else");
	r = pk_verify(sig.key, sig.data, sig.value, e);
	if (r == 0 && ret) {
		ret->algo = DIGEST_SHA256;
		memcpy(ret->bytes, sig.hash.p, 32);
	}
	return r;
}

int trust_check_guix(const struct trust *t, struct slice sexp, const struct digest *hash,
		     struct err *e)
{
	return check_guix(t, sexp, hash, NULL, e);
}

int trust_check_any(const struct trust *t, struct slice sexp, struct digest *ret, struct err *e)
{
	return check_guix(t, sexp, NULL, ret, e);
}

bool trust_check_nix(const struct trust *t, struct slice sig, struct slice text)
{
	auto_str struct str bytes = STR_INIT;
	struct slice name, have;

	if (parse_named(sig, ED25519_SIG, &name, &bytes) < 0)
		return false;
	for (size_t i = 0; i < t->nix.n; i++) {
		auto_str struct str key = STR_INIT;

		if (parse_named(slice_of(t->nix.v[i]), ED25519_PUBLIC, &have, &key) < 0 ||
		    !slice_eq(name, have))
			continue;
		if (ed25519_verify((uint8_t *)key.buf, text, (uint8_t *)bytes.buf))
			return true;
	}
	return false;
}

/* ---- Authorizing ----------------------------------------------------------------------------- */

static int write_list(const char *dir, const char *name, const struct str *text, struct err *e)
{
	char file[PATH_MAX];
	int r = path_join(file, dir, name);

	if (r < 0)
		return err_num(e, r, "%s", dir);
	if (str_err(text) < 0)
		return err_set(e, -ENOMEM, "out of memory");
	r = file_mkdir_p(AT_FDCWD, dir, 0755, e);
	return r == 0 ? file_write_atomic(AT_FDCWD, file, text->buf, text->len, 0644, e) : r;
}

static int write_acl(const struct trust *t, const char *dir, struct err *e)
{
	auto_str struct str canon = STR_INIT, text = STR_INIT;

	str_add(&canon, "(3:acl");
	for (size_t i = 0; i < t->guix.n; i++) {
		str_add(&canon, "(5:entry");
		str_adds(&canon, *(struct slice *)t->guix.v[i]);
		str_add(&canon, TAG ")");
	}
	str_addc(&canon, ')');
	sexp_format(str_slice(&canon), &text);
	return write_list(dir, ACL, &text, e);
}

/* Of two that change what is in dir one waits for the other, or a key would be lost. Ends when
 * *ret is closed. */
static int lock_dir(const char *dir, int *ret, struct err *e)
{
	char file[PATH_MAX];
	int r = file_mkdir_p(AT_FDCWD, dir, 0755, e);

	if (r < 0)
		return r;
	r = path_join(file, dir, LOCK);
	if (r < 0)
		return err_num(e, r, "%s", dir);
	/* A file that others cannot open: the directory itself could be locked by anybody. */
	auto_fd int fd = open(file, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return err_sys(e, "cannot open %s", file);
	r = fd_lock(fd, true, true);
	if (r < 0)
		return err_num(e, r, "cannot lock %s", file);
	*ret = fd_take(&fd);
	return 0;
}

static int authorize_guix(struct slice canon, const char *dir, struct err *e)
{
	struct trust t = TRUST_INIT;
	int r = load_file(&t, dir, ACL, parse_acl, e);

	if (r == 0 && !is_trusted(&t, canon)) {
		add_guix(&t, canon);
		r = arena_err(&t.a) || t.guix.err ? err_set(e, -ENOMEM, "out of memory")
						  : write_acl(&t, dir, e);
	}
	trust_done(&t);
	return r;
}

static int authorize_nix(struct slice key, const char *dir, struct err *e)
{
	struct trust t = TRUST_INIT;
	auto_str struct str text = STR_INIT;
	bool known = false;
	int r = load_file(&t, dir, TRUSTED, parse_lines, e);

	for (size_t i = 0; i < t.nix.n; i++) {
		known |= slice_is(key, t.nix.v[i]);
		str_addf(&text, "%s\n", (char *)t.nix.v[i]);
	}
	if (r == 0 && !known) {
		str_adds(&text, key);
		str_addc(&text, '\n');
		r = write_list(dir, TRUSTED, &text, e);
	}
	trust_done(&t);
	return r;
}

/* text is a public key, and of which family; canon: that of a key of Guix's. */
static int read_public(struct slice text, struct str *canon, enum dialect *ret, struct err *e)
{
	struct trust t = TRUST_INIT;
	int r = 0;

	if (!text.n)
		return err_set(e, -ERR_SYNTAX, "the public key is empty");
	*ret = text.p[0] == '(' ? DIALECT_GUIX : DIALECT_NIX;
	if (*ret == DIALECT_NIX)
		r = add_nix(&t, text, e);
	else if (sexp_canon(text, canon) < 0 || !is_public(str_slice(canon)))
		r = err_hint(e, err_set(e, -ERR_SYNTAX, "this is no public key"),
			     "like (public-key (ecc …)), or NAME:BASE64");
	trust_done(&t);
	return r;
}

/* locked: the directory's lock is held. */
static int authorize(struct slice key, keys_dir_fn *dir, void *arg, bool locked, struct err *e)
{
	auto_str struct str canon = STR_INIT;
	auto_fd int lock = -1;
	enum dialect d = DIALECT_GUIX;
	int r;

	key = slice_trim(key);
	r = read_public(key, &canon, &d, e);
	if (r == 0 && !locked)
		r = lock_dir(dir(arg, d), &lock, e);
	if (r < 0)
		return r;
	return d == DIALECT_GUIX ? authorize_guix(str_slice(&canon), dir(arg, d), e)
				 : authorize_nix(key, dir(arg, d), e);
}

int trust_authorize(struct slice key, keys_dir_fn *dir, void *arg, struct err *e)
{
	return authorize(key, dir, arg, false, e);
}

/* ---- The signing key ------------------------------------------------------------------------- */

enum dialect signer_family(const struct signer *s)
{
	return s->guix.len ? DIALECT_GUIX : DIALECT_NIX;
}

static int read_secret(const char *file, struct str *out, struct err *e)
{
	struct stat st;
	auto_fd int fd = open(file, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	int r;

	if (fd < 0 || fstat(fd, &st) < 0)
		return errno == ENOENT ? err_hint(e, err_sys(e, "signing key %s", file),
						  "make one with 'cairn archive --generate-key'")
				       : err_sys(e, "signing key %s", file);
	if (st.st_mode & 077)
		return err_set(e, -ERR_INVALID,
			       "others have access to the signing key %s [chmod go= %s]", file,
			       file);
	r = fd_read_all(fd, out, LIMIT_SEXP);
	if (r < 0)
		return err_num(e, r, "cannot read %s", file);
	return out->len ? 0 : err_set(e, -ERR_INVALID, "the signing key %s is empty", file);
}

int signer_load(struct signer *s, const char *file, struct err *e)
{
	auto_str struct str text = STR_INIT, bytes = STR_INIT;
	struct slice rest, name;
	int r = read_secret(file, &text, e);

	if (r < 0)
		return r;
	if (text.buf[0] == '(') {
		r = sexp_canon(str_slice(&text), &s->guix);
		if (r == 0 && !sexp_is(str_slice(&s->guix), "private-key", &rest))
			r = -ERR_SYNTAX;
	} else {
		r = parse_named(slice_trim(str_slice(&text)), ED25519_SECRET, &name, &bytes);
		if (r == 0) {
			memcpy(s->nix, bytes.buf, ED25519_SECRET);
			str_adds(&s->name, name);
			r = str_err(&s->name);
		}
	}
	return r < 0 ? err_set(e, -ERR_INVALID, "%s is no signing key", file) : 0;
}

/* (public-key …) of a (private-key (ALGO … (d …))): all but d. Only for keys on curves. */
static int public_canon(const struct signer *s, struct str *out)
{
	struct slice rest, inner;
	struct sexp_item key, item;
	struct slice d;

	if (!sexp_is(str_slice(&s->guix), "private-key", &rest) || !sexp_next(&rest, &key) ||
	    !sexp_is(key.whole, "ecc", &inner))
		return -ERR_SYNTAX;
	str_add(out, "(10:public-key(3:ecc");
	while (sexp_next(&inner, &item))
		if (!sexp_is(item.whole, "d", &d))
			str_adds(out, item.whole);
	str_add(out, "))");
	return str_err(out);
}

int signer_public(const struct signer *s, struct str *out, struct err *e)
{
	auto_str struct str canon = STR_INIT;

	if (signer_family(s) == DIALECT_NIX) {
		str_adds(out, str_slice(&s->name));
		str_addc(out, ':');
		base64_add(out, s->nix + 32, ED25519_PUBLIC);
		str_addc(out, '\n');
	} else if (public_canon(s, &canon) < 0) {
		return err_set(e, -ERR_UNSUPPORTED, "the signing key is not on a curve");
	} else {
		sexp_format(str_slice(&canon), out);
	}
	return str_err(out) ? err_set(e, -ENOMEM, "out of memory") : 0;
}

int signer_sign_guix(const struct signer *s, const struct digest *hash, struct str *out,
		     struct err *e)
{
	auto_str struct str data = STR_INIT, value = STR_INIT, key = STR_INIT, all = STR_INIT;
	int r;

	if (signer_family(s) != DIALECT_GUIX)
		return err_set(e, -ERR_INVALID, "the signing key is not of Guix's form");
	str_add(&data, "(4:data(5:flags7:rfc6979)(4:hash6:sha256");
	sexp_atom(&data, hash->bytes, 32);
	str_add(&data, "))");
	if (public_canon(s, &key) < 0)
		return err_set(e, -ERR_UNSUPPORTED, "the signing key is not on a curve");
	r = pk_sign(str_slice(&s->guix), str_slice(&data), &value, e);
	if (r < 0)
		return r;
	str_add(&all, "(9:signature");
	str_adds(&all, str_slice(&data));
	str_adds(&all, str_slice(&value));
	str_adds(&all, str_slice(&key));
	str_addc(&all, ')');
	sexp_format(str_slice(&all), out);
	return str_err(out) ? err_set(e, -ENOMEM, "out of memory") : 0;
}

int signer_sign_nix(const struct signer *s, struct slice text, struct str *out, struct err *e)
{
	uint8_t sig[ED25519_SIG];
	int r;

	if (signer_family(s) != DIALECT_NIX)
		return err_set(e, -ERR_INVALID, "the signing key is not of Nix's form");
	r = ed25519_sign(s->nix, text, sig, e);
	if (r < 0)
		return r;
	str_adds(out, str_slice(&s->name));
	str_addc(out, ':');
	base64_add(out, sig, sizeof(sig));
	return str_err(out) ? err_set(e, -ENOMEM, "out of memory") : 0;
}

void signer_done(struct signer *s)
{
	explicit_bzero(s->nix, sizeof(s->nix));
	explicit_bzero(s->guix.buf, s->guix.len);
	str_done(&s->guix);
	str_done(&s->name);
}

/* ---- Making a key ---------------------------------------------------------------------------- */

static int make_secret(enum dialect d, const char *name, struct str *out, struct err *e)
{
	auto_str struct str public = STR_INIT, private = STR_INIT;
	uint8_t secret[ED25519_SECRET];
	int r;

	if (d == DIALECT_GUIX) {
		r = pk_generate(&public, &private, e);
		if (r == 0)
			sexp_format(str_slice(&private), out);
	} else {
		r = ed25519_generate(secret, e);
		str_addf(out, "%s:", name);
		base64_add(out, secret, sizeof(secret));
		str_addc(out, '\n');
		explicit_bzero(secret, sizeof(secret));
	}
	return r < 0 ? r : str_err(out) ? err_set(e, -ENOMEM, "out of memory") : 0;
}

static int check_name(const char *name, struct err *e)
{
	if (!*name || strlen(name) > KEY_NAME || strpbrk(name, ": \t\n"))
		return err_set(e, -ERR_INVALID, "'%s' is no name of a key", name);
	return 0;
}

int keys_make_secret(const char *name, struct str *out, struct err *e)
{
	int r = check_name(name, e);

	return r < 0 ? r : make_secret(DIALECT_NIX, name, out, e);
}

static const char *same_dir(void *arg, enum dialect d)
{
	(void)d;
	return arg;
}

/* The public file, and our own key among the trusted ones. */
static int publish_key(const char *conf_dir, const char *secret, struct err *e)
{
	struct signer s = SIGNER_INIT;
	auto_str struct str text = STR_INIT;
	int r = signer_load(&s, secret, e);

	if (r == 0)
		r = signer_public(&s, &text, e);
	if (r == 0)
		r = write_list(conf_dir, PUBLIC, &text, e);
	if (r == 0)
		r = authorize(str_slice(&text), same_dir, (void *)(uintptr_t)conf_dir, true, e);
	signer_done(&s);
	return r;
}

/* The secret key, unless a crash left one without its public key. */
static int make_signer(enum dialect d, const char *conf_dir, const char *name, const char *secret,
		       struct err *e)
{
	auto_str struct str text = STR_INIT;
	char public[PATH_MAX];
	bool exists = faccessat(AT_FDCWD, secret, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
	int r = path_join(public, conf_dir, PUBLIC);

	if (r < 0)
		return err_num(e, r, "%s", conf_dir);
	if (exists && access(public, F_OK) == 0)
		return err_set(e, -EEXIST, "there is a signing key already: %s", secret);
	if (exists)
		return 0;
	r = make_secret(d, name, &text, e);
	if (r == 0)
		r = file_write_atomic(AT_FDCWD, secret, text.buf, text.len, 0400, e);
	explicit_bzero(text.buf, text.len);
	return r;
}

int keys_generate(enum dialect d, const char *conf_dir, const char *name, struct err *e)
{
	auto_fd int lock = -1;
	char secret[PATH_MAX];
	int r = path_join(secret, conf_dir, SECRET);

	if (r < 0)
		return err_num(e, r, "%s", conf_dir);
	r = d == DIALECT_NIX ? check_name(name, e) : 0;
	if (r == 0)
		r = lock_dir(conf_dir, &lock, e);
	if (r == 0)
		r = make_signer(d, conf_dir, name, secret, e);
	return r == 0 ? publish_key(conf_dir, secret, e) : r;
}
