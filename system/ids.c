/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "system/ids.h"

#include <errno.h>
#include <fcntl.h>

#include "lib/fd.h"
#include "lib/size.h"
#include "lib/str.h"
#include "lib/text.h"

void ids_done(struct ids *ids)
{
	vec_done(&ids->subids);
	vec_done(&ids->list);
	tab_done(&ids->names);
	tab_done(&ids->numbers);
	arena_done(&ids->a);
}

struct id *ids_find(struct ids *ids, bool user, const char *name)
{
	char *key = arena_fmt(&ids->a, "%c:%s", user ? 'u' : 'g', name);

	return key ? tab_find(&ids->names, slice_of(key)) : NULL;
}

static struct id *ids_owner(struct ids *ids, bool user, uint64_t number)
{
	char *key = arena_fmt(&ids->a, "%c:%llu", user ? 'u' : 'g', (unsigned long long)number);

	return key ? tab_find(&ids->numbers, slice_of(key)) : NULL;
}

static int ids_add(struct ids *ids, bool user, const char *name, uint64_t number, struct err *e)
{
	struct id *x = ARENA_NEW(&ids->a, struct id);
	char *by_name = arena_fmt(&ids->a, "%c:%s", user ? 'u' : 'g', name);
	char *by_number =
		arena_fmt(&ids->a, "%c:%llu", user ? 'u' : 'g', (unsigned long long)number);
	void **a, **b;

	if (!x || !by_name || !by_number)
		return err_set(e, -ENOMEM, "out of memory");
	a = tab_put(&ids->names, slice_of(by_name), NULL);
	b = tab_put(&ids->numbers, slice_of(by_number), NULL);
	if (!a || !b)
		return err_set(e, -ENOMEM, "out of memory");
	*x = (struct id){ user, arena_str(&ids->a, name), number };
	*a = *b = x;
	vec_add(&ids->list, x);
	return ids->list.err || arena_err(&ids->a) ? err_set(e, -ENOMEM, "out of memory") : 0;
}

static int subids_add(struct ids *ids, const char *name, uint64_t start, uint64_t count,
		      struct err *e)
{
	struct subids *x = ARENA_NEW(&ids->a, struct subids);

	if (!x)
		return err_set(e, -ENOMEM, "out of memory");
	*x = (struct subids){ arena_str(&ids->a, name), start, count };
	vec_add(&ids->subids, x);
	return ids->subids.err || !x->name ? err_set(e, -ENOMEM, "out of memory") : 0;
}

const struct subids *ids_find_subids(const struct ids *ids, const char *name)
{
	for (size_t i = ids->subids.n; i > 0; i--) {
		const struct subids *x = ids->subids.v[i - 1];

		if (strcmp(x->name, name) == 0)
			return x;
	}
	return NULL;
}

/* ---- The file -------------------------------------------------------------------------------- */

static int bad_line(struct slice line, struct err *e)
{
	return err_set(e, -ERR_SYNTAX, "not a line of the map of account numbers: %.*s",
		       (int)MIN_OF(line.n, 60), line.p);
}

static int ids_line(struct ids *ids, struct slice line, struct err *e)
{
	struct slice kind, name, first, rest = line;
	uint64_t number, count;

	if (line.n == 0 || line.p[0] == '#')
		return 0;
	if (!slice_cut(&rest, ' ', &kind) || !slice_cut(&rest, ' ', &name))
		return bad_line(line, e);
	if (slice_is(kind, "format"))
		return slice_is(name, "1")
			       ? 0
			       : err_set(e, -ERR_UNSUPPORTED, "format %.*s is not known here",
					 (int)MIN_OF(name.n, 20), name.p);
	if (!account_name_ok(name))
		return bad_line(line, e);
	if (slice_is(kind, "subids")) {
		if (!slice_cut(&rest, ' ', &first) ||
		    text_u64(first, ACCOUNTS_SUBID_MAX, &number) < 0 ||
		    text_u64(rest, ACCOUNTS_SUBID_MAX - number, &count) < 0)
			return bad_line(line, e);
		return subids_add(ids, arena_slice(&ids->a, name), number, count, e);
	}
	if ((!slice_is(kind, "user") && !slice_is(kind, "group")) ||
	    text_u64(rest, 65534, &number) < 0)
		return bad_line(line, e);
	return ids_add(ids, slice_is(kind, "user"), arena_slice(&ids->a, name), number, e);
}

