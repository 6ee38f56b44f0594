/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Defences that a test may switch off, to see that what it tries would work without them. */
#pragma once

#include <stdlib.h>
#include <string.h>

#include "lib/text.h"
#include "store/local/local.h"

/* Whether the daemon's own environment names the defence in CAIRN_TEST_WITHOUT: "netns", "scope",
 * "copy", blank separated. Never for the machine's store. */
static inline bool testing_without(const struct local *l, const char *defence)
{
	const char *list = getenv("CAIRN_TEST_WITHOUT");
	return list && l->root[0] && strstr(list, defence);
}

/* Seconds that the daemon waits for what is slow: usual, or CAIRN_TEST_PATIENCE of a test that
 * cannot wait as long. Never for the machine's store. */
static inline long testing_patience(const struct local *l, long usual)
{
	const char *text = getenv("CAIRN_TEST_PATIENCE");
	uint64_t v;
	return text && l->root[0] && text_u64(slice_of(text), 1000, &v) == 0 && v ? (long)v : usual;
}
