/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "store/format/narinfo.h"

#include <errno.h>
#include <unistd.h>

#include "lib/base64.h"
#include "lib/size.h"
#include "lib/text.h"
#include "store/format/ca.h"
#include "store/limits.h"

#define SIGNATURE     "Signature:"
#define SIZE_MAX_ITEM ((uint64_t)1 << 62)

struct reader {
	struct arena *a;
	enum dialect d;
	const char *store_dir;
	struct narinfo *n;
	bool is_signed; /* the line is covered by a signature */
	struct narinfo_file files[LIMIT_NARINFO_FILES];
	size_t urls, kinds, sizes;
	struct str sigs;
	unsigned seen; /* bits of fields */
	struct err *e;
};

/* ---- Fields ---------------------------------------------------------------------------------- */

static int bad(struct reader *r, const char *what)
{
	return err_set(r->e, -ERR_SYNTAX, "bad %s in a narinfo", what);
}

/* STORE/base, checked; NULL when it is no name of an item. */
static const char *item(struct reader *r, struct slice base)
{
	char *path = arena_fmt(r->a, "%s/%.*s", r->store_dir, (int)base.n, base.p);

	return path && !store_path_check(r->store_dir, slice_of(path), NULL) ? path : NULL;
}

static int read_path(struct reader *r, struct slice v)
{
	r->n->info.path = arena_slice(r->a, v);
	return store_path_check(r->store_dir, v, NULL) ? bad(r, "StorePath") : 0;
}

static int read_hash(struct reader *r, struct slice v)
{
	struct slice algo;

	if (!slice_cut(&v, ':', &algo) || !slice_is(algo, "sha256") || !v.p ||
	    digest_parse(DIGEST_SHA256, v, &r->n->info.nar_hash))
		return bad(r, "NarHash");
	return 0;
}

static int read_size(struct reader *r, struct slice v)
{
	if (text_u64(v, SIZE_MAX_ITEM, &r->n->info.nar_size) || !r->n->info.nar_size)
		return bad(r, "NarSize");
	return 0;
}

static int read_refs(struct reader *r, struct slice v)
{
	auto_vec struct vec refs = VEC_INIT;
	struct slice word;

	while (v.n && slice_cut(&v, ' ', &word)) {
		const char *path = word.n ? item(r, word) : NULL;

		if (!path || refs.n >= LIMIT_NARINFO_REFS)
			return bad(r, "References");
		vec_add(&refs, (void *)(uintptr_t)path);
	}
	vec_sort_str(&refs);
	vec_uniq_str(&refs);
	r->n->info.refs = arena_dup(r->a, refs.v, refs.n * sizeof(char *));
	r->n->info.nrefs = refs.n;
	return refs.err ? err_set(r->e, -ENOMEM, "out of memory") : 0;
}

static int read_deriver(struct reader *r, struct slice v)
{
	const char *path;

	if (!v.n || slice_is(v, "unknown-deriver"))
		return 0;
	path = item(r, v);
	if (!path || !slice_ends(v, ".drv"))
		return bad(r, "Deriver");
	r->n->info.deriver = path;
	return 0;
}

static int read_url(struct reader *r, struct slice v)
{
	if (!v.n || v.n > LIMIT_NARINFO_URL || r->urls >= LIMIT_NARINFO_FILES)
		return bad(r, "URL");
	for (size_t i = 0; i < v.n; i++)
		if ((unsigned char)v.p[i] <= ' ' || (unsigned char)v.p[i] >= 127)
			return bad(r, "URL");
	r->files[r->urls++].url = arena_slice(r->a, v);
	return 0;
}

static int read_kind(struct reader *r, struct slice v)
{
	struct narinfo_file *f = &r->files[r->kinds];

	if (r->kinds >= LIMIT_NARINFO_FILES)
		return bad(r, "Compression");
	f->known = zip_parse(v, &f->kind) == 0;
	r->kinds++;
	return 0;
}

static int read_file_size(struct reader *r, struct slice v)
{
	if (r->sizes >= LIMIT_NARINFO_FILES || text_u64(v, SIZE_MAX_ITEM, &r->files[r->sizes].size))
		return bad(r, "FileSize");
	r->sizes++;
	return 0;
}

