/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The exit statuses of the commands that build, install, change and show a machine's system: one
 * for each kind of answer that a script would act upon. */
#include <errno.h>

#include "lib/size.h"
#include "system/system.h"

enum { CONFIG = 1, BUILD = 2, REFUSED = 3 };

static const struct cmd_status rows[] = {
	{ 0, "done" },
	{ CONFIG, "usage, an error in the configuration, or no such generation" },
	{ BUILD, "a build or a download failed" },
	{ REFUSED, "refused, or failed before it took effect: space, device, lock" },
	{ 4, "switched or deleted, but what follows failed in part: it is named" },
	{ 5, "not confirmed: the machine has gone back, or does by itself" },
	{ 6, "nothing done: there was nothing to do (--fail-if-unchanged), or 'install' was left" },
	{ 7, "with --test: it did not come up, and nothing was switched" },
	{ 65, "what is stored is damaged" },
	{ 70, "internal: others from 64 on" },
};

static int status_of(int code)
{
	switch (-code) {
	case ERR_USAGE:
	case ERR_SYNTAX:
	case ERR_INVALID:
	case ERR_LIMIT:
	case ERR_EVAL:
	case ERR_NOTVALID:
	case ERR_NOTFOUND:
	case ENOENT:
	case ENOTDIR:
	case EISDIR:
	case ELOOP:
	case ENAMETOOLONG:
		return CONFIG;
	case ERR_BUILD:
	case ERR_TIMEOUT:
	case ERR_FETCH:
	case ERR_SANDBOX:
	case ERR_REMOTE:
		return BUILD;
	case ERR_IN_USE:
	case ERR_SPACE:
	case ERR_UNSUPPORTED:
		return REFUSED;
	default: /* the system's own: a device, a right, memory */
		return -code < ERR_USAGE ? REFUSED : err_status(code);
	}
}

const struct cmd_statuses sys_statuses = { status_of, rows, ARRAY_LEN(rows) };
