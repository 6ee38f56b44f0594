/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Text from a format: what PID 1 and lib/ use of snprintf, a tenth of what a C library's needs. In
 * the program cairn-init this is snprintf (printing.c).
 *
 * %s %c %d %i %u %x %X %%, flags - 0 #, width and precision (also *), lengths l ll z. Anything else
 * is written as it stands and takes no argument.
 */
#pragma once

#include <stdarg.h>
#include <stddef.h>

/* As vsnprintf: the length that the whole would have; out is ended with a NUL when size is not 0.
 */
int format_text(char *out, size_t size, const char *format, va_list ap);
