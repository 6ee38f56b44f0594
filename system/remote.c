/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "system/remote.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>

#include "lib/fd.h"
#include "lib/path.h"
#include "lib/proc.h"
#include "lib/size.h"
#include "lib/text.h"
#include "lib/vec.h"
#include "system/generation.h"

#define LIMIT_ANSWER	 (8u << 20)
#define CONNECT_SECONDS	 15
#define SSH_FAILED	 255 /* status of ssh when it is ssh that failed */
#define CONFIRM_PAUSE_MS 500
#define CONFIRM_BUSY_MS	 5000 /* the longest pause where it answers */
#define CONFIRM_LATE	 5    /* how a confirm ends when the machine has gone back */

static int no_memory(struct err *e)
{
	return err_set(e, -ENOMEM, "out of memory");
}

/* ---- Addresses ------------------------------------------------------------------------------- */

int remote_host_check(const struct remote_host *h, struct err *e)
{
	uint64_t port;
	const char *why = NULL;

	if (!h->host || !text_is_plain(h->host, "._-:%"))
		why = "host";
	else if (h->user && !text_is_plain(h->user, "._-"))
		why = "user";
	else if (h->port && (text_u64(slice_of(h->port), 65535, &port) < 0 || !port))
		why = "port";
	else if (h->identity && !text_is_plain(h->identity, "/._+-"))
		why = "identity";
	else if (h->host_key && !text_is_plain(h->host_key, " /+=@.-"))
		why = "host_key";
	else if (h->program && !text_is_plain(h->program, "/._+-"))
		why = "program";
	else if (h->root && (h->root[0] != '/' || !text_is_plain(h->root, "/._+-")))
		why = "root";
	return why ? err_set(e, -ERR_USAGE, "%s: the %s is none that ssh could be given",
			     h->name ? h->name : "machine", why)
		   : 0;
}

int remote_host_parse(struct arena *a, const char *text, struct remote_host *ret, struct err *e)
{
	const char *rest = strncmp(text, "ssh://", 6) == 0 ? text + 6 : text;
	char *copy = arena_str(a, rest), *at = copy ? strrchr(copy, '@') : NULL;
	struct remote_host h = { .name = arena_str(a, text) };
	char *host = at ? at + 1 : copy, *colon;

	if (!copy || !h.name)
		return no_memory(e);
	if (at) {
		*at = '\0';
		h.user = copy;
	}
	if (*host == '[' && (colon = strchr(host, ']'))) {
		*colon++ = '\0';
		host++;
	} else {
		colon = strchr(host, ':');
	}
	if (colon && *colon == ':') {
		*colon = '\0';
		h.port = colon + 1;
	}
	h.host = host;
	*ret = h;
	return remote_host_check(&h, e);
}

/* ---- ssh ------------------------------------------------------------------------------------- */

struct ssh {
	struct arena a;
	struct vec words;     /* up to and without "--" */
	char known[PATH_MAX]; /* file with the host's key; "": none */
};

#define SSH_INIT                                                                                   \
	{                                                                                          \
		ARENA_INIT, VEC_INIT, ""                                                           \
	}

static void ssh_done(struct ssh *s)
{
	if (s->known[0])
		(void)unlink(s->known); /* below /tmp */
	vec_done(&s->words);
	arena_done(&s->a);
}

static void add(struct ssh *s, const char *word)
{
	vec_add(&s->words, (void *)(uintptr_t)word);
}

static int write_known(struct ssh *s, const char *key, struct err *e)
{
	auto_str struct str line = STR_INIT;
	auto_fd int fd = -1;
	int r;

	memcpy(s->known, "/tmp/cairn-known-XXXXXX", sizeof("/tmp/cairn-known-XXXXXX"));
	fd = mkstemp(s->known);
	if (fd < 0) {
		s->known[0] = '\0';
		return err_sys(e, "/tmp");
	}
	str_addf(&line, "machine %s\n", key);
	r = str_err(&line) ? str_err(&line) : fd_write_full(fd, line.buf, line.len);
	return r < 0 ? err_num(e, r, "%s", s->known) : 0;
}

