/* SPDX-License-Identifier: GPL-3.0-or-later */
/* cairn deploy: several machines at a time. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "lib/fd.h"
#include "lib/text.h"
#include "lib/vec.h"
#include "store/store.h"
#include "system/eval.h"
#include "system/remote.h"
#include "system/system.h"

#define LIMIT_MACHINES	1000
#define LIMIT_LOG	(1u << 20)
#define DEFAULT_WORKERS 8
#define SOME_FAILED	4
#define SECOND		1000000000ull

struct ctx {
	struct store_opts store;
	struct sys_eval_opts eval;
	struct vec only;
	bool roll_back, execute, json, boot_only, dry_run;
	uint64_t workers;
};

/* What is done with a machine, in a process of its own; what it prints is kept. */
struct job {
	struct remote_host host;
	uint64_t confirm;
	const char *system; /* NULL: nothing is switched to */
	pid_t pid;	    /* -1: not started or ended */
	int log, answer;    /* descriptors of memory files; -1: none */
	int status;	    /* exit status of the process; -1: not ended */
};

struct answer {
	struct remote_result result;
	int command_status;
	char error[1024]; /* "": none */
};

struct deploy {
	struct sys_eval *ev;
	struct vec jobs; /* struct job, in arena */
	struct arena arena;
	struct store_conn *conn; /* keeps what was built, until all of it is copied; NULL: none */
};

static int no_memory(struct err *e)
{
	return err_set(e, -ENOMEM, "out of memory");
}

/* ---- Machines -------------------------------------------------------------------------------- */

static const char *text_of(const struct deploy *d, size_t i, const char *field)
{
	char key[64];

	snprintf(key, sizeof(key), "%zu %s", i, field);
	return sys_eval_value(d->ev, key);
}

static int read_machine(struct deploy *d, size_t i, struct job **ret, struct err *e)
{
	struct job *j = ARENA_NEW(&d->arena, struct job);
	const char *confirm = text_of(d, i, "confirm");
	char key[24];
	uint64_t ns = 0;

	if (!j)
		return no_memory(e);
	snprintf(key, sizeof(key), "%zu", i);
	*j = (struct job){ .host = { text_of(d, i, "name"), text_of(d, i, "host"),
				     text_of(d, i, "user"), text_of(d, i, "port"),
				     text_of(d, i, "identity"), text_of(d, i, "host_key"),
				     text_of(d, i, "program"), text_of(d, i, "root") },
			   .system = sys_eval_value(d->ev, key),
			   .pid = -1,
			   .log = -1,
			   .answer = -1,
			   .status = -1 };
	if (!confirm || text_duration(slice_of(confirm), &ns) < 0)
		return err_set(e, -ERR_EVAL, "%s: confirm: '%s' is not a time such as 60s or 5min",
			       j->host.name, confirm ? confirm : "");
	j->confirm = ns / SECOND + (ns % SECOND != 0); /* "500ms" is not "0", which is for good */
	*ret = j;
	return remote_host_check(&j->host, e);
}

static bool is_wanted(const struct ctx *c, const char *name)
{
	for (size_t i = 0; i < c->only.n; i++)
		if (strcmp(c->only.v[i], name) == 0)
			return true;
	return c->only.n == 0;
}

static int check_only(const struct ctx *c, const struct deploy *d, struct err *e)
{
	for (size_t i = 0; i < c->only.n; i++) {
		bool found = false;

		for (size_t k = 1; !found && text_of(d, k, "name"); k++)
			found = strcmp(text_of(d, k, "name"), c->only.v[i]) == 0;
		if (!found)
			return err_set(e, -ERR_NOTFOUND, "there is no machine '%s' in the file",
				       (const char *)c->only.v[i]);
	}
	return 0;
}

static int evaluate(struct ctx *c, struct deploy *d, const char *file, struct err *e)
{
	bool switches = !c->roll_back && !c->execute;
	const char *args[] = { "systems=1" };
	struct sys_eval_request req = { .kind = SYS_EVAL_FILE,
					.text = file,
					.apply = "system.deploy",
					.args = args,
					.nargs = switches ? 1 : 0 };
	int r = sys_eval_run(&c->eval, &req, &d->ev, e);

	if (r == 0)
		r = check_only(c, d, e);
	for (size_t i = 1; r == 0 && text_of(d, i, "name"); i++) {
		struct job *j = NULL;

		if (i > LIMIT_MACHINES)
			r = err_set(e, -ERR_LIMIT, "more than %d machines", LIMIT_MACHINES);
		else
			r = read_machine(d, i, &j, e);
		if (r == 0 && is_wanted(c, j->host.name))
			vec_add(&d->jobs, j);
	}
	return r < 0 ? r : d->jobs.err ? no_memory(e) : 0;
}

