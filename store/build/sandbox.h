/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The builder's world: one process in fresh user, mount, pid, net, ipc, uts and cgroup namespaces
 * that sees its inputs read-only, a writable store directory for its outputs, and /tmp.
 *
 * The directories outside are given as descriptors, and nothing of the host needs to be reachable
 * by the identity the builder gets.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "lib/err.h"
#include "lib/proc.h"
#include "store/build/slirp.h"

#define SANDBOX_UID 30001 /* inside */
#define SANDBOX_GID 30000

struct sandbox {
	uid_t host_uid; /* what SANDBOX_UID is outside: one unprivileged id */
	gid_t host_gid;
	bool privileged;       /* the caller is root: may map an id that is not its own */
	const char *store_dir; /* logical, absolute */
	int real_store;	       /* the store; inputs are its children */
	int store;	       /* directory that becomes store_dir inside, owned by host_uid */
	int tmp;	       /* directory that becomes /tmp */
	const char *build_dir; /* where tmp_name, a directory in tmp, is to be seen, too; NULL */
	const char *tmp_name;
	int root;		   /* any directory: the place where the new root is mounted */
	const char *const *inputs; /* base names in real_store */
	size_t ninputs;
	const char *cwd;     /* inside */
	const char *builder; /* inside */
	const char *const *argv, *const *envp;
	const char *system; /* of the derivation: selects the personality */
	bool old_kernel;    /* uname says 2.6 */
	struct slirp *net;  /* a way out of the machine; its helper is started. NULL: none */
	bool scoped;   /* no abstract socket outside is in reach, where the kernel can do that */
	bool host_net; /* for tests: the machine's network */
	int log;       /* standard output and error */
	int lock;      /* of the id: kept until the last process is gone; -1: none */
	const char *const *extra; /* pairs inside, outside: further read-only binds; NULL-ended */
};

/* Start the builder. *ret is PID 1 of its pid namespace, which is ours and has the builder as its
 * child: when proc_wait() has returned, no process is left, and sandbox_status() says how the
 * builder ended, from *ret_end and the status of PID 1, and closes *ret_end. -ERR_SANDBOX: the
 * machine refused (all builds will fail alike); -ERR_BUILD: the builder cannot be executed. */
int sandbox_start(const struct sandbox *s, struct proc *ret, int *ret_end, struct err *e);
int sandbox_status(int *end, int init_status);
