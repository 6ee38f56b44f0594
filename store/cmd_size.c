/* SPDX-License-Identifier: GPL-3.0-or-later */
/* cairn store size: what items take, alone and with all that they need. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "lib/tab.h"
#include "lib/text.h"
#include "store/cmd_store.h"

struct ctx {
	struct store_opts store;
	const char *sort;
	bool json;
};

struct item {
	const char *path;
	uint64_t self, closure; /* bytes of archives */
	size_t *refs, nrefs;	/* indices */
};

/* Items of a closure, all in the arena. */
struct sizes {
	struct arena a;
	struct item *items;
	size_t n;
	uint64_t total;
};

static int find_refs(struct sizes *s, struct item *item, const struct store_info *info,
		     const struct tab *places)
{
	item->refs = arena_array(&s->a, info->nrefs, sizeof(*item->refs));
	for (size_t i = 0; item->refs && i < info->nrefs; i++) {
		const struct item *to = tab_find(places, slice_of(info->refs[i]));

		if (to && to != item)
			item->refs[item->nrefs++] = (size_t)(to - s->items);
	}
	return item->refs ? 0 : -ENOMEM;
}

static int load(struct sizes *s, struct store_conn *c, const struct vec *operands, struct err *e)
{
	auto_tab struct tab places = TAB_INIT;
	auto_vec struct vec paths = VEC_INIT;
	int r = store_closure(c, &s->a, (const char *const *)operands->v, operands->n, &paths, e);

	if (r < 0)
		return r;
	s->n = paths.n;
	s->items = arena_array(&s->a, s->n, sizeof(*s->items));
	for (size_t i = 0; s->items && i < s->n; i++) {
		void **place = tab_put(&places, slice_of(paths.v[i]), NULL);

		if (!place)
			return err_num(e, -ENOMEM, "sizes");
		*place = &s->items[i];
		s->items[i].path = paths.v[i];
	}
	for (size_t i = 0; s->items && i < s->n; i++) {
		struct store_info *info;

		r = store_info(c, &s->a, paths.v[i], &info, e);
		if (r < 0)
			return r;
		s->items[i].self = info->nar_size;
		s->total += info->nar_size;
		if (find_refs(s, &s->items[i], info, &places) < 0)
			break;
	}
	return arena_err(&s->a) < 0 ? err_num(e, arena_err(&s->a), "sizes") : 0;
}

/* seen: when an item was last met, counted from 1; todo: room for all items. */
static uint64_t closure_size(const struct sizes *s, size_t from, size_t *seen, size_t *todo)
{
	uint64_t sum = 0;
	size_t n = 0, now = from + 1;

	todo[n++] = from;
	seen[from] = now;
	while (n) {
		const struct item *item = &s->items[todo[--n]];

		sum += item->self;
		for (size_t i = 0; i < item->nrefs; i++)
			if (seen[item->refs[i]] != now) {
				seen[item->refs[i]] = now;
				todo[n++] = item->refs[i];
			}
	}
	return sum;
}

static int add_up(struct sizes *s, struct err *e)
{
	size_t *seen = arena_array(&s->a, s->n, sizeof(*seen));
	size_t *todo = arena_array(&s->a, s->n, sizeof(*todo));

	if (!seen || !todo)
		return err_num(e, -ENOMEM, "sizes");
	for (size_t i = 0; i < s->n; i++)
		s->items[i].closure = closure_size(s, i, seen, todo);
	return 0;
}

static int by_number(uint64_t a, uint64_t b)
{
	return a < b ? 1 : a > b ? -1 : 0;
}

static int by_closure(const void *a, const void *b)
{
	const struct item *x = a, *y = b;
	int r = by_number(x->closure, y->closure);

	return r ? r : strcmp(x->path, y->path);
}

static int by_self(const void *a, const void *b)
{
	const struct item *x = a, *y = b;
	int r = by_number(x->self, y->self);

	return r ? r : strcmp(x->path, y->path);
}

static void print_table(const struct sizes *s)
{
	char closure[16], self[16];

	printf("%10s  %10s  item\n", "closure", "self");
	for (size_t i = 0; i < s->n; i++) {
		text_human(s->items[i].closure, closure);
		text_human(s->items[i].self, self);
		printf("%10s  %10s  %s\n", closure, self, s->items[i].path);
	}
	text_human(s->total, closure);
	printf("total: %s\n", closure);
}

static int print_json(const struct sizes *s, struct err *e)
{
	auto_str struct str out = STR_INIT;

	str_addf(&out, "{\"total\":%llu,\"items\":[", (unsigned long long)s->total);
	for (size_t i = 0; i < s->n; i++) {
		str_add(&out, i ? ",\n  {\"path\":" : "\n  {\"path\":");
		text_json(&out, slice_of(s->items[i].path));
		str_addf(&out, ",\"closure\":%llu,\"self\":%llu}",
			 (unsigned long long)s->items[i].closure,
			 (unsigned long long)s->items[i].self);
	}
	str_add(&out, "\n]}\n");
	if (str_err(&out) < 0)
		return err_num(e, -ENOMEM, "JSON");
	fputs(out.buf, stdout);
	return 0;
}

static int print_sizes(struct ctx *x, struct sizes *s, struct cmd_env *env, struct err *e)
{
	auto_vec struct vec operands = VEC_INIT;
	struct store_conn *c = NULL;
	int r = store_open(&x->store, &c, e);

	if (r == 0)
		r = store_operands(c, &s->a, env->args, env->nargs, &operands, e);
	if (r == 0)
		r = load(s, c, &operands, e);
	store_close(c);
	if (r == 0)
		r = add_up(s, e);
	if (r < 0)
		return r;
	qsort(s->items, s->n, sizeof(*s->items),
	      x->sort && !strcmp(x->sort, "self") ? by_self : by_closure);
	if (!x->json)
		print_table(s);
	else
		r = print_json(s, e);
	return r == 0 ? store_finish_output(e) : r;
}

static int run(struct cmd_env *env, struct err *e)
{
	struct ctx *x = env->ctx;
	struct sizes s = { .a = ARENA_INIT };
	int r;

	if (x->sort && strcmp(x->sort, "self") != 0 && strcmp(x->sort, "closure") != 0)
		return cmd_usage(e, "--sort must be closure or self, not '%s'", x->sort);
	r = print_sizes(x, &s, env, e);
	arena_done(&s.a);
	return r;
}

static const struct cmd_opt options[] = {
	STORE_OPTIONS_BASIC(struct ctx, store),
	{ "json", 0, CMD_FLAG, offsetof(struct ctx, json), NULL, "as JSON, in bytes" },
	{ "sort", 0, CMD_STR, offsetof(struct ctx, sort), "KEY",
	  "largest first by closure (default) or self" },
};

const struct cmd store_cmd_size = {
	.name = "size",
	.synopsis = "PATH...",
	.summary = "what items take, alone and with all that they need",
	.examples = "cairn store size --sort self /run/current-system",
	.help = "For each item of the closure of PATHs: the size of its own closure, and its own "
		"size,\n"
		"both as archives. The total counts each item once. Equal files that are one on "
		"the\n"
		"disk count each time.",
	CMD_OPTS(options),
	.context_size = sizeof(struct ctx),
	.min_args = 1,
	.max_args = SIZE_MAX,
	.run = run,
};
