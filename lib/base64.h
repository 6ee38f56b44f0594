/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Base64 of RFC 4648 with padding, in its one canonical spelling. */
#pragma once

#include <stdint.h>

#include "lib/slice.h"
#include "lib/str.h"

void base64_add(struct str *out, const void *p, size_t n);
/* Appends the bytes. -ERR_SYNTAX for anything but whole groups with zero surplus bits: no blanks,
 * no line ends. */
int base64_decode(struct slice text, struct str *out);
