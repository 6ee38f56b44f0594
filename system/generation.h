/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Generations: the links /var/guix/profiles/system -> system-N-link -> /gnu/store/…-system, and
 * what a generation item says about itself. Reading needs neither daemon nor database.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/arena.h"
#include "lib/conf.h"
#include "lib/err.h"
#include "lib/vec.h"
#include "system/links.h"
#include "system/root.h"

#define GEN_PROFILES	 "/var/guix/profiles"
#define GEN_LINK	 GEN_PROFILES "/system"
#define GEN_NUMBER_MAX	 LINKS_NUMBER_MAX
#define GEN_COUNT_MAX	 LIMIT_LINKS
#define GEN_CURRENT_LINK "/run/current-system"
#define GEN_BOOTED_LINK	 "/run/booted-system"

struct gen {
	unsigned number;  /* from 1 */
	const char *path; /* logical store path of the item */
	int64_t date;	  /* Unix seconds: when its link was made; 0: not known, as it came with an
			     image, whose bytes do not depend on the time */
	/* What somebody noted (system/notes.h): */
	bool pinned;	   /* it is to stay */
	bool tried;	   /* it was tried out last, and not confirmed */
	const char *label; /* shown in place of its own; "": none */
};

struct gen_list {
	struct gen *v; /* ascending numbers; in arena */
	size_t n;
	unsigned current; /* number that the profile link names; 0: none */
};

/* All generations. No profile directory is an empty list. Notes that cannot be read count as none;
 * who deletes reads them himself. */
int gen_list_load(const struct sys_root *r, struct arena *a, struct gen_list *ret, struct err *e);
const struct gen *gen_find(const struct gen_list *l, unsigned number); /* NULL: none */
const struct gen *gen_current(const struct gen_list *l);	       /* NULL: none */
/* Where a roll-back leads: the one before the current one, but for what was only tried out. NULL:
 * nowhere. */
const struct gen *gen_before(const struct gen_list *l);
/* Number for a new generation: above every existing one. */
unsigned gen_next(const struct gen_list *l);

/* Make system-N-link, on disk when this returns. */
int gen_link_make(const struct sys_root *r, unsigned number, const char *path, struct err *e);
int gen_link_remove(const struct sys_root *r, unsigned number, struct err *e);
/* Rename the profile link to generation number, on disk when this returns. */
int gen_select(const struct sys_root *r, unsigned number, struct err *e);
/* Physical form of PATH/NAME, through at most one link into the store (a private root's links are
 * logical); in arena, NULL without memory. */
char *gen_part(const struct sys_root *r, struct arena *a, const char *path, const char *name);
/* -ERR_INVALID unless path is a generation: a store item with the files that booting and switching
 * read. */
int gen_check(const struct sys_root *r, const char *path, struct err *e);

/* What the links below /run name, in arena; NULL in *ret when they are missing. */
int gen_running(const struct sys_root *r, const char *link, struct arena *a, const char **ret,
		struct err *e);

/* Facts of an item, from its file "facts". */
struct gen_facts {
	const char *label, *host_name, *kernel; /* kernel: name-version */
	const char *kernel_path, *initrd_path, *configuration;
};
int gen_facts_load(const struct sys_root *r, struct arena *a, const char *path,
		   struct gen_facts *ret, struct err *e);

/* A further file of an item, sections by lib/conf, which it need not have: one object a section,
 * added to a list. */
struct gen_file {
	const char *name;
	const struct conf_key *keys;
	size_t nkeys;
	conf_section_fn *section; /* its arg is the list, a struct vec */
};
int gen_file_load(const struct sys_root *r, struct arena *a, const char *path,
		  const struct gen_file *what, struct vec *list, struct err *e);

/* One lock for everything that changes the system: fails at once with -ERR_IN_USE, naming the
 * holder's process, verb and start time. *ret_fd holds the lock until closed. */
int gen_lock(const struct sys_root *r, const char *verb, int *ret_fd, struct err *e);
