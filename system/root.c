/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "system/root.h"

#include <dirent.h>
#include <fcntl.h>
#include <unistd.h>

#include "lib/slice.h"

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

/* As lib/file.c names them. */
static bool is_temporary(const char *name)
{
	static const char prefix[] = ".tmp-";
	const char *p = name + sizeof(prefix) - 1;

	return slice_starts(slice_of(name), prefix) && strspn(p, "0123456789abcdef") == 16 &&
	       p[16] == '\0';
}

void sys_root_clean(const struct sys_root *r, const char *logical)
{
	auto_arena struct arena a = ARENA_INIT;
	char *path = sys_root_path(r, &a, logical);
	DIR *dir = path ? opendir(path) : NULL;
	struct dirent *d;

	while (dir && (d = readdir(dir)))
		if (is_temporary(d->d_name))
			(void)unlinkat(dirfd(dir), d->d_name, 0);
	if (dir)
		(void)closedir(dir); /* only read from */
}
