/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "init/control.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>

#include "init/inherit.h"
#include "init/added.h"
#include "init/proto.h"
#include "init/spare.h"
#include "init/state.h"
#include "init/step.h"
#include "init/world.h"
#include "lib/fd.h"
#include "lib/log.h"
#include "lib/proc.h"
#include "lib/size.h"
#include "lib/wire.h"

#define ACCEPT_TURN 8
#define SHORT_PAUSE 200000000ull

struct client {
	struct loop_fd src; /* fd owned */
	bool trusted;	    /* may do more than look */
	bool rows;	    /* a list is being sent, next row is cursor */
	bool waiting;
	bool loads, waits; /* a load that was not refused; it is to be waited for */
	enum ctl_op op;
	size_t cursor;
	uint64_t used; /* last time it said something */
	char name[LIMIT_SVC_NAME + 1];
};

/* How far the request of one client is: what a crash finds begun is still unread, and done anew;
 * what is done is consumed, and only its answer may be missing. */
enum stage { STAGE_NONE, STAGE_BEGUN, STAGE_ACTED, STAGE_DONE, STAGE_CONSUMED };

/* In memory that outlives this program. */
struct kept {
	int listener;
	struct client clients[LIMIT_CTL_CLIENTS];
	volatile uint32_t current, stage;
	int code; /* the answer of a request that is done */
};

static struct {
	struct loop_fd src;
	struct loop_timer pause;
	struct kept *kept;
	struct client *clients;
	struct str out; /* memory reserved at the start */
} ctl = { .src = { .fd = -1 }, .out = STR_INIT };

static bool is_current(const struct client *c)
{
	return c == &ctl.clients[ctl.kept->current];
}

/* What the request asked for is noted: keep that, then the request may go. */
static void settle_request(struct client *c, int code)
{
	uint32_t stage = ctl.kept->stage;

	if ((stage != STAGE_BEGUN && stage != STAGE_ACTED) || !is_current(c))
		return;
	svc_commit_queued(&world.mgr);
	world_commit();
	ctl.kept->code = code;
	ctl.kept->stage = STAGE_DONE;
	step_done();
	(void)recv(c->src.fd, NULL, 0, MSG_DONTWAIT);
	ctl.kept->stage = STAGE_CONSUMED;
	step_done();
}

/* ---- answers ---------------------------------------------------------------------------------*/

static void drop(struct client *c)
{
	int fd = c->src.fd;

	loop_del(&c->src);
	c->src.fd = -1;
	c->rows = c->waiting = false;
	fd_close(&fd);
}

static void begin(enum ctl_kind kind)
{
	str_cut(&ctl.out, 0);
	wr_u64(&ctl.out, CTL_VERSION);
	wr_u64(&ctl.out, kind);
}

/* 0, -EAGAIN, or the client is gone. */
static int flush(struct client *c)
{
	if (str_err(&ctl.out) ||
	    send(c->src.fd, ctl.out.buf, ctl.out.len, MSG_DONTWAIT | MSG_NOSIGNAL) < 0) {
		int r = str_err(&ctl.out) ? -EPIPE : -errno;
		if (r != -EAGAIN)
			drop(c);
		return r;
	}
	return 0;
}

static void end(struct client *c, int code, const char *message)
{
	settle_request(c, code);
	c->waiting = c->rows = false;
	begin(CTL_END);
	wr_u64(&ctl.out, (uint64_t) - (int64_t)code);
	wr_cstr(&ctl.out, message);
	if (flush(c) == -EAGAIN)
		drop(c); /* it does not read its answers */
}

/* What a service says of itself; a timed one that rests says when it runs next. */
static void put_status(const struct svc *s)
{
	char text[80];
	struct timespec now;
	struct tm tm;
	uint64_t wait = s->due > loop_now() ? s->due - loop_now() : 0;

	clock_gettime(CLOCK_REALTIME, &now);
	time_t next = now.tv_sec + (time_t)((wait + (uint64_t)now.tv_nsec) / 1000000000);
	if (s->status[0] || !s->due || !localtime_r(&next, &tm)) {
		wr_cstr(&ctl.out, s->status);
		return;
	}
	snprintf(text, sizeof(text), "next run %04d-%02d-%02d %02d:%02d:%02d", tm.tm_year + 1900,
		 tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec);
	wr_cstr(&ctl.out, text);
}

