/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "system/switcher.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "system/activate.h"
#include "system/live.h"

/* "" for "/", else without a slash at the end; absolute, so that a later chdir does not matter. */
static int normal_root(struct arena *a, const char *dir, const char **ret, struct err *e)
{
	char buf[PATH_MAX];

	if (!realpath(dir, buf))
		return err_sys(e, "%s", dir);
	*ret = strcmp(buf, "/") == 0 ? "" : arena_str(a, buf);
	return *ret ? 0 : err_set(e, -ENOMEM, "out of memory");
}

static int find_machine(struct switcher *s, const struct switcher_opts *o, struct err *e)
{
	const char *store = o->store.root ? o->store.root : getenv("CAIRN_ROOT");
	struct stat st;
	int rc;

	s->root = (struct sys_root)SYS_ROOT_MACHINE;
	if (!o->target) {
		if (lstat(GEN_LINK, &st) < 0)
			return err_set(e, -ERR_NOTFOUND,
				       "this machine is not a Cairn system: %s is missing "
				       "[--target-root DIR works on one below DIR]",
				       GEN_LINK);
		return 0;
	}
	rc = normal_root(&s->arena, o->target, &s->root.target, e);
	if (rc == 0 && store && store[0])
		return normal_root(&s->arena, store, &s->root.store, e);
	s->root.store = s->root.target;
	return rc;
}

int switcher_open(struct switcher *s, const struct switcher_opts *o, const char *verb, bool change,
		  struct err *e)
{
	int rc = find_machine(s, o, e);

	if (rc == 0)
		rc = gen_running(&s->root, GEN_BOOTED_LINK, &s->arena, &s->booted, e);
	if (rc == 0 && change)
		rc = gen_lock(&s->root, verb, &s->lock, e);
	if (rc == 0 && change)
		rc = sys_switch_recover(&s->root, s->booted, &s->recovered, e);
	return rc < 0 ? rc : gen_list_load(&s->root, &s->arena, &s->list, e);
}

void switcher_done(struct switcher *s)
{
	fd_close(&s->lock);
	arena_done(&s->arena);
}

const char *switcher_current(const struct switcher *s)
{
	const struct gen *g = gen_current(&s->list);

	return g ? g->path : NULL;
}

int switcher_activate(struct switcher *s, const char *system, bool services, struct vec *ret,
		      struct err *e)
{
	char *set = arena_fmt(&s->arena, "%s/services/set", system);
	char *init = arena_fmt(&s->arena, "%s/init", system);
	struct err first = ERR_INIT, ignored = ERR_INIT;
	int rc = sys_activate(&s->root, system, &first);
	int live = 0;

	if (!set || !init)
		return err_set(e, -ENOMEM, "out of memory");
	/* A failed step of activation does not keep services from being what the generation says.
	 */
	services = services && sys_root_is_machine(&s->root) && live_is_running();
	/* First, as it may have to read what only it can. One that cannot take over waits for the
	 * next boot, and the one that runs goes on. */
	if (services && live_is_other_init(init))
		(void)live_renew(init, &ignored);
	if (services)
		live = live_load(&s->arena, set, false, ret, rc < 0 ? NULL : &first);
	if (rc == 0)
		rc = live;
	if (rc < 0)
		*e = first;
	return rc;
}
