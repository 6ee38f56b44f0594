/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Commands below "cairn service" that have a file of their own. */
#pragma once

#include "lib/cmd.h"

extern const struct cmd service_cmd_blame;
extern const struct cmd service_cmd_graph;
extern const struct cmd service_cmd_list;
extern const struct cmd service_cmd_log;
extern const struct cmd service_cmd_run;
extern const struct cmd service_cmd_status;
extern const struct cmd service_cmd_timeline;
extern const struct cmd service_cmd_tree;
extern const struct cmd service_cmd_wait;
extern const struct cmd service_cmd_watch;
extern const struct cmd service_cmd_enable;
extern const struct cmd service_cmd_disable;
extern const struct cmd service_cmd_mask;
extern const struct cmd service_cmd_unmask;
