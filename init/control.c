/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "init/control.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "init/added.h"
#include "init/control-inside.h"
#include "init/inherit.h"
#include "init/listen.h"
#include "init/row.h"
#include "init/spare.h"
#include "init/state.h"
#include "init/step.h"
#include "init/world.h"
#include "lib/fd.h"
#include "lib/log.h"
#include "lib/size.h"
#include "lib/wire.h"

#define ACCEPT_TURN 8
#define SHORT_PAUSE 200000000ull

/* How far the request of one client is: what a crash finds begun is still unread, and done anew;
 * what is done is consumed, and only its answer may be missing. */
enum stage { STAGE_NONE, STAGE_BEGUN, STAGE_ACTED, STAGE_DONE, STAGE_CONSUMED };

/* In memory that outlives this program. */
struct kept {
	int listener;
	struct client clients[LIMIT_CTL_CLIENTS];
	volatile uint32_t current, stage;
	int code;	     /* the answer of a request that is done */
	volatile int coming; /* a client that may have no slot yet; 0: none */
};

static struct {
	struct loop_fd src;
	struct loop_timer pause;
	struct kept *kept;
	struct client *clients;
	struct str out, events; /* packets; memory reserved at the start */
} ctl = { .src = { .fd = -1 }, .out = STR_INIT, .events = STR_INIT };

static bool is_current(const struct client *c)
{
	return c == &ctl.clients[ctl.kept->current];
}

void control_settle(struct client *c, int code)
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

/* There is no request of c that anything is to be done for. */
static void rest(struct client *c)
{
	c->rows = c->waiting = c->watching = false;
}

static void drop(struct client *c)
{
	int fd = c->src.fd;

	loop_del(&c->src);
	c->src.fd = -1;
	rest(c);
	fd_close(&fd);
}

static struct str *begin(struct str *out, uint64_t version, enum ctl_kind kind)
{
	str_cut(out, 0);
	wr_u64(out, version);
	wr_u64(out, kind);
	return out;
}

struct str *control_begin(const struct client *c, enum ctl_kind kind)
{
	return begin(&ctl.out, c->version, kind);
}

