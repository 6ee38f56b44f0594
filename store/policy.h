/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What the administrator of a daemon decided for all its connections. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define POLICY_MAX_SILENT 3600
#define POLICY_TIMEOUT	  86400

struct policy {
	uint64_t timeout, max_silent; /* seconds; 0: none; a client may choose others */
	uint64_t rounds;     /* builds of a derivation that must agree, at least 1; likewise */
	uint64_t max_log;    /* bytes of output that end a build; 0: none */
	bool cache_failures; /* what failed once is not tried again */
	bool lose_logs, plain_logs;
	bool old_kernel;	 /* builders see a Linux 2.6 */
	bool keep_outputs;	 /* a collection keeps outputs of live derivations … */
	bool drop_derivations;	 /* … and not the derivations of live outputs */
	bool no_offload;	 /* nothing is built on other machines */
	bool isolate;		 /* builders of fixed outputs do not reach the machine's loopback */
	const char *slirp, *git; /* programs; NULL: looked up in PATH */
	const char *system;	 /* for which is built besides this machine's own; NULL: none */
	const char *const *dirs; /* pairs inside, outside, for every sandbox; NULL-ended; NULL */
	const char *substitute_urls; /* blank-separated; NULL: none */
	const char *trusted_keys;    /* of Nix's form, besides those of the files; NULL: none */
	bool no_substitutes;	     /* whatever a client wants */
	const char *build_group;     /* whose members' ids builders get; NULL: unnamed ids */
};

#define POLICY_INIT                                                                                \
	{                                                                                          \
		.timeout = POLICY_TIMEOUT, .max_silent = POLICY_MAX_SILENT, .rounds = 1            \
	}
