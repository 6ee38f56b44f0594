/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What the kernel says of a device: its messages, and the files "uevent" of /sys, which hold the
 * same words. */
#pragma once

#include <stdbool.h>

#include "lib/slice.h"

#define UEVENT_BYTES 8192

struct uevent {
	/* Borrowed from the text; n is 0 where nothing is said. */
	struct slice action, subsystem, name, alias; /* name: below /dev; alias: for modprobe */
	unsigned major, minor;			     /* of name */
};

/* Words KEY=VALUE, separated by sep. false: something in it is not as the kernel writes it, and
 * nothing of it is to be used: a name that leaves /dev, a character that no name has. */
bool uevent_parse(struct slice text, char sep, struct uevent *ret);
