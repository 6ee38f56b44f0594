/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "init/watchdog.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/ioctl.h>

#include "init/inherit.h"
#include "init/state.h"
#include "lib/fd.h"
#include "lib/log.h"
#include "lib/size.h"

#define SECOND	1000000000ull
#define LAST	(180 * SECOND) /* unmounting, and what the firmware does before it resets */
#define LONGEST (24 * 3600 * SECOND)

static struct {
	int fd;
	uint64_t timeout; /* asked for; 0: none */
	bool told;	  /* that there is none */
} w = { .fd = -1 };

void watchdog_init(void)
{
	if (state_keep(STATE_WATCHDOG, &w, sizeof(w)))
		w.fd = inherit_take(w.fd, S_IFCHR);
}

/* Drivers take what they can and say what they took; one that cannot be told keeps its own. */
static void set_time(uint64_t timeout)
{
	int seconds = (int)((MIN_OF(timeout, LONGEST) + SECOND - 1) / SECOND);

	if (ioctl(w.fd, WATCHDOG_SET, &seconds) < 0 && ioctl(w.fd, WATCHDOG_GET, &seconds) < 0)
		log_debug("watchdog", "watchdog: has no time-out why=\"%s\"", strerror(errno));
	else if ((uint64_t)seconds * SECOND < w.timeout)
		w.timeout = (uint64_t)MAX_OF(seconds, 1) * SECOND;
}

static void start(void)
{
	w.fd = open(WATCHDOG_DEVICE, O_WRONLY | O_CLOEXEC | O_NONBLOCK);
	if (w.fd < 0) {
		if (!w.told)
			log_warn("watchdog: not there path=" WATCHDOG_DEVICE " why=\"%s\"",
				 strerror(errno));
		w.told = true;
		return;
	}
	set_time(w.timeout);
	log_info("watchdog: on seconds=%llu", (unsigned long long)(w.timeout / SECOND));
}

static void stop(void)
{
	(void)!write(w.fd, "V", 1); /* a driver without this word goes on: nothing to be done */
	fd_close(&w.fd);
}

void watchdog_set(uint64_t timeout)
{
	if (timeout == w.timeout)
		return;
	w.timeout = timeout;
	w.told = false;
	if (!timeout && w.fd >= 0)
		stop();
	else if (timeout && w.fd >= 0)
		set_time(timeout);
	watchdog_pet();
}

void watchdog_pet(void)
{
	if (w.timeout && w.fd < 0)
		start();
	if (w.fd >= 0)
		(void)!write(w.fd, "", 1); /* any byte; when it fails the watchdog tells */
}

uint64_t watchdog_pause(void)
{
	return w.timeout / 3;
}

void watchdog_end(bool reset)
{
	if (w.fd < 0)
		return;
	if (!reset) {
		stop();
		return;
	}
	set_time(MAX_OF(w.timeout, (uint64_t)LAST));
	watchdog_pet();
}
