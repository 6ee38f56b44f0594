/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A local store: the directory of items, its database, locks and temporary roots. One per process;
 * it must not be used across a fork without local_forked(). All paths are logical; the directory
 * descriptors are how the physical files are reached, so no function here joins absolute paths.
 *
 * A path is *valid* when the database says so; what lies in the directory without being valid is
 * either being made by somebody who holds PATH.lock, or rubbish.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "store/format/dialect.h"
#include "store/store.h"

struct db;
struct links;

struct local_opts {
	const char *root;      /* "" or the private root (absolute, no '/' at the end); NULL: "" */
	const char *store_dir; /* logical; NULL: the defaults of the dialect */
	const char *state_dir, *log_dir;
	enum dialect dialect; /* DIALECT_ANY: that of the store, Guix's when it is new */
	bool no_sync;	      /* do not wait for the disk before a path becomes valid */
	bool no_dedup;	      /* no hard links between equal files */
};

struct local {
	/* all owned, all read-only for others */
	char *root, *store_dir, *state_dir, *log_dir; /* logical */
	char *store_phys, *state_phys, *log_phys;
	int store_fd, state_fd, log_fd; /* the physical directories */
	enum dialect dialect;		/* its family; never DIALECT_ANY once open */
	bool sync, dedup;
	struct db *db; /* NULL until first used; see local_db() */
	/* private to local.c and its friends */
	struct local_state *state;
};

/* Open; makes missing directories, the schema file and the database. */
int local_open(const struct local_opts *opts, struct local **ret, struct err *e);
/* Whether a store with this (physical) state directory is of the family, or new: for those who do
 * not open it themselves. */
int local_check_family(const char *state_phys, enum dialect want, struct err *e);
void local_close(struct local *l); /* NULL allowed */
/* In a child that goes on with an inherited store: no handle of the parent is used or closed; the
 * database is opened again when it is needed, temporary roots get a file of their own. */
void local_forked(struct local *l);
/* The database, opened when it is not. */
int local_db(struct local *l, struct db **ret, struct err *e);

/* Name below store_fd of a checked store path ("<hash>-<name>"). */
const char *local_base(const struct local *l, const char *path);
/* -ERR_INVALID unless path is STORE/<hash>-<name>. */
int local_check_path(const struct local *l, const char *path, struct err *e);
/* Physical form, in arena. Any logical path. */
char *local_physical(const struct local *l, struct arena *a, const char *logical);

/* ---- Queries; results in arena, sorted --------------------------------------------------------
 */

int local_is_valid(struct local *l, const char *path, bool *ret, struct err *e);
int local_info(struct local *l, struct arena *a, const char *path, struct store_info **ret,
	       struct err *e); /* -ERR_NOTVALID */
int local_referrers(struct local *l, struct arena *a, const char *path, struct vec *ret,
		    struct err *e);
int local_derivers(struct local *l, struct arena *a, const char *path, struct vec *ret,
		   struct err *e); /* valid .drvs that have path as an output */
/* Output paths / ids of a valid .drv, from the database; pairs have the same index. Either NULL. */
int local_drv_outputs(struct local *l, struct arena *a, const char *drv, struct vec *ret_ids,
		      struct vec *ret_paths, struct err *e);
int local_by_hash_part(struct local *l, struct arena *a, struct slice part, const char **ret,
		       struct err *e); /* NULL when there is none */
int local_all_valid(struct local *l, struct arena *a, struct vec *ret, struct err *e);
int local_valid_subset(struct local *l, struct arena *a, const char *const *paths, size_t n,
		       struct vec *ret, struct err *e);
/* Closure under references; every path must be valid. */
int local_closure(struct local *l, struct arena *a, const char *const *paths, size_t n,
		  struct vec *ret, struct err *e);
/* Read and parse the .drv file of a path that must exist on disk. */
int local_drv(struct local *l, struct arena *a, const char *path, struct drv **ret, struct err *e);
/* hashDerivationModulo of the .drv at path, remembered. A drv_modulo_fn with arg = struct local *.
 */
int local_modulo(void *local, const char *drv_path, struct digest *ret, struct err *e);

