/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What PID 1 must not lose, in a shared memory file that outlives the program: one record a
 * service, one for all else. A program that crashes, or is replaced, is executed anew, reads the
 * file of the life before, and writes its own. Until that is complete the old one counts, and is
 * not changed.
 *
 * A record is written in one of two places in turn, with a number and a checksum: the newest that
 * checks counts, so a crash in the middle of writing loses only what was being written. A record is
 * a list of fields with numbers, described in the file: another version of PID 1 takes those that
 * it knows. Without memory for the file everything works, but nothing outlives the program.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "init/child.h"
#include "init/svc.h"

#define STATE_CRASHES	16
#define STATE_READ	512
#define STATE_TEXT_PATH 4096 /* bytes before the text in a copy of a set: its path */

/* Kept structs; the numbers are part of the format. */
enum state_id {
	STATE_WORLD = 1,
	STATE_LOGS,
	STATE_RESCUE,
	STATE_NOTIFY,
	STATE_GATE,
	STATE_WATCHDOG,
	STATE_SHUTDOWN,
	STATE_LIMITS,
	STATE_JOURNAL,
	STATE_SETTLED,
	STATE_ID_MAX
};

/* A process that is about to be started: the kernel itself writes its number into the cell. */
enum state_launch { LAUNCH_NONE, LAUNCH_MAIN, LAUNCH_AUX };

/* Make the file. 0 or -errno. */
int state_new(void);
/* Read that of the life before, too; fd is owned from here on. -EINVAL: it is none, or its head
 * does not check. Before state_new(). */
int state_old(int fd);
/* The file that a next life reads; -1: none. */
int state_fd(void);
/* There is a life before, and its file can be read. */
bool state_adopts(void);
/* The life before was not to trust what is written there, but only what it sees. */
bool state_is_minimal(void);
/* The life before ended before it had written anything. */
bool state_is_empty(void);
/* From here on this life's file counts. */
void state_switch(void);

/* *p, of n bytes, is written with each state_commit() from here on. true: it was filled with what
 * the life before wrote: before state_switch() only. */
bool state_keep(enum state_id id, void *p, size_t n);
void state_commit(void);
/* n bytes of shared memory, written by their owner as he goes; NULL: no memory. *ret_came: filled
 * from the life before. Same owners, same order in each life, before state_switch(). */
void *state_area(size_t n, bool *ret_came);

void state_commit_svc(struct svc *s);
void state_forget_svc(struct svc *s);
/* Fill s from the record of its name. 0, -ENOENT, or -EBADMSG: there is one, and it does not
 * check. */
int state_find_svc(struct svc *s);

struct child_cell *state_cell(void);
void state_launch(enum state_launch kind, struct svc *s);
/* What the life before was starting: kind, and cell and service when they are not NULL. */
enum state_launch state_old_launch(const struct svc *s, const struct child_cell **ret);

/* Memory of STATE_READ bytes for what s says that it is ready by: reading it consumes it, so it is
 * read to where it outlives us. NULL: it is dealt with. */
char *state_reading(struct svc *s);
/* The life before had read for s. NULL: nothing. */
const char *state_old_reading(const struct svc *s);

/* In a handler of signals: note a crash. true: what is kept is to be trusted no more, and there was
 * a life without it already. */
bool state_crashed(uint64_t now);

/* A sealed copy of a set: descriptor, or -errno. And what is in one: path and text are of *buf,
 * which is the caller's. */
int state_text_new(const char *path, struct slice text);
int state_text_read(int fd, struct str *buf, struct slice *ret_path, struct slice *ret_text);