static int read_sig(struct reader *r, struct slice v)
{
	if (!v.n || memchr(v.p, ' ', v.n) || r->sigs.len > LIMIT_NARINFO_SIGS)
		return bad(r, "Sig");
	str_addf(&r->sigs, "%s%.*s", r->sigs.len ? " " : "", (int)v.n, v.p);
	return 0;
}

static int read_ca(struct reader *r, struct slice v)
{
	r->n->info.ca = arena_slice(r->a, v);
	return 0;
}

/* "1;HOST;BASE64" */
static int read_signature(struct reader *r, struct slice v)
{
	struct str sexp = STR_INIT;
	struct slice version, host;
	int ret = 0;

	if (!slice_cut(&v, ';', &version) || !slice_is(version, "1") ||
	    !slice_cut(&v, ';', &host) || !v.n || base64_decode(v, &sexp))
		ret = bad(r, "Signature");
	else
		r->n->sig = (struct slice){ arena_slice(r->a, str_slice(&sexp)), sexp.len };
	str_done(&sexp);
	return ret;
}

#define IN_GUIX (1U << DIALECT_GUIX)
#define IN_NIX	(1U << DIALECT_NIX)

enum cover { SIGNED, UNSIGNED, MANY }; /* MANY: unsigned, and may be repeated */

static const struct field {
	const char *name;
	unsigned in;
	enum cover cover[2]; /* in each dialect */
	int (*read)(struct reader *r, struct slice v);
} fields[] = {
	{ "StorePath", IN_GUIX | IN_NIX, { SIGNED, SIGNED }, read_path },
	{ "NarHash", IN_GUIX | IN_NIX, { SIGNED, SIGNED }, read_hash },
	{ "NarSize", IN_GUIX | IN_NIX, { SIGNED, SIGNED }, read_size },
	{ "References", IN_GUIX | IN_NIX, { SIGNED, SIGNED }, read_refs },
	{ "Deriver", IN_GUIX | IN_NIX, { SIGNED, UNSIGNED }, read_deriver },
	{ "Signature", IN_GUIX, { UNSIGNED, UNSIGNED }, read_signature },
	{ "Sig", IN_NIX, { MANY, MANY }, read_sig },
	{ "CA", IN_NIX, { UNSIGNED, UNSIGNED }, read_ca },
	{ "URL", IN_GUIX | IN_NIX, { MANY, UNSIGNED }, read_url },
	{ "Compression", IN_GUIX | IN_NIX, { MANY, UNSIGNED }, read_kind },
	{ "FileSize", IN_GUIX | IN_NIX, { MANY, UNSIGNED }, read_file_size },
};
#define MANDATORY 0xf /* the first four */

/* ---- Reading --------------------------------------------------------------------------------- */

static int read_field(struct reader *r, const struct field *f, struct slice value)
{
	unsigned bit = 1U << (f - fields);

	if (f->cover[r->d] == SIGNED && !r->is_signed)
		return err_set(r->e, -ERR_SYNTAX, "%s in a narinfo is not signed", f->name);
	if (f->cover[r->d] != MANY && (r->seen & bit))
		return err_set(r->e, -ERR_SYNTAX, "%s stands twice in a narinfo", f->name);
	r->seen |= bit;
	return f->read(r, value);
}

/* "Name: value"; "Name:" for an empty one. */
static int read_line(struct reader *r, struct slice line)
{
	struct slice name, v = line;

	if (!slice_cut(&v, ':', &name) || !v.p || !name.n || name.n > 100 ||
	    (v.n && v.p[0] != ' ') || memchr(line.p, '\r', line.n) || memchr(line.p, 0, line.n))
		return bad(r, "line");
	if (v.n) {
		v.p++;
		v.n--;
	}
	for (size_t i = 0; i < ARRAY_LEN(fields); i++)
		if ((fields[i].in & (1U << r->d)) && slice_is(name, fields[i].name))
			return read_field(r, &fields[i], v);
	return 0;
}