static uint64_t box_bits(const struct svc_box *b)
{
	uint64_t bits = (b->profile ? CTL_BOX_PROFILE : 0) | (b->bounded ? CTL_BOX_CAPS : 0) |
			(b->seccomp ? CTL_BOX_SECCOMP : 0) | (b->root ? CTL_BOX_ROOT : 0) |
			(b->nmounts ? CTL_BOX_PATHS : 0);

	for (unsigned i = 0; i < SVC_BOX_FLAGS; i++)
		bits |= (uint64_t)svc_box_on(b, (enum svc_box_flag)i) << i;
	return bits << CTL_BOX_SHIFT;
}

static void put_row(const struct svc *s)
{
	const struct svc_def *d = s->def;
	char text[LIMIT_PATH + LIMIT_SVC_NAME + 8];
	static const char *const types[SVC_TYPE_MAX] = { "simple", "notify", "oneshot", "forking",
							 "group" };
	uint64_t flags = (s->wish ? CTL_WISH : 0) | (s->barred ? CTL_BARRED : 0) |
			 (s->stale ? CTL_STALE : 0) | (s->skipped ? CTL_SKIPPED : 0) |
			 (s->listening ? CTL_LISTENING : 0) | (d->enabled ? CTL_ENABLED : 0) |
			 (d->critical ? CTL_CRITICAL : 0) | (s->ended ? CTL_ENDED : 0) |
			 (d->masked ? CTL_MASKED : 0) | box_bits(&d->box);

	begin(CTL_ROW);
	wr_cstr(&ctl.out, s->name);
	wr_cstr(&ctl.out, types[d->type]);
	wr_cstr(&ctl.out, svc_state_names[s->state]);
	wr_cstr(&ctl.out, s->why);
	put_status(s);
	snprintf(text, sizeof(text), "%.200s", d->description ? d->description : "");
	wr_cstr(&ctl.out, text);
	text[0] = '\0';
	if (d->output == SVC_OUT_LOG && !d->terminal && d->type != SVC_GROUP)
		snprintf(text, sizeof(text), "%.1000s/%s.log", world.mgr.set->init.log_directory,
			 s->name);
	wr_cstr(&ctl.out, text);
	snprintf(text, sizeof(text), "%016llx%016llx", (unsigned long long)d->id[0],
		 (unsigned long long)d->id[1]);
	wr_cstr(&ctl.out, text);
	wr_u64(&ctl.out, flags);
	wr_u64(&ctl.out, s->pid > 0 ? (uint64_t)s->pid : 0);
	wr_u64(&ctl.out, s->since ? loop_now() - s->since : 0);
	wr_u64(&ctl.out, s->total_restarts);
	wr_u64(&ctl.out, (uint64_t)(unsigned)s->last_status);
}

/* As many rows as the socket takes; the rest when it can be written again. */
static void send_rows(struct client *c)
{
	while (c->rows && c->cursor < world.mgr.set->n) {
		put_row(world.mgr.v[c->cursor]);
		int r = flush(c);
		if (r == -EAGAIN)
			(void)loop_mod(&c->src, EPOLLIN | EPOLLOUT);
		if (r < 0)
			return;
		c->cursor++;
	}
	if (!c->rows)
		return;
	/* The end may be what does not fit, too. */
	begin(CTL_END);
	wr_u64(&ctl.out, 0);
	wr_cstr(&ctl.out, "");
	int r = flush(c);
	if (r == -EAGAIN)
		(void)loop_mod(&c->src, EPOLLIN | EPOLLOUT);
	if (r < 0)
		return;
	c->rows = false;
	(void)loop_mod(&c->src, EPOLLIN);
}

/* ---- requests --------------------------------------------------------------------------------*/

void control_acted(void)
{
	if (ctl.kept->stage != STAGE_BEGUN ||
	    ctl.clients[ctl.kept->current % LIMIT_CTL_CLIENTS].op != CTL_RELOAD)
		return;
	ctl.kept->code = 0;
	ctl.kept->stage = STAGE_ACTED;
}

