/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "store/local/export.h"

#include <errno.h>

#include "lib/size.h"
#include "lib/wire.h"
#include "store/format/protocol.h"

#define EXPORT_MAGIC	0x4558494eu
#define SIGNATURE_BYTES 65536u

/* ---- Writing --------------------------------------------------------------------------------- */

/* Bytes on their way out, hashed: all, and those of the archive alone. */
struct hashing_sink {
	struct nar_sink sink;
	struct nar_sink *out;
	struct hasher *all, *nar; /* owned; NULL: not any more */
};

static int hashing_write(struct nar_sink *s, const void *p, size_t n, struct err *e)
{
	struct hashing_sink *h = CONTAINER_OF(s, struct hashing_sink, sink);
	if (h->all)
		hasher_add(h->all, p, n);
	if (h->nar)
		hasher_add(h->nar, p, n);
	return h->out->write(h->out, p, n, e);
}

static struct digest hash_end(struct hasher **h)
{
	struct digest d = hasher_end(*h);
	*h = NULL;
	return d;
}

/* What is damaged must not go out under our signature. */
static int check_unchanged(const struct store_info *info, const struct digest *got, struct err *e)
{
	char a[DIGEST_TEXT_MAX], b[DIGEST_TEXT_MAX];
	if (digest_eq(&info->nar_hash, got))
		return 0;
	digest_hex(&info->nar_hash, a);
	digest_hex(got, b);
	return err_set(e, -ERR_HASH, "hash of path `%s' has changed from %s to %s", info->path, a,
		       b);
}

static int write_str(struct nar_sink *out, const struct str *text, struct err *e)
{
	if (str_err(text))
		return err_set(e, -ENOMEM, "out of memory");
	return out->write(out, text->buf, text->len, e);
}

static int write_facts(struct nar_sink *out, const struct store_info *info, struct err *e)
{
	auto_str struct str text = STR_INIT;
	wr_u64(&text, EXPORT_MAGIC);
	wr_cstr(&text, info->path);
	wr_u64(&text, info->nrefs);
	for (size_t i = 0; i < info->nrefs; i++)
		wr_cstr(&text, info->refs[i]);
	wr_cstr(&text, info->deriver ? info->deriver : "");
	return write_str(out, &text, e);
}

static int write_signature(struct nar_sink *out, const struct signer *signer,
			   const struct digest *hash, struct err *e)
{
	auto_str struct str text = STR_INIT;
	auto_str struct str sig = STR_INIT;
	int r = signer ? signer_sign_guix(signer, hash, &sig, e) : 0;
	wr_u64(&text, signer != NULL);
	if (signer)
		wr_str(&text, str_slice(&sig));
	return r ? r : write_str(out, &text, e);
}

int export_item(struct local *l, const char *path, const struct signer *signer,
		struct nar_sink *out, struct err *e)
{
	auto_arena struct arena a = ARENA_INIT;
	struct store_info *info;
	struct hashing_sink h = { .sink = { hashing_write }, .out = out };
	int r = local_temp_root(l, path, e);
	if (!r)
		r = local_info(l, &a, path, &info, e);
	if (!r && (hasher_new(DIGEST_SHA256, &h.all) || hasher_new(DIGEST_SHA256, &h.nar)))
		r = err_set(e, -ENOMEM, "out of memory");
	if (!r)
		r = nar_dump(l->store_fd, local_base(l, path), NULL, NULL, &h.sink, e);
	if (!r) {
		struct digest got = hash_end(&h.nar);
		r = check_unchanged(info, &got, e);
	}
	if (!r)
		r = write_facts(&h.sink, info, e);
	if (!r) {
		struct digest all = hash_end(&h.all);
		r = write_signature(out, signer, &all, e);
	}
	hasher_free(h.all);
	hasher_free(h.nar);
	return r;
}

/* ---- Reading --------------------------------------------------------------------------------- */

struct reader {
	struct nar_source source; /* hashes what goes through */
	struct nar_source *in;
	struct hasher *hash; /* owned; NULL: not now */
	size_t left;	     /* bytes this item may take besides its archive */
	struct arena *a;     /* of the item */
	struct err *e;
	int err; /* sticky */
};

static int hashing_read(struct nar_source *s, void *p, size_t n, struct err *e)
{
	struct reader *x = CONTAINER_OF(s, struct reader, source);
	int r = x->in->read(x->in, p, n, e);
	if (!r && x->hash)
		hasher_add(x->hash, p, n);
	return r;
}

static int refuse(struct reader *x, const char *what)
{
	if (!x->err)
		x->err = err_set(x->e, -ERR_PROTO, "%s", what);
	return x->err;
}

static void read_bytes(struct reader *x, void *p, size_t n)
{
	memset(p, 0, n);
	if (!x->err)
		x->err = x->source.read(&x->source, p, n, x->e);
}

static uint64_t read_u64(struct reader *x)
{
	uint8_t b[8];
	read_bytes(x, b, sizeof(b));
	struct rd r = rd_of(b, sizeof(b));
	return rd_u64(&r);
}

