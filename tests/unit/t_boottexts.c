/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The texts of menus say to who reads them what was meant, whatever is in it, and the program for
 * EFI counts boots as stage 1 does.
 */
#include "lib/bootenv.h"
#include "lib/size.h"
#include "tests/unit/bootworld.h"
#include "tests/unit/randomtext.h"

/* ---- Texts ----------------------------------------------------------------------------------- */

static const char *const words[] = { "Cairn",
				     "Generation 9: \"x\"",
				     "entry 7",
				     "$(reboot)",
				     "`x`; end",
				     "a = b {}",
				     "\xc3\xa9t\xc3\xa9",
				     "^key",
				     "APPEND x",
				     "# no",
				     "DEFAULT gen-9",
				     "-",
				     "end",
				     "kernel evil",
				     "back\\slash" };

static bool text_is(struct em_text t, const char *s)
{
	return t.n == strlen(s) && (t.n == 0 || memcmp(t.p, s, t.n) == 0);
}

static const char *title_of(const struct boot_item *it, struct str *out)
{
	str_cut(out, 0);
	boot_item_title(it, out);
	return out->buf;
}

/* Names are given: no file is looked at. */
static struct bootfiles named(struct arena *a)
{
	struct bootfiles b = { .arena = a };

	vec_add(&b.files, arena_dup(a, &(struct bootfile){ kernels[0], "", "K-kernel", 1 },
				    sizeof(struct bootfile)));
	vec_add(&b.files, arena_dup(a, &(struct bootfile){ initrds[0], "", "I-initrd", 1 },
				    sizeof(struct bootfile)));
	return b;
}

static void strange(struct sample *s, const char *label, const char *parameters)
{
	sample(s, 1, 3, (unsigned[]){ 0, 0, 0 });
	s->items[1].entry.label = label;
	s->items[1].entry.parameters = parameters;
	s->items[2].entry.initrd = "";
}

static void check_efi_text(const struct bootfiles *b, const struct sample *s)
{
	auto_str struct str text = STR_INIT, title = STR_INIT;
	struct err e = ERR_INIT;
	struct em_entry x;
	unsigned n = 0;

	CHECK_INT(efi_text(b, &s->menu, &text, &e), 0);
	struct em_text rest = { text.buf, text.len };
	CHECK(em_is_whole(rest));
	CHECK_INT(em_number(em_setting(rest, "default")), 3);
	CHECK_INT(em_number(em_setting(rest, "timeout")),
		  s->menu.timeout == BOOT_WAIT ? EM_WAIT : s->menu.timeout);
	for (; em_next(&rest, &x); n++) {
		const struct boot_item *it = &s->items[2 - n];
		CHECK_INT(x.number, it->number);
		CHECK(text_is(x.title, title_of(it, &title)));
		CHECK(text_is(x.kernel, "K-kernel"));
		CHECK(text_is(x.initrd, *it->entry.initrd ? "I-initrd" : ""));
		CHECK(text_is(x.parameters, it->entry.parameters));
	}
	CHECK_INT(n, 3);
	for (size_t cut = 0; cut < text.len; cut++)
		CHECK(!em_is_whole((struct em_text){ text.buf, cut }));
}

/* The next line of a key that extlinux knows, of the text. */
static bool line_of(struct slice *rest, const char *key, struct slice *ret)
{
	struct slice line;

	while (slice_cut(rest, '\n', &line)) {
		while (line.n && *line.p == '\t')
			line.p++, line.n--;
		if (!slice_starts(line, key))
			continue;
		*ret = (struct slice){ line.p + strlen(key), line.n - strlen(key) };
		return true;
	}
	return false;
}

static void check_extlinux_text(const struct bootfiles *b, const struct sample *s)
{
	auto_str struct str text = STR_INIT, title = STR_INIT;
	struct err e = ERR_INIT;
	struct slice rest, value;
	char tenths[16];

	(void)snprintf(tenths, sizeof(tenths), "%u",
		       s->menu.timeout == BOOT_WAIT ? 0 : s->menu.timeout * 10);
	CHECK_INT(extlinux_text(b, &s->menu, &text, &e), 0);
	rest = str_slice(&text);
	if (s->menu.serial) { /* the first line that is no comment */
		slice_cut(&rest, '\n', &value);
		CHECK(slice_starts(value, "# ") && slice_starts(rest, "SERIAL 1 9600\n"));
	}
	CHECK(line_of(&rest, "DEFAULT ", &value) && slice_is(value, "gen-3"));
	CHECK(line_of(&rest, "PROMPT ", &value) && slice_is(value, s->menu.timeout ? "1" : "0"));
	if (s->menu.timeout) /* 0: for ever */
		CHECK(line_of(&rest, "TIMEOUT ", &value) && slice_is(value, tenths));
	for (unsigned n = 3; n > 0; n--) {
		const struct boot_item *it = &s->items[n - 1];
		char label[16];

		snprintf(label, sizeof(label), "gen-%u", n);
		CHECK(line_of(&rest, "LABEL ", &value) && slice_is(value, label));
		CHECK(line_of(&rest, "MENU LABEL ", &value));
		(void)title_of(it, &title);
		for (char *p = title.buf; (p = strchr(p, '^'));) /* marks a key */
			*p = '\'';
		CHECK(slice_is(value, title.buf));
		CHECK(line_of(&rest, "LINUX ", &value) && slice_is(value, "K-kernel"));
		CHECK(line_of(&rest, "APPEND ", &value));
		if (n == 3)
			CHECK(slice_is(value, "quiet generation=default"));
		else
			CHECK(slice_is(value, *it->entry.parameters ? it->entry.parameters : "-"));
	}
	CHECK(!line_of(&rest, "LABEL ", &value));
}

