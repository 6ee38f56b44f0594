/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "init/spare.h"

#include <errno.h>
#include <sys/eventfd.h>

#include "lib/fd.h"

#define SPARES 4

static int spares[SPARES];
static unsigned n;

void spare_keep(void)
{
	while (n < SPARES) {
		int fd = eventfd(0, EFD_CLOEXEC);
		if (fd < 0)
			return;
		spares[n++] = fd;
	}
}

bool spare_lend(int error, unsigned leave)
{
	if ((error != EMFILE && error != ENFILE) || n <= leave)
		return false;
	fd_close(&spares[--n]);
	return true;
}

bool spare_is_short(int error)
{
	return error == EMFILE || error == ENFILE || error == ENOMEM || error == ENOBUFS;
}
