/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Which generations have to stay, and which go: one policy for whatever deletes. */
#pragma once

#include "bootloader/bootloader.h"
#include "system/switcher.h"

struct keep {
	const struct switcher *s; /* borrowed */
	struct boot_count count;  /* of the boot loader of the current generation */
	unsigned before;	  /* where a roll-back leads; 0: nowhere */
	unsigned active;	  /* 0: none is */
};

/* Reads what is noted again: that a note cannot be read must not delete anything. */
int keep_load(struct switcher *s, struct keep *ret, struct err *e);
/* Why it must not be deleted, whoever asks; NULL: it may. */
const char *keep_needed(const struct keep *k, const struct gen *g);
/* Why it is kept unless somebody names it; NULL: nothing keeps it. */
const char *keep_wanted(const struct keep *k, const struct gen *g);
/* Delete generations of s but those that stay: first the menu, which never names one whose files
 * may be collected, then the links, then notes and secrets. go->n becomes the number of those that
 * are gone, also on failure; -ERR_PARTIAL: it failed after the menu was written. */
int keep_delete(struct switcher *s, struct gen_list *go, const struct gen_list *stay,
		struct err *e);
/* rc, with which something failed after that: -ERR_PARTIAL when any are gone. */
int keep_partial(const struct gen_list *gone, int rc, struct err *e);
/* To be called before anything is deleted by age: refuses when the clock cannot be right. */
int keep_check_clock(struct err *e);

/* PATTERN of a command: "3", "1,2", "4..7" (by number); "10d", "2w", "2m", "1y": older than that.
 * -ERR_USAGE. */
struct keep_pattern {
	const char *text;
	bool by_age;
	int64_t age; /* seconds */
};
int keep_pattern_parse(const char *text, struct keep_pattern *ret, struct err *e);
/* -ERR_NOTFOUND: it names by its number, not in a range, a generation that there is not. */
int keep_pattern_check(const struct keep_pattern *p, const struct gen_list *list, struct err *e);
/* now: Unix seconds. What came with an image has no age. */
bool keep_pattern_has(const struct keep_pattern *p, const struct gen *g, int64_t now);

/* Of generations that are deleted, or would be: a line each, or elements of a JSON list. */
void keep_tell_gone(const struct gen_list *gone, bool dry_run, bool json, struct str *out);