/* Words of the command, without the host. A connection is always a new one. */
static int ssh_prepare(struct ssh *s, const struct remote_host *h, struct err *e)
{
	const char *text = getenv("CAIRN_SSH");
	char *words = arena_str(&s->a, text && *text ? text : "ssh"), *save = NULL;
	int r = 0;

	for (char *w = words ? strtok_r(words, " ", &save) : NULL; w;
	     w = strtok_r(NULL, " ", &save))
		add(s, w);
	add(s, "-oControlMaster=no");
	add(s, "-oControlPath=none");
	add(s, arena_fmt(&s->a, "-oConnectTimeout=%d", CONNECT_SECONDS));
	if (h->host_key) {
		r = write_known(s, h->host_key, e);
		add(s, "-oBatchMode=yes");
		add(s, "-oStrictHostKeyChecking=yes");
		add(s, "-oGlobalKnownHostsFile=/dev/null");
		add(s, arena_fmt(&s->a, "-oUserKnownHostsFile=%s", s->known));
		add(s, "-oHostKeyAlias=machine");
	}
	if (h->identity) {
		add(s, "-oIdentitiesOnly=yes");
		add(s, arena_fmt(&s->a, "-oIdentityFile=%s", h->identity));
	}
	return r < 0 ? r : s->words.err || arena_err(&s->a) ? no_memory(e) : 0;
}

/* Run a command there. out NULL: its output goes to ours. The status is ssh's or the command's. */
static int ssh_run(const struct remote_host *h, const char *command, struct str *out,
		   int *ret_status, struct err *e)
{
	struct proc_spec spec = PROC_SPEC_INIT;
	struct ssh s = SSH_INIT;
	int status = -1;
	int r = ssh_prepare(&s, h, e);

	add(&s, "-x");
	add(&s, "-T");
	add(&s, "-oServerAliveInterval=15");
	add(&s, "-oServerAliveCountMax=4");
	if (h->port)
		add(&s, arena_fmt(&s.a, "-p%s", h->port));
	if (h->user)
		add(&s, arena_fmt(&s.a, "-l%s", h->user));
	add(&s, "--");
	add(&s, h->host);
	add(&s, command);
	vec_add(&s.words, NULL);
	if (r == 0 && (s.words.err || arena_err(&s.a)))
		r = no_memory(e);
	if (r == 0) {
		struct err tmp = ERR_INIT;

		spec.argv = (const char *const *)s.words.v;
		spec.in = -2;
		spec.ret_status = &status;
		r = out ? proc_output(&spec, out, LIMIT_ANSWER, &tmp) : proc_run(&spec, &tmp);
		if (r < 0 && (status == -1 || !WIFEXITED(status)))
			r = err_set(e, r, "%s: %s", h->name, tmp.msg);
		else
			r = 0;
	}
	ssh_done(&s);
	if (r == 0)
		*ret_status = WEXITSTATUS(status);
	return r;
}

static int unreachable(const struct remote_host *h, struct err *e)
{
	return err_set(e, -ERR_REMOTE, "%s cannot be reached by ssh", h->name);
}

int remote_run(const struct remote_host *h, const char *command, int *ret_status, struct err *e)
{
	return ssh_run(h, command, NULL, ret_status, e);
}

/* ---- Copy ------------------------------------------------------------------------------------ */

static char *address(struct arena *a, const struct remote_host *h)
{
	bool v6 = strchr(h->host, ':') != NULL;
	const char *root = h->root ? arena_fmt(a, "root=%s&", h->root) : "";
	const char *program = h->program ? arena_fmt(a, "program=%s", h->program) : "";

	return arena_fmt(a, "ssh://%s%s%s%s%s%s%s%s%s%s", h->user ? h->user : "",
			 h->user ? "@" : "", v6 ? "[" : "", h->host, v6 ? "]" : "",
			 h->port ? ":" : "", h->port ? h->port : "",
			 h->root || h->program ? "/?" : "", root, program);
}

/* By our own program, which then talks to the daemon of this machine as any client. */
static int copy_words(const struct remote_host *h, const struct remote_opts *o, const char *system,
		      struct ssh *s, struct vec *argv, struct err *e)
{
	auto_str struct str command = STR_INIT, self = STR_INIT;
	int r = file_readlink(AT_FDCWD, "/proc/self/exe", &self, e);

