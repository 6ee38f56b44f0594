/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Derivations against vectors made with other implementations, and broken texts. */
#include <stdlib.h>
#include <time.h>

#include "lib/tab.h"
#include "store/limits.h"
#include "store/store.h"
#include "tests/unit/test.h"

/* One store directory with the hashes of the derivations made so far. */
struct world {
	const char *store;
	struct arena a;
	struct tab modulo; /* path of .drv -> struct digest * */
};

static int world_modulo(void *arg, const char *path, struct digest *ret, struct err *e)
{
	struct world *w = arg;
	struct digest *d = tab_find(&w->modulo, slice_of(path));

	if (!d)
		return err_set(e, -ERR_NOTFOUND, "%s is not known", path);
	*ret = *d;
	return 0;
}

static void world_done(struct world *w)
{
	tab_done(&w->modulo);
	arena_done(&w->a);
}

struct builder {
	struct world *w;
	struct drv *d;
	struct drv_env env[24];
	struct slice args[2];
	struct drv_input inputs[4];
	struct drv_output outputs[4];
	const char *sources[2];
};

static void begin(struct builder *b, struct world *w, const char *name, const char *arg)
{
	*b = (struct builder){ .w = w };
	b->d = ARENA_NEW(&w->a, struct drv);
	*b->d = (struct drv){ .name = name,
			      .outputs = b->outputs,
			      .inputs = b->inputs,
			      .sources = b->sources,
			      .system = "x86_64-linux",
			      .builder = "/bin/sh",
			      .args = b->args,
			      .env = b->env };
	if (arg) {
		b->args[0] = SLICE("-c");
		b->args[1] = slice_of(arg);
		b->d->nargs = 2;
	}
}

static void env(struct builder *b, const char *name, const char *value)
{
	b->env[b->d->nenv++] = (struct drv_env){ slice_of(name), slice_of(value) };
}

static void output(struct builder *b, const char *id, const char *algo, const char *hash)
{
	b->outputs[b->d->noutputs++] = (struct drv_output){ id, "", algo, hash };
}

static void input(struct builder *b, const char *drv, const char *const *outs, size_t n)
{
	b->inputs[b->d->ninputs++] = (struct drv_input){ drv, outs, n };
}

/* Fill in the outputs, remember the hash; the path of the .drv. */
static const char *end(struct builder *b)
{
	struct digest *modulo = ARENA_NEW(&b->w->a, struct digest);
	struct err e = ERR_INIT;
	struct drv *d = b->d;
	const char *path;

	env(b, "builder", "/bin/sh");
	env(b, "name", d->name);
	env(b, "system", "x86_64-linux");
	if (drv_fill_outputs(&b->w->a, b->w->store, d, world_modulo, b->w, &e) < 0 ||
	    drv_modulo(d, world_modulo, b->w, modulo, &e) < 0) {
		TEST_FAIL("%s", e.msg);
		return "";
	}
	CHECK_INT(drv_check_outputs(b->w->store, d, world_modulo, b->w, &e), 0);
	path = drv_path(&b->w->a, b->w->store, d, &e);
	*tab_put(&b->w->modulo, slice_of(path), NULL) = modulo;
	return path;
}

static void fixed_env(struct builder *b, const char *algo, const char *hash, const char *mode)
{
	env(b, "outputHash", hash);
	env(b, "outputHashAlgo", algo);
	env(b, "outputHashMode", mode);
}

static void check_modulo(struct world *w, const char *drv, const char *want)
{
	struct digest d;
	char hex[DIGEST_TEXT_MAX] = "";

	if (world_modulo(w, drv, &d, NULL) == 0)
		digest_hex(&d, hex);
	CHECK_STR(hex, want);
}

#define FOD_HASH  "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03"
#define FODR_HASH "76fe8932c216a686b067262f3941856a167bfd4ecadb2235c3b2a1bffefe00fa"
#define FODM_HASH "da39a3ee5e6b4b0d3255bfef95601890afd80709"

