/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "init/logread.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/inotify.h>

#include "lib/fd.h"
#include "lib/proc.h"
#include "lib/size.h"
#include "lib/text.h"

#define READ	   65536
#define LIMIT_LINE (1u << 20) /* a longer one comes in pieces */

/* Who unpacks what. */
static const struct {
	const char *suffix, *argv[3];
} tools[] = { { "gz", { "gzip", "-dc" } },
	      { "zst", { "zstd", "-dc" } },
	      { "xz", { "xz", "-dc" } } };

struct stream {
	char *name;   /* owned */
	uint64_t at;  /* number of the file that is read, or will be the current one's; 0: none */
	bool current; /* it is NAME.log */
	int fd;	      /* owned; -1: none */
	struct proc tool; /* that unpacks */
	struct str buf;
	size_t from, line_len, skip; /* the line in buf, and what is behind it */
	bool ready, idle, unreadable;
	char stamp[LOG_STAMP_LEN + 1];
};

struct log_reader {
	char *dir;	    /* owned */
	struct vec streams; /* owned */
	bool all;
	int watch; /* owned inotify; -1: none */
	size_t bad;
	struct stream *given; /* whose line the caller has */
};

/* ---- names -----------------------------------------------------------------------------------*/

struct entry {
	struct slice name; /* of the service */
	uint64_t number;   /* 0: the current file */
	int tool;	   /* -1: plain */
};

static bool parse_entry(const char *file, struct entry *ret)
{
	struct slice s = slice_of(file);
	const char *dot;

	*ret = (struct entry){ .tool = -1 };
	if (!slice_ends(s, ".log")) {
		uint64_t number;
		for (size_t i = 0; i < ARRAY_LEN(tools); i++) {
			size_t n = strlen(tools[i].suffix);
			if (s.n > n && slice_ends(s, tools[i].suffix) && s.p[s.n - n - 1] == '.') {
				ret->tool = (int)i;
				s.n -= n + 1;
				break;
			}
		}
		dot = memrchr(s.p, '.', s.n);
		if (dot && text_u64((struct slice){ dot + 1, s.n - (size_t)(dot + 1 - s.p) },
				    UINT32_MAX, &number) == 0) {
			ret->number = number;
			s.n = (size_t)(dot - s.p);
		}
	}
	if (!slice_ends(s, ".log") || s.n == 4)
		return false;
	s.n -= 4;
	ret->name = s;
	return true;
}

static int add_name(struct vec *names, struct slice name)
{
	for (size_t i = 0; i < names->n; i++)
		if (slice_is(name, names->v[i]))
			return 0;
	char *copy = strndup(name.p, name.n);
	if (!copy)
		return -ENOMEM;
	vec_add(names, copy);
	return names->err;
}

int log_reader_names(const char *dir, struct vec *out, struct err *e)
{
	DIR *d = opendir(dir);
	struct dirent *de;
	struct entry entry;
	int r = 0;

	if (!d)
		return errno == ENOENT ? 0 : err_sys(e, "%s", dir);
	while (r == 0 && (de = readdir(d)))
		if (parse_entry(de->d_name, &entry))
			r = add_name(out, entry.name);
	closedir(d);
	vec_sort_str(out);
	return r < 0 ? err_num(e, r, "%s", dir) : 0;
}

uint64_t log_reader_boots(const char *dir)
{
	auto_str struct str path = STR_INIT;
	uint64_t last = 0, n;
	struct dirent *de;

	str_addf(&path, "%s/boots", dir);
	DIR *d = str_err(&path) ? NULL : opendir(path.buf);
	while (d && (de = readdir(d)))
		if (text_u64(slice_of(de->d_name), UINT32_MAX, &n) == 0 && n > last)
			last = n;
	if (d)
		closedir(d);
	return last;
}

/* ---- files -----------------------------------------------------------------------------------*/