static int do_info(struct client *c)
{
	uint64_t failed = 0;

	for (size_t i = 0; i < world.mgr.set->n; i++)
		failed += world.mgr.v[i]->state == SVC_FAILED;
	begin(CTL_INFO_ROW);
	wr_cstr(&ctl.out, CAIRN_VERSION);
	wr_cstr(&ctl.out, world.set_path ? world.set_path : "");
	wr_bool(&ctl.out, world.booted);
	wr_u64(&ctl.out, world.mgr.set->n);
	wr_u64(&ctl.out, failed);
	return flush(c);
}

/* Some changes a packet: a socket holds few packets, and they must all fit before the client
 * reads the first. */
static int put_change(struct client *c, const char *name, uint8_t change)
{
	int r = 0;

	if (ctl.out.len + LIMIT_SVC_NAME + 64 > LIMIT_CTL_MSG) {
		r = flush(c);
		begin(CTL_CHANGES);
	}
	wr_cstr(&ctl.out, name);
	wr_cstr(&ctl.out, svc_change_names[change]);
	return r;
}

static int send_plan(struct client *c, const struct svc_set *next)
{
	const struct svc_set *old = world.mgr.set;
	uint8_t *plan = calloc(old->n + next->n + 1, 1);
	int r = plan ? 0 : -ENOMEM;

	if (r == 0)
		svc_load_plan(&world.mgr, next, plan, plan + old->n);
	begin(CTL_CHANGES);
	for (size_t i = 0; r == 0 && i < old->n; i++)
		if (plan[i] == SVC_STOP)
			r = put_change(c, old->v[i]->name, SVC_STOP);
	for (size_t i = 0; r == 0 && i < next->n; i++)
		r = put_change(c, next->v[i]->name, plan[old->n + i]);
	free(plan);
	return r < 0 ? r : flush(c);
}

static const char *refusal(int r)
{
	return r == -EPERM	 ? "it is masked"
	       : r == -ESHUTDOWN ? "the machine is shutting down"
	       : r == -EBUSY	 ? "a load is under way"
	       : r == -ENODATA	 ? "it has no process for that, or is not up"
	       : r == -EALREADY	 ? "it runs"
				 : strerror(-r);
}

static void do_load(struct client *c, const char *path, bool dry_run, bool wait)
{
	struct svc_set *next = NULL;
	struct err e = ERR_INIT;
	int r = world_read_set(path, &next, &e);

	if (r < 0) {
		end(c, r, e.msg);
		return;
	}
	r = send_plan(c, next);
	if (dry_run || r < 0) {
		svc_set_free(next);
	} else {
		c->loads = !world.mgr.pending;
		c->waits = wait;
		r = world_load(path, next);
	}
	if (c->src.fd < 0)
		return;
	if (r < 0)
		end(c, r, refusal(r));
	else if (dry_run || !wait)
		end(c, 0, "");
	else
		c->waiting = true;
}

static void do_shutdown(struct client *c, struct slice name)
{
	for (int k = SHUT_REBOOT; k < SHUT_MAX; k++) {
		if (slice_is(name, shutdown_names[k])) {
			shutdown_begin((enum shutdown)k);
			end(c, 0, "");
			return;
		}
	}
	end(c, -EINVAL, "unknown kind of shutdown");
}

/* Add a service, and wait for it: to be up, or for its end. */
static void do_add(struct client *c, struct slice section, bool to_end, const int fds[3])
{
	struct slice name;
	struct err e = ERR_INIT;

	c->loads = !world.mgr.pending;
	c->waits = true;
	int r = added_put(section, &name, &e);

	if (r < 0) {
		end(c, r, e.msg);
		return;
	}
	if (fds && fds[0] >= 0)
		added_stdio(name, fds);
	snprintf(c->name, sizeof(c->name), "%.*s", (int)name.n, name.p);
	c->op = to_end ? CTL_RUN : CTL_START;
	c->waiting = true;
}

static void do_instance(struct client *c, struct slice name)
{
	char section[LIMIT_SVC_NAME + 40];
	int n = snprintf(section, sizeof(section), "[service %.*s]\nenabled = yes\n", (int)name.n,
			 name.p);

	do_add(c, (struct slice){ section, (size_t)n }, false, NULL);
}

