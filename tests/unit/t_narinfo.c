/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Narinfos: known ones, and everything that must not pass for a signed one. */
#include "store/format/narinfo.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "lib/base64.h"
#include "lib/fd.h"
#include "lib/size.h"
#include "lib/wire.h"
#include "store/daemon/session.h"
#include "store/format/protocol.h"
#include "store/subst/subst.h"
#include "tests/unit/test.h"

/* Keys and signatures made by libgcrypt by way of Guile, and by nix 2.8. */
#define PUBLIC                                                                                     \
	"(public-key (ecc (curve Ed25519) (q "                                                     \
	"#58239E212347D5D1C1AB14410DED63A810A37E061241C6E2FCF2EEF1890705CB#)))"
#define SIG                                                                                        \
	"(signature (data (flags rfc6979) (hash sha256 "                                           \
	"#AB778933ECCEDDDE5D57BAA4F7E52119B5EDFB687CB53C5404BA6AC4CFC8B2D9#)) (sig-val (ecdsa (r " \
	"#04F786F1A47F1857368A50DB247EB837A3D10DCC1087AD3D91498F0F553478B1#) (s "                  \
	"#0B550A0726FBD7075C5D8D8D06B1F70BCCDEE310DD76BD3A9FAB82ABA0B4F037#))) " PUBLIC ")"
#define GUIX_PATH "/gnu/store/3qfa38x5ns7r5wn2mjnd2vnrsj1wircv-hello.txt"
#define GUIX_TEXT                                                                                  \
	"StorePath: " GUIX_PATH "\n"                                                               \
	"NarHash: sha256:00zns3gj9hwz2a4b0i07y7nmxybq59lh24bl3xsxblcl6333mjil\n"                   \
	"NarSize: 128\nReferences: \n"

#define NIX_KEY "test-1:HRGeY/iT3OyS9IW35XmJ9tEeTfULiGYljn/an+E4AJw="
#define NIX_SIG                                                                                    \
	"test-1:SAXK6y2fIRKniObn8hAiP1KYb+bsBS2bd9tKvXIwFosLZQjaarvCa1eQcyeVwn7uZo1tDCTxOSgxDdeW"  \
	"L6DrCQ=="
#define NIX_PATH "/nix/store/xa29p83zmcca0binrxwjiy94drzqdfvr-ref.txt"
#define NIX_HASH "sha256:0m7pkcdvk9098jfxyk404pgm8s91cl6rcrym1kss0h0lsi0v8dig"
#define NIX_REF	 "86zk1hg65gxgl73mdz8hp3g2nmmbsdh5-src.txt"
#define NIX_TEXT                                                                                   \
	"StorePath: " NIX_PATH "\nURL: nar/x.nar.xz\nCompression: xz\nNarHash: " NIX_HASH          \
	"\nNarSize: 176\nReferences: " NIX_REF "\nSig: " NIX_SIG "\n"

static const char *const stores[] = { "/gnu/store", "/nix/store" };
static struct trust trust = TRUST_INIT;

TEST(place)
{
	const char *tmp = getenv("TMP"), *acl = "(acl (entry " PUBLIC " (tag (guix import))))";
	struct err e = ERR_INIT;

	CHECK_INT(chdir(tmp ? tmp : "/tmp"), 0);
	CHECK_INT(file_write_atomic(AT_FDCWD, "acl", acl, strlen(acl), 0644, &e), 0);
	CHECK_INT(trust_load(&trust, ".", &e), 0);
	CHECK_INT(trust_add_words(&trust, NIX_KEY, &e), 0);
	CHECK_STR(e.msg, "");
}

static int verdict(enum dialect d, const char *text)
{
	auto_arena struct arena a = ARENA_INIT;
	struct err e = ERR_INIT;
	struct narinfo *n;
	int r = narinfo_parse(&a, d, stores[d], slice_of(text), &n, &e);

	if (r == 0)
		r = narinfo_check(n, d, stores[d], &trust, &e);
	if ((r < 0) != (*e.msg != 0))
		TEST_FAIL("error %d says '%s'", r, e.msg);
	return r;
}

/* The signed text with the signature and what else follows. */
static void guix(struct str *out, const char *text, const char *sig, const char *rest)
{
	str_addf(out, "%sSignature: 1;example.org;", text);
	base64_add(out, sig, strlen(sig));
	str_addf(out, "\n%s", rest);
}

