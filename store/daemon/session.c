/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "store/daemon/session.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>

#include "lib/fd.h"
#include "lib/size.h"
#include "store/build/hosts.h"
#include "store/format/protocol.h"
#include "store/subst/subst.h"
#include "store/format/buildid.h"

void session_text(struct session *s, const char *p, size_t n)
{
	stream_put_u64(&s->stream, PROTO_NEXT);
	stream_put_str(&s->stream, (struct slice){ p, n });
	if (s->stream.out.len > (64u << 10))
		stream_flush(&s->stream);
}

static void add_line(struct session *s, const char *prefix, const char *fmt, va_list ap)
{
	auto_str struct str line = STR_INIT;
	str_add(&line, prefix);
	str_addv(&line, fmt, ap);
	str_addc(&line, '\n');
	if (!str_err(&line))
		session_text(s, line.buf, line.len);
}

void session_say(struct session *s, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	add_line(s, "", fmt, ap);
	va_end(ap);
}

void session_trace(struct session *s, const char *fmt, ...)
{
	if (!s->trace)
		return;
	va_list ap;
	va_start(ap, fmt);
	add_line(s, "@ ", fmt, ap);
	va_end(ap);
}

int session_take_id(struct session *s, struct build_id *ret, struct err *e)
{
	for (size_t i = 0; i < s->nids; i++) {
		if (s->ids[i].busy)
			continue;
		s->ids[i].busy = true;
		*ret = s->ids[i];
		return 0;
	}
	struct build_id id = { .lock = -1, .busy = true };
	int r = buildid_take(s->policy.build_group, &id.uid, &id.gid, &id.lock, e);
	if (r)
		return r;
	if (id.lock >= 0) { /* keep it for the next build */
		struct build_id *v = reallocarray(s->ids, s->nids + 1, sizeof(*v));
		if (!v) {
			fd_close(&id.lock);
			return err_set(e, -ENOMEM, "out of memory");
		}
		s->ids = v;
		s->ids[s->nids++] = id;
	}
	*ret = id;
	return 0;
}

void session_put_id(struct session *s, const struct build_id *id)
{
	for (size_t i = 0; i < s->nids; i++)
		if (id->lock >= 0 && s->ids[i].lock == id->lock)
			s->ids[i].busy = false;
}

bool session_client_left(struct session *s)
{
	struct pollfd p = { .fd = s->stream.fd, .events = POLLRDHUP };
	s->client_gone |= poll(&p, 1, 0) > 0 && (p.revents & (POLLRDHUP | POLLHUP | POLLERR));
	return s->client_gone;
}

void session_done(struct session *s)
{
	for (size_t i = 0; i < s->nids; i++)
		fd_close(&s->ids[i].lock);
	subst_done(&s->subst);
	machines_done(&s->machines);
	free(s->ids);
	s->ids = NULL;
	s->nids = 0;
	slots_free(s->slots);
	s->slots = NULL;
	if (s->l && s->hosts_loaded)
		hosts_save(s->l->state_fd);
	if (s->l)
		workdir_remove(&s->work, s->l);
	stream_done(&s->stream);
	local_close(s->l);
	s->l = NULL;
}
