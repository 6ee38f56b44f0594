/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Devices that come while the machine runs, and those that were there before: the kernel makes
 * their nodes in /dev, here they get mode and group by rules, and their modules are loaded.
 */
#pragma once

#include "lib/arena.h"
#include "lib/err.h"
#include "lib/vec.h"
#include "system/uevent.h"

struct hotplug_rule {
	const char *subsystem, *name; /* patterns, in the arena of the load */
	unsigned mode, gid;
};

/* Rules, one a line: SUBSYSTEM NAME MODE GROUP, the first that matches counts. vec of struct
 * hotplug_rule. */
int hotplug_rules_load(const char *file, struct arena *a, struct vec *ret, struct err *e);
/* NULL: none. */
const struct hotplug_rule *hotplug_rule_find(const struct vec *rules, const struct uevent *u);
/* Mode and group of the device below the directory dev, which the caller keeps; only when it is the
 * device that was spoken of. 0 or -errno. */
int hotplug_node(int dev, const struct hotplug_rule *r, const struct uevent *u);
/* A socket that hears the kernel. */
int hotplug_open(struct err *e);
/* One message; *ret lives in buf. 1: one of the kernel that is sound; 0: to be left out; -ENOBUFS:
 * some were lost; else -errno. */
int hotplug_read(int sock, char buf[UEVENT_BYTES], struct uevent *ret);