static const char *make_fod(struct builder *b, struct world *w)
{
	begin(b, w, "fod", "echo hello > $out");
	output(b, "out", "sha256", FOD_HASH);
	fixed_env(b, "sha256", FOD_HASH, "flat");
	return end(b);
}

static const char *make_fodr(struct builder *b, struct world *w)
{
	begin(b, w, "fodr", "mkdir $out");
	output(b, "out", "r:sha256", FODR_HASH);
	fixed_env(b, "sha256", FODR_HASH, "recursive");
	return end(b);
}

static const char *make_simple(struct builder *b, struct world *w)
{
	begin(b, w, "simple", "echo > $out");
	output(b, "out", "", "");
	env(b, "x", "a\"b\\c\nd\te\rf$\xc3\xa9");
	return end(b);
}

struct want {
	const char *store, *fod, *fod_out, *fod_modulo, *fodr, *fodr_out, *fodm, *fodm_out;
	const char *simple, *simple_out, *multi, *multi_out, *multi_lib, *multi_doc;
	const char *user, *user_out;
	const char *simple_modulo, *multi_modulo; /* NULL: not known */
};

static void check_world(const struct want *want, struct world *w)
{
	static const char *const out_only[] = { "out" };
	static const char *const lib_doc[] = { "lib", "doc" };
	struct builder fod, fodr, fodm, simple, multi, user;
	const char *fod_p = make_fod(&fod, w), *fodr_p = make_fodr(&fodr, w), *simple_p, *multi_p;
	const char *src = store_path_text(&w->a, w->store, SLICE("src.txt"), SLICE("source\n"),
					  NULL, 0, NULL);
	const char *text = arena_fmt(&w->a, "refers to %s\n", src);
	const char *ref =
		store_path_text(&w->a, w->store, SLICE("ref.txt"), slice_of(text), &src, 1, NULL);

	CHECK_STR(fod_p, want->fod);
	CHECK_STR(fod.d->outputs[0].path, want->fod_out);
	check_modulo(w, fod_p, want->fod_modulo);
	CHECK_STR(fodr_p, want->fodr);
	CHECK_STR(fodr.d->outputs[0].path, want->fodr_out);

	begin(&fodm, w, "fodm", NULL);
	output(&fodm, "out", "r:sha1", FODM_HASH);
	fixed_env(&fodm, "sha1", FODM_HASH, "recursive");
	CHECK_STR(end(&fodm), want->fodm);
	CHECK_STR(fodm.d->outputs[0].path, want->fodm_out);

	simple_p = make_simple(&simple, w);
	CHECK_STR(simple_p, want->simple);
	CHECK_STR(simple.d->outputs[0].path, want->simple_out);
	if (want->simple_modulo)
		check_modulo(w, simple_p, want->simple_modulo);

	begin(&multi, w, "multi-1.0", "true");
	output(&multi, "out", "", "");
	output(&multi, "lib", "", "");
	output(&multi, "doc", "", "");
	input(&multi, simple_p, out_only, 1);
	input(&multi, fodr_p, out_only, 1);
	input(&multi, fod_p, out_only, 1);
	multi.sources[multi.d->nsources++] = ref;
	env(&multi, "outputs", "out lib doc");
	env(&multi, "fod", fod.d->outputs[0].path);
	env(&multi, "fodr", fodr.d->outputs[0].path);
	env(&multi, "simple", simple.d->outputs[0].path);
	env(&multi, "src2", ref);
	multi_p = end(&multi);
	CHECK_STR(multi_p, want->multi);
	CHECK_STR(drv_output(multi.d, "out")->path, want->multi_out);
	CHECK_STR(drv_output(multi.d, "lib")->path, want->multi_lib);
	CHECK_STR(drv_output(multi.d, "doc")->path, want->multi_doc);
	CHECK(!drv_output(multi.d, "dev"));
	if (want->multi_modulo)
		check_modulo(w, multi_p, want->multi_modulo);

	begin(&user, w, "user", "true");
	output(&user, "out", "", "");
	input(&user, multi_p, lib_doc, 2);
	input(&user, simple_p, out_only, 1);
	env(&user, "doc", drv_output(multi.d, "doc")->path);
	env(&user, "lib", drv_output(multi.d, "lib")->path);
	env(&user, "z", simple.d->outputs[0].path);
	CHECK_STR(end(&user), want->user);
	CHECK_STR(user.d->outputs[0].path, want->user_out);
}
#define N "/nix/store/"
#define G "/gnu/store/"

