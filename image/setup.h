/* SPDX-License-Identifier: GPL-3.0-or-later */
/* From answers to a machine: the steps behind "cairn install", without questions. */
#pragma once

#include <stdint.h>

#include "image/answers.h"
#include "image/device.h"
#include "image/disk.h"
#include "image/layout.h"
#include "lib/arena.h"
#include "lib/err.h"
#include "store/store.h"
#include "system/system.h"

/* Partitions of the answers, by their contents. */
#define SETUP_PARTS 4

struct setup {
	struct store_opts store;
	struct sys_eval_opts eval;
	struct arena arena;
	struct answers answers;
	struct device disk; /* of setup_open() */
	/* of setup_open(), when partitions are named: what goes where */
	struct layout layout;
	struct disk_place places[SETUP_PARTS];
	const char *work; /* scratch directory, ours; NULL: none yet */
	/* of setup_evaluate() */
	const char *config; /* file */
	struct sys_eval *ev;
	struct store_conn *conn;
	/* Called now and then: bytes written, and in all; may be NULL. */
	void (*progress)(void *arg, uint64_t done, uint64_t all);
	void *progress_arg;
	uint64_t all;
};

void setup_init(struct setup *s);
void setup_done(struct setup *s); /* removes the scratch directory */

/* -ERR_SPACE with numbers when the machine has too little memory to go on. */
int setup_check_memory(struct err *e);
/* Open the disk of the answers; -ERR_INVALID when it is not the one they were given for, or has no
 * such partitions. */
int setup_open(struct setup *s, struct err *e);
/* Write the configuration and evaluate it: what is wrong with it is said here. */
int setup_evaluate(struct setup *s, struct err *e);
/* Build; -ERR_SPACE with numbers when the disk is too small. The disk is not touched. */
int setup_build(struct setup *s, struct err *e);
/* Write the disk. */
int setup_write(struct setup *s, struct err *e);
/* What is going to be done, for people. */
void setup_plan(const struct setup *s, struct str *out);