struct found {
	uint64_t next, newest; /* the least number beyond; 0: none */
	int tool, now;	       /* of next, of NAME.log; plain is better, for it is whole */
};

static int find(const struct log_reader *r, const char *name, uint64_t beyond, struct found *ret,
		struct err *e)
{
	DIR *d = opendir(r->dir);
	struct dirent *de;
	struct entry x;

	*ret = (struct found){ .tool = -1, .now = ARRAY_LEN(tools) };
	if (!d)
		return errno == ENOENT ? 0 : err_sys(e, "%s", r->dir);
	while ((de = readdir(d))) {
		if (!parse_entry(de->d_name, &x) || !slice_is(x.name, name))
			continue;
		if (!x.number) {
			ret->now = MIN_OF(ret->now, x.tool);
			continue;
		}
		ret->newest = MAX_OF(ret->newest, x.number);
		if (x.number <= beyond || (ret->next && x.number > ret->next))
			continue;
		ret->tool = x.number < ret->next || !ret->next ? x.tool : MIN_OF(ret->tool, x.tool);
		ret->next = x.number;
	}
	closedir(d);
	return 0;
}

static void bad_file(struct log_reader *r, const char *path, const char *why)
{
	r->bad++;
	fprintf(stderr, "cairn: %s: not read: %s\n", path, why);
}

static int open_packed(struct log_reader *r, struct stream *s, const char *path, int tool)
{
	const char *const *argv = tools[tool].argv;
	struct proc_spec spec = PROC_SPEC_INIT;
	struct err e = ERR_INIT;
	auto_fd int in = open(path, O_RDONLY | O_CLOEXEC);
	int p[2];

	if (in < 0)
		return -errno;
	if (pipe2(p, O_CLOEXEC) < 0)
		return -errno;
	spec.argv = argv;
	spec.in = in;
	spec.out = p[1];
	spec.dies_with_us = true;
	int x = proc_start(&spec, &s->tool, &e);
	fd_close(&p[1]);
	s->fd = p[0];
	if (x < 0) {
		fd_close(&s->fd);
		bad_file(r, path, e.msg);
	}
	return 0;
}

static void close_file(struct log_reader *r, struct stream *s)
{
	int status = 0;

	fd_close(&s->fd);
	if (s->tool.pid >= 0) {
		(void)proc_wait(&s->tool, &status);
		if (status) {
			char why[64], at[160];
			proc_status_text(status, why);
			snprintf(at, sizeof(at), "%s: file %llu", s->name,
				 (unsigned long long)s->at);
			bad_file(r, at, why);
		}
	}
	s->tool = (struct proc)PROC_INIT;
}

/* Open what comes after the file that was read: 1, 0 when nothing is there, or a negative code. A
 * file that is renamed or packed in between is looked for again. */
static int open_next(struct log_reader *r, struct stream *s, struct err *e)
{
	auto_str struct str path = STR_INIT;
	struct found f;

	while (s->at != UINT64_MAX) {
		int x = find(r, s->name, s->at, &f, e);
		if (x < 0)
			return x;
		if (!f.next)
			f.tool = f.now < (int)ARRAY_LEN(tools) ? f.now : -1;
		str_cut(&path, 0);
		str_addf(&path, "%s/%s.log", r->dir, s->name);
		if (f.next)
			str_addf(&path, ".%llu", (unsigned long long)f.next);
		if (f.tool >= 0)
			str_addf(&path, ".%s", tools[f.tool].suffix);
		if (str_err(&path))
			return err_num(e, str_err(&path), "log");
		if (f.tool >= 0) {
			x = open_packed(r, s, path.buf, f.tool);
		} else {
			s->fd = open(path.buf, O_RDONLY | O_CLOEXEC);
			x = s->fd < 0 ? -errno : 0;
		}
		if (x == -ENOENT && f.next)
			continue;
		if (x == -ENOENT)
			return 0;
		if (x < 0)
			bad_file(r, path.buf, strerror(-x));
		s->unreadable = x < 0 && !f.next;
		s->current = !f.next && f.tool < 0;
		if (!f.next && f.tool >= 0) {
			s->at = UINT64_MAX; /* of an earlier boot: nothing follows */
			return s->fd >= 0;
		}
		s->at = f.next ? f.next : MAX_OF(f.newest, s->at) + 1;
		if (!s->current && s->fd < 0)
			continue;
		if (!s->current)
			return 1;
		/* It was the current one only if nothing has got its number since. */
		x = find(r, s->name, s->at - 1, &f, e);
		if (x < 0)
			return x;
		if (!f.next)
			return s->fd >= 0;
		fd_close(&s->fd);
		s->at--;
	}
	return 0;
}

