/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "system/menu.h"

#include <errno.h>
#include <sys/stat.h>

#include "lib/conf-file.h"
#include "lib/path.h"
#include "lib/size.h"

#define LIMIT_MENU_FILE 65536
#define LIMIT_ENTRIES	32

static int parse_loader(struct conf_ctx *c, struct slice v, void *place)
{
	enum boot_type *type = place;

	*type = boot_type_find(v);
	return *type == BOOT_TYPE_MAX ? conf_error(c, "no such boot loader") : 0;
}

static int parse_timeout(struct conf_ctx *c, struct slice v, void *place)
{
	uint64_t *seconds = place;
	int rc = conf_parse_u64(c, v, place);

	if (rc == 0 && *seconds > SYS_MENU_WAIT)
		return conf_error(c, "more than a day");
	if (rc == 0 && *seconds == SYS_MENU_WAIT)
		*seconds = BOOT_WAIT;
	return rc;
}

/* One word in quotes: whatever stands in an entry comes through as it is. */
static int parse_quoted(struct conf_ctx *c, struct slice v, void *place)
{
	const char *const *words = NULL;
	int rc = conf_parse_words(c, v, &words);

	if (rc < 0)
		return rc;
	if (!words[0] || words[1])
		return conf_error(c, "one word in quotes is expected");
	*(const char **)place = words[0];
	return 0;
}

/* The table is one for both kinds of sections, so they fill the same struct. */
struct section {
	struct sys_menu menu;
	struct boot_extra extra;
};

struct file {
	struct section menu, *entries;
	size_t n;
};

/* Older programs refuse a key of boot/menu that they do not know: a new one belongs into another
 * file. */
#define AT(f)	 offsetof(struct section, menu.f)
#define EXTRA(f) offsetof(struct section, extra.f)
static const struct conf_key menu_keys[] = {
	CONF_KEY("loader", parse_loader, AT(type), "grub", "boot loader", false),
	CONF_KEY("timeout", parse_timeout, AT(timeout), "5", "seconds the menu waits", false),
	CONF_KEY("hidden", conf_parse_bool, AT(hidden), "no", "wait without showing the menu",
		 false),
	CONF_KEY("serial", conf_parse_bool, AT(serial), "no", "menu on the serial line too", false),
	CONF_KEY("serial-unit", conf_parse_u64, AT(serial_unit), "0", "0 is COM1", false),
	CONF_KEY("serial-speed", conf_parse_u64, AT(serial_speed), "115200", "baud", false),
	CONF_KEY("terminal-inputs", conf_parse_words, AT(inputs), "", "of the menu", false),
	CONF_KEY("terminal-outputs", conf_parse_words, AT(outputs), "", "of the menu", false),
	CONF_KEY("directory", conf_parse_str, AT(dir), "", "mount point of the boot partition",
		 false),
	CONF_KEY("default", parse_quoted, AT(default_title), "", "title of the entry to start",
		 false),
	CONF_KEY("title", parse_quoted, EXTRA(title), NULL, "of an entry", false),
	CONF_KEY("device", parse_quoted, EXTRA(device), "", "where its files are", false),
	CONF_KEY("chain", parse_quoted, EXTRA(chain), "", "another boot loader", false),
	CONF_KEY("kernel", parse_quoted, EXTRA(kernel), "", "path", false),
	CONF_KEY("initrd", parse_quoted, EXTRA(initrd), "", "path", false),
	CONF_KEY("parameters", parse_quoted, EXTRA(parameters), "", "command line", false),
};

static int menu_section(void *arg, struct conf_ctx *c, struct slice kind, struct slice name)
{
	static const struct boot_extra empty = { "", "", "", "", "", "" };
	struct file *f = arg;

	if (slice_is(kind, "menu") && !name.n) {
		c->object = &f->menu;
		return 0;
	}
	if (!slice_is(kind, "entry") || name.n)
		return conf_error(c, "unknown section");
	if (f->n == LIMIT_ENTRIES)
		return conf_error(c, "more than %d entries", LIMIT_ENTRIES);
	f->entries[f->n].extra = empty;
	c->object = &f->entries[f->n++];
	return 0;
}