/* NAME:x:NUMBER:… of a file that others may have written: what is none is left out, and so is a
 * second name of a number. */
static int passwd_lines(const struct sys_root *r, struct ids *ids, bool user, struct err *e)
{
	auto_str struct str text = STR_INIT;
	struct err ignored = ERR_INIT;
	struct slice rest, line;
	char *file = sys_root_path(r, &ids->a, user ? "/etc/passwd" : "/etc/group");

	if (!file)
		return err_set(e, -ENOMEM, "out of memory");
	if (file_read(AT_FDCWD, file, &text, LIMIT_ACCOUNTS_FILE, &ignored) < 0)
		return 0;
	rest = str_slice(&text);
	while (slice_cut(&rest, '\n', &line)) {
		struct slice name, password, number;
		uint64_t n;
		int rc;

		if (!slice_cut(&line, ':', &name) || !slice_cut(&line, ':', &password) ||
		    !slice_cut(&line, ':', &number) || text_u64(number, 65534, &n) < 0 ||
		    !account_name_ok(name))
			continue;
		if (ids_owner(ids, user, n) || ids_find(ids, user, arena_slice(&ids->a, name)))
			continue;
		rc = ids_add(ids, user, arena_slice(&ids->a, name), n, e);
		if (rc < 0)
			return rc;
		ids->grown = true;
	}
	return 0;
}

int ids_load(const struct sys_root *r, struct ids *ids, struct err *e)
{
	auto_str struct str text = STR_INIT;
	struct err tmp = ERR_INIT;
	struct slice rest, line;
	char *file = sys_root_path(r, &ids->a, ACCOUNTS_MAP);
	int rc;

	if (!file)
		return err_set(e, -ENOMEM, "out of memory");
	rc = file_read(AT_FDCWD, file, &text, LIMIT_ACCOUNTS_FILE, &tmp);
	if (rc == -ENOENT) {
		rc = passwd_lines(r, ids, true, e);
		return rc < 0 ? rc : passwd_lines(r, ids, false, e);
	}
	if (rc < 0)
		return err_set(e, rc, "%s", tmp.msg);
	rest = str_slice(&text);
	while (slice_cut(&rest, '\n', &line)) {
		rc = ids_line(ids, line, e);
		if (rc < 0)
			return err_wrap(e, rc, "%s", file);
	}
	return 0;
}

int ids_save(const struct sys_root *r, struct ids *ids, struct err *e)
{
	auto_str struct str text = STR_INIT;
	char *file = sys_root_path(r, &ids->a, ACCOUNTS_MAP);

	str_add(&text, "# Numbers of accounts, for ever: lines are only added.\nformat 1\n");
	for (size_t i = 0; i < ids->list.n; i++) {
		const struct id *x = ids->list.v[i];

		str_addf(&text, "%s %s %llu\n", x->is_user ? "user" : "group", x->name,
			 (unsigned long long)x->number);
	}
	for (size_t i = 0; i < ids->subids.n; i++) {
		const struct subids *x = ids->subids.v[i];

		str_addf(&text, "subids %s %llu %llu\n", x->name, (unsigned long long)x->start,
			 (unsigned long long)x->count);
	}
	if (!file || str_err(&text))
		return err_set(e, -ENOMEM, "out of memory");
	return file_write_atomic(AT_FDCWD, file, text.buf, text.len, 0644, e);
}

/* ---- New numbers ----------------------------------------------------------------------------- */

/* Lowest free number of the range that fits; a user prefers the number of the group of its name. */
static int ids_allocate(struct ids *ids, const struct account *x, uint64_t *ret, struct err *e)
{
	uint64_t low = x->system ? ACCOUNTS_SYS_MIN : ACCOUNTS_USER_MIN;
	uint64_t high = x->system ? ACCOUNTS_USER_MIN - 1 : ACCOUNTS_USER_MAX;
	struct id *twin = ids_find(ids, !x->is_user, x->name);

	if (twin && twin->number >= low && twin->number <= high &&
	    !ids_owner(ids, x->is_user, twin->number)) {
		*ret = twin->number;
		return 0;
	}
	for (uint64_t n = low; n <= high; n++) {
		/* Free on both sides, so that users and their groups stay in step. */
		if (!ids_owner(ids, true, n) && !ids_owner(ids, false, n)) {
			*ret = n;
			return 0;
		}
	}
	return err_set(e, -ERR_LIMIT, "no number left for account %s", x->name);
}

