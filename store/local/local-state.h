/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The private part of struct local, shared by the files that make up the local store. */
#pragma once

#include <sys/types.h>

#include "lib/tab.h"
#include "store/local/local.h"

/* Additions that share one transaction. */
struct pending {
	struct arena arena; /* infos */
	struct tab tab;	    /* path -> struct store_info * */
	struct vec order;
	struct local_locks locks;
	uint64_t since; /* monotonic ns of the first */
};

struct local_state {
	pid_t pid;
	int big_lock; /* shared lock held as long as we live */
	/* temporary roots */
	int roots_fd; /* -1: none yet */
	char roots_name[32];
	struct arena roots_arena;
	struct tab roots; /* paths written so far */
	/* directory for trees without name */
	int tmp_fd; /* -1: none yet */
	char tmp_name[48];
	unsigned tmp_count;
	/* hashes modulo: path of .drv -> struct digest * */
	struct arena modulo_arena;
	struct tab modulo;
	struct pending pending;
	bool unsettled; /* rows were written that a power cut may take back */
};

/* local-lock.c */
/* local_lock_paths without a flush; none of the paths may be pending. */
int local_lock_more(struct local *l, const char *const *paths, size_t n, bool wait,
		    struct local_locks *ret, struct err *e);
void local_roots_done(struct local *l, bool forked);
void local_tmp_done(struct local *l, bool forked);
/* local-add.c */
struct store_info *local_pending_find(const struct local *l, const char *path);
void local_pending_drop(struct local *l, bool forked);
/* flush and open the database: the first step of most queries */
int local_begin(struct local *l, struct db **ret, struct err *e);
/* Wait until the data of store_fd/base are on disk; *budget single files may still be waited for
 * one by one, after that the whole file system is. */
int local_sync_item(struct local *l, const char *base, unsigned *budget, struct err *e);
/* Forget what is remembered about a .drv. */
void local_modulo_forget(struct local *l, const char *drv_path);
