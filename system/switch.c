/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "system/switch.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "lib/conf-file.h"
#include "lib/fd.h"
#include "lib/size.h"
#include "system/menu.h"
#include "system/notes.h"

#define NOTE	   GEN_PROFILES "/system.switch"
#define SINCE_BOOT "/run/cairn/switch" /* in memory: the note, if there is one, is of this boot */
#define LIMIT_NOTE 4096

struct note {
	uint64_t from, to; /* from 0: there was no generation before */
	bool fresh;	   /* TO was made by this switch */
	const char *path;  /* of TO */
	/* Not in the file, so NULL for whoever finds it: what was on trial before. */
	const struct boot_count *before;
};

static const struct conf_key note_keys[] = {
	CONF_KEY("from", conf_parse_u64, offsetof(struct note, from), NULL, "old generation",
		 false),
	CONF_KEY("to", conf_parse_u64, offsetof(struct note, to), NULL, "new generation", false),
	CONF_KEY("fresh", conf_parse_bool, offsetof(struct note, fresh), NULL, "made for it",
		 false),
	CONF_KEY("path", conf_parse_str, offsetof(struct note, path), NULL, "item of the new one",
		 false),
};

static const struct conf_file note_file = {
	.limit = LIMIT_NOTE, .keys = note_keys, .nkeys = ARRAY_LEN(note_keys), .only = "switch"
};

