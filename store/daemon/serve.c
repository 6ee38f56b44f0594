/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "store/daemon/serve.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "lib/fd.h"
#include "lib/loop.h"
#include "lib/proc.h"
#include "lib/size.h"
#include "lib/wire.h"
#include "store/daemon/request.h"
#include "store/subst/subst.h"
#include "store/local/userdir.h"

#define DESCRIPTORS 4096

static const struct op *find_op(enum dialect d, uint64_t op)
{
	static const struct op *const tables[] = { ops_query,  ops_change, ops_settings,
						   ops_export, ops_nix,	   ops_basic };
	for (size_t i = 0; i < ARRAY_LEN(tables); i++)
		for (const struct op *o = tables[i]; o->fn; o++)
			if (o->op == op && (o->in & (1U << d)))
				return o;
	return NULL;
}

/* Questions are answered at once, and change nothing. */
static bool only_asks(const struct op *o)
{
	for (const struct op *x = ops_query; o && x->fn; x++)
		if (x == o)
			return true;
	return false;
}

static void send_error(struct stream *st, const struct err *e, int status)
{
	stream_put_u64(st, PROTO_ERROR);
	stream_put_cstr(st, e->msg);
	stream_put_u64(st, (uint64_t)(status > 0 ? status : 1));
}

/* The archive has no frame: where it cannot be finished, only the end of the connection tells. */
static void send_nar(struct req *q)
{
	struct local *l = q->s->l;
	struct nar_sink *out = stream_sink(q->in, &q->a);
	if (!out || nar_dump(l->store_fd, local_base(l, q->nar), NULL, NULL, out, &q->e) < 0)
		q->in->err = q->in->err ? q->in->err : -EIO;
}

/* Answer one request. false: the connection is out of step, or over. */
static bool answer(struct session *s)
{
	struct stream *st = &s->stream;
	uint64_t op = stream_u64(st);
	struct req q = { .s = s, .in = st, .a = ARENA_INIT, .reply = STR_INIT, .e = ERR_INIT };
	q.status = 1;
	st->left = PROTO_LIMIT_REQUEST;
	int r = 0;
	const struct op *o = st->err ? NULL : find_op(s->dialect, op);
	bool asks = only_asks(o);
	if (!asks)
		(void)stream_flush(st); /* sticks in st->err */
	if (o)
		r = o->fn(&q);
	else if (!st->err) {
		r = err_set(&q.e, -ERR_PROTO, "invalid operation %llu", (unsigned long long)op);
		st->err = -ERR_PROTO;
	}
	int broken = st->err; /* by reading; the answer can still be written */
	if (broken != -EPIPE && broken != -ECONNRESET)
		st->err = 0;
	if (!r && str_err(&q.reply))
		r = err_set(&q.e, -ENOMEM, "out of memory");
	if (!r && s->lost.code) { /* earlier answers promised too much */
		q.e = s->lost;
		s->lost = (struct err)ERR_INIT;
		r = q.e.code;
	}
	if (r) {
		send_error(st, &q.e, q.status);
	} else {
		stream_put_u64(st, PROTO_LAST);
		stream_put_raw(st, q.reply.buf, q.reply.len);
	}
	if (!r && q.nar)
		send_nar(&q);
	/* When more was asked already, the answers go out together. */
	bool later = asks && !broken && st->pos < st->len;
	bool sent = later || stream_flush(st) == 0;
	str_done(&q.reply);
	arena_done(&q.a);
	return sent && !broken && !s->client_gone;
}

static void close_with(struct stream *st, const char *text)
{
	struct err e = ERR_INIT;
	err_set(&e, -ERR_PROTO, "%s", text);
	st->err = 0;
	send_error(st, &e, 1);
	(void)stream_flush(st); /* it is over anyway */
}

/* An error in the form that Nix's clients of today understand when the other side's version is one
 * that only Guix has: they take it for newer than their own. */
static void close_nix(struct stream *st, uint64_t minor, const char *text)
{
	if (minor >= PROTO_MINOR_OLD_GUIX) {
		close_with(st, text);
		return;
	}
	if (minor >= 38)
		stream_put_u64(st, 0); /* features */
	if (minor >= 33)
		stream_put_cstr(st, "cairn"); /* version of the daemon */
	if (minor >= 35)
		stream_put_u64(st, 0); /* trust: not told */
	if (minor < 26) {
		close_with(st, text);
		return;
	}
	stream_put_u64(st, PROTO_ERROR);
	stream_put_cstr(st, "Error");
	stream_put_u64(st, 0); /* level */
	stream_put_cstr(st, "Error");
	stream_put_cstr(st, text);
	stream_put_u64(st, 0);	/* no position, … */
	stream_put_u64(st, 0);	/* … no trace */
	(void)stream_flush(st); /* it is over anyway */
}

/* Who comes to the wrong door is told which one is right. The families can be told apart by their
 * minor versions: Guix's are beyond any of Nix's. */
