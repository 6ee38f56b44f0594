/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The network of a builder of fixed outputs: a TAP device in its own network namespace, at whose
 * other end a helper, slirp4netns, makes connections of the machine out of what it reads. The
 * helper gets the open device and never sees the builder's namespaces.
 */
#pragma once

#include <limits.h>
#include <stdbool.h>

#include "lib/proc.h"
#include "lib/str.h"
#include "store/build/cell.h"

struct slirp {
	const char *program; /* absolute */
	struct cell_id id;   /* of the helper: not the builder's */
	int root;	     /* any directory */
	bool isolate;	     /* the machine's loopback interface is out of reach */
	bool ipv6;	     /* the machine has a way out by IPv6 */
	struct proc helper;  /* once it runs; the caller's */
};

/* The helper's program: named, or looked up in PATH. -ERR_NOTFOUND: there is none; -errno: the
 * machine gives no TAP devices. The reason is said so that the user can act. */
int slirp_find(const char *name, char ret[PATH_MAX], struct err *e);
bool slirp_find_ipv6(void);
/* Start the helper on an open device, and wait until it serves it. */
int slirp_start(struct slirp *s, int tap, struct err *e);

/* ---- For the builder's process, before it enters its root -------------------------------------
 */

/* With the caller's identity: the device, which exists as long as it is open. */
int slirp_open_tap(struct cell *c);
/* Addresses and routes. proc must be mounted below the new root. */
void slirp_configure(struct cell *c, const struct slirp *s);
/* /etc/resolv.conf, nsswitch.conf, services; hosts when the machine's loopback is in reach. */
void slirp_make_etc(struct cell *c, const struct slirp *s);
