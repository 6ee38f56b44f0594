/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Signatures of both families against known ones, and what must not pass as a signature. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/base64.h"
#include "lib/fd.h"
#include "store/format/crypto.h"
#include "store/subst/keys.h"
#include "tests/unit/test.h"

#define CROWD 8 /* processes */
#define EACH  8

/* Keys and signatures that libgcrypt by way of Guile, and nix 2.8, made. */
#define Q "58239E212347D5D1C1AB14410DED63A810A37E061241C6E2FCF2EEF1890705CB"
#define D "5FCFA7011CD9CFA61B7DC3903D5B1E5A6A5A5D298C38A6538424F649DE2E87D0"
#define H "AB778933ECCEDDDE5D57BAA4F7E52119B5EDFB687CB53C5404BA6AC4CFC8B2D9"
#define R "04F786F1A47F1857368A50DB247EB837A3D10DCC1087AD3D91498F0F553478B1"
#define S "0B550A0726FBD7075C5D8D8D06B1F70BCCDEE310DD76BD3A9FAB82ABA0B4F037"

#define PUBLIC	"(public-key (ecc (curve Ed25519) (q #" Q "#)))"
#define PRIVATE "(private-key (ecc (curve Ed25519) (q #" Q "#) (d #" D "#)))"
#define SIG                                                                                        \
	"(signature (data (flags rfc6979) (hash sha256 #" H "#)) (sig-val (ecdsa (r #" R           \
	"#) (s #" S "#))) " PUBLIC ")"

#define NIX_KEY "test-1:HRGeY/iT3OyS9IW35XmJ9tEeTfULiGYljn/an+E4AJw="
#define NIX_SIG                                                                                    \
	"test-1:SAXK6y2fIRKniObn8hAiP1KYb+bsBS2bd9tKvXIwFosLZQjaarvCa1eQcyeVwn7uZo1tDCTxOSgxDdeW"  \
	"L6DrCQ=="
#define NIX_TEXT                                                                                   \
	"1;/nix/store/xa29p83zmcca0binrxwjiy94drzqdfvr-ref.txt;sha256:"                            \
	"0m7pkcdvk9098jfxyk404pgm8s91cl6rcrym1kss0h0lsi0v8dig;176;/nix/store/"                     \
	"86zk1hg65gxgl73mdz8hp3g2nmmbsdh5-src.txt"

static struct digest hash_of_vector(void)
{
	struct digest d = { .algo = DIGEST_SHA256 };

	CHECK_INT(digest_parse(DIGEST_SHA256, SLICE(H), &d), 0);
	return d;
}

/* A file in the current directory of the test. */
static void put(const char *name, const char *text, mode_t mode)
{
	struct err e = ERR_INIT;

	CHECK_INT(file_write_atomic(AT_FDCWD, name, text, strlen(text), mode, &e), 0);
}

static void trust_vector(struct trust *t)
{
	struct err e = ERR_INIT;

	(void)mkdir("conf", 0755);
	put("conf/acl", "(acl (entry " PUBLIC " (tag (guix import))))", 0644);
	CHECK_INT(trust_load(t, "conf", &e), 0);
	CHECK_STR(e.msg, "");
	CHECK_INT(trust_add_words(t, NIX_KEY, &e), 0);
}

TEST(place)
{
	const char *tmp = getenv("TMP");

	CHECK_INT(chdir(tmp ? tmp : "/tmp"), 0);
}

TEST(base64)
{
	static const char *const bad[] = { "A",	   "AA=",  "AAA",      "AB==", "AAB=",
					   "=AAA", "A===", "AA==AAAA", "AA A", "AAA\n" };
	auto_str struct str s = STR_INIT;

	base64_add(&s, "foobar", 6);
	base64_add(&s, "foob", 4);
	CHECK_STR(s.buf, "Zm9vYmFyZm9vYg==");
	str_cut(&s, 0);
	CHECK_INT(base64_decode(SLICE("Zm9vYmFyZm9vYg=="), &s), 0);
	CHECK_STR(s.buf, "foobarfoob");
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		if (base64_decode(slice_of(bad[i]), &s) == 0)
			TEST_FAIL("'%s' is taken for base64", bad[i]);
	}
}