TEST(nix_store_vectors)
{
	static const struct want want = {
		.store = "/nix/store",
		.fod = N "3mk786rjnkjac12azzzj3fdjg40gm7nb-fod.drv",
		.fod_out = N "rcz8aqa9lzcygdcn1q53xz03vc3svrcp-fod",
		.fod_modulo = "ec3379b85eb3c32824b1aee3fb9c7ce6247153d2332d23e70327ef21f3882cd4",
		.fodr = N "gb0xy2cz3ba8r9wsqgfbqcgc4jpiv6hz-fodr.drv",
		.fodr_out = N "0m69llhyi7b9ia6p0av0iak71nxcsbdz-fodr",
		.fodm = N "9qhsv1xvjbjnnk5i96c1najzvhab2phm-fodm.drv",
		.fodm_out = N "y9rnfh87iafh7z1i6p86as9a5d88vlsl-fodm",
		.simple = N "gwphhjfiwxsx88zh4vn76a9vgzw7k3r1-simple.drv",
		.simple_out = N "82hc5zi6kdj3a3dyw25f2ihvx5w2qa7f-simple",
		.multi = N "v7yjadxxnrwb91sc5cxp18yf1m3z3mgq-multi-1.0.drv",
		.multi_out = N "dsr0vr20hv532dz3nz29vn2ihb8wdkw6-multi-1.0",
		.multi_lib = N "sgn2qxdazcsznwzfq73ff7fqhgilszwv-multi-1.0-lib",
		.multi_doc = N "kh3hkm3hrnva6mn5habifivby8dndi55-multi-1.0-doc",
		.user = N "y408pld3mmixcb6pakgbaph5j4hh38mr-user.drv",
		.user_out = N "mp6lcywc07iwn0xy267gamc7h3vfxr78-user",
		.simple_modulo = "4859e08e69920a6ceab69e744d0c674a3fda5067ae3838d50ece144414c23b46",
		.multi_modulo = "0de34702d7a85d2858673450b764213e88c3414d4c976e023265bce4d77472af",
	};
	struct world w = { .store = "/nix/store" };

	check_world(&want, &w);
	world_done(&w);
}

TEST(gnu_store_vectors)
{
	static const struct want want = {
		.store = "/gnu/store",
		.fod = G "kacwkc0qh4ak5lybk0m9b48hamfil30z-fod.drv",
		.fod_out = G "gqwqh59plvz5abnmighnp13z1ckv8p07-fod",
		.fod_modulo = "5a9496f7e486cbd20d6475d02cb91d392872a6310c7462da98c48b41fccd177a",
		.fodr = G "wqhjndwp0m9zn5v8jq35ni6zsnxm4ria-fodr.drv",
		.fodr_out = G "7j0x9gd62c1a11l43sh1fl9cnjl16z8d-fodr",
		.fodm = G "ndbb3ngyx0xgbap097pjjh55ryryi8wb-fodm.drv",
		.fodm_out = G "88y4bx0migxlslijzsbxad10fzz9gmfk-fodm",
		.simple = G "l4ka87dgyqjw9nf1zvj3sk8hcimsz42c-simple.drv",
		.simple_out = G "88v1m9mji25s6ndp9frdglc4mx3068qb-simple",
		.multi = G "bbwdd43akfnpbycs2z9iv21ay8p5g9gp-multi-1.0.drv",
		.multi_out = G "86lphrdnygmd5j7lbkcjiffvx47lrwxz-multi-1.0",
		.multi_lib = G "wpq0rg3pf0nzmh4gk2v4nzfgj9hy6apq-multi-1.0-lib",
		.multi_doc = G "divj0wd7v1fj9d7804i0y981qpzp2yrg-multi-1.0-doc",
		.user = G "s0dg88qyx59b31c8x3wq61xvq1h19cgj-user.drv",
		.user_out = G "lcizj0yb9csf7ins9jq7smwa117m78gw-user",
	};
	struct world w = { .store = "/gnu/store" };

	check_world(&want, &w);
	world_done(&w);
}