static int take_extras(struct arena *a, const struct file *f, struct sys_menu *m, struct err *e)
{
	m->extras = arena_array(a, f->n ? f->n : 1, sizeof(*m->extras));
	if (!m->extras)
		return err_set(e, -ENOMEM, "out of memory");
	for (size_t i = 0; i < f->n; i++)
		m->extras[i] = f->entries[i].extra;
	m->nextras = f->n;
	return 0;
}

static bool terminals_ok(const char *const *names)
{
	for (; names && *names; names++)
		if (!boot_terminal_ok(*names))
			return false;
	return true;
}

static const struct conf_file menu_file = {
	.limit = LIMIT_MENU_FILE,
	.keys = menu_keys,
	.nkeys = ARRAY_LEN(menu_keys),
	.section = menu_section,
};

/* What is declared of the file system that dir is on. Older generations do not say it. */
#define MOUNT(f) offsetof(struct sys_menu, f)
static const struct conf_key mount_keys[] = {
	CONF_KEY("mount-point", conf_parse_str, MOUNT(mount_point), "", "where it is", false),
	CONF_KEY("file-system", conf_parse_str, MOUNT(fs_type), "", "its type", false),
	CONF_KEY("partition", conf_parse_str, MOUNT(partition), "", "its device", false),
};

static const struct conf_file mount_file = {
	.limit = LIMIT_MENU_FILE,
	.keys = mount_keys,
	.nkeys = ARRAY_LEN(mount_keys),
	.only = "mount",
};

static int load_mount(const struct sys_root *r, struct arena *a, const char *path,
		      struct sys_menu *m, struct err *e)
{
	char *file = arena_fmt(a, "%s%s/boot/mount", r->store, path);
	bool found;

	if (!file)
		return err_set(e, -ENOMEM, "out of memory");
	return conf_load(&mount_file, file, m, &found, a, e);
}

int sys_menu_load(const struct sys_root *r, struct arena *a, const char *path, struct sys_menu *ret,
		  struct err *e)
{
	struct file f = { .menu.menu = { .timeout = 5,
					 .serial_speed = 115200,
					 .dir = "",
					 .mount_point = "",
					 .fs_type = "",
					 .partition = "",
					 .default_title = "" } };
	char *file = arena_fmt(a, "%s%s/boot/menu", r->store, path);
	int rc;

	f.entries = arena_array(a, LIMIT_ENTRIES, sizeof(*f.entries));
	if (!file || !f.entries)
		return err_set(e, -ENOMEM, "out of memory");
	rc = conf_load(&menu_file, file, &f, NULL, a, e);
	if (rc < 0)
		return rc;
	struct sys_menu m = f.menu.menu;
	if ((rc = take_extras(a, &f, &m, e)) < 0 || (rc = load_mount(r, a, path, &m, e)) < 0)
		return rc;
	if (!terminals_ok(m.inputs) || !terminals_ok(m.outputs))
		return err_set(e, -ERR_INVALID, "%s: a terminal that menus do not have", file);
	if (m.serial_unit > 7 || m.serial_speed > 4000000)
		return err_set(e, -ERR_INVALID, "%s: number out of range", file);
	if ((m.type == BOOT_EFI || m.type == BOOT_EXTLINUX) &&
	    (m.dir[0] != '/' || !path_is_clean(m.dir)))
		return err_set(e, -ERR_INVALID, "%s: directory is not an absolute path", file);
	*ret = m;
	return 0;
}

/* What stays as it is until somebody mends it; not a machine that cannot read just now. */
static bool is_damage(int rc)
{
	switch (-rc) {
	case ENOENT:
	case ENOTDIR:
	case EISDIR:
	case ELOOP:
	case ENAMETOOLONG:
	case ERR_SYNTAX:
	case ERR_INVALID:
	case ERR_LIMIT:
		return true;
	default:
		return false;
	}
}

static int check_boot_file(const struct sys_root *r, struct arena *a, const char *file,
			   struct err *e)
{
	char *path = arena_fmt(a, "%s%s", r->store, file);
	struct stat st;

	if (!path)
		return err_set(e, -ENOMEM, "out of memory");
	if (*file && stat(path, &st) < 0)
		return err_sys(e, "%s", path);
	return *file && !S_ISREG(st.st_mode) ? err_set(e, -ERR_INVALID, "%s is no file", path) : 0;
}

