/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What daemons say of a store, sorted. */
#include "store/remote/found.h"

#include "tests/unit/test.h"

#define A "/gnu/store/00000000000000000000000000000000-a"
#define B "/nix/store/11111111111111111111111111111111-b"

static void check(const char *text, const char *want, size_t remarks)
{
	struct found f = FOUND_INIT;
	auto_str struct str out = STR_INIT, flat = STR_INIT;
	struct slice rest = slice_of(text), line;
	struct err e = ERR_INIT;
	size_t n = 0;

	while (slice_cut(&rest, '\n', &line))
		n += !found_line(&f, line);
	CHECK_INT(n, remarks);
	CHECK_INT(found_json(&f, &out, &e), 0);
	for (const char *p = out.buf; *p; p++) /* without what is for people */
		if (*p != '\n' && !(*p == ' ' && (p[-1] == '\n' || p[-1] == ' ')))
			str_addc(&flat, *p);
	CHECK_STR(flat.buf, want);
	found_done(&f);
}

#define NOTHING ",\"repaired\":[],\"removed\":[]"

TEST(faults)
{
	check("", "\"faults\":[]" NOTHING, 1);
	check("path '" A "' disappeared",
	      "\"faults\":[{\"path\":\"" A
	      "\",\"why\":\"disappeared\",\"not_repaired\":null}]" NOTHING,
	      0);
	check("path `" A "' was modified! expected hash `1', got `2'",
	      "\"faults\":[{\"path\":\"" A
	      "\",\"why\":\"was modified! expected hash `1', got `2'\","
	      "\"not_repaired\":null}]" NOTHING,
	      0);
	check("'/x' is registered but is no store path",
	      "\"faults\":[{\"path\":\"/x\",\"why\":\"is registered but is no store path\","
	      "\"not_repaired\":null}]" NOTHING,
	      0);
}

TEST(what_became_of_them)
{
	check("path '" A "' was modified!\npath `" A "' could not be repaired: no derivation",
	      "\"faults\":[{\"path\":\"" A "\",\"why\":\"was modified!\","
	      "\"not_repaired\":\"no derivation\"}]" NOTHING,
	      0);
	check("path '" B "' was modified!\ncannot repair path '" B "'",
	      "\"faults\":[{\"path\":\"" B "\",\"why\":\"was modified!\","
	      "\"not_repaired\":\"cannot be repaired\"}]" NOTHING,
	      0);
	check("path `" A "' could not be repaired: x",
	      "\"faults\":[{\"path\":\"" A
	      "\",\"why\":\"is damaged\",\"not_repaired\":\"x\"}]" NOTHING,
	      0);
	check("path '" A "' disappeared\nrepaired `" A "'",
	      "\"faults\":[{\"path\":\"" A "\",\"why\":\"disappeared\",\"not_repaired\":null}],"
	      "\"repaired\":[\"" A "\"],\"removed\":[]",
	      0);
	check("removing '" A "' from the database: its files are gone, and nothing needs it",
	      "\"faults\":[],\"repaired\":[],\"removed\":[\"" A "\"]", 0);
	check("path '" A "' had the size 1 in the database, corrected to 2",
	      "\"faults\":[],\"repaired\":[\"" A "\"],\"removed\":[]", 0);
}

TEST(remarks)
{
	check("reading the store...\nfetching path `" A "' failed: x\nnote: path '" A "'\npath\n"
	      "path '\npath '" A "\npath 'x' is\nrepaired\n'",
	      "\"faults\":[]" NOTHING, 9);
}

TEST_MAIN(faults, what_became_of_them, remarks)