/* ---- Locks ------------------------------------------------------------------------------------
 */

struct local_locks {
	struct local_lock_file {
		int fd;
		char *name; /* owned; below store_fd */
	} * v;		    /* owned */
	size_t n;
};

#define LOCAL_LOCKS_INIT                                                                           \
	{                                                                                          \
		NULL, 0                                                                            \
	}

/* Lock PATH.lock of all paths, in sorted order. wait false: -EAGAIN, with nothing locked, when one
 * is taken. */
int local_lock_paths(struct local *l, const char *const *paths, size_t n, bool wait,
		     struct local_locks *ret, struct err *e);
/* Unlock; with remove the lock files are deleted by the protocol. Without it they stay for others
 * that hold the same locks by descriptor, as after a fork. */
void local_unlock(struct local *l, struct local_locks *locks, bool remove);
/* As local_is_valid, for a client that may have been told by another one: what is in place and
 * locked is about to become valid, and that is waited for, a little. Not while holding locks. */
int local_await_valid(struct local *l, const char *path, bool *ret, struct err *e);
/* The lock of the garbage collector; shared for those who must not run beside it. */
int local_gc_lock(struct local *l, bool exclusive, bool wait, int *ret_fd, struct err *e);
/* Protect path (need not be valid) while this process lives. Waits while a collection runs. */
int local_temp_root(struct local *l, const char *path, struct err *e);

/* ---- Adding -----------------------------------------------------------------------------------
 */

/* A directory of this process inside the store for trees that have no name yet: on the file system
 * of the store, removed by local_close, never touched by a collection while we live. */
int local_tmp_dir(struct local *l, int *ret_dirfd, struct err *e); /* borrowed */
/* A name in it that is not taken. */
void local_tmp_name(struct local *l, char out[32]);

/* Move fromfd/name to path: whatever invalid thing is there goes first; the tree must be canonical
 * and on the same file system. The caller holds the lock of path. */
int local_move_in(struct local *l, int fromfd, const char *name, const char *path, struct err *e);

/* Make files of an item that is in place links to equal ones of the store, unless the store was
 * opened without. known (may be NULL): the NAR hash when the item is one file. */
int local_deduplicate(struct local *l, const char *path, const struct digest *known, struct err *e);

/* Make paths valid in one transaction, after their data is on disk: references are checked and
 * filled in, .drv files have their outputs checked, cycles are refused. Infos of paths already
 * valid replace hash and size only. registered 0: now. */
int local_register(struct local *l, const struct store_info *const *infos, size_t n, struct err *e);

/* As local_register, but the waiting for the disk and the transaction are shared with other
 * additions: at once the paths are valid for this process (local_is_valid, _info, _closure,
 * _valid_subset know them), for others from the next local_flush on, which also releases the locks:
 * *locks becomes empty, unless the call fails before they were taken over. A flush happens by
 * itself before anything that could wait for another process, in every other query, when much is
 * pending, and in local_close; a server must call it before it waits long for its client. */
int local_register_later(struct local *l, const struct store_info *const *infos, size_t n,
			 struct local_locks *locks, struct err *e);
int local_flush(struct local *l, struct err *e);
bool local_pending(const struct local *l); /* whether local_flush has something to do */
/* local_flush, and wait until the database is on disk, too: for what a boot or a root relies on. */
int local_settle(struct local *l, struct err *e);
/* The same where this process has registered something since: before a client is told of what it
 * may make a link to that is a root. */
int local_settle_own(struct local *l, struct err *e);

/* Text item; refs must be valid. Nothing happens when it is valid already. */
int local_add_text(struct local *l, struct arena *a, const char *name, struct slice contents,
		   const char *const *refs, size_t nrefs, char **ret, struct err *e);
/* Item from a NAR stream: hashed and unpacked as it comes. recursive false: a regular file without
 * x bit, addressed by the hash of its contents. */
int local_add_nar(struct local *l, struct arena *a, const char *name, bool recursive,
		  enum digest_algo algo, struct nar_source *in, char **ret, struct err *e);