TEST(guix_signature)
{
	struct trust t = TRUST_INIT;
	struct digest d = hash_of_vector(), got;
	struct err e = ERR_INIT;

	trust_vector(&t);
	CHECK_INT(trust_check_guix(&t, SLICE(SIG), &d, &e), 0);
	CHECK_STR(e.msg, "");
	CHECK_INT(trust_check_any(&t, SLICE(SIG), &got, &e), 0);
	CHECK(digest_eq(&d, &got));
	d.bytes[0] ^= 1;
	CHECK_INT(trust_check_guix(&t, SLICE(SIG), &d, &e), -ERR_INVALID);
	CHECK_STR(e.msg, "the signature is of something else");
	trust_done(&t);
}

/* RFC 6979 leaves nothing to chance: the same signature comes out. */
TEST(guix_signing)
{
	struct signer s = SIGNER_INIT;
	struct digest d = hash_of_vector();
	auto_str struct str sig = STR_INIT, a = STR_INIT, b = STR_INIT, public = STR_INIT;
	struct err e = ERR_INIT;

	put("secret", PRIVATE, 0400);
	CHECK_INT(signer_load(&s, "secret", &e), 0);
	CHECK_INT(signer_family(&s), DIALECT_GUIX);
	CHECK_INT(signer_sign_guix(&s, &d, &sig, &e), 0);
	CHECK_STR(e.msg, "");
	CHECK_INT(sexp_canon(str_slice(&sig), &a), 0);
	CHECK_INT(sexp_canon(SLICE(SIG), &b), 0);
	CHECK(slice_eq(str_slice(&a), str_slice(&b)));
	CHECK_INT(signer_public(&s, &public, &e), 0);
	str_cut(&a, 0);
	str_cut(&b, 0);
	CHECK_INT(sexp_canon(str_slice(&public), &a), 0);
	CHECK_INT(sexp_canon(SLICE(PUBLIC), &b), 0);
	CHECK(slice_eq(str_slice(&a), str_slice(&b)));
	signer_done(&s);
}

/* SUB-03: no other spelling, no other key, no other data. */
TEST(guix_bad_signatures)
{
	static const char *const bad[] = {
		"",
		"(signature)",
		SIG SIG,
		SIG " x",
		SIG " x)",
		SIG "(a)",
		"(" SIG ")",
		PUBLIC,
		"(signature (data (flags rfc6979) (hash sha1 #" H "#)) (sig-val (ecdsa (r #" R
		"#) (s #" S "#))) " PUBLIC ")",
		"(signature (data (flags raw) (hash sha256 #" H "#)) (sig-val (ecdsa (r #" R
		"#) (s #" S "#))) " PUBLIC ")",
		"(signature (data (flags rfc6979) (hash sha256 #" H "#) (hash sha256 #" H
		"#)) (sig-val (ecdsa (r #" R "#) (s #" S "#))) " PUBLIC ")",
		"(signature (data (flags rfc6979) (hash sha256 #" H "#)) (sig-val (ecdsa (r #" S
		"#) (s #" R "#))) " PUBLIC ")",
		"(signature (data (flags rfc6979) (hash sha256 #" H
		"#)) (sig-val (ecdsa (r #00#) (s #00#))) " PUBLIC ")",
		"(signature (data (flags rfc6979) (hash sha256 #" H "#)) (sig-val (ecdsa (r #" R
		"#) (s #" S "#))) (public-key (ecc (curve Ed25519) (q #" H "#))))",
		"(signature (data (flags rfc6979) (hash sha256 #" H "#)) (sig-val (ecdsa (r #" R
		"#) (s #" S "#))) " PUBLIC PUBLIC ")",
		"(signature (sig-val (ecdsa (r #" R "#) (s #" S
		"#))) (data (flags rfc6979) (hash sha256 #" H "#)) " PUBLIC ")",
	};
	struct trust t = TRUST_INIT;
	struct digest d = hash_of_vector();

	trust_vector(&t);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct err e = ERR_INIT;

		if (trust_check_guix(&t, slice_of(bad[i]), &d, &e) != -ERR_INVALID)
			TEST_FAIL("row %zu passes", i);
	}
	trust_done(&t);
}

