/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Errors: a function returns 0 or a negative code, and fills a caller-owned object of fixed size.
 *
 * System failures are -errno; Cairn's own are -ERR_x, from 1024 up, listed once in ERR_LIST with
 * their text and the exit status a command ends with. The object is untouched on success, always
 * filled on failure, and never allocates, so it works when memory is gone.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/* name, number, text, exit status of a command that fails with it */
#define ERR_LIST(X)                                                                                \
	X(USAGE, 1024, "usage error", 2)                                                           \
	X(SYNTAX, 1025, "syntax error", 65)                                                        \
	X(INVALID, 1026, "invalid data", 65)                                                       \
	X(HASH, 1027, "hash mismatch", 65)                                                         \
	X(LIMIT, 1028, "limit exceeded", 65)                                                       \
	X(NOTVALID, 1029, "path is not valid", 66)                                                 \
	X(NOTFOUND, 1030, "not found", 66)                                                         \
	X(BUILD, 1031, "build failed", 100)                                                        \
	X(TIMEOUT, 1032, "timed out", 101)                                                         \
	X(PROTO, 1033, "protocol error", 76)                                                       \
	X(DB, 1034, "database error", 74)                                                          \
	X(IN_USE, 1035, "still in use", 69)                                                        \
	X(EVAL, 1036, "evaluation failed", 65)                                                     \
	X(FETCH, 1037, "download failed", 69)                                                      \
	X(SANDBOX, 1038, "sandbox set-up failed", 71)                                              \
	X(REMOTE, 1039, "the daemon reported an error", 1)                                         \
	X(UNSUPPORTED, 1040, "not supported", 69)                                                  \
	X(INTERNAL, 1041, "internal error", 70)                                                    \
	X(DIFFERS, 1042, "results differ", 102)                                                    \
	X(SPACE, 1043, "not enough space", 69)                                                     \
	X(PARTIAL, 1044, "done in part", 4)                                                        \
	X(REVERTED, 1045, "gone back", 5)                                                          \
	X(UNCHANGED, 1046, "nothing to do", 6)                                                     \
	X(UNHEALTHY, 1047, "did not come up", 7)

enum err_code {
#define X(name, num, text, status) ERR_##name = num,
	ERR_LIST(X)
#undef X
};

struct err {
	int code;	/* negative: -errno or -ERR_x; 0 while untouched */
	char msg[1000]; /* complete sentence parts, no trailing newline; cut with "..." when too
			   long */
};

#define ERR_INIT                                                                                   \
	{                                                                                          \
		0, ""                                                                              \
	}

/* Fill e (may be NULL) and return code. code must be negative. */
int err_set(struct err *e, int code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* err_set with -errno and ": strerror(errno)" appended. Reads errno first. */
int err_sys(struct err *e, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* As err_sys with an explicit code (-errno as returned by another function). */
int err_num(struct err *e, int code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* Prefix "fmt: " to the message already there; keeps code. Returns code. */
int err_wrap(struct err *e, int code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* Append " [hint]" to the message: what the user can do. Returns code. */
int err_hint(struct err *e, int code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* Text of a code of either kind; never NULL. */
const char *err_text(int code);
/* Exit status of a command that ends with code (negative); 0 for 0, 1 for plain errno. */
int err_status(int code);
/* Row i of the list, from 0: exit status and text; false when there are no more. */
bool err_row(size_t i, int *ret_status, const char **ret_text);
