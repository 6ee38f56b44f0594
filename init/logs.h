/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * PID 1's side of the logs: the pipes, of which it holds both ends, and the logger, which it starts
 * again when it dies. logger.h has the protocol between the two.
 */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

#include "init/svc.h"

/* The pipe of PID 1's own messages: what it says from here on will be in its log. Once. */
void logs_open(void);
/* That pipe, if need be, and what a life before had. */
void logs_init(void);
/* Start the logger, unless there is one. */
void logs_start(void);
/* The end of the pipe of s that a process of it writes to; made once, kept over its restarts. Owned
 * by s. -1: there is none, output is lost (a message said so). */
int logs_end(struct svc *s);
/* Have the logger write a stamp (logger.h); lost, with a message, while there is no logger. */
void logs_stamp(const char *path, uint64_t seconds);
/* Settings may have changed with a set: tell the logger about all streams again. */
void logs_resend(void);
/* A child has ended: was it the logger? Then another one is started, at once or soon. */
bool logs_ended(pid_t pid);
pid_t logs_pid(void); /* of the logger; -1 or 0: none */
/* At the end of the shutdown: the logger drains and ends when this has closed everything. */
void logs_close(void);
