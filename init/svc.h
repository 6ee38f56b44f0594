/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The state machine of the services: one explicit state each, a goal computed from wishes, and two
 * intrusive queues. Events only record what happened and queue the service; svc_settle() first
 * drains the goal queue (who is wanted, nothing acts), then the act queue (starts and stops), until
 * both are empty. No recursion, no allocation, so no depth of dependencies can hurt.
 *
 * What touches the outside goes through struct svc_ops, so the machine runs in unit tests with a
 * fake world.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "init/set.h"
#include "lib/loop.h"

enum svc_state {
	SVC_DOWN,
	SVC_WAITING,  /* is to start; something before it is not settled */
	SVC_STARTING, /* its program runs, not up yet */
	SVC_UP,
	SVC_BACKOFF,  /* died; starts again at a deadline */
	SVC_HOLDING,  /* is to stop; something after it is not down yet */
	SVC_STOPPING, /* stop command or signal is out */
	SVC_KILLING,  /* KILL is out; waits for the last process to vanish */
	SVC_DONE,     /* ended as it should; not wanted again until asked */
	SVC_FAILED,
	SVC_STATE_MAX
};

/* After KILL: a process that is still there hangs in the kernel. */
#define SVC_STUCK 10000000000ull

extern const char *const svc_state_names[SVC_STATE_MAX];

/* What becomes of a service when its last process is gone. */
enum svc_fate { SVC_FATE_DOWN, SVC_FATE_SUCCESS, SVC_FATE_FAILURE };

/* Place in the table that finds the owner of a dead process. */
struct pid_link {
	struct pid_link *next;
	pid_t pid; /* 0: not in the table */
	struct svc *svc;
};

/* A field that must survive another life of PID 1 has a row in state.c. */
struct svc {
	const struct svc_def *def; /* borrowed from the set */
	char name[LIMIT_SVC_NAME + 1];
	uint16_t index; /* in the set */
	enum svc_state state;
	enum svc_fate fate;

	bool wish;    /* somebody asked for it */
	bool barred;  /* somebody asked for the contrary; beats pulls */
	bool goal;    /* result of both, of pulls and of shutdown */
	bool bounce;  /* stop once, then go by the goal again */
	bool leaving; /* stops because a load replaces or removes it */
	bool broken;  /* failed only because of what it requires */
	bool skipped; /* up without running: a condition did not hold */
	bool stale;   /* runs with an older definition */
	bool reloads; /* is to be told that its reload-triggers changed */
	/* died and will restart: for those that require it as good as up */
	bool recovers;
	bool listening, pid_wait, aux_is_stop, ended;
	bool stuck;  /* KILL has not ended it for SVC_STUCK: nobody waits for it any more */
	bool leaves; /* said STOPPING=1: goes by itself, its exit status counts */
	bool asked;  /* while stopping: the signal is out */
	bool in_goal_queue, in_act_queue;
	uint16_t pulls; /* services with a goal that require or want this one */
	struct svc *next_goal, *next_act;

	pid_t pid, aux; /* -1: none */
	int pidfd, auxfd;
	uint16_t nconns; /* processes of connections; of accept = yes */
	int aux_status;
	int last_status; /* wait status of the last main program */
	uint64_t since;	 /* of the state; CLOCK_BOOTTIME ns */
	uint64_t started;
	uint64_t deadline;   /* of start or stop; 0: none */
	uint64_t kill_pause; /* between looks at what KILL left */
	uint64_t window;     /* begin of the window restarts are counted in */
	uint32_t restarts, streak, total_restarts;
	uint64_t due;		   /* of a timed service: its next run; 0: none is planned */
	uint64_t run_due;	   /* when its last one was due; 0: none since it came up */
	int64_t planned, last_run; /* owned by the world: seconds of CLOCK_REALTIME */
	uint32_t begun, ready;	   /* first start, first time up or done: ms of CLOCK_BOOTTIME */
	uint64_t runs[2];	   /* identity of the definition that it was started with last */
	char why[120];		   /* reason of the last failure, "" */
	char status[80];

	uint16_t record; /* in the kept state (state.c), + 1; 0: none */

	/* Owned by the world (init_main): */
	struct loop_timer timer;
	struct loop_fd ready_src, main_src;
	struct loop_fd *listen_src; /* owned; LIMIT_SVC_LISTEN, NULL until it listens */
	int listen_fd[LIMIT_SVC_LISTEN];
	size_t nlisten;
	uint64_t listen_id;
	int log_read, log_write;
	bool log_sent, has_cgroup;
	struct pid_link main_link, aux_link;
};

