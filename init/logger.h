/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Logs. PID 1 makes one pipe for each service and holds both ends, so neither the death of a
 * service nor that of the logger loses a line; a logger that is dead or slow blocks only the writer
 * of a full pipe. The logger (this binary with --logger) reads, stamps, writes and rotates; PID 1
 * never writes to a disk.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* The logger process: serves the socket on descriptor 3 until it is closed, then drains. */
int logger_main(void);

/* One stream, as told to the logger. */
struct log_stream {
	const char *name, *directory;
	uint64_t size, keep;
};

/* Have path written with a time in seconds, in one step; missing directories are made. As below. */
int logger_stamp(int sock, const char *path, uint64_t seconds);
/* Send a stream and the read end of its pipe over sock. 0 or -errno (-EAGAIN: later). */
int logger_send(int sock, const struct log_stream *s, int read_end);
