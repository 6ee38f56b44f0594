/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Job slots: how many builders run at once on one store, whoever asked. All share locked files
 * below the state directory, so that a slot ends with its holder. Connections of a listener ask it
 * first, over a socket pair: it says whose turn it is. Who has a slot takes no other one while
 * somebody waits who has none.
 */
#pragma once

#include <stdint.h>
#include <sys/types.h>

#include "lib/err.h"
#include "store/local/local.h"

struct slots;

int slots_files(struct local *l, struct slots **ret, struct err *e);
/* fd, taken: the listener's. max: how many slots it hands out. */
int slots_broker(struct local *l, int fd, uint64_t max, struct slots **ret, struct err *e);
void slots_free(struct slots *s);

/* Take a slot of at most max; with a listener its number counts instead. 0, or -EAGAIN: try again
 * after slots_fd() is readable, or, when that is -1, a little later. */
int slots_take(struct slots *s, uint64_t max, unsigned *ret, struct err *e);
void slots_put(struct slots *s, unsigned slot);
int slots_fd(const struct slots *s);
/* Give back what was granted and not taken, and wishes not yet granted. */
void slots_rest(struct slots *s);

/* ---- The listener's side (store/build/broker.c)
 * ---------------------------------------------------- */

struct broker;

int broker_new(unsigned max, struct broker **ret);
void broker_free(struct broker *b);
/* A new connection of client (listen_client()); *ret_fd is its end of the socket pair. */
int broker_join(struct broker *b, uint64_t client, int *ret_fd, struct err *e);
/* Descriptors to poll for input: fills at most max, returns how many there are. */
size_t broker_fds(const struct broker *b, int *fds, size_t max);
/* fd is readable. */
void broker_event(struct broker *b, int fd);
size_t broker_count(const struct broker *b, uint64_t client, size_t *ret_all);
