/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Services with accept = yes: PID 1 takes each connection and gives it to a process of its own. */
#pragma once

#include "init/svc.h"

int accept_init(void); /* -ENOMEM */
/* The processes of a life before that are there still. All services were taken over. */
void accept_resume(void);
/* A listening socket of s has connections: start a process for each, as far as the limits go. */
void accept_some(struct svc *s, int listener);
/* One of its processes has ended. */
void accept_ended(struct pid_link *l);
/* s goes; those of its processes that may still drain belong to nobody from here on. */
void accept_forget(struct svc *s);
void accept_signal(const struct svc *s, unsigned sig); /* to all of them */
