/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * /etc/passwd, group and shadow from the accounts a generation declares.
 *
 * A name keeps its number for ever: the map in /var/lib/cairn/ids only grows, so that no file under
 * /home or /var changes its owner over reconfigures and roll-backs, and no number is given to a
 * second name. Passwords that people changed stay; the declared one is only the first.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/arena.h"
#include "lib/err.h"
#include "lib/vec.h"
#include "system/root.h"

#define ACCOUNTS_MAP	  "/var/lib/cairn/ids"
#define ACCOUNTS_ANY	  UINT64_MAX
#define ACCOUNTS_ID_MAX	  65533
#define ACCOUNTS_SYS_MIN  100
#define ACCOUNTS_USER_MIN 1000
#define ACCOUNTS_USER_MAX 60000
/* Subordinate numbers are above all others. */
#define ACCOUNTS_SUBID_MIN  100000
#define ACCOUNTS_SUBID_MAX  0xfffffffeull
#define LIMIT_ACCOUNTS_FILE (1 << 20)

struct account {
	bool is_user;
	const char *name;
	uint64_t id; /* ACCOUNTS_ANY: allocate */
	bool system;
	/* users only */
	const char *group;	   /* primary; "" for one of the same name */
	const char *const *groups; /* supplementary; NULL-terminated */
	const char *comment, *home, *shell;
	const char *password; /* crypt(3) text of the first password; "" none needed; "!" locked */
	const char
		*password_file; /* of the machine, has the first password in place of that; or "" */
	bool create_home;
	uint64_t subids;      /* how many subordinate numbers; 0: none */
	uint64_t subid_start; /* ACCOUNTS_ANY: allocate */
};

/* May stand in a field of /etc/passwd: no colon, no control byte. */
bool account_field_ok(const char *s);
bool account_name_ok(struct slice s);
const char *account_primary_group(const struct account *x);

/* Vec of struct account, in arena. */
int accounts_parse(struct arena *a, struct slice text, const char *file, struct vec *ret,
		   struct err *e);
/* That the groups of users are there. */
int accounts_check(const struct vec *accounts, struct err *e);
int accounts_load(const struct sys_root *r, struct arena *a, const char *system, struct vec *ret,
		  struct err *e);
/* Give every account its number from the map (new ones are added to it in memory). -ERR_INVALID
 * when a declared number contradicts the map, a group does not exist, and so on. Nothing is written
 * when write is false: the check before a switch, which refuses a file for a first password that is
 * not there or not private; a boot goes on, and locks the account. Home directories are made for
 * new users, with copies of the files in skeletons (a directory; NULL: none). */
int accounts_apply(const struct sys_root *r, const struct vec *accounts, const char *skeletons,
		   bool write, struct err *e);
/* The home directories alone, when the rest was done: some may lie on what was mounted since. */
int accounts_homes(const struct sys_root *r, const struct vec *accounts, const char *skeletons,
		   struct err *e);
/* Numbers of an account, from the machine's /etc. */
int accounts_user(const struct sys_root *r, const char *name, uint64_t *ret_uid, uint64_t *ret_gid,
		  struct err *e);
int accounts_group(const struct sys_root *r, const char *name, uint64_t *ret, struct err *e);
