/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Every bound of this module. Sizes that come from outside are checked against these first. */
#pragma once

#define LIMIT_SET_BYTES	   (1u << 20) /* text of a service set */
#define LIMIT_SET_ARENA	   (8u << 20)
#define LIMIT_SVC_COUNT	   1024
#define LIMIT_SVC_NAME	   64
#define LIMIT_SVC_LIST	   256 /* names in one dependency list, words in one command */
#define LIMIT_SVC_LISTEN   8
#define LIMIT_SVC_CALENDAR 16
#define LIMIT_SVC_ACTIONS  16
#define LIMIT_SVC_RLIMITS  16
#define LIMIT_SVC_GROUPS   64
#define LIMIT_SVC_FDS	   16 /* descriptors that one service leaves with PID 1 */
#define LIMIT_FD_STORE	   48 /* all services together */
#define LIMIT_FD_NAME	   31
#define LIMIT_SVC_NOTIFYFD 63
#define LIMIT_SVC_MOUNTS   64
#define LIMIT_SVC_CPUS	   1024
#define LIMIT_ENV_FILES	   16384 /* bytes, of all that a service reads */
#define LIMIT_CONNECTIONS  256	 /* that are served at a time, of all services with accept */
#define LIMIT_CTL_CLIENTS  32
#define LIMIT_CTL_SHARE	   8	/* of these, connections of one user that is not trusted */
#define LIMIT_CTL_MSG	   4096 /* one packet, either way */
#define LIMIT_PATH	   3000 /* a path or text in a packet */
#define LIMIT_OVERRIDES	   65536
#define LIMIT_NOTIFY_MSG   2048
#define LIMIT_REAP_TURN	   4096
