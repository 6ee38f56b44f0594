/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "image/fill.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "lib/fd.h"
#include "lib/path.h"
#include "lib/wire.h"
#include "store/store.h"

#define FILL_BUFFER (1024 * 1024)

struct fill {
	struct img_sink *sink;
	const struct fill_opts *opts;
	char *buf;		 /* owned; FILL_BUFFER bytes */
	struct store_info *item; /* being hashed; NULL: none */
	struct hasher *hash;	 /* owned; NULL when item is */
	uint64_t nar_size;
	uint64_t given; /* bytes of contents */
	size_t open;	/* directories of the item not yet closed */
	struct str token;
};

/* ---- The NAR of the item at hand ------------------------------------------------------------- */

static void nar_bytes(struct fill *f, const void *p, size_t n)
{
	hasher_add(f->hash, p, n);
	f->nar_size += n;
}

/* Tokens collect in f->token and go to the hash together. */
static int nar_flush(struct fill *f, struct err *e)
{
	if (str_err(&f->token) < 0)
		return err_num(e, str_err(&f->token), "hashing %s", f->item->path);
	nar_bytes(f, f->token.buf, f->token.len);
	str_cut(&f->token, 0);
	return 0;
}

static void nar_close(struct fill *f, size_t depth)
{
	while (f->open > depth) {
		wr_cstr(&f->token, ")");
		if (--f->open > 0)
			wr_cstr(&f->token, ")"); /* of its entry in the directory above */
	}
}

static int item_end(struct fill *f, struct err *e)
{
	if (!f->item)
		return 0;
	nar_close(f, 0);
	int r = nar_flush(f, e);
	if (r < 0)
		return r;
	f->item->nar_hash = hasher_end(f->hash);
	f->item->nar_size = f->nar_size;
	f->hash = NULL;
	f->item = NULL;
	return 0;
}

static int item_begin(struct fill *f, struct store_info *item, struct err *e)
{
	int r = hasher_new(DIGEST_SHA256, &f->hash);
	if (r < 0)
		return err_num(e, r, "hashing %s", item->path);
	f->item = item;
	f->nar_size = 0;
	f->open = 0;
	wr_cstr(&f->token, "nix-archive-1");
	return 0;
}

/* The node's tokens up to where the contents of a file begin. */
static int nar_node(struct fill *f, const struct man_entry *n, struct err *e)
{
	struct str *t = &f->token;

	nar_close(f, n->depth);
	if (n->depth > 0) {
		wr_cstr(t, "entry");
		wr_cstr(t, "(");
		wr_cstr(t, "name");
		wr_cstr(t, path_base(n->path));
		wr_cstr(t, "node");
	}
	wr_cstr(t, "(");
	wr_cstr(t, "type");
	switch (n->type) {
	case MAN_DIR:
		wr_cstr(t, "directory");
		f->open = n->depth + 1;
		break;
	case MAN_LINK:
		wr_cstr(t, "symlink");
		wr_cstr(t, "target");
		wr_cstr(t, n->target);
		break;
	default:
		wr_cstr(t, "regular");
		if (n->mode & 0100) {
			wr_cstr(t, "executable");
			wr_cstr(t, "");
		}
		wr_cstr(t, "contents");
		wr_u64(t, n->size);
	}
	return nar_flush(f, e);
}

static int nar_node_end(struct fill *f, const struct man_entry *n, struct err *e)
{
	static const char zero[8];

	if (n->type == MAN_DIR)
		return 0;
	if (n->type == MAN_FILE)
		nar_bytes(f, zero, wire_pad(n->size));
	wr_cstr(&f->token, ")");
	if (n->depth > 0)
		wr_cstr(&f->token, ")");
	return nar_flush(f, e);
}

/* ---- Entries --------------------------------------------------------------------------------- */

static int give(struct fill *f, const void *p, size_t n, struct err *e)
{
	if (f->item)
		nar_bytes(f, p, n);
	f->given += n;
	if (f->opts->progress)
		f->opts->progress(f->opts->progress_arg, f->given);
	return f->sink->data(f->sink, p, n, e);
}

static int file_give(struct fill *f, const struct man_entry *n, struct err *e)
{
	uint64_t left = n->size;
	struct stat st;

	if (!n->source)
		return n->data.n ? give(f, n->data.p, n->data.n, e) : 0;
	auto_fd int fd = open(n->source, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0)
		return err_sys(e, "%s", n->source);
	if (!S_ISREG(st.st_mode) || (uint64_t)st.st_size != left)
		return err_set(e, -ERR_INVALID, "%s changed while it was read", n->source);
	(void)posix_fadvise(fd, 0, 0, POSIX_FADV_SEQUENTIAL); /* a hint */
	while (left) {
		size_t want = left < FILL_BUFFER ? (size_t)left : FILL_BUFFER;
		int r = fd_read_full(fd, f->buf, want);
		if (r < 0)
			return err_num(e, r, "%s", n->source);
		if ((r = give(f, f->buf, want, e)) < 0)
			return r;
		left -= want;
	}
	return 0;
}

static int entry_run(struct fill *f, struct man_entry *n, struct err *e)
{
	int r = 0;

	if (n->item != f->item)
		r = item_end(f, e);
	if (r == 0 && n->item && n->item != f->item)
		r = item_begin(f, n->item, e);
	if (r == 0 && n->late)
		r = f->opts->prepare(f->opts->arg, n, e);
	if (r == 0 && f->item)
		r = nar_node(f, n, e);
	if (r == 0)
		r = f->sink->entry(f->sink, n, e);
	if (r == 0 && n->type == MAN_FILE && !n->same)
		r = file_give(f, n, e);
	if (r == 0)
		r = f->sink->end(f->sink, n, e);
	if (r == 0 && f->item)
		r = nar_node_end(f, n, e);
	return r;
}

int fill_run(struct manifest *m, struct img_sink *sink, const struct fill_opts *opts, struct err *e)
{
	struct fill f = { .sink = sink, .opts = opts, .token = STR_INIT };
	int r = 0;

	f.buf = malloc(FILL_BUFFER);
	if (!f.buf)
		return err_num(e, -ENOMEM, "writing the image");
	for (size_t i = 0; i < m->entries.n && r == 0; i++) {
		struct man_entry *n = (struct man_entry *)m->entries.v[i];

		r = entry_run(&f, n, e);
		if (r < 0)
			r = err_wrap(e, r, "/%s", n->path);
	}
	if (r == 0)
		r = item_end(&f, e);
	hasher_free(f.hash);
	str_done(&f.token);
	free(f.buf);
	return r;
}
