/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Services that came after the load: transient ones and instances of templates. They are sections
 * that stand behind a mark in the text of the set, so what holds for a load holds for them: checked
 * as a whole, taken as a whole, kept when PID 1 executes itself again. Their names live until a set
 * brings the same, or, once they ended, until others need their place.
 */
#pragma once

#include "init/world.h"

#define ADDED_MAX  64
#define ADDED_REST 60000000000ull /* an ended one stays to be looked at, ns */

/* The text of the set in base, and what of the running set's additions goes with it. */
int added_carry(struct slice base, struct str *out);
/* Add one section "[service NAME]\n…"; the load that brings it is under way then. *ret_name is in
 * section. -EEXIST, -ERR_LIMIT, -EBUSY, or what is wrong with it. */
int added_put(struct slice section, struct slice *ret_name, struct err *e);
/* The descriptors that become 0, 1, 2 of the first process of name; owned from here on. One set at
 * a time: the next one closes them. */
void added_stdio(struct slice name, const int fds[3]);
bool added_has_stdio(const int fds[3]); /* are these kept? */
/* Those of s, once: owned by the caller. false: there are none. */
bool added_take_stdio(const struct svc *s, int fds[3]);
