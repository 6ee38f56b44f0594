/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The service set of a generation for a container. What needs the machine's own disks, terminals,
 * network cards or kernel is skipped there, which is not the same as failing: such a service gets
 * the condition "not-virtual:container", as one has that says so by itself.
 */
#pragma once

#include <stdbool.h>

#include "lib/slice.h"
#include "lib/str.h"

/* Is it of those that a container cannot have? section: its lines in the set, without the header.
 */
bool test_set_is_skipped(struct slice name, struct slice section);
/* Add set with those conditions to ret. */
void test_set_format(struct slice set, struct str *ret);