/* With what it boots; -ERR_NOTVALID: it is damaged. */
static int load_entry(const struct sys_root *r, struct arena *a, const struct gen *g,
		      struct boot_entry *ret, struct err *e)
{
	struct err why = ERR_INIT;
	int rc = boot_entry_load(a, r->store, g->path, ret, &why);

	if (rc == 0)
		rc = check_boot_file(r, a, ret->kernel, &why);
	if (rc == 0)
		rc = check_boot_file(r, a, ret->initrd, &why);
	return rc < 0 ? err_set(e, is_damage(rc) ? -ERR_NOTVALID : rc,
				"generation %u cannot be booted: %s", g->number, why.msg)
		      : 0;
}

int sys_menu_check_entry(const struct sys_root *r, const struct gen *g, struct err *e)
{
	auto_arena struct arena a = ARENA_INIT;
	struct boot_entry ignored;

	return load_entry(r, &a, g, &ignored, e);
}

/* Entries of all generations of list but skip, without those that are damaged; that of number must
 * not be. */
static int load_items(const struct sys_root *r, struct arena *a, const struct gen_list *list,
		      unsigned number, unsigned skip, struct boot_menu *menu, struct err *e)
{
	struct boot_item *items = arena_array(a, list->n ? list->n : 1, sizeof(*items));

	if (!items)
		return err_set(e, -ENOMEM, "out of memory");
	for (size_t i = 0; i < list->n; i++) {
		const struct gen *g = &list->v[i];
		struct boot_item *item = &items[menu->nitems];
		struct err tmp = ERR_INIT;
		int rc;

		if (g->number == skip)
			continue;
		rc = load_entry(r, a, g, &item->entry, &tmp);
		if (rc == -ERR_NOTVALID && g->number != number)
			continue;
		if (rc < 0 && rc != -ENOMEM && g->number != number)
			err_hint(&tmp, rc, "cairn system delete-generations %u does without it",
				 g->number);
		if (rc < 0)
			return err_set(e, rc, "%s", tmp.msg);
		if (g->label && g->label[0])
			item->entry.label = g->label;
		item->number = g->number;
		item->date = g->date;
		menu->nitems++;
	}
	menu->items = items;
	return 0;
}

struct boot_place sys_menu_place(const struct sys_root *r, const struct sys_menu *settings)
{
	return (struct boot_place){ .root = r->target,
				    .store = r->store,
				    .type = settings->type,
				    .dir = settings->dir,
				    .mount_point = settings->mount_point,
				    .fs_type = settings->fs_type,
				    .partition = settings->partition };
}

int sys_menu_build(const struct sys_root *r, struct arena *a, const struct gen_list *list,
		   unsigned number, unsigned skip, struct boot_menu *ret,
		   struct boot_place *ret_place, struct err *e)
{
	const struct gen *g = gen_find(list, number);
	struct boot_menu menu = { .default_number = number };
	struct err why = ERR_INIT;
	struct sys_menu settings;
	int rc;

	if (!g)
		return err_set(e, -ERR_NOTFOUND, "there is no generation %u", number);
	rc = sys_menu_load(r, a, g->path, &settings, &why);
	if (rc < 0)
		return err_set(e, is_damage(rc) ? -ERR_NOTVALID : rc,
			       "generation %u cannot be booted: %s", number, why.msg);
	rc = load_items(r, a, list, number, skip, &menu, e);
	if (rc < 0)
		return rc;
	menu.timeout = (unsigned)settings.timeout;
	menu.hidden = settings.hidden;
	menu.serial = settings.serial;
	menu.serial_unit = (unsigned)settings.serial_unit;
	menu.serial_speed = (unsigned)settings.serial_speed;
	menu.inputs = settings.inputs;
	menu.outputs = settings.outputs;
	menu.extras = settings.extras;
	menu.nextras = settings.nextras;
	menu.default_title = settings.default_title[0] ? settings.default_title : NULL;
	*ret = menu;
	*ret_place = sys_menu_place(r, &settings);
	return 0;
}