TEST(guix_lists)
{
	static const char *const bad[] = {
		"",
		"(acl",
		"(acl) (acl)",
		"(acl x)",
		"(acl (entry))",
		"(list)",
		"(acl (entry " PUBLIC "))",
		"(acl (entry " PUBLIC " (tag (guix export))))",
		"(acl (entry " PUBLIC " (tag (guix import)) x))",
		"(acl (entry " PRIVATE " (tag (guix import))))",
	};
	struct err e = ERR_INIT;
	struct trust t = TRUST_INIT;

	(void)mkdir("conf", 0755);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		put("conf/acl", bad[i], 0644);
		if (trust_load(&t, "conf", &e) != -ERR_SYNTAX || t.guix.n)
			TEST_FAIL("'%s' is taken for a list", bad[i]);
	}
	put("conf/acl", "(acl)", 0666);
	CHECK_INT(chmod("conf/acl", 0666), 0);
	CHECK_INT(trust_load(&t, "conf", &e), -ERR_INVALID);
	CHECK_INT(unlink("conf/acl"), 0);
	CHECK_INT(trust_load(&t, "conf", &e), 0);
	CHECK_INT(trust_load(&t, "nowhere", &e), 0);
	trust_done(&t);
}

static const char *in_crowded(void *arg, enum dialect d)
{
	(void)arg;
	(void)d;
	return "crowded";
}

/* What a configuration declares counts as well as what was authorized, in either directory. */
TEST(declared)
{
	struct trust t = TRUST_INIT;
	struct digest d = hash_of_vector();
	struct err e = ERR_INIT;

	(void)mkdir("declared", 0755);
	put("declared/acl", "(acl)", 0644);
	CHECK_INT(trust_load(&t, "declared", &e), 0);
	CHECK_INT(trust_check_guix(&t, SLICE(SIG), &d, NULL), -ERR_INVALID);
	put("declared/authorized-keys",
	    "# ours\n\n(public-key\n (ecc\n  (curve \"Ed25519\")\n  (q #" Q "#)))\n" NIX_KEY
	    " # theirs\n\t" NIX_KEY,
	    0444);
	CHECK_INT(trust_load(&t, "declared", &e), 0);
	CHECK_STR(e.msg, "");
	CHECK_INT(t.guix.n, 1);
	CHECK_INT(t.nix.n, 2);
	CHECK_INT(trust_check_guix(&t, SLICE(SIG), &d, &e), 0);
	CHECK(trust_check_nix(&t, SLICE(NIX_SIG), SLICE(NIX_TEXT)));
	trust_done(&t);
	t = (struct trust)TRUST_INIT;
	CHECK_INT(chmod("declared/authorized-keys", 0464), 0);
	CHECK_INT(trust_load(&t, "declared", &e), -ERR_INVALID);
	trust_done(&t);
	t = (struct trust)TRUST_INIT;
	put("declared/authorized-keys", PUBLIC "\n\n" PRIVATE "\n", 0444);
	CHECK_INT(trust_load(&t, "declared", &e), -ERR_SYNTAX);
	CHECK_STR(e.msg, "declared/authorized-keys:3: this is a private key, which is to stay "
			 "where it was made");
	trust_done(&t);
}

TEST(declared_authorize)
{
	struct trust t = TRUST_INIT;
	struct err e = ERR_INIT;

	/* a key that is declared is put on the list all the same, where it stays */
	(void)mkdir("crowded", 0755);
	put("crowded/authorized-keys", PUBLIC, 0444);
	CHECK_INT(trust_authorize(SLICE(PUBLIC), in_crowded, NULL, &e), 0);
	CHECK_INT(unlink("crowded/authorized-keys"), 0);
	CHECK_INT(trust_load(&t, "crowded", &e), 0);
	CHECK_INT(t.guix.n, 1);
	trust_done(&t);
}

