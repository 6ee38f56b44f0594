/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Where tests crash PID 1: a program that is linked with another step.o does it at the n-th step.
 */
#pragma once

/* So many crashes within ten seconds, and what was kept is no longer trusted. */
extern const unsigned crash_burst;

/* One step of the journal is written, or is about to be. */
void step_done(void);
