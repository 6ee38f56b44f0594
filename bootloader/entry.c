/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "bootloader/bootloader.h"

#include <errno.h>
#include <fcntl.h>

#include "lib/fd.h"
#include "lib/path.h"
#include "lib/size.h"
#include "lib/text.h"

#define ENTRY_HEAD	 "cairn-boot-entry 1"
#define LIMIT_ENTRY_FILE (16 * 1024)

enum entry_kind { ENTRY_TEXT, ENTRY_PATH, ENTRY_PARAMETERS };

static const struct entry_key {
	const char *name;
	enum entry_kind kind;
	size_t offset; /* of a const char * in struct boot_entry */
	size_t max;
	bool required;
} entry_keys[] = {
	{ "label", ENTRY_TEXT, offsetof(struct boot_entry, label), BOOT_LABEL_MAX, true },
	{ "version", ENTRY_TEXT, offsetof(struct boot_entry, version), 100, false },
	{ "kernel", ENTRY_PATH, offsetof(struct boot_entry, kernel), 1000, true },
	{ "initrd", ENTRY_PATH, offsetof(struct boot_entry, initrd), 1000, false },
	{ "parameters", ENTRY_PARAMETERS, offsetof(struct boot_entry, parameters),
	  BOOT_PARAMETERS_MAX, true },
};

static const char **entry_field(struct boot_entry *b, const struct entry_key *k)
{
	return (const char **)((char *)b + k->offset);
}

/* GRUB puts its own quotes around a word with a blank and a backslash before each quote; the kernel
 * undoes the first but not the second. So only balanced double quotes get through unchanged. */
static int parameters_check(const char *v, struct err *e)
{
	bool quoted = false;

	for (; *v; v++) {
		if (*v == '\\' || *v == '\'')
			return err_set(e, -ERR_INVALID,
				       "kernel parameters cannot have a backslash or a single "
				       "quote");
		if (*v == '"')
			quoted = !quoted;
	}
	if (quoted)
		return err_set(e, -ERR_INVALID, "kernel parameters have an unbalanced quote");
	return 0;
}

static int field_check(const struct entry_key *k, const char *v, struct err *e)
{
	size_t n = strlen(v);

	if (n > k->max)
		return err_set(e, -ERR_LIMIT, "%s has %zu bytes, at most %zu are allowed", k->name,
			       n, k->max);
	if (n == 0 && k->required && k->kind != ENTRY_PARAMETERS)
		return err_set(e, -ERR_INVALID, "%s is empty", k->name);
	for (size_t i = 0; i < n; i++)
		if ((unsigned char)v[i] < 0x20 || v[i] == 0x7f)
			return err_set(e, -ERR_INVALID, "%s has a control character", k->name);
	if (!text_is_utf8(slice_of(v)))
		return err_set(e, -ERR_INVALID, "%s is not UTF-8", k->name);
	if (k->kind == ENTRY_PATH && n && (v[0] != '/' || !path_is_clean(v)))
		return err_set(e, -ERR_INVALID, "%s is not an absolute clean path: %s", k->name, v);
	return k->kind == ENTRY_PARAMETERS ? parameters_check(v, e) : 0;
}

int boot_label_check(const char *label, struct err *e)
{
	return field_check(&entry_keys[0], label, e);
}

int boot_entry_format(const struct boot_entry *b, struct str *out, struct err *e)
{
	struct boot_entry copy = *b;

	str_add(out, ENTRY_HEAD "\n");
	for (size_t i = 0; i < ARRAY_LEN(entry_keys); i++) {
		const struct entry_key *k = &entry_keys[i];
		const char *v = *entry_field(&copy, k);

		if (!v)
			v = "";
		int r = field_check(k, v, e);
		if (r < 0)
			return err_wrap(e, r, "boot entry");
		if (*v || k->required)
			str_addf(out, "%s %s\n", k->name, v);
	}
	if (str_err(out) < 0)
		return err_num(e, str_err(out), "boot entry");
	return 0;
}

static const struct entry_key *key_find(struct slice name)
{
	for (size_t i = 0; i < ARRAY_LEN(entry_keys); i++)
		if (slice_is(name, entry_keys[i].name))
			return &entry_keys[i];
	return NULL;
}

