/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "store/remote/remote.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "lib/fd.h"
#include "lib/proc.h"
#include "lib/text.h"
#include "lib/vec.h"

#define SCHEME	      "ssh://"
#define LIMIT_VERSION 4096 /* bytes of what ssh says about itself */

static int parse_host(char *text, struct remote *ret)
{
	char *at = strrchr(text, '@'), *host = at ? at + 1 : text, *colon;
	uint64_t port;
	if (at) {
		*at = 0;
		ret->user = text;
	}
	if (*host == '[') { /* [ADDRESS]:PORT */
		char *end = strchr(host, ']');
		if (!end)
			return -1;
		*end = 0;
		host++;
		colon = end[1] == ':' ? end + 1 : NULL;
		if (!colon && end[1])
			return -1;
	} else {
		colon = strchr(host, ':');
	}
	if (colon) {
		*colon = 0;
		ret->port = colon + 1;
	}
	ret->host = host;
	if (ret->port && (text_u64(slice_of(ret->port), 65535, &port) || !port))
		return -1;
	return (ret->user && !text_is_plain(ret->user, "._-")) || !text_is_plain(host, "._-:%") ? -1
												: 0;
}

static int parse_keys(char *text, struct remote *ret)
{
	for (char *next; text && *text; text = next) {
		char *value = strchr(text, '=');
		next = strchr(text, '&');
		if (next)
			*next++ = 0;
		if (!value)
			return -1;
		*value++ = 0;
		if (strcmp(text, "root") == 0 && *value == '/' && text_is_plain(value, "/._+-"))
			ret->root = value;
		else if (strcmp(text, "program") == 0 && text_is_plain(value, "/._+-"))
			ret->program = value;
		else
			return -1;
	}
	return 0;
}

int remote_parse(struct arena *a, const char *text, struct remote *ret, struct err *e)
{
	struct remote m = { .program = "cairn" };
	char *copy = arena_str(a, text), *rest = NULL;
	if (!copy)
		return err_set(e, -ENOMEM, "out of memory");
	bool good = strncmp(copy, SCHEME, strlen(SCHEME)) == 0;
	if (good) {
		copy += strlen(SCHEME);
		rest = strpbrk(copy, "/?");
	}
	if (rest && *rest == '/') {
		*rest++ = 0;
		good = !*rest || *rest == '?';
	}
	if (rest && *rest == '?')
		*rest++ = 0;
	if (!good || parse_host(copy, &m) || parse_keys(rest, &m))
		return err_hint(e, err_set(e, -ERR_USAGE, "'%s' is no address of a store", text),
				"ssh://[USER@]HOST[:PORT][/?root=DIR&program=PATH]");
	*ret = m;
	return 0;
}

/* ---- Running ssh ----------------------------------------------------------------------------- */

static void add(struct vec *argv, const char *word)
{
	vec_add(argv, (char *)(uintptr_t)word);
}

static void add_command(struct vec *argv, struct arena *a)
{
	const char *text = getenv("CAIRN_SSH");
	char *words = arena_str(a, text && *text ? text : "ssh"), *save = NULL;
	for (char *w = words ? strtok_r(words, " ", &save) : NULL; w;
	     w = strtok_r(NULL, " ", &save))
		add(argv, w);
}

static void add_arguments(struct vec *argv, struct arena *a, const struct remote *m)
{
	add(argv, "-x");
	add(argv, "-T");
	add(argv, "-oServerAliveInterval=15");
	add(argv, "-oServerAliveCountMax=4");
	if (m->known_hosts) {
		add(argv, "-oBatchMode=yes");
		add(argv, "-oStrictHostKeyChecking=yes");
		add(argv, "-oGlobalKnownHostsFile=/dev/null");
		add(argv, arena_fmt(a, "-oUserKnownHostsFile=%s", m->known_hosts));
		add(argv, arena_fmt(a, "-oHostKeyAlias=%s", m->alias));
	}
	if (m->identity) {
		add(argv, "-oIdentitiesOnly=yes");
		add(argv, arena_fmt(a, "-oIdentityFile=%s", m->identity));
	}
	if (m->port)
		add(argv, arena_fmt(a, "-p%s", m->port));
	if (m->user)
		add(argv, arena_fmt(a, "-l%s", m->user));
	add(argv, "--");
	add(argv, m->host);
	add(argv, m->program);
	add(argv, "daemon");
	add(argv, "--stdio");
	if (m->root)
		add(argv, arena_fmt(a, "--root=%s", m->root));
	vec_add(argv, NULL);
}