static int write_menu(const struct sys_root *r, const struct gen_list *list, unsigned number,
		      unsigned skip, bool any_partition, struct err *e)
{
	auto_arena struct arena a = ARENA_INIT;
	struct boot_menu menu;
	struct boot_place place;
	int rc = sys_menu_build(r, &a, list, number, skip, &menu, &place, e);

	if (rc == 0 && any_partition)
		place.partition = "";
	if (rc == 0)
		rc = boot_write_menu(&place, &menu, e);
	return rc < 0 ? err_wrap(e, rc, "while writing the boot menu") : 0;
}

int sys_menu_write(const struct sys_root *r, const struct gen_list *list, unsigned number,
		   unsigned skip, struct err *e)
{
	return write_menu(r, list, number, skip, false, e);
}

int sys_menu_restore(const struct sys_root *r, const struct gen_list *list, unsigned number,
		     unsigned skip, struct err *e)
{
	return write_menu(r, list, number, skip, true, e);
}

/* Where the boot loader of the system at path keeps its things; strings in a. */
static int load_place(const struct sys_root *r, struct arena *a, const char *path,
		      struct boot_place *ret, struct err *e)
{
	struct sys_menu settings;
	int rc = sys_menu_load(r, a, path, &settings, e);

	if (rc == 0)
		*ret = sys_menu_place(r, &settings);
	return rc;
}

int sys_menu_count(const struct sys_root *r, const char *path, struct boot_count *ret,
		   struct err *e)
{
	auto_arena struct arena a = ARENA_INIT;
	struct boot_place place;
	int rc = load_place(r, &a, path, &place, e);

	if (rc < 0)
		return rc;
	if (boot_counts(&place))
		return boot_count_load(&place, ret, e);
	*ret = (struct boot_count){ 0 };
	return 0;
}

int sys_menu_begin_trial(const struct sys_root *r, unsigned number, const char *path, struct err *e)
{
	auto_arena struct arena a = ARENA_INIT;
	struct boot_place place;
	int rc = load_place(r, &a, path, &place, e);

	if (rc < 0)
		return rc;
	if (!boot_counts(&place))
		return 0;
	rc = boot_trial_begin(&place, number, e);
	return rc < 0 ? err_wrap(e, rc, "while putting generation %u on trial", number) : 0;
}

int sys_menu_end_trial(const struct sys_root *r, unsigned number, const char *path,
		       const struct boot_count *before, struct err *e)
{
	auto_arena struct arena a = ARENA_INIT;
	struct boot_place place;
	int rc = load_place(r, &a, path, &place, e);

	if (rc < 0)
		return rc;
	return boot_counts(&place) ? boot_trial_end(&place, number, before, e) : 0;
}

int sys_menu_check(const struct sys_root *r, const char *path, struct err *e)
{
	auto_arena struct arena a = ARENA_INIT;
	struct boot_place place;
	int rc = load_place(r, &a, path, &place, e);

	if (rc < 0)
		return rc;
	return boot_check(&place, e);
}

bool sys_menu_starts(const struct sys_root *r, const char *path, unsigned number)
{
	auto_arena struct arena a = ARENA_INIT;
	struct err ignored = ERR_INIT;
	struct boot_place place;
	unsigned def = 0;

	if (load_place(r, &a, path, &place, &ignored) < 0)
		return false;
	return place.type == BOOT_NONE ||
	       (boot_menu_default(&place, &def, &ignored) == 0 && def == number);
}

int sys_menu_check_room(const struct sys_root *r, const struct gen_list *list, unsigned number,
			const char *path, struct err *e)
{
	auto_arena struct arena a = ARENA_INIT;
	struct gen_list all = { arena_array(&a, list->n + 1, sizeof(*all.v)), list->n, number };
	struct boot_menu menu;
	struct boot_place place;
	int rc;

	if (!all.v)
		return err_set(e, -ENOMEM, "out of memory");
	for (size_t i = 0; i < list->n; i++)
		all.v[i] = list->v[i];
	if (!gen_find(list, number))
		all.v[all.n++] = (struct gen){ .number = number, .path = path, .label = "" };
	rc = sys_menu_build(r, &a, &all, number, 0, &menu, &place, e);
	return rc == 0 ? boot_check_room(&place, &menu, e) : rc;
}