#define FILES                                                                                      \
	"URL: nar/gzip/x\nCompression: gzip\nFileSize: 100\nURL: nar/zstd/x\nCompression: "        \
	"zstd\nFileSize: 90\n"

TEST(guix_good)
{
	auto_str struct str text = STR_INIT;
	auto_arena struct arena a = ARENA_INIT;
	struct err e = ERR_INIT;
	struct narinfo *n = NULL;

	guix(&text, GUIX_TEXT, SIG, FILES "Future: field\n");
	CHECK_INT(verdict(DIALECT_GUIX, text.buf), 0);
	CHECK_INT(narinfo_parse(&a, DIALECT_GUIX, stores[0], str_slice(&text), &n, &e), 0);
	CHECK_STR(n->info.path, GUIX_PATH);
	CHECK_INT(n->info.nar_size, 128);
	CHECK_INT(n->info.nrefs, 0);
	CHECK_STR(n->info.deriver, "");
	CHECK_INT(n->nfiles, 2);
	CHECK_STR(n->files[1].url, "nar/zstd/x");
	CHECK_INT(n->files[1].kind, ZIP_ZSTD);
	CHECK_INT(n->files[1].size, 90);
}

TEST(nix_good)
{
	auto_arena struct arena a = ARENA_INIT;
	struct err e = ERR_INIT;
	struct narinfo *n = NULL;

	CHECK_INT(verdict(DIALECT_NIX, NIX_TEXT), 0);
	CHECK_INT(narinfo_parse(&a, DIALECT_NIX, stores[1], SLICE(NIX_TEXT), &n, &e), 0);
	CHECK_INT(n->info.nrefs, 1);
	CHECK_STR(n->info.refs[0], "/nix/store/" NIX_REF);
	CHECK_STR(n->info.sigs, NIX_SIG);
	CHECK_INT(n->files[0].kind, ZIP_XZ);
	/* a second signature, by nobody known, does no harm, wherever it stands */
	CHECK_INT(verdict(DIALECT_NIX, "Sig: other-1:AAAA\n" NIX_TEXT), 0);
	CHECK_INT(verdict(DIALECT_NIX, NIX_TEXT "Deriver: unknown-deriver\nSystem: x\n"), 0);
}

/* SUB-02: each field in turn is another. */
TEST(sub_02_tampered_fields)
{
	static const char *const guix_rows[][2] = {
		{ "3qfa38x5ns7r5wn2mjnd2vnrsj1wircv", "3qfa38x5ns7r5wn2mjnd2vnrsj1wircw" },
		{ "hello.txt", "hello.txu" },
		{ "00zns3gj", "01zns3gj" },
		{ "128", "129" },
		{ "References: ", "References: 3qfa38x5ns7r5wn2mjnd2vnrsj1wircv-hello.txt" },
		{ "References: \n",
		  "References: \nDeriver: 3qfa38x5ns7r5wn2mjnd2vnrsj1wircv-x.drv\n" },
		{ "NarSize: 128\n", "" },
		{ "NarSize: 128\n", "NarSize: 128\nNarSize: 128\n" },
		{ "NarSize: 128\n", "NarSize: 0128\n" },
		{ "NarSize", "Narsize" },
		{ "128\n", "128\r\n" },
		{ "128\n", "128 \n" },
	};
	static const char *const nix_rows[][2] = {
		{ "xa29p83z", "xb29p83z" },
		{ "-ref.txt", "-reg.txt" },
		{ "0m7pkcdv", "0m8pkcdv" },
		{ "176", "177" },
		{ "86zk1hg6", "87zk1hg6" },
		{ "References: " NIX_REF "\n", "References: \n" },
		{ "test-1:SAX", "test-2:SAX" },
		{ "test-1:SAX", "test-1:TAX" },
		{ "NarSize: 176\n", "NarSize: 176\nNarSize: 176\n" },
		{ "NarSize: 176\n", "NarSize: 0\n" },
		{ "Sig: " NIX_SIG "\n", "" },
		{ "Sig: " NIX_SIG, "Sig: " NIX_SIG "\r" },
		{ "Sig: " NIX_SIG, "Sig:  " NIX_SIG },
		{ "Sig: " NIX_SIG "\n",
		  "CA: fixed:r:sha256:0m7pkcdvk9098jfxyk404pgm8s91cl6rcrym1kss0h0lsi0v8dig\n" },
	};

	for (size_t i = 0; i < ARRAY_LEN(guix_rows); i++) {
		auto_str struct str text = STR_INIT, whole = STR_INIT;
		const char *p = strstr(GUIX_TEXT, guix_rows[i][0]);

		str_addf(&text, "%.*s%s%s", (int)(p - (const char *)GUIX_TEXT), GUIX_TEXT,
			 guix_rows[i][1], p + strlen(guix_rows[i][0]));
		guix(&whole, text.buf, SIG, FILES);
		if (verdict(DIALECT_GUIX, whole.buf) == 0)
			TEST_FAIL("row %zu passes: %s", i, text.buf);
	}
	for (size_t i = 0; i < ARRAY_LEN(nix_rows); i++) {
		auto_str struct str text = STR_INIT;
		const char *whole = NIX_TEXT, *p = strstr(whole, nix_rows[i][0]);

		str_addf(&text, "%.*s%s%s", (int)(p - whole), whole, nix_rows[i][1],
			 p + strlen(nix_rows[i][0]));
		if (verdict(DIALECT_NIX, text.buf) == 0)
			TEST_FAIL("row %zu passes: %s", i, text.buf);
	}
}