static int note_write(const struct sys_root *r, const struct note *n, struct err *e)
{
	auto_arena struct arena a = ARENA_INIT;
	char *file = sys_root_path(r, &a, NOTE), *mark = sys_root_path(r, &a, SINCE_BOOT);
	char *text =
		arena_fmt(&a, "[switch]\nfrom = %u\nto = %u\nfresh = %s\npath = %s\n",
			  (unsigned)n->from, (unsigned)n->to, n->fresh ? "yes" : "no", n->path);

	if (!file || !text || !mark)
		return err_set(e, -ENOMEM, "out of memory");
	/* It fails below a directory that is no running machine, which has not booted anything. */
	auto_fd int made = open(mark, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
	(void)made;
	return file_write_atomic(AT_FDCWD, file, text, strlen(text), 0644, e);
}

static bool is_since_boot(const struct sys_root *r)
{
	auto_arena struct arena a = ARENA_INIT;
	char *mark = sys_root_path(r, &a, SINCE_BOOT);

	return mark && access(mark, F_OK) == 0;
}

static int note_remove(const struct sys_root *r, struct err *e)
{
	auto_arena struct arena a = ARENA_INIT;
	char *file = sys_root_path(r, &a, NOTE);

	if (!file)
		return err_set(e, -ENOMEM, "out of memory");
	if (unlink(file) < 0 && errno != ENOENT)
		return err_sys(e, "%s", file);
	return file_sync(AT_FDCWD, sys_root_path(r, &a, GEN_PROFILES), e);
}

static int note_read(const struct sys_root *r, struct arena *a, struct note *ret, bool *ret_found,
		     struct err *e)
{
	struct note n = { .path = "" };
	char *file = sys_root_path(r, a, NOTE);
	int rc;

	if (!file)
		return err_set(e, -ENOMEM, "out of memory");
	rc = conf_load(&note_file, file, &n, ret_found, a, e);
	if (rc < 0 || !*ret_found)
		return rc;
	if (n.to == 0 || n.to > GEN_NUMBER_MAX || n.from > GEN_NUMBER_MAX || n.path[0] != '/')
		return err_set(e, -ERR_INVALID, "%s: not a note of a switch", file);
	*ret = n;
	return 0;
}

/* Menu with generation number as the default, in which skip does not stand. */
static int put_menu(const struct sys_root *r, unsigned number, unsigned skip, struct err *e)
{
	auto_arena struct arena a = ARENA_INIT;
	struct gen_list list;
	int rc = gen_list_load(r, &a, &list, e);

	return rc < 0 ? rc : sys_menu_write(r, &list, number, skip, e);
}

/* The menu of FROM. When FROM is too damaged to have one, that of before will do, if it is still in
 * place: who cannot read FROM looks where TO has its menu. */
static int put_menu_back(const struct sys_root *r, const struct note *n, struct err *e)
{
	auto_arena struct arena a = ARENA_INIT;
	struct err why = ERR_INIT;
	unsigned from = (unsigned)n->from;
	struct gen_list list;
	const struct gen *g;
	int rc = gen_list_load(r, &a, &list, e);

	if (rc < 0)
		return rc;
	rc = sys_menu_restore(r, &list, from, n->fresh ? (unsigned)n->to : 0, &why);
	g = gen_find(&list, from);
	if (rc == -ERR_NOTVALID &&
	    ((g && sys_menu_starts(r, g->path, from)) || sys_menu_starts(r, n->path, from)))
		return 0;
	return rc < 0 ? err_set(e, rc, "%s", why.msg) : 0;
}

/* The profile link back to FROM, in case the rename took place but not its fsync. */
static int undo_select(const struct sys_root *r, const struct note *n, struct err *e)
{
	auto_arena struct arena a = ARENA_INIT;
	struct gen_list list;
	char *link = sys_root_path(r, &a, GEN_LINK);
	int rc = gen_list_load(r, &a, &list, e);

	if (rc < 0 || list.current != n->to || n->from == n->to)
		return rc;
	if (n->from)
		return gen_select(r, (unsigned)n->from, e);
	return link && unlink(link) == 0 ? 0 : err_sys(e, "%s" GEN_LINK, r->target);
}

/* Back to FROM: link and menu first, so that nothing names a generation that is gone. */
static int undo(const struct sys_root *r, const struct note *n, struct err *e)
{
	struct err ignored = ERR_INIT;
	int rc = undo_select(r, n, e);

	if (rc == 0 && n->from)
		rc = put_menu_back(r, n, e);
	/* Where that cannot be written the trial could not begin, either. */
	if (rc == 0 && (n->fresh || n->before))
		(void)sys_menu_end_trial(r, (unsigned)n->to, n->path, n->before, &ignored);
	if (rc == 0 && n->fresh)
		rc = gen_link_remove(r, (unsigned)n->to, e);
	return rc < 0 ? rc : note_remove(r, e);
}

/* Forward to TO from a machine that was booted into it: menu and link may both be missing. */
static int finish(const struct sys_root *r, const struct note *n, struct err *e)
{
	int rc = n->fresh ? gen_link_make(r, (unsigned)n->to, n->path, e) : 0;

	if (rc == 0)
		rc = put_menu(r, (unsigned)n->to, 0, e);
	if (rc == 0)
		rc = gen_select(r, (unsigned)n->to, e);
	return rc < 0 ? rc : note_remove(r, e);
}

/* There is no menu that starts FROM: so TO is what the machine boots, or else nothing that this
 * could mend, and what could be done about it is not held up. */
static int finish_damaged(const struct sys_root *r, const struct note *n, enum sys_switch_end *ret,
			  struct err *e)
{
	struct err why = ERR_INIT;
	int rc = gen_check(r, n->path, &why) < 0 ? -ERR_NOTVALID : finish(r, n, &why);

	if (rc < 0 && rc != -ERR_NOTVALID)
		return err_set(e, rc, "%s", why.msg);
	*ret = rc == 0 ? SYS_SWITCH_DONE : SYS_SWITCH_LEFT;
	return rc == 0 ? 0 : note_remove(r, e);
}

int sys_switch_recover(const struct sys_root *r, const char *booted, enum sys_switch_end *ret,
		       struct err *e)
{
	auto_arena struct arena a = ARENA_INIT;
	struct gen_list list;
	struct err why = ERR_INIT;
	enum sys_switch_end end;
	struct note n;
	bool found, forward;
	int rc = note_read(r, &a, &n, &found, e);

	sys_root_clean(r, GEN_PROFILES);
	if (rc < 0)
		return rc;
	if (!found) {
		*ret = SYS_SWITCH_NONE;
		return 0;
	}
	rc = gen_list_load(r, &a, &list, e);
	if (rc < 0)
		return rc;
	if (list.current == n.to) {
		rc = note_remove(r, &why);
		forward = true;
	} else {
		const struct gen *from = gen_find(&list, (unsigned)n.from);

		/* Booted into it before the switch began says nothing. */
		forward = booted && !is_since_boot(r) && strcmp(booted, n.path) == 0 &&
			  !(from && strcmp(from->path, n.path) == 0);
		rc = forward ? finish(r, &n, &why) : undo(r, &n, &why);
	}
	end = forward ? SYS_SWITCH_DONE : SYS_SWITCH_UNDONE;
	if (rc == -ERR_NOTVALID && forward && n.from) { /* TO was lost since it was booted */
		rc = undo(r, &n, &why);
		end = SYS_SWITCH_UNDONE;
	}
	if (rc == -ERR_NOTVALID)
		rc = finish_damaged(r, &n, &end, &why);
	if (rc < 0)
		return err_set(e, rc, "while ending the interrupted switch to generation %u: %s",
			       (unsigned)n.to, why.msg);
	*ret = end;
	return 0;
}

/* The current one, which has tries left: to ask for it again, as a timer may, gives it no new ones.
 */
static bool is_on_trial(const struct note *n)
{
	return n->from == n->to && n->before->trial == n->to && n->before->left;
}

/* Steps 2 to 5. */
static int forward(const struct sys_root *r, const struct note *n, struct err *e)
{
	int rc = n->fresh ? gen_link_make(r, (unsigned)n->to, n->path, e) : 0;

	if (rc == 0 && !is_on_trial(n))
		rc = sys_menu_begin_trial(r, (unsigned)n->to, n->path, e);
	if (rc == 0)
		rc = put_menu(r, (unsigned)n->to, 0, e);
	return rc < 0 ? rc : gen_select(r, (unsigned)n->to, e);
}

int sys_switch(const struct sys_root *r, unsigned to, const char *path, struct err *e)
{
	auto_arena struct arena a = ARENA_INIT;
	struct gen_list list;
	struct boot_count before;
	const struct gen *g;
	struct note n;
	int rc = gen_list_load(r, &a, &list, e);

	if (rc < 0)
		return rc;
	g = gen_find(&list, to);
	if (!path && !g)
		return err_set(e, -ERR_NOTFOUND, "there is no generation %u", to);
	n = (struct note){ list.current, to, path != NULL, path ? path : g->path, &before };
	rc = gen_check(r, n.path, e);
	if (rc == 0)
		rc = sys_menu_check(r, n.path, e);
	if (rc == 0)
		rc = sys_menu_count(r, n.path, &before, e);
	if (rc < 0)
		return rc;
	rc = note_write(r, &n, e);
	if (rc < 0) {
		struct err ignored = ERR_INIT;

		/* Its name may be there although its directory could not be synced. */
		(void)note_remove(r, &ignored);
		return rc;
	}
	rc = forward(r, &n, e);
	if (rc < 0) {
		struct err back = ERR_INIT;

		if (undo(r, &n, &back) < 0)
			return err_hint(e, rc,
					"the old state could not be restored yet (%s); the next "
					"command for the system or the next boot does it",
					back.msg);
		return err_wrap(e, rc, "nothing was changed");
	}
	/* The switch is done; a note that stays is removed by whoever finds it. */
	struct err ignored = ERR_INIT;
	(void)note_remove(r, &ignored);
	(void)notes_set_tried(r, to, false, &ignored);
	(void)notes_set_tried(r, list.current, false, &ignored);
	return 0;
}
