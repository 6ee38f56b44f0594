/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The service set: doc/service-set.md as structs. Parsing checks everything that can be known
 * without the machine; a set that was parsed has no unknown hard dependency and no cycle.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "init/calendar.h"
#include "init/limits.h"
#include "lib/arena.h"
#include "lib/err.h"
#include "lib/slice.h"
#include "lib/str.h"
#include "lib/str.h"

#define SVC_NO_VALUE UINT64_MAX

enum svc_type { SVC_SIMPLE, SVC_NOTIFY, SVC_ONESHOT, SVC_FORKING, SVC_GROUP, SVC_TYPE_MAX };
enum svc_restart { SVC_RESTART_DEFAULT, SVC_ALWAYS, SVC_ON_FAILURE, SVC_NEVER };
enum svc_output { SVC_OUT_LOG, SVC_OUT_NULL, SVC_OUT_CONSOLE };
enum svc_cad { SVC_CAD_REBOOT, SVC_CAD_POWEROFF, SVC_CAD_IGNORE };
enum svc_socket { SVC_STREAM, SVC_DGRAM, SVC_SEQPACKET, SVC_TCP, SVC_UDP };

struct svc_list { /* names, in the set's arena */
	const char **v;
	size_t n;
};

struct svc_listen {
	enum svc_socket kind;
	const char *address, *name, *user, *group;
	unsigned mode;
};

struct svc_limit {
	int resource;
	uint64_t soft, hard; /* UINT64_MAX: unlimited */
};

struct svc_cgroup {
	uint64_t memory_max, memory_high, pids_max; /* 0: not set */
	uint64_t cpu_weight, io_weight;
	const char *cpu_max, *cpu_set;
	struct svc_list io_max; /* DEVICE KEY=VALUE… */
	bool use, delegate;
};

/* What a process is shut into: read by box-def.c, done by box.c. */
enum svc_box_flag {
	SVC_BOX_PRIVILEGES, /* no new ones */
	SVC_BOX_TMP,
	SVC_BOX_DEV,
	SVC_BOX_NETWORK,
	SVC_BOX_PIDS,
	SVC_BOX_KERNEL,
	SVC_BOX_FLAGS
};
enum svc_said { SVC_UNSAID, SVC_NO, SVC_YES };

enum svc_mount_kind { /* in the order in which they are done */
		      SVC_MOUNT_READ_ONLY,
		      SVC_MOUNT_READ_WRITE,
		      SVC_MOUNT_BIND,
		      SVC_MOUNT_BIND_READ_ONLY,
		      SVC_MOUNT_INACCESSIBLE,
		      SVC_MOUNT_KINDS
};

struct svc_mount {
	const char *from, *to; /* from: binds only */
	enum svc_mount_kind kind;
	bool optional; /* what is missing is no error */
};

struct svc_box {
	uint8_t flags[SVC_BOX_FLAGS]; /* enum svc_said; the profile's once the set was parsed */
	bool profile;		      /* sandbox = default */
	bool bounded;		      /* bounding counts */
	bool mount;		      /* needs mounts of its own */
	bool any;		      /* there is something to do */
	uint64_t bounding, ambient, inheritable; /* bit n: capability n */
	const char *root, *seccomp;		 /* NULL: none */
	struct svc_mount *mounts;
	size_t nmounts;
};

static inline bool svc_box_on(const struct svc_box *b, enum svc_box_flag flag)
{
	return b->flags[flag] == SVC_YES;
}

/* All pointers are owned by the arena of the set. */
struct svc_def {
	const char *name; /* NULL: the [init] section */
	unsigned line;
	uint64_t id[2];		     /* identity of the definition */
	uint64_t plain_id;	     /* of what is not reload-triggers */
	const struct svc_def *of;    /* its template; NULL: none */
	bool masked, enabled_by_set; /* by an override; before any */
	struct svc_list instances;   /* of a template: those that are there from the beginning */

	/* [init] */
	const char *hostname, *log_directory, *state_directory;
	uint64_t shutdown_timeout;
	enum svc_cad ctrl_alt_del;
	const char *const *rescue;
	const char *gate; /* service that a boot on trial must bring up; NULL: none */
	uint64_t gate_timeout, watchdog; /* ns; watchdog 0: none */

	enum svc_type type;
	const char *description;
	const char *const *exec, *const *stop_exec, *const *reload_exec; /* NULL: none */
	const char *const **actions; /* each: name, program, arguments, NULL */
	size_t nactions;
	uint64_t reload_signal, stop_signal;
	bool enabled, critical, remain, later, scope_main, activate;
	bool accept; /* a process for each connection */
	uint64_t max_connections;
	bool smooth; /* those that require it stay up while it restarts */
	struct svc_list requires, binds;
	struct svc_list milestones, wants, after,
		before; /* side by side: no part of the identity */
	struct svc_list conflicts, conditions;
	struct svc_list environment, environment_files;
	struct svc_list control; /* who besides root: user:NAME, group:NAME */