static void do_action(struct client *c, struct slice name)
{
	struct slice service;

	slice_cut(&name, ' ', &service);
	struct svc *s = svc_mgr_find(&world.mgr, service);
	int r = !s ? -ERR_NOTFOUND : svc_action(&world.mgr, s, name);
	if (r < 0) {
		end(c, r,
		    r == -ERR_NOTFOUND ? "no such service"
		    : r == -ENOENT     ? "it has no such action"
				       : refusal(r));
		return;
	}
	snprintf(c->name, sizeof(c->name), "%s", s->name);
	c->waiting = true;
}

static void do_override(struct client *c)
{
	char path[LIMIT_PATH];
	int r = world_override(path);

	begin(CTL_TEXT);
	wr_cstr(&ctl.out, path);
	if (flush(c) == 0)
		end(c, r, r < 0 ? refusal(r) : "");
}

static void do_service(struct client *c, struct slice name, bool wait)
{
	struct svc *s = svc_mgr_find(&world.mgr, name);
	char text[LIMIT_SVC_NAME + 64];
	int r = 0;

	if (!s && (c->op == CTL_START || c->op == CTL_RESTART) &&
	    svc_set_has_template(world.mgr.set, name)) {
		do_instance(c, name);
		return;
	}
	if (!s) {
		snprintf(text, sizeof(text), "no service '%.*s'",
			 (int)MIN_OF(name.n, (size_t)LIMIT_SVC_NAME), name.p);
		end(c, -ERR_NOTFOUND, text);
		return;
	}
	snprintf(c->name, sizeof(c->name), "%s", s->name);
	switch (c->op) {
	case CTL_STATUS:
		settle_request(c, 0);
		put_row(s);
		if (flush(c) < 0)
			return;
		break;
	case CTL_START:
		r = svc_start(&world.mgr, s);
		break;
	case CTL_STOP:
		r = svc_stop(&world.mgr, s);
		break;
	case CTL_RESTART:
		r = svc_restart(&world.mgr, s);
		break;
	case CTL_TRIGGER:
		r = svc_trigger(&world.mgr, s);
		break;
	default:
		r = svc_reload(&world.mgr, s);
		break;
	}
	bool has_result = c->op == CTL_START || c->op == CTL_STOP || c->op == CTL_RESTART ||
			  c->op == CTL_TRIGGER;
	if (r == 0 && wait && has_result) {
		c->waiting = true;
		return;
	}
	end(c, r, r < 0 ? refusal(r) : "");
}

/* Answered by the next life. */
static void do_reexec(struct client *c, const char *path)
{
	struct err e = ERR_INIT;
	int r = world_reexec(path, &e);

	if (r < 0)
		end(c, r, e.msg);
	else
		c->waiting = true;
}

static void dispatch(struct client *c, uint64_t flags, struct slice name, const int fds[3])
{
	char path[LIMIT_PATH + 1];

	if (c->op > CTL_STATUS && c->op != CTL_INFO && !c->trusted) {
		end(c, -EPERM, "only root may do that");
		return;
	}
	switch (c->op) {
	case CTL_LIST:
		c->rows = true;
		c->cursor = 0;
		settle_request(c, 0);
		send_rows(c);
		break;
	case CTL_INFO:
		if (do_info(c) == 0)
			end(c, 0, "");
		break;
	case CTL_LOAD:
		snprintf(path, sizeof(path), "%.*s", (int)name.n, name.p);
		do_load(c, path, flags & CTL_DRY_RUN, flags & CTL_WAIT);
		break;
	case CTL_SHUTDOWN:
		do_shutdown(c, name);
		break;
	case CTL_REEXEC:
		snprintf(path, sizeof(path), "%.*s", (int)name.n, name.p);
		do_reexec(c, path);
		break;
	case CTL_RUN:
		do_add(c, name, flags & CTL_WAIT, fds);
		break;
	case CTL_ACTION:
		do_action(c, name);
		break;
	case CTL_OVERRIDE:
		do_override(c);
		break;
	default:
		do_service(c, name, flags & CTL_WAIT);
		break;
	}
}

