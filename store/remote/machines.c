/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "store/remote/machines.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>

#include "lib/base64.h"
#include "lib/fd.h"
#include "lib/size.h"
#include "lib/text.h"
#include "store/limits.h"
#include "store/remote/remote.h"

#define FIELDS 8

#if defined(__x86_64__)
#define CAIRN_SYSTEM "x86_64-linux"
#elif defined(__aarch64__)
#define CAIRN_SYSTEM "aarch64-linux"
#elif defined(__riscv)
#define CAIRN_SYSTEM "riscv64-linux"
#endif

enum field { ADDRESS, SYSTEMS, IDENTITY, JOBS, SPEED, FEATURES, MANDATORY, HOST_KEY };

/* The next piece of list between bytes of set; empty at the end. */
static struct slice next_piece(struct slice *list, const char *set)
{
	struct slice w = { list->p, 0 };
	while (list->n && strchr(set, *list->p))
		list->p++, list->n--;
	w.p = list->p;
	while (list->n && !strchr(set, *list->p))
		list->p++, list->n--, w.n++;
	return w;
}

static bool has_piece(struct slice list, struct slice piece, const char *set)
{
	for (struct slice w; (w = next_piece(&list, set)).n;)
		if (slice_eq(w, piece))
			return true;
	return false;
}

/* What a machine is called in names of files: its host, and something that tells it from others. */
static const char *name_of(struct arena *a, const struct remote *m, const char *address)
{
	struct digest d = digest_of(DIGEST_SHA256, address, strlen(address));
	char text[DIGEST_TEXT_MAX];
	digest_base32(&d, text);
	return arena_fmt(a, "%.100s-%.16s", m->host, text);
}

static int decode_key(struct arena *a, struct slice text, const char **ret)
{
	auto_str struct str key = STR_INIT;
	int r = base64_decode(text, &key);
	if (r)
		return r;
	while (key.len && (key.buf[key.len - 1] == '\n' || key.buf[key.len - 1] == ' '))
		str_cut(&key, key.len - 1);
	if (!key.len || memchr(key.buf, '\n', key.len) || memchr(key.buf, 0, key.len))
		return -ERR_SYNTAX;
	*ret = arena_str(a, key.buf);
	return *ret ? 0 : -ENOMEM;
}

static bool given(struct slice f)
{
	return f.n && !slice_is(f, "-");
}

static int parse_fields(struct arena *a, const struct slice *f, struct machine *m, struct err *e)
{
	struct remote remote;
	m->address = arena_slice(a, f[ADDRESS]);
	if (!m->address)
		return err_set(e, -ENOMEM, "out of memory");
	int r = remote_parse(a, m->address, &remote, e);
	if (r)
		return r;
	m->name = name_of(a, &remote, m->address);
	if (!m->name)
		return err_set(e, -ENOMEM, "out of memory");
	m->systems = given(f[SYSTEMS]) ? f[SYSTEMS] : slice_of(CAIRN_SYSTEM);
	m->identity = given(f[IDENTITY]) ? arena_slice(a, f[IDENTITY]) : NULL;
	m->features = given(f[FEATURES]) ? f[FEATURES] : (struct slice){ "", 0 };
	m->mandatory = given(f[MANDATORY]) ? f[MANDATORY] : (struct slice){ "", 0 };
	m->max_jobs = m->speed = 1;
	if (given(f[JOBS]) && text_u64(f[JOBS], 1024, &m->max_jobs))
		return err_set(e, -ERR_SYNTAX, "the number of jobs must be one up to 1024");
	if (given(f[SPEED]) && (text_u64(f[SPEED], 1000000, &m->speed) || !m->speed))
		return err_set(e, -ERR_SYNTAX, "the speed must be a number from 1 to 1000000");
	if (given(f[HOST_KEY]) && decode_key(a, f[HOST_KEY], &m->host_key))
		return err_set(e, -ERR_SYNTAX, "the host key must be one in base64");
	return 0;
}

static int parse_line(struct arena *a, struct slice line, struct machine **ret, struct err *e)
{
	struct slice f[FIELDS + 1] = { { NULL, 0 } }, rest = line;
	size_t n = 0;
	while (n <= FIELDS && (f[n] = next_piece(&rest, " \t\r")).n && f[n].p[0] != '#')
		n++;
	if (!n)
		return 0;
	for (size_t i = n; i <= FIELDS; i++)
		f[i] = (struct slice){ "", 0 };
	struct machine *m = ARENA_NEW(a, struct machine);
	if (!m)
		return err_set(e, -ENOMEM, "out of memory");
	if (n > FIELDS)
		return err_set(e, -ERR_SYNTAX, "there are more than %d fields", FIELDS);
	int r = parse_fields(a, f, m, e);
	if (!r)
		*ret = m;
	return r;
}

static int parse_all(struct machines *list, const char *path, struct slice text, struct err *e)
{
	struct machine **end = &list->first;
	struct slice line;
	for (unsigned number = 1; text.n && slice_cut(&text, '\n', &line); number++) {
		int r = parse_line(&list->a, line, end, e);
		if (r)
			return err_wrap(e, r, "%s, line %u", path, number);
		if (*end)
			end = &(*end)->next;
	}
	return 0;
}

int machines_load(struct machines *list, struct local *l, struct err *e)
{
	char path[PATH_MAX];
	auto_str struct str text = STR_INIT;
	if (list->loaded)
		return 0;
	int n = snprintf(path, sizeof(path), "%s%s/machines", l->root,
			 dialect_facts(l->dialect)->conf_dir);
	if (n < 0 || (size_t)n >= sizeof(path))
		return err_num(e, -ENAMETOOLONG, "%s", l->root);
	int r = file_read(AT_FDCWD, path, &text, LIMIT_MACHINES, NULL);
	if (r == -ENOENT || r == -ENOTDIR) {
		list->loaded = true;
		return 0;
	}
	if (r)
		return err_num(e, r, "cannot read %s", path);
	const char *copy = arena_strn(&list->a, text.buf, text.len);
	if (!copy)
		return err_set(e, -ENOMEM, "out of memory");
	r = parse_all(list, path, (struct slice){ copy, text.len }, e);
	if (r)
		machines_done(list);
	else
		list->loaded = true;
	return r;
}

void machines_done(struct machines *list)
{
	arena_done(&list->a);
	*list = (struct machines){ .loaded = false };
}

/* Whether every piece of list is in one of the others. */
static bool all_in(struct slice list, const char *set, struct slice one, struct slice two,
		   const char *others_set)
{
	for (struct slice w; (w = next_piece(&list, set)).n;)
		if (!has_piece(one, w, others_set) && !has_piece(two, w, others_set))
			return false;
	return true;
}

bool machine_fits(const struct machine *m, const struct drv *d)
{
	static const struct slice none = { "", 0 };
	bool found;
	struct slice required = drv_env(d, dialect_key_name(KEY_MACHINE_FEATURES), &found);
	if (!found)
		required = none;
	return has_piece(m->systems, slice_of(d->system), ",") &&
	       all_in(required, " \t\n", m->features, m->mandatory, ",") &&
	       all_in(m->mandatory, ",", required, none, " \t\n");
}
