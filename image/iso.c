/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "image/iso.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bootloader/bootloader.h"
#include "image/disk.h"
#include "image/fat.h"
#include "image/params.h"
#include "image/squashfs.h"
#include "lib/fd.h"
#include "lib/path.h"
#include "lib/proc.h"
#include "lib/size.h"
#include "lib/vec.h"

#define EFI_LOADER "EFI/BOOT/BOOTX64.EFI"
#define EFI_CONFIG "EFI/BOOT/grub.cfg"
#define EFI_SLACK  (96u << 10) /* tables of the file system, and the configuration */
#define EFI_STEP   (64u << 10)
#define KERNEL	   "/boot/bzImage"
#define INITRD	   "/boot/initrd"

struct iso {
	const struct iso_opts *opts;
	struct contents *c;
	char uuid[ISO_UUID_TEXT];
	/* files that are made on the way, in arena; the work directory is the caller's to remove */
	const char *root, *menu, *env, *efi_config, *efi_image;
	struct vec args; /* of xorriso */
};

void iso_uuid(const char *system, char out[ISO_UUID_TEXT])
{
	struct guid g = img_guid(system, "volume");

	(void)snprintf(out, ISO_UUID_TEXT, "20%02d-%02d-%02d-%02d-%02d-%02d-%02d", g.b[0] % 100,
		       g.b[1] % 12 + 1, g.b[2] % 28 + 1, g.b[3] % 24, g.b[4] % 60, g.b[5] % 60,
		       g.b[9] % 100);
}

static const char *work_file(struct iso *x, const char *name)
{
	return arena_fmt(x->c->arena, "%s/%s", x->c->work, name);
}

static int write_file(const char *file, struct slice text, struct err *e)
{
	if (unlink(file) < 0 && errno != ENOENT) /* of an earlier run that was cut short */
		return err_sys(e, "%s", file);
	return file_write_atomic(AT_FDCWD, file, text.p, text.n, 0644, e);
}

/* ---- Boot ------------------------------------------------------------------------------------ */

/* Its generation counts as good: GRUB cannot write here, and would complain and wait for a key. */
static int make_env(struct iso *x, unsigned number, struct err *e)
{
	char env[BOOT_ENV_SIZE], good[16];
	const struct boot_var var = { "cairn_good", good };

	(void)snprintf(good, sizeof(good), "%u", number);
	boot_env_format(env);
	x->env = work_file(x, "grubenv");
	if (!x->env)
		return err_num(e, -ENOMEM, "boot menu");
	int r = write_file(x->env, (struct slice){ env, sizeof(env) }, e);
	if (r < 0)
		return r;
	auto_fd int fd = open(x->env, O_RDWR | O_CLOEXEC);
	return fd < 0 ? err_sys(e, "%s", x->env) : boot_env_update(fd, &var, 1, e);
}

/* The generation's entry, started from the files on the ISO. */
static int make_menu(struct iso *x, struct err *e)
{
	char root[200];
	struct boot_item item = x->c->menu->items[0];
	struct boot_menu menu = *x->c->menu;
	auto_str struct str text = STR_INIT;

	(void)snprintf(root, sizeof(root),
		       "root=UUID=%s rootfstype=iso9660 ro cairn.image=" ISO_ROOT_IMAGE
		       " cairn.volatile",
		       x->uuid);
	int r = params_with_root(x->c->arena, item.entry.parameters, root, &item.entry.parameters,
				 e);
	if (r < 0)
		return r;
	item.entry.kernel = KERNEL;
	item.entry.initrd = *item.entry.initrd ? INITRD : "";
	menu.items = &item;
	menu.nitems = 1;
	menu.fs_uuid = x->uuid;
	if ((r = boot_menu_text(&menu, &text, e)) < 0)
		return r;
	x->menu = work_file(x, "grub.cfg");
	if (!x->menu)
		return err_num(e, -ENOMEM, "boot menu");
	r = write_file(x->menu, str_slice(&text), e);
	return r == 0 ? make_env(x, item.number, e) : r;
}

/* Firmware starts GRUB from the FAT image, or from the ISO: either way it looks beside itself
 * first, and is sent to the menu. */
