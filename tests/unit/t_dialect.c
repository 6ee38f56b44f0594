/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What differs between the families of stores: names, variables of derivations, content addresses.
 */
#include "store/format/ca.h"
#include "store/format/dialect.h"
#include "tests/unit/test.h"

#define NIX   "/nix/store/"
#define HELLO "a948904f2f0f479b8f8197694b30184b0d2ed1c1cd2a1ec0fb85d299a192a447"

TEST(names)
{
	enum dialect d = DIALECT_ANY;

	CHECK_INT(dialect_parse(SLICE("guix"), &d), 0);
	CHECK_INT(d, DIALECT_GUIX);
	CHECK_INT(dialect_parse(SLICE("nix"), &d), 0);
	CHECK_INT(d, DIALECT_NIX);
	CHECK_INT(dialect_parse(SLICE("Nix"), &d), -ERR_SYNTAX);
	CHECK_INT(dialect_parse(SLICE(""), &d), -ERR_SYNTAX);
	CHECK_STR(dialect_facts(DIALECT_NIX)->schema, "10");
	CHECK_STR(dialect_facts(DIALECT_GUIX)->schema, "7");
}

TEST(keys_of_each_dialect)
{
	static const struct {
		enum drv_key key;
		const char *name;
		bool guix, nix;
	} rows[] = {
		{ KEY_ALLOW_SUBSTITUTES, "allowSubstitutes", true, true },
		{ KEY_ALLOWED_REFERENCES, "allowedReferences", true, true },
		{ KEY_ALLOWED_REQUISITES, "allowedRequisites", true, true },
		{ KEY_DISALLOWED_REFERENCES, "disallowedReferences", true, true },
		{ KEY_DISALLOWED_REQUISITES, "disallowedRequisites", true, true },
		{ KEY_EXPORT_REFERENCES_GRAPH, "exportReferencesGraph", true, true },
		{ KEY_IMPURE_ENV_VARS, "impureEnvVars", true, true },
		{ KEY_MACHINE_FEATURES, "requiredSystemFeatures", true, true },
		{ KEY_PASS_AS_FILE, "passAsFile", false, true },
		{ KEY_PREFER_LOCAL_BUILD, "preferLocalBuild", true, true },
		{ KEY_REQUIRED_SYSTEM_FEATURES, "requiredSystemFeatures", false, true },
		{ KEY_STRUCTURED_ATTRS, "__json", false, true },
	};

	CHECK_INT(sizeof(rows) / sizeof(rows[0]), KEY_MAX);
	for (size_t i = 0; i < KEY_MAX; i++) {
		const char *guix = dialect_key(DIALECT_GUIX, rows[i].key);
		const char *nix = dialect_key(DIALECT_NIX, rows[i].key);

		CHECK_INT(guix != NULL, rows[i].guix);
		CHECK_INT(nix != NULL, rows[i].nix);
		CHECK_STR(dialect_key_name(rows[i].key), rows[i].name);
		if (guix)
			CHECK_STR(guix, rows[i].name);
		if (nix)
			CHECK_STR(nix, rows[i].name);
	}
}

TEST(addresses_as_text)
{
	struct arena a = ARENA_INIT;
	struct digest d, back;
	bool recursive = true;

	CHECK_INT(digest_parse(DIGEST_SHA256, SLICE(HELLO), &d), 0);
	CHECK_STR(ca_text(&a, &d),
		  "text:sha256:0ix4jahrkll5zg01wandq78jw3ab30q4nscph67rniqg5x7r0j59");
	CHECK_STR(ca_fixed(&a, false, &d),
		  "fixed:sha256:0ix4jahrkll5zg01wandq78jw3ab30q4nscph67rniqg5x7r0j59");
	CHECK_INT(ca_parse_fixed(slice_of(ca_fixed(&a, false, &d)), &recursive, &back), 0);
	CHECK(!recursive && digest_eq(&d, &back));
	CHECK_INT(ca_parse_fixed(slice_of(ca_fixed(&a, true, &d)), &recursive, &back), 0);
	CHECK(recursive && digest_eq(&d, &back));
	CHECK_INT(ca_parse_text(slice_of(ca_text(&a, &d)), &back), 0);
	CHECK_INT(ca_parse_fixed(SLICE("fixed:sha256:"), &recursive, &back), -ERR_SYNTAX);
	CHECK_INT(ca_parse_fixed(SLICE("fixed:r:sha999:00"), &recursive, &back), -ERR_SYNTAX);
	CHECK_INT(ca_parse_text(SLICE("text:md5:d41d8cd98f00b204e9800998ecf8427e"), &back),
		  -ERR_SYNTAX);
	arena_done(&a);
}

/* The paths were made by another implementation. */
TEST(addresses_name_paths)
{
	static const char *ref = NIX "86zk1hg65gxgl73mdz8hp3g2nmmbsdh5-src.txt";
	struct store_info text = { .path = NIX "9gz0m5kka3amb4g3263rlxx9j5518j5z-hello.txt",
				   .ca = "text:sha256:" HELLO };
	struct store_info flat = { .path = NIX "d5n8kjrd1ilw3mxdk83c446nyigj8pci-hello.txt",
				   .ca = "fixed:sha256:" HELLO };
	struct store_info refers = {
		.path = NIX "xa29p83zmcca0binrxwjiy94drzqdfvr-ref.txt",
		.ca = "text:sha256:0ax49h76b7krzvxdxdfc6yzy48zi2f3vzkz66wj1qr1xmfhzvynz",
		.refs = &ref,
		.nrefs = 1,
	};

	CHECK(ca_names("/nix/store", &text));
	CHECK(ca_names("/nix/store", &flat));
	CHECK(ca_names("/nix/store", &refers));
	refers.nrefs = 0;
	CHECK(!ca_names("/nix/store", &refers));
	text.ca = flat.ca; /* a text is no file */
	CHECK(!ca_names("/nix/store", &text));
	flat.ca = "";
	CHECK(!ca_names("/nix/store", &flat));
	flat.ca = NULL;
	CHECK(!ca_names("/nix/store", &flat));
	CHECK(!ca_names("/gnu/store", &refers));
}

TEST_MAIN(names, keys_of_each_dialect, addresses_as_text, addresses_name_paths)
