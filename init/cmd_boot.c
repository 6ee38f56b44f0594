/* SPDX-License-Identifier: GPL-3.0-or-later */
/* cairn service blame, cairn service timeline: where the time of a boot went. */
#include <errno.h>

#include "init/client.h"
#include "init/commands.h"
#include "init/view.h"
#include "lib/size.h"
#include "lib/text.h"

#define MS	  1000000ull
#define BAR_WIDTH 40

/* A service during the boot; times in ms since the kernel's start. */
struct span {
	const struct init_service *s; /* of the view */
	size_t index;		      /* in the set */
	uint64_t begun, ready;	      /* ready 0: it did not come up */
	bool critical;		      /* of the chain that the boot had to wait for */
};

struct boot {
	struct init_info info;
	struct view view;
	struct svc_set *set;
	struct span *v; /* owned; by the time of their start */
	size_t n;
	uint64_t start, end; /* of what is shown: PID 1's start; settled, or the last service */
	struct span **chain; /* owned; the last to be ready first */
	size_t nchain;
};

static int by_begin(const void *a, const void *b)
{
	const struct span *x = a, *y = b;

	if (x->begun != y->begun)
		return x->begun < y->begun ? -1 : 1;
	return x->index < y->index ? -1 : x->index > y->index;
}

static int by_duration(const void *a, const void *b)
{
	const struct span *x = a, *y = b;
	uint64_t dx = x->ready ? x->ready - x->begun : 0, dy = y->ready ? y->ready - y->begun : 0;

	return dx != dy ? (dx < dy ? 1 : -1) : by_begin(a, b);
}

/* What started before the boot was over. */
static void collect(struct boot *b)
{
	uint64_t settled = b->info.settled / MS;

	for (size_t i = 0; i < b->set->n; i++) {
		const struct init_service *s = view_find(&b->view, b->set->v[i]->name);
		uint64_t begun = s ? s->begun ? s->begun : s->ready : 0;
		if (!begun || (settled && begun > settled))
			continue;
		struct span *x = &b->v[b->n++];
		*x = (struct span){ .s = s, .index = i, .begun = begun, .ready = s->ready };
		if (settled && x->ready > settled)
			x->ready = 0;
		b->end = MAX_OF(b->end, MAX_OF(x->begun, x->ready));
	}
	b->start = b->info.start / MS;
	if (settled)
		b->end = settled;
	qsort(b->v, b->n, sizeof(*b->v), by_begin);
}

static struct span *find_span(const struct boot *b, size_t index)
{
	for (size_t i = 0; i < b->n; i++)
		if (b->v[i].index == index)
			return &b->v[i];
	return NULL;
}

/* The one of those before x that x waited for: the last to be ready, before x was started. */
static struct span *waited_for(const struct boot *b, const struct span *x)
{
	const struct svc_edges *g = &b->set->edges[x->index];
	struct span *last = NULL;

	for (size_t k = 0; k < g->nto[SVC_ORDER]; k++) {
		struct span *o = find_span(b, g->to[SVC_ORDER][k]);
		if (o && o->ready && o->ready <= x->begun && !o->critical &&
		    (!last || o->ready > last->ready))
			last = o;
	}
	return last;
}

static void find_chain(struct boot *b)
{
	struct span *x = NULL;

	for (size_t i = 0; i < b->n;
	     i++) /* of those ready in the same millisecond the one begun last */
		if (b->v[i].ready && (!x || b->v[i].ready >= x->ready))
			x = &b->v[i];
	for (; x; x = waited_for(b, x)) {
		x->critical = true;
		b->chain[b->nchain++] = x;
	}
}

static int boot_load(struct boot *b, struct err *e)
{
	char path[LIMIT_PATH];
	int r = init_client_info(&b->info, e);

	if (r == 0)
		r = client_set(&b->set, path, e);
	if (r == 0)
		r = view_load(&b->view, e);
	if (r < 0)
		return r;
	b->v = calloc(b->set->n + 1, sizeof(*b->v));
	b->chain = calloc(b->set->n + 1, sizeof(struct span *));
	if (!b->v || !b->chain)
		return err_num(e, -ENOMEM, "boot");
	collect(b);
	find_chain(b);
	return 0;
}

static void boot_done(struct boot *b)
{
	free(b->v);
	free(b->chain);
	view_done(&b->view);
	svc_set_free(b->set);
}

static void add_seconds(struct str *out, uint64_t ms)
{
	str_addf(out, "%llu.%03llu s", (unsigned long long)(ms / 1000),
		 (unsigned long long)(ms % 1000));
}