static int make_efi(struct iso *x, struct err *e)
{
	struct manifest m = { .arena = x->c->arena, .entries = VEC_INIT };
	auto_str struct str text = STR_INIT;
	struct stat st;

	const char *loader =
		arena_fmt(x->c->arena, "%s%s/" EFI_LOADER, x->c->store_prefix, x->opts->efi_dir);
	x->efi_config = work_file(x, "efi.cfg");
	x->efi_image = work_file(x, "efi.img");
	if (!loader || !x->efi_config || !x->efi_image)
		return err_num(e, -ENOMEM, "EFI image");
	if (stat(loader, &st) < 0)
		return err_sys(e, "%s", loader);
	str_addf(&text,
		 "search --no-floppy --fs-uuid --set=root %s\n"
		 "set prefix=($root)/boot/grub\n"
		 "configfile $prefix/grub.cfg\n",
		 x->uuid);
	int r = str_err(&text) ? err_num(e, str_err(&text), "EFI image")
			       : write_file(x->efi_config, str_slice(&text), e);
	if (r < 0)
		return r;
	(void)manifest_dir(&m, "", 0755);
	(void)manifest_dir(&m, "EFI", 0755);
	(void)manifest_dir(&m, "EFI/BOOT", 0755);
	struct man_entry *n = manifest_add(&m, MAN_FILE, EFI_LOADER);
	if (n)
		n->source = loader;
	n = manifest_add(&m, MAN_FILE, EFI_CONFIG);
	if (n)
		n->source = x->efi_config;
	struct guid id = img_guid(x->c->system, "filesystem:efi");
	uint64_t size = ((uint64_t)st.st_size + EFI_SLACK + EFI_STEP - 1) / EFI_STEP * EFI_STEP;
	struct fat_opts fat = { .file = x->efi_image,
				.size = size,
				.serial = (uint32_t)id.b[0] << 24 | (uint32_t)id.b[1] << 16 |
					  (uint32_t)id.b[2] << 8 | id.b[3],
				.label = "",
				.mkfs = x->opts->mkfs_fat,
				.mtools = x->opts->mtools };
	r = manifest_finish(&m, e);
	if (r == 0)
		r = write_file(x->efi_image, SLICE(""), e);
	if (r == 0 && truncate(x->efi_image, (off_t)size) < 0)
		r = err_sys(e, "%s", x->efi_image);
	if (r == 0)
		r = fat_make(&fat, &m, e);
	manifest_done(&m);
	return r;
}

/* ---- The image ------------------------------------------------------------------------------- */

static void arg(struct iso *x, const char *text)
{
	vec_add(&x->args, (void *)text);
}

static void add_escaped(struct str *s, const char *p)
{
	for (; *p; str_addc(s, *p++))
		if (*p == '=' || *p == '\\')
			str_addc(s, '\\');
}

/* /path/in/image=/path/of/file; '=' and '\' in the latter must be escaped. */
static void graft(struct iso *x, const char *path, const char *prefix, const char *file)
{
	auto_str struct str s = STR_INIT;

	str_addf(&s, "%s=", path);
	add_escaped(&s, prefix);
	add_escaped(&s, file);
	arg(x, str_err(&s) ? NULL : arena_slice(x->c->arena, str_slice(&s)));
}

/* Dates of the volume are its identifier: 16 digits. */
static const char *volume_date(struct iso *x)
{
	char digits[17];
	size_t n = 0;

	for (const char *p = x->uuid; *p && n < 16; p++)
		if (*p != '-')
			digits[n++] = *p;
	digits[n] = '\0';
	return arena_fmt(x->c->arena, "--modification-date=%s", digits);
}

static void add_options(struct iso *x)
{
	const struct iso_opts *o = x->opts;
	static const char *const head[] = {
		"-as",
		"mkisofs",
		"-quiet",
		"-r",
		"-uid",
		"0",
		"-gid",
		"0",
		"-dir-mode",
		"0555",
		"-file-mode",
		"0444",
		"-iso-level",
		"3",
		"--set_all_file_dates",
		"=1",
		"-full-iso9660-filenames",
	};
	static const char *const boot[] = {
		/* BIOS, from CD and from a disk */
		"-b",
		"boot/grub/bios.img",
		"-no-emul-boot",
		"-boot-load-size",
		"4",
		"-boot-info-table",
		"--grub2-boot-info",
		/* UEFI, the same */
		"--efi-boot",
		"boot/efi.img",
		"-efi-boot-part",
		"--efi-boot-image",
		"--protective-msdos-label",
		"-graft-points",
	};

	arg(x, o->xorriso);
	for (size_t i = 0; i < ARRAY_LEN(head); i++)
		arg(x, head[i]);
	arg(x, volume_date(x));
	arg(x, "-V");
	arg(x, o->label);
	arg(x, "-o");
	arg(x, o->file);
	arg(x, "--grub2-mbr");
	arg(x, arena_fmt(x->c->arena, "%s%s/boot_hybrid.img", x->c->store_prefix, o->bios_dir));
	for (size_t i = 0; i < ARRAY_LEN(boot); i++)
		arg(x, boot[i]);
}

