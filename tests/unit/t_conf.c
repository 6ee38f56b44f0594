/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/conf-file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

#include "lib/fd.h"
#include "lib/mem.h"
#include "lib/size.h"
#include "tests/unit/test.h"

struct item {
	const char *name, *text;
	bool on;
	uint64_t n, wait, size;
	const char *const *words;
};

static struct item items[8];
static size_t nitems;

static const struct conf_key keys[] = {
	CONF_KEY("name", conf_parse_str, offsetof(struct item, name), NULL, "the name", false),
	CONF_KEY("on", conf_parse_bool, offsetof(struct item, on), "no", "whether", false),
	CONF_KEY("count", conf_parse_u64, offsetof(struct item, n), "0", "how many", false),
	CONF_KEY("wait", conf_parse_duration, offsetof(struct item, wait), NULL, "how long", false),
	CONF_KEY("size", conf_parse_size, offsetof(struct item, size), NULL, "how big", false),
	CONF_KEY("words", conf_parse_words, offsetof(struct item, words), NULL, "a list", false),
	CONF_KEY("note", conf_parse_str, offsetof(struct item, text), NULL, "may repeat", true),
};

static int section(void *arg, struct conf_ctx *c, struct slice kind, struct slice name)
{
	if (!slice_is(kind, "item"))
		return conf_error(c, "unknown section");
	items[nitems].name = arena_slice(c->arena, name);
	c->object = &items[nitems++];
	return 0;
}

static int parse(const char *text, struct arena *a, struct err *e)
{
	memset(items, 0, sizeof(items));
	nitems = 0;
	return conf_parse(slice_of(text), "f", keys, ARRAY_LEN(keys), section, NULL, a, e);
}

TEST(values)
{
	auto_arena struct arena a = ARENA_INIT;
	struct err e = ERR_INIT;

	CHECK_INT(parse("# comment\n"
			"\n"
			"[item one]\n"
			"on = yes\n"
			"  count=42\n"
			"wait = 250ms\n"
			"size = 3K\n"
			"note = a = b # not a comment\n"
			"note = again\n"
			"[item]\n"
			"on = no",
			&a, &e),
		  0);
	CHECK_INT(nitems, 2);
	CHECK_STR(items[0].name, "one");
	CHECK(items[0].on);
	CHECK_INT(items[0].n, 42);
	CHECK_INT(items[0].wait, 250000000);
	CHECK_INT(items[0].size, 3072);
	CHECK_STR(items[0].text, "again");
	CHECK_STR(items[1].name, "");
	CHECK_INT(e.code, 0);
}

TEST(words)
{
	auto_arena struct arena a = ARENA_INIT;
	struct err e = ERR_INIT;

	CHECK_INT(parse("[item x]\nwords = /bin/sh -c  \"a b\\\"\\\\\\n\\x41\" \"\" end\n", &a, &e),
		  0);
	CHECK_STR(items[0].words[0], "/bin/sh");
	CHECK_STR(items[0].words[1], "-c");
	CHECK_STR(items[0].words[2], "a b\"\\\nA");
	CHECK_STR(items[0].words[3], "");
	CHECK_STR(items[0].words[4], "end");
	CHECK(items[0].words[5] == NULL);
	CHECK_INT(parse("[item x]\nwords =\n", &a, &e), 0);
	CHECK(items[0].words[0] == NULL);
}

TEST(lines_continue)
{
	auto_arena struct arena a = ARENA_INIT;
	struct err e = ERR_INIT;

	CHECK_INT(parse("[item x]\nwords = a \\\n b \\\n c\ncount = x\n", &a, &e), -ERR_SYNTAX);
	CHECK_STR(items[0].words[2], "c");
	CHECK_STR(e.msg, "f:5: count must be a number, not 'x'");
}

