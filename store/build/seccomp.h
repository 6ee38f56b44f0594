/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The system call filters. That of builders: no set-uid or set-gid bit and no extended attribute
 * can be written, by any of the machine's call tables. Only this file's .c knows libseccomp.
 */
#pragma once

#include <stddef.h>

#include "lib/err.h"

/* Shape of struct sock_fprog. */
struct filter_prog {
	unsigned short len;
	void *filter; /* owned by seccomp.c, lives as long as the process */
};

/* The compiled filter, made at the first call. */
int filter_builder(struct filter_prog *ret, struct err *e);
/* That of a helper which serves a builder's network: what such a program needs, and nothing else.
 * It finds the TAP device as descriptor 0 however it asks for it: opening anything for reading and
 * writing, joining a network namespace and naming the device are answered as done. */
int filter_slirp(struct filter_prog *ret, struct err *e);
/* That of a download: a builder's, and no sockets but those of the Internet. */
int filter_download(struct filter_prog *ret, struct err *e);
/* Put it on the calling thread, which must have no_new_privs. 0 or -errno. */
int filter_apply(const struct filter_prog *p);
