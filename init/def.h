/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The keys of one section: their table, their parsers, their defaults. */
#pragma once

#include "init/set.h"
#include "lib/conf.h"

/* Kinds of sections, for conf_ctx. */
enum { SECTION_INIT = 1, SECTION_SERVICE = 2 };

extern const struct conf_key svc_keys[];
extern const size_t svc_nkeys;

void svc_def_defaults(struct svc_def *d);
uint64_t svc_hash(uint64_t h, const void *p, size_t n);
/* A line that was parsed becomes part of the identity of the definition c->object, unless it says
 * nothing about a process: who is started with it and in which order, and what it is. */
void svc_identify(struct conf_ctx *c, const struct conf_key *key, struct slice value);

/* box-def.c */
conf_parse_fn svc_parse_caps, svc_parse_box_flag, svc_parse_sandbox, svc_parse_mounts;
conf_parse_fn svc_parse_ioprio, svc_parse_cpus, svc_parse_cpu_set;
int svc_check_io_max(struct conf_ctx *c, struct slice v);
/* When all keys were read: what the profile adds. NULL, or what does not go together. */
const char *svc_box_finish(struct svc_def *d);