	if (r < 0)
		return r;
	for (size_t i = 0; i < s->words.n; i++)
		str_addf(&command, "%s%s", i ? " " : "", (const char *)s->words.v[i]);
	vec_add(argv, arena_str(&s->a, "env"));
	vec_add(argv, arena_fmt(&s->a, "CAIRN_SSH=%s", command.buf));
	vec_add(argv, arena_str(&s->a, self.buf));
	vec_add(argv, arena_str(&s->a, "copy"));
	vec_add(argv, arena_fmt(&s->a, "--to=%s", address(&s->a, h)));
	if (o->store->root)
		vec_add(argv, arena_fmt(&s->a, "--root=%s", o->store->root));
	if (o->store->socket)
		vec_add(argv, arena_fmt(&s->a, "--socket=%s", o->store->socket));
	vec_add(argv, arena_str(&s->a, system));
	vec_add(argv, NULL);
	return argv->err || arena_err(&s->a) || str_err(&command) ? no_memory(e) : 0;
}

int remote_copy(const struct remote_host *h, const struct remote_opts *o, const char *system,
		struct err *e)
{
	auto_vec struct vec argv = VEC_INIT;
	auto_str struct str printed = STR_INIT;
	struct proc_spec spec = PROC_SPEC_INIT;
	struct err tmp = ERR_INIT;
	struct ssh s = SSH_INIT;
	int r = ssh_prepare(&s, h, e);

	if (r == 0)
		r = copy_words(h, o, system, &s, &argv, e);
	if (r == 0) {
		spec.argv = (const char *const *)argv.v;
		spec.in = -2;
		spec.dies_with_us = true;
		if (proc_output(&spec, &printed, LIMIT_ANSWER, &tmp) < 0)
			r = err_set(e, -ERR_REMOTE, "%s: the system cannot be copied there",
				    h->name);
	}
	ssh_done(&s);
	return r;
}

/* ---- Switch ---------------------------------------------------------------------------------- */

/* "PROGRAM system VERB" for the shell there: store paths and what was checked. */
static void add_verb(struct str *out, const struct remote_host *h, const char *system,
		     const char *verb)
{
	if (h->program)
		str_add(out, h->program);
	else
		str_addf(out, "%s/cairn/bin/cairn", system ? system : GEN_CURRENT_LINK);
	str_addf(out, " system %s", verb);
	if (h->root)
		str_addf(out, " --target-root=%s", h->root);
}

static void add_switch(struct str *out, const struct remote_host *h, const struct remote_opts *o,
		       const char *system)
{
	add_verb(out, h, system, system ? "switch-generation" : "roll-back");
	if (h->root)
		str_addf(out, " --root=%s", h->root);
	if (o->boot_only)
		str_add(out, " --boot");
}

int remote_plan(const struct remote_host *h, const struct remote_opts *o, const char *system,
		struct str *ret, struct err *e)
{
	auto_str struct str command = STR_INIT, said = STR_INIT;
	struct slice rest, line;
	int status = 0, r;

	add_switch(&command, h, o, system);
	str_addf(&command, " --dry-run %s", system);
	if (str_err(&command))
		return no_memory(e);
	r = ssh_run(h, command.buf, &said, &status, e);
	if (r == 0 && status)
		r = status == SSH_FAILED
			    ? unreachable(h, e)
			    : err_set(e, -ERR_REMOTE, "%s does not switch to %s", h->name, system);
	if (r < 0)
		return r;
	/* Another machine's text, for this one's terminal. */
	rest = str_slice(&said);
	while (rest.n && slice_cut(&rest, '\n', &line)) {
		text_safe(ret, line);
		str_addc(ret, '\n');
	}
	return str_err(ret) ? no_memory(e) : 0;
}

static unsigned find_number(const char *json, const char *key)
{
	const char *at = strstr(json, key);
	uint64_t n = 0;

	if (!at)
		return 0;
	at += strlen(key);
	return text_u64((struct slice){ at, strspn(at, "0123456789") }, GEN_NUMBER_MAX, &n) < 0
		       ? 0
		       : (unsigned)n;
}

static uint64_t seconds_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec;
}

/* Another command holds the lock there. Whatever else is refused stays so. */
static bool is_busy(const char *json)
{
	return strstr(json, "\"result\":\"busy\"") != NULL;
}

/* Over new connections, as long as the machine waits. goal is what was switched to, a number or an
 * item: whatever else waits there is not ours to confirm. The first connection may never have come
 * to be, so only this answer says that something was switched. */
