/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/path.h"

#include <errno.h>
#include <string.h>

static void add(struct path *p, const char *text)
{
	size_t n = strlen(text);

	if (p->err)
		return;
	if (n >= sizeof(p->buf) - p->len) {
		p->err = -ENAMETOOLONG;
		return;
	}
	memcpy(p->buf + p->len, text, n + 1);
	p->len += n;
}

void path_init(struct path *p, const char *start)
{
	p->buf[0] = '\0';
	p->len = 0;
	p->err = 0;
	add(p, start);
}

size_t path_push(struct path *p, const char *component)
{
	size_t old = p->len;

	if (p->len && p->buf[p->len - 1] != '/')
		add(p, "/");
	add(p, component);
	return old;
}

void path_pop(struct path *p, size_t old_len)
{
	p->len = old_len;
	p->buf[old_len] = '\0';
}

int path_join(char out[PATH_MAX], const char *a, const char *b)
{
	size_t n = strlen(a);
	const char *sep = n && a[n - 1] == '/' ? "" : "/";
	int r = snprintf(out, PATH_MAX, "%s%s%s", a, sep, b);

	return r < 0 || r >= PATH_MAX ? -ENAMETOOLONG : 0;
}

const char *path_base(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

int path_dir(char out[PATH_MAX], const char *path)
{
	const char *slash = strrchr(path, '/');
	size_t n;

	if (!slash) {
		memcpy(out, ".", 2);
		return 0;
	}
	n = slash == path ? 1 : (size_t)(slash - path);
	if (n >= PATH_MAX)
		return -ENAMETOOLONG;
	memcpy(out, path, n);
	out[n] = '\0';
	return 0;
}

bool path_is_clean(const char *path)
{
	struct slice rest = slice_of(path), part;

	if (rest.n && rest.p[0] == '/') {
		rest.p++;
		rest.n--;
		if (rest.n == 0)
			return true;
	}
	while (slice_cut(&rest, '/', &part))
		if (part.n == 0 || slice_is(part, ".") || slice_is(part, ".."))
			return false;
	return true;
}

bool path_is_below(const char *path, const char *dir)
{
	size_t n = strlen(dir);

	if (strncmp(path, dir, n) != 0)
		return false;
	return path[n] == '\0' || path[n] == '/' || (n && dir[n - 1] == '/');
}
