/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A plan in the making: what the files that fill it in share. */
#pragma once

#include "lib/size.h"
#include "lib/slice.h"
#include "lib/tab.h"
#include "system/plan.h"

#define LIMIT_PLAN_FILE (4 << 20)

struct planner {
	struct arena *a;
	/* What runs, or would; what it becomes; what the next boot starts so far. The system of
	 * from and next may be NULL. */
	struct plan_side from, to, next;
	struct plan *plan;
	struct err *e;
};

int planner_no_memory(struct planner *p);
int planner_add(struct planner *p, struct vec *list, struct plan_item item);
/* Physical path of NAME of a system. */
char *planner_part(struct planner *p, const struct plan_side *side, const char *name);
/* NAME and what is below it of the system that is left; NULL in *ret when there is no such system,
 * or when it is damaged and the path is gone: then there is nothing to compare with, which must
 * keep nobody there. */
int planner_before(struct planner *p, const char *name, const char *below, char **ret);
/* Contents of DIR/FILE of a system (dir NULL: of FILE) in arena; "" when there is no system or no
 * such file. */
int planner_read(struct planner *p, const struct plan_side *side, const char *dir, const char *file,
		 struct slice *ret);

/* system/plan-files.c */
int planner_packages(struct planner *p);
int planner_etc(struct planner *p);
int planner_accounts(struct planner *p);
/* system/plan-rights.c */
int planner_rights(struct planner *p);