static int line_parse(struct arena *a, struct slice line, struct boot_entry *b, struct err *e)
{
	struct slice name = { 0 };

	if (!line.n || !memchr(line.p, ' ', line.n) || memchr(line.p, '\0', line.n))
		return err_set(e, -ERR_SYNTAX, "not a line of the form 'KEY VALUE'");
	(void)slice_cut(&line, ' ', &name); /* there is a blank */
	const struct entry_key *k = key_find(name);
	if (!k)
		return err_set(e, -ERR_SYNTAX, "unknown key '%.*s'",
			       (int)MIN_OF(name.n, (size_t)40), name.p);
	const char **field = entry_field(b, k);
	if (*field)
		return err_set(e, -ERR_SYNTAX, "%s stands twice", k->name);
	if (!line.n && !k->required)
		return err_set(e, -ERR_SYNTAX, "%s is empty", k->name);
	*field = line.n ? arena_slice(a, line) : "";
	return *field ? field_check(k, *field, e) : err_num(e, -ENOMEM, "boot entry");
}

int boot_entry_parse(struct arena *a, struct slice text, const char *file, struct boot_entry *ret,
		     struct err *e)
{
	struct boot_entry b = { 0 };
	struct slice line;
	unsigned number = 0;

	if (text.n > LIMIT_ENTRY_FILE)
		return err_set(e, -ERR_LIMIT, "%s: larger than %d bytes", file, LIMIT_ENTRY_FILE);
	if (!text.n || text.p[text.n - 1] != '\n')
		return err_set(e, -ERR_SYNTAX, "%s: does not end in a newline", file);
	text.n--;
	while (slice_cut(&text, '\n', &line)) {
		if (++number == 1) {
			if (!slice_is(line, ENTRY_HEAD))
				return err_set(e, -ERR_SYNTAX, "%s:1: expected '%s'", file,
					       ENTRY_HEAD);
			continue;
		}
		int r = line_parse(a, line, &b, e);
		if (r < 0)
			return err_wrap(e, r, "%s:%u", file, number);
	}
	for (size_t i = 0; i < ARRAY_LEN(entry_keys); i++) {
		const char **field = entry_field(&b, &entry_keys[i]);

		if (!*field && entry_keys[i].required)
			return err_set(e, -ERR_SYNTAX, "%s: %s is missing", file,
				       entry_keys[i].name);
		if (!*field)
			*field = "";
	}
	*ret = b;
	return 0;
}

int boot_entry_load(struct arena *a, const char *root, const char *system, struct boot_entry *ret,
		    struct err *e)
{
	auto_str struct str text = STR_INIT;
	char file[PATH_MAX];
	char logical[PATH_MAX];

	if (path_join(logical, system, BOOT_ENTRY_FILE) < 0 ||
	    path_join(file, *root ? root : "/", logical + (logical[0] == '/')) < 0)
		return err_num(e, -ENAMETOOLONG, "%s/" BOOT_ENTRY_FILE, system);
	int r = file_read(AT_FDCWD, file, &text, LIMIT_ENTRY_FILE, e);
	if (r < 0)
		return r;
	return boot_entry_parse(a, str_slice(&text), file, ret, e);
}

static bool device_is_good(const char *device)
{
	struct slice value = slice_of(device), key;

	slice_cut(&value, '=', &key);
	if (slice_is(key, "LABEL") || slice_is(key, "UUID"))
		return value.n > 0;
	return strncmp(device, "hd", 2) == 0 &&
	       device[strspn(device, "hdgptms,0123456789")] == '\0';
}

int boot_extra_check(const struct boot_extra *x, struct err *e)
{
	auto_str struct str ignored = STR_INIT;
	const char *file = strcmp(x->chain, BOOT_SECTOR) == 0 ? "/" BOOT_SECTOR : x->chain;
	/* What is true of the entry of a generation must be true of this one. */
	struct boot_entry b = { x->title, "", *x->chain ? file : x->kernel, x->initrd,
				x->parameters };
	int r = boot_entry_format(&b, &ignored, e);

	if (r < 0)
		return err_wrap(e, r, "menu entry '%s'", x->title);
	if (*x->device && !device_is_good(x->device))
		return err_set(e, -ERR_INVALID, "menu entry '%s': '%s' is no device", x->title,
			       x->device);
	if (*x->chain && (*x->kernel || *x->initrd || *x->parameters))
		return err_set(e, -ERR_INVALID,
			       "menu entry '%s' is both a kernel and a boot loader", x->title);
	return 0;
}
