/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The files of the logger, and its journal: what was taken from a source and is not in a file yet.
 * The journal lies in memory that PID 1 keeps, so a logger that is killed at any instant is
 * followed by one that goes on where it was: what goes into a file is a function of the journal
 * alone, and the file's length tells how much of that is there already.
 *
 *   DIR/NAME.log      of this boot; NAME.log.1, NAME.log.2 …: older, the highest number is the
 * newest. A file with a number is not changed or renamed any more, so whoever likes may compress it
 * (NAME.log.N.gz); the logger deletes it all the same DIR/boot          the boot that the files are
 * of DIR/boots/N/      those of the boots before, the highest number is the latest
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "init/limits.h"

/* Once is smaller than in each place. */
#define SMALL __attribute__((noinline))

#define LOG_CHUNK 8192 /* bytes taken at a time */
#define LOG_RAW	  8192 /* of one message of the kernel or of a program */

/* Size of a file (0: no bound), number of older ones, bytes a second (0: no bound). */
struct log_limits {
	uint64_t size, keep, rate;
};

struct log_conf {
	struct log_limits limits;
	char name[LIMIT_SVC_NAME + 1];
};

enum log_phase {
	LOG_IDLE,
	LOG_TAKING,    /* what is in the queue is of conf */
	LOG_READING,   /* n bytes go from the queue into data */
	LOG_RECEIVING, /* raw has a message once its first byte is not 0 */
	LOG_HELD,      /* data from `from` to n is to be written */
	LOG_WRITING,   /* data from `from` to `to` is being written behind offset */
};

/* Zeros at first. */
struct log_journal {
	uint32_t phase, n, from, to;
	struct log_conf conf; /* whose data it is */
	uint64_t when;	      /* wall clock, ms */
	uint64_t offset, lost;
	bool in_line, slow; /* at `from` */
	uint64_t kernel_next,
		kernel_after; /* numbers of kernel messages: to read, once it is written */
	uint64_t boots;	      /* kept */
	char directory[LIMIT_PATH + 1];
	char data[LOG_CHUNK], raw[LOG_RAW];
};
extern struct log_journal *journal;

/* A phase begins when all is there that belongs to it. */
void journal_phase(enum log_phase phase);

struct log_file {
	struct log_conf conf;
	int fd;			/* owned; -1: not open */
	uint64_t length, since; /* of the file; when it first could not be opened */
	uint64_t lost;		/* bytes that are to be told of */
	bool in_line;		/* it does not end in a newline */
	bool slow;		/* its writer was too fast: to be told */
};

/* Another directory: it is looked at with the next file. */
void log_directory(const char *path, size_t n, uint64_t boots);
bool log_open(struct log_file *f);
/* Write what the journal holds, or the rest of it; then it is idle. What cannot be written is
 * counted. */
void log_write(struct log_file *f);
/* The source is gone: end the line, close. */
void log_close(struct log_file *f);
