/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "system/machine-id.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/random.h>

#include "lib/fd.h"
#include "lib/size.h"

#define FILE_PATH "/etc/machine-id"
#define DIGITS	  32

static bool is_id(struct slice text)
{
	text = slice_trim(text);
	for (size_t i = 0; i < text.n; i++)
		if (!strchr("0123456789abcdef", text.p[i]))
			return false;
	return text.n == DIGITS;
}

int sys_machine_id_put(const struct sys_root *r, struct err *e)
{
	static const char hex[] = "0123456789abcdef";
	auto_str struct str old = STR_INIT;
	unsigned char bytes[DIGITS / 2];
	char text[DIGITS + 1];
	struct err ignored = ERR_INIT;

	/* What is there but is no identity ("uninitialized", a cut file) is none. */
	if (!sys_root_is_machine(r) ||
	    (file_read(AT_FDCWD, FILE_PATH, &old, 256, &ignored) >= 0 && is_id(str_slice(&old))))
		return 0;
	if (getrandom(bytes, sizeof(bytes), 0) != (ssize_t)sizeof(bytes))
		return err_sys(e, "%s: no random numbers", FILE_PATH);
	/* The marks of a random UUID, which readers may look for. */
	bytes[6] = (unsigned char)((bytes[6] & 0x0f) | 0x40);
	bytes[8] = (unsigned char)((bytes[8] & 0x3f) | 0x80);
	for (size_t i = 0; i < sizeof(bytes); i++) {
		text[2 * i] = hex[bytes[i] >> 4];
		text[2 * i + 1] = hex[bytes[i] & 15];
	}
	text[DIGITS] = '\n';
	return file_write_atomic(AT_FDCWD, FILE_PATH, text, sizeof(text), 0444, e);
}
