/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The menu as GRUB 2 reads it. Every value that is not a number passes through quote(). */
#include "bootloader/loader.h"

#include <errno.h>

#include "lib/fd.h"

/* One word for GRUB's shell. Between single quotes nothing is special but the single quote itself;
 * control bytes cannot get here from a parsed entry, and are not let through anyway. */
static void quote(struct str *out, struct slice s)
{
	str_addc(out, '\'');
	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];

		if (c == '\'')
			str_add(out, "'\\''");
		else
			str_addc(out, c < 0x20 || c == 0x7f ? '?' : (char)c);
	}
	str_addc(out, '\'');
}

/* The kernel's command line, word by word: blanks inside double quotes do not separate. GRUB puts
 * the quotes back around a word that has a blank in it. */
static void add_parameters(struct str *out, const char *p)
{
	auto_str struct str word = STR_INIT;
	bool quoted = false, have = false;

	for (;; p++) {
		if (!*p || (!quoted && (*p == ' ' || *p == '\t'))) {
			if (have) {
				str_addc(out, ' ');
				quote(out, str_slice(&word));
			}
			str_cut(&word, 0);
			have = false;
			if (!*p)
				break;
		} else if (*p == '"') {
			quoted = !quoted;
			have = true;
		} else {
			str_addc(&word, *p);
			have = true;
		}
	}
	if (str_err(&word) < 0 && !out->err)
		out->err = str_err(&word);
}

void boot_item_title(const struct boot_item *it, struct str *title)
{
	time_t date = (time_t)it->date;
	struct tm tm;
	char text[32];

	str_addf(title, "Generation %u", it->number);
	if (it->date >= 2 && gmtime_r(&date, &tm) &&
	    strftime(text, sizeof(text), "%Y-%m-%d %H:%M", &tm))
		str_addf(title, ", %s", text);
	if (*it->entry.version)
		str_addf(title, ", Linux %s", it->entry.version);
	str_addf(title, ": %s", it->entry.label);
}

static void add_title(struct str *out, const struct boot_item *it)
{
	auto_str struct str title = STR_INIT;

	boot_item_title(it, &title);
	quote(out, str_slice(&title));
	if (str_err(&title) < 0 && !out->err)
		out->err = str_err(&title);
}

/* Without copies of the files: the paths of the entry. */
static void add_path(struct str *out, const struct bootfiles *b, const char *logical)
{
	auto_str struct str path = STR_INIT;

	if (b)
		str_addf(&path, "/" BOOT_SETS "/%s/%s", b->set, bootfiles_name(b, logical));
	else
		str_add(&path, logical);
	quote(out, str_slice(&path));
	if (str_err(&path) < 0 && !out->err)
		out->err = str_err(&path);
}

static void add_item(struct str *out, const struct bootfiles *b, const struct boot_item *it,
		     size_t index)
{
	str_addf(out, "\nif [ \"$cairn_good\" = %u ]; then set cairn_back=%zu; fi\nmenuentry ",
		 it->number, index);
	add_title(out, it);
	str_addf(out, " --id 'gen-%u' {\n\tcairn_count %u\n\tlinux ", it->number, it->number);
	add_path(out, b, it->entry.kernel);
	add_parameters(out, it->entry.parameters);
	str_add(out, " $cairn_word");
	if (*it->entry.initrd) {
		str_add(out, "\n\tinitrd ");
		add_path(out, b, it->entry.initrd);
	}
	str_add(out, "\n}\n");
}

/* Where the files of the entry are. The generations set root back (cairn_count). */
static void add_device(struct str *out, const char *device)
{
	struct slice value = slice_of(device), key;

	if (!*device)
		return;
	slice_cut(&value, '=', &key);
	if (slice_is(key, "LABEL") || slice_is(key, "UUID")) {
		str_addf(out, "\tsearch --no-floppy %s --set=root ",
			 slice_is(key, "UUID") ? "--fs-uuid" : "--label");
		quote(out, value);
	} else {
		str_add(out, "\tset root=");
		quote(out, slice_of(device));
	}
	str_addc(out, '\n');
}

static void add_extra(struct str *out, const struct boot_extra *x, size_t index)
{
	str_add(out, "\nmenuentry ");
	quote(out, slice_of(x->title));
	str_addf(out, " --id 'extra-%zu' {\n\tset root=\"$cairn_root\"\n", index);
	add_device(out, x->device);
	str_add(out, *x->chain ? "\tchainloader " : "\tlinux ");
	quote(out, slice_of(*x->chain ? x->chain : x->kernel));
	if (!*x->chain)
		add_parameters(out, x->parameters);
	if (*x->initrd) {
		str_add(out, "\n\tinitrd ");
		quote(out, slice_of(x->initrd));
	}
	str_add(out, "\n}\n");
}

