/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What an archive holds, without making any of it. */
#include <errno.h>

#include "lib/mem.h"
#include "lib/size.h"
#include "store/format/nar-words.h"

struct lister {
	struct nar_words w;
	nar_entry_fn *fn;
	void *arg;
	struct str path;
	unsigned depth;
	char *buf; /* owned, NAR_BUF */
};

static int list_node(struct lister *s);

static int tell(struct lister *s, enum nar_type type, uint64_t size, const char *target)
{
	struct nar_entry entry = {
		.path = s->path.len ? s->path.buf : "", .type = type, .size = size, .target = target
	};

	if (str_err(&s->path) < 0)
		return err_num(s->w.e, -ENOMEM, "archive");
	return s->fn(s->arg, &entry, s->w.e);
}

static int skip(struct lister *s, uint64_t size)
{
	int r = 0;

	for (uint64_t left = size; r == 0 && left;) {
		size_t n = (size_t)MIN_OF(left, (uint64_t)NAR_BUF);

		r = s->w.in->read(s->w.in, s->buf, n, s->w.e);
		left -= n;
	}
	return r == 0 ? nar_pad(&s->w, size) : r;
}

static int list_file(struct lister *s)
{
	uint64_t size;
	bool exec;
	int r = nar_file(&s->w, &exec);

	if (r == 0)
		r = nar_number(&s->w, &size);
	if (r == 0)
		r = tell(s, exec ? NAR_PROGRAM : NAR_FILE, size, "");
	if (r == 0)
		r = skip(s, size);
	return r == 0 ? nar_expect(&s->w, ")") : r;
}

static int list_link(struct lister *s)
{
	char target[LIMIT_NAR_TARGET + 1];
	int r = nar_target(&s->w, target);

	if (r == 0)
		r = tell(s, NAR_LINK, 0, target);
	return r == 0 ? nar_expect(&s->w, ")") : r;
}

static int list_entry(struct lister *s, char last[LIMIT_NAR_NAME + 1])
{
	char name[LIMIT_NAR_NAME + 1];
	size_t len = s->path.len;
	int r = nar_entry(&s->w, last, name);

	if (r < 0)
		return r;
	str_addf(&s->path, "/%s", name);
	r = list_node(s);
	str_cut(&s->path, len);
	return r == 0 ? nar_expect(&s->w, ")") : r;
}

static int list_directory(struct lister *s)
{
	char last[LIMIT_NAR_NAME + 1] = "";
	bool more;
	int r;

	if (s->depth == LIMIT_NAR_DEPTH)
		return nar_too_deep(&s->w);
	s->depth++;
	r = tell(s, NAR_DIRECTORY, 0, "");
	while (r == 0 && (r = nar_next(&s->w, &more)) == 0 && more)
		r = list_entry(s, last);
	s->depth--;
	return r;
}

static int list_node(struct lister *s)
{
	enum nar_type type;
	int r = nar_node(&s->w, &type);

	if (r < 0)
		return r;
	return type == NAR_FILE	       ? list_file(s)
	       : type == NAR_DIRECTORY ? list_directory(s)
				       : list_link(s);
}

int nar_list(struct nar_source *in, nar_entry_fn *fn, void *arg, struct err *e)
{
	struct lister s = { .w = { .in = in, .e = e }, .fn = fn, .arg = arg, .path = STR_INIT };
	int r;

	s.buf = mem_realloc(NULL, NAR_BUF);
	if (!s.buf)
		return err_num(e, -ENOMEM, "archive");
	r = nar_expect(&s.w, NAR_MAGIC);
	if (r == 0)
		r = list_node(&s);
	free(s.buf);
	str_done(&s.path);
	return r;
}