static int build(const struct ctx *c, struct deploy *d, struct err *e)
{
	auto_vec struct vec things = VEC_INIT;
	int r = store_open(&c->store, &d->conn, e);

	if (r == 0)
		r = sys_eval_add(d->ev, d->conn, e);
	for (size_t i = 0; r == 0 && i < sys_eval_count(d->ev); i++) {
		const struct sys_eval_result *x = sys_eval_at(d->ev, i);

		if (x->drv)
			vec_add(&things, arena_fmt(&d->arena, "%s!%s", x->drv, x->output));
	}
	if (r == 0 && (things.err || arena_err(&d->arena)))
		r = no_memory(e);
	if (r == 0 && things.n)
		r = store_build(d->conn, (const char *const *)things.v, things.n, e);
	for (size_t i = 0; r == 0 && !c->dry_run && i < d->jobs.n; i++) {
		const struct job *j = d->jobs.v[i];

		if (j->system)
			r = store_add_temp_root(d->conn, j->system, e);
	}
	return r;
}

/* ---- One machine, in a process of its own ---------------------------------------------------- */

static int work(const struct ctx *c, const struct job *j, const char *command, struct answer *a,
		struct err *e)
{
	const struct remote_opts o = { &c->store, c->boot_only ? 0 : j->confirm, c->boot_only };
	int r = 0;

	if (command) {
		r = remote_run(&j->host, command, &a->command_status, e);
		if (r == 0 && a->command_status)
			r = err_set(e, -ERR_REMOTE, "status %d", a->command_status);
		return r;
	}
	if (j->system)
		r = remote_copy(&j->host, &o, j->system, e);
	return r < 0 ? r : remote_switch(&j->host, &o, j->system, &a->result, e);
}

static void __attribute__((noreturn))
child(const struct ctx *c, const struct job *j, const char *command)
{
	struct answer a = { 0 };
	struct err e = ERR_INIT;
	int r = -1;

	if (dup2(j->log, STDOUT_FILENO) >= 0 && dup2(j->log, STDERR_FILENO) >= 0)
		r = work(c, j, command, &a, &e);
	if (r < 0)
		snprintf(a.error, sizeof(a.error), "%s", e.msg[0] ? e.msg : "it did not start");
	(void)fd_write_full(j->answer, &a, sizeof(a)); /* missing, it is a failure */
	_exit(r < 0 ? 1 : 0);
}

static int start(const struct ctx *c, struct job *j, const char *command, struct err *e)
{
	j->log = memfd_create("log", MFD_CLOEXEC);
	j->answer = memfd_create("answer", MFD_CLOEXEC);
	if (j->log < 0 || j->answer < 0)
		return err_sys(e, "%s", j->host.name);
	(void)fflush(NULL);
	j->pid = fork();
	if (j->pid == 0)
		child(c, j, command);
	return j->pid < 0 ? err_sys(e, "%s", j->host.name) : 0;
}

/* ---- What came of it ------------------------------------------------------------------------- */

static void read_answer(const struct job *j, struct answer *a)
{
	*a = (struct answer){ .error = "it ended without an answer" };
	if (lseek(j->answer, 0, SEEK_SET) == 0 && fd_read_full(j->answer, a, sizeof(*a)) < 0)
		*a = (struct answer){ .error = "it ended without an answer" };
	a->error[sizeof(a->error) - 1] = '\0';
}

/* What it printed, behind its name. */
static void add_log(const struct job *j, struct str *out)
{
	auto_str struct str text = STR_INIT;
	struct slice rest, line;
	off_t size = lseek(j->log, 0, SEEK_END);
	off_t from = size > (off_t)LIMIT_LOG ? size - (off_t)LIMIT_LOG : 0;

	if (size < 0 || lseek(j->log, from, SEEK_SET) < 0 ||
	    fd_read_all(j->log, &text, LIMIT_LOG) < 0)
		return;
	if (from)
		str_addf(out, "%s| ... %llu bytes before this are left out\n", j->host.name,
			 (unsigned long long)from);
	rest = slice_trim(str_slice(&text));
	while (rest.n && slice_cut(&rest, '\n', &line)) {
		str_addf(out, "%s| ", j->host.name);
		text_safe(out, line);
		str_addc(out, '\n');
	}
}

