/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "bootloader/bootloader.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bootloader/mount.h"
#include "lib/fd.h"
#include "lib/gpt.h"
#include "lib/size.h"
#include "tests/unit/randomtext.h"
#include "tests/unit/test.h"

#define GRUB_AT(top)                                                                               \
	((struct boot_place){ .root = top, .store = top, .type = BOOT_GRUB, .dir = "" })
#define KERNEL	   "/gnu/store/0123456789abcdfghijklmnpqrsvwxyz-linux-6.1.176/bzImage"
#define INITRD_DIR "gnu/store/1123456789abcdfghijklmnpqrsvwxyz-initrd"

static const struct boot_entry sample = {
	.label = "Cairn, host 'stone'",
	.version = "6.1.176",
	.kernel = KERNEL,
	.initrd = "/" INITRD_DIR "/initrd",
	.parameters = "root=LABEL=cairn-root rw quiet",
};

/* ---- Entries */

TEST(entry_round_trip)
{
	auto_arena struct arena a = ARENA_INIT;
	auto_str struct str text = STR_INIT;
	struct boot_entry b = { 0 };
	struct err e = ERR_INIT;

	CHECK_INT(boot_entry_format(&sample, &text, &e), 0);
	CHECK_INT(boot_entry_parse(&a, str_slice(&text), "entry", &b, &e), 0);
	CHECK_STR(b.label, sample.label);
	CHECK_STR(b.version, sample.version);
	CHECK_STR(b.kernel, sample.kernel);
	CHECK_STR(b.initrd, sample.initrd);
	CHECK_STR(b.parameters, sample.parameters);
	str_cut(&text, 0);
	CHECK_INT(
		boot_entry_format(&(struct boot_entry){ .label = "x", .kernel = "/k" }, &text, &e),
		0);
	CHECK_STR(text.buf, "cairn-boot-entry 1\nlabel x\nkernel /k\nparameters \n");
	CHECK_INT(boot_entry_parse(&a, str_slice(&text), "entry", &b, &e), 0);
	CHECK_STR(b.initrd, "");
	CHECK_STR(b.parameters, "");
}

#define HEAD "cairn-boot-entry 1\n"

TEST(entry_strict)
{
	static const char *const good = HEAD "label x\nkernel /k\nparameters a b\n";
	static const char *const bad[] = {
		"",
		HEAD,
		"cairn-boot-entry 2\nlabel x\nkernel /k\nparameters a\n",
		HEAD "label x\nkernel /k\nparameters a", /* no newline at the end */
		HEAD "label x\nkernel /k\n",
		HEAD "label x\nparameters a\n",
		HEAD "kernel /k\nparameters a\n",
		HEAD "label x\nlabel y\nkernel /k\nparameters a\n",
		HEAD "label x\nkernel k\nparameters a\n",
		HEAD "label x\nkernel /a/../k\nparameters a\n",
		HEAD "label x\nkernel /a//k\nparameters a\n",
		HEAD "label x\nkernel /k\nparameters a\nextra b\n",
		HEAD "label x\nkernel /k\nparameters a\n\n",
		HEAD "label \nkernel /k\nparameters a\n",
		HEAD "label x\ty\nkernel /k\nparameters a\n",
		HEAD "label x\nkernel /k\nparameters a\\b\n",
		HEAD "label x\nkernel /k\nparameters a'b\n",
		HEAD "label x\nkernel /k\nparameters a\"b\n",
		HEAD "label \xff\nkernel /k\nparameters a\n",
	};
	auto_arena struct arena a = ARENA_INIT;
	struct boot_entry b = { 0 };

	struct err e = ERR_INIT;
	CHECK_INT(boot_entry_parse(&a, slice_of(good), "entry", &b, &e), 0);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		e = (struct err)ERR_INIT;
		if (boot_entry_parse(&a, slice_of(bad[i]), "entry", &b, &e) == 0)
			TEST_FAIL("accepted: %s", bad[i]);
		CHECK(strncmp(e.msg, "entry", 5) == 0);
	}
}

TEST(entry_format_refuses)
{
	struct boot_entry b[] = { sample, sample, sample, sample, sample };
	struct err e = ERR_INIT;

	b[0].label = "two\nlines";
	b[1].kernel = "relative";
	b[2].parameters = "a\nb";
	b[3].initrd = "/a/./b";
	b[4].label = "";
	for (size_t i = 0; i < ARRAY_LEN(b); i++) {
		auto_str struct str text = STR_INIT;
		CHECK(boot_entry_format(&b[i], &text, &e) < 0);
	}
}

/* ---- Menu: read back with a reader of GRUB's quoting of its own */

/* Next word of one logical line; false at its end. */
static bool word(const char **p, struct str *out)
{
	bool any = false;

	str_cut(out, 0);
	while (**p == ' ' || **p == '\t')
		(*p)++;
	while (**p && **p != ' ' && **p != '\n') {
		any = true;
		if (**p == '\'') {
			for ((*p)++; **p && **p != '\''; (*p)++)
				str_addc(out, **p);
			if (**p)
				(*p)++;
		} else if (**p == '\\') {
			str_addc(out, (*p)[1]);
			*p += 2;
		} else {
			str_addc(out, *(*p)++);
		}
	}
	return any;
}

