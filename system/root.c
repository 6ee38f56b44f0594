/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "system/root.h"

#include <fcntl.h>

#include "lib/fd.h"

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

void sys_root_clean(const struct sys_root *r, const char *logical)
{
	auto_arena struct arena a = ARENA_INIT;
	char *path = sys_root_path(r, &a, logical);
	auto_fd int dir = path ? open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;

	if (dir >= 0)
		file_sweep_temps(dir);
}
