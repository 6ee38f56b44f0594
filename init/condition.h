/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Conditions of services: "[not-]KIND:ARGUMENT". */
#pragma once

#include <stdbool.h>

#include "lib/slice.h"

bool condition_is_known(struct slice text);
/* Looks at the machine as it is now. text is known. */
bool condition_holds(const char *text);
