/* SPDX-License-Identifier: GPL-3.0-or-later */
/* cairn service graph, cairn service tree: who needs whom, and how they are. */
#include <errno.h>

#include "init/client.h"
#include "init/commands.h"
#include "init/view.h"
#include "lib/size.h"
#include "lib/text.h"

/* What is shown of the edges of a set; which end is first is as the keys say it. */
static const struct {
	const char *key, *style; /* of dot */
	enum svc_edge kind;
} kinds[] = {
	{ "requires", "", SVC_REQ },
	{ "binds", "penwidth=2", SVC_BIND },
	{ "milestones", "arrowhead=odot", SVC_MILESTONE },
	{ "wants", "style=dashed", SVC_WANT },
	{ "after", "style=dotted,color=gray", SVC_ORDER },
	{ "conflicts", "dir=none,color=red", SVC_CONFLICT },
};

struct picture {
	struct view view;
	struct svc_set *set;
};

static int picture_load(struct picture *p, struct err *e)
{
	char path[LIMIT_PATH];
	int r = client_set(&p->set, path, e);

	if (r == 0)
		r = view_load(&p->view, e);
	if (r < 0) {
		svc_set_free(p->set);
		p->set = NULL;
	}
	return r;
}

static void picture_done(struct picture *p)
{
	view_done(&p->view);
	svc_set_free(p->set);
}

/* A load may have come between the set and the states. */
static const char *state_of(const struct picture *p, size_t i)
{
	const struct init_service *s = view_find(&p->view, p->set->v[i]->name);

	return s ? view_state(s) : "down";
}

static bool has_edge(const struct svc_set *set, size_t i, enum svc_edge kind, uint16_t to)
{
	const struct svc_edges *g = &set->edges[i];

	for (size_t k = 0; k < g->nto[kind]; k++)
		if (g->to[kind][k] == to)
			return true;
	return false;
}

/* An edge that another one says already: to be bound is to be required, and each is an order. */
static bool is_implied(const struct svc_set *set, size_t i, enum svc_edge kind, uint16_t to)
{
	if (kind == SVC_REQ)
		return has_edge(set, i, SVC_BIND, to);
	return kind == SVC_ORDER &&
	       (has_edge(set, i, SVC_REQ, to) || has_edge(set, i, SVC_WANT, to) ||
		has_edge(set, i, SVC_MILESTONE, to));
}

/* ---- graph -----------------------------------------------------------------------------------*/

struct graph_ctx {
	bool json;
};

static const struct cmd_opt graph_opts[] = {
	{ "json", 0, CMD_FLAG, offsetof(struct graph_ctx, json), NULL, "machine-readable output" },
};

static const char *color_of(char mark)
{
	return mark == '+'   ? "palegreen"
	       : mark == '!' ? "tomato"
	       : mark == '*' ? "khaki"
	       : mark == '=' ? "lightblue"
			     : "white";
}

static void add_node(struct str *out, const struct picture *p, size_t i, bool json)
{
	const struct svc_def *d = p->set->v[i];
	const char *state = state_of(p, i);

	if (json) {
		str_add(out, i ? ",\n{" : "{");
		view_json_text(out, "name", d->name);
		str_addc(out, ',');
		view_json_text(out, "state", state);
		str_addc(out, '}');
	} else {
		str_addf(out, "\t\"%s\" [fillcolor=%s%s,tooltip=\"%s\"];\n", d->name,
			 color_of(view_mark(state)),
			 d->type == SVC_ONESHOT ? ",shape=ellipse"
			 : d->type == SVC_GROUP ? ",shape=folder"
						: "",
			 state);
	}
}

static void add_edges(struct str *out, const struct picture *p, size_t i, bool json, bool *first)
{
	const struct svc_edges *g = &p->set->edges[i];
	const char *from = p->set->v[i]->name;

	for (size_t k = 0; k < ARRAY_LEN(kinds); k++) {
		enum svc_edge kind = kinds[k].kind;
		for (size_t n = 0; n < g->nto[kind]; n++) {
			const char *to = p->set->v[g->to[kind][n]]->name;
			if (is_implied(p->set, i, kind, g->to[kind][n]))
				continue;
			if (json)
				str_addf(out, "%s{\"from\":\"%s\",\"to\":\"%s\",\"kind\":\"%s\"}",
					 *first ? "" : ",\n", from, to, kinds[k].key);
			else
				str_addf(out, "\t\"%s\" -> \"%s\" [%s];\n", from, to,
					 kinds[k].style);
			*first = false;
		}
	}
}

static int run_graph(struct cmd_env *env, struct err *e)
{
	bool json = ((const struct graph_ctx *)env->ctx)->json, first = true;
	auto_str struct str out = STR_INIT;
	struct picture p = { 0 };
	int r = picture_load(&p, e);

	if (r < 0)
		return r;
	str_add(&out, json ? "{\"services\":["
			   : "digraph services {\n\trankdir=LR;\n"
			     "\tnode [shape=box,style=filled,fontname=sans];\n");
	for (size_t i = 0; i < p.set->n; i++)
		add_node(&out, &p, i, json);
	str_add(&out, json ? "],\n\"edges\":[" : "");
	for (size_t i = 0; i < p.set->n; i++)
		add_edges(&out, &p, i, json, &first);
	str_add(&out, json ? "]}\n" : "}\n");
	picture_done(&p);
	return view_print(&out, e);
}

const struct cmd service_cmd_graph = {
	.name = "graph",
	.summary = "print the graph of the services for dot",
	.examples = "cairn service graph | dot -Tsvg -o services.svg",
	.help = "cairn service graph | dot -Tsvg -o services.svg",
	CMD_OPTS(graph_opts),
	.context_size = sizeof(struct graph_ctx),
	.run = run_graph,
};