static void check_words(const char *line, const char *const *want)
{
	auto_str struct str w = STR_INIT;

	for (; *want; want++) {
		CHECK(word(&line, &w));
		CHECK_STR(w.buf, *want);
	}
	if (word(&line, &w))
		TEST_FAIL("one word more: %s", w.buf);
}

static const char *line_after(const char *p)
{
	p = strchr(p, '\n');
	return p ? p + 1 : "";
}

static void check_entry(const char *menu, const char *title, const char *id,
			const char *const *kernel)
{
	const char *const head[] = { "menuentry", title, "--id", id, "{", NULL };
	const char *const count[] = { "cairn_count", id + 4, NULL };
	char mark[40];

	(void)snprintf(mark, sizeof(mark), " --id '%s' {\n", id);
	const char *at = strstr(menu, mark);
	CHECK(at != NULL);
	while (at && at > menu && at[-1] != '\n')
		at--;
	if (!at)
		return;
	check_words(at, head);
	check_words(line_after(at), count);
	check_words(line_after(line_after(at)), kernel);
}

TEST(menu_text)
{
	struct boot_item items[3] = { { .number = 2, .date = 86400, .entry = sample },
				      { .number = 10, .date = 1, .entry = sample },
				      { .number = 9, .date = 0, .entry = sample } };
	struct boot_menu m = { .items = items,
			       .nitems = 3,
			       .default_number = 9,
			       .timeout = 7,
			       .serial = true,
			       .serial_unit = 1 };
	static const char *const words[] = { "linux",	 KERNEL,  "root=LABEL=cairn-root",
					     "init=a b", "x$y;z", "$cairn_word",
					     NULL };
	auto_str struct str text = STR_INIT;
	struct err e = ERR_INIT;

	items[0].entry.parameters = "root=LABEL=cairn-root  init=\"a b\" x$y;z ";
	CHECK_INT(boot_menu_text(&m, &text, &e), 0);
	CHECK(strstr(text.buf, "set default='gen-9'\n") != NULL);
	CHECK(strstr(text.buf, "set timeout=7\n") != NULL);
	CHECK(strstr(text.buf, "serial --unit=1 --speed=115200;") != NULL);
	check_entry(text.buf, "Generation 2, 1970-01-02 00:00, Linux 6.1.176: Cairn, host 'stone'",
		    "gen-2", words);
	const char *ten = strstr(text.buf, "'gen-10' {"), *nine = strstr(text.buf, "'gen-9' {");
	const char *two = strstr(text.buf, "'gen-2' {");
	CHECK(ten && nine && two && ten < nine && nine < two); /* newest first */
	CHECK(strstr(text.buf, "set cairn_default=9\n") != NULL);
	/* The place of each in the menu, should it be the good one. */
	CHECK(strstr(text.buf, "\"$cairn_good\" = 10 ]; then set cairn_back=0; fi\n") != NULL);
	CHECK(strstr(text.buf, "\"$cairn_good\" = 2 ]; then set cairn_back=2; fi\n") != NULL);
	m.timeout = BOOT_WAIT;
	str_cut(&text, 0);
	CHECK_INT(boot_menu_text(&m, &text, &e), 0);
	CHECK(strstr(text.buf, "set timeout=-1\n") != NULL);
}

/* ---- Entries that are no generation */

/* The entry of that number in the menu: its lines as words. */
static void check_extra(const char *menu, unsigned index, const char *title,
			const char *const *const *lines)
{
	char id[24], mark[40];

	(void)snprintf(id, sizeof(id), "extra-%u", index);
	(void)snprintf(mark, sizeof(mark), " --id '%s' {\n", id);
	const char *const head[] = { "menuentry", title, "--id", id, "{", NULL };
	const char *at = strstr(menu, mark);
	CHECK(at != NULL);
	while (at && at > menu && at[-1] != '\n')
		at--;
	if (!at)
		return;
	check_words(at, head);
	at = line_after(line_after(at));
	for (; *lines; lines++, at = line_after(at))
		check_words(at, *lines);
	CHECK(strncmp(at, "}\n", 2) == 0);
}

#define LINES(...) ((const char *const *const[]){ __VA_ARGS__, NULL })
#define WORDS(...) ((const char *const[]){ __VA_ARGS__, NULL })