static void add_span_json(struct str *out, const struct span *x)
{
	str_addc(out, '{');
	view_json_text(out, "name", x->s->name);
	str_addc(out, ',');
	view_json_number(out, "begun_ms", x->begun);
	if (x->ready) {
		str_addc(out, ',');
		view_json_number(out, "ready_ms", x->ready);
		str_addc(out, ',');
		view_json_number(out, "took_ms", x->ready - x->begun);
	}
	str_addc(out, ',');
	view_json_flag(out, "critical", x->critical);
	str_addc(out, '}');
}

/* ---- blame -----------------------------------------------------------------------------------*/

struct blame_ctx {
	bool json;
};

static const struct cmd_opt blame_opts[] = {
	{ "json", 0, CMD_FLAG, offsetof(struct blame_ctx, json), NULL, "machine-readable output" },
};

static int run_blame(struct cmd_env *env, struct err *e)
{
	bool json = ((const struct blame_ctx *)env->ctx)->json;
	auto_str struct str out = STR_INIT;
	struct boot b = { 0 };
	int r = boot_load(&b, e);

	if (r == 0)
		qsort(b.v, b.n, sizeof(*b.v), by_duration);
	str_add(&out, json ? "[" : "");
	for (size_t i = 0; r == 0 && i < b.n; i++) {
		const struct span *x = &b.v[i];
		if (json) {
			str_add(&out, i ? ",\n" : "");
			add_span_json(&out, x);
		} else if (x->ready) {
			uint64_t ms = x->ready - x->begun;
			str_addf(&out, "%5llu.%03llu s  %s\n", (unsigned long long)(ms / 1000),
				 (unsigned long long)(ms % 1000), x->s->name);
		} else {
			str_addf(&out, "          -  %s (%s)\n", x->s->name, view_state(x->s));
		}
	}
	str_add(&out, json ? "]\n" : "");
	if (r == 0)
		r = view_print(&out, e);
	boot_done(&b);
	return r;
}

const struct cmd service_cmd_blame = {
	.name = "blame",
	.summary = "list how long each service took to come up at boot",
	.examples = "cairn service blame",
	CMD_OPTS(blame_opts),
	.context_size = sizeof(struct blame_ctx),
	.run = run_blame,
};

/* ---- timeline --------------------------------------------------------------------------------*/

struct timeline_ctx {
	bool json, svg;
};

static const struct cmd_opt timeline_opts[] = {
	{ "json", 0, CMD_FLAG, offsetof(struct timeline_ctx, json), NULL,
	  "machine-readable output" },
	{ "svg", 0, CMD_FLAG, offsetof(struct timeline_ctx, svg), NULL, "a picture" },
};

static void timeline_json(struct str *out, const struct boot *b)
{
	str_addc(out, '{');
	view_json_number(out, "start_ms", b->start);
	str_addc(out, ',');
	view_json_number(out, "settled_ms", b->info.settled / MS);
	str_add(out, ",\"services\":[");
	for (size_t i = 0; i < b->n; i++) {
		str_add(out, i ? ",\n" : "");
		add_span_json(out, &b->v[i]);
	}
	str_add(out, "],\n\"critical_chain\":[");
	for (size_t i = b->nchain; i > 0; i--) {
		text_json(out, slice_of(b->chain[i - 1]->s->name));
		str_add(out, i > 1 ? "," : "");
	}
	str_add(out, "]}\n");
}

/* Where a moment is on a line of so many places. */
static uint64_t place_of(const struct boot *b, uint64_t ms, uint64_t width)
{
	uint64_t all = b->end > b->start ? b->end - b->start : 1,
		 at = ms > b->start ? ms - b->start : 0;

	return MIN_OF(at, all) * width / all;
}

static void add_bar(struct str *out, const struct boot *b, const struct span *x)
{
	uint64_t from = place_of(b, x->begun, BAR_WIDTH - 1);
	uint64_t to = place_of(b, x->ready ? x->ready : b->end, BAR_WIDTH - 1);

	for (uint64_t i = 0; i < BAR_WIDTH; i++)
		str_addc(out, i < from || i > to ? ' ' : !x->ready ? '?' : x->critical ? '#' : '=');
}

