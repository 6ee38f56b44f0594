/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Programs that run with more rights than who starts them: copies below /run/privileged/bin, a file
 * system of its own (/run around it is nosuid). Nobody but root can make a name
 * there, so no link keeps an old copy; an old copy that somebody holds open loses its bits before
 * it goes. The new directory is made aside and takes the place of the old one in one step.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "lib/vec.h"
#include "system/root.h"

#define PRIVILEGED_DIR "/run/privileged"

struct privileged {
	const char *name;    /* below PRIVILEGED_DIR/bin */
	const char *program; /* path of the machine: a file of the store */
	const char *user, *group;
	bool setuid, setgid;
	uint64_t capabilities; /* bits; permitted and effective */
};

/* Make the directory agree with list (vec of struct privileged); on the machine it is mounted
 * first. What is there already and is right stays. A
 * program that cannot be made is named by the error, and is what it was before; the others are
 * made.
 */
int privileged_apply(const struct sys_root *r, const struct vec *list, struct err *e);