/* The descriptors that came with a message: three, or none. Those of others are closed. */
static void take_fds(struct msghdr *m, bool wanted, int fds[3])
{
	struct cmsghdr *h = CMSG_FIRSTHDR(m);
	size_t n = 0;

	fds[0] = fds[1] = fds[2] = -1;
	if (!h || h->cmsg_level != SOL_SOCKET || h->cmsg_type != SCM_RIGHTS)
		return;
	n = (h->cmsg_len - CMSG_LEN(0)) / sizeof(int);
	memcpy(fds, CMSG_DATA(h), (n > 3 ? 3 : n) * sizeof(int));
	if (!wanted || n != 3)
		for (size_t i = 0; i < 3; i++)
			fd_close(&fds[i]);
}

static void on_client(struct loop_fd *src, uint32_t events)
{
	struct client *c = src->arg;
	char msg[LIMIT_CTL_MSG];

	if ((events & EPOLLOUT) && c->rows) {
		send_rows(c);
		if (c->src.fd < 0)
			return;
	}
	if (!(events & (EPOLLIN | EPOLLHUP | EPOLLERR)))
		return;
	struct iovec iov = { msg, sizeof(msg) };
	union {
		struct cmsghdr h;
		char space[CMSG_SPACE(3 * sizeof(int))];
	} fd_space;
	int fds[3];
	struct msghdr m = { .msg_iov = &iov,
			    .msg_iovlen = 1,
			    .msg_control = &fd_space,
			    .msg_controllen = sizeof(fd_space) };
	ssize_t n = recvmsg(src->fd, &m, MSG_PEEK | MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	struct rd r = rd_of(msg, n > 0 ? (size_t)n : 0);
	uint64_t version = rd_u64(&r), op = rd_u64(&r), flags = rd_u64(&r);
	struct slice name = rd_str(&r, LIMIT_PATH);
	take_fds(&m, n > 0 && op == CTL_RUN && c->trusted && !c->rows && !c->waiting, fds);
	if (n <= 0 || c->rows || c->waiting) { /* gone, or talking out of turn */
		drop(c);
		return;
	}
	c->used = loop_now();
	ctl.kept->current = (uint32_t)(c - ctl.clients);
	ctl.kept->stage = STAGE_BEGUN;
	if ((m.msg_flags & MSG_TRUNC) || rd_done(&r) < 0 || op == 0 || op >= CTL_OP_MAX ||
	    (flags & ~(uint64_t)CTL_FLAG_MASK) || memchr(name.p, '\0', name.n)) {
		end(c, -ERR_PROTO, "malformed request");
		drop(c);
	} else if (version != CTL_VERSION) {
		end(c, -ERR_PROTO, "this init speaks version 1 of the protocol");
		drop(c);
	} else {
		c->op = (enum ctl_op)op;
		c->loads = false;
		dispatch(c, flags, name, fds);
	}
	if (c->src.fd >= 0)
		settle_request(c, 0);
	ctl.kept->stage = STAGE_NONE;
	if (fds[0] >= 0 && !added_has_stdio(fds))
		for (size_t i = 0; i < 3; i++)
			fd_close(&fds[i]);
}

/* ---- connections -----------------------------------------------------------------------------*/

/* The client silent for longest, strangers first; those that are trusted only for one that is. */
static struct client *find_idle(bool trusted)
{
	struct client *best = NULL;

	for (size_t i = 0; i < LIMIT_CTL_CLIENTS; i++) {
		struct client *c = &ctl.clients[i];
		if (c->src.fd < 0 || c->waiting || (c->trusted && !trusted))
			continue;
		if (!best || c->trusted < best->trusted ||
		    (c->trusted == best->trusted && c->used < best->used))
			best = c;
	}
	return best;
}

/* A free slot, or that of an idle client. */
static struct client *find_slot(bool trusted)
{
	struct client *c;

	for (size_t i = 0; i < LIMIT_CTL_CLIENTS; i++)
		if (ctl.clients[i].src.fd < 0)
			return &ctl.clients[i];
	c = find_idle(trusted);
	if (c)
		drop(c);
	return c;
}

static void on_pause(struct loop_timer *t)
{
	if (loop_add(world.loop, &ctl.src, ctl.kept->listener, EPOLLIN) < 0)
		(void)loop_arm(world.loop, t, loop_now() + SHORT_PAUSE);
}

/* With a spare descriptor or that of an idle client when there is none; when there are none of
 * these either, nobody is listened to for a moment, for the socket would be ready all the time. */
static int accept_client(int listener)
{
	int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	struct client *idle;

	if (fd >= 0 || !spare_is_short(errno))
		return fd;
	if (!spare_lend(errno, SPARE_FOR_CLIENTS) && (idle = find_idle(true)))
		drop(idle);
	fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (fd < 0 && spare_is_short(errno)) {
		loop_del(&ctl.src);
		(void)loop_arm(world.loop, &ctl.pause, loop_now() + SHORT_PAUSE);
	}
	return fd;
}

static bool accept_one(int listener)
{
	struct ucred cred = { .uid = (uid_t)-1 };
	socklen_t len = sizeof(cred);
	int fd = accept_client(listener);

	if (fd < 0)
		return false;
	(void)getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len);
	bool trusted = cred.uid == 0 || cred.uid == geteuid();
	struct client *c = find_slot(trusted);
	if (!c) {
		fd_close(&fd);
		return true;
	}
	*c = (struct client){ .src = { .fd = -1, .fn = on_client, .arg = c },
			      .trusted = trusted,
			      .used = loop_now() };
	if (loop_add(world.loop, &c->src, fd, EPOLLIN) < 0) {
		fd_close(&fd);
		c->src.fd = -1;
	}
	return true;
}

