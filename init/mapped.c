/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "init/mapped.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "init/root.h"
#include "lib/fd.h"
#include "lib/log.h"
#include "lib/loop.h"
#include "lib/path.h"
#include "lib/proc.h"
#include "lib/size.h"
#include "lib/text.h"

#define CRYPTSETUP	 "/sbin/cryptsetup"
#define MDADM		 "/sbin/mdadm"
#define LVM		 "/sbin/lvm"
#define SECOND		 1000000000ull
#define LOOK_NS		 500000000
#define WAIT_WHOLE	 10  /* seconds for the last disk of what could do without it; */
#define WAIT_WITHOUT	 20  /* with a long rootdelay all of it but these */
#define ASK_WANTED	 60  /* seconds for a passphrase that the machine starts without */
#define ASK_UNATTENDED	 300 /* and where the machine is to come back by itself */
#define PASSPHRASE_MAX	 512 /* as cryptsetup has it; less than a pipe takes at once */
#define WRONG_PASSPHRASE 2   /* exit status of cryptsetup */
#define WORDS		 (5 + MAPPED_DISKS)

/* What was typed last: many disks have one passphrase. Gone when all are open. */
static char typed[PASSPHRASE_MAX + 1];

/* ---- the list --------------------------------------------------------------------------------*/

static size_t cut_words(char *line, char *words[WORDS])
{
	size_t n = 0;

	for (char *word = line; *word && n < WORDS;) {
		char *end = word + strcspn(word, " ");
		words[n++] = word;
		if (!*end)
			break;
		*end = '\0';
		word = end + 1;
	}
	return n;
}

int mapped_parse(char *line, struct mapped *ret, struct err *e)
{
	static const char *const kinds[] = { "luks", "raid", "lvm" };
	static const size_t least[] = { 6, 4, 4 };
	char *words[WORDS] = { NULL };
	size_t n = cut_words(line, words), kind = 0;
	uint64_t tries = 0;

	while (n > 0 && kind < ARRAY_LEN(kinds) && strcmp(words[0], kinds[kind]) != 0)
		kind++;
	if (n == 0 || kind == ARRAY_LEN(kinds) || n < least[kind])
		return err_set(e, -ERR_SYNTAX, "mapped: '%s' is no mapped device",
			       n ? words[0] : "");
	if (kind == MAPPED_LUKS && text_u64(slice_of(words[4]), 1000, &tries) < 0)
		return err_set(e, -ERR_SYNTAX, "mapped: '%s' is no number of tries", words[4]);
	*ret = (struct mapped){ .kind = (enum mapped_kind)kind,
				.needed = strcmp(words[1], "needed") == 0,
				.path = words[2],
				.source = strcmp(words[3], "-") == 0 ? NULL : words[3],
				.tries = (unsigned)tries };
	ret->discards = kind == MAPPED_LUKS && strcmp(words[5], "discards") == 0;
	for (size_t i = 4; kind == MAPPED_RAID && i < n && i - 4 < MAPPED_DISKS; i++)
		ret->disks[i - 4] = words[i];
	return 0;
}

/* ---- programs --------------------------------------------------------------------------------*/

static bool is_there(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && S_ISBLK(st.st_mode);
}

static int run(const char *const *argv, bool silent, struct err *e)
{
	struct proc_spec spec = PROC_SPEC_INIT;

	spec.argv = argv;
	spec.in = -2;
	if (silent)
		spec.out = spec.err = -2;
	return proc_run(&spec, e);
}

/* What a program wrote into the file, as one line. */
static void read_words(int fd, char *out, size_t size)
{
	ssize_t n = fd < 0 ? 0 : pread(fd, out, size - 1, 0);

	n = n > 0 ? n : 0;
	while (n > 0 && out[n - 1] == '\n')
		n--;
	out[n] = '\0';
	for (char *at = out; *at; at++)
		if ((unsigned char)*at < ' ')
			*at = ' ';
}

/* ---- LUKS ------------------------------------------------------------------------------------*/

/* Is there something to read before that time? until: 0: whenever. */
static bool wait_input(uint64_t until)
{
	struct pollfd p = { .fd = STDIN_FILENO, .events = POLLIN };
	uint64_t now;
	int r = 1;

	if (!until)
		return true;
	do {
		now = loop_now();
		r = now < until ? poll(&p, 1, (int)((until - now) / 1000000 + 1)) : 0;
	} while (r < 0 && errno == EINTR);
	return r != 0;
}

