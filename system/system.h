/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Public interface of system/: evaluation, generations, the boot menu of generations, and the
 * commands. The headers below are part of it; everything else in the directory is private.
 */
#pragma once

#include "lib/cmd.h"
#include "system/eval.h"
#include "system/generation.h"
#include "system/menu.h"
#include "system/root.h"

/* cairn system …; cairn.c puts them into one group together with image's. */
extern const struct cmd sys_cmd_activate; /* hidden: what boot and switches run */
extern const struct cmd sys_cmd_boot;
extern const struct cmd sys_cmd_system_build;
extern const struct cmd sys_cmd_confirm;
extern const struct cmd sys_cmd_delete_generations;
extern const struct cmd sys_cmd_describe;
extern const struct cmd sys_cmd_diff;
extern const struct cmd sys_cmd_edit;
extern const struct cmd sys_cmd_extension_graph;
extern const struct cmd sys_cmd_find_device; /* hidden: what services that mount run */
extern const struct cmd sys_cmd_gc;
extern const struct cmd sys_cmd_hotplug; /* hidden: the service of that name */
extern const struct cmd sys_cmd_kexec;
extern const struct cmd sys_cmd_label;
extern const struct cmd sys_cmd_list_generations;
extern const struct cmd sys_cmd_mark_good; /* hidden: what the health gate runs */
extern const struct cmd sys_cmd_pin;
extern const struct cmd sys_cmd_plan;
extern const struct cmd sys_cmd_random_seed; /* hidden: what the service random-seed runs */
extern const struct cmd sys_cmd_reconfigure;
extern const struct cmd sys_cmd_revert; /* also what PID 1 runs */
extern const struct cmd sys_cmd_roll_back;
extern const struct cmd sys_cmd_search;
extern const struct cmd sys_cmd_service_graph;
extern const struct cmd sys_cmd_show;
extern const struct cmd sys_cmd_status;
extern const struct cmd sys_cmd_switch_generation;
extern const struct cmd sys_cmd_test;
extern const struct cmd sys_cmd_unpin;
extern const struct cmd sys_cmd_verify;

/* In a script of "cairn system vm --report": a line that goes on with the store path of the system
 * that it tests. */
#define SYSTEM_VM_TESTS "# Tests the system "

/* What those end with that have to do with a machine. */
extern const struct cmd_statuses sys_statuses;

extern const struct cmd sys_cmd_channel; /* cairn channel … */
extern const struct cmd sys_cmd_deploy;	 /* cairn deploy */
extern const struct cmd sys_cmd_package; /* cairn package … */
extern const struct cmd sys_cmd_pull;	 /* cairn pull */
extern const struct cmd sys_cmd_repl;	 /* cairn repl */
extern const struct cmd sys_cmd_shell;	 /* cairn shell */

/* cairn builder …, hidden: run inside derivations. */
extern const struct cmd sys_cmd_builder_cpio;
extern const struct cmd sys_cmd_builder_seccomp;
extern const struct cmd sys_cmd_builder_tree;
