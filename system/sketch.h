/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A system that is not built yet, as far as the derivations say what will be in it: the files and
 * links of the generation, its /etc and its services, at their store paths below a directory. What
 * the links lead to is not there, nor is what only a build can know.
 */
#pragma once

#include "lib/err.h"
#include "lib/vec.h"
#include "system/graph.h"

/* dir: an empty directory. system: the node of the generation. */
int sketch_write(const struct graph *g, const struct node *system, const char *dir, struct err *e);
/* Store paths that the tree at path, an output of a derivation of g, will refer to, added to ret
 * (they live as long as g). false: it is no output of a tree, so nobody knows. */
bool sketch_refs(const struct graph *g, const char *path, struct vec *ret);
