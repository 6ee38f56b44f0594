/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Builds on other machines: which one, and the child of the daemon that sends what is needed there,
 * has it built, and fetches the results as if a builder had made them here. */
#pragma once

#include "lib/proc.h"
#include "store/remote/machines.h"
#include "store/daemon/session.h"

#define OFFLOAD_UNREACHABLE 75 /* exit status: the machine, not the derivation, is at fault */
#define OFFLOAD_TIMEOUT	    76

/* A job on a machine; -1: here. */
struct offload_place {
	struct machine *m; /* borrowed; NULL: none */
	int lock;	   /* owned */
};

/* Choose the machine for d with the least load, and take one of its jobs. 0 with ret->m NULL: none
 * fits, or can be reached. -EAGAIN: those that fit are busy. */
int offload_take(struct session *s, const struct drv *d, struct offload_place *ret, struct err *e);
void offload_put(struct offload_place *p);
/* It could not be reached: it is not asked again for a minute. */
void offload_avoid(struct offload_place *p);

struct offload_job {
	struct session *s;
	const struct machine *m;
	const char *drv_path;
	const struct drv *drv;
	const struct vec *inputs;
	int dirfd; /* where the outputs go */
	int log;   /* standard output and error */
};
int offload_start(const struct offload_job *j, struct proc *ret, struct err *e);
