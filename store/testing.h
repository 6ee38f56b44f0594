/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Defences that a test may switch off, to see that what it tries would work without them. */
#pragma once

#include <stdlib.h>
#include <string.h>

#include "store/local.h"

/* Whether the daemon's own environment names the defence in CAIRN_TEST_WITHOUT: "netns", "scope",
 * "copy", blank separated. Never for the machine's store. */
static inline bool testing_without(const struct local *l, const char *defence)
{
	const char *list = getenv("CAIRN_TEST_WITHOUT");
	return list && l->root[0] && strstr(list, defence);
}