#define SIMPLE                                                                                     \
	"Derive([(\"out\",\"/nix/store/82hc5zi6kdj3a3dyw25f2ihvx5w2qa7f-simple\",\"\",\"\")],[],"  \
	"[],\"x86_64-linux\",\"/bin/sh\",[\"-c\",\"echo > $out\"],[(\"builder\",\"/bin/sh\"),"     \
	"(\"name\",\"simple\"),(\"out\",\"/nix/store/82hc5zi6kdj3a3dyw25f2ihvx5w2qa7f-simple\"),"  \
	"(\"system\",\"x86_64-linux\"),(\"x\",\"a\\\"b\\\\c\\nd\\te\\rf$\xc3\xa9\")])"

TEST(parses_and_prints_back)
{
	auto_arena struct arena a = ARENA_INIT;
	auto_str struct str out = STR_INIT;
	struct err e = ERR_INIT;
	struct drv *d = NULL;
	bool found;

	CHECK_INT(sizeof(SIMPLE) - 1, 285);
	CHECK_INT(drv_parse(&a, "simple", SLICE(SIMPLE), &d, &e), 0);
	if (!d)
		return;
	CHECK_SLICE(drv_env(d, "x", &found), "a\"b\\c\nd\te\rf$\xc3\xa9");
	CHECK(found);
	CHECK_SLICE(drv_env(d, "y", &found), "");
	CHECK(!found);
	drv_format(d, &out);
	CHECK_STR(out.buf, SIMPLE);
	CHECK(!drv_is_fixed(d));
	CHECK_STR(drv_path(&a, "/nix/store", d, &e),
		  N "gwphhjfiwxsx88zh4vn76a9vgzw7k3r1-simple.drv");
	CHECK_INT(drv_check_outputs("/nix/store", d, world_modulo, NULL, &e), 0);
	CHECK_INT(drv_check_outputs("/gnu/store", d, world_modulo, NULL, &e), -ERR_INVALID);
}

TEST(refuses_every_shortened_text)
{
	for (size_t n = 0; n < sizeof(SIMPLE) - 1; n++) {
		auto_arena struct arena a = ARENA_INIT;
		struct err e = ERR_INIT;
		struct drv *d = NULL;

		if (drv_parse(&a, "simple", (struct slice){ SIMPLE, n }, &d, &e) != -ERR_SYNTAX ||
		    !*e.msg)
			TEST_FAIL("cut at %zu", n);
		CHECK(!d);
	}
}

/* What stands before and after the outputs in the texts below. */
#define HEAD "Derive([(\"out\",\"/s/o\",\"\",\"\")"
#define TAIL "],[],[],\"s\",\"/b\",[],[])"

