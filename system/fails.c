/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "system/fails.h"

void fails_note(struct fails *f, int rc, struct err *e)
{
	if (rc >= 0)
		return;
	str_addf(&f->text, "%s%s", f->count ? "; " : "", e->msg);
	f->count++;
	f->code = f->code ? f->code : rc;
	*e = (struct err)ERR_INIT;
}

int fails_end(struct fails *f, struct err *e)
{
	int rc = f->count ? err_set(e, f->code, "%s", f->text.buf) : 0;

	str_done(&f->text);
	*f = (struct fails)FAILS_INIT;
	return rc;
}
