/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Public interface of the store: formats, a connection to a build daemon (running or embedded), and
 * the database writer for images. Everything else in store/ is private to it.
 *
 * Paths: a *logical* path is what derivations and databases say (/gnu/store/…); the *physical* one
 * has the private root in front. All functions take and give logical paths unless they say
 * physical.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "lib/arena.h"
#include "lib/cmd.h"
#include "lib/err.h"
#include "lib/slice.h"
#include "lib/str.h"
#include "lib/vec.h"

/* ---- Hashes (store/format/digest.c, libgcrypt)
 * ------------------------------------------------------ */

enum digest_algo { DIGEST_MD5, DIGEST_SHA1, DIGEST_SHA256, DIGEST_SHA512, DIGEST_MAX };
#define DIGEST_BYTES_MAX 64

struct digest {
	enum digest_algo algo;
	uint8_t bytes[DIGEST_BYTES_MAX];
};

size_t digest_size(enum digest_algo algo); /* bytes */
const char *digest_name(enum digest_algo algo);
int digest_algo_parse(struct slice name, enum digest_algo *ret); /* 0 or -ERR_SYNTAX */
/* Hash of a byte run. */
struct digest digest_of(enum digest_algo algo, const void *p, size_t n);
bool digest_eq(const struct digest *a, const struct digest *b);
#define DIGEST_TEXT_MAX 129
void digest_hex(const struct digest *d, char out[DIGEST_TEXT_MAX]);
void digest_base32(const struct digest *d, char out[DIGEST_TEXT_MAX]); /* nix-base32 */
/* Hex or nix-base32, told apart by length. */
int digest_parse(enum digest_algo algo, struct slice text, struct digest *ret);

/* Incremental hashing. */
struct hasher;
int hasher_new(enum digest_algo algo, struct hasher **ret);
void hasher_add(struct hasher *h, const void *p, size_t n);
struct digest hasher_end(struct hasher *h); /* frees h */
void hasher_free(struct hasher *h);	    /* NULL allowed */

/* ---- Store paths (store/format/storepath.c)
 * ----------------------------------------------------------
 */

#define STORE_DIR_DEFAULT   "/gnu/store"
#define STORE_STATE_DEFAULT "/var/guix"
#define STORE_LOG_DEFAULT   "/var/log/guix"
#define STORE_NAME_MAX	    211
#define STORE_HASH_CHARS    32

/* Whether name is allowed in a store path; e says what is wrong. */
int store_name_check(struct slice name, struct err *e);
/* Whether path is STORE/<32 chars>-<name>, all parts checked. */
int store_path_check(const char *store_dir, struct slice path, struct err *e);
/* "<name>" part, "<hash>-<name>" part of a checked path; borrowed from path. */
struct slice store_path_name(const char *store_dir, struct slice path);
struct slice store_path_base(const char *store_dir, struct slice path);
/* The store item that path lies in (path may go below an item); empty slice when not in the store.
 */
struct slice store_path_item(const char *store_dir, struct slice path);
/* Path constructors: results in arena, NULL with e filled on failure. */
char *store_path_text(struct arena *a, const char *store_dir, struct slice name,
		      struct slice contents, const char *const *refs, size_t nrefs,
		      struct err *e); /* refs: any order */
char *store_path_text_hash(struct arena *a, const char *store_dir, struct slice name,
			   const struct digest *contents, const char *const *refs, size_t nrefs,
			   struct err *e); /* SHA-256 of the contents */
char *store_path_fixed(struct arena *a, const char *store_dir, struct slice name, bool recursive,
		       const struct digest *hash, struct err *e);
char *store_path_output(struct arena *a, const char *store_dir, struct slice drv_name,
			const char *output, const struct digest *modulo, struct err *e);

/* ---- Derivations (store/format/drv.c)
 * -----------------------------------------------------------------
 */

struct drv_output {
	const char *id, *path, *algo, *hash; /* algo "" | "sha256" | "r:sha256"…; hash "" or hex */
};
struct drv_input {
	const char *path;	    /* of the .drv */
	const char *const *outputs; /* sorted */
	size_t noutputs;
};
struct drv_env {
	struct slice name, value;
};
struct drv {
	const char *name; /* without .drv */
	struct drv_output *outputs;
	size_t noutputs;
	struct drv_input *inputs;
	size_t ninputs;
	const char **sources;
	size_t nsources;
	const char *system, *builder;
	struct slice *args;
	size_t nargs;
	struct drv_env *env;
	size_t nenv;
}; /* all members live in one arena */

