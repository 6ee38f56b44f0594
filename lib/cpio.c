/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/cpio.h"

#include <string.h>

void cpio_pad(struct str *s, size_t align)
{
	while (s->len % align && !str_err(s))
		str_addc(s, '\0');
}

void cpio_member(struct str *s, const struct cpio_head *h, const char *name)
{
	str_addf(s, "070701%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X", h->ino, h->mode,
		 0u, 0u, h->nlink, 1u, h->size, 0u, 0u, h->rmajor, h->rminor,
		 (unsigned)strlen(name) + 1, 0u);
	str_addn(s, name, strlen(name) + 1);
	cpio_pad(s, CPIO_ALIGN);
}