/* back: where the generation stands that starts when the default entry cannot be loaded. */
static int add_extras(struct str *out, const struct boot_menu *m, size_t back, struct err *e)
{
	bool found = !m->default_title;

	for (size_t i = 0; i < m->nextras; i++) {
		int r = boot_extra_check(&m->extras[i], e);

		if (r < 0)
			return r;
		add_extra(out, &m->extras[i], i);
		if (found || strcmp(m->extras[i].title, m->default_title) != 0)
			continue;
		str_addf(out,
			 "set default='extra-%zu'\n"
			 "if [ -z \"$cairn_back\" ]; then set fallback=%zu; fi\n",
			 i, back);
		found = true;
	}
	return found ? 0
		     : err_set(e, -ERR_INVALID, "the menu has no entry '%s' to be the default",
			       m->default_title);
}

/*
 * Boot counting, GRUB's half. Until the default is the generation that was called good last, it is
 * on trial: each boot takes one of its tries, and without a try left the good one starts. This does
 * not depend on the trial having been written at the switch. The good one is also tried when the
 * default cannot be loaded. GRUB has no arithmetic, and takes `fallback` as an index only.
 */
static void add_count(struct str *out, unsigned number)
{
	_Static_assert(BOOT_TRIES == 3, "the chain below counts from three");
	str_addf(out,
		 "set cairn_default=%u\n"
		 "if [ -s $prefix/grubenv ]; then\n"
		 "\tload_env --file $prefix/grubenv cairn_good cairn_try cairn_left\n"
		 "fi\n",
		 number);
	str_add(out, "function cairn_count {\n"
		     "\tset root=\"$cairn_root\"\n"
		     "\tset cairn_word=\n"
		     "\tif [ \"$1\" != \"$cairn_good\" ]; then\n"
		     "\t\tif [ \"$1\" = \"$cairn_default\" -a \"$1\" != \"$cairn_try\" ]; then\n"
		     "\t\t\tset cairn_try=\"$1\"\n"
		     "\t\t\tset cairn_left=3\n"
		     "\t\tfi\n"
		     "\t\tif [ \"$1\" = \"$cairn_try\" ]; then\n"
		     "\t\t\tif [ \"$cairn_left\" = 3 ]; then\n"
		     "\t\t\t\tset cairn_left=2\n"
		     "\t\t\telif [ \"$cairn_left\" = 2 ]; then\n"
		     "\t\t\t\tset cairn_left=1\n"
		     "\t\t\telse\n"
		     "\t\t\t\tset cairn_left=0\n"
		     "\t\t\tfi\n"
		     "\t\t\tsave_env --file $prefix/grubenv cairn_try cairn_left\n"
		     /* With nothing to go back to a person is needed: no word, so a shell. */
		     "\t\t\tif [ -n \"$cairn_back\" ]; then\n"
		     "\t\t\t\tset cairn_word=\"cairn.trial=$cairn_left\"\n"
		     "\t\t\tfi\n"
		     "\t\tfi\n"
		     "\tfi\n"
		     "}\n");
}

/* Where the good one stands is known now. */
static void add_tail(struct str *out)
{
	str_add(out, "\nif [ -n \"$cairn_back\" ]; then\n"
		     "\tset fallback=\"$cairn_back\"\n"
		     "\tif [ \"$cairn_try\" = \"$cairn_default\" -a \"$cairn_left\" = 0 ]; then\n"
		     "\t\tset default=\"$cairn_back\"\n"
		     "\tfi\n"
		     "fi\n");
}

#define SERIAL_UNITS 4
#define CONSOLE	     SERIAL_UNITS

/* "serial_2" is 2, "console" CONSOLE; -1: neither. */
static int terminal_of(const struct boot_menu *m, const char *name)
{
	static const char prefix[] = "serial_";
	const char *digit = name + sizeof(prefix) - 1;

	if (strcmp(name, "console") == 0)
		return CONSOLE;
	if (strcmp(name, "serial") == 0)
		return m->serial_unit < SERIAL_UNITS ? (int)m->serial_unit : -1;
	if (!slice_starts(slice_of(name), prefix) || digit[0] < '0' ||
	    digit[0] >= '0' + SERIAL_UNITS || digit[1])
		return -1;
	return digit[0] - '0';
}

bool boot_terminal_ok(const char *name)
{
	static const struct boot_menu any;

	return terminal_of(&any, name) >= 0;
}

/* As bits; none given: both kinds, as before there were lists. */
static int terminals_of(const struct boot_menu *m, const char *const *names, unsigned *ret,
			struct err *e)
{
	unsigned bits = 0;

	for (; names && *names; names++) {
		int one = terminal_of(m, *names);

		if (one < 0)
			return err_set(e, -ERR_INVALID, "the menu has no terminal '%s'", *names);
		bits |= 1u << one;
	}
	*ret = bits ? bits : 1u << CONSOLE;
	return 0;
}

