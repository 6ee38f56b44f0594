/* SPDX-License-Identifier: GPL-3.0-or-later */
/* "cairn system init": a system into the mounted root of another machine. */
#include "image/image.h"

#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "image/install.h"
#include "lib/fd.h"
#include "lib/text.h"
#include "store/store.h"
#include "system/system.h"

#define PARTITION_MAX 128

struct init {
	struct store_opts store;
	struct sys_eval_opts eval;
	const char *boot_disk, *esp;
	uint64_t partition; /* of the root; 0: find it */
	bool no_bootloader, json, dry_run;
};

/* ---- Which partition the root is ------------------------------------------------------------- */

static int find_partition(const char *dir, uint64_t *ret, struct err *e)
{
	auto_str struct str text = STR_INIT;
	struct err ignored = ERR_INIT;
	char path[80];
	struct stat st;

	if (stat(dir, &st) < 0)
		return err_sys(e, "%s", dir);
	(void)snprintf(path, sizeof(path), "/sys/dev/block/%u:%u/partition", major(st.st_dev),
		       minor(st.st_dev));
	if (file_read(-1, path, &text, 64, &ignored) == 0) {
		struct slice rest = str_slice(&text), line;

		if (slice_cut(&rest, '\n', &line) && text_u64(line, PARTITION_MAX, ret) == 0)
			return 0;
	}
	return err_hint(e, err_set(e, -ERR_NOTFOUND, "%s is not on a partition of its own", dir),
			"--root-partition N says which one GRUB is to look at");
}

/* ---- Evaluate and build ---------------------------------------------------------------------- */

static int evaluate(struct init *o, const char *config, const char *dir, struct sys_eval **ret,
		    struct err *e)
{
	char bios[32], efi[32];
	const char *args[2];
	struct sys_eval_request req = {
		.kind = SYS_EVAL_FILE, .text = config, .apply = "image.install", .args = args
	};
	int r = 0;

	if ((o->boot_disk || o->esp) && !o->partition)
		r = find_partition(dir, &o->partition, e);
	if (r < 0)
		return r;
	(void)snprintf(bios, sizeof(bios), "bios=%u", (unsigned)o->partition);
	(void)snprintf(efi, sizeof(efi), "efi=%u", (unsigned)o->partition);
	if (o->boot_disk)
		args[req.nargs++] = bios;
	if (o->esp)
		args[req.nargs++] = efi;
	o->eval.store_dir = o->store.store_dir;
	return sys_eval_run(&o->eval, &req, ret, e);
}

/* ---- Boot loader ----------------------------------------------------------------------------- */

static int loader_options(const struct init *o, struct store_conn *conn, struct sys_eval *ev,
			  struct arena *a, struct install_opts *ret, struct err *e)
{
	const char *bios = o->boot_disk ? sys_eval_value(ev, "bios") : NULL;
	const char *efi = o->esp ? sys_eval_value(ev, "efi") : NULL;

	if (o->boot_disk && !bios)
		return cmd_usage(e,
				 "--boot-disk is for GRUB, which the configuration does not use");
	if (o->boot_disk) {
		ret->boot_disk = o->boot_disk;
		ret->bios_dir = store_conn_physical(conn, a, bios);
	}
	if (o->esp) {
		ret->esp = o->esp;
		ret->efi_dir = efi ? store_conn_physical(conn, a, efi) : NULL;
	}
	return arena_err(a) ? err_num(e, -ENOMEM, "boot loader") : 0;
}

/* ---- Report ---------------------------------------------------------------------------------- */

struct meter {
	unsigned shown; /* per cent */
};

static void show(void *arg, uint64_t done, uint64_t all)
{
	struct meter *m = arg;
	unsigned now = all ? (unsigned)(done * 100 / all) : 100;

	if (now == m->shown)
		return;
	m->shown = now;
	fprintf(stderr, "\rcopying: %3u %%%s", now, now == 100 ? "\n" : "");
}

/* missing: derivations that would have to be built before a dry run could say more. */
static int report(const struct init *o, const char *dir, const char *system, size_t missing,
		  const struct install_result *res, struct err *e)
{
	auto_str struct str out = STR_INIT;

	if (o->json) {
		str_addf(&out, "{\"dry_run\":%s,\"build\":%zu,\"directory\":",
			 o->dry_run ? "true" : "false", missing);
		text_json(&out, slice_of(dir));
		str_addf(&out, ",\"system\":\"%s\",\"items\":%zu,\"kept\":%zu,\"bytes\":%llu,",
			 system, res->items, res->kept, (unsigned long long)res->bytes);
		if (missing)
			str_add(&out, "\"needed\":null,\"free\":null}\n");
		else
			str_addf(&out, "\"needed\":%llu,\"free\":%llu}\n",
				 (unsigned long long)res->need, (unsigned long long)res->spare);
	} else if (o->dry_run) {
		char need[16], spare[16];

		text_human(res->need, need);
		text_human(res->spare, spare);
		str_addf(&out, "%s\n", system);
		if (missing)
			fprintf(stderr, "%zu derivation%s would be built first\n", missing,
				missing == 1 ? "" : "s");
		else
			fprintf(stderr,
				"%zu store items would be installed, %zu of them are there, %s "
				"would be written; %s is free\n",
				res->items, res->kept, need, spare);
	} else {
		char size[16];

		text_human(res->bytes, size);
		str_addf(&out, "%s\n", system);
		fprintf(stderr, "installed: %zu store items, %zu of them were there, %s written\n",
			res->items, res->kept, size);
	}
	if (str_err(&out) < 0)
		return err_num(e, -ENOMEM, "result");
	return fputs(out.buf, stdout) < 0 || fflush(stdout) == EOF ? err_sys(e, "standard output")
								   : 0;
}

