/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The health gate of a boot on trial: the service that [init] gate names must come up before the
 * deadline, or the machine reboots and the boot loader takes the next try. Decides only; world.c
 * acts. Without a trial there is nothing to decide.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "init/svc.h"

enum gate_state { GATE_OFF, GATE_WAITS, GATE_PASSED, GATE_FAILED };

struct gate {
	enum gate_state state;
	uint64_t deadline; /* 0: none */
	char why[240];	   /* of the failure */
};

/* trial: this boot is one. The gate and its time are those of the set. */
void gate_init(struct gate *g, const struct svc_def *init, bool trial, uint64_t now);
/* Look at the services; true once, when the gate has failed. A load may bring another gate, which
 * is then the one that counts, or none. */
bool gate_look(struct gate *g, const struct svc_mgr *m, uint64_t now);