static void timeline_text(struct str *out, const struct boot *b)
{
	str_add(out, "PID 1 began ");
	add_seconds(out, b->start);
	str_add(out, " after the kernel; ");
	if (b->info.settled) {
		str_add(out, "all was settled ");
		add_seconds(out, b->end - b->start);
		str_add(out, " later\n\n");
	} else {
		str_add(out, "the boot is not over\n\n");
	}
	str_addf(out, "%9s %9s  %-*s  %s\n", "START", "TOOK", BAR_WIDTH, "", "SERVICE");
	for (size_t i = 0; i < b->n; i++) {
		const struct span *x = &b->v[i];
		uint64_t at = x->begun > b->start ? x->begun - b->start : 0;
		str_addf(out, "%5llu.%03llu ", (unsigned long long)(at / 1000),
			 (unsigned long long)(at % 1000));
		if (x->ready)
			str_addf(out, "%5llu.%03llu  ",
				 (unsigned long long)((x->ready - x->begun) / 1000),
				 (unsigned long long)((x->ready - x->begun) % 1000));
		else
			str_addf(out, "%9s  ", "-");
		add_bar(out, b, x);
		str_addf(out, "  %s\n", x->s->name);
	}
	str_add(out, "\nThe chain that the boot waited for (#):\n");
	for (size_t i = b->nchain; i > 0; i--) {
		const struct span *x = b->chain[i - 1];
		str_addf(out, "  %s  +", x->s->name);
		add_seconds(out, x->ready - x->begun);
		str_add(out, "\n");
	}
}

#define SVG_LEFT  220
#define SVG_WIDTH 760
#define SVG_ROW	  18
#define SVG_TOP	  40

/* A line each tenth of the whole. */
static void svg_axis(struct str *out, const struct boot *b)
{
	uint64_t all = b->end > b->start ? b->end - b->start : 1;

	for (unsigned i = 0; i <= 10; i++) {
		unsigned x = SVG_LEFT + SVG_WIDTH * i / 10;
		str_addf(out, "<path d=\"M%u %u V%zu\" stroke=\"#ddd\"/>\n<text x=\"%u\" y=\"%u\">",
			 x, SVG_TOP - 8, SVG_TOP + b->n * SVG_ROW, x - 14, SVG_TOP - 14);
		add_seconds(out, all * i / 10);
		str_add(out, "</text>\n");
	}
}

/* Names need no quoting: they are made of letters, digits and a few signs. */
static void timeline_svg(struct str *out, const struct boot *b)
{
	str_addf(out,
		 "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%u\" height=\"%zu\" "
		 "font-family=\"sans-serif\" font-size=\"11\">\n"
		 "<rect width=\"100%%\" height=\"100%%\" fill=\"white\"/>\n",
		 SVG_LEFT + SVG_WIDTH + 60, SVG_TOP + b->n * SVG_ROW + 20);
	svg_axis(out, b);
	for (size_t i = 0; i < b->n; i++) {
		const struct span *x = &b->v[i];
		uint64_t from = place_of(b, x->begun, SVG_WIDTH);
		uint64_t to = place_of(b, x->ready ? x->ready : b->end, SVG_WIDTH);
		size_t y = SVG_TOP + i * SVG_ROW;
		str_addf(out,
			 "<text x=\"%u\" y=\"%zu\" text-anchor=\"end\">%s</text>\n"
			 "<rect x=\"%llu\" y=\"%zu\" width=\"%llu\" height=\"%u\" "
			 "fill=\"%s\"><title>%s: ",
			 SVG_LEFT - 8, y + 12, x->s->name, (unsigned long long)(SVG_LEFT + from),
			 y + 2, (unsigned long long)MAX_OF(to - from, 1ull), SVG_ROW - 5,
			 !x->ready     ? "#bbb"
			 : x->critical ? "#c33"
				       : "#48a",
			 x->s->name);
		if (x->ready)
			add_seconds(out, x->ready - x->begun);
		else
			str_add(out, view_state(x->s));
		str_add(out, "</title></rect>\n");
	}
	str_add(out, "</svg>\n");
}

static int run_timeline(struct cmd_env *env, struct err *e)
{
	const struct timeline_ctx *ctx = env->ctx;
	auto_str struct str out = STR_INIT;
	struct boot b = { 0 };
	int r = boot_load(&b, e);

	if (r == 0) {
		(ctx->json ? timeline_json : ctx->svg ? timeline_svg : timeline_text)(&out, &b);
		r = view_print(&out, e);
	}
	boot_done(&b);
	return r;
}

const struct cmd service_cmd_timeline = {
	.name = "timeline",
	.summary = "show when each service came up at boot, and what the boot waited for",
	.examples = "cairn service timeline --svg >boot.svg",
	CMD_OPTS(timeline_opts),
	.context_size = sizeof(struct timeline_ctx),
	.run = run_timeline,
};
