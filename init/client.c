/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "init/init.h"

#include <errno.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "init/limits.h"
#include "init/proto.h"
#include "init/set.h"
#include "lib/fd.h"
#include "lib/size.h"
#include "lib/wire.h"

struct request {
	enum ctl_op op;
	unsigned flags;
	const char *name;
	const int *fds; /* three that go along; NULL: none */
	/* Called for each packet before the end, past version and kind. */
	int (*packet)(void *arg, enum ctl_kind kind, struct rd *r);
	void *arg;
};

static const char *socket_path(void)
{
	const char *path = getenv("CAIRN_INIT_SOCKET");

	return path && path[0] ? path : CTL_SOCKET;
}

static int connect_to(int *ret, struct err *e)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	const char *path = socket_path();

	if (strlen(path) >= sizeof(a.sun_path))
		return err_num(e, -ENAMETOOLONG, "%s", path);
	memcpy(a.sun_path, path, strlen(path));
	auto_fd int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return err_sys(e, "control socket");
	if (connect(fd, (struct sockaddr *)&a, sizeof(a)) < 0) {
		int r = err_sys(e, "cannot reach cairn-init at %s", path);
		return r == -ENOENT || r == -ECONNREFUSED
			       ? err_hint(e, r, "is cairn-init the init of this machine?")
			       : r;
	}
	*ret = fd_take(&fd);
	return 0;
}

static ssize_t send_with(int sock, const struct str *msg, const int *fds)
{
	union {
		struct cmsghdr h;
		char space[CMSG_SPACE(3 * sizeof(int))];
	} c = { 0 };
	struct iovec iov = { msg->buf, msg->len };
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1 };

	if (fds) {
		m.msg_control = &c;
		m.msg_controllen = sizeof(c);
		c.h.cmsg_level = SOL_SOCKET;
		c.h.cmsg_type = SCM_RIGHTS;
		c.h.cmsg_len = CMSG_LEN(3 * sizeof(int));
		memcpy(CMSG_DATA(&c.h), fds, 3 * sizeof(int));
	}
	return sendmsg(sock, &m, MSG_NOSIGNAL);
}

static int send_request(int fd, const struct request *q, struct err *e)
{
	auto_str struct str msg = STR_INIT;

	wr_u64(&msg, CTL_VERSION);
	wr_u64(&msg, q->op);
	wr_u64(&msg, q->flags);
	wr_cstr(&msg, q->name ? q->name : "");
	if (str_err(&msg))
		return err_num(e, str_err(&msg), "request");
	if (msg.len > LIMIT_CTL_MSG)
		return err_set(e, -ERR_LIMIT, "name is too long");
	/* A refused peer may have been told so already: then its answer is read below. */
	if (send_with(fd, &msg, q->fds) < 0 && errno != EPIPE)
		return err_sys(e, "request to cairn-init");
	return 0;
}

static int take_end(struct rd *r, struct err *e)
{
	uint64_t code = rd_max(r, 4096);
	struct slice text = rd_str(r, LIMIT_CTL_MSG);

	if (rd_done(r) < 0)
		return err_set(e, -ERR_PROTO, "cairn-init answered with a malformed packet");
	if (code)
		return err_set(e, -(int)code, "%.*s", (int)text.n, text.p);
	return 0;
}

static int take_answer(int fd, const struct request *q, struct err *e)
{
	uint8_t msg[LIMIT_CTL_MSG];

	for (;;) {
		ssize_t n = recv(fd, msg, sizeof(msg), 0);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_sys(e, "answer of cairn-init");
		if (n == 0)
			return err_set(e, -ECONNRESET, "cairn-init closed the connection");
		struct rd r = rd_of(msg, (size_t)n);
		uint64_t version = rd_u64(&r), kind = rd_u64(&r);
		if (r.err || version != CTL_VERSION || kind == 0 || kind >= CTL_KIND_MAX)
			return err_set(e, -ERR_PROTO, "cairn-init speaks another protocol");
		if (kind == CTL_END)
			return take_end(&r, e);
		int c = q->packet ? q->packet(q->arg, (enum ctl_kind)kind, &r) : 0;
		if (c == -ERR_PROTO)
			return err_set(e, c, "cairn-init answered with a malformed packet");
		if (c)
			return c < 0 ? err_set(e, c, "%s", err_text(c)) : c;
	}
}

static int ask(const struct request *q, struct err *e)
{
	auto_fd int fd = -1;
	int r = connect_to(&fd, e);

	if (r == 0)
		r = send_request(fd, q, e);
	return r < 0 ? r : take_answer(fd, q, e);
}

bool init_client_running(void)
{
	auto_fd int fd = -1;

	return connect_to(&fd, NULL) == 0;
}

/* ---- services --------------------------------------------------------------------------------*/

