/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Force-included into every translation unit: functions that have no safe use here become
 * compile errors. lib/text.h has the replacements for number parsing, lib/str.h for strings.
 */
#pragma once

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#pragma GCC poison strcpy strcat strncpy strncat strtok sprintf vsprintf atoi atol strtol strtoul
#pragma GCC poison gets tmpnam mktemp system popen alloca gmtime localtime
