/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "store/build/mirror.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>

#include "lib/fd.h"
#include "lib/str.h"
#include "store/format/nar.h"

#define APT_DIR	   "/etc/apt"
#define FILE_LIMIT (1u << 20)

static bool has_word(struct slice list, const char *word)
{
	struct slice w;
	while (slice_cut(&list, ' ', &w))
		if (slice_is(slice_trim(w), word))
			return true;
	return false;
}

static bool has_text(struct slice s, const char *text)
{
	return s.n && memmem(s.p, s.n, text, strlen(text)) != NULL;
}

/* A base of the main archive: fetched by HTTP, with "main", not the security archive. */
static char *accept_base(struct arena *a, struct slice uri, struct slice suites, struct slice parts)
{
	struct slice first;
	if (!slice_cut(&uri, ' ', &first))
		return NULL;
	first = slice_trim(first);
	bool http = slice_starts(first, "http://") || slice_starts(first, "https://");
	if (!http || !has_word(parts, "main") || has_text(suites, "security") ||
	    has_text(first, "security") || !has_text(first, "debian"))
		return NULL;
	while (first.n && first.p[first.n - 1] == '/')
		first.n--;
	return arena_slice(a, first);
}

static struct slice field(struct slice line, const char *name)
{
	size_t n = strlen(name);
	if (line.n <= n || strncasecmp(line.p, name, n) != 0 || line.p[n] != ':')
		return (struct slice){ NULL, 0 };
	return slice_trim((struct slice){ line.p + n + 1, line.n - n - 1 });
}

static char *parse_deb822(struct arena *a, struct slice text)
{
	struct slice types = { 0 }, uris = { 0 }, suites = { 0 }, parts = { 0 }, enabled = { 0 };
	bool more = true;
	while (more) {
		struct slice line = SLICE("");
		more = slice_cut(&text, '\n', &line);
		if (more && slice_trim(line).n) {
			struct slice v;
			if ((v = field(line, "Types")).p)
				types = v;
			else if ((v = field(line, "URIs")).p)
				uris = v;
			else if ((v = field(line, "Suites")).p)
				suites = v;
			else if ((v = field(line, "Components")).p)
				parts = v;
			else if ((v = field(line, "Enabled")).p)
				enabled = v;
			continue;
		}
		bool on = !enabled.n || slice_is(enabled, "yes") || slice_is(enabled, "true");
		char *base =
			on && has_word(types, "deb") ? accept_base(a, uris, suites, parts) : NULL;
		if (base)
			return base;
		types = uris = suites = parts = enabled = (struct slice){ 0 };
	}
	return NULL;
}

/* "deb [options] URI SUITE COMPONENT..." */
static char *parse_lines(struct arena *a, struct slice text)
{
	struct slice line;
	while (slice_cut(&text, '\n', &line)) {
		line = slice_trim(line);
		if (!slice_starts(line, "deb "))
			continue;
		line = slice_trim((struct slice){ line.p + 4, line.n - 4 });
		if (line.n && line.p[0] == '[') {
			struct slice skip;
			if (!slice_cut(&line, ']', &skip))
				continue;
			line = slice_trim(line);
		}
		struct slice uri, suite;
		if (!slice_cut(&line, ' ', &uri) || !slice_cut(&line, ' ', &suite))
			continue;
		char *base = accept_base(a, uri, suite, line);
		if (base)
			return base;
	}
	return NULL;
}

char *mirror_parse_apt(struct arena *a, struct slice text, bool deb822)
{
	return deb822 ? parse_deb822(a, text) : parse_lines(a, text);
}

static char *parse_file(struct arena *a, int dirfd, const char *name)
{
	auto_str struct str text = STR_INIT;
	if (file_read(dirfd, name, &text, FILE_LIMIT, NULL))
		return NULL;
	return mirror_parse_apt(a, str_slice(&text), slice_ends(slice_of(name), ".sources"));
}