TEST(refuses_wrong_texts)
{
	static const struct {
		const char *text;
		int want;
	} rows[] = {
		{ HEAD TAIL, 0 },
		{ HEAD TAIL "\n", -ERR_SYNTAX },
		{ HEAD TAIL ")", -ERR_SYNTAX },
		{ " " HEAD TAIL, -ERR_SYNTAX },
		{ "Derive([" TAIL, -ERR_INVALID },			  /* no outputs */
		{ "Derive([(\"out\",\"\",\"\",\"\")" TAIL, -ERR_SYNTAX }, /* no path */
		{ "Derive([(\"out\",\"o\",\"\",\"\")" TAIL, -ERR_SYNTAX },
		{ "Derive([(\"o/t\",\"/s/o\",\"\",\"\")" TAIL, -ERR_INVALID },
		{ HEAD ",(\"out\",\"/s/p\",\"\",\"\")" TAIL, -ERR_INVALID }, /* twice */
		{ HEAD "(\"dev\",\"/s/p\",\"\",\"\")" TAIL, -ERR_SYNTAX },   /* no comma */
		{ HEAD ",(\"dev\",\"/s/p\",\"\",\"\")" TAIL, 0 },
		{ "Derive([(\"out\",\"/s/o\",\"sha256\",\"00\")" TAIL, -ERR_INVALID },
		{ "Derive([(\"out\",\"/s/o\",\"sha256\",\"\")" TAIL, -ERR_INVALID },
		{ "Derive([(\"out\",\"/s/o\",\"md5\",\"00112233445566778899aabbccddeeff\")" TAIL,
		  0 },
		{ "Derive([(\"out\",\"/s/o\",\"md6\",\"00112233445566778899aabbccddeeff\")" TAIL,
		  -ERR_INVALID },
		{ "Derive([(\"lib\",\"/s/o\",\"md5\",\"00112233445566778899aabbccddeeff\")" TAIL,
		  -ERR_INVALID },
		{ HEAD "],[(\"/s/i\",[\"out\",\"out\"])],[],\"s\",\"/b\",[],[])", -ERR_INVALID },
		{ HEAD "],[(\"i\",[\"out\"])],[],\"s\",\"/b\",[],[])", -ERR_SYNTAX },
		{ HEAD "],[],[\"/s/a\",\"/s/a\"],\"s\",\"/b\",[],[])", -ERR_INVALID },
		{ HEAD "],[],[],\"s\",\"/b\",[],[(\"a\",\"\"),(\"a\",\"1\")])", -ERR_INVALID },
		{ HEAD "],[],[],\"s\",\"/b\",[,\"x\"],[])", -ERR_SYNTAX },
		{ HEAD "],[],[],\"s\",\"/b\",[\"x\",],[])", -ERR_SYNTAX },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		auto_arena struct arena a = ARENA_INIT;
		struct err e = ERR_INIT;
		struct drv *d;
		int r = drv_parse(&a, "x", slice_of(rows[i].text), &d, &e);

		if (r != rows[i].want)
			TEST_FAIL("row %zu: %d, expected %d: %s", i, r, rows[i].want, e.msg);
	}
}

TEST(refuses_nul_and_unknown_inputs)
{
	static const char nul[] = HEAD "],[],[],\"s\",\"/b\",[\"a\0b\"],[])";
	auto_arena struct arena a = ARENA_INIT;
	struct err e = ERR_INIT;
	struct world w = { .store = "/gnu/store" };
	struct digest h;
	struct drv *d = NULL;

	CHECK_INT(drv_parse(&a, "x", SLICE(nul), &d, &e), -ERR_SYNTAX);
	CHECK_INT(drv_parse(&a, "x",
			    SLICE(HEAD "],[(\"/s/i.drv\",[\"out\"])],[],\"s\",\"/b\",[],[])"), &d,
			    &e),
		  0);
	CHECK_INT(drv_modulo(d, world_modulo, &w, &h, &e), -ERR_NOTFOUND);
}

/* ---- Sizes ----------------------------------------------------------------------------------- */

static int path_modulo(void *arg, const char *path, struct digest *ret, struct err *e)
{
	(void)arg, (void)e;
	*ret = digest_of(DIGEST_SHA256, path, strlen(path));
	return 0;
}

/* One with n of everything. */
static struct drv *make_large(struct arena *a, size_t n)
{
	static const char *const outs[] = { "out" };
	struct drv *d = ARENA_NEW(a, struct drv);

	*d = (struct drv){ .name = "large",
			   .outputs = arena_array(a, n, sizeof(*d->outputs)),
			   .inputs = arena_array(a, n, sizeof(*d->inputs)),
			   .sources = arena_array(a, n, sizeof(*d->sources)),
			   .system = "s",
			   .builder = "/b",
			   .args = arena_array(a, n, sizeof(*d->args)),
			   .env = arena_array(a, n, sizeof(*d->env)),
			   .noutputs = n,
			   .ninputs = n,
			   .nsources = n,
			   .nargs = n,
			   .nenv = n };
	for (size_t i = 0; i < n; i++) {
		d->outputs[i] = (struct drv_output){ arena_fmt(a, "o%zu", i), "/o", "", "" };
		d->inputs[i] = (struct drv_input){ arena_fmt(a, "/i%zu.drv", i), outs, 1 };
		d->sources[i] = arena_fmt(a, "/s%zu", i);
		d->args[i] = slice_of(arena_fmt(a, "%zu", i));
		d->env[i] = (struct drv_env){ slice_of(arena_fmt(a, "v%zu", i)), SLICE("x") };
	}
	return d;
}

