/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Archives that a publisher keeps: CACHE/KIND/ITEM.nar and CACHE/narinfo/HASHPART, which appears
 * last. They stay while the item is in the store, and afterwards as long as somebody reads them.
 */
#pragma once

#include "store/subst/publish.h"

/* Open what is kept; -ENOENT. */
int bake_open_narinfo(const struct publish *p, const char *hash_part, int *ret);
int bake_open_nar(const struct publish *p, enum zip kind, const char *base, int *ret);

/* Make the archives of path in a process of its own, unless that is being done. At most
 * p->workers run at the same time. Once a day what nobody needs goes. */
void bake_start(const struct publish *p, const char *path);
