/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A plan as text for people, and as JSON. */
#include "lib/size.h"
#include "lib/text.h"
#include "system/plan.h"

/* ---- For people ------------------------------------------------------------------------------ */

static size_t count(const struct plan *p, enum live_action action)
{
	size_t n = 0;

	for (size_t i = 0; i < p->services.n; i++)
		n += ((struct live_change *)p->services.v[i])->action == action;
	return n;
}

bool plan_is_empty(const struct plan *p)
{
	return !p->packages.n && !p->etc.n && !p->users.n && !p->groups.n && !p->secrets.n &&
	       !p->privileged.n && !p->facts.n && !p->environment.n && !p->reboot.n &&
	       count(p, LIVE_KEEP) == p->services.n;
}

/* sized: sizes were asked for. */
static void text_size_of(struct str *out, const struct plan_item *x, bool sized)
{
	char size[16];

	if (!x->path || (!x->size && !sized))
		return;
	text_human(x->size, size);
	str_addf(out, " (%s)", x->size ? size : x->unbuilt ? "not built yet" : "size unknown");
}

static void text_items(struct str *out, const char *title, const struct vec *items, bool sized)
{
	static const char signs[] = { '+', '-', '~' };

	for (size_t i = 0; i < items->n; i++) {
		const struct plan_item *x = items->v[i];

		str_addf(out, "  %-10s %c ", i ? "" : title, signs[x->how]);
		text_safe(out, slice_of(x->name));
		if (x->before[0] && x->after[0] && strcmp(x->before, x->after) != 0)
			str_addf(out, " %s -> %s", x->before, x->after);
		else if (x->before[0] || x->after[0])
			str_addf(out, " %s%s", x->after[0] ? x->after : x->before,
				 x->how == PLAN_CHANGED ? " (rebuilt)" : "");
		text_size_of(out, x, sized);
		str_addc(out, '\n');
	}
}

static void text_services(struct str *out, const struct plan *p)
{
	static const enum live_action shown[] = { LIVE_START, LIVE_RESTART, LIVE_RELOAD, LIVE_STOP,
						  LIVE_LATER };
	bool first = true;

	for (size_t k = 0; k < ARRAY_LEN(shown); k++) {
		for (size_t i = 0; i < p->services.n; i++) {
			const struct live_change *c = p->services.v[i];

			if (c->action != shown[k])
				continue;
			str_addf(out, "  %-10s %s %s\n", first ? "services" : "",
				 live_action_names[c->action], c->name);
			first = false;
		}
	}
	if (p->services_unknown) {
		str_addf(out, "  %-10s not known: one of the sets cannot be read\n", "services");
		return;
	}
	str_addf(out, "  %-10s keep %zu as they are%s\n", first ? "services" : "",
		 count(p, LIVE_KEEP),
		 p->services_live      ? ""
		 : p->services_at_boot ? " (at the next boot)"
				       : " (from the sets, PID 1 was not asked)");
	if (p->init_too_old)
		str_addf(out,
			 "  %-10s takes effect at the next boot: the one that runs cannot read "
			 "the new services\n",
			 "init");
}

static void text_environment(struct str *out, const struct plan *p)
{
	text_items(out, "variables", &p->environment, p->sized);
	if (p->environment.n)
		str_addf(out, "  %-10s services that run keep theirs until they are restarted\n",
			 "");
}

static void text_closure(struct str *out, const struct plan *p)
{
	char size[16], delta[16];

	if (!p->sized)
		return;
	text_human(p->closure_after, size);
	str_addf(out, "  %-10s %s", "closure", size);
	if (p->closure_before && !p->unknown_before && !p->unknown_after) {
		bool more = p->closure_after >= p->closure_before;

		text_human(more ? p->closure_after - p->closure_before
				: p->closure_before - p->closure_after,
			   delta);
		str_addf(out, " (%c%s)", more ? '+' : '-', delta);
	}
	if (p->unknown_after)
		str_addf(out, ", and %zu item%s of unknown size", p->unknown_after,
			 p->unknown_after == 1 ? "" : "s");
	str_addc(out, '\n');
	if (p->fetch) {
		text_human(p->download, size);
		text_human(p->unpacked, delta);
		str_addf(out, "  %-10s %s%s%zu item%s, %s unpacked\n", "download",
			 p->download ? size : "", p->download ? " in " : "", p->fetch,
			 p->fetch == 1 ? "" : "s", delta);
	}
	if (p->build)
		str_addf(out, "  %-10s %zu item%s, which no cache has\n", "build", p->build,
			 p->build == 1 ? "" : "s");
}