/* A line of the terminal, which does not show it. limit: seconds; 0: none. */
static int ask(const char *name, const char *device, unsigned limit, struct err *e)
{
	uint64_t until = limit ? loop_now() + limit * SECOND : 0;
	struct termios before, quiet;
	bool terminal = tcgetattr(STDIN_FILENO, &before) == 0;
	bool late = false;
	size_t n = 0;
	ssize_t got = 0;

	if (terminal) {
		quiet = before;
		quiet.c_lflag = (quiet.c_lflag & ~(tcflag_t)ECHO) | ICANON;
		quiet.c_iflag |= ICRNL;
		(void)tcsetattr(STDIN_FILENO, TCSAFLUSH, &quiet);
	}
	dprintf(STDERR_FILENO, "\r\nPassphrase for %s (%s): ", name, device);
	while (!(late = !wait_input(until)) && (got = read(STDIN_FILENO, typed + n, 1)) == 1 &&
	       typed[n] != '\n')
		n += n < PASSPHRASE_MAX; /* one that is too long is wrong */
	if (!late || n > 0)		 /* the one for other disks stays when nothing came */
		typed[got == 1 && !late ? n : 0] = '\0';
	dprintf(STDERR_FILENO, "\r\n");
	/* Half a passphrase is not for who reads next. */
	if (terminal)
		(void)tcsetattr(STDIN_FILENO, late ? TCSAFLUSH : TCSANOW, &before);
	if (late)
		return err_set(e, -ERR_TIMEOUT, "passphrase of %s: none within %u seconds", name,
			       limit);
	if (got == 1)
		return 0;
	return got < 0 ? err_sys(e, "passphrase of %s", name)
		       : err_set(e, -ERR_NOTFOUND, "passphrase of %s: there is no terminal", name);
}

/* -EACCES: the passphrase is wrong. */
static int unlock(const struct mapped *m, const char *device, struct err *e)
{
	const char *argv[] = { CRYPTSETUP,
			       "open",
			       "--type",
			       "luks",
			       "--key-file=-",
			       device,
			       path_base(m->path),
			       m->discards ? "--allow-discards" : NULL,
			       NULL };
	struct proc_spec spec = PROC_SPEC_INIT;
	auto_fd int told = memfd_create("told", MFD_CLOEXEC);
	int ends[2], status = 0;
	struct err why = ERR_INIT;
	char words[400];

	if (!typed[0]) /* which cryptsetup has another status for */
		return err_set(e, -EACCES, "%s: no passphrase opened %s", m->path, device);
	if (pipe2(ends, O_CLOEXEC) < 0)
		return err_sys(e, "pipe");
	(void)!write(ends[1], typed, strlen(typed)); /* there is room */
	fd_close(&ends[1]);
	spec.argv = argv;
	spec.in = ends[0];
	spec.out = -2;
	spec.err = told < 0 ? -1 : told; /* a wrong passphrase is told by the caller */
	spec.ret_status = &status;
	int r = proc_run(&spec, &why);
	fd_close(&ends[0]);
	if (r < 0 && WIFEXITED(status) && WEXITSTATUS(status) == WRONG_PASSPHRASE)
		return err_set(e, -EACCES, "%s: no passphrase opened %s", m->path, device);
	read_words(told, words, sizeof(words));
	return r < 0 ? err_set(e, r, "%s of %s: %s%s%s", m->path, device, why.msg,
			       words[0] ? ": " : "", words)
		     : 0;
}

static int open_luks(const struct mapped *m, uint64_t wait, bool unattended, struct err *e)
{
	unsigned limit = !m->needed ? ASK_WANTED : unattended ? ASK_UNATTENDED : 0;
	char device[PATH_MAX], type[32];
	int r = root_wait_device(m->source, wait, device, type);

	if (r < 0)
		return err_set(e, -ERR_TIMEOUT, "%s: %s not found within %llu seconds", m->path,
			       m->source, (unsigned long long)wait);
	r = unlock(m, device, e);
	for (unsigned left = m->tries; r == -EACCES && left > 0; left--) {
		r = ask(path_base(m->path), device, limit, e);
		if (r == 0 && (r = unlock(m, device, e)) == -EACCES)
			log_error("mapped: wrong passphrase device=%s tries-left=%u", m->path,
				  left - 1);
	}
	return r;
}