static int send_packet(struct client *c, const struct str *packet, int fd)
{
	union {
		struct cmsghdr h;
		char space[CMSG_SPACE(sizeof(int))];
	} space = { .h = { .cmsg_level = SOL_SOCKET,
			   .cmsg_type = SCM_RIGHTS,
			   .cmsg_len = CMSG_LEN(sizeof(int)) } };
	struct iovec iov = { packet->buf, packet->len };
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1 };
	int r = str_err(packet);

	if (fd >= 0) {
		memcpy(CMSG_DATA(&space.h), &fd, sizeof(fd));
		m.msg_control = &space;
		m.msg_controllen = sizeof(space);
	}
	if (r == 0 && sendmsg(c->src.fd, &m, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
		r = -errno;
	if (r < 0 && r != -EAGAIN)
		drop(c);
	return r;
}

int control_send(struct client *c, int fd)
{
	return send_packet(c, &ctl.out, fd);
}

void control_end(struct client *c, int code, const char *message)
{
	control_settle(c, code);
	rest(c);
	wr_u64(control_begin(c, CTL_END), (uint64_t) - (int64_t)code);
	wr_cstr(&ctl.out, message);
	if (control_send(c, -1) == -EAGAIN)
		drop(c); /* it does not read its answers */
}

void control_send_rows(struct client *c)
{
	int r = 0;

	while (c->rows && r == 0) {
		size_t i = c->cursor;
		bool last = i >= world.mgr.set->n;
		struct str *out = control_begin(c, last ? CTL_END : CTL_ROW);
		if (last) {
			wr_u64(out, 0);
			wr_cstr(out, "");
		} else {
			row_put(out, world.mgr.v[i], c->version);
		}
		r = control_send(c, -1);
		c->cursor += r == 0;
		if (last && r == 0)
			c->rows = false;
	}
	if (c->src.fd >= 0)
		(void)loop_mod(&c->src, c->rows ? EPOLLIN | EPOLLOUT : EPOLLIN);
}

/* ---- events ----------------------------------------------------------------------------------*/

static void send_events(void)
{
	if (ctl.events.len == 0)
		return;
	for (size_t i = 0; i < LIMIT_CTL_CLIENTS; i++) {
		struct client *c = &ctl.clients[i];
		if (c->watching && send_packet(c, &ctl.events, -1) == -EAGAIN)
			drop(c); /* that it gets no more tells it that it missed some */
	}
	str_cut(&ctl.events, 0);
}

static bool is_watched(void)
{
	for (size_t i = 0; ctl.clients && i < LIMIT_CTL_CLIENTS; i++)
		if (ctl.clients[i].watching)
			return true;
	return false;
}

static void note(const char *name, const char *old, const char *now, const char *why)
{
	if (!is_watched())
		return;
	if (ctl.events.len + ROW_EVENT_MAX > LIMIT_CTL_MSG)
		send_events();
	if (ctl.events.len == 0)
		(void)begin(&ctl.events, CTL_VERSION, CTL_EVENTS);
	row_put_event(&ctl.events, name, old, now, why);
}

void control_changed(const struct svc *s, enum svc_state old)
{
	bool gone = old == SVC_STATE_MAX;
	const char *now = svc_state_names[s->state];

	note(s->name, gone ? now : svc_state_names[old], gone ? "removed" : now, s->why);
}

void control_note(const char *what, const char *why)
{
	note("", "", what, why);
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
		control_send_rows(c);
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
	struct ctl_request q = { 0 };
	bool busy = c->rows || c->waiting || c->watching;
	int r = n > 0 && !(m.msg_flags & MSG_TRUNC) ? ctl_request_parse(msg, (size_t)n, &q)
						    : -ERR_PROTO;
	take_fds(&m, q.op == CTL_RUN && c->trusted && !busy, fds);
	if (n <= 0 || busy) { /* gone, or talking out of turn */
		drop(c);
		return;
	}
	c->used = loop_now();
	ctl.kept->current = (uint32_t)(c - ctl.clients);
	ctl.kept->stage = STAGE_BEGUN;
	if (r < 0) {
		control_end(c, r, "malformed request, or not of a protocol from 1 to 2");
		drop(c);
	} else {
		c->version = (uint8_t)q.version;
		c->op = q.op;
		c->loads = false;
		request_do(c, &q, fds);
	}
	if (c->src.fd >= 0)
		control_settle(c, 0);
	ctl.kept->stage = STAGE_NONE;
	if (fds[0] >= 0 && !added_has_stdio(fds))
		for (size_t i = 0; i < 3; i++)
			fd_close(&fds[i]);
}

/* ---- connections -----------------------------------------------------------------------------*/

/* Has uid, which is not trusted, all the slots that it may have? */
static bool has_share(uint32_t uid)
{
	size_t n = 0;

	for (size_t i = 0; i < LIMIT_CTL_CLIENTS; i++) {
		const struct client *c = &ctl.clients[i];
		n += c->src.fd >= 0 && !c->trusted && c->uid == uid;
	}
	return n >= LIMIT_CTL_SHARE;
}

/* May a new client of uid have the slot of c? Who waits keeps it, but no stranger keeps out one who
 * is trusted, and none has more than its share. */
static bool may_replace(const struct client *c, bool trusted, uint32_t uid, bool full)
{
	if (full)
		return !c->trusted && c->uid == uid;
	if (c->waiting || c->watching)
		return trusted && !c->trusted;
	return trusted || !c->trusted;
}

/* The client silent for longest whose slot a new one of uid may have, strangers first. */
static struct client *find_idle(bool trusted, uint32_t uid, bool full)
{
	struct client *best = NULL;

	for (size_t i = 0; i < LIMIT_CTL_CLIENTS; i++) {
		struct client *c = &ctl.clients[i];
		if (c->src.fd < 0 || !may_replace(c, trusted, uid, full))
			continue;
		if (!best || c->trusted < best->trusted ||
		    (c->trusted == best->trusted && c->used < best->used))
			best = c;
	}
	return best;
}

/* A free slot, or that of an idle client. NULL: all are in use. */
static struct client *find_slot(bool trusted, uint32_t uid)
{
	bool full = !trusted && has_share(uid);
	struct client *c;

	for (size_t i = 0; !full && i < LIMIT_CTL_CLIENTS; i++)
		if (ctl.clients[i].src.fd < 0)
			return &ctl.clients[i];
	c = find_idle(trusted, uid, full);
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
	if (!spare_lend(errno, SPARE_FOR_CLIENTS) && (idle = find_idle(true, 0, false)))
		drop(idle);
	fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (fd < 0 && spare_is_short(errno)) {
		loop_del(&ctl.src);
		(void)loop_arm(world.loop, &ctl.pause, loop_now() + SHORT_PAUSE);
	}
	return fd;
}

static void take_client(int fd)
{
	struct ucred cred = { .uid = (uid_t)-1 };
	socklen_t len = sizeof(cred);

	(void)getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len);
	bool trusted = cred.uid == 0 || cred.uid == geteuid();
	struct client *c = find_slot(trusted, cred.uid);
	if (!c) {
		fd_close(&fd);
		return;
	}
	*c = (struct client){ .src = { .fd = -1, .fn = on_client, .arg = c },
			      .trusted = trusted,
			      .version = CTL_VERSION,
			      .uid = cred.uid,
			      .used = loop_now() };
	if (loop_add(world.loop, &c->src, fd, EPOLLIN) < 0) {
		fd_close(&fd);
		c->src.fd = -1;
	}
}