struct svc_ops {
	uint64_t (*now)(void);
	void (*timer)(struct svc *s, uint64_t when); /* 0: off */
	/* Start the main program; sets pid and pidfd. 0 or negative with s->why filled. */
	int (*launch)(struct svc *s);
	int (*run_aux)(struct svc *s, const char *const *argv);
	void (*kill_aux)(struct svc *s); /* KILL to the command alone */
	void (*signal)(struct svc *s, unsigned sig);
	void (*kill)(struct svc *s);	  /* KILL to everything in its scope */
	bool (*left_over)(struct svc *s); /* processes besides pid and aux */
	int (*adopt)(struct svc *s);	  /* read the pid file; -EAGAIN: not yet */
	int (*open_sockets)(struct svc *s);
	void (*listen)(struct svc *s, bool on);
	bool (*condition)(struct svc *s);
	/* Timed services: when the next run is due, 0: never; a run begins. */
	uint64_t (*next_run)(struct svc *s);
	void (*run_begins)(struct svc *s);
	void (*gone)(struct svc *s); /* no process is left */
	void (*changed)(struct svc *s, enum svc_state old);
	/* May be NULL: */
	void (*commit)(struct svc *s); /* everything about s is consistent: keep it */
	void (*switching)(bool done);  /* m->pending is about to take over; or has done so */
};

struct svc_mgr {
	struct svc_set *set; /* owned */
	struct svc **v;	     /* owned array and services, by index of the set */
	uint16_t *scratch;
	const struct svc_ops *ops;
	struct svc *goal_head, *goal_tail, *act_head, *act_tail;
	struct svc_set *pending;	       /* owned; a load whose first half is under way */
	int load_error;			       /* of the last load: 0, or why the old set stayed */
	char load_culprit[LIMIT_SVC_NAME + 1]; /* for -ETIMEDOUT: who does not die */
	bool down;			       /* shutting down: nothing is wanted */
};

/* Take set (owned from here on) as the first one; wishes come from `enabled`. 0 or -ENOMEM. */
int svc_mgr_init(struct svc_mgr *m, struct svc_set *set, const struct svc_ops *ops);
void svc_mgr_done(struct svc_mgr *m);
/* For memory that another life reads, where a name is too long. */
uint32_t svc_name_hash(const struct svc *s);
struct svc *svc_mgr_find(const struct svc_mgr *m, struct slice name);

/* Requests. -EBUSY during a load, -ESHUTDOWN after svc_shutdown, -EPERM: masked. */
int svc_start(struct svc_mgr *m, struct svc *s);
int svc_stop(struct svc_mgr *m, struct svc *s);
int svc_restart(struct svc_mgr *m, struct svc *s);
int svc_reload(struct svc_mgr *m, struct svc *s);  /* -ENODATA: no process */
int svc_trigger(struct svc_mgr *m, struct svc *s); /* run a timed one now; -ENODATA: is not timed
						    * or not up, -EALREADY: runs */
/* Run one of its actions; its wait status is in aux_status when aux is -1 again. -ENOENT: there is
 * no such, -ENODATA: not up, -EALREADY: a command of it runs. */
int svc_action(struct svc_mgr *m, struct svc *s, struct slice action);
void svc_overridden(struct svc_mgr *m); /* masks may have changed */
void svc_shutdown(struct svc_mgr *m);

/* What a load of next would do to the services as they are; out has set->n then next->n places. */
void svc_load_plan(const struct svc_mgr *m, const struct svc_set *next, uint8_t *out_old,
		   uint8_t *out_new);
/* Begin a load; owns next from here on. The switch happens in svc_settle when all that has to stop
 * has stopped; when one of them does not die, the old set stays (load_error). -EBUSY, -ESHUTDOWN,
 * -ENOMEM. */
int svc_load(struct svc_mgr *m, struct svc_set *next);

/* Events */
void svc_exited(struct svc_mgr *m, struct svc *s, int status);
void svc_aux_exited(struct svc_mgr *m, struct svc *s, int status);
void svc_ready(struct svc_mgr *m, struct svc *s);
void svc_leaves(struct svc_mgr *m, struct svc *s);    /* it began to stop by itself */
void svc_not_ready(struct svc_mgr *m, struct svc *s); /* closed its descriptor without a word */
void svc_timeout(struct svc_mgr *m, struct svc *s);
void svc_activated(struct svc_mgr *m, struct svc *s);
/* It asks for more time to start or stop: so long from now, if that is later than what it has. */
void svc_extend(struct svc_mgr *m, struct svc *s, uint64_t wait);
void svc_alive(struct svc_mgr *m, struct svc *s);      /* alive-timeout begins anew */
void svc_conn_ended(struct svc_mgr *m, struct svc *s); /* one of nconns, counted already */
void svc_clock_changed(struct svc_mgr *m);	       /* CLOCK_REALTIME was set */

void svc_settle(struct svc_mgr *m);

/* Keep those that a request has changed, before it counts as done. */
void svc_commit_queued(struct svc_mgr *m);
/* All services were filled with what a life before kept: what it was doing is done, or begun again.
 * switching: it was between two sets, pending is the next. */
void svc_resume(struct svc_mgr *m, bool switching);
/* Has processes or will have without being asked again. */
bool svc_is_active(const struct svc *s);
/* No service is on its way anywhere (a back-off and a stuck one count as settled). */
bool svc_all_settled(const struct svc_mgr *m);
bool svc_is_settled(const struct svc *s);
