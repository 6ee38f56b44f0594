/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Fuzz entry: boot data. What is accepted can be written, reads back the same, and makes a menu. */
#include "bootloader/bootloader.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void same(const char *a, const char *b)
{
	if (strcmp(a, b) != 0)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	auto_arena struct arena a = ARENA_INIT;
	auto_str struct str text = STR_INIT;
	auto_str struct str menu = STR_INIT;
	struct boot_entry b = { 0 }, again = { 0 };
	struct err e = ERR_INIT;
	int r = boot_entry_parse(&a, (struct slice){ (const char *)data, size }, "fuzz", &b, &e);

	/* A failure says why, a success says nothing. */
	if ((r < 0) != (e.code < 0))
		abort();
	if (r < 0)
		return 0;
	if (boot_entry_format(&b, &text, &e) < 0 ||
	    boot_entry_parse(&a, str_slice(&text), "fuzz", &again, &e) < 0)
		abort();
	same(b.label, again.label);
	same(b.version, again.version);
	same(b.kernel, again.kernel);
	same(b.initrd, again.initrd);
	same(b.parameters, again.parameters);
	const struct boot_item item = { .number = 1, .entry = b };
	const struct boot_menu m = { .items = &item, .nitems = 1, .default_number = 1 };
	if (boot_menu_text(&m, &menu, &e) < 0)
		abort();
	return 0;
}