TEST(bad_keys)
{
	static const struct {
		const char *text, *why;
	} bad[] = {
		{ "", "there is no key in it" },
		{ "# nothing\n\n", "there is no key in it" },
		{ "keys/ci.pub", "line 1: this is no public key, neither" },
		{ NIX_KEY "\n" NIX_SIG, "line 2: this is no public key, neither" },
		{ NIX_KEY "=", "line 1: this is no public key, neither" },
		{ "\n" PUBLIC "\n(public-key\n (ecc", "line 3: the parenthesis" },
		{ "(public-key (ecc (curve Ed25519) (q #5#)))", "line 1: this is no expression" },
		{ "(public-key \"(\\\")\")", "line 1: this is no public key" },
		{ "(acl)", "line 1: this is no public key" },
		{ "(public-key (dsa (p #11#)))", "line 1: this is no public key" },
		{ "(public-key (ecc (q #" Q "#)))", "line 1: this public key lacks" },
		{ "(public-key (ecc (curve Ed25519)))", "line 1: this public key lacks" },
		{ "(public-key (ecc (curve Ed25519) (q (x))))", "line 1: this public key lacks" },
		{ "(public-key (ecc (curve Ed25519) (q #58239E#)))", "line 1: the point" },
		{ PUBLIC ")", "line 1: this is no public key, neither" },
		{ PRIVATE, "line 1: this is a private key" },
	};
	bool guix = false, nix = false;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct err e = ERR_INIT;

		if (store_keys_check(slice_of(bad[i].text), &guix, &nix, &e) != -ERR_SYNTAX)
			TEST_FAIL("'%s' is taken for keys", bad[i].text);
		else if (strncmp(e.msg, bad[i].why, strlen(bad[i].why)) != 0)
			TEST_FAIL("'%s': %s", bad[i].text, e.msg);
	}
	CHECK_INT(store_keys_check((struct slice){ NIX_KEY "\0", sizeof(NIX_KEY) }, &guix, &nix,
				   NULL),
		  -ERR_SYNTAX);
	CHECK_INT(store_keys_check((struct slice){ "#\0", 2 }, &guix, &nix, NULL), -ERR_SYNTAX);
	CHECK(!guix && !nix);
	CHECK_INT(store_keys_check(SLICE(PUBLIC PUBLIC), &guix, &nix, NULL), 0);
	CHECK(guix && !nix);
	CHECK_INT(store_keys_check(SLICE(NIX_KEY), &guix, &nix, NULL), 0);
	CHECK(!guix && nix);
	/* RSA, of old machines */
	CHECK_INT(store_keys_check(SLICE("(public-key (rsa (n #00C5#) (e #010001#)))"), &guix, &nix,
				   NULL),
		  0);
}

TEST(nix_signature)
{
	struct trust t = TRUST_INIT;
	auto_str struct str other = STR_INIT, bytes = STR_INIT;
	static const char order[32] =
		"\xed\xd3\xf5\x5c\x1a\x63\x12\x58\xd6\x9c\xf7\xa2\xde\xf9\xde\x14"
		"\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x10";
	unsigned carry = 0;

	trust_vector(&t);
	CHECK(trust_check_nix(&t, SLICE(NIX_SIG), SLICE(NIX_TEXT)));
	CHECK(!trust_check_nix(&t, SLICE(NIX_SIG), SLICE(NIX_TEXT ",")));
	CHECK(!trust_check_nix(&t, SLICE(NIX_SIG "="), SLICE(NIX_TEXT)));
	CHECK(!trust_check_nix(&t, SLICE(NIX_SIG " "), SLICE(NIX_TEXT)));
	CHECK(!trust_check_nix(&t, SLICE("other-1" NIX_SIG), SLICE(NIX_TEXT)));
	CHECK(!trust_check_nix(&t, SLICE(""), SLICE(NIX_TEXT)));
	CHECK(!trust_check_nix(&t, SLICE(":"), SLICE(NIX_TEXT)));
	/* the order of the curve added to the second half */
	CHECK_INT(base64_decode((struct slice){ &NIX_SIG[7], strlen(NIX_SIG) - 7 }, &bytes), 0);
	for (int i = 0; i < 32; i++) {
		carry += (unsigned char)bytes.buf[32 + i] + (unsigned char)order[i];
		bytes.buf[32 + i] = (char)carry;
		carry >>= 8;
	}
	str_add(&other, "test-1:");
	base64_add(&other, bytes.buf, bytes.len);
	CHECK(!trust_check_nix(&t, str_slice(&other), SLICE(NIX_TEXT)));
	trust_done(&t);
}

TEST(nix_lists)
{
	static const char *const bad[] = {
		"x", "x:", ":HRGeY/iT3OyS9IW35XmJ9tEeTfULiGYljn/an+E4AJw=",
		"test-1:HRGeY/iT3OyS9IW35XmJ9tEeTfULiGYljn/an+E4AJ==", NIX_SIG
	};
	struct err e = ERR_INIT;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct trust t = TRUST_INIT;

		if (trust_add_words(&t, bad[i], &e) != -ERR_SYNTAX)
			TEST_FAIL("'%s' is taken for a key", bad[i]);
		trust_done(&t);
	}
}