/* ---- lines -----------------------------------------------------------------------------------*/

static bool is_stamp(const char *p, size_t n)
{
	static const char form[] = "dddd-dd-ddTdd:dd:dd.dddZ ";

	for (size_t i = 0; i <= LOG_STAMP_LEN; i++)
		if (i >= n || (form[i] == 'd' ? p[i] < '0' || p[i] > '9' : p[i] != form[i]))
			return false;
	return true;
}

static void set_line(struct stream *s, size_t len, size_t skip)
{
	s->line_len = len;
	s->skip = skip;
	s->ready = true;
	if (is_stamp(s->buf.buf + s->from, len)) {
		memcpy(s->stamp, s->buf.buf + s->from, LOG_STAMP_LEN);
		s->from += LOG_STAMP_LEN + 1;
		s->line_len -= LOG_STAMP_LEN + 1;
	}
}

/* More of the file into buf. 1, 0 at its end, or a negative code. */
static int fill(struct log_reader *r, struct stream *s, struct err *e)
{
	str_drop(&s->buf, s->from);
	s->from = 0;
	char *room = str_room(&s->buf, READ);
	if (!room)
		return err_num(e, str_err(&s->buf), "log of %s", s->name);
	ssize_t n = fd_read_some(s->fd, room, READ);
	if (n < 0) {
		bad_file(r, s->name, strerror((int)-n));
		n = 0;
	}
	str_grown(&s->buf, (size_t)n);
	return n > 0;
}

/* At the end of a file: 1 when another one follows. */
static int go_on(struct log_reader *r, struct stream *s, struct err *e)
{
	struct found f;

	if (s->fd >= 0 && s->current) {
		int x = find(r, s->name, s->at - 1, &f, e);
		if (x < 0 || !f.next)
			return x;
		s->current = false; /* it was rotated; what came before that is read yet */
		return 1;
	}
	close_file(r, s);
	if (s->from < s->buf.len)
		str_addc(&s->buf, '\n');
	return open_next(r, s, e);
}

/* The next line of s. 1, 0 when there is none now, or a negative code. */
static int load_line(struct log_reader *r, struct stream *s, bool last, struct err *e)
{
	if (s->ready || s->idle)
		return s->ready;
	for (;;) {
		size_t left = s->buf.len - s->from;
		const char *p = s->buf.buf + s->from, *nl = left ? memchr(p, '\n', left) : NULL;
		if (nl || left > LIMIT_LINE) {
			set_line(s, nl ? (size_t)(nl - p) : left, nl != NULL);
			return 1;
		}
		int x = s->fd < 0 ? 0 : fill(r, s, e);
		if (x == 0)
			x = go_on(r, s, e);
		if (x < 0)
			return x;
		if (x > 0)
			continue;
		left = s->buf.len - s->from;
		s->idle = !last || !left;
		if (s->idle)
			return 0;
		set_line(s, left, 0);
		return 1;
	}
}

static void drop_line(struct stream *s)
{
	s->from += s->line_len + s->skip;
	s->ready = false;
}

/* ---- reader ----------------------------------------------------------------------------------*/