/* Processor time, and memory, of all that is done when one is added: the outputs' variables are
 * absent, then there. */
static void take_large(size_t n, double *ret_seconds, size_t *ret_bytes)
{
	auto_arena struct arena a = ARENA_INIT;
	auto_str struct str text = STR_INIT;
	struct drv *d = make_large(&a, n), *again = NULL;
	struct err e = ERR_INIT;
	clock_t begun;
	size_t used;

	drv_format(d, &text);
	begun = clock();
	used = a.used;
	CHECK_INT(drv_parse(&a, "large", str_slice(&text), &d, &e), 0);
	CHECK_INT(drv_fill_outputs(&a, "/gnu/store", d, path_modulo, NULL, &e), 0);
	str_cut(&text, 0);
	drv_format(d, &text);
	CHECK_INT(drv_parse(&a, "large", str_slice(&text), &again, &e), 0);
	CHECK_INT(drv_check_outputs("/gnu/store", again, path_modulo, NULL, &e), 0);
	*ret_seconds = (double)(clock() - begun) / CLOCKS_PER_SEC;
	*ret_bytes = a.used - used;
}

/* What is four times as large takes four times as long, not sixteen times. */
TEST(drv_02_large_ones)
{
	double small = 1e9, large = 1e9;
	size_t small_bytes = 0, large_bytes = 0;

	for (int i = 0; i < 3; i++) { /* the least disturbed of three */
		double s;

		take_large(2000, &s, &small_bytes);
		small = s < small ? s : small;
		take_large(8000, &s, &large_bytes);
		large = s < large ? s : large;
	}
	if (large > 10 * small)
		TEST_FAIL("%g s have become %g s", small, large);
	if (large_bytes > 6 * small_bytes)
		TEST_FAIL("%zu bytes have become %zu", small_bytes, large_bytes);
}

static void add_many(struct str *out, const char *what, size_t n)
{
	for (size_t i = 0; i < n; i++)
		str_addf(out, "%s%s", i ? "," : "", what);
}

TEST(drv_02_limits)
{
	auto_arena struct arena a = ARENA_INIT;
	auto_str struct str text = STR_INIT;
	char *huge = calloc(1, LIMIT_DRV_TEXT + 1);
	struct err e = ERR_INIT;
	struct drv *d = NULL;

	CHECK_INT(drv_parse(&a, "x", (struct slice){ huge, LIMIT_DRV_TEXT + 1 }, &d, &e),
		  -ERR_LIMIT);
	CHECK(strstr(e.msg, "larger than 64 MiB") != NULL);
	free(huge);
	str_add(&text, HEAD "],[],[],\"s\",\"/b\",[");
	add_many(&text, "\"\"", LIMIT_DRV_ITEMS);
	str_add(&text, "],[])");
	CHECK_INT(drv_parse(&a, "x", str_slice(&text), &d, &e), 0);
	CHECK_INT(d->nargs, LIMIT_DRV_ITEMS);
	str_cut(&text, text.len - strlen("],[])"));
	str_add(&text, ",\"\"],[])");
	CHECK_INT(drv_parse(&a, "x", str_slice(&text), &d, &e), -ERR_SYNTAX);
	CHECK(strstr(e.msg, "too many elements") != NULL);
}

TEST_MAIN(nix_store_vectors, gnu_store_vectors, parses_and_prints_back,
	  refuses_every_shortened_text, refuses_wrong_texts, refuses_nul_and_unknown_inputs,
	  drv_02_large_ones, drv_02_limits)
