/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "init/added.h"

#include <errno.h>

#include "init/spare.h"
#include "init/state.h"
#include "init/svc-inside.h"
#include "init/template.h"
#include "lib/fd.h"
#include "lib/log.h"

#define MARK "#!added"

static struct {
	char name[LIMIT_SVC_NAME + 1];
	int fds[3];
} stdio = { .fds = { -1, -1, -1 } };

/* ---- text ------------------------------------------------------------------------------------*/

static struct slice after_mark(struct slice text)
{
	struct slice line;

	while (slice_cut(&text, '\n', &line))
		if (slice_is(line, MARK))
			return text;
	return (struct slice){ NULL, 0 };
}

/* The next section of those behind the mark: all of them begin with a header. */
static bool next_section(struct slice *rest, struct slice *ret, struct slice *ret_name)
{
	struct slice from = *rest, line;

	if (!rest->p || !rest->n || !slice_cut(rest, '\n', &line))
		return false;
	*ret_name = template_header(line);
	while (rest->p && rest->n && rest->p[0] != '[')
		slice_cut(rest, '\n', &line);
	ret->p = from.p;
	ret->n = rest->p ? (size_t)(rest->p - from.p) : from.n;
	return true;
}

/* It ended a while ago, and nothing brings it back. */
static bool is_over(struct slice name)
{
	const struct svc *s = svc_mgr_find(&world.mgr, name);

	return s && loop_now() - s->since > ADDED_REST &&
	       (s->state == SVC_DONE || s->state == SVC_FAILED ||
		(s->state == SVC_DOWN && !s->goal));
}

static int read_text(struct str *buf, struct slice *ret)
{
	struct slice path;
	const struct svc_set *set = world.mgr.set;

	return !set || set->text_fd < 0 ? -ENODATA : state_text_read(set->text_fd, buf, &path, ret);
}

/* Can it be there beside base? Not when base has that name, or no template for it any more. */
static bool fits(struct slice base, struct slice section, struct slice name)
{
	size_t n = template_of(name);
	struct slice rest = section, line;

	if (template_text_has(base, name))
		return false;
	while (slice_cut(&rest, '\n', &line))
		if (slice_starts(line, "exec "))
			return true;
	return n && template_text_has(base, (struct slice){ name.p, n });
}

int added_carry(struct slice base, struct str *out)
{
	auto_str struct str buf = STR_INIT;
	struct slice text, rest, section, name;

	str_adds(out, base);
	int r = read_text(&buf, &text);
	if (r < 0)
		return spare_is_short(-r) ? r : str_err(out); /* nothing was added */
	rest = after_mark(text);
	bool any = false;
	while (next_section(&rest, &section, &name)) {
		if (!fits(base, section, name)) {
			log_info("load: what was added goes name=%.*s", (int)name.n, name.p);
			continue;
		}
		if (!any)
			str_add(out, "\n" MARK "\n");
		any = true;
		str_adds(out, section);
	}
	return str_err(out);
}

/* ---- one more --------------------------------------------------------------------------------*/

/* A header, and lines that are none; it ends where it seems to. */
static bool is_one_section(struct slice section, struct slice *ret_name)
{
	struct slice rest = section, line;

	if (!slice_cut(&rest, '\n', &line) || !rest.p)
		return false;
	*ret_name = template_header(line);
	if (!ret_name->n || line.p[0] != '[' || ret_name->p[ret_name->n - 1] == '@')
		return false;
	while (slice_cut(&rest, '\n', &line)) {
		line = slice_trim(line);
		if (line.n && (line.p[0] == '[' || line.p[0] == '#' || line.p[line.n - 1] == '\\'))
			return false;
	}
	return section.p[section.n - 1] == '\n';
}

/* The text that runs, without those additions that are over, and with one more. */
static int compose(struct slice section, bool sweep, struct str *out, struct err *e)
{
	auto_str struct str buf = STR_INIT;
	struct slice text, rest, old, name;
	size_t n = 0;
	int r = read_text(&buf, &text);

	if (r < 0)
		return err_set(e, r, "there is no copy of the set to add to");
	rest = after_mark(text);
	str_adds(out, (struct slice){ text.p, rest.n ? (size_t)(rest.p - text.p) : text.n });
	if (!rest.n)
		str_add(out, "\n" MARK "\n");
	while (next_section(&rest, &old, &name)) {
		if (sweep && is_over(name))
			continue;
		str_adds(out, old);
		n++;
	}
	str_adds(out, section);
	if (n >= ADDED_MAX)
		return err_set(e, -ERR_LIMIT, "%d services were added already", ADDED_MAX);
	return str_err(out) ? err_num(e, str_err(out), "service set") : 0;
}

int added_put(struct slice section, struct slice *ret_name, struct err *e)
{
	struct svc_set *next = NULL;
	int r = svc_refused(&world.mgr);

	if (r < 0)
		return err_set(e, r, "%s", r == -EBUSY ? "a load is under way" : "shutting down");
	if (!is_one_section(section, ret_name))
		return err_set(e, -ERR_INVALID, "expected one section [service NAME]");
	if (svc_mgr_find(&world.mgr, *ret_name))
		return err_set(e, -EEXIST, "service '%.*s' is there already", (int)ret_name->n,
			       ret_name->p);
	/* Somebody may require what is over: then it stays. */
	for (int sweep = 1; sweep >= 0; sweep--) {
		auto_str struct str text = STR_INIT;
		r = compose(section, sweep, &text, e);
		if (r == 0)
			r = world_parse(str_slice(&text), "the set with it", &next, e);
		if (r == 0)
			break;
	}
	if (r < 0)
		return r;
	snprintf(world.next_path, sizeof(world.next_path), "%s",
		 world.set_path ? world.set_path : "");
	log_info("load: adds name=%.*s", (int)ret_name->n, ret_name->p);
	return svc_load(&world.mgr, next);
}

/* ---- descriptors -----------------------------------------------------------------------------*/

void added_stdio(struct slice name, const int fds[3])
{
	for (size_t i = 0; i < 3; i++) {
		fd_close(&stdio.fds[i]);
		stdio.fds[i] = fds[i];
	}
	snprintf(stdio.name, sizeof(stdio.name), "%.*s", (int)name.n, name.p);
}

bool added_has_stdio(const int fds[3])
{
	return stdio.fds[0] == fds[0];
}

bool added_take_stdio(const struct svc *s, int fds[3])
{
	if (stdio.fds[0] < 0 || strcmp(stdio.name, s->name) != 0)
		return false;
	for (size_t i = 0; i < 3; i++) {
		fds[i] = stdio.fds[i];
		stdio.fds[i] = -1;
	}
	return true;
}