static int add_stream(struct log_reader *r, const char *name)
{
	for (size_t i = 0; i < r->streams.n; i++)
		if (strcmp(((struct stream *)r->streams.v[i])->name, name) == 0)
			return 0;
	struct stream *s = calloc(1, sizeof(*s));
	if (!s)
		return -ENOMEM;
	*s = (struct stream){ .name = strdup(name), .fd = -1, .tool = PROC_INIT, .buf = STR_INIT };
	memcpy(s->stamp, "0000-00-00T00:00:00.000Z", LOG_STAMP_LEN);
	vec_add(&r->streams, s);
	return s->name ? r->streams.err : -ENOMEM;
}

static int add_all(struct log_reader *r, struct err *e)
{
	struct vec names = VEC_INIT;
	int x = log_reader_names(r->dir, &names, e);

	for (size_t i = 0; i < names.n; i++) {
		if (x == 0 && (x = add_stream(r, names.v[i])) < 0)
			err_num(e, x, "logs");
		free(names.v[i]);
	}
	vec_done(&names);
	return x;
}

int log_reader_new(const char *dir, char *const *names, size_t n, struct log_reader **ret,
		   struct err *e)
{
	struct log_reader *r = calloc(1, sizeof(*r));
	int x = 0;

	if (!r)
		return err_num(e, -ENOMEM, "logs");
	*r = (struct log_reader){ .dir = strdup(dir), .all = n == 0, .watch = -1 };
	if (!r->dir)
		x = err_num(e, -ENOMEM, "logs");
	for (size_t i = 0; x == 0 && i < n; i++)
		if ((x = add_stream(r, names[i])) < 0)
			err_num(e, x, "logs");
	if (x == 0 && n == 0)
		x = add_all(r, e);
	if (x < 0)
		log_reader_free(r);
	else
		*ret = r;
	return x;
}

void log_reader_free(struct log_reader *r)
{
	if (!r)
		return;
	for (size_t i = 0; i < r->streams.n; i++) {
		struct stream *s = r->streams.v[i];
		fd_close(&s->fd);
		if (s->tool.pid >= 0)
			proc_end(&s->tool);
		str_done(&s->buf);
		free(s->name);
		free(s);
	}
	vec_done(&r->streams);
	fd_close(&r->watch);
	free(r->dir);
	free(r);
}

int log_reader_next(struct log_reader *r, bool last, struct log_line *ret, struct err *e)
{
	struct stream *first = NULL;

	if (r->given)
		drop_line(r->given);
	r->given = NULL;
	for (size_t i = 0; i < r->streams.n; i++) {
		struct stream *s = r->streams.v[i];
		int x = load_line(r, s, last, e);
		if (x < 0)
			return x;
		if (x && (!first || memcmp(s->stamp, first->stamp, LOG_STAMP_LEN) < 0))
			first = s;
	}
	r->given = first;
	if (!first)
		return 0;
	*ret = (struct log_line){ first->name,
				  first->stamp,
				  { first->buf.buf + first->from, first->line_len } };
	return 1;
}

int log_reader_wait(struct log_reader *r, struct err *e)
{
	_Alignas(struct inotify_event) char buf[4096];

	/* The first call returns at once: what happened before the watch is told by nobody. */
	if (r->watch < 0) {
		r->watch = inotify_init1(IN_CLOEXEC);
		if (r->watch < 0 ||
		    inotify_add_watch(r->watch, r->dir,
				      IN_MODIFY | IN_CREATE | IN_MOVED_TO | IN_DELETE) < 0)
			return err_sys(e, "%s", r->dir);
	} else if (fd_read_some(r->watch, buf, sizeof(buf)) < 0) {
		return err_sys(e, "%s", r->dir);
	}
	for (size_t i = 0; i < r->streams.n; i++) {
		struct stream *s = r->streams.v[i];
		s->idle = s->unreadable;
	}
	return r->all ? add_all(r, e) : 0;
}

size_t log_reader_bad(const struct log_reader *r)
{
	return r->bad;
}
