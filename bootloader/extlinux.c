/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * extlinux.conf, which U-Boot and syslinux read; the loader itself belongs to the machine. Kernels
 * lie beside it under plain names, which both take as relative to the file.
 */
#include "bootloader/loader.h"
#include "lib/fd.h"

#define CONF_DEFAULT	    "\nDEFAULT gen-"
#define LIMIT_EXTLINUX_LINE 2000 /* syslinux cuts lines at 2048 */

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

/* Files of the same partition, as it names them. Both loaders read no other one, and neither can
 * start a boot loader by itself. */
static int add_extra(struct str *out, const struct boot_extra *x, size_t index, struct err *e)
{
	int r = boot_extra_check(x, e);

	if (r == 0 && (*x->chain || *x->device))
		r = err_set(e, -ERR_INVALID,
			    "entry '%s': extlinux starts kernels of its own partition only",
			    x->title);
	if (r < 0)
		return r;
	str_addf(out, "\nLABEL extra-%zu\n\tMENU LABEL ", index);
	for (const char *p = x->title; *p; p++)
		str_addc(out, *p == '^' ? '\'' : *p);
	str_addf(out, "\n\tLINUX %s\n", x->kernel);
	if (*x->initrd)
		str_addf(out, "\tINITRD %s\n", x->initrd);
	str_addf(out, "\tAPPEND %s\n", *x->parameters ? x->parameters : "-");
	return 0;
}

int extlinux_text(const struct bootfiles *b, const struct boot_menu *m, struct str *out,
		  struct err *e)
{
	auto_free const struct boot_item **order = NULL;
	int r = boot_menu_order(m, &order, e);

	if (r < 0)
		return r;
	str_add(out, "# Written by Cairn from the generations: changes do not last.");
	if (m->serial) /* before everything else, or syslinux need not see it */
		str_addf(out, "\nSERIAL %u %u", m->serial_unit,
			 m->serial_speed ? m->serial_speed : 115200);
	str_addf(out, CONF_DEFAULT "%u\n", m->default_number);
	/* A time-out of 0 is for ever; tenths of a second. */
	if (m->timeout)
		str_addf(out, "PROMPT 1\nTIMEOUT %u\n",
			 m->timeout == BOOT_WAIT ? 0 : m->timeout * 10);
	else
		str_add(out, "PROMPT 0\n");
	for (size_t i = 0; r == 0 && i < m->nitems; i++)
		r = add_item(out, b, order[i], order[i]->number == m->default_number, e);
	for (size_t i = 0; r == 0 && i < m->nextras; i++)
		r = add_extra(out, &m->extras[i], i, e);
	return r == 0 && str_err(out) < 0 ? err_num(e, str_err(out), "boot menu") : r;
}

unsigned extlinux_default(struct slice text)
{
	return boot_number_after(text, CONF_DEFAULT, '\n');
}