TEST(extras)
{
	const struct boot_extra x[] = {
		{ "Other", "UUID=12-34", "/EFI/x.efi", "", "", "" },
		{ "Sector", "hd1", BOOT_SECTOR, "", "", "" },
		{ "Kernel", "LABEL=a b", "", "/k", "/i", "a=\"b c\" d" },
		{ "Own", "", "", KERNEL, "", "" },
	};
	struct boot_item item = { .number = 3, .entry = sample };
	struct boot_menu m = {
		.items = &item, .nitems = 1, .default_number = 3, .extras = x, .nextras = 4
	};
	auto_str struct str text = STR_INIT;
	struct err e = ERR_INIT;

	CHECK_INT(boot_menu_text(&m, &text, &e), 0);
	check_extra(text.buf, 0, "Other",
		    LINES(WORDS("search", "--no-floppy", "--fs-uuid", "--set=root", "12-34"),
			  WORDS("chainloader", "/EFI/x.efi")));
	check_extra(text.buf, 1, "Sector",
		    LINES(WORDS("set", "root=hd1"), WORDS("chainloader", "+1")));
	check_extra(text.buf, 2, "Kernel",
		    LINES(WORDS("search", "--no-floppy", "--label", "--set=root", "a b"),
			  WORDS("linux", "/k", "a=b c", "d"), WORDS("initrd", "/i")));
	check_extra(text.buf, 3, "Own", LINES(WORDS("linux", KERNEL)));
	CHECK(strstr(text.buf, "set default='extra-") == NULL);
	m.default_title = "Kernel";
	str_cut(&text, 0);
	CHECK_INT(boot_menu_text(&m, &text, &e), 0);
	/* Behind all that speaks of the default before. */
	const char *at = strstr(text.buf, "\nset default='extra-2'\n");
	CHECK(at && !strstr(at + 1, "set default=$") && strstr(text.buf, "set default='gen-3'\n"));
	m.default_title = "None";
	CHECK_INT(boot_menu_text(&m, &text, &e), -ERR_INVALID);
	CHECK_STR(e.msg, "the menu has no entry 'None' to be the default");
}

TEST(terminals)
{
	static const char *const both[] = { "console", "serial", "serial_2", NULL };
	static const char *const line[] = { "serial_0", NULL }, *const odd[] = { "serial_4", NULL };
	struct boot_item item = { .number = 3, .entry = sample };
	struct boot_menu m = { .items = &item,
			       .nitems = 1,
			       .default_number = 3,
			       .serial = true,
			       .serial_unit = 1,
			       .serial_speed = 9600,
			       .inputs = line,
			       .outputs = both };
	auto_str struct str text = STR_INIT;
	struct err e = ERR_INIT;

	CHECK_INT(boot_menu_text(&m, &text, &e), 0);
	/* Of the line that is only answered the console goes; what shows the menu keeps it. */
	CHECK(strstr(text.buf, "if serial --unit=0 --speed=9600; then\n"
			       "\tterminal_input --append serial_com0\n"
			       "\tterminal_input --remove console\n"
			       "fi\n"
			       "if serial --unit=1 --speed=9600; then\n"
			       "\tterminal_output --append serial_com1\n"
			       "fi\n"
			       "if serial --unit=2 --speed=9600; then\n"
			       "\tterminal_output --append serial_com2\n"
			       "fi\n"));
	CHECK(!strstr(text.buf, "terminal_input console"));
	m.inputs = odd;
	CHECK_INT(boot_menu_text(&m, &text, &e), -ERR_INVALID);
	CHECK_STR(e.msg, "the menu has no terminal 'serial_4'");
	for (size_t i = 0; both[i]; i++)
		CHECK(boot_terminal_ok(both[i]));
	static const char *const bad[] = { "",	       "serial_",  "serial_00", "serial_-1",
					   "serial_4", "console2", "gfxterm",	"serial;reboot" };
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		CHECK(!boot_terminal_ok(bad[i]));
}

TEST(extras_refused)
{
	static const struct boot_extra bad[] = {
		{ "", "", "", KERNEL, "", "" },		 { "x", "", "", "", "", "" },
		{ "x", "", "", "relative", "", "" },	 { "x", "hd0", "relative", "", "", "" },
		{ "x", "hd0", "/x", KERNEL, "", "" },	 { "x", "hd0", "/x", "", "/i", "" },
		{ "x", "LABEL=", "/x", "", "", "" },	 { "x", "cd0", "/x", "", "", "" },
		{ "x", "hd0;reboot", "/x", "", "", "" }, { "x\ny", "", "", KERNEL, "", "" },
		{ "x", "", "", KERNEL, "", "it's" },
	};
	struct err e = ERR_INIT;

	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		if (boot_extra_check(&bad[i], &e) != -ERR_INVALID)
			TEST_FAIL("entry %zu is accepted", i);
}

/* What a person may write in an entry, at random: it is one word where it stands. */
TEST(extras_quoting)
{
	static const char bytes[] = "'\"$;{}()\\`#&|<>* aZ=-";
	static const char in_word[] = "$;{}()`#&|<>*aZ=-";
	struct boot_item item = { .number = 1, .entry = sample };
	uint32_t seed = 20260101;

	for (int round = 0; round < 4000 && !test_failures; round++) {
		char title[24], label[30] = "LABEL=", file[24] = "/", argument[24];
		auto_str struct str text = STR_INIT;
		struct err e = ERR_INIT;

		random_text(&seed, bytes, title, sizeof(title));
		random_text(&seed, bytes, label + 6, sizeof(label) - 6);
		random_text(&seed, in_word, file + 1, sizeof(file) - 1);
		random_text(&seed, in_word, argument, sizeof(argument));
		const struct boot_extra x[] = { { title, label, file, "", "", "" },
						{ "k", "", "", file, file, argument } };
		const struct boot_menu m = {
			.items = &item, .nitems = 1, .default_number = 1, .extras = x, .nextras = 2
		};
		CHECK_INT(boot_menu_text(&m, &text, &e), 0);
		check_extra(
			text.buf, 0, title,
			LINES(WORDS("search", "--no-floppy", "--label", "--set=root", label + 6),
			      WORDS("chainloader", file)));
		check_extra(text.buf, 1, "k",
			    LINES(WORDS("linux", file, argument), WORDS("initrd", file)));
	}
}

