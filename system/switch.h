/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Switching the machine to another generation, so that a crash at any point leaves exactly the old
 * or exactly the new one. The order (doc/system.md says why):
 *
 *	1. note "FROM -> TO" in system.switch		(undo from here on)
 *	2. system-TO-link, when the generation is new
 *	3. TO is on trial, unless it came up well last	(the menu in place does not start it yet)
 *	   or is the current one and on trial already
 *	4. boot menu with TO as default, in place as the boot loader reads it
 *	5. rename the profile link			(the visible switch; finish from here on)
 *	6. remove the note
 *
 * A note that is found later is brought to an end by sys_switch_recover(): forward when the link is
 * renamed or the machine was booted into TO since then, else back. Where that
 * one is too damaged to have a menu, it is the other.
 */
#pragma once

#include "system/generation.h"

enum sys_switch_end {
	SYS_SWITCH_NONE,   /* there was no note */
	SYS_SWITCH_UNDONE, /* the old generation is the current one, as before */
	SYS_SWITCH_DONE,   /* the new generation is the current one */
	SYS_SWITCH_LEFT, /* neither can be booted: nothing was changed but that the note is gone */
};

/* Steps 1 to 6. path: store path of TO when it has no link yet, else NULL. On failure everything is
 * as it was before; when not even that succeeds the message says so and the note stays. */
int sys_switch(const struct sys_root *r, unsigned to, const char *path, struct err *e);
/* booted: store path of the running system where it is known, else NULL. */
int sys_switch_recover(const struct sys_root *r, const char *booted, enum sys_switch_end *ret,
		       struct err *e);
