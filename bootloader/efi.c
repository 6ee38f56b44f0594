/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Machines without GRUB: on the EFI system partition our own program (efistub.c), a menu for it,
 * and the kernels it starts. In EFI/cairn: menu, grubenv, and boot files by content; and the
 * program as EFI/BOOT/BOOTX64.EFI, where firmware finds it without any variable.
 */
#include <errno.h>
#include <fcntl.h>

#include "bootloader/efimenu.h"
#include "bootloader/loader.h"
#include "lib/fd.h"

#define LIMIT_MENU    ((1u << 20) - 64) /* of the program, less the line that pair.c adds */
#define LIMIT_PROGRAM (32u << 20)
#define PROGRAM_DIR   "EFI/BOOT"
#define PROGRAM_NAME  "BOOTX64.EFI"

static const unsigned char program[] = {
#include "bootloader/efistub.inc"
};

struct slice efi_program(void)
{
	return (struct slice){ (const char *)program, sizeof(program) };
}

/* ---- The menu -------------------------------------------------------------------------------- */

/* Values have neither newlines nor control bytes: entries are read strictly. */
static void add_line(struct str *out, const char *key, const char *value)
{
	if (*value)
		str_addf(out, "%s %s\n", key, value);
}

static void add_item(struct str *out, const struct bootfiles *b, const struct boot_item *it)
{
	str_addf(out, "entry %u\ntitle ", it->number);
	boot_item_title(it, out);
	str_addc(out, '\n');
	add_line(out, "kernel", bootfiles_name(b, it->entry.kernel));
	add_line(out, "initrd", bootfiles_name(b, it->entry.initrd));
	add_line(out, "parameters", it->entry.parameters);
}

int efi_text(const struct bootfiles *b, const struct boot_menu *m, struct str *out, struct err *e)
{
	auto_free const struct boot_item **order = NULL;
	int r = boot_menu_order(m, &order, e);

	if (r < 0)
		return r;
	str_addf(out, EM_HEAD "\ndefault %u\ntimeout %u\n", m->default_number,
		 m->timeout == BOOT_WAIT ? EM_WAIT : m->timeout);
	for (size_t i = 0; i < m->nitems; i++)
		add_item(out, b, order[i]);
	str_add(out, "end\n");
	if (str_err(out) < 0)
		return err_num(e, str_err(out), "boot menu");
	return out->len > LIMIT_MENU
		       ? err_set(e, -ERR_LIMIT, "the boot menu has more than %u bytes", LIMIT_MENU)
		       : 0;
}

unsigned efi_default(struct slice text)
{
	const struct em_text menu = { text.p, text.n };

	return em_is_whole(menu) ? em_number(em_setting(menu, "default")) : 0;
}

/* ---- The program ----------------------------------------------------------------------------- */

static bool is_ours(const struct str *s)
{
	return memmem(s->buf, s->len, EM_HEAD, sizeof(EM_HEAD) - 1) != NULL;
}

/* A copy, so that there is one under its name at any time. */
static int keep_other(int dir, const struct str *old, struct err *e)
{
	if (is_ours(old) || faccessat(dir, PROGRAM_NAME ".saved", F_OK, AT_SYMLINK_NOFOLLOW) == 0)
		return 0;
	return file_write_atomic(dir, PROGRAM_NAME ".saved", old->buf, old->len, 0644, e);
}

static const char temp[] = PROGRAM_NAME ".new";

/* One that was cut off after the exchange is here whole; two names for the same clusters are fsck's
 * to part. */
static int drop_leftover(int dir, struct err *e)
{
	if (boot_is_twin(dir, temp, PROGRAM_NAME) || unlinkat(dir, temp, 0) == 0 || errno == ENOENT)
		return 0;
	return err_sys(e, "removing %s", temp);
}

/* Firmware may look at any moment. */
static int replace(int dir, struct slice new, struct err *e)
{
	auto_str struct str text = STR_INIT;

	if (boot_is_twin(dir, temp, PROGRAM_NAME))
		return err_hint(
			e, err_set(e, -EIO, PROGRAM_NAME " and %s have the same clusters", temp),
			"a power cut left that; repair the file system with fsck.vfat -a");
	str_adds(&text, new);
	if (str_err(&text))
		return err_num(e, str_err(&text), PROGRAM_NAME);
	if (unlinkat(dir, temp, 0) < 0 && errno != ENOENT)
		return err_sys(e, "removing %s", temp);
	int r = menu_write_new(dir, temp, &text, e);
	if (r == 0 && menu_sync(dir) < 0)
		r = err_sys(e, "%s", temp);
	if (r < 0) {
		(void)unlinkat(dir, temp, 0); /* only in the way */
		return r;
	}
	r = boot_exchange(dir, temp, PROGRAM_NAME, e);
	if (r == 0 && menu_sync(dir) < 0)
		r = err_sys(e, PROGRAM_NAME);
	if (r == 0 && unlinkat(dir, temp, 0) < 0 && errno != ENOENT)
		r = err_sys(e, "removing %s", temp);
	return r;
}

int boot_program_put(int top, struct slice new, struct err *e)
{
	auto_str struct str old = STR_INIT;
	struct err tmp = ERR_INIT;

	int r = file_mkdir_p(top, PROGRAM_DIR, 0755, e);
	if (r < 0)
		return r;
	auto_fd int dir = openat(top, PROGRAM_DIR, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0)
		return err_sys(e, PROGRAM_DIR);
	r = file_read(dir, PROGRAM_NAME, &old, LIMIT_PROGRAM, &tmp);
	if (r == 0 && slice_eq(str_slice(&old), new))
		return drop_leftover(dir, e);
	if (r == 0)
		r = keep_other(dir, &old, e);
	else if (r == -ENOENT)
		r = 0;
	else
		*e = tmp;
	return r == 0 ? replace(dir, new, e) : r;
}

int boot_program_write(const char *esp, struct slice new, struct err *e)
{
	auto_fd int top = open(esp, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (top < 0)
		return err_sys(e, "%s", esp);
	int r = boot_program_put(top, new, e);
	if (r < 0)
		return err_wrap(e, r, "%s/" PROGRAM_DIR, esp);
	return menu_sync(top) < 0 ? err_sys(e, "%s", esp) : 0;
}

int boot_claim(const char *esp, struct err *e)
{
	auto_fd int top = open(esp, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (top < 0)
		return err_sys(e, "%s", esp);
	int r = file_mkdir_p(top, BOOT_EFI_DIR, 0755, e);
	if (r < 0)
		return r;
	auto_fd int dir = openat(top, BOOT_EFI_DIR, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	r = dir < 0 ? err_sys(e, BOOT_EFI_DIR) : boot_slots_reserve(dir, e);
	return r < 0 ? err_wrap(e, r, "%s", esp) : 0;
}

bool boot_program_is_present(int top, struct slice new)
{
	auto_str struct str have = STR_INIT;
	struct err ignored = ERR_INIT;

	return file_read(top, BOOT_PROGRAM, &have, LIMIT_PROGRAM, &ignored) == 0 &&
	       slice_eq(str_slice(&have), new);
}
