/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "store/daemon/request.h"

#include <errno.h>

#include "lib/wire.h"

int request_ready(struct req *q)
{
	struct stream *in = q->in;
	if (!in->err && !arena_err(&q->a))
		return 0;
	if (!in->err)
		return err_set(&q->e, arena_err(&q->a), "out of memory");
	if (in->err == -ERR_LIMIT)
		return err_set(&q->e, -ERR_LIMIT, "a value in the request is too large");
	if (in->err == -ERR_PROTO)
		return err_set(&q->e, -ERR_PROTO, "malformed request");
	if (in->err == -ENODATA)
		return err_set(&q->e, -ERR_PROTO, "the request ended early");
	return err_num(&q->e, in->err, "cannot read the request");
}

char *request_text(struct req *q, size_t max)
{
	return stream_cstr(q->in, &q->a, max);
}

char *request_path(struct req *q)
{
	return request_text(q, PROTO_LIMIT_PATH);
}

int request_check_path(struct req *q, const char *path)
{
	int r = request_ready(q);
	return r ? r : local_check_path(q->s->l, path, &q->e);
}

void reply_list(struct req *q, const struct vec *v)
{
	wr_u64(&q->reply, v->n);
	for (size_t i = 0; i < v->n; i++)
		wr_cstr(&q->reply, v->v[i]);
}

void reply_words(struct req *q, const char *text)
{
	auto_vec struct vec v = VEC_INIT;
	struct slice rest = slice_of(text), word;
	while (slice_cut(&rest, ' ', &word))
		if (word.n)
			vec_add(&v, arena_slice(&q->a, word));
	reply_list(q, &v);
}

void reply_sorted(struct req *q, struct vec *v)
{
	vec_sort_str(v);
	vec_uniq_str(v);
	reply_list(q, v);
}

int request_check_paths(struct req *q, const struct vec *v)
{
	int r = request_ready(q);
	for (size_t i = 0; !r && i < v->n; i++)
		r = local_check_path(q->s->l, v->v[i], &q->e);
	return r;
}

int request_need_valid(struct req *q, const char *path)
{
	bool valid;
	int r = local_await_valid(q->s->l, path, &valid, &q->e);
	if (!r && !valid)
		r = err_set(&q->e, -ERR_NOTVALID, "path `%s' is not valid", path);
	return r;
}

bool request_await(struct req *q, const struct vec *paths)
{
	bool valid = true;
	for (size_t i = 0; valid && i < paths->n; i++)
		if (local_await_valid(q->s->l, paths->v[i], &valid, NULL))
			return false;
	return valid;
}