/* Where the signed part ends: before the first Signature, which must begin a line. */
static int find_signature(struct reader *r, struct slice text, const char **ret)
{
	const char *p = memmem(text.p, text.n, SIGNATURE, strlen(SIGNATURE));

	if (!p)
		return err_set(r->e, -ERR_SYNTAX, "a narinfo without signature");
	if (p != text.p && p[-1] != '\n')
		return bad(r, "line");
	r->n->signed_text = (struct slice){ text.p, (size_t)(p - text.p) };
	*ret = p;
	return 0;
}

static int read_lines(struct reader *r, struct slice text)
{
	const char *split = NULL;
	struct slice line;
	int ret = 0;

	if (text.n > LIMIT_NARINFO)
		return err_set(r->e, -ERR_LIMIT, "a narinfo is too large");
	if (!text.n || text.p[text.n - 1] != '\n')
		return err_set(r->e, -ERR_SYNTAX, "a narinfo is cut short");
	if (r->d == DIALECT_GUIX)
		ret = find_signature(r, text, &split);
	text.n--; /* the last line end begins no line */
	while (ret == 0 && slice_cut(&text, '\n', &line)) {
		r->is_signed = !split || line.p < split;
		ret = read_line(r, line);
	}
	if (ret == 0 && ((r->seen & MANDATORY) != MANDATORY || !r->urls))
		ret = err_set(r->e, -ERR_SYNTAX, "a narinfo lacks a field");
	return ret;
}

/* Where Compression is left out Nix means bzip2. */
static int take_files(struct reader *r)
{
	struct narinfo *n = r->n;

	if (r->d == DIALECT_NIX && !r->kinds)
		r->files[r->kinds++] = (struct narinfo_file){ .url = r->files[0].url,
							      .kind = ZIP_BZIP2,
							      .known = true,
							      .size = r->files[0].size };
	if (r->kinds != r->urls || (r->sizes && r->sizes != r->urls))
		return bad(r, "number of URLs");
	n->files = arena_dup(r->a, r->files, r->urls * sizeof(r->files[0]));
	n->nfiles = r->urls;
	n->info.sigs = arena_slice(r->a, str_slice(&r->sigs));
	return arena_err(r->a) || str_err(&r->sigs) ? err_set(r->e, -ENOMEM, "out of memory") : 0;
}

int narinfo_parse(struct arena *a, enum dialect d, const char *store_dir, struct slice text,
		  struct narinfo **ret, struct err *e)
{
	struct reader r = { .a = a,
			    .d = d,
			    .store_dir = store_dir,
			    .n = ARENA_NEW(a, struct narinfo),
			    .sigs = STR_INIT,
			    .e = e };
	int code;

	if (!r.n)
		return err_set(e, -ENOMEM, "out of memory");
	r.n->info.deriver = "";
	r.n->info.ca = "";
	code = read_lines(&r, text);
	if (code == 0)
		code = take_files(&r);
	str_done(&r.sigs);
	if (code == 0)
		*ret = r.n;
	return code;
}

/* ---- Trust ----------------------------------------------------------------------------------- */

static void add_hash(const struct store_info *info, struct str *out)
{
	char hash[DIGEST_TEXT_MAX];

	digest_base32(&info->nar_hash, hash);
	str_addf(out, "sha256:%s", hash);
}

void narinfo_fingerprint(const struct store_info *info, struct str *out)
{
	str_addf(out, "1;%s;", info->path);
	add_hash(info, out);
	str_addf(out, ";%llu;", (unsigned long long)info->nar_size);
	for (size_t i = 0; i < info->nrefs; i++)
		str_addf(out, "%s%s", i ? "," : "", info->refs[i]);
}

static int check_nix(const struct store_info *info, const char *store_dir, const struct trust *t,
		     struct err *e)
{
	auto_str struct str text = STR_INIT;
	struct slice rest = slice_of(info->sigs), sig;

	if (*info->ca && ca_names(store_dir, info))
		return 0;
	narinfo_fingerprint(info, &text);
	if (str_err(&text))
		return err_set(e, -ENOMEM, "out of memory");
	while (rest.n && slice_cut(&rest, ' ', &sig))
		if (trust_check_nix(t, sig, str_slice(&text)))
			return 0;
	return err_set(e, -ERR_INVALID, "no signature by a trusted key");
}

