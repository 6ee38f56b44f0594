/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The server of the control socket. Each client has one slot of fixed size; nothing a client sends
 * or does not read can block, grow or reach another one. */
#pragma once

#include "init/svc.h"
#include "lib/err.h"

int control_open(const char *path, struct err *e);
/* The socket anew, in the place of what is at path; clients stay. When it fails the one before
 * stays. */
int control_listen(const char *path, struct err *e);
/* What is done only once, a reload, is done: whatever comes now, the request for it is over. */
void control_acted(void);
/* The services are there: go on with the request that a life before was at. */
void control_resume(void);
/* After svc_settle: answer those who wait for a result, tell those who watch. */
void control_turn(void);

/* Those who watch will be told: s was old before (SVC_STATE_MAX: it was removed), or something
 * happened to the whole. */
void control_changed(const struct svc *s, enum svc_state old);
void control_note(const char *what, const char *why);