/* SUB-03: other places and spellings. */
TEST(sub_03_spellings)
{
	static const char *const rows[][3] = {
		{ GUIX_TEXT, SIG, FILES "NarSize: 128\n" },
		{ GUIX_TEXT, SIG, FILES "Signature: 1;x;AAAA\n" },
		{ "StorePath: " GUIX_PATH "\n", SIG, GUIX_TEXT FILES },
		{ GUIX_TEXT "X", SIG, FILES },
		{ "\n" GUIX_TEXT, SIG, FILES },
		{ "# Signature: \n" GUIX_TEXT, SIG, FILES },
		{ GUIX_TEXT, PUBLIC, FILES },
		{ GUIX_TEXT, "", FILES },
		{ GUIX_TEXT, SIG, "URL: x\n" },
		{ GUIX_TEXT, SIG, "" },
		{ GUIX_TEXT, SIG, FILES "FileSize: 1\n" },
		{ GUIX_TEXT, SIG, "URL: a b\nCompression: none\n" },
		{ GUIX_TEXT, SIG, "URL: a\n+b\nCompression: none\n" },
		{ GUIX_TEXT, SIG, "URL: a\nCompression: none" },
	};
	static const char *const sigs[] = { "Signature: 2;x;", "Signature: 1;", "Signature:1;x;",
					    "Signature: x;" };

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		auto_str struct str text = STR_INIT;

		guix(&text, rows[i][0], rows[i][1], rows[i][2]);
		if (verdict(DIALECT_GUIX, text.buf) == 0)
			TEST_FAIL("row %zu passes", i);
	}
	for (size_t i = 0; i < ARRAY_LEN(sigs); i++) {
		auto_str struct str text = STR_INIT;

		str_addf(&text, "%s%s", GUIX_TEXT, sigs[i]);
		base64_add(&text, SIG, strlen(SIG));
		str_add(&text, "\n" FILES);
		if (verdict(DIALECT_GUIX, text.buf) == 0)
			TEST_FAIL("'%s' passes", sigs[i]);
	}
}

