/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Force-included into every translation unit: functions that have no safe use here become
 * compile errors. lib/text.h has the replacements for number parsing, lib/str.h for strings.
 */
#pragma once

#include <alloca.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#undef alloca
#undef strcpy
#undef strcat
#undef strncpy
#undef strncat
#undef strtok
#undef sprintf
#undef vsprintf
#pragma GCC poison strcpy strcat strncpy strncat strtok sprintf vsprintf atoi atol strtol strtoul
#pragma GCC poison gets tmpnam mktemp popen alloca gmtime localtime

/* "system" is also the name of a field of derivations, so only the call is caught. */
#define system(command) system_is_banned_use_proc_run(command)