	uint64_t notify_fd; /* 0: socket */
	const char *pid_file;
	enum svc_restart restart;
	uint8_t success[32]; /* bit set of exit codes */
	uint64_t restart_delay, restart_delay_max, restart_limit, restart_window; /* ns */
	uint64_t start_timeout, stop_timeout, alive_timeout;

	/* Timed: runs when its time comes. */
	bool timed, catch_up;
	const struct calendar *calendars;
	size_t ncalendars;
	uint64_t every, first_run, random_delay, run_timeout; /* ns */

	const char *user, *group;
	struct svc_list groups;
	bool groups_given;
	const char *cwd, *terminal;
	uint64_t umask;
	int nice, oom_adjust;
	int ioprio;	      /* class << 13 | level; 0: not set */
	const uint64_t *cpus; /* LIMIT_SVC_CPUS bits; NULL: all */
	enum svc_output output;
	uint64_t fd_store;
	uint64_t log_size, log_keep, log_rate; /* SVC_NO_VALUE: those of [init], or usual ones */
	uint64_t log_boots;
	struct svc_limit *limits;
	size_t nlimits;
	struct svc_listen *listen;
	size_t nlisten;
	uint64_t listen_id; /* identity of the listen lines */
	struct svc_cgroup cgroup;
	struct svc_box box;
};

struct svc_set {
	struct arena arena;
	struct svc_def **templates; /* names end in '@' */
	size_t ntemplates;
	int text_fd; /* owned; a sealed copy of its text (state.h), -1: none */
	struct svc_def init;
	struct svc_def **v; /* in file order */
	size_t n;
	/* Edges by index into v, resolved from names; `order` holds who comes before v[i]:
	 * requires, binds, milestones, wants, after, and the reverse of before. What is bound is
	 * required as well. */
	struct svc_edges *edges;
};

/* Up to SVC_MILESTONE: who is wanted pulls in the other end. */
enum svc_edge { SVC_REQ, SVC_WANT, SVC_MILESTONE, SVC_ORDER, SVC_CONFLICT, SVC_BIND, SVC_EDGE_MAX };

/* For each kind: targets[] of service i, and its reverse. NULL: none. */
struct svc_edges {
	uint16_t *to[SVC_EDGE_MAX], *from[SVC_EDGE_MAX];
	uint16_t nto[SVC_EDGE_MAX], nfrom[SVC_EDGE_MAX];
};

/* Parse text (borrowed for the call) as FILE. On success *ret is owned by the caller
 * (svc_set_free); errors are "FILE:LINE: …" and -ERR_SYNTAX, -ERR_INVALID or -ERR_LIMIT. */
int svc_set_parse(struct slice text, const char *file, struct svc_set **ret, struct err *e);
int svc_set_read(const char *path, struct str *text, struct err *e);
/* As above; overrides (may be NULL) adds to out what is kept in the set's state directory: lines
 * "enable NAME", "disable NAME", "mask NAME". */
typedef void svc_overrides_fn(const char *state_directory, struct str *out);
int svc_set_parse_with(struct slice text, const char *file, svc_overrides_fn *overrides,
		       struct svc_set **ret, struct err *e);
/* Other overrides in place of those before. */
void svc_set_override(struct svc_set *set, struct slice overrides);
/* Is name that of an instance which the set has a template for? */
bool svc_set_has_template(const struct svc_set *set, struct slice name);
int svc_set_load(const char *path, struct svc_set **ret, struct err *e);
/* A set with no service. NULL: no memory. */
struct svc_set *svc_set_empty(void);
void svc_set_free(struct svc_set *set); /* NULL allowed */
/* Index of a name, or -1. */
int svc_set_find(const struct svc_set *set, struct slice name);

/* Up to SVC_RELOAD its process goes on. */
enum svc_change {
	SVC_KEEP,
	SVC_LATER,
	SVC_RELOAD,
	SVC_START,
	SVC_STOP,
	SVC_RESTART,
	SVC_CHANGE_MAX
};
extern const char *const svc_change_names[SVC_CHANGE_MAX];

/* What a load does to service i of the old set (of_old) or of the new one, by its definition alone.
 * out_old has old->n entries, out_new new->n. Entries of services in both sets are equal. */
void svc_set_compare(const struct svc_set *old, const struct svc_set *new, uint8_t *out_old,
		     uint8_t *out_new);
/* And then: what requires one that is not up all the time, by its new definition or by the one that
 * it runs with, restarts too. */
void svc_set_spread(const struct svc_set *old, const struct svc_set *new, uint8_t *out_old,
		    uint8_t *out_new);

/* "TERM", "SIGTERM" or "15" to a number; 0: unknown. */
unsigned svc_signal_number(struct slice name);
const char *svc_signal_name(unsigned sig);
