/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Diagnostics. Commands and PID 1 log; other code only log_debug. One line, stable text first, then
 * key=value. LOG=module:level (comma list) in the environment selects: error warn info debug.
 */
#pragma once

#include <stdbool.h>

enum log_level { LOG_LVL_ERROR, LOG_LVL_WARN, LOG_LVL_INFO, LOG_LVL_DEBUG, LOG_LVL_MAX };

/* Where lines go: called with one complete line without newline. Default: "cairn: line\n" on
 * standard error in one write. */
typedef void log_sink(enum log_level level, const char *line);

void log_init(const char *program); /* reads LOG; borrows program */
void log_set_sink(log_sink *sink);
void log_set_level(enum log_level level);
bool log_enabled(enum log_level level, const char *module);
void log_line(enum log_level level, const char *module, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

#define log_error(...) log_line(LOG_LVL_ERROR, "", __VA_ARGS__)
#define log_warn(...)  log_line(LOG_LVL_WARN, "", __VA_ARGS__)
#define log_info(...)  log_line(LOG_LVL_INFO, "", __VA_ARGS__)
#define log_debug(module, ...)                                                                     \
	do {                                                                                       \
		if (log_enabled(LOG_LVL_DEBUG, module))                                            \
			log_line(LOG_LVL_DEBUG, module, __VA_ARGS__);                              \
	} while (0)