static int start(const struct vec *argv, int *ret_fd, pid_t *ret_pid, struct err *e)
{
	struct proc_spec spec = PROC_SPEC_INIT;
	struct proc proc = PROC_INIT;
	int pair[2];
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return err_sys(e, "cannot make a socket pair");
	spec.argv = (const char *const *)argv->v;
	spec.in = spec.out = pair[1];
	int r = proc_start(&spec, &proc, e);
	close(pair[1]);
	if (r) {
		close(pair[0]);
		return r;
	}
	fd_close(&proc.pidfd);
	*ret_fd = pair[0];
	*ret_pid = proc.pid;
	return 0;
}

static int err_as_out(void *arg)
{
	(void)arg;
	return dup2(STDOUT_FILENO, STDERR_FILENO) < 0 ? -errno : 0;
}

/* Others have no such options for the host's key and ours. Dropbear's client passes over them, and
 * would go to whoever answers. */
static int check_is_openssh(struct arena *a, struct err *e)
{
	auto_vec struct vec argv = VEC_INIT;
	auto_str struct str said = STR_INIT;
	int status;

	add_command(&argv, a);
	add(&argv, "-V");
	vec_add(&argv, NULL);
	if (argv.err || arena_err(a))
		return err_set(e, -ENOMEM, "out of memory");
	struct proc_spec spec = PROC_SPEC_INIT;
	spec.argv = (const char *const *)argv.v;
	spec.in = -2;
	spec.setup = err_as_out;
	spec.ret_status = &status;
	int r = proc_output(&spec, &said, LIMIT_VERSION, e);
	if (r < 0 && !said.len)
		return r;
	if (!strstr(said.buf, "OpenSSH"))
		return err_set(e, -ERR_INVALID, "'%s' is not OpenSSH's: it would not see to keys",
			       spec.argv[0]);
	return 0;
}

int remote_start(const struct remote *m, int *ret_fd, pid_t *ret_pid, struct err *e)
{
	auto_arena struct arena a = ARENA_INIT;
	auto_vec struct vec argv = VEC_INIT;
	int r = m->known_hosts || m->identity ? check_is_openssh(&a, e) : 0;

	if (r == 0) {
		add_command(&argv, &a);
		add_arguments(&argv, &a, m);
		r = argv.err || arena_err(&a) ? err_set(e, -ENOMEM, "out of memory")
					      : start(&argv, ret_fd, ret_pid, e);
	}
	return r ? err_hint(e, r, "OpenSSH's client is needed to reach other machines") : 0;
}

int remote_start_here(const char *root, const char *store_dir, const char *state_dir, int *ret_fd,
		      pid_t *ret_pid, struct err *e)
{
	auto_arena struct arena a = ARENA_INIT;
	auto_vec struct vec argv = VEC_INIT;
	add(&argv, "/proc/self/exe");
	add(&argv, "daemon");
	add(&argv, "--stdio");
	add(&argv, arena_fmt(&a, "--root=%s", root));
	add(&argv, arena_fmt(&a, "--store-dir=%s", store_dir));
	add(&argv, arena_fmt(&a, "--state-dir=%s", state_dir));
	vec_add(&argv, NULL);
	if (argv.err || arena_err(&a))
		return err_set(e, -ENOMEM, "out of memory");
	return start(&argv, ret_fd, ret_pid, e);
}
