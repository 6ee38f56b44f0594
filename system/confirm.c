/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "system/confirm.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "init/init.h"
#include "lib/conf-file.h"
#include "lib/fd.h"
#include "lib/proc.h"
#include "lib/size.h"
#include "lib/text.h"
#include "system/generation.h"

/* In memory: what was not confirmed is over with a boot, which starts what the profile names. */
#define NOTE	   "/run/cairn/confirm"
#define REVERTED   "/run/cairn/reverted" /* the note of a trial that was gone back from */
#define LIMIT_NOTE 4096
#define SERVICE                                                                                    \
	"revert-" /* and a number, as names of services that ended stay taken for a while          \
		   */

static const struct conf_key note_keys[] = {
	CONF_KEY("to", conf_parse_u64, offsetof(struct confirm, to), NULL, "tried out", false),
	CONF_KEY("from", conf_parse_u64, offsetof(struct confirm, from), NULL, "ran before", false),
	CONF_KEY("until", conf_parse_u64, offsetof(struct confirm, until), NULL, "boot time",
		 false),
	CONF_KEY("service", conf_parse_str, offsetof(struct confirm, service), NULL, "PID 1's",
		 false),
};

static const struct conf_file note_file = {
	.limit = LIMIT_NOTE, .keys = note_keys, .nkeys = ARRAY_LEN(note_keys), .only = "confirm"
};

/* -ENOENT: there is no such note. */
static int read_note(struct arena *a, const char *file, struct confirm *ret, struct err *e)
{
	struct confirm c = { 0, 0, 0, "" };
	int rc = conf_load(&note_file, file, &c, NULL, a, e);

	if (rc < 0)
		return rc;
	if (!c.to || c.to > GEN_NUMBER_MAX || !c.from || c.from > GEN_NUMBER_MAX ||
	    !slice_starts(slice_of(c.service), SERVICE))
		return err_set(e, -ERR_INVALID, "%s: not a note of what is tried out", file);
	*ret = c;
	return 0;
}

int confirm_load(const struct sys_root *r, struct arena *a, struct confirm *ret, bool *ret_found,
		 struct err *e)
{
	struct err tmp = ERR_INIT;
	int rc;

	*ret_found = false;
	if (!sys_root_is_machine(r)) /* what is below a directory does not run */
		return 0;
	rc = read_note(a, NOTE, ret, &tmp);
	if (rc == -ENOENT)
		return 0;
	if (rc < 0)
		return err_set(e, rc, "%s", tmp.msg);
	*ret_found = true;
	return 0;
}

static char *note_text(struct arena *a, const struct confirm *c)
{
	return arena_fmt(a, "[confirm]\nto = %u\nfrom = %u\nuntil = %u\nservice = %s\n",
			 (unsigned)c->to, (unsigned)c->from, (unsigned)c->until, c->service);
}

/* Only said, not needed. */
void confirm_note_reverted(const struct confirm *c)
{
	auto_arena struct arena a = ARENA_INIT;
	struct err ignored = ERR_INIT;
	char *note = note_text(&a, c);

	if (note)
		(void)file_write_atomic(AT_FDCWD, REVERTED, note, strlen(note), 0644, &ignored);
}

bool confirm_was_reverted(struct arena *a, struct confirm *ret)
{
	struct err ignored = ERR_INIT;

	return read_note(a, REVERTED, ret, &ignored) == 0;
}

static uint64_t boot_time(void)
{
	struct timespec ts = { 0 };

	(void)clock_gettime(CLOCK_BOOTTIME, &ts);
	return (uint64_t)ts.tv_sec;
}

uint64_t confirm_left(const struct confirm *c)
{
	uint64_t now = boot_time();

	return c->until > now ? c->until - now : 0;
}

/* It waits for its time, runs, or failed and is tried again. */
static int take_row(void *arg, const struct init_service *s)
{
	bool *armed = arg;

	*armed = strcmp(s->state, "down") != 0 && strcmp(s->state, "failed") != 0;
	return 0;
}

bool confirm_is_armed(const struct confirm *c)
{
	struct err ignored = ERR_INIT;
	bool armed = true;
	int rc = init_client_status(c->service, take_row, &armed, &ignored);

	return rc != -ERR_NOTFOUND && armed;
}

/* A timed service with one run. It fails as long as somebody else changes the system, or a load is
 * under way, and is tried again: there is no number of failures after which it gives up. */
static int arm(const struct confirm *c, const char *program, uint64_t seconds, struct err *e)
{
	struct proc_spec spec = PROC_SPEC_INIT;
	auto_fd int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
	char first[48], text[96];
	const char *argv[] = { "cairn",
			       "service",
			       "run",
			       "--name",
			       c->service,
			       "--property",
			       text,
			       "--property",
			       first,
			       "--property=every=365d",
			       "--property=restart=on-failure",
			       "--property=restart-limit=0",
			       "--property=restart-delay=1s",
			       "--",
			       program,
			       "system",
			       "revert",
			       NULL };

	snprintf(first, sizeof(first), "first-run=%llus", (unsigned long long)seconds);
	snprintf(text, sizeof(text), "description=back to generation %u, unless %u is confirmed",
		 (unsigned)c->from, (unsigned)c->to);
	spec.argv = argv;
	spec.path = "/proc/self/exe";
	spec.in = -2;
	spec.out = null;
	int rc = proc_run(&spec, e);
	return rc < 0 ? err_wrap(e, rc, "while asking PID 1 to go back by itself") : 0;
}

int confirm_begin(struct arena *a, const char *program, uint64_t seconds, struct confirm *c,
		  struct err *e)
{
	uint64_t now = boot_time();
	char *note;
	int rc;

	c->until = now + seconds;
	c->service = arena_fmt(a, SERVICE "%u-%u", (unsigned)now, (unsigned)getpid());
	note = c->service ? note_text(a, c) : NULL;
	if (!note)
		return err_set(e, -ENOMEM, "out of memory");
	(void)unlink(REVERTED);
	/* A note without the service harms nobody; the service without the note would not know what
	 * to do. */
	rc = file_write_atomic(AT_FDCWD, NOTE, note, strlen(note), 0644, e);
	if (rc == 0)
		rc = arm(c, program, seconds, e);
	if (rc < 0)
		(void)unlink(NOTE);
	return rc;
}

const char *confirm_own_service(void)
{
	const char *name = getenv("SERVICE_NAME");

	return name && slice_starts(slice_of(name), SERVICE) ? name : NULL;
}

static bool is_own(const char *service)
{
	const char *own = confirm_own_service();

	return own && strcmp(own, service) == 0;
}

int confirm_stop(const char *service, struct err *e)
{
	struct err why = ERR_INIT;
	int rc = init_client_action(INIT_STOP, service, !is_own(service), &why);

	if (rc == 0 || rc == -ERR_NOTFOUND) /* it never came to be, or is gone already */
		return 0;
	return err_set(e, rc, "while telling PID 1 not to go back any more: %s", why.msg);
}

static int remove_note(struct err *e)
{
	return unlink(NOTE) < 0 && errno != ENOENT ? err_sys(e, "%s", NOTE) : 0;
}

int confirm_end(const struct confirm *c, struct err *e)
{
	bool own = is_own(c->service);
	int rc = own ? remove_note(e) : 0; /* it ends with the next step */

	if (rc == 0)
		rc = confirm_stop(c->service, e);
	return rc < 0 || own ? rc : remove_note(e);
}