int drv_parse(struct arena *a, const char *name, struct slice text, struct drv **ret,
	      struct err *e);
/* Canonical text; sorts a copy of the lists, so any order goes in. */
void drv_format(const struct drv *d, struct str *out);
bool drv_is_fixed(const struct drv *d);
const struct drv_output *drv_output(const struct drv *d, const char *id); /* NULL: none */
struct slice drv_env(const struct drv *d, const char *name, bool *ret_found);
/* hashDerivationModulo of every input, given by the caller: called with the path of an input .drv.
 */
typedef int drv_modulo_fn(void *arg, const char *drv_path, struct digest *ret, struct err *e);
int drv_modulo(const struct drv *d, drv_modulo_fn *input, void *arg, struct digest *ret,
	       struct err *e);
/* Compute output paths, fill them in outputs and in env (added when absent). */
int drv_fill_outputs(struct arena *a, const char *store_dir, struct drv *d, drv_modulo_fn *input,
		     void *arg, struct err *e);
/* Check the paths a derivation states against the computed ones. */
int drv_check_outputs(const char *store_dir, const struct drv *d, drv_modulo_fn *input, void *arg,
		      struct err *e);
/* STORE/<hash>-<name>.drv for the derivation as formatted. */
char *drv_path(struct arena *a, const char *store_dir, const struct drv *d, struct err *e);

/* ---- NAR (store/format/nar.c)
 * --------------------------------------------------------------------------
 */

/* Byte sinks and sources; return 0 or negative with e filled. */
struct nar_sink {
	int (*write)(struct nar_sink *s, const void *p, size_t n, struct err *e);
};
struct nar_source {
	/* exactly n bytes */
	int (*read)(struct nar_source *s, void *p, size_t n, struct err *e);
};

/* Serialise dirfd/path. filter (may be NULL) says whether the entry at "a/b/c" is taken. */
typedef bool nar_filter_fn(void *arg, const char *rel_path, unsigned mode);
int nar_dump(int dirfd, const char *path, nar_filter_fn *filter, void *arg, struct nar_sink *out,
	     struct err *e);
/* Unpack one NAR below dirfd as a new entry name; strict grammar, nothing outside is ever touched.
 */
int nar_restore(struct nar_source *in, int dirfd, const char *name, struct err *e);
/* Hash and size of the NAR of dirfd/path in one read. */
int nar_hash(int dirfd, const char *path, enum digest_algo algo, nar_filter_fn *filter, void *arg,
	     struct digest *ret, uint64_t *ret_size, struct err *e);
struct nar_sink *nar_sink_fd(struct arena *a, int fd);
struct nar_source *nar_source_fd(struct arena *a, int fd);

/* ---- Connection (store/remote/client*.c)
 * ------------------------------------------------------------------ */

/* Settings of a connection; embed in a command's context with STORE_OPTIONS(type, field). */
struct store_opts {
	const char *root; /* private root; NULL: CAIRN_ROOT, else a running daemon, else default */
	const char *store_dir; /* NULL: STORE_DIR_DEFAULT */
	const char *state_dir;
	const char *socket; /* of a running daemon */
	const char *remote; /* ssh://…: of another machine; all of the above is not looked at */
	bool fresh;	    /* root, store_dir and state_dir by a process that is no fork of ours */
	const char *known_hosts, *host_alias, *identity; /* for ssh; see store/remote/remote.h */
	uint64_t max_jobs, cores; /* 0: default (number of processors; all) */
	bool keep_failed, keep_going, check, repair;
	bool quiet, verbose;	      /* progress: none, builder output */
	bool raw;		      /* builder output as it is, in place of progress */
	uint64_t timeout, max_silent; /* seconds; 0: none */
	bool fallback, no_substitutes;
	bool busy;		     /* store_roots tells what processes use, not the links */
	const char *substitute_urls; /* NULL: those of the daemon */
};
#define STORE_OPTIONS_BASIC(type, f)                                                               \
	{                                                                                          \
		"root",	 0,                                                                        \
		CMD_STR, offsetof(type, f.root),                                                   \
		"DIR",	 "private root: store at DIR/gnu/store"                                    \
	},                                                                                         \
		{ "store-dir", 0,                                                                  \
		  CMD_STR,     offsetof(type, f.store_dir),                                        \
		  "DIR",       "logical store directory" },                                        \
		{ "state-dir", 0,                                                                  \
		  CMD_STR,     offsetof(type, f.state_dir),                                        \
		  "DIR",       "logical state directory" },                                        \
	{                                                                                          \
		"socket", 0, CMD_STR, offsetof(type, f.socket), "PATH",                            \
			"socket of a running build daemon"                                         \
	}