void plan_text(const struct plan *p, struct str *out)
{
	for (size_t i = 0; i < p->facts.n; i++) {
		const struct plan_item *x = p->facts.v[i];

		str_addf(out, "  %-10s ", x->name);
		text_safe(out, slice_of(x->before[0] ? x->before : "nothing"));
		str_add(out, " -> ");
		text_safe(out, slice_of(x->after[0] ? x->after : "nothing"));
		str_addc(out, '\n');
	}
	text_items(out, "packages", &p->packages, p->sized);
	text_items(out, "/etc", &p->etc, p->sized);
	text_items(out, "users", &p->users, p->sized);
	text_items(out, "groups", &p->groups, p->sized);
	text_items(out, "secrets", &p->secrets, p->sized);
	text_items(out, "privileged", &p->privileged, p->sized);
	text_environment(out, p);
	text_services(out, p);
	text_closure(out, p);
	str_addf(out, "  %-10s %s", "reboot", p->reboot.n ? "needed for: " : "not needed");
	for (size_t i = 0; i < p->reboot.n; i++)
		str_addf(out, "%s%s", i ? ", " : "", (const char *)p->reboot.v[i]);
	str_addc(out, '\n');
}

static void json_string(struct str *out, const char *key, const char *value)
{
	text_json(out, slice_of(key));
	str_addc(out, ':');
	text_json(out, slice_of(value));
}

/* null: not known */
static void json_number(struct str *out, const char *key, uint64_t number, bool known)
{
	str_addf(out, ",\"%s\":", key);
	if (known)
		str_addf(out, "%llu", (unsigned long long)number);
	else
		str_add(out, "null");
}

static void json_items(struct str *out, const char *key, const struct vec *items)
{
	static const char *const how[] = { "added", "removed", "changed" };

	text_json(out, slice_of(key));
	str_add(out, ":[");
	for (size_t i = 0; i < items->n; i++) {
		const struct plan_item *x = items->v[i];

		str_add(out, i ? ",{" : "{");
		json_string(out, "name", x->name);
		str_addc(out, ',');
		json_string(out, "change", how[x->how]);
		str_addc(out, ',');
		json_string(out, "before", x->before);
		str_addc(out, ',');
		json_string(out, "after", x->after);
		json_number(out, "size", x->size, x->size);
		str_addc(out, '}');
	}
	str_addc(out, ']');
}

static void json_strings(struct str *out, const char *key, const struct vec *list)
{
	str_addf(out, ",\"%s\":[", key);
	for (size_t i = 0; list && i < list->n; i++) {
		str_add(out, i ? "," : "");
		text_json(out, slice_of(list->v[i]));
	}
	str_addc(out, ']');
}

void plan_json(const struct plan *p, struct str *out)
{
	str_addc(out, '{');
	json_items(out, "facts", &p->facts);
	str_addc(out, ',');
	json_items(out, "packages", &p->packages);
	str_addc(out, ',');
	json_items(out, "etc", &p->etc);
	str_addc(out, ',');
	json_items(out, "users", &p->users);
	str_addc(out, ',');
	json_items(out, "groups", &p->groups);
	str_addc(out, ',');
	json_items(out, "secrets", &p->secrets);
	str_addc(out, ',');
	json_items(out, "privileged", &p->privileged);
	str_addc(out, ',');
	json_items(out, "environment", &p->environment);
	str_add(out, ",\"services\":[");
	for (size_t i = 0; i < p->services.n; i++) {
		const struct live_change *c = p->services.v[i];

		str_add(out, i ? ",{" : "{");
		json_string(out, "name", c->name);
		str_addc(out, ',');
		json_string(out, "action", live_action_names[c->action]);
		str_addc(out, '}');
	}
	str_addf(out, "],\"services_live\":%s,\"services_at_boot\":%s,\"services_known\":%s",
		 p->services_live ? "true" : "false", p->services_at_boot ? "true" : "false",
		 p->services_unknown ? "false" : "true");
	json_number(out, "closure_before", p->closure_before, p->closure_before);
	json_number(out, "closure_after", p->closure_after, p->closure_after);
	json_number(out, "unknown_before", p->unknown_before, p->sized);
	json_number(out, "unknown_after", p->unknown_after, p->sized);
	json_number(out, "fetch", p->fetch, p->sized);
	/* A cache need not say how large its archives are. */
	json_number(out, "download", p->download, p->sized && (p->download || !p->fetch));
	json_number(out, "unpacked", p->unpacked, p->sized);
	json_number(out, "build", p->build, p->sized);
	json_strings(out, "reboot", &p->reboot);
	json_strings(out, "warnings", p->warnings);
	str_addc(out, '}');
}
