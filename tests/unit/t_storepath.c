/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Hashes, base32 and store paths against vectors made with other implementations. */
#include "store/format/base32.h"
#include "store/store.h"
#include "tests/unit/test.h"

#define HELLO "hello world\n"
#define NIX   "/nix/store"
#define GNU   "/gnu/store"

TEST(digests_as_text)
{
	struct digest d = digest_of(DIGEST_SHA256, HELLO, 12), back;
	char text[DIGEST_TEXT_MAX];

	digest_hex(&d, text);
	CHECK_STR(text, "a948904f2f0f479b8f8197694b30184b0d2ed1c1cd2a1ec0fb85d299a192a447");
	CHECK_INT(digest_parse(DIGEST_SHA256, slice_of(text), &back), 0);
	CHECK(digest_eq(&d, &back));
	digest_base32(&d, text);
	CHECK_STR(text, "0ix4jahrkll5zg01wandq78jw3ab30q4nscph67rniqg5x7r0j59");
	CHECK_INT(digest_parse(DIGEST_SHA256, slice_of(text), &back), 0);
	CHECK(digest_eq(&d, &back));
	text[0] = '2'; /* a bit beyond the 256th */
	CHECK_INT(digest_parse(DIGEST_SHA256, slice_of(text), &back), -ERR_SYNTAX);
	text[0] = '0';
	text[5] = 'e';
	CHECK_INT(digest_parse(DIGEST_SHA256, slice_of(text), &back), -ERR_SYNTAX);
	text[5] = 'U';
	CHECK_INT(digest_parse(DIGEST_SHA256, slice_of(text), &back), -ERR_SYNTAX);
	text[51] = 0;
	CHECK_INT(digest_parse(DIGEST_SHA256, slice_of(text), &back), -ERR_SYNTAX);
}

TEST(incremental_hash_is_the_same)
{
	struct hasher *h = NULL;
	struct digest whole = digest_of(DIGEST_SHA512, HELLO, 12), parts;

	CHECK_INT(hasher_new(DIGEST_SHA512, &h), 0);
	hasher_add(h, HELLO, 5);
	hasher_add(h, &HELLO[5], 7);
	parts = hasher_end(h);
	CHECK(digest_eq(&whole, &parts));
	hasher_free(NULL);
}

TEST(algorithm_names)
{
	enum digest_algo a;

	for (int i = 0; i < DIGEST_MAX; i++) {
		CHECK_INT(digest_algo_parse(slice_of(digest_name((enum digest_algo)i)), &a), 0);
		CHECK_INT(a, i);
	}
	CHECK_INT(digest_algo_parse(SLICE("SHA256"), &a), -ERR_SYNTAX);
	CHECK_INT(digest_algo_parse(SLICE(""), &a), -ERR_SYNTAX);
}

TEST(base32_of_every_length)
{
	uint8_t in[66], out[66];
	char text[120];

	for (size_t i = 0; i < sizeof(in); i++)
		in[i] = (uint8_t)(i * 37 + 11);
	for (size_t n = 0; n < sizeof(in); n++) {
		size_t len = base32_len(n);

		base32_encode(in, n, text);
		CHECK_INT(base32_decode((struct slice){ text, len }, out, n), 0);
		CHECK(!memcmp(in, out, n));
		CHECK_INT(base32_decode((struct slice){ text, len + 1 }, out, n), -ERR_SYNTAX);
	}
}

TEST(fixed_vectors)
{
	static const struct {
		bool recursive;
		enum digest_algo algo;
		const char *hash, *name, *nix, *gnu;
	} rows[] = {
		{ true, DIGEST_SHA256,
		  "76fe8932c216a686b067262f3941856a167bfd4ecadb2235c3b2a1bffefe00fa", "tree",
		  "/nix/store/5hj8rc6s2cv33y0dhz56h1l0f77swdk2-tree",
		  "/gnu/store/m1cvzn7ryg051prv84z2sjnqpix15p5k-tree" },
		{ false, DIGEST_SHA256,
		  "a948904f2f0f479b8f8197694b30184b0d2ed1c1cd2a1ec0fb85d299a192a447", "hello.txt",
		  "/nix/store/d5n8kjrd1ilw3mxdk83c446nyigj8pci-hello.txt",
		  "/gnu/store/f6djnxadqm7b28g9f14i7q53fj9lavs1-hello.txt" },
		{ true, DIGEST_SHA1, "da39a3ee5e6b4b0d3255bfef95601890afd80709", "fodm",
		  "/nix/store/y9rnfh87iafh7z1i6p86as9a5d88vlsl-fodm",
		  "/gnu/store/88y4bx0migxlslijzsbxad10fzz9gmfk-fodm" },
		{ false, DIGEST_MD5, "6f5902ac237024bdd0c176cb93063dc4", "hello.txt",
		  "/nix/store/sfzk1p60dr23kz8rc4xlps9qv073gjy5-hello.txt",
		  "/gnu/store/cxamjhgnjv8cq5zkfyh66x87br4vx3dm-hello.txt" },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		auto_arena struct arena a = ARENA_INIT;
		struct err e = ERR_INIT;
		struct digest d;

		CHECK_INT(digest_parse(rows[i].algo, slice_of(rows[i].hash), &d), 0);
		CHECK_STR(store_path_fixed(&a, NIX, slice_of(rows[i].name), rows[i].recursive, &d,
					   &e),
			  rows[i].nix);
		CHECK_STR(store_path_fixed(&a, GNU, slice_of(rows[i].name), rows[i].recursive, &d,
					   &e),
			  rows[i].gnu);
	}
}