#define STORE_OPTIONS_BUILD(type, f)                                                               \
	{ "fallback", 0,                                                                           \
	  CMD_FLAG,   offsetof(type, f.fallback),                                                  \
	  NULL,	      "build what caches offer and cannot be fetched" },                           \
		{ "max-jobs", 'M',                                                                 \
		  CMD_U64,    offsetof(type, f.max_jobs),                                          \
		  "N",	      "builds at the same time" },                                         \
		{ "no-substitutes", 0, CMD_FLAG, offsetof(type, f.no_substitutes), NULL,           \
		  "ask no caches" },                                                               \
		{ "substitute-urls",                                                               \
		  0,                                                                               \
		  CMD_STR,                                                                         \
		  offsetof(type, f.substitute_urls),                                               \
		  "URLS",                                                                          \
		  "caches to ask, blank-separated" },                                              \
		{ "cores", 'c',                                                                    \
		  CMD_U64, offsetof(type, f.cores),                                                \
		  "N",	   "processors a build may use, 0 for all" },                              \
		{ "keep-failed", 'K',                                                              \
		  CMD_FLAG,	 offsetof(type, f.keep_failed),                                    \
		  NULL,		 "keep the tree of a failed build" },                              \
		{ "keep-going", 'k',                                                               \
		  CMD_FLAG,	offsetof(type, f.keep_going),                                      \
		  NULL,		"build what does not depend on a failure" },                       \
		{ "timeout", 0,                                                                    \
		  CMD_U64,   offsetof(type, f.timeout),                                            \
		  "SEC",     "end a build after SEC seconds" },                                    \
		{ "max-silent-time",                                                               \
		  0,                                                                               \
		  CMD_U64,                                                                         \
		  offsetof(type, f.max_silent),                                                    \
		  "SEC",                                                                           \
		  "end a build silent for SEC seconds" },                                          \
		{ "quiet", 'q', CMD_FLAG, offsetof(type, f.quiet), NULL, "no progress" },          \
	{                                                                                          \
		"verbose", 'v', CMD_FLAG, offsetof(type, f.verbose), NULL,                         \
			"show the output of builders"                                              \
	}

struct store_conn;

/* Connect to the daemon, or fork the same code over a socketpair on the private root. */
int store_open(const struct store_opts *opts, struct store_conn **ret, struct err *e);
/* Where store_open() finds the store of this machine, without a connection; strings in a. */
struct store_places {
	const char *root; /* "" or the private root, physical */
	const char *store_dir, *state_dir;
};
int store_find_places(const struct store_opts *opts, struct arena *a, struct store_places *ret,
		      struct err *e);
void store_close(struct store_conn *c);			/* NULL allowed; ends an embedded daemon */
const char *store_conn_dir(const struct store_conn *c); /* logical store directory */
const char *store_conn_state(const struct store_conn *c); /* logical state directory */
const char *store_conn_log(const struct store_conn *c);	  /* logical log directory */
const char *store_conn_root(const struct store_conn *c);  /* "" or the private root */
/* Physical form of a logical path, in arena. */
char *store_conn_physical(const struct store_conn *c, struct arena *a, const char *logical);

struct store_info {
	const char *path, *deriver; /* deriver "" when unknown */
	struct digest nar_hash;	    /* SHA-256 */
	uint64_t nar_size;
	uint64_t registered; /* Unix seconds */
	const char **refs;   /* sorted */
	size_t nrefs;
	/* stores of Nix's family alone; NULL is "" */
	bool ultimate;	  /* built here */
	const char *sigs; /* "NAME:BASE64 …" */
	const char
		*ca; /* "", "text:ALGO:HASH", "fixed:[r:]ALGO:HASH": what its path follows from */
};

int store_is_valid(struct store_conn *c, const char *path, bool *ret, struct err *e);
/* -ERR_NOTVALID when path is not valid. Result in arena. */
int store_info(struct store_conn *c, struct arena *a, const char *path, struct store_info **ret,
	       struct err *e);
/* The same of n valid paths, asked for without waiting for each answer; ret: room for n. */
int store_infos(struct store_conn *c, struct arena *a, const char *const *paths, size_t n,
		struct store_info **ret, struct err *e);
