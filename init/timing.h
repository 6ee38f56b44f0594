/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Timed services in the real world: clocks, stamps of earlier boots, and a clock that is set. */
#pragma once

#include <stdint.h>

#include "init/svc.h"

uint64_t timing_next_run(struct svc *s); /* struct svc_ops */
void timing_run_begins(struct svc *s);
/* A timed service of the life before: see when the clock is set. */
void timing_attach(const struct svc *s);