static void generate_one(enum dialect d, const char *dir)
{
	struct err e = ERR_INIT;
	struct trust t = TRUST_INIT;
	struct signer s = SIGNER_INIT;
	struct digest h = hash_of_vector();
	auto_str struct str sig = STR_INIT;
	char file[64];
	struct stat st;

	CHECK_INT(keys_generate(d, dir, "machine-1", &e), 0);
	CHECK_STR(e.msg, "");
	snprintf(file, sizeof(file), "%s/signing-key.sec", dir);
	CHECK_INT(stat(file, &st), 0);
	CHECK_INT(st.st_mode & 0777, 0400);
	CHECK_INT(signer_load(&s, file, &e), 0);
	CHECK_INT(signer_family(&s), d);
	CHECK_INT(trust_load(&t, dir, &e), 0);
	if (d == DIALECT_GUIX) {
		CHECK_INT(signer_sign_guix(&s, &h, &sig, &e), 0);
		CHECK_INT(trust_check_guix(&t, str_slice(&sig), &h, &e), 0);
	} else {
		CHECK_INT(signer_sign_nix(&s, SLICE("text"), &sig, &e), 0);
		CHECK(trust_check_nix(&t, str_slice(&sig), SLICE("text")));
		CHECK(!trust_check_nix(&t, str_slice(&sig), SLICE("Text")));
	}
	CHECK_STR(e.msg, "");
	trust_done(&t);
	signer_done(&s);
	CHECK_INT(keys_generate(d, dir, "machine-1", &e), -EEXIST);
}

/* SUB-17 */
TEST(generate)
{
	struct err e = ERR_INIT;
	struct signer s = SIGNER_INIT;
	mode_t old = umask(0);

	generate_one(DIALECT_GUIX, "g/new");
	generate_one(DIALECT_NIX, "n/new");
	umask(077);
	CHECK_INT(unlink("g/new/signing-key.pub"), 0);
	CHECK_INT(keys_generate(DIALECT_GUIX, "g/new", "", &e), 0);
	umask(old);
	put("secret", "", 0600);
	CHECK_INT(signer_load(&s, "secret", &e), -ERR_INVALID);
	CHECK_STR(e.msg, "the signing key secret is empty");
	put("secret", PRIVATE, 0440);
	CHECK_INT(signer_load(&s, "secret", &e), -ERR_INVALID);
	CHECK(strstr(e.msg, "others have access"));
	CHECK_INT(keys_generate(DIALECT_NIX, "m", "a b", &e), -ERR_INVALID);
	signer_done(&s);
}

static const char *in_crowd(void *arg, enum dialect d)
{
	(void)arg;
	(void)d;
	return "crowd";
}

/* A process that authorizes EACH keys, once there is something to read in go. */
static pid_t authorize_some(unsigned who, int go)
{
	pid_t pid = fork();
	int bad = 0;
	char c;

	if (pid != 0)
		return pid;
	(void)!read(go, &c, 1);
	for (unsigned i = 0; i < EACH; i++) {
		auto_str struct str key = STR_INIT;
		unsigned char bytes[32] = { (unsigned char)who, (unsigned char)i };

		str_addf(&key, "key-%u-%u:", who, i);
		base64_add(&key, bytes, sizeof(bytes));
		bad |= trust_authorize(str_slice(&key), in_crowd, NULL, NULL);
	}
	_exit(bad ? 1 : 0);
}

/* Each reads the list, adds to it and writes it: none may do so between another's two steps. */
TEST(authorize_at_once)
{
	struct trust t = TRUST_INIT;
	struct err e = ERR_INIT;
	pid_t pids[CROWD];
	int go[2], status;

	CHECK_INT(pipe2(go, O_CLOEXEC), 0);
	for (unsigned i = 0; i < CROWD; i++) {
		pids[i] = authorize_some(i, go[0]);
		CHECK(pids[i] > 0);
	}
	close(go[0]);
	for (unsigned i = 0; i < CROWD; i++)
		CHECK_INT(write(go[1], "g", 1), 1);
	for (unsigned i = 0; i < CROWD; i++) {
		CHECK_INT(waitpid(pids[i], &status, 0), pids[i]);
		CHECK_INT(status, 0);
	}
	close(go[1]);
	CHECK_INT(trust_load(&t, "crowd", &e), 0);
	CHECK_STR(e.msg, "");
	CHECK_INT(t.nix.n, CROWD * EACH);
	trust_done(&t);
}

TEST_MAIN(place, base64, guix_signature, guix_signing, guix_bad_signatures, guix_lists, declared,
	  declared_authorize, bad_keys, nix_signature, nix_lists, generate, authorize_at_once)