static int confirm(const struct remote_host *h, const struct remote_opts *o, const char *system,
		   const char *goal, struct remote_result *ret, struct err *e)
{
	const uint64_t end = seconds_now() + o->confirm;
	auto_str struct str command = STR_INIT;
	int status = SSH_FAILED, pause = CONFIRM_PAUSE_MS, r;

	add_verb(&command, h, system, "confirm");
	str_addf(&command, " --json %s", goal);
	if (str_err(&command))
		return no_memory(e);
	do {
		auto_str struct str printed = STR_INIT;

		r = ssh_run(h, command.buf, &printed, &status, e);
		if (r == 0 && status == 0 && !ret->to) {
			ret->to = find_number(printed.buf, "\"generation\":");
			ret->from = find_number(printed.buf, "\"before\":");
		}
		/* The command whose connection was cut may go on over there, and hold the lock. */
		if (r < 0 || (status != SSH_FAILED && !is_busy(printed.buf)))
			break;
		(void)poll(NULL, 0, pause);
		pause = status == SSH_FAILED ? CONFIRM_PAUSE_MS
					     : MIN_OF(2 * pause, CONFIRM_BUSY_MS);
	} while (seconds_now() < end);
	if (r == 0 && status == SSH_FAILED)
		r = err_set(e, -ERR_REVERTED,
			    "%s cannot be reached after the switch: it goes back to what it ran "
			    "before by itself",
			    h->name);
	else if (r == 0 && status)
		r = err_set(e, status == CONFIRM_LATE ? -ERR_REVERTED : -ERR_REMOTE,
			    "%s: the switch to %s could not be confirmed (status %d)", h->name,
			    goal, status);
	return r;
}

/* What the answer of a switch means. *ret_wait: it is to be confirmed. */
static int judge(const struct remote_host *h, const struct remote_opts *o, const char *json,
		 int status, struct remote_result *ret, bool *ret_wait, struct err *e)
{
	bool tried = strstr(json, "\"result\":\"tried-out\"") != NULL;
	bool cut = status == SSH_FAILED && o->confirm;

	ret->from = find_number(json, "\"from\":");
	ret->to = find_number(json, "\"to\":");
	*ret_wait = (status == 0 && tried) || cut;
	ret->unchanged = status == 0 && ret->from == ret->to && ret->from;
	if (status == 0 || cut)
		return 0;
	if (status == SSH_FAILED)
		return unreachable(h, e);
	if (strstr(json, "\"result\":\"partial\""))
		return err_set(e, -ERR_PARTIAL, "%s: activation or services failed in part%s",
			       h->name,
			       o->confirm ? ": it goes back to what it ran before by itself" : "");
	return err_set(e, -ERR_REMOTE, "%s: the switch failed (status %d)", h->name, status);
}

/* Which generation a roll-back would go to: without that, one whose answer is lost could not be
 * told from another's trial. */
static int find_before(const struct remote_host *h, const struct remote_opts *o, char goal[16],
		       struct err *e)
{
	auto_str struct str command = STR_INIT, json = STR_INIT;
	unsigned number;
	int status = 0, r;

	add_switch(&command, h, o, NULL);
	str_add(&command, " --dry-run --json");
	if (str_err(&command))
		return no_memory(e);
	r = ssh_run(h, command.buf, &json, &status, e);
	if (r < 0)
		return r;
	if (status == SSH_FAILED)
		return unreachable(h, e);
	number = status ? 0 : find_number(json.buf, "\"to\":");
	if (!number)
		return err_set(e, -ERR_REMOTE, "%s has nothing to go back to (status %d)", h->name,
			       status);
	snprintf(goal, 16, "%u", number);
	return 0;
}

int remote_switch(const struct remote_host *h, const struct remote_opts *o, const char *system,
		  struct remote_result *ret, struct err *e)
{
	auto_str struct str command = STR_INIT, json = STR_INIT;
	struct remote_result result = { 0 };
	char before[16] = "";
	bool wait = false;
	int status = 0, r;

	add_switch(&command, h, o, system);
	str_add(&command, " --json");
	if (o->confirm)
		str_addf(&command, " --confirm=%llu", (unsigned long long)o->confirm);
	if (system)
		str_addf(&command, " %s", system);
	if (str_err(&command))
		return no_memory(e);
	r = !system && o->confirm ? find_before(h, o, before, e) : 0;
	if (r == 0)
		r = ssh_run(h, command.buf, &json, &status, e);
	if (r == 0)
		r = judge(h, o, json.buf, status, &result, &wait, e);
	if (r == 0 && wait) {
		r = confirm(h, o, system, system ? system : before, &result, e);
		result.confirmed = r == 0;
	}
	if (r == 0)
		*ret = result;
	return r;
}
