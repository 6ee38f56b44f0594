/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What the verbs of "cairn package" share. */
#pragma once

#include "lib/cmd.h"
#include "store/store.h"
#include "system/eval.h"
#include "system/profile.h"

struct package_ctx {
	struct store_opts store;
	struct sys_eval_opts eval;
	const char *profile; /* -p; NULL: the user's own */
	bool json, dry_run;
	struct vec files; /* of install */
};

struct package_env {
	struct store_places places; /* in profile.arena */
	struct profile profile;
	bool own; /* the profile is the user's own */
};

#define PACKAGE_ENV_INIT                                                                           \
	{                                                                                          \
		.profile = PROFILE_INIT                                                            \
	}

#define PACKAGE_PROFILE                                                                            \
	{                                                                                          \
		"profile", 'p', CMD_STR, offsetof(struct package_ctx, profile), "PROFILE",         \
			"a profile of that path, in place of the user's own"                       \
	}
#define PACKAGE_JSON                                                                               \
	{                                                                                          \
		"json", 0, CMD_FLAG, offsetof(struct package_ctx, json), NULL, "as JSON"           \
	}
#define PACKAGE_DRY_RUN                                                                            \
	{                                                                                          \
		"dry-run", 'n', CMD_FLAG, offsetof(struct package_ctx, dry_run), NULL,             \
			"say what would change, change nothing"                                    \
	}

/* Find the profile, and read it; change: lock it. */
int package_open(struct package_env *p, const struct package_ctx *c, bool change, const char *verb,
		 struct err *e);
/* Entries of the current generation; none when there is none. */
int package_installed(struct package_env *p, struct vec *ret, struct err *e);
int package_end_output(struct err *e);

extern const struct cmd package_cmd_list, package_cmd_list_generations, package_cmd_search,
	package_cmd_show, package_cmd_export_manifest, package_cmd_roll_back,
	package_cmd_switch_generation, package_cmd_delete_generations;
