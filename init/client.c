/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "init/client.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "init/limits.h"
#include "init/proto.h"
#include "init/state.h"
#include "lib/fd.h"
#include "lib/size.h"
#include "lib/wire.h"

#define ASK_TRIES  4
#define BACK_TRIES 200
#define BACK_PAUSE 50 /* ms */

struct request {
	enum ctl_op op;
	unsigned flags;
	const char *name;
	const int *fds; /* three that go along; NULL: none */
	int *ret_fd;	/* one that comes back, the caller's then; NULL: none does */
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

static int send_request(int fd, const struct request *q, uint64_t version, struct err *e)
{
	auto_str struct str msg = STR_INIT;

	wr_u64(&msg, version);
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

/* Data and at most one descriptor (-1: none). */
static ssize_t receive(int fd, void *msg, size_t size, int *ret_fd)
{
	union {
		struct cmsghdr h;
		char space[CMSG_SPACE(sizeof(int))];
	} c;
	struct iovec iov = { msg, size };
	struct msghdr m = {
		.msg_iov = &iov, .msg_iovlen = 1, .msg_control = &c, .msg_controllen = sizeof(c)
	};
	ssize_t n;

	do
		n = recvmsg(fd, &m, MSG_CMSG_CLOEXEC);
	while (n < 0 && errno == EINTR);
	struct cmsghdr *h = n < 0 ? NULL : CMSG_FIRSTHDR(&m);
	*ret_fd = -1;
	if (h && h->cmsg_level == SOL_SOCKET && h->cmsg_type == SCM_RIGHTS)
		memcpy(ret_fd, CMSG_DATA(h), sizeof(int));
	return n;
}

/* The next packet but for version and kind: 0, LOST: the connection is closed, OLDER: the init
 * speaks only an older version, or a code with e filled. */
enum { LOST = 1, OLDER };

static int next_packet(int fd, uint64_t version, uint8_t *msg, enum ctl_kind *ret_kind,
		       struct rd *ret, int *ret_fd, struct err *e)
{
	ssize_t n = receive(fd, msg, LIMIT_CTL_MSG, ret_fd);

	if (n == 0 || (n < 0 && errno == ECONNRESET))
		return LOST;
	if (n < 0)
		return err_sys(e, "answer of cairn-init");
	struct rd r = rd_of(msg, (size_t)n);
	uint64_t spoken = rd_u64(&r), kind = rd_u64(&r);
	if (!r.err && kind == CTL_END && spoken == CTL_OLDEST && spoken < version)
		return OLDER;
	if (r.err || spoken != version || kind == 0 || kind >= CTL_KIND_MAX)
		return err_set(e, -ERR_PROTO, "cairn-init speaks another protocol");
	*ret_kind = (enum ctl_kind)kind;
	*ret = r;
	return 0;
}

/* 0, LOST, OLDER, or a code. */
static int take_answer(int fd, const struct request *q, uint64_t version, struct err *e)
{
	uint8_t msg[LIMIT_CTL_MSG];
	enum ctl_kind kind;
	struct rd r;

	for (;;) {
		int came = -1, code = next_packet(fd, version, msg, &kind, &r, &came, e);
		if (code == 0 && q->ret_fd && came >= 0 && *q->ret_fd < 0)
			*q->ret_fd = fd_take(&came);
		fd_close(&came);
		if (code)
			return code;
		if (kind == CTL_END)
			return take_end(&r, e);
		code = q->packet ? q->packet(q->arg, kind, &r) : 0;
		if (code == -ERR_PROTO)
			return err_set(e, code, "cairn-init answered with a malformed packet");
		if (code)
			return code < 0 ? err_set(e, code, "%s", err_text(code)) : -ECANCELED;
	}
}

static int ask_once(const struct request *q, uint64_t version, struct err *e)
{
	auto_fd int fd = -1;
	int r = connect_to(&fd, e);

	if (r == 0)
		r = send_request(fd, q, version, e);
	return r < 0 ? r : take_answer(fd, q, version, e);
}

bool client_comes_back(void)
{
	auto_fd int fd = -1;

	for (int i = 0; i < BACK_TRIES; i++) {
		if (connect_to(&fd, NULL) == 0)
			return true;
		(void)poll(NULL, 0, BACK_PAUSE);
	}
	return false;
}

/* What to ask when the answer was lost with the connection; CTL_OP_MAX: nothing, since doing it
 * twice is not the same. */
static enum ctl_op again(const struct request *q)
{
	switch (q->op) {
	case CTL_START:
	case CTL_RESTART:
		return CTL_START;
	case CTL_STOP:
	case CTL_OVERRIDE:
	case CTL_INFO:
	case CTL_SET:
		return q->op;
	case CTL_REEXEC:
		return CTL_INFO;
	default:
		return CTL_OP_MAX;
	}
}

static int ask(const struct request *question, struct err *e)
{
	struct request q = *question;
	uint64_t version = CTL_VERSION;
	int r = LOST;

	for (int i = 0; i < ASK_TRIES && r > 0; i++) {
		r = ask_once(&q, version, e);
		if (r == OLDER && q.op > CTL_ACTION)
			return err_set(e, -ERR_UNSUPPORTED,
				       "the cairn-init that runs is older than this command");
		if (r == OLDER)
			version = CTL_OLDEST;
		if (r != LOST)
			continue;
		if (again(&q) == CTL_OP_MAX || !client_comes_back())
			break;
		q.op = again(&q);
		if (question->op == CTL_REEXEC)
			q.packet = NULL;
	}
	return r > 0 ? err_set(e, -ECONNRESET,
			       "cairn-init closed the connection [it may have done it all the "
			       "same]")
		     : r;
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
	char text[8][1200], runs[40] = "", sandbox[400];

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
	if (r->n) {
		s.due = rd_u64(r);
		s.started = rd_u64(r);
		s.begun = rd_u64(r);
		s.ready = rd_u64(r);
		s.last_run = rd_u64(r);
		struct slice v = rd_str(r, sizeof(runs) - 1);
		snprintf(runs, sizeof(runs), "%.*s", (int)v.n, v.n ? v.p : "");
	}
	s.runs = runs;
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
	uint64_t services = rd_u64(r), failed = rd_u64(r), more[3] = { 0 };

	for (size_t i = 0; r->n && i < ARRAY_LEN(more); i++)
		more[i] = rd_u64(r);
	if (kind != CTL_INFO_ROW || rd_done(r) < 0)
		return -ERR_PROTO;
	snprintf(info->version, sizeof(info->version), "%.*s", (int)version.n, version.p);
	snprintf(info->set, sizeof(info->set), "%.*s", (int)set.n, set.p);
	info->booted = booted;
	info->services = services;
	info->failed = failed;
	info->start = more[0];
	info->settled = more[1];
	info->now = more[2];
	return 0;
}

int init_client_info(struct init_info *ret, struct err *e)
{
	return ask(&(struct request){ .op = CTL_INFO, .packet = take_info, .arg = ret }, e);
}

/* ---- the set in force ------------------------------------------------------------------------*/

static void read_overrides(const char *state_directory, struct str *out)
{
	auto_str struct str path = STR_INIT;

	str_addf(&path, "%s/overrides", state_directory);
	if (str_err(&path) || file_read(AT_FDCWD, path.buf, out, LIMIT_OVERRIDES, NULL) < 0)
		str_cut(out, 0);
}

/* PID 1's copy, which begins with the path. */
static int read_copy(int fd, struct str *text, struct err *e)
{
	char buf[4096];
	off_t at = STATE_TEXT_PATH;
	ssize_t n;

	while ((n = pread(fd, buf, sizeof(buf), at)) > 0 && text->len <= LIMIT_SET_BYTES) {
		str_addn(text, buf, (size_t)n);
		at += n;
	}
	if (n < 0)
		return err_sys(e, "copy of the service set");
	return str_err(text) ? err_num(e, str_err(text), "copy of the service set") : 0;
}

int client_set(struct svc_set **ret, char path[LIMIT_PATH], struct err *e)
{
	auto_str struct str text = STR_INIT;
	auto_fd int fd = -1;
	int r = ask(
		&(struct request){ .op = CTL_SET, .packet = take_text, .arg = path, .ret_fd = &fd },
		e);

	if (r == 0)
		r = fd >= 0 ? read_copy(fd, &text, e) : svc_set_read(path, &text, e);
	if (r == 0)
		r = svc_set_parse_with(str_slice(&text), path, read_overrides, ret, e);
	return r;
}

/* ---- events ----------------------------------------------------------------------------------*/

int client_watch_open(int *ret, struct err *e)
{
	auto_fd int fd = -1;
	int r = connect_to(&fd, e);

	if (r == 0)
		r = send_request(fd, &(struct request){ .op = CTL_WATCH }, CTL_VERSION, e);
	if (r == 0)
		r = client_watch_next(fd, -1, NULL, NULL, e); /* that it hears us */
	if (r < 0)
		return r;
	*ret = fd_take(&fd);
	return 0;
}

static int take_events(struct rd *r, client_event_fn *fn, void *arg)
{
	char text[4][256];

	while (r->n && !r->err) {
		struct client_event ev = { .boottime = rd_u64(r), .realtime = rd_u64(r) };
		const char **fields[] = { &ev.name, &ev.old, &ev.now, &ev.why };
		for (size_t i = 0; i < ARRAY_LEN(fields); i++) {
			struct slice v = rd_str(r, LIMIT_PATH);
			snprintf(text[i], sizeof(text[i]), "%.*s", (int)v.n, v.n ? v.p : "");
			*fields[i] = text[i];
		}
		int code = r->err || !fn ? 0 : fn(arg, &ev);
		if (code)
			return code;
	}
	return rd_done(r) < 0 ? -ERR_PROTO : 0;
}

int client_watch_next(int fd, int timeout, client_event_fn *fn, void *arg, struct err *e)
{
	struct pollfd p = { fd, POLLIN, 0 };
	uint8_t msg[LIMIT_CTL_MSG];
	enum ctl_kind kind;
	struct rd r;
	int came, n = poll(&p, 1, timeout);

	if (n <= 0)
		return n == 0		? err_set(e, -ETIMEDOUT, "time is out")
		       : errno == EINTR ? 0
					: err_sys(e, "events of cairn-init");
	n = next_packet(fd, CTL_VERSION, msg, &kind, &r, &came, e);
	fd_close(&came);
	if (n == LOST)
		return err_set(e, -ECONNRESET, "cairn-init closed the connection");
	if (n == OLDER)
		return err_set(e, -ERR_UNSUPPORTED,
			       "the cairn-init that runs is older than this command");
	if (n < 0)
		return n;
	if (kind == CTL_END)
		return take_end(&r, e);
	n = kind == CTL_EVENTS ? take_events(&r, fn, arg) : -ERR_PROTO;
	return n == -ERR_PROTO ? err_set(e, n, "cairn-init answered with a malformed packet") : n;
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

int init_set_check_text(struct slice text, const char *name, struct err *e)
{
	struct svc_set *set = NULL;
	int r = svc_set_parse(text, name, &set, e);

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
