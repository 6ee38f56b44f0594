/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/err.h"

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "lib/size.h"

static const struct {
	const char *text;
	uint16_t code;
	uint8_t status;
} table[] = {
#define X(name, num, text, status) { text, num, status },
	ERR_LIST(X)
#undef X
};

const char *err_text(int code)
{
	if (code == 0)
		return "success";
	for (size_t i = 0; i < ARRAY_LEN(table); i++)
		if (table[i].code == -code)
			return table[i].text;
	return strerror(code < 0 ? -code : code);
}

int err_status(int code)
{
	for (size_t i = 0; i < ARRAY_LEN(table); i++)
		if (table[i].code == -code)
			return table[i].status;
	return code ? 1 : 0;
}

/* Mark a cut message, so that nobody takes it for the whole. */
static void mark_cut(struct err *e)
{
	memcpy(e->msg + sizeof(e->msg) - 4, "...", 4);
}

static void print(struct err *e, const char *fmt, va_list ap)
{
	int n = vsnprintf(e->msg, sizeof(e->msg), fmt, ap);

	if (n < 0)
		e->msg[0] = '\0';
	else if ((size_t)n >= sizeof(e->msg))
		mark_cut(e);
}

static void append(struct err *e, const char *a, const char *b, const char *c)
{
	size_t used = strlen(e->msg);
	int n = snprintf(e->msg + used, sizeof(e->msg) - used, "%s%s%s", a, b, c);

	if (n < 0 || (size_t)n >= sizeof(e->msg) - used)
		mark_cut(e);
}

int err_set(struct err *e, int code, const char *fmt, ...)
{
	int saved = errno;
	va_list ap;

	if (!e)
		return code;
	va_start(ap, fmt);
	print(e, fmt, ap);
	va_end(ap);
	e->code = code;
	errno = saved;
	return code;
}

static int fill_num(struct err *e, int code, const char *fmt, va_list ap)
{
	int saved = errno;

	if (!e)
		return code;
	print(e, fmt, ap);
	append(e, ": ", err_text(code), "");
	e->code = code;
	errno = saved;
	return code;
}

int err_sys(struct err *e, const char *fmt, ...)
{
	int code = errno ? -errno : -EIO;
	va_list ap;

	va_start(ap, fmt);
	fill_num(e, code, fmt, ap);
	va_end(ap);
	return code;
}

int err_num(struct err *e, int code, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	fill_num(e, code, fmt, ap);
	va_end(ap);
	return code;
}

int err_wrap(struct err *e, int code, const char *fmt, ...)
{
	struct err old;
	int saved = errno;
	va_list ap;

	if (!e)
		return code;
	old = *e;
	va_start(ap, fmt);
	print(e, fmt, ap);
	va_end(ap);
	append(e, ": ", old.code ? old.msg : err_text(code), "");
	e->code = code;
	errno = saved;
	return code;
}

int err_hint(struct err *e, int code, const char *fmt, ...)
{
	struct err hint = ERR_INIT;
	int saved = errno;
	va_list ap;

	if (!e)
		return code;
	va_start(ap, fmt);
	print(&hint, fmt, ap);
	va_end(ap);
	append(e, " [", hint.msg, "]");
	e->code = code;
	errno = saved;
	return code;
}

bool err_row(size_t i, int *ret_status, const char **ret_text)
{
	if (i >= ARRAY_LEN(table))
		return false;
	*ret_status = table[i].status;
	*ret_text = table[i].text;
	return true;
}