TEST(menu_refuses)
{
	struct boot_item items[2] = { { .number = 1, .entry = sample },
				      { .number = 1, .entry = sample } };
	struct boot_menu m = { .items = items, .nitems = 1, .default_number = 2 };
	struct err e = ERR_INIT;
	struct str text = STR_INIT;

	CHECK_INT(boot_menu_text(&m, &text, &e), -ERR_INVALID);
	m = (struct boot_menu){ .items = items, .nitems = 2, .default_number = 1 };
	CHECK_INT(boot_menu_text(&m, &text, &e), -ERR_INVALID);
	m = (struct boot_menu){ .items = items, .nitems = 0, .default_number = 1 };
	CHECK_INT(boot_menu_text(&m, &text, &e), -ERR_INVALID);
	str_done(&text);
}

/* No label changes the menu: thousands of them from the bytes that mean something to a
 * shell. */
TEST(boot_08_menu_quoting)
{
	static const char bytes[] = "'\"$;{}()\\`#&|<>* \n\t\x01"
				    "aZ=-";
	uint32_t seed = 20240117;
	unsigned usual = 0;

	for (int round = 0; round < 4000; round++) {
		struct boot_item item = { .number = 1, .entry = sample };
		const struct boot_menu m = { .items = &item, .nitems = 1, .default_number = 1 };
		static const char *const words[] = { "linux", KERNEL,  "root=LABEL=cairn-root",
						     "rw",    "quiet", "$cairn_word",
						     NULL };
		char label[24], title[80];
		auto_str struct str text = STR_INIT;
		struct err e = ERR_INIT;

		random_text(&seed, bytes, label, sizeof(label));
		const size_t n = strlen(label);
		item.entry.label = label;
		CHECK_INT(boot_menu_text(&m, &text, &e), 0);
		for (size_t i = 0; i < n; i++) /* what may not get through is shown as '?' */
			if ((unsigned char)label[i] < 0x20)
				label[i] = '?';
		(void)snprintf(title, sizeof(title), "Generation 1, Linux 6.1.176: %s", label);
		check_entry(text.buf, title, "gen-1", words);
		unsigned lines = 0;
		for (const char *p = text.buf; *p; p++)
			lines += *p == '\n';
		if (round == 0)
			usual = lines;
		CHECK_INT(lines, usual);
		if (test_failures)
			break;
	}
}

/* ---- Environment block */

static int set(int fd, const char *name, const char *value, struct err *e)
{
	const struct boot_var v = { name, value };

	return boot_env_update(fd, &v, 1, e);
}

/* Several variables change together, what is not named stays, and nothing is written for nothing.
 */
