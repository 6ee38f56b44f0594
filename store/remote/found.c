/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "store/remote/found.h"

#include <errno.h>
#include <string.h>

#include "lib/text.h"

void found_done(struct found *f)
{
	vec_done(&f->faults);
	vec_done(&f->repaired);
	vec_done(&f->removed);
	tab_done(&f->by_path);
	arena_done(&f->arena);
}

/* word before a path in quotes: 'PATH', or `PATH' as older programs write it. rest is what follows.
 */
static bool cut_path(struct slice line, const char *word, struct slice *ret_path,
		     struct slice *ret_rest)
{
	size_t n = strlen(word);
	struct slice rest, path;

	if (!slice_starts(line, word) || line.n < n + 2 ||
	    (line.p[n] != '\'' && line.p[n] != '`') || line.p[n + 1] != '/')
		return false;
	rest = (struct slice){ line.p + n + 1, line.n - n - 1 };
	if (!memchr(rest.p, '\'', rest.n) || !slice_cut(&rest, '\'', &path))
		return false;
	*ret_path = path;
	*ret_rest = slice_trim(rest);
	return true;
}

static void add_path(struct found *f, struct vec *to, struct slice path)
{
	vec_add(to, arena_slice(&f->arena, path));
}

static struct found_fault *add_fault(struct found *f, struct slice path, struct slice why)
{
	struct found_fault *x = ARENA_NEW(&f->arena, struct found_fault);

	vec_add(&f->faults, x);
	if (!x)
		return NULL;
	*x = (struct found_fault){ arena_slice(&f->arena, path), arena_slice(&f->arena, why),
				   NULL };
	void **slot = x->path ? tab_put(&f->by_path, slice_of(x->path), NULL) : NULL;
	if (slot)
		*slot = x;
	return x;
}

/* Of a fault that was told before, unless it is one that the repair itself came upon. */
static void add_not_repaired(struct found *f, struct slice path, struct slice why)
{
	struct found_fault *x = tab_find(&f->by_path, path);

	if (!x)
		x = add_fault(f, path, slice_of("is damaged"));
	if (x)
		x->not_repaired = arena_slice(&f->arena, why);
}

bool found_line(struct found *f, struct slice line)
{
	static const char no[] = "could not be repaired: ";
	struct slice path, rest;

	if (cut_path(line, "repaired ", &path, &rest)) {
		add_path(f, &f->repaired, path);
	} else if (cut_path(line, "removing ", &path, &rest)) {
		add_path(f, &f->removed, path);
	} else if (cut_path(line, "cannot repair path ", &path, &rest)) {
		add_not_repaired(f, path, slice_of("cannot be repaired"));
	} else if (!cut_path(line, "path ", &path, &rest) && !cut_path(line, "", &path, &rest)) {
		return false;
	} else if (slice_starts(rest, no)) {
		size_t n = sizeof(no) - 1;

		add_not_repaired(f, path, (struct slice){ rest.p + n, rest.n - n });
	} else if (slice_starts(rest, "had the size ")) {
		add_path(f, &f->repaired, path); /* in the database, whether asked for or not */
	} else {
		add_fault(f, path, rest);
	}
	return true;
}

static void json_paths(struct str *out, const char *key, const struct vec *paths)
{
	str_addf(out, ",\"%s\":[", key);
	for (size_t i = 0; i < paths->n; i++) {
		str_add(out, i ? ",\n  " : "\n  ");
		text_json(out, slice_of(paths->v[i]));
	}
	str_add(out, paths->n ? "\n]" : "]");
}

int found_json(const struct found *f, struct str *out, struct err *e)
{
	if (arena_err(&f->arena) < 0 || f->faults.err || f->repaired.err || f->removed.err ||
	    f->by_path.err)
		return err_num(e, -ENOMEM, "faults");
	str_add(out, "\"faults\":[");
	for (size_t i = 0; i < f->faults.n; i++) {
		const struct found_fault *x = f->faults.v[i];

		str_add(out, i ? ",\n  {\"path\":" : "\n  {\"path\":");
		text_json(out, slice_of(x->path));
		str_add(out, ",\"why\":");
		text_json(out, slice_of(x->why));
		str_add(out, ",\"not_repaired\":");
		if (x->not_repaired)
			text_json(out, slice_of(x->not_repaired));
		else
			str_add(out, "null");
		str_addc(out, '}');
	}
	str_add(out, f->faults.n ? "\n]" : "]");
	json_paths(out, "repaired", &f->repaired);
	json_paths(out, "removed", &f->removed);
	return str_err(out) < 0 ? err_num(e, -ENOMEM, "faults") : 0;
}
