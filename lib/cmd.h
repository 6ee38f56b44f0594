/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Commands: one descriptor holds name, texts, options and code of a command or of a group of them.
 * Help, option parsing, usage errors and exit statuses are uniform because they come from the
 * table.
 *
 * Exit status: 0 success; 2 usage; otherwise err_status() of the error the command returned. A
 * family of commands may have statuses of its own.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/err.h"
#include "lib/str.h"
#include "lib/vec.h"

enum cmd_kind {
	CMD_FLAG,  /* bool: set to true */
	CMD_STR,   /* const char * (borrowed from argv) */
	CMD_U64,   /* uint64_t */
	CMD_COUNT, /* unsigned: incremented */
	CMD_LIST,  /* struct vec of char *, in order */
	CMD_YESNO, /* enum cmd_yesno: --name, --name=yes, --name=no */
};

enum cmd_yesno { CMD_UNSET, CMD_YES, CMD_NO };

struct cmd_opt {
	const char *name; /* long name without dashes */
	char letter;	  /* 0: none */
	enum cmd_kind kind;
	size_t offset;	 /* in the command's context struct */
	const char *arg; /* name of the argument in help; NULL for flags and counts */
	const char *help;
};

struct cmd_env {
	const struct cmd *cmd;
	void *ctx;   /* context_size zeroed bytes, filled by options; vecs freed afterwards */
	char **args; /* operands, NULL-terminated */
	size_t nargs;
	size_t before;	  /* how many of them stand before "--"; nargs when there is none */
	const char *prog; /* "cairn store query" */
};

/* Exit statuses of commands that have their own. */
struct cmd_statuses {
	int (*of)(int code); /* of an error; from 1 */
	const struct cmd_status {
		int status;
		const char *text; /* for help */
	} * rows;
	size_t nrows;
};

struct cmd {
	const char *name;
	const char *synopsis; /* operands: "PATH...", NULL for none */
	const char *summary;  /* one line, small letter first, no full stop */
	const char *help;     /* further paragraphs, or NULL */
	const char *examples; /* command lines, each perhaps with blanks and what it does behind; or
				 NULL */
	const struct cmd_opt *opts;
	size_t nopts;
	size_t context_size;
	size_t min_args, max_args;     /* max SIZE_MAX: any number */
	const struct cmd *const *subs; /* NULL-terminated and sorted: a group; run is NULL */
	int (*run)(struct cmd_env *env, struct err *e); /* 0 or negative code with e filled */
	/* What an operand may be, for completion: adds lines. It says nothing when it fails. NULL:
	 * whatever the shell offers, files. */
	void (*operands)(struct str *out);
	const struct cmd_statuses *statuses; /* NULL: err_status(). Of a group: shown in its help,
					      * and its commands name them themselves */
	bool hidden;			     /* not listed in help */
	bool numbers;			     /* "-1" is an operand, no option */
	bool raw_options;		     /* stop option parsing at the first operand */
};

#define CMD_OPTS(array) .opts = (array), .nopts = sizeof(array) / sizeof((array)[0])

/* Parse argv below root, run the command, print its error as "prog: message"; returns the exit
 * status. "--help" anywhere prints the help of the command reached, on standard output; --version
 * and
 * --dump-cli (the whole table, machine-readable) work at the root. */
int cmd_main(const struct cmd *root, int argc, char **argv, const char *version);
/* Error for wrong operands: code -ERR_USAGE; cmd_main appends "try 'PROG --help'". */
int cmd_usage(struct err *e, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Adds what errors with this exit status are about, in a list; nothing when there are none. */
void cmd_status_texts(int status, struct str *out);
/* A command that ends with a status of its own, its message already printed (exec, service
 * status…). */
int cmd_exit_with(int status);