/* Item with everything known (import, substitute): hash and size of the NAR, and the contents where
 * there is a content address, are checked against info. The caller has locked info->path. */
int local_add_known(struct local *l, const struct store_info *info, struct nar_source *in,
		    struct err *e);

/* The same for a path that is valid and whose files are not what they were: the archive, which must
 * be what info says, is put in their place. The caller has locked it. */
int local_mend(struct local *l, const struct store_info *info, struct nar_source *in,
	       struct err *e);

/* A tree that came as an archive and has no name yet; below local_tmp_dir. */
struct local_tree {
	int dirfd; /* borrowed */
	char name[32];
	struct digest nar_hash, other; /* other: with a second algorithm, if one was asked for */
	uint64_t size;
	bool file; /* one regular file */
};

int local_unpack(struct local *l, struct nar_source *in, struct local_tree *ret, struct err *e);
/* The halves of local_add_known: the first takes as long as whoever sends, and needs no lock; the
 * second takes the tree. */
int local_unpack_known(struct local *l, const struct store_info *info, struct nar_source *in,
		       struct local_tree *ret, struct err *e);
int local_place_known(struct local *l, const struct store_info *info, struct local_tree *t,
		      struct err *e);
void local_tree_drop(struct local_tree *t);
/* Give the tree its name, unless that is valid already; fills in hash and size. Takes the tree. */
int local_add_tree(struct local *l, struct store_info *info, struct local_tree *t, struct err *e);

/* Add signatures to those of a valid path; stores of Nix's family alone. */
int local_add_sigs(struct local *l, const char *path, const struct vec *sigs, struct err *e);

/* ---- Failures (local-failed.c): what a daemon with --cache-failures does not try again
 * ----------- Stores of Nix's family remember none.
 */

int local_failed_add(struct local *l, const struct drv *d, struct err *e); /* its outputs */
int local_failed_any(struct local *l, const struct drv *d, bool *ret, struct err *e);
int local_failed_all(struct local *l, struct arena *a, struct vec *ret, struct err *e); /* sorted */
/* Forget paths; that of a derivation stands for its outputs, too, and "*" for all. */
int local_failed_forget(struct local *l, const struct vec *paths, struct err *e);

/* ---- Upkeep ------------------------------------------------------------------------------------
 */

/* Forget path; -ERR_IN_USE when others refer to it. The files stay. */
int local_invalidate(struct local *l, const char *path, struct err *e);
/* Hard-link equal files of a path, if it is valid, and count the bytes saved. Not beside a
 * collection. */
int local_optimise(struct local *l, const char *path, uint64_t *ret_saved, struct err *e);

/* Called for each fault; text is one line. */
typedef void local_report_fn(void *arg, const char *text);
/* Asked now and then by what takes long: whether it may end early, with -EINTR. */
typedef bool local_stop_fn(void *arg);
struct local_verify {
	bool contents;		 /* read everything and compare hashes */
	local_report_fn *report; /* may be NULL */
	local_stop_fn *stop;	 /* may be NULL */
	void *arg;
	struct arena *a; /* of bad; NULL: nobody wants to know */
	struct vec *bad; /* paths that are missing, or not what they were */
};
/* Check that every valid path is there and what it was. Nothing is changed, but what other tools
 * left open in the database is filled in. *ret_errors counts the faults. */
int local_verify(struct local *l, const struct local_verify *o, uint64_t *ret_errors,
		 struct err *e);
/* Remove the rows of those of paths that have no files, as long as nothing that is there refers to
 * them, directly or not. Refuses when no valid path at all has files. Counts what it removed. */
int local_forget_missing(struct local *l, const struct vec *paths, local_report_fn *report,
			 void *arg, uint64_t *ret_removed, struct err *e);
/* Whether the files of a valid path are what they were. */
int local_is_good(struct local *l, const char *path, bool *ret, struct err *e);
/* Put fromfd/name, canonical and with the right hash, in place of the files of a valid path, of
 * which the caller has the lock; what was there is at fromfd/name afterwards, if it was. */
int local_replace(struct local *l, int fromfd, const char *name, const char *path, struct err *e);