static void on_listen(struct loop_fd *src, uint32_t events)
{
	for (int i = 0; i < ACCEPT_TURN && accept_one(src->fd); i++)
		;
}

static void attach(struct client *c)
{
	int fd = inherit_take(c->src.fd, S_IFSOCK);

	c->src = (struct loop_fd){ .fd = -1, .fn = on_client, .arg = c };
	if (fd < 0 ||
	    loop_add(world.loop, &c->src, fd, c->rows ? EPOLLIN | EPOLLOUT : EPOLLIN) < 0) {
		fd_close(&fd);
		c->src.fd = -1;
		c->rows = c->waiting = false;
	}
}

void control_resume(void)
{
	struct client *c = &ctl.clients[ctl.kept->current % LIMIT_CTL_CLIENTS];
	uint32_t stage = ctl.kept->stage;

	ctl.kept->stage = STAGE_NONE;
	if (stage == STAGE_BEGUN)
		c->rows = c->waiting = false; /* it is unread yet */
	if (stage == STAGE_BEGUN && c->loads && world.mgr.pending) {
		c->waiting = c->waits;
		ctl.kept->code = 0;
		stage = STAGE_ACTED;
	}
	if (c->src.fd < 0 || stage <= STAGE_BEGUN || stage > STAGE_CONSUMED)
		return;
	if (stage != STAGE_CONSUMED)
		(void)recv(c->src.fd, NULL, 0, MSG_DONTWAIT);
	if (c->rows || c->waiting)
		return;
	const struct svc *s = svc_mgr_find(&world.mgr, slice_of(c->name));
	if (c->op == CTL_STATUS && s) {
		put_row(s);
		if (flush(c) < 0)
			return;
	}
	end(c, ctl.kept->code, ctl.kept->code < 0 ? refusal(ctl.kept->code) : "");
}

/* Clients of a life before, and those that will come. false: there was none. */
static bool take_over(void)
{
	int fd = inherit_take(ctl.kept->listener, S_IFSOCK);

	for (size_t i = 0; i < LIMIT_CTL_CLIENTS; i++)
		if (ctl.clients[i].src.fd >= 0)
			attach(&ctl.clients[i]);
	if (fd < 0 || loop_add(world.loop, &ctl.src, fd, EPOLLIN) < 0)
		return false;
	ctl.kept->listener = fd;
	return true;
}

int control_open(const char *path, struct err *e)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	bool came;

	ctl.src.fn = on_listen;
	ctl.pause.fn = on_pause;
	ctl.kept = state_area(sizeof(*ctl.kept), &came);
	if (!ctl.kept || !str_room(&ctl.out, LIMIT_CTL_MSG))
		return err_num(e, -ENOMEM, "%s", path);
	ctl.clients = ctl.kept->clients;
	if (came && take_over())
		return 0;
	for (size_t i = 0; i < LIMIT_CTL_CLIENTS; i++)
		ctl.clients[i].src.fd = -1;
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	snprintf(a.sun_path, sizeof(a.sun_path), "%s", path);
	(void)unlink(path); /* of an earlier run */
	if (fd < 0 || bind(fd, (struct sockaddr *)&a, sizeof(a)) < 0 || chmod(path, 0666) < 0 ||
	    listen(fd, 64) < 0) {
		int r = err_sys(e, "%s", path);
		fd_close(&fd);
		return r;
	}
	ctl.kept->listener = fd;
	return loop_add(world.loop, &ctl.src, fd, EPOLLIN);
}

