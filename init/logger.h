/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Logs. PID 1 makes one pipe for each service and holds both ends, so neither the death of a
 * service nor that of the logger loses a line; a logger that is dead or slow blocks only the writer
 * of a full pipe. The logger (this binary with --logger) reads, stamps, writes and rotates; PID 1
 * never writes to a disk. It also reads what the kernel says and, from the socket /dev/log, what
 * programs say to the system log.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "init/logfile.h"

/* What the logger begins with. The queue is a pipe: what is taken from a service's pipe is in there
 * until it is in the journal, so at every instant it is somewhere. */
enum logger_fd {
	LOGGER_CONTROL = 3,
	LOGGER_JOURNAL, /* memory of LOGGER_JOURNAL_SIZE */
	LOGGER_QUEUE,
	LOGGER_QUEUE_END,
	LOGGER_SYSLOG, /* /dev/log */
	LOGGER_FDS
};
#define LOGGER_JOURNAL_SIZE sizeof(struct log_journal)

/* The names of what is no service's. The first of them has the settings of the others. */
#define LOG_INIT   "init"
#define LOG_KERNEL "kernel"
#define LOG_SYSLOG "syslog"

/* The logger process: serves its control socket until it is closed, then drains. */
int logger_main(void);

/* One stream, as told to the logger. */
struct log_stream {
	const char *name, *directory;
	uint64_t size, keep, rate, boots;
};

/* Have path written with a time in seconds, in one step; missing directories are made. As below. */
int logger_stamp(int sock, const char *path, uint64_t seconds);
/* Send a stream and the read end of its pipe over sock. 0 or -errno (-EAGAIN: later). */
int logger_send(int sock, const struct log_stream *s, int read_end);
