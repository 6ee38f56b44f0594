/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The sd_notify socket: one for all services, the sender is known by its credentials. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "lib/err.h"
#include "lib/slice.h"

int notify_open(const char *path, struct err *e);
/* The socket anew, in the place of what is at path. When it fails the one before stays. */
int notify_listen(const char *path, struct err *e);

/* One line of a message. */
enum notify_what {
	NOTIFY_OTHER, /* means nothing here */
	NOTIFY_READY,
	NOTIFY_STOPPING,
	NOTIFY_RELOADING,
	NOTIFY_ALIVE,
	NOTIFY_STORE,  /* keep the descriptors that came along */
	NOTIFY_REMOVE, /* close what was kept */
	NOTIFY_EXTEND, /* number: microseconds, a day at most */
	NOTIFY_MAIN,   /* number: a process */
	/* Text, as long as the message lives: */
	NOTIFY_NAME, /* of descriptors */
	NOTIFY_STATUS,
};

struct notify_line {
	enum notify_what what;
	uint64_t number;
	struct slice text;
};

/* Cut the next line off a message. false: there is none. */
bool notify_next(struct slice *rest, struct notify_line *ret);