TEST(errors_name_the_line)
{
	static const char *const rows[][2] = {
		{ "on = yes\n", "f:1: key 'on' stands before any section" },
		{ "[item x]\nwrods = a\n", "f:2: unknown key 'wrods', did you mean 'words'?" },
		{ "[item x]\nzzzzzzz = a\n", "f:2: unknown key 'zzzzzzz'" },
		{ "[item x]\non = yes\non = no\n", "f:3: key 'on' stands twice" },
		{ "[item x]\non = true\n", "f:2: on must be yes or no, not 'true'" },
		{ "[item x]\nhello\n", "f:2: expected 'key = value'" },
		{ "[item x\n", "f:1: a section header ends in ']'" },
		{ "[]\n", "f:1: a section header ends in ']'" },
		{ "[ ]\n", "f:1: a section header needs a name" },
		{ "\n\n[thing x]\n", "f:3: unknown section" },
		{ "[item x]\nwait = 3 weeks\n",
		  "f:2: wait must be a duration such as 250ms or 10s, not '3 weeks'" },
		{ "[item x]\nsize = 3k\n",
		  "f:2: size must be a size such as 512K or 2G, not '3k'" },
		{ "[item x]\nwords = \"a\n", "f:2: words: quote is not closed" },
		{ "[item x]\nwords = \"a\"b\n", "f:2: words: blank missing after a quoted word" },
		{ "[item x]\nwords = a\"b\"\n", "f:2: words: quote or NUL inside a word" },
		{ "[item x]\nwords = \"\\q\"\n", "f:2: words: unknown escape \\q" },
		{ "[item x]\nwords = \"\\x0\"\n", "f:2: words: \\x needs two hex digits, not 00" },
		{ "[item x]\nwords = \"\\x00\"\n", "f:2: words: \\x needs two hex digits, not 00" },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		auto_arena struct arena a = ARENA_INIT;
		struct err e = ERR_INIT;

		CHECK_INT(parse(rows[i][0], &a, &e), -ERR_SYNTAX);
		CHECK_STR(e.msg, rows[i][1]);
	}
}

TEST(no_memory_is_an_error)
{
	static const char text[] = "[item x]\nnote = n\nwords = a \"b\"\nsize = \\\n1K\n";
	size_t total;

	mem_fail(0);
	{
		auto_arena struct arena a = ARENA_INIT;
		struct err e = ERR_INIT;

		CHECK_INT(parse(text, &a, &e), 0);
	}
	total = mem_fail(0);
	CHECK(total > 2);
	for (size_t n = 1; n <= total; n++) {
		auto_arena struct arena a = ARENA_INIT;
		struct err e = ERR_INIT;

		mem_fail(n);
		CHECK(parse(text, &a, &e) < 0);
		CHECK(e.code < 0);
		mem_fail(0);
	}
}

/* Text as a file; its path. */
static const char *put(const char *text)
{
	static char path[200];
	const char *tmp = getenv("TMP");
	struct err e = ERR_INIT;

	(void)snprintf(path, sizeof(path), "%s/t_conf-%ld", tmp ? tmp : "/tmp", (long)getpid());
	CHECK_INT(file_write_atomic(AT_FDCWD, path, text, strlen(text), 0600, &e), 0);
	return path;
}

TEST(files)
{
	struct conf_file f = { .limit = 40, .keys = keys, .nkeys = ARRAY_LEN(keys), .only = "one" };
	auto_arena struct arena a = ARENA_INIT;
	struct item x = { 0 };
	struct err e = ERR_INIT;
	bool found = false;
	const char *path = put("[one]\ncount = 3\n");

	CHECK_INT(conf_load(&f, path, &x, &found, &a, &e), 0);
	CHECK(found);
	CHECK_INT(x.n, 3);
	CHECK(conf_load(&f, put("[two]\n"), &x, NULL, &a, &e) < 0);
	CHECK(strstr(e.msg, "unknown section"));
	CHECK(conf_load(&f, put("[one x]\n"), &x, NULL, &a, &e) < 0);
	f.limit = 4;
	CHECK(conf_load(&f, put("[one]\n"), &x, &found, &a, &e) < 0);
	CHECK(found);
	CHECK_INT(unlink(path), 0);
	e = (struct err)ERR_INIT;
	CHECK_INT(conf_load(&f, path, &x, &found, &a, &e), 0);
	CHECK(!found && !e.msg[0]);
	CHECK_INT(conf_load(&f, path, &x, NULL, &a, &e), -ENOENT);
	CHECK(strstr(e.msg, path));
	f = (struct conf_file){
		.limit = 40, .keys = keys, .nkeys = ARRAY_LEN(keys), .section = section
	};
	nitems = 0;
	CHECK_INT(conf_load(&f, put("[item a]\n[item b]\n"), NULL, &found, &a, &e), 0);
	CHECK_INT(nitems, 2);
	CHECK_INT(unlink(path), 0);
}

TEST_MAIN(values, words, lines_continue, errors_name_the_line, no_memory_is_an_error, files)