/* ---- results ---------------------------------------------------------------------------------*/

/* What failed, or waits to be tried again, since the load of this client began. */
static void answer_load(struct client *c)
{
	char text[600];
	size_t n = 0;

	for (size_t i = 0; i < world.mgr.set->n && n < sizeof(text); i++) {
		const struct svc *s = world.mgr.v[i];
		if ((s->state == SVC_FAILED || s->state == SVC_BACKOFF) && s->since >= c->used)
			n += (size_t)snprintf(text + n, sizeof(text) - n, "%s%s is %s%s%s",
					      n ? "; " : "", s->name, svc_state_names[s->state],
					      s->why[0] ? ": " : "", s->why);
	}
	end(c, n ? -ECANCELED : 0, n ? text : "");
}

static void answer_load_failed(struct client *c)
{
	const struct svc_mgr *m = &world.mgr;
	char text[LIMIT_SVC_NAME + 100];

	snprintf(text, sizeof(text), "%s%s; the services of before stay",
		 m->load_culprit[0] ? m->load_culprit : strerror(-m->load_error),
		 m->load_culprit[0] ? " does not die" : "");
	end(c, m->load_error, text);
}

static bool has_ended(const struct svc *s)
{
	return s->state == SVC_DONE || s->state == SVC_FAILED || (s->state == SVC_DOWN && !s->goal);
}

static void answer_action(struct client *c, const struct svc *s)
{
	char text[64];

	if (s->aux >= 0)
		return;
	proc_status_text(s->aux_status, text);
	end(c, s->aux_status ? -ECANCELED : 0, s->aux_status ? text : "");
}

static void answer(struct client *c)
{
	struct svc *s;
	char text[300];

	if (c->op == CTL_REEXEC) {
		if (!world.reexec)
			end(c, world.reexec_error,
			    world.reexec_error ? strerror(-world.reexec_error) : "");
		return;
	}
	if (c->op == CTL_LOAD) {
		if (world.shutdown)
			end(c, -ESHUTDOWN, "the machine is shutting down");
		else if (world.mgr.load_error)
			answer_load_failed(c);
		else if (svc_all_settled(&world.mgr))
			answer_load(c);
		return;
	}
	s = svc_mgr_find(&world.mgr, slice_of(c->name));
	if (!s && world.mgr.pending)
		return; /* it is about to come */
	if (!s && world.mgr.load_error) {
		answer_load_failed(c);
	} else if (!s) {
		end(c, -ERR_NOTFOUND, "the service was removed");
	} else if (c->op != CTL_STOP && world.shutdown) {
		end(c, -ESHUTDOWN, "the machine is shutting down");
	} else if (c->op == CTL_ACTION) {
		answer_action(c, s);
	} else if (c->op == CTL_RUN) {
		if (has_ended(s))
			end(c, 0, "");
	} else if (!svc_is_settled(s) ||
		   (c->op == CTL_TRIGGER && s->state == SVC_UP && s->pid >= 0)) {
		return;
	} else if (c->op == CTL_TRIGGER && s->why[0]) {
		end(c, -ECANCELED, s->why);
	} else if ((c->op == CTL_STOP && !s->stuck) || s->state == SVC_UP ||
		   (s->state == SVC_DONE && !s->why[0])) {
		end(c, 0, "");
	} else {
		snprintf(text, sizeof(text), "%s is %s%s%s", s->name, svc_state_names[s->state],
			 s->why[0] ? ": " : "", s->why);
		end(c, -ECANCELED, text);
	}
}

void control_turn(void)
{
	for (size_t i = 0; i < LIMIT_CTL_CLIENTS; i++)
		if (ctl.clients[i].src.fd >= 0 && ctl.clients[i].waiting)
			answer(&ctl.clients[i]);
}
