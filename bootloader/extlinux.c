/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * extlinux.conf, which U-Boot and syslinux read; the loader itself belongs to the machine. Kernels
 * lie beside it under plain names, which both take as relative to the file.
 */
#include <errno.h>
#include <fcntl.h>
#include <strings.h>

#include "bootloader/env.h"
#include "bootloader/loader.h"
#include "bootloader/put.h"
#include "lib/fd.h"
#include "lib/path.h"
#include "lib/text.h"

#define CONF_NAME	    "extlinux.conf"
#define CONF_DEFAULT	    "\nDEFAULT gen-"
#define LIMIT_CONF	    (4u << 20)
#define LIMIT_EXTLINUX_LINE 2000 /* syslinux cuts lines at 2048 */
#define DIR_NAME	    "extlinux"

/* A value goes to the end of its line; that it has no newline was checked when the entry was read.
 * "-" alone is how syslinux says "nothing at all". */
static int add_item(struct str *out, const struct bootfiles *b, const struct boot_item *it,
		    bool is_default, struct err *e)
{
	const char *parameters = it->entry.parameters;
	size_t begin;

	if (strlen(parameters) > LIMIT_EXTLINUX_LINE)
		return err_set(e, -ERR_LIMIT, "the command line of generation %u is too long",
			       it->number);
	str_addf(out, "\nLABEL gen-%u\n\tMENU LABEL ", it->number);
	begin = out->len;
	boot_item_title(it, out);
	/* A caret marks the key of an entry. */
	for (size_t i = begin; i < out->len; i++)
		if (out->buf[i] == '^')
			out->buf[i] = '\'';
	str_addf(out, "\n\tLINUX %s\n", bootfiles_name(b, it->entry.kernel));
	if (*it->entry.initrd)
		str_addf(out, "\tINITRD %s\n", bootfiles_name(b, it->entry.initrd));
	/* Whatever that one turns out to be: stage 1 counts, and may start another generation. */
	if (is_default)
		str_addf(out, "\tAPPEND %s%sgeneration=default\n", parameters,
			 *parameters ? " " : "");
	else
		str_addf(out, "\tAPPEND %s\n", *parameters ? parameters : "-");
	return 0;
}

int extlinux_text(const struct bootfiles *b, const struct boot_menu *m, struct str *out,
		  struct err *e)
{
	auto_free const struct boot_item **order = NULL;
	int r = boot_menu_order(m, &order, e);

	if (r < 0)
		return r;
	str_add(out, "# Written by cairn from the generations: changes do not last.");
	str_addf(out, CONF_DEFAULT "%u\n", m->default_number);
	/* A time-out of 0 is for ever; tenths of a second. */
	if (m->timeout)
		str_addf(out, "PROMPT 1\nTIMEOUT %u\n", m->timeout * 10);
	else
		str_add(out, "PROMPT 0\n");
	if (m->serial)
		str_addf(out, "SERIAL %u %u\n", m->serial_unit,
			 m->serial_speed ? m->serial_speed : 115200);
	for (size_t i = 0; r == 0 && i < m->nitems; i++)
		r = add_item(out, b, order[i], order[i]->number == m->default_number, e);
	return r == 0 && str_err(out) < 0 ? err_num(e, str_err(out), "boot menu") : r;
}

int extlinux_default(const struct boot_place *p, unsigned *ret, struct err *e)
{
	auto_str struct str text = STR_INIT;
	char dir[PATH_MAX], file[PATH_MAX];
	struct err tmp = ERR_INIT;
	uint64_t number;
	int r = boot_menu_dir(p, dir, e);

	if (r < 0)
		return r;
	if (path_join(file, dir, CONF_NAME) < 0)
		return err_num(e, -ENAMETOOLONG, "%s", dir);
	r = file_read(AT_FDCWD, file, &text, LIMIT_CONF, &tmp);
	if (r < 0 && r != -ENOENT) {
		*e = tmp;
		return r;
	}
	*ret = 0;
	const char *at = r < 0 ? NULL : strstr(text.buf, CONF_DEFAULT);
	struct slice rest = slice_of(at ? at + sizeof(CONF_DEFAULT) - 1 : ""), digits;
	if (slice_cut(&rest, '\n', &digits) && text_u64(digits, UINT32_MAX, &number) == 0)
		*ret = (unsigned)number;
	return 0;
}

static int write_parts(const struct boot_place *p, int dir, const struct bootfiles *b,
		       const struct str *text, struct err *e)
{
	struct menu_place menu = { dir, CONF_NAME, -1, false };
	const bool same = menu_is_present(&menu, text);
	const struct bootfiles_more more = { CONF_NAME, same ? 0 : text->len, !same };
	int r = bootfiles_write(b, dir, &more, e);

	if (r < 0)
		return r;
	auto_fd int root = open(*p->root ? p->root : "/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (root < 0)
		return err_sys(e, "%s", p->root);
	menu.flush = menu_is_mount_root(root);
	r = menu_put(&menu, text, e);
	return r == 0 ? bootfiles_prune(b, dir, CONF_NAME, e) : r;
}

int extlinux_write(const struct boot_place *p, const struct boot_menu *m, struct err *e)
{
	auto_arena struct arena a = ARENA_INIT;
	struct bootfiles b = { .arena = &a };
	auto_str struct str text = STR_INIT;
	auto_fd int dir = boot_dir_open(p, e);

	int r = dir < 0 ? dir : bootfiles_load(&b, p->store, m, e);
	if (r == 0)
		r = extlinux_text(&b, m, &text, e);
	if (r == 0)
		r = write_parts(p, dir, &b, &text, e);
	bootfiles_done(&b);
	return r;
}

int extlinux_files(const struct boot_place *p, const struct boot_menu *m, struct arena *a,
		   struct vec *ret, struct err *e)
{
	struct bootfiles b = { .arena = a };
	auto_str struct str text = STR_INIT;

	int r = bootfiles_load(&b, p->store, m, e);
	if (r == 0)
		r = extlinux_text(&b, m, &text, e);
	if (r == 0) {
		boot_file_add(a, ret, DIR_NAME "/" CONF_NAME, str_slice(&text));
		boot_file_add_copies(a, ret, DIR_NAME, &b);
	}
	bootfiles_done(&b);
	return r;
}