/* Names of a directory's files, sorted; in a. */
static void list_dir(struct arena *a, const char *dir, struct vec *ret)
{
	auto_fd int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	auto_vec struct vec names = VEC_INIT;
	if (fd < 0 || nar_list_dir(a, fd, &names))
		return; /* no mirror is found there */
	for (size_t i = 0; i < names.n; i++)
		if (*(const char *)names.v[i] != '.')
			vec_add(ret, arena_fmt(a, "%s/%s", dir, (const char *)names.v[i]));
}

static char *apt_base(struct arena *a)
{
	char *base = parse_file(a, AT_FDCWD, APT_DIR "/sources.list");
	auto_vec struct vec files = VEC_INIT;
	list_dir(a, APT_DIR "/sources.list.d", &files);
	for (size_t i = 0; !base && i < files.n; i++) {
		struct slice name = slice_of(files.v[i]);
		if (slice_ends(name, ".sources") || slice_ends(name, ".list"))
			base = parse_file(a, AT_FDCWD, files.v[i]);
	}
	return base;
}

static const char *env_base(struct arena *a, struct slice name)
{
	char *var = arena_fmt(a, "CAIRN_MIRROR_%.*s", (int)name.n, name.p);
	for (char *p = var; p && *p; p++)
		*p = *p >= 'a' && *p <= 'z' ? (char)(*p - 32) : *p == '-' ? '_' : *p;
	const char *v = var ? getenv(var) : NULL;
	return v && *v ? v : NULL;
}

int mirror_expand(struct arena *a, const char *url, struct vec *ret, struct err *e)
{
	if (strncmp(url, "mirror://", 9) != 0) {
		vec_add(ret, (char *)(uintptr_t)url);
		return ret->err ? err_set(e, ret->err, "out of memory") : 0;
	}
	struct slice rest = slice_of(url + 9), name;
	if (!slice_cut(&rest, '/', &name) || !name.n || !rest.n)
		return err_set(e, -ERR_INVALID, "malformed mirror URL %s", url);
	const char *bases = env_base(a, name);
	if (!bases && slice_is(name, "debian"))
		bases = apt_base(a);
	struct slice list = slice_of(bases), base;
	while (bases && slice_cut(&list, ' ', &base)) {
		while (base.n && base.p[base.n - 1] == '/')
			base.n--;
		if (base.n)
			vec_add(ret, arena_fmt(a, "%.*s/%.*s", (int)base.n, base.p, (int)rest.n,
					       rest.p));
	}
	return ret->err || arena_err(a) ? err_set(e, -ENOMEM, "out of memory") : 0;
}

/* Acquire::http::Proxy "URL"; as one line, the form everybody uses. */
static char *parse_proxy(struct arena *a, struct slice text)
{
	struct slice line;
	char *found = NULL;
	while (slice_cut(&text, '\n', &line)) {
		static const char key[] = "Acquire::http::Proxy";
		line = slice_trim(line);
		if (line.n < sizeof(key) || strncasecmp(line.p, key, sizeof(key) - 1) != 0)
			continue;
		struct slice v, rest = line;
		if (!slice_cut(&rest, '"', &v) || !slice_cut(&rest, '"', &v))
			continue;
		found = v.n && !slice_is(v, "DIRECT") ? arena_slice(a, v) : NULL;
	}
	return found;
}

const char *mirror_apt_proxy(struct arena *a)
{
	auto_vec struct vec files = VEC_INIT;
	list_dir(a, APT_DIR "/apt.conf.d", &files);
	vec_add(&files, arena_str(a, APT_DIR "/apt.conf"));
	const char *proxy = NULL;
	for (size_t i = 0; i < files.n; i++) {
		auto_str struct str text = STR_INIT;
		if (!files.v[i] || file_read(AT_FDCWD, files.v[i], &text, FILE_LIMIT, NULL))
			continue;
		const char *p = parse_proxy(a, str_slice(&text));
		proxy = p ? p : proxy;
	}
	return proxy;
}
