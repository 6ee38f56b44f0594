/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The control protocol: a SOCK_SEQPACKET socket, one packet a request, one or more packets the
 * answer, each at most LIMIT_CTL_MSG bytes in the encoding of lib/wire. doc/init.md describes it.
 *
 *	request: version op flags name
 *	answer:  version kind …; ends with CTL_END
 */
#pragma once

#define CTL_VERSION 1
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
	CTL_OP_MAX
};

enum ctl_flag {
	CTL_WAIT = 1 << 0,
	CTL_DRY_RUN = 1 << 1,
	CTL_FLAG_MASK = (1 << 2) - 1,
};

enum ctl_kind {
	CTL_ROW = 1,  /* name type state why status description log id flags pid since restarts
			 exit */
	CTL_CHANGES,  /* (name change)… */
	CTL_INFO_ROW, /* version set booted services failed */
	CTL_END,      /* code message */
	CTL_TEXT,     /* text */
	CTL_KIND_MAX
};

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