/* ---- The command ----------------------------------------------------------------------------- */

static int check_options(const struct init *o, struct err *e)
{
	if (o->no_bootloader && (o->boot_disk || o->esp))
		return cmd_usage(e, "--no-bootloader contradicts --boot-disk and --esp");
	if (!o->no_bootloader && !o->boot_disk && !o->esp)
		return cmd_usage(e, "say where the boot loader goes: --boot-disk, --esp or "
				    "--no-bootloader");
	if (o->partition > PARTITION_MAX)
		return cmd_usage(e, "there is no partition %llu", (unsigned long long)o->partition);
	return 0;
}

static int install(struct init *o, const char *dir, struct sys_eval *ev, struct store_conn *conn,
		   struct err *e)
{
	auto_arena struct arena a = ARENA_INIT;
	auto_vec struct vec missing = VEC_INIT;
	struct meter meter = { 101 };
	struct install_result res = { 0 };
	struct install_opts opts = { .dir = dir, .system = sys_eval_value(ev, "system") };

	if (isatty(STDERR_FILENO) && !o->store.quiet) {
		opts.progress = show;
		opts.arg = &meter;
	}
	opts.dry_run = o->dry_run;
	int r = o->dry_run ? sys_eval_missing(ev, conn, &missing, e)
			   : sys_eval_build(ev, conn, NULL, e);
	if (r == 0 && missing.n)
		return report(o, dir, opts.system, missing.n, &res, e);
	if (r == 0)
		r = store_add_temp_root(conn, opts.system, e);
	if (r == 0)
		r = loader_options(o, conn, ev, &a, &opts, e);
	if (r == 0)
		r = install_system(&opts, conn, &res, e);
	return r == 0 ? report(o, dir, opts.system, 0, &res, e) : r;
}

static int init_run(struct cmd_env *env, struct err *e)
{
	struct init *o = env->ctx;
	const char *config = env->args[0], *dir = env->args[1];
	struct store_conn *conn = NULL;
	struct sys_eval *ev = NULL;
	struct stat st;
	int r = check_options(o, e);

	if (r < 0)
		return r;
	if (stat(dir, &st) < 0)
		return err_sys(e, "%s", dir);
	if (!S_ISDIR(st.st_mode))
		return err_num(e, -ENOTDIR, "%s", dir);
	r = evaluate(o, config, dir, &ev, e);
	if (r == 0)
		r = store_open(&o->store, &conn, e);
	if (r == 0)
		r = install(o, dir, ev, conn, e);
	store_close(conn);
	sys_eval_free(ev);
	return r;
}

#define AT(f) offsetof(struct init, f)
static const struct cmd_opt init_opts[] = {
	{ "boot-disk", 0, CMD_STR, AT(boot_disk), "DEVICE",
	  "GRUB for BIOS machines, on a disk with a BIOS boot partition" },
	{ "dry-run", 'n', CMD_FLAG, AT(dry_run), NULL,
	  "look whether it could be installed, write nothing" },
	{ "esp", 0, CMD_STR, AT(esp), "DIR",
	  "for UEFI machines, on the EFI system partition mounted at DIR" },
	{ "json", 0, CMD_FLAG, AT(json), NULL, "what was done as data" },
	{ "no-bootloader", 0, CMD_FLAG, AT(no_bootloader), NULL, "the machine starts otherwise" },
	{ "root-partition", 0, CMD_U64, AT(partition), "N",
	  "number of the partition that DIR is; else found out" },
	SYS_EVAL_OPTIONS(struct init, eval),
	STORE_OPTIONS_BASIC(struct init, store),
	STORE_OPTIONS_BUILD(struct init, store),
};

const struct cmd image_cmd_init = {
	.name = "init",
	.synopsis = "CONFIG DIR",
	.summary = "install the system of a configuration into a mounted root",
	.examples = "cairn system init --boot-disk /dev/vda --esp /mnt/boot/efi system.lua /mnt",
	.help = "Builds the system, then writes it with its store, database and boot menu below "
		"DIR,\nthe mounted and empty root file system of another machine. Run again after "
		"it was\ncut off, it goes on where it was. A dry run builds nothing either; space "
		"is compared\n"
		"when all is built.",
	CMD_OPTS(init_opts),
	.context_size = sizeof(struct init),
	.min_args = 2,
	.max_args = 2,
	.statuses = &sys_statuses,
	.run = init_run,
};
