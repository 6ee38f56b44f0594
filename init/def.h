/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The keys of one section: their table, their parsers, their defaults. */
#pragma once

#include "init/set.h"
#include "lib/conf.h"

extern const struct conf_key svc_keys[];
extern const size_t svc_nkeys;

void svc_def_defaults(struct svc_def *d);
uint64_t svc_hash(uint64_t h, const void *p, size_t n);