/* What caches say of paths, those that they do not have left out; the daemon asks them. Vec of
 * struct store_offer in arena. */
struct store_offer {
	const char *path;
	const char **refs;
	size_t nrefs;
	uint64_t download, nar_size; /* bytes; 0: not known */
};
int store_offers(struct store_conn *c, struct arena *a, const char *const *paths, size_t n,
		 struct vec *ret, struct err *e);
/* The subset of paths that is valid, sorted; strings in arena. */
int store_valid_subset(struct store_conn *c, struct arena *a, const char *const *paths, size_t n,
		       struct vec *ret, struct err *e);
/* The valid path whose base name begins with part, in arena; -ERR_NOTFOUND. */
int store_by_hash_part(struct store_conn *c, struct arena *a, const char *part, char **ret,
		       struct err *e);
int store_referrers(struct store_conn *c, struct arena *a, const char *path, struct vec *ret,
		    struct err *e);
/* Whether what was added is valid for everybody: additions are answered before they are, and a full
 * disk can come between. To be asked before success is told to somebody else. */
int store_confirm(struct store_conn *c, const char *const *paths, size_t n, struct err *e);
int store_derivers(struct store_conn *c, struct arena *a, const char *path, struct vec *ret,
		   struct err *e);
int store_drv_outputs(struct store_conn *c, struct arena *a, const char *drv, struct vec *ret,
		      struct err *e);
int store_all_valid(struct store_conn *c, struct arena *a, struct vec *ret, struct err *e);
/* Closure under references, sorted. */
int store_closure(struct store_conn *c, struct arena *a, const char *const *paths, size_t n,
		  struct vec *ret, struct err *e);
/* Add a text item / a file tree. *ret in arena. Refs must be valid. */
int store_add_text(struct store_conn *c, struct arena *a, const char *name, struct slice contents,
		   const char *const *refs, size_t nrefs, char **ret, struct err *e);
int store_add_tree(struct store_conn *c, struct arena *a, const char *name, int dirfd,
		   const char *path, bool recursive, enum digest_algo algo, nar_filter_fn *filter,
		   void *arg, char **ret, struct err *e);
/* Build derivations ("P.drv" or "P.drv!out,lib"), showing progress on standard error. */
int store_build(struct store_conn *c, const char *const *things, size_t n, struct err *e);
/* Outputs that a daemon remembers to have failed, sorted; forget some, or "*": all. */
int store_failures(struct store_conn *c, struct arena *a, struct vec *ret, struct err *e);
int store_failures_forget(struct store_conn *c, const char *const *paths, size_t n, struct err *e);
int store_add_temp_root(struct store_conn *c, const char *path, struct err *e);
/* Make LINK (a physical path of the caller's) a symlink to the item and register it as a root. */
int store_add_root(struct store_conn *c, const char *link, const char *item, struct err *e);
/* Takes each line that is said of what was found. */
struct store_found {
	void (*line)(void *arg, struct slice text);
	void *arg;
};
/* repair: what is damaged is built again, and rows of what is gone and not needed are removed.
 * found: what to do with the lines, in place of printing them; may be NULL. */
int store_verify(struct store_conn *c, bool contents, bool repair, const struct store_found *found,
		 uint64_t *ret_errors, struct err *e);

/* Make equal files links to one; the daemon says what that saved. */
int store_optimise(struct store_conn *c, struct err *e);

enum store_gc { STORE_GC_LIVE, STORE_GC_DEAD, STORE_GC_DELETE, STORE_GC_DELETE_THESE };
int store_gc(struct store_conn *c, struct arena *a, enum store_gc action, const char *const *paths,
	     size_t n, uint64_t max_freed, struct vec *ret_paths, uint64_t *ret_bytes,
	     struct err *e);
/* Before something is deleted for its age: -ERR_INVALID when the clock stands where it cannot. */
int store_clock_check(struct err *e);
/* Pairs link, target in ret. */
int store_roots(struct store_conn *c, struct arena *a, struct vec *ret, struct err *e);

/* ---- Is everything there? (store/local/whole.c)
 * ------------------------------------------------------------- */

/* Whether item and all that it refers to, directly or not, are valid and on disk, and those that
 * are a file as large as they were. No daemon is asked: the database below state_dir is read, and
 * not changed. root: "" or the private root. -ERR_DB: it cannot be read, so nothing is known.
 * -ERR_NOTVALID: it does not know one. -ERR_HASH: one is missing, or changed; e names it. Each of
 * these two is told to lost instead, unless that is NULL. */