/* "none", or what it is shut into, and what of the profile it is not. */
static void sandbox_text(uint64_t bits, char *out, size_t size)
{
	static const struct {
		const char *name;
		uint64_t bit;
		bool profile; /* belongs to it */
	} rows[] = {
		{ "no-new-privileges", 1 << SVC_BOX_PRIVILEGES, true },
		{ "private-tmp", 1 << SVC_BOX_TMP, true },
		{ "protect-kernel", 1 << SVC_BOX_KERNEL, true },
		{ "capabilities", CTL_BOX_CAPS, true },
		{ "private-dev", 1 << SVC_BOX_DEV, false },
		{ "private-network", 1 << SVC_BOX_NETWORK, false },
		{ "private-pids", 1 << SVC_BOX_PIDS, false },
		{ "root-directory", CTL_BOX_ROOT, false },
		{ "paths", CTL_BOX_PATHS, false },
		{ "seccomp", CTL_BOX_SECCOMP, false },
	};
	bool profile = bits & CTL_BOX_PROFILE;
	size_t n = (size_t)snprintf(out, size, "%s", profile ? "default:" : bits ? "own:" : "none");

	for (int on = 1; on >= 0; on--) {
		const char *before = on ? "" : "; without";
		for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
			bool has = bits & rows[i].bit;
			if (on ? !has : has || !profile || !rows[i].profile)
				continue;
			n += (size_t)snprintf(out + n, size - n, "%s %s", before, rows[i].name);
			before = "";
		}
	}
}

struct row_walk {
	init_service_fn *fn;
	void *arg;
};

static int take_row(void *arg, enum ctl_kind kind, struct rd *r)
{
	struct row_walk *w = arg;
	struct init_service s = { 0 };
	const char **fields[] = { &s.name,   &s.type,	     &s.state, &s.why,
				  &s.status, &s.description, &s.log,   &s.id };
	char text[8][1200], sandbox[400];

	if (kind != CTL_ROW)
		return -ERR_PROTO;
	for (size_t i = 0; i < 8; i++) {
		struct slice v = rd_str(r, sizeof(text[i]) - 1);
		memcpy(text[i], v.n ? v.p : "", v.n);
		text[i][v.n] = '\0';
		*fields[i] = text[i];
	}
	uint64_t flags = rd_u64(r);
	s.pid = rd_u64(r);
	s.since = rd_u64(r);
	s.restarts = rd_u64(r);
	s.exit_status = (int)(unsigned)rd_max(r, UINT32_MAX);
	if (rd_done(r) < 0)
		return -ERR_PROTO;
	sandbox_text(flags >> CTL_BOX_SHIFT, sandbox, sizeof(sandbox));
	s.sandbox = sandbox;
	s.wanted = flags & CTL_WISH;
	s.barred = flags & CTL_BARRED;
	s.stale = flags & CTL_STALE;
	s.skipped = flags & CTL_SKIPPED;
	s.listening = flags & CTL_LISTENING;
	s.enabled = flags & CTL_ENABLED;
	s.critical = flags & CTL_CRITICAL;
	s.masked = flags & CTL_MASKED;
	s.ended = flags & CTL_ENDED;
	return w->fn(w->arg, &s);
}

int init_client_list(init_service_fn *fn, void *arg, struct err *e)
{
	struct row_walk w = { fn, arg };

	return ask(&(struct request){ .op = CTL_LIST, .packet = take_row, .arg = &w }, e);
}

int init_client_status(const char *name, init_service_fn *fn, void *arg, struct err *e)
{
	struct row_walk w = { fn, arg };

	return ask(
		&(struct request){ .op = CTL_STATUS, .name = name, .packet = take_row, .arg = &w },
		e);
}

int init_client_action(enum init_action what, const char *name, bool wait, struct err *e)
{
	static const enum ctl_op op[INIT_ACTION_MAX] = { [INIT_START] = CTL_START,
							 [INIT_STOP] = CTL_STOP,
							 [INIT_RESTART] = CTL_RESTART,
							 [INIT_RELOAD] = CTL_RELOAD,
							 [INIT_TRIGGER] = CTL_TRIGGER };

	return ask(&(struct request){ .op = op[what], .flags = wait ? CTL_WAIT : 0, .name = name },
		   e);
}

int init_client_reexec(const char *path, struct err *e)
{
	return ask(&(struct request){ .op = CTL_REEXEC, .flags = CTL_WAIT, .name = path }, e);
}

int init_client_custom(const char *name, const char *action, struct err *e)
{
	auto_str struct str both = STR_INIT;

	str_addf(&both, "%s %s", name, action);
	if (str_err(&both))
		return err_num(e, str_err(&both), "request");
	return ask(&(struct request){ .op = CTL_ACTION, .name = both.buf }, e);
}