static bool check_version(struct stream *st, enum dialect d, uint64_t version)
{
	const struct dialect_facts *f = dialect_facts(d);
	bool guix = PROTO_MINOR(version) >= dialect_facts(DIALECT_GUIX)->minor_min;
	if (PROTO_MAJOR(version) != PROTO_MAJOR(f->version))
		close_with(st, "the client's protocol version is not supported");
	else if (d == DIALECT_GUIX && !guix)
		close_nix(st, PROTO_MINOR(version),
			  "this socket speaks version 1.100 of Guix's protocol, and the client an "
			  "older one or "
			  "Nix's: Nix's clients want a daemon with --dialect=nix");
	else if (d == DIALECT_NIX && guix)
		close_with(st, "this socket speaks version 1.21 of Nix's protocol: Guix's clients "
			       "want a daemon "
			       "with --dialect=guix");
	else if (PROTO_MINOR(version) < f->minor_min)
		close_with(st, "the client version is too old");
	else
		return true;
	return false;
}

static bool greet(struct stream *st, enum dialect d)
{
	uint64_t magic = stream_u64(st);
	if (st->err)
		return false;
	if (magic != PROTO_MAGIC_CLIENT) {
		close_with(st, "protocol mismatch");
		return false;
	}
	stream_put_u64(st, PROTO_MAGIC_SERVER);
	stream_put_u64(st, dialect_facts(d)->version);
	if (stream_flush(st))
		return false;
	uint64_t version = stream_u64(st);
	if (st->err || !check_version(st, d, version))
		return false;
	if (PROTO_MINOR(version) >= PROTO_MINOR_AFFINITY && stream_u64(st) != 0)
		(void)stream_u64(st); /* the processor it would like: not ours to obey */
	if (PROTO_MINOR(version) >= PROTO_MINOR_RESERVE)
		(void)stream_u64(st); /* reserved space: we keep none */
	if (st->err)
		close_with(st, "malformed greeting");
	return !st->err;
}

static int open_session(struct session *s, const struct serve_opts *o, struct err *e)
{
	int r = local_open(&o->local, &s->l, e);
	if (r) {
		int broker = o->broker;
		fd_close(&broker);
		return r;
	}
	if (o->broker >= 0)
		return slots_broker(s->l, o->broker, o->max_jobs ? o->max_jobs : serve_processors(),
				    &s->slots, e);
	return slots_files(s->l, &s->slots, e);
}

uint64_t serve_processors(void)
{
	cpu_set_t set;
	if (sched_getaffinity(0, sizeof(set), &set) < 0)
		return 1;
	int n = CPU_COUNT(&set);
	return n < 1 ? 1 : (uint64_t)n;
}

/* Additions wait for each other to be made durable together; others wait for them, so not while
 * the client is silent or does not listen. */
static void flush_when_idle(void *arg)
{
	struct session *s = arg;
	struct err e = ERR_INIT;
	if (local_pending(s->l) && local_flush(s->l, &e) < 0 && !s->lost.code)
		s->lost = e;
}

/* Builders must not find signals ignored that whoever started us ignored. The four that end a
 * client keep what it wants (nohup); each builder resets them. */
static void own_signals(void)
{
	for (int i = 1; i < NSIG; i++)
		if (i != SIGHUP && i != SIGINT && i != SIGQUIT && i != SIGTERM)
			proc_signal_unignore(i);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN); /* a file that may not grow is an error like a full disk */
}

/* Walks over deep trees hold one or two descriptors a level; builders get the usual limit again. */
static void more_descriptors(void)
{
	struct rlimit l;
	if (getrlimit(RLIMIT_NOFILE, &l) < 0 || l.rlim_cur >= DESCRIPTORS)
		return;
	l.rlim_cur = MIN_OF(l.rlim_max, (rlim_t)DESCRIPTORS);
	(void)setrlimit(RLIMIT_NOFILE, &l); /* without it only the deepest trees are refused */
}

void serve(int fd, const struct serve_opts *o)
{
	struct session s = { .dialect = o->dialect,
			     .client_uid = o->client_uid,
			     .client_gid = o->client_gid,
			     .trusted = o->trusted,
			     .max_jobs = o->max_jobs ? o->max_jobs : serve_processors(),
			     .cores = o->cores,
			     .policy = o->policy,
			     .max_silent = o->policy.max_silent,
			     .timeout = o->policy.timeout,
			     .rounds = o->policy.rounds,
			     .work = WORKDIR_INIT };
	struct err e = ERR_INIT;
	subst_init(&s.subst, &o->policy);
	umask(022);
	own_signals();
	more_descriptors();
	if (stream_init(&s.stream, fd))
		return;
	struct stream *st = &s.stream;
	st->until = loop_now() + PROTO_HELLO_SECONDS * 1000000000ull;
	if (!greet(st, s.dialect)) {
		int broker = o->broker;
		fd_close(&broker);
		stream_done(st);
		return;
	}
	st->until = 0;
	if (open_session(&s, o, &e)) {
		send_error(st, &e, 1);
		(void)stream_flush(st); /* it is over anyway */
		session_done(&s);
		return;
	}
	if (o->broker >= 0 && s.client_uid != (uid_t)-1)
		userdir_make(s.l, s.client_uid, s.client_gid);
	st->idle = flush_when_idle;
	st->idle_arg = &s;
	stream_put_u64(st, PROTO_LAST);
	bool go = stream_flush(st) == 0;
	while (go) {
		st->stall_ns = 0; /* between requests a client may think as long as it likes */
		if (!stream_wait(st))
			break;
		st->stall_ns = PROTO_STALL_SECONDS * 1000000000ull;
		go = answer(&s);
	}
	session_done(&s);
}
