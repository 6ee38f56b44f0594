/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Activation: make the machine's own files agree with a generation. Runs at every boot and at every
 * switch, and again after a crash: each step can be repeated.
 *
 *	/etc/static -> GENERATION/etc, and a link into it for each of its files
 *	/etc/passwd group shadow, home directories
 *	directories and links that services ask for
 *	/run/current-system, and on the running machine the host name
 *	/etc/machine-id, made by the running machine when it has none
 *	commands that services ask for
 *	/run/privileged/bin, /run/secrets
 *
 * A step that fails does not stop the others; the error at the end names all that failed.
 */
#pragma once

#include "lib/vec.h"
#include "system/root.h"

int sys_activate(const struct sys_root *r, const char *system, struct err *e);
/* The same at boot, where only accounts, /etc and the links below /run must not fail: an error of
 * another step is in *ret_other (empty: none), and the machine comes up. */
int sys_activate_boot(const struct sys_root *r, const char *system, struct err *ret_other,
		      struct err *e);
/* Once more what may lie on file systems that were mounted since, at boot: directories, homes,
 * links and what commands make. Directories that are to be empty are emptied. */
int sys_activate_directories(const struct sys_root *r, const char *system, struct err *e);
/* What can be known to fail before a switch: unreadable files, contradictions of accounts. Changes
 * nothing, and reads a sketch (system/sketch.h) as well; that a system is complete gen_check()
 * says.
 */
int sys_activate_check(const struct sys_root *r, const char *system, struct err *e);
/* The privileged programs of a system: vec of struct privileged, in a. Reads a sketch as well. */
int sys_activate_programs(const struct sys_root *r, struct arena *a, const char *system,
			  struct vec *ret, struct err *e);