int init_client_run(const char *section, bool to_end, const int stdio[3], struct err *e)
{
	return ask(&(struct request){ .op = CTL_RUN,
				      .flags = to_end ? CTL_WAIT : 0,
				      .name = section,
				      .fds = stdio },
		   e);
}

static int take_text(void *arg, enum ctl_kind kind, struct rd *r)
{
	struct slice text = rd_str(r, LIMIT_PATH - 1);

	if (kind != CTL_TEXT || rd_done(r) < 0)
		return -ERR_PROTO;
	memcpy(arg, text.n ? text.p : "", text.n);
	((char *)arg)[text.n] = '\0';
	return 0;
}

int init_client_override(char *path, struct err *e)
{
	return ask(&(struct request){ .op = CTL_OVERRIDE, .packet = take_text, .arg = path }, e);
}

int init_client_shutdown(const char *kind, struct err *e)
{
	return ask(&(struct request){ .op = CTL_SHUTDOWN, .name = kind }, e);
}

static int take_info(void *arg, enum ctl_kind kind, struct rd *r)
{
	struct init_info *info = arg;
	struct slice version = rd_str(r, sizeof(info->version) - 1),
		     set = rd_str(r, sizeof(info->set) - 1);
	bool booted = rd_bool(r);
	uint64_t services = rd_u64(r), failed = rd_u64(r);

	if (kind != CTL_INFO_ROW || rd_done(r) < 0)
		return -ERR_PROTO;
	snprintf(info->version, sizeof(info->version), "%.*s", (int)version.n, version.p);
	snprintf(info->set, sizeof(info->set), "%.*s", (int)set.n, set.p);
	info->booted = booted;
	info->services = services;
	info->failed = failed;
	return 0;
}

int init_client_info(struct init_info *ret, struct err *e)
{
	return ask(&(struct request){ .op = CTL_INFO, .packet = take_info, .arg = ret }, e);
}

/* ---- loading ---------------------------------------------------------------------------------*/

struct change_walk {
	init_change_fn *fn;
	void *arg;
};

static int take_changes(void *arg, enum ctl_kind kind, struct rd *r)
{
	struct change_walk *w = arg;
	char name[LIMIT_SVC_NAME + 1], change[16];

	while (kind == CTL_CHANGES && r->n > 0 && !r->err) {
		struct slice n = rd_str(r, sizeof(name) - 1), c = rd_str(r, sizeof(change) - 1);
		if (r->err)
			break;
		snprintf(name, sizeof(name), "%.*s", (int)n.n, n.p);
		snprintf(change, sizeof(change), "%.*s", (int)c.n, c.p);
		int stop = w->fn ? w->fn(w->arg, name, change) : 0;
		if (stop)
			return stop;
	}
	return kind != CTL_CHANGES || rd_done(r) < 0 ? -ERR_PROTO : 0;
}

int init_client_load(const char *set_path, bool dry_run, bool wait, init_change_fn *fn, void *arg,
		     struct err *e)
{
	struct change_walk w = { fn, arg };

	return ask(&(struct request){ .op = CTL_LOAD,
				      .flags = (dry_run ? CTL_DRY_RUN : 0) | (wait ? CTL_WAIT : 0),
				      .name = set_path,
				      .packet = take_changes,
				      .arg = &w },
		   e);
}

int init_set_check(const char *path, struct err *e)
{
	struct svc_set *set = NULL;
	int r = svc_set_load(path, &set, e);

	svc_set_free(set);
	return r;
}

int init_set_compare(const char *old_path, const char *new_path, init_change_fn *fn, void *arg,
		     struct err *e)
{
	struct svc_set *old = NULL, *next = NULL;
	uint8_t *plan = NULL;
	int r = 0;

	if (old_path)
		r = svc_set_load(old_path, &old, e);
	else if (!(old = svc_set_empty()))
		r = err_num(e, -ENOMEM, "service set");
	if (r == 0)
		r = svc_set_load(new_path, &next, e);
	if (r == 0 && !(plan = calloc(old->n + next->n + 1, 1)))
		r = err_num(e, -ENOMEM, "service set");
	if (r == 0) {
		svc_set_compare(old, next, plan, plan + old->n);
		svc_set_spread(old, next, plan, plan + old->n);
	}
	for (size_t i = 0; r == 0 && i < old->n; i++)
		if (plan[i] == SVC_STOP)
			r = fn(arg, old->v[i]->name, svc_change_names[SVC_STOP]);
	for (size_t i = 0; r == 0 && i < next->n; i++)
		r = fn(arg, next->v[i]->name, svc_change_names[plan[old->n + i]]);
	free(plan);
	svc_set_free(old);
	svc_set_free(next);
	return r;
}