int store_check_whole(const char *root, const char *state_dir, const char *item,
		      const struct store_found *lost, struct err *e);

/* ---- Database for images (store/local/db.c)
 * ------------------------------------------------------------- */

/* Write a fresh database file (physical path) that holds exactly these items, sorted, registration
 * time 1: the same bytes for the same items. Items must be closed under references. */
int store_db_create(const char *file, const struct store_info *const *items, size_t n,
		    struct err *e);

/* ---- Tar files (store/format/archive.c)
 * ------------------------------------------------------------- */

struct tar_entry {
	const char *path; /* relative, without a trailing '/'; "." for the top */
	mode_t mode;	  /* type and permission bits */
	uint32_t uid, gid;
	int64_t mtime;
	uint64_t size;	    /* of a file: what tar_data() is given in all */
	const char *target; /* of a link */
	uint32_t major, minor;
};

struct tar;

/* A tar file, ustar where that suffices and pax where not, with gzip if so wished, written to out
 * in one pass: the same calls make the same bytes. Names and targets are any bytes. After a
 * failure only tar_free() may follow. */
int tar_open(struct nar_sink *out, bool gzip, struct tar **ret, struct err *e);
int tar_entry(struct tar *t, const struct tar_entry *n, struct err *e);
int tar_data(struct tar *t, const void *p, size_t n, struct err *e);
int tar_close(struct tar *t, struct err *e); /* writes the end; frees t, also on failure */
void tar_free(struct tar *t);		     /* gives up; NULL allowed */

/* ---- Downloads (store/build/fetch.c, store/format/archive.c)
 * ------------------------------------------------------ */

/* Fetch one of urls (tried in order; mirror://NAME/… from settings) into dirfd/name; checks the
 * SHA-256 before the file gets its name. */
int fetch_file(const char *const *urls, size_t nurls, const struct digest *want, int dirfd,
	       const char *name, struct err *e);
/* Extract one member of a .deb, of at most LIMIT_DEB_MEMBER bytes, as dirfd/name with mode. */
int unpack_deb_member(int deb_fd, const char *member, int dirfd, const char *name, unsigned mode,
		      struct err *e);

/* What url (https, http, file) has, at most limit bytes, of which nothing is known. */
int fetch_text(const char *url, size_t limit, struct str *out, struct err *e);
/* A file of which size and hash are known, from one such URL, as the new dirfd/name. */
int fetch_signed(const char *url, uint64_t size, const struct digest *want, int dirfd,
		 const char *name, struct err *e);

/* ---- Keys of stores (store/subst/keys.c)
 * ------------------------------------------------------------- */

/* Whether text is what a file "authorized-keys" may be: public keys of either family, one at
 * least, and comments. e names the line. Which families there are is returned. */
int store_keys_check(struct slice text, bool *ret_guix, bool *ret_nix, struct err *e);

/* ---- Signed texts (store/subst/signed.c)
 * ------------------------------------------------------------- */

/* EdDSA of RFC 8032; keys and signatures are "NAME:BASE64". These keys have nothing to do with
 * those of stores. */
/* Make a key: the secret one as FILE, which must not exist, the public one as FILE.pub. */
int store_key_make(const char *file, const char *name, struct err *e);
/* ret_public: text of the public key. */
int store_key_sign(const char *file, struct slice text, struct str *ret, struct str *ret_public,
		   struct err *e);
/* -ERR_INVALID: sig is none of text by the key public. */
int store_key_check(const char *public, struct slice sig, struct slice text, struct err *e);

/* ---- Filters of system calls (store/build/seccomp.c, libseccomp)
 * --------------------------------------- */

/* The compiled filter for a service, instructions as the kernel takes them. profile: "service", or
 * "service-packet", which has raw sockets of network cards, too. */
int store_service_filter(const char *profile, struct str *out, struct err *e);

/* ---- Commands
 * ---------------------------------------------------------------------------------------- */

extern const struct cmd store_cmd_archive;   /* cairn archive */
extern const struct cmd store_cmd_challenge; /* cairn challenge */
extern const struct cmd store_cmd_store;     /* cairn store … */
extern const struct cmd store_cmd_copy;	     /* cairn copy */
extern const struct cmd store_cmd_daemon;    /* cairn daemon */
extern const struct cmd store_cmd_exec;	     /* cairn exec */
extern const struct cmd store_cmd_publish;   /* cairn publish */