/* GRUB begins with the console. A line that the machine has not leaves that as it is. */
static int add_terminals(struct str *out, const struct boot_menu *m, struct err *e)
{
	unsigned in = 0, ex = 0;
	int r = terminals_of(m, m->inputs, &in, e);

	if (r == 0)
		r = terminals_of(m, m->outputs, &ex, e);
	for (unsigned unit = 0; r == 0 && unit < SERIAL_UNITS; unit++) {
		const unsigned bit = 1u << unit;

		if (!((in | ex) & bit))
			continue;
		str_addf(out, "if serial --unit=%u --speed=%u; then\n", unit,
			 m->serial_speed ? m->serial_speed : 115200);
		if (in & bit)
			str_addf(out, "\tterminal_input --append serial_com%u\n", unit);
		if ((in & bit) && !(in & 1u << CONSOLE))
			str_add(out, "\tterminal_input --remove console\n");
		if (ex & bit)
			str_addf(out, "\tterminal_output --append serial_com%u\n", unit);
		if ((ex & bit) && !(ex & 1u << CONSOLE))
			str_add(out, "\tterminal_output --remove console\n");
		str_add(out, "fi\n");
	}
	return r;
}

static bool has_any(const char *const *names)
{
	return names && *names;
}

static int add_head(struct str *out, const struct boot_menu *m, struct err *e)
{
	str_add(out, "# Written by cairn from the generations: changes do not last.\n");
	str_addf(out, "set default='gen-%u'\n", m->default_number);
	str_addf(out, "set timeout=%lld\nset timeout_style=%s\n",
		 m->timeout == BOOT_WAIT ? -1 : (long long)m->timeout,
		 m->hidden ? "hidden" : "menu");
	add_count(out, m->default_number);
	if (has_any(m->inputs) || has_any(m->outputs)) {
		int r = add_terminals(out, m, e);
		if (r < 0)
			return r;
	} else if (m->serial) {
		str_addf(out,
			 "if serial --unit=%u --speed=%u; then\n"
			 "\tterminal_input console serial\n"
			 "\tterminal_output console serial\n"
			 "fi\n",
			 m->serial_unit, m->serial_speed ? m->serial_speed : 115200);
	}
	if (m->fs_uuid) {
		str_add(out, "search --no-floppy --fs-uuid --set=root ");
		quote(out, slice_of(m->fs_uuid));
		str_addc(out, '\n');
	}
	str_add(out, "set cairn_root=\"$root\"\n"); /* an entry that fails may leave another one */
	return 0;
}

static int item_order(const void *a, const void *b)
{
	const struct boot_item *x = *(const struct boot_item *const *)a;
	const struct boot_item *y = *(const struct boot_item *const *)b;

	return x->number < y->number ? 1 : x->number > y->number ? -1 : 0;
}

int boot_menu_order(const struct boot_menu *m, const struct boot_item ***ret, struct err *e)
{
	bool found = false;

	if (!m->nitems)
		return err_set(e, -ERR_INVALID, "a boot menu needs at least one generation");
	auto_free const struct boot_item **order = calloc(m->nitems, sizeof(*order));
	if (!order)
		return err_num(e, -ENOMEM, "boot menu");
	for (size_t i = 0; i < m->nitems; i++)
		order[i] = &m->items[i];
	qsort(order, m->nitems, sizeof(*order), item_order);
	for (size_t i = 0; i < m->nitems; i++) {
		if (i && order[i]->number == order[i - 1]->number)
			return err_set(e, -ERR_INVALID, "generation %u stands twice in the menu",
				       order[i]->number);
		found |= order[i]->number == m->default_number;
	}
	if (!found)
		return err_set(e, -ERR_INVALID, "default generation %u is not in the menu",
			       m->default_number);
	*ret = order;
	order = NULL;
	return 0;
}

int grub_text(const struct bootfiles *b, const struct boot_menu *m, struct str *out, struct err *e)
{
	auto_free const struct boot_item **order = NULL;
	int r = boot_menu_order(m, &order, e);

	if (r < 0)
		return r;
	size_t back = 0;
	r = add_head(out, m, e);
	if (r < 0)
		return r;
	for (size_t i = 0; i < m->nitems; i++) {
		add_item(out, b, order[i], i);
		if (order[i]->number == m->default_number)
			back = i;
	}
	add_tail(out);
	r = add_extras(out, m, back, e);
	if (r < 0)
		return r;
	if (str_err(out) < 0)
		return err_num(e, str_err(out), "boot menu");
	return 0;
}

int boot_menu_text(const struct boot_menu *m, struct str *out, struct err *e)
{
	return grub_text(NULL, m, out, e);
}

unsigned grub_default(struct slice text)
{
	return boot_number_after(text, "\nset default='gen-", '\'');
}
