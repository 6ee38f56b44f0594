/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Machines without GRUB: on the EFI system partition our own program (efistub.c), a menu for it,
 * and the kernels it starts. In EFI/cairn: menu, grubenv, and boot files by content; and the
 * program as EFI/BOOT/BOOTX64.EFI, where firmware finds it without any variable.
 */
#include <errno.h>
#include <fcntl.h>

#include "bootloader/efimenu.h"
#include "bootloader/env.h"
#include "bootloader/loader.h"
#include "bootloader/put.h"
#include "lib/fd.h"
#include "lib/path.h"

#define MENU_NAME     "menu"
#define LIMIT_MENU    (1u << 20) /* as the program has it */
#define LIMIT_PROGRAM (32u << 20)
#define PROGRAM_DIR   "EFI/BOOT"
#define PROGRAM_NAME  "BOOTX64.EFI"
#define DIR_NAME      "EFI/cairn"

static const unsigned char program[] = {
#include "bootloader/efistub.inc"
};

static struct slice program_bytes(void)
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

int efi_menu_text(const struct bootfiles *b, const struct boot_menu *m, struct str *out,
		  struct err *e)
{
	auto_free const struct boot_item **order = NULL;
	int r = boot_menu_order(m, &order, e);

	if (r < 0)
		return r;
	str_addf(out, EM_HEAD "\ndefault %u\ntimeout %u\n", m->default_number, m->timeout);
	for (size_t i = 0; i < m->nitems; i++)
		add_item(out, b, order[i]);
	str_add(out, "end\n");
	if (str_err(out) < 0)
		return err_num(e, str_err(out), "boot menu");
	return out->len > LIMIT_MENU
		       ? err_set(e, -ERR_LIMIT, "the boot menu has more than %u bytes", LIMIT_MENU)
		       : 0;
}

int efi_menu_default(const struct boot_place *p, unsigned *ret, struct err *e)
{
	auto_str struct str text = STR_INIT;
	char dir[PATH_MAX], file[PATH_MAX];
	struct err tmp = ERR_INIT;
	int r = boot_menu_dir(p, dir, e);

	if (r < 0)
		return r;
	if (path_join(file, dir, MENU_NAME) < 0)
		return err_num(e, -ENAMETOOLONG, "%s", dir);
	r = file_read(AT_FDCWD, file, &text, LIMIT_MENU, &tmp);
	if (r < 0 && r != -ENOENT) {
		*e = tmp;
		return r;
	}
	const struct em_text menu = { text.buf, text.len };
	*ret = r == 0 && em_is_whole(menu) ? em_number(em_setting(menu, "default")) : 0;
	return 0;
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

static int program_put(int top, struct slice new, struct err *e)
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
		return 0;
	if (r == 0)
		r = keep_other(dir, &old, e);
	else if (r == -ENOENT)
		r = 0;
	else
		*e = tmp;
	return r == 0 ? file_write_atomic(dir, PROGRAM_NAME, new.p, new.n, 0644, e) : r;
}

int boot_program_write(const char *esp, struct slice new, struct err *e)
{
	auto_fd int top = open(esp, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (top < 0)
		return err_sys(e, "%s", esp);
	int r = program_put(top, new, e);
	if (r < 0)
		return err_wrap(e, r, "%s/" PROGRAM_DIR, esp);
	return syncfs(top) < 0 ? err_sys(e, "%s", esp) : 0;
}

int boot_claim(const char *esp, struct err *e)
{
	auto_fd int top = open(esp, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (top < 0)
		return err_sys(e, "%s", esp);
	return file_mkdir_p(top, DIR_NAME, 0755, e);
}

/* ---- The partition --------------------------------------------------------------------------- */

static bool program_is_present(int top)
{
	auto_str struct str have = STR_INIT;
	struct err ignored = ERR_INIT;

	return file_read(top, PROGRAM_DIR "/" PROGRAM_NAME, &have, LIMIT_PROGRAM, &ignored) == 0 &&
	       slice_eq(str_slice(&have), program_bytes());
}

/* What will be written besides kernels. */
static struct bootfiles_more reckon(int top, const struct menu_place *menu, const struct str *text)
{
	struct bootfiles_more more = { .text = MENU_NAME };

	if (!menu_is_present(menu, text)) {
		more.bytes += text->len;
		more.files++;
	}
	if (!program_is_present(top)) {
		more.bytes += sizeof(program);
		more.files++;
	}
	if (faccessat(menu->dir, BOOT_ENV_NAME, F_OK, 0) < 0) {
		more.bytes += BOOT_ENV_SIZE;
		more.files++;
	}
	return more;
}

static int write_parts(const struct boot_place *p, int dir, const struct bootfiles *b,
		       const struct str *text, struct err *e)
{
	const struct menu_place menu = { dir, MENU_NAME, -1, false };
	auto_fd int top = boot_top_open(p, e);

	if (top < 0)
		return top;
	const struct bootfiles_more more = reckon(top, &menu, text);
	int r = bootfiles_write(b, dir, &more, e);
	if (r < 0)
		return r;
	if ((r = program_put(top, program_bytes(), e)) < 0 || (r = boot_env_ensure(dir, e)) < 0 ||
	    (r = menu_put(&menu, text, e)) < 0)
		return r;
	return bootfiles_prune(b, dir, MENU_NAME, e);
}

int efi_menu_write(const struct boot_place *p, const struct boot_menu *m, struct err *e)
{
	auto_arena struct arena a = ARENA_INIT;
	struct bootfiles b = { .arena = &a };
	auto_str struct str text = STR_INIT;
	auto_fd int dir = boot_dir_open(p, e);

	int r = dir < 0 ? dir : bootfiles_load(&b, p->store, m, e);
	if (r == 0)
		r = efi_menu_text(&b, m, &text, e);
	if (r == 0)
		r = write_parts(p, dir, &b, &text, e);
	bootfiles_done(&b);
	return r;
}

int efi_files(const struct boot_place *p, const struct boot_menu *m, struct arena *a,
	      struct vec *ret, struct err *e)
{
	struct bootfiles b = { .arena = a };
	auto_str struct str text = STR_INIT;

	int r = bootfiles_load(&b, p->store, m, e);
	if (r == 0)
		r = efi_menu_text(&b, m, &text, e);
	if (r == 0) {
		boot_file_add(a, ret, PROGRAM_DIR "/" PROGRAM_NAME, program_bytes());
		boot_file_add_block(a, ret, DIR_NAME "/" BOOT_ENV_NAME);
		boot_file_add(a, ret, DIR_NAME "/" MENU_NAME, str_slice(&text));
		boot_file_add_copies(a, ret, DIR_NAME, &b);
	}
	bootfiles_done(&b);
	return r;
}
