/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "system/root.h"

char *sys_root_path(const struct sys_root *r, struct arena *a, const char *logical)
{
	return arena_fmt(a, "%s%s", r->target, logical);
}

char *sys_root_store(const struct sys_root *r, struct arena *a, const char *logical)
{
	return arena_fmt(a, "%s%s", r->store, logical);
}

bool sys_root_is_machine(const struct sys_root *r)
{
	return r->target[0] == '\0';
}
