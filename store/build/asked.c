/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "store/build/asked.h"

#include <errno.h>

#include "lib/size.h"
#include "lib/wire.h"
#include "store/format/protocol.h"

#define PIECE_MAX (64u << 10)

static void skip_padding(struct asked *a)
{
	char pad[8];
	stream_read(a->s, pad, a->pad);
	for (size_t i = 0; i < a->pad; i++)
		if (pad[i] && !a->s->err)
			a->s->err = -ERR_PROTO;
	a->pad = 0;
}

static int next_piece(struct asked *a, struct err *e)
{
	stream_put_u64(a->s, PROTO_READ);
	stream_put_u64(a->s, PIECE_MAX);
	stream_flush(a->s);
	a->left = stream_max(a->s, PIECE_MAX);
	a->pad = wire_pad(a->left);
	if (a->s->err)
		return err_num(e, a->s->err, "the connection failed in the middle of a file");
	return a->left ? 0 : err_set(e, -ERR_PROTO, "the client sent less than it announced");
}

static int asked_read(struct nar_source *src, void *p, size_t n, struct err *e)
{
	struct asked *a = CONTAINER_OF(src, struct asked, source);
	char *to = p;
	while (n) {
		int r = a->left ? 0 : next_piece(a, e);
		if (r)
			return r;
		size_t part = (size_t)MIN_OF(a->left, (uint64_t)n);
		stream_read(a->s, to, part);
		a->left -= part;
		if (!a->left)
			skip_padding(a);
		if (a->s->err)
			return err_num(e, a->s->err,
				       "the connection failed in the middle of a file");
		to += part;
		n -= part;
	}
	return 0;
}

void asked_init(struct asked *a, struct stream *s)
{
	*a = (struct asked){ .source = { asked_read }, .s = s };
}

void asked_finish(struct asked *a)
{
	char buf[4096];
	while (a->left && !a->s->err) {
		size_t n = (size_t)MIN_OF(a->left, (uint64_t)sizeof(buf));
		stream_read(a->s, buf, n);
		a->left -= n;
	}
	skip_padding(a);
}
