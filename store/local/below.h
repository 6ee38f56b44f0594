/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A store may be a writable layer above a directory that somebody else owns, as in the machine of
 * `cairn system vm`: an overlay. What is below can be hidden, file by file, and never deleted.
 */
#pragma once

/* The directory below the one that dir is, to look at; -1: there is none, there are several, or it
 * cannot be found. */
int below_open(int dir);