static int run_xorriso(struct iso *x, struct err *e)
{
	static const char *const envp[] = { "SOURCE_DATE_EPOCH=1", "LC_ALL=C", "TZ=UTC",
					    "HOME=/nowhere", NULL };
	const struct boot_entry *b = &x->c->menu->items[0].entry;
	struct proc_spec spec = PROC_SPEC_INIT;

	add_options(x);
	graft(x, ISO_ROOT_IMAGE, "", x->root);
	graft(x, KERNEL, x->c->store_prefix, b->kernel);
	if (*b->initrd)
		graft(x, INITRD, x->c->store_prefix, b->initrd);
	graft(x, "/boot/grub/grub.cfg", "", x->menu);
	graft(x, "/boot/grub/grubenv", "", x->env);
	const char *bios = arena_fmt(x->c->arena, "%s/bios.img", x->opts->bios_dir);
	graft(x, "/boot/grub/bios.img", x->c->store_prefix, bios ? bios : "");
	graft(x, "/boot/efi.img", "", x->efi_image);
	graft(x, "/" EFI_CONFIG, "", x->efi_config);
	vec_add(&x->args, NULL);
	if (x->args.err || arena_err(x->c->arena))
		return err_num(e, -ENOMEM, "ISO image");
	spec.argv = (const char *const *)x->args.v;
	spec.dies_with_us = true;
	spec.envp = envp;
	spec.in = spec.out = -2;
	return proc_run(&spec, e);
}

static int iso_write(struct iso *x, struct err *e)
{
	struct squashfs_opts root = { .mksquashfs = x->opts->mksquashfs,
				      .processors = x->opts->processors };
	struct contents bare = *x->c;
	int r;

	x->root = work_file(x, "root.squashfs");
	if (!x->root)
		return err_num(e, -ENOMEM, "ISO image");
	if (unlink(x->root) < 0 && errno != ENOENT)
		return err_sys(e, "%s", x->root);
	root.file = x->root;
	bare.menu = NULL; /* it stands on the ISO itself */
	r = contents_make(&bare, e);
	if (r == 0)
		r = squashfs_make(&root, &bare, e);
	manifest_done(&bare.manifest);
	if (r < 0 || (r = make_menu(x, e)) < 0 || (r = make_efi(x, e)) < 0)
		return r;
	return run_xorriso(x, e);
}

int iso_label_check(const char *label, struct err *e)
{
	size_t n = strspn(label, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_");

	if (n == 0 || label[n] || n > ISO_LABEL_MAX)
		return err_set(e, -ERR_INVALID,
			       "label '%s' is not made of A-Z, 0-9 and _ (at most %d)", label,
			       ISO_LABEL_MAX);
	return 0;
}

int iso_make(const struct iso_opts *o, struct contents *c, uint64_t *ret_size, struct err *e)
{
	struct iso x = { .opts = o, .c = c, .args = VEC_INIT };
	struct stat st;

	int r = iso_label_check(o->label, e);
	if (r == 0 && (!c->menu || c->menu->nitems != 1))
		r = err_set(e, -ERR_INVALID, "an ISO image needs a boot loader");
	if (r < 0)
		return r;
	if (access(o->file, F_OK) == 0)
		return err_num(e, -EEXIST, "%s", o->file);
	iso_uuid(c->system, x.uuid);
	r = iso_write(&x, e);
	vec_done(&x.args);
	if (r == 0 && stat(o->file, &st) < 0)
		r = err_sys(e, "%s", o->file);
	if (r < 0)
		(void)unlink(o->file); /* half an image is of no use */
	else
		*ret_size = (uint64_t)st.st_size;
	return r;
}
