/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "system/keep.h"

#include <errno.h>
#include <string.h>

#include "lib/size.h"
#include "lib/text.h"
#include "system/menu.h"
#include "system/notes.h"
#include "system/secrets.h"

#define DAY 86400

static int load_count(struct switcher *s, struct boot_count *ret, struct err *e)
{
	struct sys_menu settings;
	const char *path = switcher_current(s);
	int rc = path ? sys_menu_load(&s->root, &s->arena, path, &settings, e) : 0;

	*ret = (struct boot_count){ 0 };
	if (rc < 0 || !path)
		return rc;
	struct boot_place place = sys_menu_place(&s->root, &settings);
	return boot_count_load(&place, ret, e);
}

int keep_load(struct switcher *s, struct keep *ret, struct err *e)
{
	auto_vec struct vec notes = VEC_INIT;
	const struct gen *before = gen_before(&s->list);
	int rc = notes_load(&s->root, &s->arena, &notes, e);

	*ret = (struct keep){ .s = s };
	ret->before = before ? before->number : 0;
	if (rc == 0)
		rc = switcher_find_active(s, &ret->active, e);
	return rc == 0 ? load_count(s, &ret->count, e) : rc;
}

const char *keep_needed(const struct keep *k, const struct gen *g)
{
	const struct switcher *s = k->s;

	if (g->number == s->list.current) /* also the one whose boots are counted, if any are */
		return "the current one";
	if (s->booted && strcmp(s->booted, g->path) == 0)
		return "the one that runs";
	if (g->number == k->active)
		return "the active one";
	if (s->unconfirmed && (g->number == s->confirm.to || g->number == s->confirm.from))
		return g->number == s->confirm.to ? "the one that is tried out"
						  : "the one to go back to";
	if (g->number == k->count.good)
		return "the one that the boot loader falls back to";
	return g->pinned ? "pinned" : NULL;
}

const char *keep_wanted(const struct keep *k, const struct gen *g)
{
	const char *needed = keep_needed(k, g);

	if (needed)
		return needed;
	return g->number == k->before ? "the one before the current one" : NULL;
}

/* Menu and links; *ret_gone: how many are gone. */
static int remove_all(struct switcher *s, const struct gen_list *go, const struct gen_list *stay,
		      size_t *ret_gone, struct err *e)
{
	int rc = sys_menu_write(&s->root, stay, s->list.current, 0, e);

	if (rc < 0)
		return rc;
	for (size_t i = 0; rc == 0 && i < go->n; i++) {
		rc = gen_link_remove(&s->root, go->v[i].number, e);
		*ret_gone += rc == 0;
	}
	return rc < 0 ? err_wrap(e, -ERR_PARTIAL, "the boot menu has its new entries, but") : 0;
}

int keep_delete(struct switcher *s, struct gen_list *go, const struct gen_list *stay, struct err *e)
{
	bool noted = false;
	size_t gone = 0;
	int rc = go->n ? remove_all(s, go, stay, &gone, e) : 0;

	for (size_t i = 0; i < go->n; i++)
		noted = noted || go->v[i].label[0] || go->v[i].pinned;
	if (rc == 0 && noted)
		rc = notes_save(&s->root, stay, e);
	if (rc == 0)
		rc = secrets_prune(&s->root, e);
	go->n = gone;
	return rc < 0 ? keep_partial(go, rc, e) : 0;
}

int keep_partial(const struct gen_list *gone, int rc, struct err *e)
{
	if (!gone->n)
		return rc;
	return err_wrap(e, -ERR_PARTIAL, "%zu generation%s deleted, but", gone->n,
			gone->n == 1 ? " is" : "s are");
}

int keep_check_clock(struct err *e)
{
	/* The machine's fault, not that of what it was given. */
	return store_clock_check(e) < 0 ? -ERR_UNSUPPORTED : 0;
}

/* ---- Patterns -------------------------------------------------------------------------------- */

struct range {
	uint64_t low, high;
};

/* "3" or "2..5" */
static int parse_range(struct slice s, struct range *ret)
{
	struct slice low = s, high = s;

	for (size_t i = 0; i + 1 < s.n; i++) {
		if (s.p[i] != '.' || s.p[i + 1] != '.')
			continue;
		low = (struct slice){ s.p, i };
		high = (struct slice){ s.p + i + 2, s.n - i - 2 };
		break;
	}
	if (text_u64(low, GEN_NUMBER_MAX, &ret->low) < 0 ||
	    text_u64(high, GEN_NUMBER_MAX, &ret->high) < 0 || ret->low == 0 || ret->low > ret->high)
		return -ERR_USAGE;
	return 0;
}

static bool parse_age(struct slice s, int64_t *ret)
{
	static const struct {
		char unit;
		int days;
	} units[] = { { 'd', 1 }, { 'w', 7 }, { 'm', 30 }, { 'y', 365 } };
	uint64_t number;

	for (size_t i = 0; s.n && i < ARRAY_LEN(units); i++)
		if (s.p[s.n - 1] == units[i].unit &&
		    text_u64((struct slice){ s.p, s.n - 1 }, 10000, &number) == 0) {
			*ret = (int64_t)number * units[i].days * DAY;
			return true;
		}
	return false;
}

int keep_pattern_parse(const char *text, struct keep_pattern *ret, struct err *e)
{
	struct slice rest = slice_of(text), part;
	struct range r;

	*ret = (struct keep_pattern){ .text = text };
	ret->by_age = parse_age(rest, &ret->age);
	if (ret->by_age)
		return 0;
	if (!rest.n)
		return cmd_usage(e, "an empty pattern names no generation");
	while (slice_cut(&rest, ',', &part))
		if (parse_range(part, &r) < 0)
			return cmd_usage(e,
					 "'%s' is neither a list such as 3 or 1,2 or 4..7 nor an "
					 "age such as 10d or 2m",
					 text);
	return 0;
}

int keep_pattern_check(const struct keep_pattern *p, const struct gen_list *list, struct err *e)
{
	struct slice rest = slice_of(p->text), part;
	struct range r;

	while (!p->by_age && slice_cut(&rest, ',', &part))
		if (parse_range(part, &r) == 0 && r.low == r.high &&
		    !gen_find(list, (unsigned)r.low))
			return err_set(e, -ERR_NOTFOUND, "there is no generation %u",
				       (unsigned)r.low);
	return 0;
}

bool keep_pattern_has(const struct keep_pattern *p, const struct gen *g, int64_t now)
{
	struct slice rest = slice_of(p->text), part;
	struct range r;

	if (p->by_age)
		return g->date && now - g->date > p->age;
	while (slice_cut(&rest, ',', &part))
		if (parse_range(part, &r) == 0 && g->number >= r.low && g->number <= r.high)
			return true;
	return false;
}

void keep_tell_gone(const struct gen_list *gone, bool dry_run, bool json, struct str *out)
{
	for (size_t i = 0; i < gone->n; i++) {
		const struct gen *g = &gone->v[i];

		if (json)
			str_addf(out, "%s{\"generation\":%u,\"system\":\"%s\"}", i ? "," : "",
				 g->number, g->path);
		else
			str_addf(out, "%s generation %u\t%s\n",
				 dry_run ? "would delete" : "deleted", g->number, g->path);
	}
}
