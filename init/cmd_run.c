/* SPDX-License-Identifier: GPL-3.0-or-later */
/* cairn service run: a command as a service, without writing it into a set. */
#include <errno.h>
#include <sys/wait.h>
#include <time.h>

#include "init/commands.h"
#include "init/init.h"
#include "lib/fd.h"
#include "lib/text.h"

struct run_ctx {
	const char *name;
	struct vec properties, variables;
	bool wait, pipe;
};

static const struct cmd_opt run_opts[] = {
	{ "env", 'E', CMD_LIST, offsetof(struct run_ctx, variables), "NAME[=VALUE]",
	  "a variable of its environment; without VALUE that of this command" },
	{ "name", 0, CMD_STR, offsetof(struct run_ctx, name), "NAME",
	  "name of the service [run-…]" },
	{ "pipe", 'P', CMD_FLAG, offsetof(struct run_ctx, pipe), NULL,
	  "its 0, 1 and 2 are those of this command; implies --wait" },
	{ "property", 'p', CMD_LIST, offsetof(struct run_ctx, properties), "KEY=VALUE",
	  "a line of its definition" },
	{ "wait", 'w', CMD_FLAG, offsetof(struct run_ctx, wait), NULL,
	  "wait for its end, and exit with its status" },
};

/* One word of a definition: quoted, so that nothing in it means anything. */
static void add_word(struct str *out, const char *word)
{
	str_addc(out, '"');
	for (const unsigned char *p = (const unsigned char *)word; *p; p++) {
		if (*p == '"' || *p == '\\')
			str_addf(out, "\\%c", *p);
		else if (*p < ' ')
			str_addf(out, "\\x%02x", *p);
		else
			str_addc(out, (char)*p);
	}
	str_add(out, "\" ");
}

/* The program as an absolute path: PID 1 looks nothing up. */
static int find_program(const char *word, struct str *out, struct err *e)
{
	const char *path = getenv("PATH");
	struct slice rest = slice_of(path ? path : "/bin:/usr/bin"), dir;

	if (strchr(word, '/')) {
		auto_free char *full = realpath(word, NULL);
		if (!full)
			return err_sys(e, "%s", word);
		/* As it was given if it can be: some programs go by their name. */
		str_add(out, word[0] == '/' ? word : full);
		return str_err(out);
	}
	while (slice_cut(&rest, ':', &dir)) {
		str_cut(out, 0);
		if (dir.n == 0 || dir.p[0] != '/')
			continue;
		str_addf(out, "%.*s/%s", (int)dir.n, dir.p, word);
		if (str_err(out) || access(out->buf, X_OK) == 0)
			return str_err(out);
	}
	return err_set(e, -ERR_NOTFOUND, "no program '%s' in PATH", word);
}

static bool has_property(const struct vec *v, const char *key)
{
	size_t n = strlen(key);

	for (size_t i = 0; i < v->n; i++)
		if (strncmp(v->v[i], key, n) == 0 && strchr("= ", ((char *)v->v[i])[n]))
			return true;
	return false;
}

/* A value that is not on the command line is seen by nobody else. */
static int add_variables(const struct vec *v, struct str *out, struct err *e)
{
	for (size_t i = 0; i < v->n; i++) {
		const char *word = v->v[i];
		const char *value = strchr(word, '=') ? "" : getenv(word);
		if (!value)
			return err_set(e, -ERR_USAGE, "--env %s: there is no such variable here",
				       word);
		auto_str struct str both = STR_INIT;
		str_addf(&both, "%s%s%s", word, strchr(word, '=') ? "" : "=", value);
		if (str_err(&both))
			return err_num(e, str_err(&both), "definition");
		str_add(out, "environment = ");
		add_word(out, both.buf);
		str_addc(out, '\n');
	}
	return 0;
}

static int compose(const struct cmd_env *env, const char *name, struct str *out, struct err *e)
{
	const struct run_ctx *ctx = env->ctx;
	auto_str struct str program = STR_INIT;
	int r = find_program(env->args[0], &program, e);

	if (r < 0)
		return r;
	str_addf(out, "[service %s]\nexec = ", name);
	add_word(out, program.buf);
	for (size_t i = 1; i < env->nargs; i++)
		add_word(out, env->args[i]);
	str_addc(out, '\n');
	if (!has_property(&ctx->properties, "restart") &&
	    !has_property(&ctx->properties, "every") && !has_property(&ctx->properties, "calendar"))
		str_add(out, "restart = never\n");
	for (size_t i = 0; i < ctx->properties.n; i++) {
		const char *p = ctx->properties.v[i];
		if (!strchr(p, '=') || strchr(p, '\n') || p[strlen(p) - 1] == '\\')
			return err_set(e, -ERR_USAGE, "property '%s' is not KEY=VALUE in one line",
				       p);
		str_addf(out, "%s\n", p);
	}
	r = add_variables(&ctx->variables, out, e);
	if (r < 0)
		return r;
	return str_err(out) ? err_num(e, str_err(out), "definition") : 0;
}

struct result {
	int status; /* of the command that ran */
	bool ended;
	char why[200];
};

static int take_result(void *arg, const struct init_service *s)
{
	struct result *res = arg;

	res->ended = s->ended;
	res->status = s->exit_status;
	snprintf(res->why, sizeof(res->why), "%s", s->why);
	return 0;
}

static int run_run(struct cmd_env *env, struct err *e)
{
	const struct run_ctx *ctx = env->ctx;
	static const int stdio[3] = { 0, 1, 2 };
	bool wait = ctx->wait || ctx->pipe;
	auto_str struct str text = STR_INIT;
	char made[64];
	struct result res = { 0 };
	const char *name = ctx->name;

	snprintf(made, sizeof(made), "run-%d-%lld", (int)getpid(), (long long)time(NULL));
	if (!name)
		name = made;
	int r = compose(env, name, &text, e);
	if (r == 0)
		r = init_client_run(text.buf, wait, ctx->pipe ? stdio : NULL, e);
	if (r < 0)
		return r;
	if (!wait) {
		printf("%s\n", name);
		return fflush(stdout) ? err_sys(e, "standard output") : 0;
	}
	r = init_client_status(name, take_result, &res, e);
	if (r < 0)
		return r;
	if (!res.ended)
		return err_set(e, -ECANCELED, "%s did not run: %s", name, res.why);
	int status = WIFEXITED(res.status) ? WEXITSTATUS(res.status) : 128 + WTERMSIG(res.status);
	return status ? cmd_exit_with(status) : 0;
}

const struct cmd service_cmd_run = {
	.name = "run",
	.synopsis = "[--] COMMAND...",
	.summary = "run a command as a service",
	.examples =
		"cairn service run --name backup tar cf /mnt/home.tar /home\n"
		"cairn service run --wait -p memory-max=100M make    its status is this command's",
	.help = "The service is there until a set with one of its name is loaded, or others\n"
		"need its place after it ended. Without --pipe its output is in its log. Only\n"
		"root sees its environment; \"--env NAME\" keeps a value off the command line.",
	CMD_OPTS(run_opts),
	.context_size = sizeof(struct run_ctx),
	.min_args = 1,
	.max_args = SIZE_MAX,
	.raw_options = true,
	.run = run_run,
};
