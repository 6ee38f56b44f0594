/* SPDX-License-Identifier: GPL-3.0-or-later */
/* cairn system verify: is a generation what was built, and does the boot loader have it? */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>

#include "lib/fd.h"
#include "lib/text.h"
#include "system/menu.h"
#include "system/switcher.h"
#include "system/system.h"

#define LIMIT_BOOT_FILE (1u << 30)

struct ctx {
	struct switcher_opts sw;
};

struct fault {
	const char *path, *why;
};

struct verify {
	struct switcher *s;
	struct store_conn *conn;
	struct vec faults; /* struct fault in the switcher's arena */
	size_t items, files;
	uint64_t bytes;
};

static int add_fault(struct verify *v, const char *path, const char *why, struct err *e)
{
	struct fault *f = ARENA_NEW(&v->s->arena, struct fault);

	if (f)
		*f = (struct fault){ arena_str(&v->s->arena, path), arena_str(&v->s->arena, why) };
	vec_add(&v->faults, f);
	return arena_err(&v->s->arena) || v->faults.err ? err_set(e, -ENOMEM, "out of memory") : 0;
}

/* ---- Items of the closure against the database ------------------------------------------------
 */

static int check_item(struct verify *v, const char *path, struct err *e)
{
	char *file = store_conn_physical(v->conn, &v->s->arena, path);
	struct store_info *info;
	struct err why = ERR_INIT;
	struct digest have;
	uint64_t size;
	int rc = store_info(v->conn, &v->s->arena, path, &info, e);

	if (rc < 0)
		return rc;
	if (!file)
		return err_set(e, -ENOMEM, "out of memory");
	v->items++;
	v->bytes += info->nar_size;
	if (nar_hash(AT_FDCWD, file, DIGEST_SHA256, NULL, NULL, &have, &size, &why) < 0)
		return add_fault(v, path, why.msg, e);
	return digest_eq(&have, &info->nar_hash) ? 0 : add_fault(v, path, "was modified", e);
}

static int check_closure(struct verify *v, const char *system, struct err *e)
{
	auto_vec struct vec paths = VEC_INIT;
	bool valid = false;
	int rc = store_is_valid(v->conn, system, &valid, e);

	if (rc == 0 && !valid)
		return add_fault(v, system, "is not in the store's database", e);
	if (rc == 0)
		rc = store_closure(v->conn, &v->s->arena, &system, 1, &paths, e);
	for (size_t i = 0; rc == 0 && i < paths.n; i++)
		rc = check_item(v, paths.v[i], e);
	return rc;
}

/* ---- Files of the boot loader against the generations -----------------------------------------
 */

static int read_file(const char *path, struct str *out, struct err *e)
{
	return file_read(AT_FDCWD, path, out, LIMIT_BOOT_FILE, e);
}

static int check_boot_file(struct verify *v, const struct boot_place *p, const struct boot_file *f,
			   struct err *e)
{
	bool apart = p->type == BOOT_EFI || p->type == BOOT_EXTLINUX;
	auto_str struct str have = STR_INIT, want = STR_INIT;
	struct err why = ERR_INIT;
	char *path = arena_fmt(&v->s->arena, "%s%s/%s", p->root, apart ? p->dir : "", f->path);
	bool same;

	if (!path)
		return err_set(e, -ENOMEM, "out of memory");
	v->files++;
	if ((f->is_menu ? boot_menu_read(p, &have, &why) : read_file(path, &have, &why)) < 0)
		return add_fault(v, path, why.msg, e);
	if (f->source && read_file(f->source, &want, &why) < 0)
		return add_fault(v, f->source, why.msg, e);
	same = slice_eq(str_slice(&have), f->source ? str_slice(&want) : f->data);
	return same ? 0 : add_fault(v, path, "is not what the generations say", e);
}

/* The whole menu, as it would be written now: kernels are shared. What it starts may be another
 * generation than the current one, when a switch was cut off. */
static int check_boot(struct verify *v, struct err *e)
{
	struct switcher *s = v->s;
	auto_vec struct vec files = VEC_INIT;
	struct boot_menu menu;
	struct boot_place place;
	struct err why = ERR_INIT;
	int rc;

	if (!s->list.current)
		return 0;
	rc = sys_menu_build(&s->root, &s->arena, &s->list, s->list.current, 0, &menu, &place, &why);
	if (rc == 0)
		rc = boot_files(&place, &menu, &s->arena, &files, &why);
	if (rc < 0)
		return rc == -ENOMEM ? err_set(e, rc, "%s", why.msg)
				     : add_fault(v, "boot menu", why.msg, e);
	for (size_t i = 0; rc == 0 && i < files.n; i++) {
		const struct boot_file *f = files.v[i];
		const char *base = strrchr(f->path, '/');

		/* It counts boots: its contents are its own. */
		if (strcmp(base ? base + 1 : f->path, "grubenv") != 0)
			rc = check_boot_file(v, &place, f, e);
	}
	return rc;
}

