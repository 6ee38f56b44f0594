/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "store/build/progress.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "lib/arena.h"
#include "lib/fd.h"
#include "lib/loop.h"
#include "lib/path.h"
#include "lib/size.h"
#include "lib/str.h"
#include "lib/tab.h"
#include "lib/text.h"
#include "store/format/protocol.h"

#define TAIL_LINES    20
#define LINE_MAX_KEPT 2000
#define STILL_NS      (60ull * 1000000000)
#define REDRAW_NS     (100ull * 1000000)

/* One derivation that is being built. */
struct job {
	struct job *next;
	char *drv;		/* owned: path */
	char *log;		/* owned: logical path of the log, may be empty */
	uint64_t pid;		/* as in the trace lines */
	uint64_t start, told;	/* ns */
	struct str line;	/* unfinished line of output */
	char *tail[TAIL_LINES]; /* owned; ring of finished lines */
	size_t ntail;		/* ever added */
	uint64_t size, done;	/* of a download; 0 unknown */
};

struct progress {
	struct progress_opts o;
	bool tty, shown;
	struct job *jobs; /* newest last */
	uint64_t total, finished;
	uint64_t start, drawn;
};

struct progress *progress_new(const struct progress_opts *o)
{
	struct progress *p = calloc(1, sizeof(*p));
	if (!p)
		return NULL;
	p->o = *o;
	p->tty = !o->quiet && isatty(2);
	p->start = loop_now();
	return p;
}

static void job_free(struct job *j)
{
	free(j->drv);
	free(j->log);
	str_done(&j->line);
	for (size_t i = 0; i < TAIL_LINES; i++)
		free(j->tail[i]);
	free(j);
}

/* ---- Output ---------------------------------------------------------------------------------- */

static void put(const struct str *s)
{
	(void)fd_write_full(2, s->buf, s->len); /* nobody to tell when this fails */
}

static void erase(struct progress *p)
{
	if (p->shown)
		(void)fd_write_full(2, "\r\033[K", 4);
	p->shown = false;
}

__attribute__((format(printf, 2, 3))) static void say(struct progress *p, const char *fmt, ...)
{
	auto_str struct str s = STR_INIT;
	va_list ap;
	erase(p);
	va_start(ap, fmt);
	str_addv(&s, fmt, ap);
	va_end(ap);
	str_addc(&s, '\n');
	put(&s);
}

/* "/gnu/store/HASH-NAME.drv" to "NAME". */
static struct slice job_name(const char *drv)
{
	struct slice n = slice_of(path_base(drv));
	if (n.n > 33) {
		n.p += 33;
		n.n -= 33;
	}
	if (slice_ends(n, ".drv"))
		n.n -= 4;
	return n;
}

static void add_time(struct str *s, uint64_t ns)
{
	uint64_t sec = ns / 1000000000;
	if (sec < 10)
		str_addf(s, "%.1fs", (double)ns / 1e9);
	else if (sec < 60)
		str_addf(s, "%us", (unsigned)sec);
	else if (sec < 3600)
		str_addf(s, "%um%02us", (unsigned)(sec / 60), (unsigned)(sec % 60));
	else
		str_addf(s, "%uh%02um", (unsigned)(sec / 3600), (unsigned)(sec / 60 % 60));
}

static void add_job(struct str *s, const struct job *j, uint64_t now)
{
	struct slice n = job_name(j->drv);
	str_adds(s, n);
	str_add(s, " ");
	if (j->size && j->done <= j->size)
		str_addf(s, "%u%% ", (unsigned)(j->done * 100 / j->size));
	add_time(s, now - j->start);
}

static void draw(struct progress *p, bool force)
{
	uint64_t now = loop_now();
	if (!p->tty || (!p->jobs && !p->o.what) || (!force && now - p->drawn < REDRAW_NS))
		return;
	p->drawn = now;
	struct winsize ws = { 0 };
	size_t width = ioctl(2, TIOCGWINSZ, &ws) == 0 && ws.ws_col > 20 ? ws.ws_col : 80;
	auto_str struct str s = STR_INIT;
	if (p->total)
		str_addf(&s, "[%llu/%llu ", (unsigned long long)p->finished,
			 (unsigned long long)p->total);
	else
		str_add(&s, "[");
	add_time(&s, now - p->start);
	str_addf(&s, "] %s", p->jobs ? "building " : p->o.what);
	for (struct job *j = p->jobs; j; j = j->next) {
		add_job(&s, j, now);
		if (j->next)
			str_add(&s, ", ");
	}
	if (s.len > width - 1)
		str_cut(&s, width - 1);
	auto_str struct str out = STR_INIT;
	str_add(&out, "\r\033[K");
	text_safe(&out, str_slice(&s));
	put(&out);
	p->shown = true;
}

