/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What the commands that change a machine have in common: where it is, the lock, an interrupted
 * switch brought to its end, and after the switch activation and the live change of services.
 */
#pragma once

#include <stdbool.h>

#include "lib/cmd.h"
#include "lib/fd.h"
#include "store/store.h"
#include "system/confirm.h"
#include "system/generation.h"
#include "system/plan.h"
#include "system/switch.h"

struct switcher_opts {
	struct store_opts store;
	const char *target; /* --target-root */
	bool json, dry_run, boot_only;
};

#define SWITCHER_OPTIONS(type, f)                                                                  \
	{                                                                                          \
		"target-root", 0, CMD_STR, offsetof(type, f.target), "DIR",                        \
			"the machine whose files are below DIR"                                    \
	}

struct switcher {
	struct arena arena;
	struct sys_root root;
	int lock;  /* -1: none */
	bool busy; /* another command holds it: what was asked for may do later */
	struct gen_list list;
	const char *booted; /* NULL: not known */
	enum sys_switch_end recovered;
	bool unconfirmed; /* a generation is tried out: */
	struct confirm confirm;
};

#define SWITCHER_INIT                                                                              \
	{                                                                                          \
		.lock = -1                                                                         \
	}

/* Find the machine and read its generations. change: also take the lock, and end an interrupted
 * switch, or the beginning of one to be tried out. verb is for the lock's text. */
int switcher_open(struct switcher *s, const struct switcher_opts *o, const char *verb, bool change,
		  struct err *e);
/* The same without a change; anywhere: also where there is no machine, which then has no
 * generations. */
int switcher_open_any(struct switcher *s, const struct switcher_opts *o, bool anywhere,
		      struct err *e);
void switcher_done(struct switcher *s);
static inline void switcher_cleanup(struct switcher *s)
{
	switcher_done(s);
}
#define auto_switcher __attribute__((cleanup(switcher_cleanup)))

/* Store path of the current generation, NULL: none. */
const char *switcher_current(const struct switcher *s);
/* To be called before the first change: until the end of the command ^C, a terminal that goes and
 * output that nobody reads do not end it half way (SIGQUIT and SIGTERM do). Programs that are
 * started get none of that. */
void switcher_go_through(void);
/* After the switch: activation, then, when wanted, the services (ret: what happened; may be empty).
 */
int switcher_activate(struct switcher *s, const char *system, bool services, struct vec *ret,
		      struct err *e);

/* What the machine agrees with, as far as that is known and still there; else NULL. Of one that may
 * not run, its /etc tells. */
const char *switcher_active(struct switcher *s);
/* Number of the generation that is active; of several with the same item the current one, or the
 * newest. 0: none. */
int switcher_find_active(struct switcher *s, unsigned *ret, struct err *e);
/* -ERR_IN_USE while a generation is tried out: first that is to be decided. */
int switcher_check_decided(const struct switcher *s, struct err *e);
/* Try out generation number, whose item is at path (fresh: its link is to be made): no switch takes
 * place, it is only activated, and PID 1 goes back after so many seconds. *ret_begun: it runs,
 * maybe in part, and PID 1 will go back also when this fails. ret as above. */
int switcher_try(struct switcher *s, unsigned number, const char *path, bool fresh,
		 uint64_t seconds, bool *ret_begun, struct vec *ret, struct err *e);
/* Back to what ran before it. May be done again when it failed. *ret_back: the machine is, though
 * services may have failed, and confirm_end() is what is left. */
int switcher_revert(struct switcher *s, bool *ret_back, struct vec *ret, struct err *e);

/* To standard error: what became of an interrupted switch; which generations of list are too
 * damaged for a menu; what happened to services; that generation number names another boot loader
 * than the one that started this machine: a switch writes its menu, but installs no loader. */
void switcher_report_recovery(const struct switcher *s);
void switcher_report_damaged(struct switcher *s, const struct gen_list *list);
void switcher_report_services(const struct vec *changes);
void switcher_report_loader(struct switcher *s, unsigned number, const char *path);
