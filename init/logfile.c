/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "init/logfile.h"

#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <time.h>

#include "init/numbers.h"
#include "lib/fd.h"
#include "lib/loop.h"
#include "lib/text.h"

#define STAMP_MAX 32 /* "2026-01-31T23:59:59.123Z " */
#define ID_MAX	  80

struct log_journal *journal;

static struct {
	bool ready; /* the directory has this boot's files */
	uint64_t skip;
	size_t n;
	bool failed;
	char buf[4096];
} out;

void journal_phase(enum log_phase phase)
{
	atomic_signal_fence(memory_order_seq_cst);
	journal->phase = phase;
	atomic_signal_fence(memory_order_seq_cst);
}

/* ---- boots -----------------------------------------------------------------------------------*/

static size_t read_text(int dir, const char *path, char *buf, size_t size)
{
	auto_fd int fd = openat(dir, path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? 0 : fd_read_some(fd, buf, size - 1);

	n = n < 0 ? 0 : n;
	buf[n] = '\0';
	return (size_t)n;
}

/* A boot is a life of PID 1, over all its programs: a container has many in one boot of the kernel.
 */
static int boot_id(char out_id[ID_MAX])
{
	char text[512], kernel[64];
	char *at, *end;

	(void)read_text(AT_FDCWD, "/proc/sys/kernel/random/boot_id", kernel, sizeof(kernel));
	snprintf(text, sizeof(text), "/proc/%d/stat", (int)getppid());
	(void)read_text(AT_FDCWD, text, text, sizeof(text));
	at = strrchr(text, ')'); /* field 2, and 22 is when it started */
	for (int i = 0; at && i < 20; i++)
		at = strchr(at + 1, ' ');
	end = at ? strchr(at + 1, ' ') : NULL;
	return snprintf(out_id, ID_MAX, "%.36s %.*s\n", kernel, end ? (int)(end - at) : 0,
			end ? at : "");
}

SMALL static int open_dir(int dir, const char *path)
{
	return openat(dir, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

struct boots {
	uint64_t last;
	int fd; /* of the directory */
};

static void find_last(int number, void *arg)
{
	struct boots *b = arg;

	if ((uint64_t)number > b->last)
		b->last = (uint64_t)number;
}

static void remove_file(const char *name, unsigned char type, void *arg)
{
	(void)type;
	(void)unlinkat(*(int *)arg, name, 0);
}

static void remove_old(int number, void *arg)
{
	const struct boots *b = arg;
	char name[16];

	if ((uint64_t)number + journal->boots > b->last)
		return;
	snprintf(name, sizeof(name), "%d", number);
	int dir = open_dir(b->fd, name);
	(void)numbers_names(dir, remove_file, &dir);
	fd_close(&dir);
	(void)unlinkat(b->fd, name, AT_REMOVEDIR);
}

struct move {
	int from, to;
};

static void move_file(const char *name, unsigned char type, void *arg)
{
	const struct move *m = arg;

	(void)type;
	/* The kernel refuses ".", "..", and "boots", which to is in. */
	if (strcmp(name, "boot") != 0)
		(void)renameat(m->from, name, m->to, name);
}

/* All that is in dir is of another boot; its `boot` goes last, so that whoever is killed here is
 * followed by one that does the rest. */
static void put_away(int dir)
{
	char path[LIMIT_PATH + 16], name[32], was[2];
	struct boots b = { .fd = -1 };

	snprintf(path, sizeof(path), "%s/boots", journal->directory);
	(void)numbers_each(path, find_last, &b);
	snprintf(name, sizeof(name), "boots/%u/boot", (unsigned)b.last);
	if (b.last == 0 || read_text(dir, name, was, sizeof(was)) > 0)
		b.last++;
	snprintf(name, sizeof(name), "boots/%u", (unsigned)b.last);
	(void)file_mkdir_p(dir, name, 0755, NULL);
	struct move m = { dir, open_dir(dir, name) };
	(void)numbers_names(dir, move_file, &m);
	(void)renameat(dir, "boot", m.to, "boot");
	b.fd = open_dir(dir, "boots");
	(void)numbers_each(path, remove_old, &b);
	fd_close(&m.to);
	fd_close(&b.fd);
}

static bool make_ready(void)
{
	char id[ID_MAX], was[ID_MAX];
	int n = boot_id(id);

	(void)file_mkdir_p(AT_FDCWD, journal->directory, 0755, NULL); /* what follows tells */
	auto_fd int dir = open_dir(AT_FDCWD, journal->directory);
	if (dir < 0)
		return false;
	size_t had = read_text(dir, "boot", was, sizeof(was));
	if (had && strcmp(id, was) == 0)
		return true;
	if (had)
		put_away(dir);
	auto_fd int fd = openat(dir, "boot", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	return fd >= 0 && fd_write_full(fd, id, (size_t)n) == 0;
}

void log_directory(const char *path, size_t n, uint64_t boots)
{
	journal->boots = boots;
	if (strlen(journal->directory) == n && memcmp(journal->directory, path, n) == 0)
		return;
	snprintf(journal->directory, sizeof(journal->directory), "%.*s", (int)n, path);
	out.ready = false;
}

/* ---- files -----------------------------------------------------------------------------------*/

struct old {
	const struct log_file *f;
	uint64_t last;
	int dir;
};

/* The number of f's older file that is called name; 0: it is none. */
static uint64_t number_in(const char *name, const struct log_file *f)
{
	size_t n = strlen(f->conf.name);
	struct slice rest, digits;
	uint64_t number;

	if (strncmp(name, f->conf.name, n) != 0 || !slice_starts(slice_of(name + n), ".log."))
		return 0;
	rest = slice_of(name + n + 5);
	slice_cut(&rest, '.', &digits);
	if (text_u64(digits, UINT32_MAX, &number) < 0 || slice_starts(rest, "log"))
		return 0;
	return number;
}

static void find_newest(const char *name, unsigned char type, void *arg)
{
	struct old *o = arg;
	uint64_t number = number_in(name, o->f);

	(void)type;
	if (number > o->last)
		o->last = number;
}

static void remove_oldest(const char *name, unsigned char type, void *arg)
{
	const struct old *o = arg;
	uint64_t number = number_in(name, o->f);

	if (number && number + o->f->conf.limits.keep <= o->last)
		remove_file(name, type, (void *)&o->dir);
}

static void rotate(struct log_file *f)
{
	struct old o = { f, 0, open_dir(AT_FDCWD, journal->directory) };
	char name[LIMIT_SVC_NAME + 32];
	int n = snprintf(name, sizeof(name), "%s.log.", f->conf.name);
	char now[LIMIT_SVC_NAME + 32];

	(void)numbers_names(o.dir, find_newest, &o);
	snprintf(now, sizeof(now), "%s.log", f->conf.name);
	snprintf(name + n, sizeof(name) - (size_t)n, "%u", (unsigned)++o.last);
	(void)renameat(o.dir, now, o.dir, name);
	(void)lseek(o.dir, 0, SEEK_SET);
	(void)numbers_names(o.dir, remove_oldest, &o);
	fd_close(&o.dir);
	fd_close(&f->fd);
}

bool log_open(struct log_file *f)
{
	char path[LIMIT_PATH + LIMIT_SVC_NAME + 8], last = '\n';
	struct stat st;

	if (f->fd >= 0)
		return true;
	if (!out.ready)
		out.ready = make_ready();
	snprintf(path, sizeof(path), "%s/%s.log", journal->directory, f->conf.name);
	if (out.ready)
		f->fd = open(path, O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC, 0640);
	if (f->fd < 0) {
		if (!f->since)
			f->since = loop_now();
		return false;
	}
	f->since = 0;
	f->length = fstat(f->fd, &st) == 0 ? (uint64_t)st.st_size : 0;
	if (f->length && lseek(f->fd, -1, SEEK_END) >= 0)
		(void)fd_read_some(f->fd, &last, 1);
	f->in_line = last != '\n';
	return true;
}

/* ---- lines -----------------------------------------------------------------------------------*/

static void flush(struct log_file *f)
{
	if (out.n && !out.failed)
		out.failed = fd_write_full(f->fd, out.buf, out.n) < 0;
	out.n = 0;
}

static void put(struct log_file *f, const char *p, size_t n)
{
	for (; n--; p++) {
		f->length++;
		if (out.skip) {
			out.skip--;
			continue;
		}
		if (out.n == sizeof(out.buf))
			flush(f);
		out.buf[out.n++] = *p;
	}
}

static size_t stamp_text(char stamp[STAMP_MAX])
{
	time_t second = (time_t)(journal->when / 1000);
	struct tm tm;

	gmtime_r(&second, &tm);
	return (size_t)snprintf(stamp, STAMP_MAX, "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ ",
				tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min,
				tm.tm_sec, (int)(journal->when % 1000));
}

/* From `from` to `to`, without the first `skip` bytes of what becomes of it. All or nothing: what
 * fits in part is taken back. */
static void write_part(struct log_file *f, uint64_t skip)
{
	const char *p = journal->data + journal->from, *end = journal->data + journal->to;
	char stamp[STAMP_MAX], mark[64];
	size_t stamped = stamp_text(stamp);
	bool in_line = journal->in_line;

	f->length = journal->offset;
	out.skip = skip;
	out.failed = false;
	if (journal->lost || journal->slow) {
		int n = snprintf(mark, sizeof(mark),
				 journal->lost ? "(%llu bytes lost here)\n"
					       : "(slowed down here)\n",
				 (unsigned long long)journal->lost);
		if (in_line)
			put(f, "\n", 1);
		put(f, stamp, stamped);
		put(f, mark, (size_t)n);
		in_line = false;
	}
	while (p < end) {
		const char *nl = memchr(p, '\n', (size_t)(end - p));
		size_t n = nl ? (size_t)(nl - p) + 1 : (size_t)(end - p);
		if (!in_line)
			put(f, stamp, stamped);
		put(f, p, n);
		in_line = !nl;
		p += n;
	}
	flush(f);
	f->lost = 0;
	if (out.failed) {
		(void)!ftruncate(f->fd, (off_t)journal->offset);
		f->length = journal->offset;
		f->lost = journal->lost + journal->to - journal->from;
		in_line = journal->in_line;
	}
	f->in_line = in_line;
	journal->from = journal->to;
	journal_phase(LOG_HELD);
}

/* A line without end ends where the file must. */
static void end_line(struct log_file *f, const char *mark)
{
	if (f->in_line && f->fd >= 0)
		(void)fd_write_full(f->fd, mark, strlen(mark));
	f->in_line = false;
}

static void write_next(struct log_file *f)
{
	bool full = f->conf.limits.size && f->length >= f->conf.limits.size;
	const char *p = journal->data + journal->from, *nl;

	if (full && f->length >= 2 * f->conf.limits.size)
		end_line(f, "(line goes on)\n");
	if (full && !f->in_line) {
		rotate(f);
		full = false;
	}
	if (!log_open(f)) {
		f->lost += journal->n - journal->from;
		journal->from = journal->n;
		return;
	}
	nl = full ? memchr(p, '\n', journal->n - journal->from) : NULL;
	journal->to = nl ? (uint32_t)(nl + 1 - journal->data) : journal->n;
	journal->offset = f->length;
	journal->in_line = f->in_line;
	journal->lost = f->lost;
	journal->slow = f->slow;
	f->slow = false;
	journal_phase(LOG_WRITING);
	write_part(f, 0);
}

void log_write(struct log_file *f)
{
	if (journal->phase == LOG_WRITING && !log_open(f))
		f->lost = journal->lost;
	else if (journal->phase == LOG_WRITING)
		write_part(f, f->length > journal->offset ? f->length - journal->offset : 0);
	while (journal->from < journal->n)
		write_next(f);
	journal->kernel_next = journal->kernel_after;
	journal_phase(LOG_IDLE);
}

void log_close(struct log_file *f)
{
	end_line(f, "\n");
	fd_close(&f->fd);
}
