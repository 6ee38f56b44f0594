/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * One build of one derivation: its directories, its builder, its output, and what becomes of its
 * results. The caller holds the locks of the outputs and owns the schedule.
 */
#pragma once

#include "lib/proc.h"
#include "store/daemon/session.h"

struct buildlog;
struct machine;

struct build {
	struct session *s;	       /* borrowed */
	const char *drv_path;	       /* borrowed */
	const struct drv *drv;	       /* borrowed */
	const struct vec *inputs;      /* borrowed: closure of the inputs, sorted store paths */
	const struct machine *machine; /* borrowed: where it is built; NULL: here */
	bool check;		       /* compare with what is valid, register nothing */
	bool repair;	 /* with check: put what is the same in place of what is damaged */
	uint64_t rounds; /* builds that must agree, at least 1 */
	/* private */
	struct build_id id;
	bool have_id;
	struct proc proc;
	struct proc net;	 /* helper of its network; none: pid -1 */
	int net_lock;		 /* owned: of the helper's id */
	struct err no_net;	 /* why there is none, though it might have one */
	int end;		 /* owned: what tells how a sandboxed builder ended; -1: none */
	int log;		 /* owned: read end of the output, non-blocking */
	struct buildlog *file;	 /* owned */
	int top;		 /* owned: its /tmp; named by the base name of drv_path */
	int out;		 /* owned: its store directory */
	char out_name[32];	 /* below local_tmp_dir; "" none */
	char tree[256];		 /* "guix-build-NAME.drv-0" */
	uint64_t started, heard; /* ns */
	uint64_t log_bytes;
	struct str line;       /* owned: output that waits for the end of its line */
	struct str said;       /* owned: last line of a builtin, its reason when it fails */
	uint64_t round;	       /* from 1 */
	struct digest *before; /* owned: of the outputs, in the round before; NULL: none */
	bool disk_full;	       /* may be why it failed */
};

/* Start. s, drv_path, drv, inputs, check, rounds are set, the rest is zero. On failure build_done()
 * cleans up as after success. */
int build_start(struct build *b, struct err *e);
/* Take what the builder has printed. *ret_end: there is nothing more to come. */
int build_output(struct build *b, bool *ret_end, struct err *e);
/* The builder is dead: judge its end, and, after the last round, register its outputs. */
int build_finish(struct build *b, struct err *e);
/* After build_finish: start the next round. *ret false: that was the last. */
int build_again(struct build *b, bool *ret, struct err *e);
/* Kill what runs, delete what is left; with keep the build tree is kept, and said so. */
void build_done(struct build *b, bool keep);
