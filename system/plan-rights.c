/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What of a plan gives rights: secrets (names, owners and modes; never values), privileged
 * programs.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "lib/fd.h"
#include "system/activate.h"
#include "system/planner.h"
#include "system/privileged.h"
#include "system/secrets.h"

/* A secret or a program, as far as it is compared. */
struct right {
	const char *name;
	const char *shown; /* who has it, and how */
	const char *whole; /* all of it: differs when it changes */
};

static int by_name(const void *a, const void *b)
{
	return strcmp((*(const struct right *const *)a)->name,
		      (*(const struct right *const *)b)->name);
}

static int add(struct planner *p, struct vec *list, struct right x)
{
	struct right *copy = arena_dup(p->a, &x, sizeof(x));

	vec_add(list, copy);
	return copy && x.shown && x.whole && !list->err ? 0 : planner_no_memory(p);
}

/* "# version N" before a section is for nobody but this: another one is another value. */
static struct slice version_of(struct slice text, const char *name)
{
	static const char mark[] = "# version ";
	struct slice line, version = { "", 0 };
	char header[96];
	int n = snprintf(header, sizeof(header), "[secret %s]", name);

	while (n < (int)sizeof(header) && text.n && slice_cut(&text, '\n', &line)) {
		if (slice_is(line, header))
			return version;
		if (slice_starts(line, mark))
			version = (struct slice){ line.p + sizeof(mark) - 1,
						  line.n - sizeof(mark) + 1 };
	}
	return (struct slice){ "", 0 };
}

static int read_secrets(struct planner *p, const struct plan_side *side, struct vec *list)
{
	auto_vec struct vec secrets = VEC_INIT;
	struct slice text;
	int rc = secrets_load(&side->root, p->a, side->system, &secrets, p->e);

	if (rc == 0)
		rc = planner_read(p, side, NULL, "secrets", &text);
	for (size_t i = 0; rc == 0 && i < secrets.n; i++) {
		const struct secret *x = secrets.v[i];
		struct slice version = version_of(text, x->name);
		const char *shown = arena_fmt(p->a, "%s:%s 0%03llo version %.*s from %s", x->user,
					      x->group, (unsigned long long)x->mode, (int)version.n,
					      version.p, x->source);

		rc = add(p, list, (struct right){ x->name, shown, shown });
	}
	return rc;
}

static int read_programs(struct planner *p, const struct plan_side *side, struct vec *list)
{
	auto_vec struct vec programs = VEC_INIT;
	int rc = sys_activate_programs(&side->root, p->a, side->system, &programs, p->e);

	for (size_t i = 0; rc == 0 && i < programs.n; i++) {
		const struct privileged *x = programs.v[i];
		const char *caps = x->capabilities ? arena_fmt(p->a, " capabilities 0x%llx",
							       (unsigned long long)x->capabilities)
						   : "";
		const char *shown = arena_fmt(p->a, "%s:%s%s%s%s", x->user, x->group,
					      x->setuid ? " setuid" : "",
					      x->setgid ? " setgid" : "", caps ? caps : "");

		rc = add(
			p, list,
			(struct right){ x->name, caps ? shown : NULL,
					arena_fmt(p->a, "%s %s", shown ? shown : "", x->program) });
	}
	return rc;
}

/* A system that is left and is damaged keeps nobody there. */
static int read_sides(struct planner *p,
		      int (*read)(struct planner *, const struct plan_side *, struct vec *),
		      struct vec *old, struct vec *new)
{
	struct err before = *p->e;
	int rc = p->from.system ? read(p, &p->from, old) : 0;

	if (rc == -ENOMEM)
		return rc;
	if (rc < 0) {
		old->n = 0;
		*p->e = before;
	}
	rc = read(p, &p->to, new);
	if (rc == 0 && old->n)
		qsort(old->v, old->n, sizeof(void *), by_name);
	if (rc == 0 && new->n)
		qsort(new->v, new->n, sizeof(void *), by_name);
	return rc;
}

static int compare(struct planner *p,
		   int (*read)(struct planner *, const struct plan_side *, struct vec *),
		   struct vec *ret)
{
	auto_vec struct vec old = VEC_INIT, new = VEC_INIT;
	int rc = read_sides(p, read, &old, &new);
	size_t i = 0, k = 0;

	while (rc == 0 && (i < old.n || k < new.n)) {
		const struct right *o = i < old.n ? old.v[i] : NULL,
				   *n = k < new.n ? new.v[k] : NULL;
		int order = !o ? 1 : !n ? -1 : strcmp(o->name, n->name);

		i += order <= 0;
		k += order >= 0;
		if (order < 0)
			rc = planner_add(
				p, ret,
				(struct plan_item){ PLAN_REMOVED, o->name, o->shown, "", NULL, 0 });
		else if (order > 0)
			rc = planner_add(
				p, ret,
				(struct plan_item){ PLAN_ADDED, n->name, "", n->shown, NULL, 0 });
		else if (strcmp(o->whole, n->whole) != 0)
			rc = planner_add(p, ret,
					 (struct plan_item){ PLAN_CHANGED, n->name, o->shown,
							     n->shown, NULL, 0 });
	}
	return rc;
}

int planner_rights(struct planner *p)
{
	int rc = compare(p, read_secrets, &p->plan->secrets);

	return rc < 0 ? rc : compare(p, read_programs, &p->plan->privileged);
}
