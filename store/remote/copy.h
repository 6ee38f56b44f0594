/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Items from one store to another, by way of the connections of one client to both. */
#pragma once

#include "store/remote/client.h"

struct copy {
	struct store_conn *from, *to;		   /* borrowed */
	bool sign;				   /* with the key of the store they come from */
	void (*tell)(void *arg, const char *path); /* of each item before it is sent; or NULL */
	void *arg;
};

/* Copy what the other store has not of paths and all they refer to, those referred to first. What
 * it has is protected there as long as the connection lives. *ret counts the items sent. */
int copy_items(const struct copy *c, const char *const *paths, size_t n, size_t *ret,
	       struct err *e);
