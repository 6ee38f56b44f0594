/* SPDX-License-Identifier: GPL-3.0-or-later */
/* How commands show services: a copy of what PID 1 says, and pieces of text and JSON. */
#pragma once

#include "init/init.h"
#include "lib/arena.h"
#include "lib/str.h"
#include "lib/vec.h"

/* All services, in the order of the set. */
struct view {
	struct init_service *v; /* strings, too, in the arena */
	size_t n;
	struct arena arena;
};

/* 0 or negative with e set; view_done() in either case. */
int view_load(struct view *ret, struct err *e);
void view_done(struct view *view);
/* NULL: there is none. */
const struct init_service *view_find(const struct view *view, const char *name);

/* What is shown as its state: as PID 1 has it, or "masked", "skipped", "listening", which are kinds
 * of "down" and "up". */
const char *view_state(const struct init_service *s);
/* One character for a state: + up, - down, ! failed, = done, * on its way. */
char view_mark(const char *state);
/* The states that there are, NULL at the end. */
extern const char *const view_states[];

/* Names of all services, a line each, for completion; nothing when PID 1 does not answer. */
void view_names(struct str *out);

/* "12s", "3h": nanoseconds, in the largest unit that fits. */
void view_age(uint64_t ns, char out[24]);
/* "2026-11-26 07:05:00" in local time, of a moment so many ns from now (or ago). */
void view_time(int64_t ns_from_now, char out[32]);

/* "key":"value", and the like. */
void view_json_text(struct str *out, const char *key, const char *value);
void view_json_flag(struct str *out, const char *key, bool value);
void view_json_number(struct str *out, const char *key, uint64_t value);
/* All that PID 1 says of a service, without the braces. */
void view_json(struct str *out, const struct init_service *s);

/* To standard output; 0 or negative with e set. */
int view_print(const struct str *out, struct err *e);