/* ---- Jobs ------------------------------------------------------------------------------------ */

static struct job *find_drv(struct progress *p, struct slice drv)
{
	for (struct job *j = p->jobs; j; j = j->next)
		if (slice_is(drv, j->drv))
			return j;
	return NULL;
}

static struct job *find_pid(struct progress *p, uint64_t pid)
{
	for (struct job *j = p->jobs; j; j = j->next)
		if (j->pid == pid)
			return j;
	return NULL;
}

static void drop(struct progress *p, struct job *job)
{
	for (struct job **at = &p->jobs; *at; at = &(*at)->next) {
		if (*at != job)
			continue;
		*at = job->next;
		job_free(job);
		return;
	}
}

static char *dup_slice(struct slice s)
{
	char *d = malloc(s.n + 1);
	if (!d)
		return NULL;
	memcpy(d, s.p, s.n);
	d[s.n] = 0;
	return d;
}

static void left_text(struct progress *p, struct str *s)
{
	if (p->total > p->finished)
		str_addf(s, ", %llu left", (unsigned long long)(p->total - p->finished));
}

static void started(struct progress *p, struct slice drv, struct slice log, uint64_t pid)
{
	struct job *j = calloc(1, sizeof(*j));
	if (!j)
		return; /* less to see, nothing else */
	j->line = (struct str)STR_INIT;
	j->drv = dup_slice(drv);
	j->log = dup_slice(log);
	j->pid = pid;
	j->start = j->told = loop_now();
	if (!j->drv || !j->log) {
		job_free(j);
		return;
	}
	struct job **at = &p->jobs;
	while (*at)
		at = &(*at)->next;
	*at = j;
	if (!p->o.quiet && !p->tty) {
		auto_str struct str s = STR_INIT;
		str_add(&s, "building ");
		str_adds(&s, job_name(j->drv));
		left_text(p, &s);
		say(p, "%s", s.buf);
	}
	draw(p, false);
}

static void keep_line(struct job *j, const char *text, size_t n)
{
	char **slot = &j->tail[j->ntail % TAIL_LINES];
	free(*slot);
	*slot = dup_slice((struct slice){ text, MIN_OF(n, (size_t)LINE_MAX_KEPT) });
	j->ntail++;
}

static void show_failure(struct progress *p, struct job *j, struct slice why)
{
	auto_str struct str s = STR_INIT;
	struct slice name = job_name(j->drv);
	if (j->line.len)
		keep_line(j, j->line.buf, j->line.len);
	erase(p);
	str_addf(&s, "build of %.*s failed: ", (int)name.n, name.p);
	text_safe(&s, why);
	str_addc(&s, '\n');
	size_t n = MIN_OF(j->ntail, (size_t)TAIL_LINES);
	if (n == 1 && j->tail[0] && slice_is(why, j->tail[0]))
		n = 0; /* the reason is all it said */
	if (n && !p->o.verbose)
		str_addf(&s, "last %zu lines of its output:\n", n);
	for (size_t i = j->ntail - n; i < j->ntail && !p->o.verbose; i++) {
		const char *line = j->tail[i % TAIL_LINES];
		str_add(&s, "  ");
		text_safe(&s, slice_of(line ? line : ""));
		str_addc(&s, '\n');
	}
	if (j->log[0]) {
		str_addf(&s, "whole log: %s", p->o.root);
		for (const char *c = j->log; *c; c++) /* Guix's spelling has a doubled slash */
			if (c[0] != '/' || c[1] != '/')
				str_addc(&s, *c);
		str_addc(&s, '\n');
	}
	put(&s);
}

static void finished(struct progress *p, struct slice drv, bool ok, struct slice why)
{
	struct job *j = find_drv(p, drv);
	p->finished++;
	if (!j) {
		if (!ok)
			say(p, "build of %.*s failed: %.*s", (int)drv.n, drv.p, (int)why.n, why.p);
		return;
	}
	if (!ok) {
		show_failure(p, j, why);
	} else if (!p->o.quiet && !p->tty) {
		auto_str struct str s = STR_INIT;
		str_add(&s, "built ");
		str_adds(&s, job_name(j->drv));
		str_add(&s, " in ");
		add_time(&s, loop_now() - j->start);
		left_text(p, &s);
		say(p, "%s", s.buf);
	}
	drop(p, j);
	if (!p->jobs)
		erase(p);
	draw(p, true);
}

/* ---- Trace lines ----------------------------------------------------------------------------- */