TEST(texts_read_back)
{
	auto_arena struct arena a = ARENA_INIT;
	struct bootfiles b = named(&a);
	struct sample s;

	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		for (size_t k = 0; k < ARRAY_LEN(words); k++) {
			strange(&s, words[i], words[k]);
			check_efi_text(&b, &s);
			check_extlinux_text(&b, &s);
		}
	/* What boot_entry_parse() takes. */
	static const char bytes[] = "'\"$;{}()\\`#&|<>*^ aZ=-:/";
	static const char of_parameters[] = "\"$;{}()`#&|<>*^ aZ=-:/";
	uint32_t seed = 20260703;
	for (int round = 0; round < 500 && !test_failures; round++) {
		char label[40], parameters[40];

		random_text(&seed, bytes, label, sizeof(label));
		random_text(&seed, of_parameters, parameters, sizeof(parameters));
		strange(&s, label, parameters);
		check_efi_text(&b, &s);
		check_extlinux_text(&b, &s);
	}
	strange(&s, "no parameters", "");
	static const unsigned timeouts[] = { 0, 5, BOOT_WAIT };
	for (size_t i = 0; i < ARRAY_LEN(timeouts); i++) {
		s.menu.timeout = timeouts[i];
		check_efi_text(&b, &s);
		check_extlinux_text(&b, &s);
	}
	s.menu.serial = true;
	s.menu.serial_unit = 1;
	s.menu.serial_speed = 9600;
	check_extlinux_text(&b, &s);
	bootfiles_done(&b);
}

TEST(extlinux_extras)
{
	static const struct boot_extra x[] = { { "Memory ^test", "", "", "/memtest", "", "" },
					       { "Rescue", "", "", "/k", "/i", "a b" } },
				       chain = { "Other", "hd0", "/EFI/x", "", "", "" },
				       disk = { "Other", "LABEL=x", "", "/k", "", "" };
	auto_str struct str text = STR_INIT;
	struct sample s;
	struct err e = ERR_INIT;

	machine_make(&extlinux);
	CHECK_INT(boot_write_menu(&extlinux, sample(&s, 1, 3, (unsigned[]){ 0, 1, 1 }), &e), 0);
	s.menu.extras = x;
	s.menu.nextras = 2;
	CHECK_INT(boot_write_menu(&extlinux, &s.menu, &e), 0);
	CHECK_INT(boot_menu_read(&extlinux, &text, &e), 0);
	CHECK(strstr(text.buf,
		     "\nLABEL extra-0\n\tMENU LABEL Memory 'test\n\tLINUX /memtest\n\tAPPEND -\n"));
	CHECK(strstr(
		text.buf,
		"\nLABEL extra-1\n\tMENU LABEL Rescue\n\tLINUX /k\n\tINITRD /i\n\tAPPEND a b\n"));
	s.menu.nextras = 1;
	s.menu.extras = &chain;
	CHECK_INT(boot_write_menu(&extlinux, &s.menu, &e), -ERR_INVALID);
	s.menu.extras = &disk;
	CHECK_INT(boot_write_menu(&extlinux, &s.menu, &e), -ERR_INVALID);
	CHECK_STR(e.msg,
		  "boot menu: entry 'Other': extlinux starts kernels of its own partition only");
	machine_remove();
}

/* ---- Counting -------------------------------------------------------------------------------- */

/* The program decides as stage 1 does, whose rules have a test of their own. */
TEST(counts_as_stage_1)
{
	for (unsigned i = 0; i < 4 * 4 * 6 * 4 * 2; i++) {
		const struct boot_count now = { i % 4, i / 4 % 4, i / 16 % 6 };
		unsigned def = i / 96 % 4;
		bool has_good = i / 384 && now.good;
		struct em_count c = { now.good, now.trial, now.left };

		if (!def)
			continue;
		struct boot_choice want = boot_count_choose(&now, def, has_good);
		unsigned number = em_turn(&c, def, has_good);
		bool counted = em_take(&c, number, def);
		CHECK_INT(number, want.number);
		CHECK_INT(counted, want.counted);
		if (!counted)
			continue;
		CHECK_INT(c.trial, want.after.trial);
		CHECK_INT(c.left, want.after.left);
	}
}

TEST(block_of_the_program)
{
	const struct boot_var vars[] = { { "cairn_good", "12" }, { "other", "x" } };
	char block[BOOT_ENV_SIZE], next[BOOT_ENV_SIZE], file[300];
	struct boot_count count;
	struct err e = ERR_INIT;

	machine_make(&esp);
	boot_env_format(block);
	put("/block", block, sizeof(block));
	snprintf(file, sizeof(file), "%s/block", top);
	auto_fd int fd = open(file, O_RDWR | O_CLOEXEC);
	CHECK_INT(boot_env_update(fd, vars, ARRAY_LEN(vars), &e), 0);
	CHECK_INT(pread(fd, block, sizeof(block), 0), BOOT_ENV_SIZE);
	for (unsigned n = 1; n < 2000000; n *= 11) {
		struct em_count c = em_count_read(block);

		CHECK_INT(c.good, 12);
		c.trial = n;
		c.left = n % 4;
		CHECK(em_count_write(block, &c, next));
		CHECK_INT(pwrite(fd, next, sizeof(next), 0), BOOT_ENV_SIZE);
		CHECK_INT(boot_count_get(fd, &count, &e), 0);
		CHECK_INT(count.good, 12);
		CHECK_INT(count.trial, n > 999999 ? 0 : n);
		CHECK_INT(count.left, n % 4);
		CHECK(memmem(next, sizeof(next), "other=x\n", 8) != NULL);
		memcpy(block, next, sizeof(block));
	}
	machine_remove();
}

TEST_MAIN(texts_read_back, extlinux_extras, counts_as_stage_1, block_of_the_program)