/* What is written is read again, and believed. */
static void write_one(enum dialect d, const char *dir)
{
	auto_str struct str text = STR_INIT;
	auto_arena struct arena a = ARENA_INIT;
	struct err e = ERR_INIT;
	struct signer s = SIGNER_INIT;
	struct trust t = TRUST_INIT;
	struct narinfo *n = NULL;
	char path[100], ref[100], drv[100], file[40];
	const char *refs[] = { ref, path };
	const struct narinfo_file files[] = {
		{ .url = "nar/gzip/x", .kind = ZIP_GZIP, .size = 7 },
		{ .url = "nar/zstd/x", .kind = ZIP_ZSTD, .size = 8 }
	};

	snprintf(path, sizeof(path), "%s/xa29p83zmcca0binrxwjiy94drzqdfvr-a", stores[d]);
	snprintf(ref, sizeof(ref), "%s/86zk1hg65gxgl73mdz8hp3g2nmmbsdh5-b", stores[d]);
	snprintf(drv, sizeof(drv), "%s/86zk1hg65gxgl73mdz8hp3g2nmmbsdh5-b.drv", stores[d]);
	struct store_info info = {
		.path = path, .deriver = drv, .nar_size = 1000, .refs = refs, .nrefs = 2
	};
	info.nar_hash = digest_of(DIGEST_SHA256, "x", 1);
	CHECK_INT(keys_generate(d, dir, "writer-1", &e), 0);
	snprintf(file, sizeof(file), "%s/signing-key.sec", dir);
	CHECK_INT(signer_load(&s, file, &e), 0);
	CHECK_INT(trust_load(&t, dir, &e), 0);
	CHECK_INT(narinfo_format(&info, d, stores[d], files, 2, &s, &text, &e), 0);
	CHECK_INT(narinfo_parse(&a, d, stores[d], str_slice(&text), &n, &e), 0);
	CHECK_STR(e.msg, "");
	if (n) {
		CHECK_INT(narinfo_check(n, d, stores[d], &t, &e), 0);
		CHECK_INT(narinfo_check(n, d, stores[d], &trust, &e), -ERR_INVALID);
		CHECK_STR(n->info.deriver, drv);
		CHECK_INT(n->info.nrefs, 2);
		CHECK_INT(n->nfiles, d == DIALECT_NIX ? 1 : 2);
	}
	signer_done(&s);
	trust_done(&t);
}

TEST(write)
{
	write_one(DIALECT_GUIX, "guix");
	write_one(DIALECT_NIX, "nix");
}

TEST(limits)
{
	auto_str struct str text = STR_INIT;

	for (int i = 0; i < 100; i++)
		str_add(&text, "URL: x\nCompression: none\n");
	CHECK_INT(verdict(DIALECT_GUIX, text.buf), -ERR_SYNTAX);
	CHECK_INT(verdict(DIALECT_NIX, text.buf), -ERR_SYNTAX);
	while (text.len <= (4 << 20))
		str_add(&text,
			"Sig: xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\n");
	CHECK_INT(verdict(DIALECT_NIX, text.buf), -ERR_LIMIT);
	trust_done(&trust);
}

/* ---- What a fetching process says ------------------------------------------------------------ */

/* Messages to the client, as its terminal gets them, and nothing else. */
static void check_said(struct session *s, const char *want)
{
	auto_str struct str said = STR_INIT;
	struct rd in = rd_of(s->stream.out.buf, s->stream.out.len);

	while (in.n && !in.err && rd_u64(&in) == PROTO_NEXT)
		str_adds(&said, rd_str(&in, 65536));
	CHECK_INT(rd_done(&in), 0);
	CHECK_STR(said.buf, want);
}

/* The process has read what a stranger wrote: neither its lines nor its trace move a cursor, and
 * one cannot be taken for the other. */
static void say(bool trace, const char *text, size_t n, const char *want)
{
	struct session s = { .trace = trace, .stream.out = STR_INIT };
	struct subst_item item = { .line = STR_INIT };
	int p[2];

	CHECK_INT(pipe2(p, O_CLOEXEC), 0);
	CHECK_INT(fd_write_full(p[1], text, n), 0);
	close(p[1]);
	item.log = p[0];
	while (subst_output(&s, &item))
		;
	check_said(&s, want);
	str_done(&item.line);
	str_done(&s.stream.out);
}
#define SAY(trace, text, want) say(trace, text, sizeof(text) - 1, want)

TEST(lines_of_a_fetching_process)
{
	SAY(false, "fetching\n", "fetching\n");
	SAY(false,
	    "a\x1b]0;x\x07\r\x7f\xc2\x9b"
	    "b\0c\nd\n",
	    "a\\x1b]0;x\\x07\\x0d\\x7f\\xc2\\x9bb\\x00c\nd\n");
	SAY(true, "@ substituter-x \x1b[2J\n", "@ substituter-x \\x1b[2J\n");
	SAY(false, "@ substituter-x\n", "");
	SAY(true, "\x1b@ build-failed\n", "\\x1b@ build-failed\n");
	SAY(true, "\n@ \n", "\n@ \n");
}

TEST_MAIN(place, guix_good, nix_good, sub_02_tampered_fields, sub_03_spellings, write, limits,
	  lines_of_a_fetching_process)