TEST(environment_together)
{
	const struct boot_var two[] = { { "try", "5" }, { "left", "3" } };
	const struct boot_var swap[] = { { "left", NULL }, { "good", "5" }, { "try", NULL } };
	const struct boot_var bad[] = { { "try", "6" }, { "", "1" } };
	char block[BOOT_ENV_SIZE], now[BOOT_ENV_SIZE + 1] = "";
	struct err e = ERR_INIT;
	auto_fd int fd = memfd_create("env", MFD_CLOEXEC);

	boot_env_format(block);
	CHECK_INT(fd_write_full(fd, block, sizeof(block)), 0);
	CHECK_INT(set(fd, "mine", "x", &e), 0);
	CHECK_INT(boot_env_update(fd, two, 2, &e), 0);
	CHECK_INT(boot_env_update(fd, bad, 2, &e), -ERR_INVALID); /* all or nothing */
	CHECK_INT(pread(fd, now, BOOT_ENV_SIZE, 0), BOOT_ENV_SIZE);
	CHECK(slice_starts(slice_of(now), "# GRUB Environment Block\nmine=x\ntry=5\nleft=3\n#"));
	CHECK_INT(boot_env_update(fd, swap, 3, &e), 0);
	CHECK_INT(pread(fd, now, BOOT_ENV_SIZE, 0), BOOT_ENV_SIZE);
	CHECK(slice_starts(slice_of(now), "# GRUB Environment Block\nmine=x\ngood=5\n#"));
	auto_fd int ro = memfd_create("env", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	CHECK_INT(fd_write_full(ro, now, BOOT_ENV_SIZE), 0);
	CHECK_INT(fcntl(ro, F_ADD_SEALS, F_SEAL_WRITE), 0);
	CHECK_INT(boot_env_update(ro, swap, 3, &e), 0); /* the same: no write */
	CHECK(boot_env_update(ro, two, 2, &e) < 0);
}

TEST(boot_12_environment_begun_anew)
{
	static const char left[] = ".tmp-0123456789abcdef";
	char top[] = "/tmp/t_boot.XXXXXX";
	struct err e = ERR_INIT;

	CHECK(mkdtemp(top) != NULL);
	auto_fd int fd = open(top, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	CHECK_INT(file_write_atomic(fd, left, "#", 1, 0644, &e), 0);
	CHECK_INT(boot_env_ensure(fd, &e), 0);
	CHECK_INT(faccessat(fd, "grubenv", R_OK, 0), 0);
	CHECK_INT(unlinkat(fd, "grubenv", 0), 0);
	CHECK_INT(rmdir(top), 0); /* and nothing else was there */
}

TEST(environment)
{
	auto_arena struct arena a = ARENA_INIT;
	char block[BOOT_ENV_SIZE], big[1100];
	const char *v = NULL;
	struct err e = ERR_INIT;
	auto_fd int fd = memfd_create("env", MFD_CLOEXEC);

	boot_env_format(block);
	CHECK_INT(fd_write_full(fd, block, sizeof(block)), 0);
	CHECK_INT(boot_env_get(fd, &a, "good", &v, &e), 0);
	CHECK(v == NULL);
	CHECK_INT(set(fd, "good", "3", &e), 0);
	CHECK_INT(set(fd, "other", "a\\b\nc", &e), 0);
	CHECK_INT(set(fd, "good", "4", &e), 0);
	CHECK_INT(boot_env_get(fd, &a, "good", &v, &e), 0);
	CHECK_STR(v, "4");
	CHECK_INT(boot_env_get(fd, &a, "other", &v, &e), 0);
	CHECK_STR(v, "a\\b\nc");
	CHECK_INT(boot_env_get(fd, &a, "goo", &v, &e), 0);
	CHECK(v == NULL);
	memset(big, 'x', sizeof(big) - 1);
	big[sizeof(big) - 1] = '\0';
	CHECK_INT(set(fd, "big", big, &e), -ERR_LIMIT);
	CHECK_INT(set(fd, "a=b", "1", &e), -ERR_INVALID);
	CHECK_INT(set(fd, "other", NULL, &e), 0);
	CHECK_INT(set(fd, "good", NULL, &e), 0);
	char now[BOOT_ENV_SIZE];
	CHECK_INT(pread(fd, now, sizeof(now), 0), BOOT_ENV_SIZE);
	CHECK(memcmp(now, block, sizeof(block)) == 0);
	CHECK_INT(ftruncate(fd, 1000), 0);
	CHECK_INT(boot_env_get(fd, &a, "good", &v, &e), -ERR_INVALID);
}

/* ---- Embedding */

TEST(embedding)
{
	static uint8_t boot[512], core[5000], got[16384];
	const struct boot_code code = { { (char *)boot, sizeof(boot) },
					{ (char *)core, sizeof(core) } };
	struct err e = ERR_INIT;
	bool changed = false;
	auto_fd int fd = memfd_create("disk", MFD_CLOEXEC);

	memset(boot, 0xb0, sizeof(boot));
	boot[510] = 0x55;
	boot[511] = 0xaa;
	memset(core, 0xc0, sizeof(core));
	memset(got, 0x11, sizeof(got));
	CHECK_INT(fd_write_full(fd, got, sizeof(got)), 0);
	CHECK_INT(boot_embed(fd, 8, 10, &code, &changed, &e), 0);
	CHECK(changed);
	CHECK_INT(pread(fd, got, sizeof(got), 0), sizeof(got));
	CHECK(got[0x5c] == 8 && got[0x5d] == 0 && got[0x66] == 0x90 && got[0x67] == 0x90);
	CHECK(got[439] == 0xb0 && got[440] == 0x11 && got[509] == 0x11); /* the table stays */
	CHECK(got[510] == 0x55 && got[511] == 0xaa);
	const uint8_t *list = got + 8 * 512 + 0x1f4;
	CHECK(memcmp(list, "\x09\0\0\0\0\0\0\0\x09\0\x20\x08", 12) == 0);
	CHECK(got[8 * 512] == 0xc0 && got[8 * 512 + 4999] == 0xc0 && got[8 * 512 + 5000] == 0);
	CHECK(got[18 * 512] == 0x11);
	CHECK_INT(boot_embed(fd, 8, 10, &code, &changed, &e), 0);
	CHECK(!changed);
	CHECK_INT(boot_embed(fd, 8, 9, &code, &changed, &e), -ERR_LIMIT);
	boot[511] = 0;
	CHECK_INT(boot_embed(fd, 8, 10, &code, &changed, &e), -ERR_INVALID);
}

static size_t written; /* bytes that pwrite() may still write, while counted is set */
static bool counted;

static bool device;	  /* what is written to is one */
static bool device_fails; /* to sync */
static char steps[16];	  /* of the device: core.img, sync, boot sector */

static void add_step(char c)
{
	size_t n = strlen(steps);

	if (n + 1 < sizeof(steps))
		steps[n] = c;
}

int fstat(int fd, struct stat *st)
{
	int (*real)(int, struct stat *) = (__typeof__(real))dlsym(RTLD_NEXT, "fstat");
	int r = real(fd, st);

	if (device && r == 0)
		st->st_mode = S_IFBLK | 0600;
	return r;
}

int fsync(int fd)
{
	int (*real)(int) = (__typeof__(real))dlsym(RTLD_NEXT, "fsync");

	if (!device)
		return real(fd);
	add_step('s');
	errno = EIO;
	return device_fails ? -1 : 0;
}

ssize_t pwrite(int fd, const void *p, size_t n, off_t off)
{
	ssize_t (*real)(int, const void *, size_t, off_t) =
		(__typeof__(real))dlsym(RTLD_NEXT, "pwrite");

	if (device)
		add_step(off < 512 ? 'b' : 'c');
	if (!counted)
		return real(fd, p, n, off);
	n = n < written ? n : written;
	written -= n;
	if (n == 0) {
		errno = EIO;
		return -1;
	}
	return real(fd, p, n, off);
}

/* Cut after any number of bytes: the boot sector is written only when all of core.img is there. */
TEST(boot_07_embedding_cut)
{
	static uint8_t boot[512], core[5000], whole[16384], got[16384];
	const struct boot_code code = { { (char *)boot, sizeof(boot) },
					{ (char *)core, sizeof(core) } };
	struct err e = ERR_INIT;

	memset(boot, 0xb0, sizeof(boot));
	memcpy(boot + 510, "\x55\xaa", 2);
	memset(core, 0xc0, sizeof(core));
	auto_fd int good = memfd_create("disk", MFD_CLOEXEC);
	CHECK_INT(ftruncate(good, sizeof(whole)), 0);
	CHECK_INT(boot_embed(good, 8, 10, &code, NULL, &e), 0);
	CHECK_INT(pread(good, whole, sizeof(whole), 0), sizeof(whole));
	for (size_t n = 0; n < sizeof(core) + 600 && !test_failures; n += 61) {
		auto_fd int fd = memfd_create("disk", MFD_CLOEXEC);

		CHECK_INT(ftruncate(fd, sizeof(got)), 0);
		counted = true;
		written = n;
		int r = boot_embed(fd, 8, 10, &code, NULL, &e);
		counted = false;
		CHECK_INT(pread(fd, got, sizeof(got), 0), sizeof(got));
		if (r == 0)
			CHECK(memcmp(got, whole, sizeof(got)) == 0);
		if (got[0])
			CHECK(memcmp(got + 8 * 512, whole + 8 * 512, 10 * 512) == 0);
		/* Once more, undisturbed. */
		CHECK_INT(boot_embed(fd, 8, 10, &code, NULL, &e), 0);
		CHECK_INT(pread(fd, got, sizeof(got), 0), sizeof(got));
		CHECK(memcmp(got, whole, sizeof(got)) == 0);
	}
}

/* And a disk does not keep to the order of writes: core.img is on it before anything points there.
 */
TEST(boot_07_embedding_synced)
{
	static uint8_t boot[512], core[5000];
	const struct boot_code code = { { (char *)boot, sizeof(boot) },
					{ (char *)core, sizeof(core) } };

	memset(boot, 0xb0, sizeof(boot));
	memcpy(boot + 510, "\x55\xaa", 2);
	memset(core, 0xc0, sizeof(core));
	for (int i = 0; i < 2; i++) {
		struct err e = ERR_INIT;
		auto_fd int fd = memfd_create("disk", MFD_CLOEXEC);

		CHECK_INT(ftruncate(fd, 16384), 0);
		memset(steps, 0, sizeof(steps));
		device = true;
		device_fails = i;
		int r = boot_embed(fd, 8, 10, &code, NULL, &e);
		device = device_fails = false;
		CHECK_INT(r, i ? -EIO : 0);
		CHECK_STR(steps, i ? "cs" : "csbb");
	}
}

/* A disk with a partition for core.img, and a directory with the code. */
static void disk_make(const char *top, const uint8_t *boot, const uint8_t *core, size_t n)
{
	static uint8_t head[GPT_HEAD_SECTORS * GPT_SECTOR], tail[GPT_TAIL_SECTORS * GPT_SECTOR];
	struct gpt g = { .sectors = 8192, .nparts = 1 };
	struct err e = ERR_INIT;
	auto_fd int dir = open(top, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	CHECK_INT(guid_parse(SLICE(GPT_TYPE_BIOS_BOOT), &g.part[0].type), 0);
	g.part[0].id.b[0] = g.disk.b[0] = 1;
	g.part[0].first = 2048;
	g.part[0].last = 4095;
	g.part[0].label = "";
	CHECK_INT(gpt_format(&g, head, tail, &e), 0);
	CHECK_INT(file_write_atomic(dir, "disk", head, sizeof(head), 0600, &e), 0);
	CHECK_INT(file_write_atomic(dir, "boot.img", boot, 512, 0600, &e), 0);
	CHECK_INT(file_write_atomic(dir, "core.img", core, n, 0600, &e), 0);
}

TEST(boot_07_installed_and_synced)
{
	static uint8_t boot[512], core[5000];
	const char *tmp = getenv("TMPDIR");
	char top[200], disk[256];
	struct err e = ERR_INIT;
	bool changed = false;

	memset(boot, 0xb0, sizeof(boot));
	memcpy(boot + 510, "\x55\xaa", 2);
	memset(core, 0xc0, sizeof(core));
	(void)snprintf(top, sizeof(top), "%s/t_boot.XXXXXX", tmp ? tmp : "/tmp");
	CHECK(mkdtemp(top) != NULL);
	(void)snprintf(disk, sizeof(disk), "%s/disk", top);
	disk_make(top, boot, core, sizeof(core));
	for (int i = 0; i < 2; i++) {
		memset(steps, 0, sizeof(steps));
		device = true;
		int r = boot_install(disk, top, &changed, &e);
		device = false;
		CHECK_INT(r, 0);
		CHECK(changed == (i == 0));
		CHECK_STR(steps, i == 0 ? "csbs" : ""); /* the table's own mark is there */
	}
	CHECK_INT(file_delete_tree(AT_FDCWD, top, NULL, &e), 0);
}

/* ---- In place, on a scratch directory */

static bool reads(int dir, const char *path, const char *part)
{
	auto_str struct str s = STR_INIT;
	struct err e = ERR_INIT;

	return file_read(dir, path, &s, 1 << 20, &e) == 0 && strstr(s.buf, part);
}

static void check_default(const char *root, unsigned want)
{
	unsigned number = 99;
	struct err e = ERR_INIT;

	CHECK_INT(boot_menu_default(&GRUB_AT(root), &number, &e), 0);
	CHECK_INT(number, want);
}

static void check_count(const char *root, unsigned good, unsigned trial, unsigned left)
{
	struct boot_count c = { 9, 9, 9 };
	struct err e = ERR_INIT;

	CHECK_INT(boot_count_load(&GRUB_AT(root), &c, &e), 0);
	CHECK_INT(c.good, good);
	CHECK_INT(c.trial, trial);
	CHECK_INT(c.left, left);
}

TEST(counting)
{
	const char *tmp = getenv("TMPDIR");
	char root[256];
	struct err e = ERR_INIT;

	(void)snprintf(root, sizeof(root), "%s/t_boot.XXXXXX", tmp ? tmp : "/tmp");
	CHECK(mkdtemp(root) != NULL);
	auto_fd int dir = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	check_default(root, 0);
	check_count(root, 0, 0, 0);
	CHECK(boot_mark_good(&GRUB_AT(root), 1, &e) < 0); /* no block */
	const struct boot_place none = { .root = root, .store = "", .type = BOOT_NONE };
	CHECK(boot_counts(&GRUB_AT(root)) && !boot_counts(&none));
	CHECK_INT(boot_trial_begin(&GRUB_AT(root), 2, &e), 0);
	check_count(root, 0, 2, 3);
	CHECK(boot_counts(&none)); /* somebody made a block: stage 1 */
	CHECK_INT(boot_mark_good(&GRUB_AT(root), 2, &e), 0);
	check_count(root, 2, 0, 0);
	CHECK_INT(boot_trial_begin(&GRUB_AT(root), 3, &e), 0);
	check_count(root, 2, 3, 3);
	CHECK_INT(boot_mark_good(&GRUB_AT(root), 2, &e), 0); /* another one: the trial goes on */
	check_count(root, 2, 3, 3);
	CHECK_INT(boot_trial_begin(&GRUB_AT(root), 2, &e), 0); /* the good one needs none */
	check_count(root, 2, 3, 3);
	CHECK_INT(boot_mark_good(&GRUB_AT(root), 3, &e), 0);
	check_count(root, 3, 0, 0);

	/* All of it in one sector: a write that is cut off leaves the old or the new state. */
	char block[BOOT_ENV_SIZE], rest[BOOT_ENV_SIZE];
	auto_fd int sector = openat(dir, BOOT_ENV_FILE, O_RDONLY | O_CLOEXEC);
	memset(rest, '#', sizeof(rest));
	CHECK_INT(boot_trial_begin(&GRUB_AT(root), 999999, &e), 0);
	CHECK_INT(pread(sector, block, sizeof(block), 0), BOOT_ENV_SIZE);
	CHECK(memcmp(block + 512, rest, sizeof(block) - 512) == 0);
	check_count(root, 3, 999999, 3);

	/* Neither nonsense in a variable nor a broken block stops a machine from switching. */
	auto_fd int fd = openat(dir, BOOT_ENV_FILE, O_RDWR | O_CLOEXEC);
	CHECK_INT(set(fd, "cairn_try", "4 -o 1", &e), 0);
	CHECK_INT(set(fd, "cairn_left", "-1", &e), 0);
	check_count(root, 3, 0, 0);
	CHECK_INT(pwrite(fd, "garbage", 7, 0), 7);
	check_count(root, 0, 0, 0);
	CHECK(boot_count_is_damaged(&GRUB_AT(root)));
	CHECK_INT(boot_mark_good(&GRUB_AT(root), 3, &e), 0);
	CHECK(!boot_count_is_damaged(&GRUB_AT(root)));
	check_count(root, 3, 0, 0);
	auto_fd int anew = openat(dir, BOOT_ENV_FILE, O_WRONLY | O_TRUNC | O_CLOEXEC);
	CHECK(anew >= 0 && boot_count_is_damaged(&GRUB_AT(root)));
	CHECK_INT(boot_trial_begin(&GRUB_AT(root), 5, &e), 0);
	check_count(root, 0, 5, 3);
	CHECK_INT(file_delete_tree(AT_FDCWD, root, NULL, &e), 0);
}

TEST(write_menu)
{
	const char *tmp = getenv("TMPDIR");
	char root[256], kernel[400];
	struct boot_item items[2] = { { .number = 1, .entry = sample },
				      { .number = 2, .entry = sample } };
	struct boot_menu m = { .items = items, .nitems = 1, .default_number = 1 };
	struct err e = ERR_INIT;

	(void)snprintf(root, sizeof(root), "%s/t_boot.XXXXXX", tmp ? tmp : "/tmp");
	CHECK(mkdtemp(root) != NULL);
	auto_fd int dir = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	CHECK_INT(boot_write_menu(&GRUB_AT(root), &m, &e),
		  -2); /* the kernel is not there: ENOENT */
	(void)snprintf(kernel, sizeof(kernel), "%.*s", (int)(strrchr(KERNEL, '/') - KERNEL - 1),
		       &KERNEL[1]);
	CHECK_INT(file_mkdir_p(dir, kernel, 0755, &e), 0);
	CHECK_INT(file_write_atomic(dir, &KERNEL[1], "linux", 5, 0444, &e), 0);
	CHECK_INT(file_mkdir_p(dir, INITRD_DIR, 0755, &e), 0);
	CHECK_INT(file_write_atomic(dir, INITRD_DIR "/initrd", "initrd", 6, 0444, &e), 0);
	CHECK_INT(boot_write_menu(&GRUB_AT(root), &m, &e), 0);
	CHECK(reads(dir, BOOT_MENU_FILE, "set default='gen-1'"));
	CHECK(reads(dir, BOOT_ENV_FILE, "# GRUB Environment Block\n###"));
	CHECK_INT(boot_mark_good(&GRUB_AT(root), 1, &e), 0);
	CHECK(reads(dir, BOOT_ENV_FILE, "cairn_good=1\n"));
	check_default(root, 1);
	/* What a crash may leave behind is in nobody's way. */
	CHECK_INT(file_write_atomic(dir, "boot/grub/grub.cfg.new", "half", 4, 0644, &e), 0);
	CHECK_INT(file_write_atomic(dir, "boot/grub/grub.cfg.old", "old", 3, 0644, &e), 0);
	m = (struct boot_menu){ .items = items, .nitems = 2, .default_number = 2 };
	CHECK_INT(boot_write_menu(&GRUB_AT(root), &m, &e), 0);
	CHECK(reads(dir, BOOT_MENU_FILE, "set default='gen-2'"));
	CHECK(reads(dir, BOOT_ENV_FILE, "cairn_good=1\n")); /* untouched */
	check_default(root, 2);
	CHECK_INT(boot_write_menu(&GRUB_AT(root), &m, &e), 0);
	CHECK(faccessat(dir, "boot/grub/grub.cfg.new", F_OK, 0) < 0);
	CHECK(faccessat(dir, "boot/grub/grub.cfg.old", F_OK, 0) < 0);
	CHECK_INT(file_delete_tree(AT_FDCWD, root, NULL, &e), 0);
}

/* ---- Where a menu may be written */

/* /proc stands for a file system that has no device of its own, as btrfs has none. */
TEST(mounted_without_a_device)
{
	struct boot_place p = { .root = "",
				.store = "",
				.type = BOOT_EXTLINUX,
				.dir = "/proc",
				.mount_point = "/proc",
				.fs_type = "auto",
				.partition = "/dev/null" };
	auto_fd int root = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	auto_fd int top = open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct err e = ERR_INIT;

	CHECK_INT(boot_mount_check(&p, root, top, "/proc", &e), 0);
	p.fs_type = "ext4";
	CHECK_INT(boot_mount_check(&p, root, top, "/proc", &e), -ERR_INVALID);
	CHECK(strstr(e.msg, "is proc, not ext4"));
}

TEST_MAIN(entry_round_trip, entry_strict, entry_format_refuses, menu_text, extras, terminals,
	  extras_refused, extras_quoting, menu_refuses, boot_08_menu_quoting,
	  boot_12_environment_begun_anew, environment, environment_together, counting, embedding,
	  boot_07_embedding_cut, boot_07_embedding_synced, boot_07_installed_and_synced, write_menu,
	  mounted_without_a_device)