static const char *text_path(struct arena *a, const char *store, const char *name,
			     const char *contents, const char *ref)
{
	struct err e = ERR_INIT;

	return store_path_text(a, store, slice_of(name), slice_of(contents), &ref, ref ? 1 : 0, &e);
}

TEST(text_vectors)
{
	auto_arena struct arena a = ARENA_INIT;
	const char *six, *contents;

	CHECK_STR(text_path(&a, NIX, "hello.txt", HELLO, NULL),
		  "/nix/store/9gz0m5kka3amb4g3263rlxx9j5518j5z-hello.txt");
	CHECK_STR(text_path(&a, GNU, "hello.txt", HELLO, NULL),
		  "/gnu/store/3qfa38x5ns7r5wn2mjnd2vnrsj1wircv-hello.txt");
	six = text_path(&a, NIX, "src.txt", "source\n", NULL);
	CHECK_STR(six, "/nix/store/86zk1hg65gxgl73mdz8hp3g2nmmbsdh5-src.txt");
	contents = arena_fmt(&a, "refers to %s\n", six);
	CHECK_STR(text_path(&a, NIX, "ref.txt", contents, six),
		  "/nix/store/xa29p83zmcca0binrxwjiy94drzqdfvr-ref.txt");
	six = text_path(&a, GNU, "src.txt", "source\n", NULL);
	CHECK_STR(six, "/gnu/store/7rpc9iicq65crfspfsnpakkl38gd8dx7-src.txt");
	contents = arena_fmt(&a, "refers to %s\n", six);
	CHECK_STR(text_path(&a, GNU, "ref.txt", contents, six),
		  "/gnu/store/m0h8619g5fplmmhknap1jfphyzwf5r2r-ref.txt");
}

TEST(order_of_references_does_not_matter)
{
	auto_arena struct arena a = ARENA_INIT;
	const char *ab[] = { "/gnu/store/a", "/gnu/store/b" };
	const char *ba[] = { "/gnu/store/b", "/gnu/store/a", "/gnu/store/b" };

	CHECK_STR(store_path_text(&a, GNU, SLICE("x"), SLICE("y"), ba, 3, NULL),
		  store_path_text(&a, GNU, SLICE("x"), SLICE("y"), ab, 2, NULL));
}

static int check_path(const char *path)
{
	return store_path_check(GNU, slice_of(path), NULL);
}

TEST(what_is_a_store_path)
{
#define H "3qfa38x5ns7r5wn2mjnd2vnrsj1wircv"
	char name[STORE_NAME_MAX + 2];

	CHECK_INT(check_path(GNU "/" H "-hello.txt"), 0);
	CHECK_INT(check_path(GNU "/" H "-a_b+c-1.0?=.x"), 0);
	CHECK_INT(check_path(GNU "/" H "-hello.txt/"), -ERR_INVALID);
	CHECK_INT(check_path(GNU "/" H "-"), -ERR_INVALID);
	CHECK_INT(check_path(GNU "/" H), -ERR_INVALID);
	CHECK_INT(check_path(GNU "/" H "-.hidden"), -ERR_INVALID);
	CHECK_INT(check_path(GNU "/" H "-a b"), -ERR_INVALID);
	CHECK_INT(check_path(GNU "/" H "+hello"), -ERR_INVALID);
	CHECK_INT(check_path(GNU "/eqfa38x5ns7r5wn2mjnd2vnrsj1wircv-hello"), -ERR_INVALID);
	CHECK_INT(check_path("/gnu/storex/" H "-hello"), -ERR_INVALID);
	CHECK_INT(check_path(NIX "/" H "-hello"), -ERR_INVALID);
	CHECK_INT(check_path(""), -ERR_INVALID);
	memset(name, 'n', sizeof(name));
	CHECK_INT(store_name_check((struct slice){ name, STORE_NAME_MAX }, NULL), 0);
	CHECK_INT(store_name_check((struct slice){ name, STORE_NAME_MAX + 1 }, NULL), -ERR_INVALID);
	CHECK_INT(store_name_check((struct slice){ "a\0b", 3 }, NULL), -ERR_INVALID);
	CHECK_SLICE(store_path_name(GNU, SLICE(GNU "/" H "-hello.txt")), "hello.txt");
	CHECK_SLICE(store_path_base(GNU, SLICE(GNU "/" H "-hello.txt")), H "-hello.txt");
	CHECK_SLICE(store_path_item(GNU, SLICE(GNU "/" H "-hello/bin/x")), GNU "/" H "-hello");
	CHECK_SLICE(store_path_item(GNU, SLICE(GNU "/" H "-hello")), GNU "/" H "-hello");
	CHECK_SLICE(store_path_item(GNU, SLICE("/usr/bin/x")), "");
	CHECK_SLICE(store_path_item(GNU, SLICE(GNU "/.links/x")), "");
#undef H
}

TEST_MAIN(digests_as_text, incremental_hash_is_the_same, algorithm_names, base32_of_every_length,
	  fixed_vectors, text_vectors, order_of_references_does_not_matter, what_is_a_store_path)
