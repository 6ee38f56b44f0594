/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "init/row.h"

#include <time.h>

#include "init/proto.h"
#include "init/world.h"
#include "lib/wire.h"

static uint64_t box_bits(const struct svc_box *b)
{
	uint64_t bits = (b->profile ? CTL_BOX_PROFILE : 0) | (b->bounded ? CTL_BOX_CAPS : 0) |
			(b->seccomp ? CTL_BOX_SECCOMP : 0) | (b->root ? CTL_BOX_ROOT : 0) |
			(b->nmounts ? CTL_BOX_PATHS : 0);

	for (unsigned i = 0; i < SVC_BOX_FLAGS; i++)
		bits |= (uint64_t)svc_box_on(b, (enum svc_box_flag)i) << i;
	return bits << CTL_BOX_SHIFT;
}

static void put_id(struct str *out, uint64_t first, uint64_t second)
{
	char text[40];

	snprintf(text, sizeof(text), "%016llx%016llx", (unsigned long long)first,
		 (unsigned long long)second);
	wr_cstr(out, text);
}

/* How long until it is tried again, or runs again; 0: it does not wait for a time. */
static uint64_t wait_of(const struct svc *s)
{
	bool waits = s->state == SVC_BACKOFF || (s->state == SVC_UP && s->def->timed && s->pid < 0);
	uint64_t now = loop_now();

	return waits && s->deadline > now ? s->deadline - now : 0;
}

static void put_more(struct str *out, const struct svc *s)
{
	wr_u64(out, wait_of(s));
	wr_u64(out, s->started ? loop_now() - s->started : 0);
	wr_u64(out, s->begun);
	wr_u64(out, s->ready);
	wr_u64(out, (uint64_t)s->last_run);
	put_id(out, s->runs[0], s->runs[1]);
}

void row_put(struct str *out, const struct svc *s, unsigned version)
{
	const struct svc_def *d = s->def;
	char text[LIMIT_PATH + LIMIT_SVC_NAME + 8];
	static const char *const types[SVC_TYPE_MAX] = { "simple", "notify", "oneshot", "forking",
							 "group" };
	uint64_t flags = (s->wish ? CTL_WISH : 0) | (s->barred ? CTL_BARRED : 0) |
			 (s->stale ? CTL_STALE : 0) | (s->skipped ? CTL_SKIPPED : 0) |
			 (s->listening ? CTL_LISTENING : 0) | (d->enabled ? CTL_ENABLED : 0) |
			 (d->critical ? CTL_CRITICAL : 0) | (s->ended ? CTL_ENDED : 0) |
			 (d->masked ? CTL_MASKED : 0) | box_bits(&d->box);

	wr_cstr(out, s->name);
	wr_cstr(out, types[d->type]);
	wr_cstr(out, svc_state_names[s->state]);
	wr_cstr(out, s->why);
	wr_cstr(out, s->status);
	snprintf(text, sizeof(text), "%.200s", d->description ? d->description : "");
	wr_cstr(out, text);
	text[0] = '\0';
	if (d->output == SVC_OUT_LOG && !d->terminal && d->type != SVC_GROUP)
		snprintf(text, sizeof(text), "%.1000s/%s.log", world.mgr.set->init.log_directory,
			 s->name);
	wr_cstr(out, text);
	put_id(out, d->id[0], d->id[1]);
	wr_u64(out, flags);
	wr_u64(out, s->pid > 0 ? (uint64_t)s->pid : 0);
	wr_u64(out, s->since ? loop_now() - s->since : 0);
	wr_u64(out, s->total_restarts);
	wr_u64(out, (uint64_t)(unsigned)s->last_status);
	if (version > 1)
		put_more(out, s);
}

void row_put_info(struct str *out, unsigned version)
{
	uint64_t failed = 0;

	for (size_t i = 0; i < world.mgr.set->n; i++)
		failed += world.mgr.v[i]->state == SVC_FAILED;
	wr_cstr(out, CAIRN_VERSION);
	wr_cstr(out, world.set_path ? world.set_path : "");
	wr_bool(out, world.booted);
	wr_u64(out, world.mgr.set->n);
	wr_u64(out, failed);
	if (version == 1)
		return;
	wr_u64(out, world.start);
	wr_u64(out, world.settled);
	wr_u64(out, loop_now());
}

void row_put_event(struct str *out, const char *name, const char *old, const char *now,
		   const char *why)
{
	struct timespec real;

	clock_gettime(CLOCK_REALTIME, &real);
	wr_u64(out, loop_now());
	wr_u64(out, (uint64_t)real.tv_sec * 1000000000 + (uint64_t)real.tv_nsec);
	wr_cstr(out, name);
	wr_cstr(out, old);
	wr_cstr(out, now);
	wr_cstr(out, why);
}