static bool accept_one(int listener)
{
	int fd = accept_client(listener);

	if (fd < 0)
		return false;
	ctl.kept->coming = fd;
	take_client(fd);
	ctl.kept->coming = 0;
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
		rest(c);
	}
	if (!c->version) /* of a life that spoke one only */
		c->version = CTL_OLDEST;
}

void control_resume(void)
{
	struct client *c = &ctl.clients[ctl.kept->current % LIMIT_CTL_CLIENTS];
	uint32_t stage = ctl.kept->stage;

	ctl.kept->stage = STAGE_NONE;
	control_note("re-exec", "");
	if (stage == STAGE_BEGUN)
		rest(c); /* it is unread yet */
	if (stage == STAGE_BEGUN && c->loads && world.mgr.pending) {
		c->waiting = c->waits;
		ctl.kept->code = 0;
		stage = STAGE_ACTED;
	}
	if (c->src.fd < 0 || stage <= STAGE_BEGUN || stage > STAGE_CONSUMED)
		return;
	if (stage != STAGE_CONSUMED)
		(void)recv(c->src.fd, NULL, 0, MSG_DONTWAIT);
	if (c->rows || c->waiting || c->watching)
		return;
	const struct svc *s = svc_mgr_find(&world.mgr, slice_of(c->name));
	if (c->op == CTL_STATUS && s) {
		row_put(control_begin(c, CTL_ROW), s, c->version);
		if (control_send(c, -1) < 0)
			return;
	}
	control_end(c, ctl.kept->code, ctl.kept->code < 0 ? request_refusal(ctl.kept->code) : "");
}

/* Clients of a life before, and those that will come. false: there was none. */
static bool take_over(void)
{
	int fd = inherit_take(ctl.kept->listener, S_IFSOCK);

	for (size_t i = 0; i < LIMIT_CTL_CLIENTS; i++)
		if (ctl.clients[i].src.fd >= 0)
			attach(&ctl.clients[i]);
	int coming = inherit_take(ctl.kept->coming, S_IFSOCK);
	if (coming >= 0)
		take_client(coming);
	ctl.kept->coming = 0;
	if (fd < 0 || loop_add(world.loop, &ctl.src, fd, EPOLLIN) < 0)
		return false;
	ctl.kept->listener = fd;
	return true;
}

int control_listen(const char *path, struct err *e)
{
	const struct svc_listen l = { .kind = SVC_SEQPACKET, .address = path, .mode = 0666 };
	char why[120];
	int fd = listen_open(&l, why, sizeof(why));

	if (fd < 0)
		return err_set(e, fd, "%s", why);
	(void)fd_set_nonblock(fd, true);
	loop_disarm(world.loop, &ctl.pause);
	loop_del(&ctl.src);
	fd_close(&ctl.kept->listener);
	ctl.kept->listener = fd;
	return loop_add(world.loop, &ctl.src, fd, EPOLLIN);
}

int control_open(const char *path, struct err *e)
{
	bool came;

	ctl.src.fn = on_listen;
	ctl.pause.fn = on_pause;
	ctl.kept = state_area(sizeof(*ctl.kept), &came);
	if (!ctl.kept || !str_room(&ctl.out, LIMIT_CTL_MSG) ||
	    !str_room(&ctl.events, LIMIT_CTL_MSG))
		return err_num(e, -ENOMEM, "%s", path);
	ctl.clients = ctl.kept->clients;
	if (came && take_over())
		return 0;
	for (size_t i = 0; i < LIMIT_CTL_CLIENTS; i++)
		ctl.clients[i].src.fd = -1;
	ctl.kept->listener = -1;
	return control_listen(path, e);
}

void control_turn(void)
{
	for (size_t i = 0; i < LIMIT_CTL_CLIENTS; i++)
		if (ctl.clients[i].src.fd >= 0 && ctl.clients[i].waiting)
			result_look(&ctl.clients[i]);
	send_events();
}
