/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Numbers and limits of the build daemon protocol; versions are in store/format/dialect.h. */
#pragma once

#include <stdint.h>

#define PROTO_MAGIC_CLIENT 0x6e697863u
#define PROTO_MAGIC_SERVER 0x6478696fu
#define PROTO_MAJOR(v)	   ((v)&0xff00u)
#define PROTO_MINOR(v)	   ((v)&0x00ffu)

/* From these minor versions on a client's greeting has … */
#define PROTO_MINOR_AFFINITY 14 /* … the processor it wants */
#define PROTO_MINOR_RESERVE  11 /* … whether to keep space for the collector */

/* Minor versions from here on are Guix's, from before it had what we need. */
#define PROTO_MINOR_OLD_GUIX 0x50

enum proto_msg {
	PROTO_NEXT = 0x6f6c6d67,
	PROTO_READ = 0x64617461,
	PROTO_WRITE = 0x64617416,
	PROTO_LAST = 0x616c7473,
	PROTO_ERROR = 0x63787470,
};

enum proto_op {
	OP_IS_VALID = 1,
	OP_HAS_SUBSTITUTES = 3,
	OP_PATH_HASH = 4,
	OP_REFERENCES = 5,
	OP_REFERRERS = 6,
	OP_ADD_TO_STORE = 7,
	OP_ADD_TEXT = 8,
	OP_BUILD_PATHS = 9,
	OP_ENSURE_PATH = 10,
	OP_ADD_TEMP_ROOT = 11,
	OP_ADD_INDIRECT_ROOT = 12,
	OP_SYNC_WITH_GC = 13,
	OP_FIND_ROOTS = 14,
	OP_EXPORT_PATH = 16,
	OP_DERIVER = 18,
	OP_SET_OPTIONS = 19,
	OP_COLLECT_GARBAGE = 20,
	OP_SUBST_INFO = 21,
	OP_DRV_OUTPUTS = 22,
	OP_ALL_VALID = 23,
	OP_FAILED_PATHS = 24,
	OP_CLEAR_FAILED = 25,
	OP_PATH_INFO = 26,
	OP_IMPORT_PATHS = 27,
	OP_DRV_OUTPUT_NAMES = 28,
	OP_FROM_HASH_PART = 29,
	OP_SUBST_INFOS = 30,
	OP_VALID_PATHS = 31,
	OP_SUBST_PATHS = 32,
	OP_VALID_DERIVERS = 33,
	OP_OPTIMISE = 34,
	OP_VERIFY = 35,
	OP_BUILD_DERIVATION = 36,
	OP_ADD_SIGNATURES = 37,
	OP_NAR_FROM_PATH = 38,
	OP_ADD_TO_STORE_NAR = 39,
	OP_QUERY_MISSING = 40,
	OP_BUILTINS = 80,
	OP_SUBST_URLS = 81,
};

enum proto_mode { PROTO_BUILD_NORMAL, PROTO_BUILD_REPAIR, PROTO_BUILD_CHECK };

/* Status that ends an error of BuildPaths. */
#define PROTO_STATUS_FAILED  100
#define PROTO_STATUS_TIMEOUT 101
#define PROTO_STATUS_DIFFERS 104

/* Result of BuildDerivation. */
enum proto_result {
	PROTO_RESULT_BUILT = 0,
	PROTO_RESULT_VALID = 2,
	PROTO_RESULT_FAILED = 3,
	PROTO_RESULT_TIMEOUT = 8,
	PROTO_RESULT_MISC = 9,
	PROTO_RESULT_DIFFERS = 12,
};

/* Pair of SetOptions by which our client asks for "@ cairn-plan" lines. */
#define PROTO_PAIR_PLAN "cairn-plan"
/* Another, of clients that are trusted: FindRoots tells what processes use instead of the links. */
#define PROTO_PAIR_BUSY "cairn-busy"

#define PROTO_LIMIT_PATH    4096u
#define PROTO_LIMIT_STRING  (1u << 20)
#define PROTO_LIMIT_TEXT    (64u << 20)
#define PROTO_LIMIT_LIST    (1u << 20)
#define PROTO_LIMIT_REQUEST ((size_t)256 << 20) /* memory of one request */
#define PROTO_HELLO_SECONDS 5
#define PROTO_STALL_SECONDS 60 /* without a byte in the middle of a request or an answer */
