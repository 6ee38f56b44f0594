/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Operations that exchange items with other stores of Guix's family. */
#include <errno.h>
#include <stdio.h>

#include "lib/path.h"
#include "lib/size.h"
#include "lib/wire.h"
#include "store/build/asked.h"
#include "store/local/export.h"
#include "store/daemon/request.h"

#define PIECE_BYTES 32768u

/* Bytes for the client's file, in messages. */
struct told {
	struct nar_sink sink;
	struct stream *s;
	size_t n;
	char buf[PIECE_BYTES];
};

static void tell(struct told *t)
{
	if (!t->n)
		return;
	stream_put_u64(t->s, PROTO_WRITE);
	stream_put_str(t->s, (struct slice){ t->buf, t->n });
	t->n = 0;
}

static int told_write(struct nar_sink *s, const void *p, size_t n, struct err *e)
{
	struct told *t = CONTAINER_OF(s, struct told, sink);
	const char *from = p;
	while (n) {
		size_t part = MIN_OF(n, sizeof(t->buf) - t->n);
		memcpy(t->buf + t->n, from, part);
		t->n += part;
		from += part;
		n -= part;
		if (t->n == sizeof(t->buf))
			tell(t);
	}
	if (t->s->out.len > (64u << 10))
		stream_flush(t->s);
	return t->s->err ? err_num(e, t->s->err, "cannot write to the client") : 0;
}

static int conf_dir(struct req *q, char ret[PATH_MAX])
{
	const struct local *l = q->s->l;
	int n = snprintf(ret, PATH_MAX, "%s%s", l->root, dialect_facts(l->dialect)->conf_dir);
	return n < 0 || n >= PATH_MAX ? err_num(&q->e, -ENAMETOOLONG, "%s", l->root) : 0;
}

static int load_signer(struct req *q, struct signer *ret)
{
	char dir[PATH_MAX], file[PATH_MAX];
	int r = conf_dir(q, dir);
	if (!r && path_join(file, dir, "signing-key.sec"))
		r = err_num(&q->e, -ENAMETOOLONG, "%s", dir);
	if (!r)
		r = signer_load(ret, file, &q->e);
	if (!r && signer_family(ret) != DIALECT_GUIX)
		r = err_set(&q->e, -ERR_INVALID, "the key %s is not of Guix's form", file);
	return r;
}

static int op_export_path(struct req *q)
{
	char *path = request_path(q);
	bool sign = stream_u64(q->in) == 1;
	struct signer signer = SIGNER_INIT;
	struct told out = { .sink = { told_write }, .s = q->in };
	int r = request_check_path(q, path);
	if (!r)
		r = request_need_valid(q, path);
	if (!r && sign)
		r = load_signer(q, &signer);
	if (!r)
		r = export_item(q->s->l, path, sign ? &signer : NULL, &out.sink, &q->e);
	if (!r)
		tell(&out);
	signer_done(&signer);
	wr_u64(&q->reply, 1);
	return r;
}

static int op_import_paths(struct req *q)
{
	char dir[PATH_MAX];
	struct trust trust = TRUST_INIT;
	struct asked from;
	auto_vec struct vec paths = VEC_INIT;
	asked_init(&from, q->in);
	int r = request_ready(q);
	if (!r)
		r = conf_dir(q, dir);
	if (!r)
		r = trust_load(&trust, dir, &q->e);
	if (!r)
		r = export_read(q->s->l, &q->a, &from.source, &trust, &paths, &q->e);
	if (!r)
		r = local_settle_own(q->s->l, &q->e);
	asked_finish(&from);
	trust_done(&trust);
	reply_list(q, &paths);
	return r;
}

const struct op ops_export[] = {
	{ OP_EXPORT_PATH, OP_GUIX, op_export_path },
	{ OP_IMPORT_PATHS, OP_GUIX, op_import_paths },
	{ 0, 0, NULL },
};
