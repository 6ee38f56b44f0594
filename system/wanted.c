/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "system/wanted.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/fd.h"
#include "lib/path.h"

/* Not /tmp: who logs in may have one of his own, and PID 1 another. */
#define MACHINE_DIR "/run/cairn"

int wanted_eval(struct wanted *w, const struct sys_eval_opts *opts, const char *file, struct err *e)
{
	struct sys_eval_request req = { SYS_EVAL_FILE, file, "system.generation", NULL, 0 };
	int rc = sys_eval_run(opts, &req, &w->ev, e);

	if (rc < 0)
		return rc;
	w->res = sys_eval_find(w->ev, "system");
	return w->res && w->res->drv
		       ? 0
		       : err_set(e, -ERR_EVAL, "%s: the result is not a system", file);
}

static int make_dir(struct wanted *w, bool machine, struct err *e)
{
	const char *top = getenv("TMPDIR");
	char dir[PATH_MAX];
	int rc;

	if (machine && access(MACHINE_DIR, W_OK) == 0)
		top = MACHINE_DIR;
	rc = path_join(dir, top && *top == '/' ? top : "/tmp", "cairn-plan-XXXXXX");
	if (rc < 0)
		return err_num(e, rc, "TMPDIR");
	if (!mkdtemp(dir))
		return err_sys(e, "%s", dir);
	(void)memcpy(w->dir, dir, sizeof(dir));
	return 0;
}

int wanted_open(struct wanted *w, const struct sys_eval_opts *opts, const char *file, bool machine,
		struct err *e)
{
	int rc = wanted_eval(w, opts, file, e);

	if (rc == 0)
		rc = make_dir(w, machine, e);
	return rc == 0 ? sys_eval_sketch(w->ev, "system", w->dir, e) : rc;
}

void wanted_drop_sketch(struct wanted *w)
{
	if (w->dir[0]) /* what is left of it hurts nobody */
		(void)file_delete_tree(AT_FDCWD, w->dir, NULL, NULL);
	w->dir[0] = '\0';
}

void wanted_done(struct wanted *w)
{
	wanted_drop_sketch(w);
	sys_eval_free(w->ev);
	w->ev = NULL;
}

struct plan_side wanted_side(const struct wanted *w)
{
	return (struct plan_side){ { "", w->dir }, w->res->value };
}

bool wanted_refs(void *arg, const char *path, struct vec *ret)
{
	return sys_eval_refs(((const struct wanted *)arg)->ev, path, ret);
}
