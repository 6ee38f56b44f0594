/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A system that is started before the machine is switched to it: in a container, or in a virtual
 * machine. It is healthy when all its services are up, and stay so for some seconds. Nothing of
 * this machine is changed, and nothing is left behind, however this process ends.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include "lib/arena.h"
#include "lib/str.h"
#include "lib/vec.h"
#include "store/store.h"
#include "system/eval.h"
#include "system/root.h"

enum test_kind { TEST_NONE, TEST_CONTAINER, TEST_VM };

struct test_boot {
	enum test_kind kind;
	uint64_t seconds;   /* until it must be healthy */
	const char *config; /* the configuration's file, for a virtual machine */
	const struct store_opts *store;
	const struct sys_eval_opts *eval;
};

/* "container" or "vm", a duration or NULL. ret->kind and seconds. */
int test_boot_parse(const char *kind, const char *timeout, struct test_boot *ret, struct err *e);
/* What can be known to be in the way before anything is built. */
int test_boot_check(const struct test_boot *t, struct err *e);
/* system: logical path, built. -ERR_UNHEALTHY: it did not come up; which services, and the last
 * lines of their logs, are printed to standard error. */
int test_boot_run(const struct test_boot *t, const struct sys_root *r, const char *system,
		  struct err *e);

/* ---- Inside: test-boot.c, test-container.c, test-vm.c -----------------------------------------
 */

enum test_state { TEST_WAITS, TEST_FAILED, TEST_HEALTHY };

/* What is known of the services so far. */
struct test_watch {
	const char *where;  /* "the container", for messages */
	uint64_t until;	    /* of the monotonic clock, ns */
	uint64_t calm;	    /* since when everything is up and nothing restarted; 0: it is not */
	uint64_t restarts;  /* of all services together */
	struct str waiting; /* what is not up, for people: the last answer's */
	struct vec failed;  /* struct test_service */
	struct arena arena; /* of failed */
};

struct test_service {
	const char *name, *why, *log; /* log: path of its log there; "" none */
};

void test_watch_init(struct test_watch *w, const char *where, uint64_t seconds);
void test_watch_done(struct test_watch *w);
uint64_t test_watch_now(void);
/* Take in an answer of "cairn service list --json". */
enum test_state test_watch_see(struct test_watch *w, struct slice rows, uint64_t now);
/* There was no answer: nothing is known of the services, nor how long they have been up. */
void test_watch_forget(struct test_watch *w);
/* The last lines of text, with its control bytes made harmless, to standard error. */
void test_show_tail(struct slice text);
/* Those of a file, however long it is; nothing of what is no regular file. */
void test_show_end(int fd);
/* Give back the memory of all but the end of one that is in memory; whoever writes to it goes on
 * where it was. */
void test_keep_end(int fd);
/* After the logs were shown: the error that says which services failed, or (none did) that the time
 * is over. */
int test_watch_fail(const struct test_watch *w, struct err *e);

int test_container_check(struct err *e);
int test_container_run(const struct test_boot *t, const struct sys_root *r, const char *system,
		       struct err *e);
int test_vm_check(struct err *e);
int test_vm_run(const struct test_boot *t, const char *system, struct err *e);
