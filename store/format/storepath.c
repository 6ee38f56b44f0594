/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Store paths: STORE/<32 base32 characters>-<name>. The characters are a 160-bit fold of the
 * SHA-256 of "TYPE:sha256:HEX:STORE:NAME", where TYPE and HEX say how the item came to be.
 */
#include <errno.h>

#include "lib/text.h"
#include "store/format/base32.h"
#include "store/store.h"

static bool name_char(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       (c && strchr("+-._?=", c));
}

int store_name_check(struct slice name, struct err *e)
{
	auto_str struct str shown = STR_INIT;

	if (!name.n)
		return err_set(e, -ERR_INVALID, "a store item needs a name");
	for (size_t i = 0; i < name.n; i++)
		if (!name_char(name.p[i])) {
			text_safe(&shown, name);
			return err_set(e, -ERR_INVALID,
				       "name '%.250s' has a character that is not allowed in the "
				       "store [letters, digits and +-._?= are]",
				       shown.buf);
		}
	if (name.n > STORE_NAME_MAX)
		return err_set(e, -ERR_INVALID, "name '%.40s...' is longer than %d characters",
			       name.p, STORE_NAME_MAX);
	if (name.p[0] == '.')
		return err_set(e, -ERR_INVALID, "name '%.*s' begins with a dot", (int)name.n,
			       name.p);
	return 0;
}

/* The part after "STORE/"; empty when path is not below the store. */
static struct slice below_store(const char *store_dir, struct slice path)
{
	size_t n = strlen(store_dir);

	if (path.n < n + 2 || memcmp(path.p, store_dir, n) || path.p[n] != '/')
		return (struct slice){ NULL, 0 };
	return (struct slice){ path.p + n + 1, path.n - n - 1 };
}

static bool base_begins_well(struct slice base)
{
	if (base.n < STORE_HASH_CHARS + 2 || base.p[STORE_HASH_CHARS] != '-')
		return false;
	for (size_t i = 0; i < STORE_HASH_CHARS; i++)
		if (!base32_char(base.p[i]))
			return false;
	return true;
}

int store_path_check(const char *store_dir, struct slice path, struct err *e)
{
	struct slice base = below_store(store_dir, path), name;
	auto_str struct str shown = STR_INIT;
	struct err inner = ERR_INIT;
	const char *why;

	if (!base.p)
		why = "it does not lie in the store";
	else if (memchr(base.p, '/', base.n))
		why = "it lies inside a store item";
	else if (!base_begins_well(base))
		why = "the last part must be 32 base32 characters, a dash and a name";
	else {
		name = (struct slice){ base.p + STORE_HASH_CHARS + 1,
				       base.n - STORE_HASH_CHARS - 1 };
		if (!store_name_check(name, &inner))
			return 0;
		why = inner.msg;
	}
	text_safe(&shown, path);
	return err_set(e, -ERR_INVALID, "'%.300s' is not a store path: %s", shown.buf, why);
}

struct slice store_path_base(const char *store_dir, struct slice path)
{
	size_t n = strlen(store_dir) + 1;

	return (struct slice){ path.p + n, path.n - n };
}

struct slice store_path_name(const char *store_dir, struct slice path)
{
	size_t n = strlen(store_dir) + 1 + STORE_HASH_CHARS + 1;

	return (struct slice){ path.p + n, path.n - n };
}

struct slice store_path_item(const char *store_dir, struct slice path)
{
	struct slice base = below_store(store_dir, path);
	const char *slash;

	if (!base.p)
		return (struct slice){ NULL, 0 };
	slash = memchr(base.p, '/', base.n);
	if (slash)
		path.n = (size_t)(slash - path.p);
	return store_path_check(store_dir, path, NULL) < 0 ? (struct slice){ NULL, 0 } : path;
}

/* STORE/fold(sha256(TYPE:sha256:HEX:STORE:NAME))-NAME; type may be in error. */
static char *make_path(struct arena *a, const char *store_dir, const struct str *type,
		       const struct digest *hash, struct slice name, struct err *e)
{
	auto_str struct str s = STR_INIT;
	char hex[DIGEST_TEXT_MAX], text[STORE_HASH_CHARS + 1] = "";
	uint8_t folded[20] = { 0 };
	struct digest d;
	char *path;

	if (store_name_check(name, e) < 0)
		return NULL;
	digest_hex(hash, hex);
	str_adds(&s, str_slice(type));
	str_addf(&s, ":sha256:%s:%s:", hex, store_dir);
	str_adds(&s, name);
	if (str_err(type) < 0 || str_err(&s) < 0)
		return err_num(e, -ENOMEM, "store path"), NULL;
	d = digest_of(DIGEST_SHA256, s.buf, s.len);
	for (size_t i = 0; i < 32; i++)
		folded[i % 20] ^= d.bytes[i];
	base32_encode(folded, sizeof(folded), text);
	path = arena_fmt(a, "%s/%s-%.*s", store_dir, text, (int)name.n, name.p);
	if (!path)
		err_num(e, -ENOMEM, "store path");
	return path;
}

char *store_path_text_hash(struct arena *a, const char *store_dir, struct slice name,
			   const struct digest *contents, const char *const *refs, size_t nrefs,
			   struct err *e)
{
	auto_vec struct vec sorted = VEC_INIT;
	auto_str struct str type = STR_INIT;

	for (size_t i = 0; i < nrefs; i++)
		vec_add(&sorted, (void *)(uintptr_t)refs[i]);
	vec_sort_str(&sorted);
	vec_uniq_str(&sorted);
	if (sorted.err < 0)
		return err_num(e, sorted.err, "store path"), NULL;
	str_add(&type, "text");
	for (size_t i = 0; i < sorted.n; i++)
		str_addf(&type, ":%s", (const char *)sorted.v[i]);
	return make_path(a, store_dir, &type, contents, name, e);
}

char *store_path_text(struct arena *a, const char *store_dir, struct slice name,
		      struct slice contents, const char *const *refs, size_t nrefs, struct err *e)
{
	struct digest d = digest_of(DIGEST_SHA256, contents.p, contents.n);

	return store_path_text_hash(a, store_dir, name, &d, refs, nrefs, e);
}

char *store_path_fixed(struct arena *a, const char *store_dir, struct slice name, bool recursive,
		       const struct digest *hash, struct err *e)
{
	auto_str struct str type = STR_INIT, inner = STR_INIT;
	char hex[DIGEST_TEXT_MAX];
	struct digest d;

	if (recursive && hash->algo == DIGEST_SHA256) {
		str_add(&type, "source");
		return make_path(a, store_dir, &type, hash, name, e);
	}
	digest_hex(hash, hex);
	str_addf(&inner, "fixed:out:%s%s:%s:", recursive ? "r:" : "", digest_name(hash->algo), hex);
	if (str_err(&inner) < 0)
		return err_num(e, -ENOMEM, "store path"), NULL;
	d = digest_of(DIGEST_SHA256, inner.buf, inner.len);
	str_add(&type, "output:out");
	return make_path(a, store_dir, &type, &d, name, e);
}

char *store_path_output(struct arena *a, const char *store_dir, struct slice drv_name,
			const char *output, const struct digest *modulo, struct err *e)
{
	auto_str struct str type = STR_INIT, name = STR_INIT;

	str_addf(&type, "output:%s", output);
	str_adds(&name, drv_name);
	if (strcmp(output, "out"))
		str_addf(&name, "-%s", output);
	if (str_err(&name) < 0)
		return err_num(e, -ENOMEM, "store path"), NULL;
	return make_path(a, store_dir, &type, modulo, str_slice(&name), e);
}