static void add_text(const struct job *j, const struct answer *a, struct str *out)
{
	const struct remote_result *x = &a->result;

	str_addf(out, "%s: ", j->host.name);
	if (a->error[0])
		str_addf(out, "failed: %s\n", a->error);
	else if (!x->to)
		str_add(out, "done\n");
	else if (x->unchanged)
		str_addf(out, "generation %u, as before\n", x->to);
	else
		str_addf(out, "generation %u -> %u%s\n", x->from, x->to,
			 x->confirmed ? ", confirmed" : "");
}

static void add_json(const struct job *j, const struct answer *a, struct str *out)
{
	str_add(out, out->len ? ",\n{\"name\":" : "{\"name\":");
	text_json(out, slice_of(j->host.name));
	str_addf(out, ",\"ok\":%s,\"from\":%u,\"to\":%u,\"confirmed\":%s,\"status\":%d,\"error\":",
		 a->error[0] ? "false" : "true", a->result.from, a->result.to,
		 a->result.confirmed ? "true" : "false", a->command_status);
	if (a->error[0])
		text_json(out, slice_of(a->error));
	else
		str_add(out, "null");
	str_addc(out, '}');
}

/* A line as soon as a machine is done; its output where it failed, or was asked for. */
static void tell(const struct ctx *c, const struct job *j, struct str *json)
{
	auto_str struct str line = STR_INIT, log = STR_INIT;
	struct answer a;

	read_answer(j, &a);
	if (a.error[0] || c->execute || c->store.verbose)
		add_log(j, &log);
	if (c->json)
		add_json(j, &a, json);
	else
		add_text(j, &a, &line);
	if (c->execute && !c->json) {
		fputs(log.buf, stdout);
		log.len = 0;
	}
	if (log.len)
		fputs(log.buf, stderr);
	fputs(line.buf, stdout);
	(void)fflush(stdout); /* asked again at the end */
}

static struct job *find_job(struct deploy *d, pid_t pid)
{
	for (size_t i = 0; i < d->jobs.n; i++)
		if (((struct job *)d->jobs.v[i])->pid == pid)
			return d->jobs.v[i];
	return NULL;
}

/* Wait for one of them. */
static int reap(const struct ctx *c, struct deploy *d, struct str *json, bool *ret_failed,
		struct err *e)
{
	struct job *j;
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, 0)) < 0 && errno == EINTR)
		;
	if (pid < 0)
		return err_sys(e, "wait");
	j = find_job(d, pid);
	if (!j)
		return 0;
	j->pid = -1;
	j->status = WIFEXITED(status) ? WEXITSTATUS(status) : 1;
	*ret_failed = *ret_failed || j->status != 0;
	tell(c, j, json);
	fd_close(&j->log);
	fd_close(&j->answer);
	return 0;
}

static int run_all(const struct ctx *c, struct deploy *d, const char *command, bool *ret_failed,
		   struct err *e)
{
	const size_t most = c->workers ? c->workers : DEFAULT_WORKERS;
	auto_str struct str json = STR_INIT;
	size_t next = 0, running = 0;
	int r = 0;

	while ((r == 0 && next < d->jobs.n) || running) {
		if (r == 0 && next < d->jobs.n && running < most) {
			r = start(c, d->jobs.v[next++], command, e);
			running += r == 0;
			continue;
		}
		if (reap(c, d, &json, ret_failed, e) < 0)
			return e->code;
		running--;
	}
	if (r == 0 && str_err(&json))
		r = no_memory(e);
	if (r == 0 && c->json)
		printf("[%s]\n", json.buf);
	return r < 0 ? r : fflush(stdout) == EOF ? err_sys(e, "standard output") : 0;
}

/* ---- The command ----------------------------------------------------------------------------- */

static void add_plan(const struct ctx *c, const struct job *j, const char *command, struct str *out)
{
	const char *action = c->execute ? "execute" : c->roll_back ? "roll-back" : "switch";
	const char *what = c->execute ? command : c->roll_back ? NULL : j->system;

	if (!c->json) {
		str_addf(out, "%s: ", j->host.name);
		str_add(out, c->execute ? "run " : c->roll_back ? "roll back" : "");
		text_safe(out, slice_of(what ? what : ""));
		str_addc(out, '\n');
		return;
	}
	str_add(out, out->len ? ",\n{\"name\":" : "{\"name\":");
	text_json(out, slice_of(j->host.name));
	str_addf(out, ",\"action\":\"%s\",\"%s\":", action, c->execute ? "command" : "system");
	if (what)
		text_json(out, slice_of(what));
	else
		str_add(out, "null");
	str_addc(out, '}');
}