/* ---- tree ------------------------------------------------------------------------------------*/

struct tree_ctx {
	bool json, reverse;
};

static const struct cmd_opt tree_opts[] = {
	{ "json", 0, CMD_FLAG, offsetof(struct tree_ctx, json), NULL, "machine-readable output" },
	{ "reverse", 'r', CMD_FLAG, offsetof(struct tree_ctx, reverse), NULL,
	  "who needs a service, not what it needs" },
};

struct tree {
	const struct picture *p;
	bool json, reverse;
	uint8_t *shown; /* by index: its branches were printed */
	struct str out, indent;
};

static bool pulls(enum svc_edge kind)
{
	return kind == SVC_REQ || kind == SVC_WANT || kind == SVC_MILESTONE;
}

/* The n-th service below i, as the keys have them. false: there is none. */
static bool branch(const struct tree *t, size_t i, size_t n, size_t *ret)
{
	const struct svc_edges *g = &t->p->set->edges[i];

	for (size_t k = 0; k < ARRAY_LEN(kinds); k++) {
		enum svc_edge kind = kinds[k].kind;
		size_t count = t->reverse ? g->nfrom[kind] : g->nto[kind];
		if (!pulls(kind))
			continue;
		if (n < count) {
			*ret = t->reverse ? g->from[kind][n] : g->to[kind][n];
			return true;
		}
		n -= count;
	}
	return false;
}

/* A chain may be as long as there are services; who comes twice has its branches only once. */
static void add_tree(struct tree *t, size_t i)
{
	const char *state = state_of(t->p, i), *name = t->p->set->v[i]->name;
	size_t n = 0, other, next, width = t->indent.len;
	bool again = t->shown[i];

	if (t->json) {
		str_addc(&t->out, '{');
		view_json_text(&t->out, "name", name);
		str_addc(&t->out, ',');
		view_json_text(&t->out, "state", state);
		str_add(&t->out, again ? ",\"again\":true,\"below\":[" : ",\"below\":[");
	} else {
		str_addf(&t->out, "%c %s", view_mark(state), name);
		if (strcmp(state, "up") != 0)
			str_addf(&t->out, " (%s)", state);
		str_add(&t->out, again && branch(t, i, 0, &other) ? " …\n" : "\n");
	}
	t->shown[i] = true;
	while (!again && branch(t, i, n, &other)) {
		bool last = !branch(t, i, n + 1, &next);
		if (t->json)
			str_add(&t->out, n ? "," : "");
		else
			str_addf(&t->out, "%s%s", t->indent.buf, last ? "`- " : "|- ");
		str_add(&t->indent, last ? "   " : "|  ");
		add_tree(t, other);
		str_cut(&t->indent, width);
		n++;
	}
	if (t->json)
		str_add(&t->out, "]}");
}

static bool is_root(const struct tree *t, size_t i)
{
	struct tree other = *t;
	size_t ignored;

	other.reverse = !t->reverse;
	return !branch(&other, i, 0, &ignored);
}

static void add_root(struct tree *t, size_t i, bool *first)
{
	str_add(&t->out, t->json && !*first ? ",\n" : "");
	*first = false;
	add_tree(t, i);
}

static int add_roots(struct tree *t, const struct cmd_env *env, struct err *e)
{
	const struct svc_set *set = t->p->set;
	bool first = true;

	for (size_t k = 0; k < env->nargs; k++) {
		int i = svc_set_find(set, slice_of(env->args[k]));
		if (i < 0)
			return err_set(e, -ERR_NOTFOUND, "no service '%s'", env->args[k]);
		memset(t->shown, 0, set->n);
		add_root(t, (size_t)i, &first);
	}
	/* Those that nobody pulls in; then, should there be a circle of wishes, what is left. */
	for (int pass = 0; env->nargs == 0 && pass < 2; pass++)
		for (size_t i = 0; i < set->n; i++)
			if (!t->shown[i] && (pass || is_root(t, i)))
				add_root(t, i, &first);
	return 0;
}

static int run_tree(struct cmd_env *env, struct err *e)
{
	const struct tree_ctx *ctx = env->ctx;
	struct picture p = { 0 };
	int r = picture_load(&p, e);

	if (r < 0)
		return r;
	struct tree t = { .p = &p,
			  .json = ctx->json,
			  .reverse = ctx->reverse,
			  .shown = calloc(p.set->n + 1, 1),
			  .out = STR_INIT,
			  .indent = STR_INIT };
	str_add(&t.out, t.json ? "[" : "");
	r = t.shown ? add_roots(&t, env, e) : err_num(e, -ENOMEM, "tree");
	str_add(&t.out, t.json ? "]\n" : "");
	if (r == 0)
		r = view_print(&t.out, e);
	free(t.shown);
	str_done(&t.out);
	str_done(&t.indent);
	picture_done(&p);
	return r;
}

const struct cmd service_cmd_tree = {
	.name = "tree",
	.synopsis = "[SERVICE...]",
	.operands = view_names,
	.summary = "print what services need, as a tree",
	.examples = "cairn service tree --reverse networks    who needs it",
	.help = "Marks: + up, - down, ! failed, = done, * on its way. Without SERVICE: all that "
		"no\n"
		"other pulls in. A name followed by an ellipsis has its branches above.",
	CMD_OPTS(tree_opts),
	.context_size = sizeof(struct tree_ctx),
	.max_args = SIZE_MAX,
	.run = run_tree,
};
