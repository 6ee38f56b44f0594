/* SPDX-License-Identifier: GPL-3.0-or-later */
/* In the program cairn-init these take the place of the C library's, which bring floating point and
 * wide characters, ten kilobytes that PID 1 has no use for. */
#include <stdarg.h>
#include <stdio.h>

#include "init/format.h"

int vsnprintf(char *restrict out, size_t size, const char *restrict format, va_list ap)
{
	return format_text(out, size, format, ap);
}

int snprintf(char *restrict out, size_t size, const char *restrict format, ...)
{
	va_list ap;

	va_start(ap, format);
	int n = format_text(out, size, format, ap);
	va_end(ap);
	return n;
}