/* ---- Command -----------------------------------------------------------------------------------
 */

static int report(const struct ctx *c, const struct verify *v, const struct gen *g, struct err *e)
{
	auto_str struct str out = STR_INIT;
	char human[16];

	if (c->sw.json)
		str_addf(&out,
			 "{\"generation\":%u,\"items\":%zu,\"bytes\":%llu,\"boot_files\":%zu,"
			 "\"faults\":[",
			 g->number, v->items, (unsigned long long)v->bytes, v->files);
	for (size_t i = 0; i < v->faults.n; i++) {
		const struct fault *f = v->faults.v[i];

		if (c->sw.json) {
			str_add(&out, i ? ",{\"path\":" : "{\"path\":");
			text_json(&out, slice_of(f->path));
			str_add(&out, ",\"why\":");
			text_json(&out, slice_of(f->why));
			str_addc(&out, '}');
		} else {
			text_safe(&out, slice_of(f->path));
			str_add(&out, ": ");
			text_safe(&out, slice_of(f->why));
			str_addc(&out, '\n');
		}
	}
	text_human(v->bytes, human);
	if (c->sw.json)
		str_add(&out, "]}\n");
	else if (!v->faults.n)
		str_addf(&out, "generation %u is whole: %zu items, %s, %zu boot files\n", g->number,
			 v->items, human, v->files);
	if (str_err(&out))
		return err_set(e, -ENOMEM, "out of memory");
	fputs(out.buf, stdout);
	if (fflush(stdout) == EOF)
		return err_sys(e, "standard output");
	if (!v->faults.n)
		return 0;
	return err_hint(e,
			err_set(e, -ERR_HASH, "generation %u is damaged in %zu place%s", g->number,
				v->faults.n, v->faults.n == 1 ? "" : "s"),
			"cairn store verify --repair mends items, cairn system "
			"switch-generation boot files");
}

static int run_verify(struct cmd_env *env, struct err *e)
{
	struct ctx *c = env->ctx;
	auto_switcher struct switcher s = SWITCHER_INIT;
	struct verify v = { .s = &s, .faults = VEC_INIT };
	const struct gen *g = NULL;
	uint64_t number = 0;
	int rc;

	if (env->nargs &&
	    (text_u64(slice_of(env->args[0]), GEN_NUMBER_MAX, &number) < 0 || number == 0))
		return cmd_usage(e, "'%s' is not the number of a generation", env->args[0]);
	rc = switcher_open(&s, &c->sw, "verify", false, e);
	if (rc < 0)
		return rc;
	number = number ? number : s.list.current;
	g = gen_find(&s.list, (unsigned)number);
	if (!g)
		return err_set(e, -ERR_NOTFOUND, "there is no generation %u", (unsigned)number);
	if (!c->sw.store.root && s.root.store[0])
		c->sw.store.root = s.root.store;
	rc = store_open(&c->sw.store, &v.conn, e);
	if (rc == 0)
		rc = check_closure(&v, g->path, e);
	if (rc == 0)
		rc = check_boot(&v, e);
	if (rc == 0)
		rc = report(c, &v, g, e);
	store_close(v.conn);
	vec_done(&v.faults);
	return rc;
}

static const struct cmd_opt opts[] = {
	STORE_OPTIONS_BASIC(struct ctx, sw.store),
	SWITCHER_OPTIONS(struct ctx, sw),
	{ "json", 0, CMD_FLAG, offsetof(struct ctx, sw.json), NULL, "as JSON" },
};

const struct cmd sys_cmd_verify = {
	.name = "verify",
	.synopsis = "[NUMBER]",
	.summary = "check that the current generation, or another one, is as it was built",
	.examples = "cairn system verify 7",
	.help = "Reads every file of it and compares with the hashes in the store's database, and "
		"what\n"
		"the boot loader has with the generations. Ends with 65 when something is damaged.",
	CMD_OPTS(opts),
	.context_size = sizeof(struct ctx),
	.max_args = 1,
	.statuses = &sys_statuses,
	.run = run_verify,
};