/* ---- RAID, LVM -------------------------------------------------------------------------------*/

/* The disks that are there now, at most size of them, below each other in text. */
static size_t find_disks(const struct mapped *m, char text[][PATH_MAX], size_t size)
{
	char type[32];
	size_t n = 0;

	for (size_t i = 0; m->disks[i] && n < size; i++)
		n += root_wait_device(m->disks[i], 0, text[n], type) == 0;
	return n;
}

static int assemble(const struct mapped *m, bool whole, bool silent, struct err *e)
{
	static char found[MAPPED_DISKS][PATH_MAX], uuid[80];
	const char *argv[7 + MAPPED_DISKS] = { MDADM, "--assemble", m->path,
					       whole ? "--no-degraded" : "--run" };
	size_t n = 4;

	if (m->source) {
		(void)snprintf(uuid, sizeof(uuid), "--uuid=%s", m->source);
		argv[n++] = "--config=partitions";
		argv[n++] = uuid;
	}
	size_t disks = find_disks(m, found, MAPPED_DISKS);
	if (!m->source && disks == 0)
		return err_set(e, -ERR_NOTFOUND, "%s: none of its disks was found", m->path);
	for (size_t i = 0; i < disks; i++)
		argv[n++] = found[i];
	argv[n] = NULL;
	return run(argv, silent, e);
}

static int activate(const struct mapped *m, bool whole, bool silent, struct err *e)
{
	const char *argv[] = {
		LVM,	   "lvchange", "-ay", "--activationmode", whole ? "complete" : "degraded",
		m->source, NULL
	};

	return run(argv, silent, e);
}

/* Seconds that it is opened with all disks only. */
static uint64_t wait_whole(uint64_t wait)
{
	return MIN_OF(wait, wait > WAIT_WHOLE + WAIT_WITHOUT ? wait - WAIT_WITHOUT
							     : (uint64_t)WAIT_WHOLE);
}

/* First with all disks; when those do not come, without the missing ones. */
static int open_of_several(const struct mapped *m, uint64_t wait, struct err *e)
{
	const struct timespec pause = { .tv_nsec = LOOK_NS };
	uint64_t start = loop_now(), until = start + wait * SECOND;
	uint64_t whole = start + wait_whole(wait) * SECOND;

	for (;;) {
		struct err why = ERR_INIT;
		bool all = loop_now() < whole, last = loop_now() >= until;
		int r = m->kind == MAPPED_RAID ? assemble(m, all, !last, &why)
					       : activate(m, all, !last, &why);

		if (r == 0 && !all)
			log_warn("mapped: opened, but not all disks are there device=%s", m->path);
		if (r == 0 && is_there(m->path))
			return 0;
		if (last)
			return r < 0 ? err_set(e, r, "%s: %s", m->path, why.msg)
				     : err_set(e, -ERR_NOTFOUND, "%s is not there", m->path);
		(void)nanosleep(&pause, NULL); /* no event tells that it can be opened now */
	}
}

/* ---- all of them -----------------------------------------------------------------------------*/

static int open_one(char *line, uint64_t wait, bool unattended, struct err *e)
{
	struct err why = ERR_INIT;
	struct mapped m;
	int r = mapped_parse(line, &m, e);

	if (r < 0 || is_there(m.path))
		return r;
	r = m.kind == MAPPED_LUKS ? open_luks(&m, wait, unattended, &why)
				  : open_of_several(&m, wait, &why);
	if (r == 0)
		log_info("mapped: opened device=%s", m.path);
	else if (m.needed)
		*e = why;
	else
		log_error("mapped: goes on without it device=%s why=\"%s\"", m.path, why.msg);
	return m.needed ? r : 0;
}

int mapped_open_all(char *list, uint64_t wait, bool unattended, struct err *e)
{
	int r = 0;

	for (char *line = list; r == 0 && *line;) {
		char *end = line + strcspn(line, "\n"), *next = *end ? end + 1 : end;

		*end = '\0';
		if (*line)
			r = open_one(line, wait, unattended, e);
		line = next;
	}
	explicit_bzero(typed, sizeof(typed));
	return r;
}
