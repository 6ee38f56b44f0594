/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What the state machine asks for, done to the machine: struct svc_ops of the real world. */
#pragma once

#include <sys/types.h>

#include "init/svc.h"

extern const struct svc_ops world_ops;

void ops_pidfd_signal(int pidfd, unsigned sig); /* -1: nobody */
/* MAINPID=: another process of a notify service is its main one from now on. */
void ops_set_main(struct svc *s, pid_t pid);
/* The loop's part of a service that a life before has left: timer (s->timer.when), processes,
 * ready: its notification descriptor (-1: none), watched: by the descriptor of its process. */
void ops_attach(struct svc *s, int ready, bool watched);
