/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The control protocol: a SOCK_SEQPACKET socket, one packet a request, one or more packets the
 * answer, each at most LIMIT_CTL_MSG bytes in the encoding of lib/wire. doc/init.md describes it.
 *
 *	request: version op flags name
 *	answer:  version kind …; ends with CTL_END
 *
 * An answer is of the version of its request. Version 2 has more in rows and in what is told of the
 * whole, and the last two operations.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "lib/slice.h"

#define CTL_VERSION 2
#define CTL_OLDEST  1
#define CTL_SOCKET  "/run/cairn/init.sock"

enum ctl_op {
	CTL_LIST = 1, /* rows of all services */
	CTL_STATUS,   /* row of one */
	CTL_START,
	CTL_STOP,
	CTL_RESTART,
	CTL_RELOAD,
	CTL_LOAD,     /* name: path of a set; changes, then end */
	CTL_SHUTDOWN, /* name: reboot poweroff halt */
	CTL_INFO,
	CTL_REEXEC,
	CTL_TRIGGER, /* run a timed service now */
	CTL_RUN,     /* name: text of one section, a service to add; CTL_WAIT: until it ended. Three
			descriptors may come along: its 0, 1, 2 */
	CTL_OVERRIDE, /* read the overrides again; a text, the path of their file, then end */
	CTL_ACTION,   /* name: service, blank, action; waits for its end */
	CTL_SET,      /* a text, the path of the set in force, with a descriptor of its text; end */
	CTL_WATCH,    /* events as they come, beginning with none; no end */
	CTL_OP_MAX
};

enum ctl_flag {
	CTL_WAIT = 1 << 0,
	CTL_DRY_RUN = 1 << 1,
	CTL_FLAG_MASK = (1 << 2) - 1,
};

enum ctl_kind {
	CTL_ROW = 1,  /* name type state why status description log id flags pid since restarts
			 exit; version 2: due started begin ready last-run runs */
	CTL_CHANGES,  /* (name change)… */
	CTL_INFO_ROW, /* version set booted services failed; version 2: start settled now */
	CTL_END,      /* code message */
	CTL_TEXT,     /* text */
	CTL_EVENTS,   /* (boottime realtime name old new why)…; name empty: of the whole */
	CTL_KIND_MAX
};

struct ctl_request {
	uint64_t version;
	enum ctl_op op;
	unsigned flags;	   /* enum ctl_flag */
	struct slice name; /* of the packet; no NUL in it */
};

/* 0, or -ERR_PROTO: malformed, or of a version that is not spoken here. */
int ctl_request_parse(const void *packet, size_t n, struct ctl_request *ret);

enum ctl_row_flag {
	CTL_WISH = 1 << 0,
	CTL_BARRED = 1 << 1,
	CTL_STALE = 1 << 2,
	CTL_SKIPPED = 1 << 3,
	CTL_LISTENING = 1 << 4,
	CTL_ENABLED = 1 << 5,
	CTL_CRITICAL = 1 << 6,
	CTL_ENDED = 1 << 7, /* exit is meaningful */
	CTL_MASKED = 1 << 8,
};

/* In the upper half of a row's flags: what the service is shut into. */
#define CTL_BOX_SHIFT 32
enum ctl_box {
	CTL_BOX_FLAGS = 0, /* bit n: enum svc_box_flag n */
	CTL_BOX_PROFILE = 1 << 8,
	CTL_BOX_CAPS = 1 << 9,
	CTL_BOX_SECCOMP = 1 << 10,
	CTL_BOX_ROOT = 1 << 11,
	CTL_BOX_PATHS = 1 << 12,
};