/* Text without NUL unless any_bytes; "" after a failure. */
static struct slice read_text(struct reader *x, size_t max, bool any_bytes)
{
	uint64_t n = read_u64(x);
	char pad[8];
	if (x->err)
		return SLICE("");
	if (n > max || n > x->left) {
		refuse(x, "a text of the bundle is too long");
		return SLICE("");
	}
	x->left -= (size_t)n;
	char *p = arena_alloc(x->a, (size_t)n + 1);
	if (!p) {
		x->err = err_set(x->e, -ENOMEM, "out of memory");
		return SLICE("");
	}
	read_bytes(x, p, (size_t)n);
	p[n] = 0;
	read_bytes(x, pad, wire_pad(n));
	for (size_t i = 0; i < wire_pad(n); i++)
		if (pad[i])
			refuse(x, "the padding of a text of the bundle is not zero");
	if (!any_bytes && memchr(p, 0, (size_t)n))
		refuse(x, "a text of the bundle has a NUL byte");
	return x->err ? SLICE("") : (struct slice){ p, (size_t)n };
}

static void read_facts(struct reader *x, struct store_info *info, struct vec *refs)
{
	if (read_u64(x) != EXPORT_MAGIC)
		refuse(x, "an item of the bundle has no facts about it");
	info->path = read_text(x, PROTO_LIMIT_PATH, false).p;
	uint64_t n = read_u64(x);
	if (n > PROTO_LIMIT_LIST)
		refuse(x, "an item of the bundle has too many references");
	for (uint64_t i = 0; i < n && !x->err && !refs->err; i++)
		vec_add(refs, (char *)(uintptr_t)read_text(x, PROTO_LIMIT_PATH, false).p);
	info->deriver = read_text(x, PROTO_LIMIT_PATH, false).p;
	if (refs->err && !x->err)
		x->err = err_set(x->e, -ENOMEM, "out of memory");
	info->refs = (const char **)refs->v;
	info->nrefs = refs->n;
}

static int check_facts(struct local *l, struct store_info *info, struct err *e)
{
	bool known = false;
	int r = local_check_path(l, info->path, e);
	for (size_t i = 0; !r && i < info->nrefs; i++)
		r = local_check_path(l, info->refs[i], e);
	if (!r && *info->deriver)
		r = local_check_path(l, info->deriver, e);
	if (!r && *info->deriver)
		r = local_is_valid(l, info->deriver, &known, e);
	if (!known)
		info->deriver = "";
	return r;
}

static int check_signature(struct reader *x, const struct trust *trust, const char *path)
{
	struct digest hash = hash_end(&x->hash);
	bool has = read_u64(x) == 1;
	struct slice sig = has ? read_text(x, SIGNATURE_BYTES, true) : SLICE("");
	if (x->err)
		return x->err;
	if (!has)
		return err_set(x->e, -ERR_INVALID, "imported archive of `%s' lacks a signature",
			       path);
	struct err why = ERR_INIT;
	if (trust_check_guix(trust, sig, &hash, &why))
		return err_set(x->e, -ERR_INVALID,
			       "the signature of `%s' is not to be believed: %s", path, why.msg);
	return 0;
}

static int read_item(struct local *l, struct reader *x, const struct trust *trust,
		     struct arena *paths, struct vec *ret)
{
	struct local_tree tree;
	struct store_info info = { .path = "" };
	auto_vec struct vec refs = VEC_INIT;
	if (hasher_new(DIGEST_SHA256, &x->hash))
		return err_set(x->e, -ENOMEM, "out of memory");
	int r = local_unpack(l, &x->source, &tree, x->e);
	if (r)
		return r;
	read_facts(x, &info, &refs);
	r = x->err;
	if (!r)
		r = check_signature(x, trust, info.path);
	if (!r)
		r = check_facts(l, &info, x->e);
	if (r)
		local_tree_drop(&tree);
	else
		r = local_add_tree(l, &info, &tree, x->e);
	if (!r)
		vec_add(ret, arena_str(paths, info.path));
	return r;
}

int export_read(struct local *l, struct arena *a, struct nar_source *in, const struct trust *trust,
		struct vec *ret, struct err *e)
{
	int r = 0;
	while (!r) {
		auto_arena struct arena item = ARENA_INIT;
		struct reader x = { .source = { hashing_read },
				    .in = in,
				    .left = PROTO_LIMIT_REQUEST,
				    .a = &item,
				    .e = e };
		uint64_t more = read_u64(&x);
		if (!x.err && more > 1)
			refuse(&x, "this is no bundle of exported items");
		if (!x.err && !more)
			break;
		r = x.err ? x.err : read_item(l, &x, trust, a, ret);
		hasher_free(x.hash);
	}
	if (!r && (ret->err || arena_err(a)))
		r = err_set(e, -ENOMEM, "out of memory");
	return r;
}
