/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "init/timing.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/random.h>
#include <sys/timerfd.h>
#include <time.h>

#include "init/logs.h"
#include "init/schedule.h"
#include "init/world.h"
#include "lib/fd.h"
#include "lib/log.h"
#include "lib/text.h"

#define SECOND 1000000000ll
#define FAR_AWAY                                                                                   \
	(1ll << 40) /* seconds: this timer never fires, it tells that the clock was set            \
		     */

static struct loop_fd watch = { .fd = -1 };

static int64_t wall_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return ts.tv_sec * SECOND + ts.tv_nsec;
}

/* ---- the clock -------------------------------------------------------------------------------*/

static int arm_watch(int fd)
{
	struct itimerspec far = { .it_value.tv_sec = FAR_AWAY };

	return timerfd_settime(fd, TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET, &far, NULL);
}

static void on_clock(struct loop_fd *src, uint32_t events)
{
	uint64_t n;

	(void)events;
	(void)fd_read_some(src->fd, &n, sizeof(n)); /* ECANCELED: it was set */
	(void)arm_watch(src->fd);
	log_info("clock: was set");
	svc_clock_changed(&world.mgr);
}

static void watch_clock(void)
{
	if (watch.fd >= 0)
		return;
	int fd = timerfd_create(CLOCK_REALTIME, TFD_NONBLOCK | TFD_CLOEXEC);
	watch.fn = on_clock;
	if (fd < 0 || arm_watch(fd) < 0 || loop_add(world.loop, &watch, fd, EPOLLIN) < 0) {
		log_warn("clock: changes are not seen why=\"%s\"", strerror(errno));
		fd_close(&fd);
	}
}

void timing_attach(const struct svc *s)
{
	if (s->due && s->def->ncalendars)
		watch_clock();
}

/* ---- stamps ----------------------------------------------------------------------------------*/

static void stamp_path(const struct svc *s, char out[LIMIT_PATH])
{
	snprintf(out, LIMIT_PATH, "%.2900s/%s.stamp", world.mgr.set->init.state_directory, s->name);
}

/* When it ran last, by the file that the logger wrote. 0: there is none. */
static int64_t read_stamp(const struct svc *s)
{
	char path[LIMIT_PATH], buf[32];
	uint64_t t = 0;

	stamp_path(s, path);
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	ssize_t n = fd < 0 ? -1 : fd_read_some(fd, buf, sizeof(buf));
	fd_close(&fd);
	if (n <= 0 ||
	    text_u64(slice_trim((struct slice){ buf, (size_t)n }), INT64_MAX / SECOND, &t) < 0)
		return 0;
	return (int64_t)t;
}

static void write_stamp(struct svc *s)
{
	char path[LIMIT_PATH];

	stamp_path(s, path);
	logs_stamp(path, (uint64_t)(s->last_run > 0 ? s->last_run : 0));
}

/* ---- runs ------------------------------------------------------------------------------------*/

uint64_t timing_next_run(struct svc *s)
{
	const struct svc_def *d = s->def;
	struct schedule in = { .wall = wall_now(),
			       .boot = loop_now(),
			       .planned = s->planned,
			       .since = s->run_due,
			       .up = s->since };

	if (d->ncalendars)
		watch_clock();
	if (d->random_delay && getrandom(&in.random, sizeof(in.random), GRND_NONBLOCK) < 0)
		in.random = in.boot; /* so early in the boot nothing is better */
	if (d->catch_up && !s->last_run) {
		s->last_run = read_stamp(s);
		if (!s->last_run) { /* from now on runs can be missed */
			s->last_run = in.wall / SECOND;
			write_stamp(s);
		}
	}
	in.last = s->last_run;
	return schedule_next(d, &in, &s->planned);
}

void timing_run_begins(struct svc *s)
{
	int64_t now = wall_now() / SECOND;

	/* A clock that is slewed may be a moment short of the time that was waited for. */
	s->last_run = s->planned > now && s->planned - now < 60 ? s->planned : now;
	s->planned = 0;
	if (s->def->catch_up)
		write_stamp(s);
}