static struct slice word(struct slice *rest)
{
	struct slice w = SLICE("");
	(void)slice_cut(rest, ' ', &w);
	return w;
}

static uint64_t number(struct slice s)
{
	uint64_t v = 0;
	return text_u64(s, UINT64_MAX, &v) ? 0 : v;
}

/* A line of a downloader, inside a builder's output: "@ download-progress ITEM URL SIZE DONE". */
static void download_line(struct job *j, struct slice line)
{
	struct slice rest = line;
	(void)word(&rest);
	struct slice what = word(&rest);
	(void)word(&rest);
	(void)word(&rest);
	j->size = number(word(&rest));
	if (slice_is(what, "download-progress"))
		j->done = number(word(&rest));
}

static void output_line(struct progress *p, struct job *j)
{
	struct slice line = str_slice(&j->line);
	while (line.n && line.p[line.n - 1] == '\r')
		line.n--;
	if (slice_starts(line, "@ download-")) {
		download_line(j, line);
		return;
	}
	keep_line(j, line.p, line.n);
	if (p->o.verbose) {
		auto_str struct str s = STR_INIT;
		struct slice name = job_name(j->drv);
		str_addf(&s, "%.*s> ", (int)name.n, name.p);
		text_safe(&s, line);
		say(p, "%s", s.buf);
	}
}

static void builder_output(struct progress *p, struct job *j, struct slice text)
{
	for (size_t i = 0; i < text.n; i++) {
		if (text.p[i] == '\n') {
			output_line(p, j);
			str_cut(&j->line, 0);
		} else if (j->line.len < LINE_MAX_KEPT) {
			str_addc(&j->line, text.p[i]);
		}
	}
	draw(p, false);
}

static void trace_line(struct progress *p, struct slice line)
{
	struct slice rest = line;
	(void)word(&rest);
	struct slice what = word(&rest);
	struct slice drv = word(&rest);
	if (slice_is(what, "cairn-plan")) {
		p->total = p->finished + number(drv);
	} else if (slice_is(what, "build-started")) {
		(void)word(&rest);
		(void)word(&rest);
		struct slice log = word(&rest);
		started(p, drv, log, number(word(&rest)));
	} else if (slice_is(what, "substituter-started") && !p->o.quiet) {
		auto_free char *path = dup_slice(drv);
		struct slice name = job_name(path ? path : "");
		say(p, "fetching %.*s", (int)name.n, name.p);
	} else if (slice_is(what, "build-succeeded")) {
		finished(p, drv, true, SLICE(""));
	} else if (slice_is(what, "build-failed")) {
		(void)word(&rest);
		struct slice kind = word(&rest);
		bool bare = slice_is(kind, "timeout") || slice_is(kind, "cached");
		finished(p, drv, false, bare ? kind : rest);
	}
}

/* Other lines are the daemon's remarks. */
static void remark(struct progress *p, struct slice line)
{
	if (line.n && p->o.remark)
		p->o.remark(p->o.arg, line);
	if (p->o.quiet || p->o.remark || !line.n)
		return;
	auto_str struct str s = STR_INIT;
	text_safe(&s, line);
	say(p, "%s", s.buf);
	draw(p, true);
}

void progress_text(struct progress *p, struct slice text)
{
	if (p->o.mute)
		return;
	if (slice_starts(text, "@ build-log ")) {
		struct slice head, rest = text;
		if (!slice_cut(&rest, '\n', &head))
			return;
		if (p->o.raw) {
			(void)fd_write_full(2, rest.p, rest.n); /* as in put() */
			return;
		}
		(void)word(&head);
		(void)word(&head);
		struct job *j = find_pid(p, number(word(&head)));
		if (j)
			builder_output(p, j, rest);
		return;
	}
	struct slice rest = text, line;
	while (slice_cut(&rest, '\n', &line)) {
		if (!slice_starts(line, "@ "))
			remark(p, line);
		else if (!p->o.raw)
			trace_line(p, line);
	}
}

void progress_tick(struct progress *p)
{
	uint64_t now = loop_now();
	draw(p, true);
	for (struct job *j = p->jobs; j && !p->tty && !p->o.quiet; j = j->next) {
		if (now - j->told < STILL_NS)
			continue;
		j->told = now;
		auto_str struct str s = STR_INIT;
		str_add(&s, "still building ");
		add_job(&s, j, now);
		left_text(p, &s);
		say(p, "%s", s.buf);
	}
}

void progress_free(struct progress *p)
{
	if (!p)
		return;
	erase(p);
	while (p->jobs)
		drop(p, p->jobs);
	free(p);
}