static int print_plan(const struct ctx *c, const struct deploy *d, const char *command,
		      struct err *e)
{
	auto_str struct str out = STR_INIT;

	for (size_t i = 0; i < d->jobs.n; i++)
		add_plan(c, d->jobs.v[i], command, &out);
	if (str_err(&out))
		return no_memory(e);
	printf(c->json ? "[%s]\n" : "%s", out.buf);
	return fflush(stdout) == EOF ? err_sys(e, "standard output") : 0;
}

static int join_command(struct cmd_env *env, struct str *out, struct err *e)
{
	for (size_t i = 1; i < env->nargs; i++) {
		str_add(out, i > 1 ? " " : "");
		text_shell(out, env->args[i]);
	}
	return str_err(out) ? no_memory(e) : 0;
}

static int deploy(struct cmd_env *env, struct deploy *d, bool *ret_failed, struct err *e)
{
	struct ctx *c = env->ctx;
	auto_str struct str command = STR_INIT;
	int r = join_command(env, &command, e);

	if (r == 0)
		r = evaluate(c, d, env->args[0], e);
	if (r == 0 && !c->roll_back && !c->execute)
		r = build(c, d, e);
	if (r < 0)
		return r;
	if (c->dry_run)
		return print_plan(c, d, command.buf, e);
	return run_all(c, d, c->execute ? command.buf : NULL, ret_failed, e);
}

static int run(struct cmd_env *env, struct err *e)
{
	struct ctx *c = env->ctx;
	struct deploy d = { NULL, VEC_INIT, ARENA_INIT, NULL };
	bool failed = false;
	int r;

	if (c->execute != (env->nargs > 1))
		return cmd_usage(e, "a command goes with -x: cairn deploy -x FILE -- COMMAND");
	if (c->execute && c->roll_back)
		return cmd_usage(e, "-x and --roll-back do not go together");
	c->eval.store_dir = c->store.store_dir;
	r = deploy(env, &d, &failed, e);
	store_close(d.conn);
	sys_eval_free(d.ev);
	vec_done(&d.jobs);
	arena_done(&d.arena);
	return r == 0 && failed ? cmd_exit_with(SOME_FAILED) : r;
}

static const struct cmd_opt options[] = {
	{ "only", 0, CMD_LIST, offsetof(struct ctx, only), "NAME", "this machine alone, or these" },
	{ "roll-back", 0, CMD_FLAG, offsetof(struct ctx, roll_back), NULL,
	  "each to the generation before its current one" },
	{ "execute", 'x', CMD_FLAG, offsetof(struct ctx, execute), NULL,
	  "run a command on each, and switch nothing" },
	{ "boot", 0, CMD_FLAG, offsetof(struct ctx, boot_only), NULL,
	  "take effect at the next boot only, without confirmation" },
	{ "jobs", 'j', CMD_U64, offsetof(struct ctx, workers), "N", "machines at a time (8)" },
	{ "dry-run", 'n', CMD_FLAG, offsetof(struct ctx, dry_run), NULL,
	  "build, and say what would be switched; ask no machine" },
	{ "json", 0, CMD_FLAG, offsetof(struct ctx, json), NULL, "what came of each, as JSON" },
	SYS_EVAL_OPTIONS(struct ctx, eval),
	STORE_OPTIONS_BASIC(struct ctx, store),
	STORE_OPTIONS_BUILD(struct ctx, store),
};

const struct cmd sys_cmd_deploy = {
	.name = "deploy",
	.synopsis = "FILE [-- COMMAND...]",
	.summary = "switch other machines, over OpenSSH",
	.examples = "cairn deploy machines.lua                  all of them; one that cannot be "
		    "reached afterwards goes back\n"
		    "cairn deploy --only web -n machines.lua    what would become of one\n"
		    "cairn deploy -x machines.lua -- uptime     a command on each",
	.help = "FILE is a Lua file that returns a list of machines (doc/deploy.md). All is built\n"
		"here first. A machine goes back by itself unless the switch is confirmed over a\n"
		"new connection. Prints a line for each; the exit status is 4 when one failed.",
	CMD_OPTS(options),
	.context_size = sizeof(struct ctx),
	.min_args = 1,
	.max_args = SIZE_MAX,
	.statuses = &sys_statuses,
	.run = run,
};