static int ids_assign_fixed(struct ids *ids, const struct account *x, struct err *e)
{
	const char *kind = x->is_user ? "user" : "group";
	struct id *known = ids_find(ids, x->is_user, x->name);
	struct id *owner = ids_owner(ids, x->is_user, x->id);

	if (known && known->number != x->id)
		return err_set(e, -ERR_INVALID,
			       "%s %s has number %llu on this machine, not %llu [numbers never "
			       "change: leave the number out, or give a new name]",
			       kind, x->name, (unsigned long long)known->number,
			       (unsigned long long)x->id);
	if (owner && owner != known)
		return err_set(e, -ERR_INVALID,
			       "%s %s cannot have number %llu: it belongs to %s [numbers are never "
			       "given twice]",
			       kind, x->name, (unsigned long long)x->id, owner->name);
	if (known)
		return 0;
	ids->grown = true;
	return ids_add(ids, x->is_user, x->name, x->id, e);
}

/* Another's range that has some of these numbers; NULL: none. */
static const struct subids *subids_overlap(const struct ids *ids, const char *name, uint64_t start,
					   uint64_t count)
{
	for (size_t i = 0; i < ids->subids.n; i++) {
		const struct subids *x = ids->subids.v[i];

		if (strcmp(x->name, name) != 0 && start < x->start + x->count &&
		    x->start < start + count)
			return x;
	}
	return NULL;
}

/* A range that is large enough stays. Another one lies above all that were ever given. */
static int subids_assign(struct ids *ids, const struct account *x, struct err *e)
{
	const struct subids *known = ids_find_subids(ids, x->name), *other;
	bool fixed = x->subid_start != ACCOUNTS_ANY;
	uint64_t start = fixed ? x->subid_start : ACCOUNTS_SUBID_MIN;

	if (known && known->count >= x->subids && (!fixed || known->start == start))
		return 0;
	for (size_t i = 0; !fixed && i < ids->subids.n; i++) {
		const struct subids *s = ids->subids.v[i];

		if (s->start + s->count > start)
			start = s->start + s->count;
	}
	if (start > ACCOUNTS_SUBID_MAX || x->subids > ACCOUNTS_SUBID_MAX - start)
		return err_set(e, -ERR_LIMIT, "no subordinate numbers left for user %s", x->name);
	other = subids_overlap(ids, x->name, start, x->subids);
	if (other)
		return err_set(e, -ERR_INVALID,
			       "user %s cannot have the subordinate numbers from %llu: %s has %llu "
			       "from %llu on [numbers are never given twice]",
			       x->name, (unsigned long long)start, other->name,
			       (unsigned long long)other->count, (unsigned long long)other->start);
	ids->grown = true;
	return subids_add(ids, x->name, start, x->subids, e);
}

/* Fixed numbers first, so that none of them is allocated to another name. */
int ids_assign(struct ids *ids, const struct vec *accounts, struct err *e)
{
	for (size_t i = 0; i < accounts->n; i++) {
		const struct account *x = accounts->v[i];
		int rc = x->id == ACCOUNTS_ANY ? 0 : ids_assign_fixed(ids, x, e);

		if (rc < 0)
			return rc;
	}
	for (size_t i = 0; i < accounts->n; i++) {
		const struct account *x = accounts->v[i];
		uint64_t number = 0;
		int rc;

		if (x->id != ACCOUNTS_ANY || ids_find(ids, x->is_user, x->name))
			continue;
		rc = ids_allocate(ids, x, &number, e);
		if (rc == 0)
			rc = ids_add(ids, x->is_user, x->name, number, e);
		if (rc < 0)
			return rc;
		ids->grown = true;
	}
	for (size_t i = 0; i < accounts->n; i++) {
		const struct account *x = accounts->v[i];
		int rc = x->is_user && x->subids ? subids_assign(ids, x, e) : 0;

		if (rc < 0)
			return rc;
	}
	return 0;
}