int narinfo_check(const struct narinfo *n, enum dialect d, const char *store_dir,
		  const struct trust *t, struct err *e)
{
	struct digest hash;

	if (d == DIALECT_NIX)
		return check_nix(&n->info, store_dir, t, e);
	hash = digest_of(DIGEST_SHA256, n->signed_text.p, n->signed_text.n);
	return trust_check_guix(t, n->sig, &hash, e);
}

/* ---- Writing --------------------------------------------------------------------------------- */

static void add_refs(const struct store_info *info, const char *store_dir, struct str *out)
{
	str_add(out, "References:");
	for (size_t i = 0; i < info->nrefs; i++) {
		struct slice base = store_path_base(store_dir, slice_of(info->refs[i]));

		str_addf(out, " %.*s", (int)base.n, base.p);
	}
	str_add(out, info->nrefs ? "\n" : " \n");
}

static void add_facts(const struct store_info *info, const char *store_dir, struct str *out)
{
	str_addf(out, "StorePath: %s\nNarHash: ", info->path);
	add_hash(info, out);
	str_addf(out, "\nNarSize: %llu\n", (unsigned long long)info->nar_size);
	add_refs(info, store_dir, out);
	if (info->deriver && *info->deriver) {
		struct slice base = store_path_base(store_dir, slice_of(info->deriver));

		str_addf(out, "Deriver: %.*s\n", (int)base.n, base.p);
	}
}

static void add_file(const struct narinfo_file *f, struct str *out)
{
	str_addf(out, "URL: %s\nCompression: %s\n", f->url, zip_name(f->kind));
	if (f->sha256)
		str_addf(out, "FileHash: %s\n", f->sha256);
	if (f->size)
		str_addf(out, "FileSize: %llu\n", (unsigned long long)f->size);
}

static int sign_guix(const struct signer *s, struct str *out, struct err *e)
{
	auto_str struct str sexp = STR_INIT;
	struct digest hash = digest_of(DIGEST_SHA256, out->buf, out->len);
	char host[65] = "";
	int r = signer_sign_guix(s, &hash, &sexp, e);

	if (r < 0)
		return r;
	if (gethostname(host, sizeof(host) - 1) < 0 || !*host || strpbrk(host, ";\n"))
		memcpy(host, "localhost", 10);
	str_addf(out, SIGNATURE " 1;%s;", host);
	base64_add(out, sexp.buf, sexp.len);
	str_addc(out, '\n');
	return 0;
}

static int sign_nix(const struct store_info *info, const struct signer *s, struct str *out,
		    struct err *e)
{
	auto_str struct str text = STR_INIT, sig = STR_INIT;
	struct slice rest = slice_of(info->sigs ? info->sigs : ""), word;
	int r;

	narinfo_fingerprint(info, &text);
	r = signer_sign_nix(s, str_slice(&text), &sig, e);
	if (r < 0)
		return r;
	str_addf(out, "Sig: %s\n", sig.buf);
	while (rest.n && slice_cut(&rest, ' ', &word))
		if (word.n && !slice_is(word, sig.buf))
			str_addf(out, "Sig: %.*s\n", (int)word.n, word.p);
	if (info->ca && *info->ca)
		str_addf(out, "CA: %s\n", info->ca);
	return 0;
}

int narinfo_format(const struct store_info *info, enum dialect d, const char *store_dir,
		   const struct narinfo_file *files, size_t nfiles, const struct signer *s,
		   struct str *out, struct err *e)
{
	auto_str struct str text = STR_INIT;
	int r;

	add_facts(info, store_dir, &text);
	r = d == DIALECT_NIX ? sign_nix(info, s, &text, e) : sign_guix(s, &text, e);
	for (size_t i = 0; r == 0 && i < (d == DIALECT_NIX ? MIN_OF(nfiles, (size_t)1) : nfiles);
	     i++)
		add_file(&files[i], &text);
	if (r == 0 && str_err(&text))
		r = err_set(e, -ENOMEM, "out of memory");
	if (r == 0)
		str_adds(out, str_slice(&text));
	return r;
}
