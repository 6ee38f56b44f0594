/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdint.h>
#include <unistd.h>

#include "lib/slice.h"

#define LINE_BYTES    2048
#define LIMIT_MODULES 16

static const char *const level_names[LOG_LVL_MAX] = { "error", "warn", "info", "debug" };

static struct {
	struct slice module; /* borrowed from the environment */
	enum log_level level;
} rules[LIMIT_MODULES];

static struct {
	const char *program; /* borrowed */
	log_sink *sink;
	enum log_level level; /* of modules without a rule */
	unsigned nrules;
} state = { .program = "cairn", .level = LOG_LVL_INFO };

static void to_stderr(enum log_level level, const char *line)
{
	char out[LINE_BYTES + 64];
	int n = snprintf(out, sizeof(out), "%s: %s\n", state.program, line);

	if (n > 0)
		(void)!write(STDERR_FILENO, out, (size_t)n); /* nowhere to report it */
}

static bool level_parse(struct slice name, enum log_level *ret)
{
	for (unsigned i = 0; i < LOG_LVL_MAX; i++) {
		if (!slice_is(name, level_names[i]))
			continue;
		*ret = (enum log_level)i;
		return true;
	}
	return false;
}

/* "level" or "module:level"; what cannot be understood is left out, logging must not fail. */
static void add_rule(struct slice rule)
{
	struct slice rest = rule, module, level;
	enum log_level parsed;

	if (!slice_cut(&rest, ':', &module))
		return;
	if (!slice_cut(&rest, ':', &level)) {
		if (level_parse(module, &parsed))
			state.level = parsed;
		return;
	}
	if (!level_parse(level, &parsed) || state.nrules == LIMIT_MODULES)
		return;
	rules[state.nrules].module = module;
	rules[state.nrules++].level = parsed;
}

void log_init(const char *program)
{
	struct slice rest = slice_of(getenv("LOG")), rule;

	state.program = program;
	state.nrules = 0;
	while (slice_cut(&rest, ',', &rule))
		add_rule(rule);
}

void log_set_sink(log_sink *sink)
{
	state.sink = sink;
}

void log_set_level(enum log_level level)
{
	state.level = level;
}

bool log_enabled(enum log_level level, const char *module)
{
	for (unsigned i = 0; i < state.nrules; i++)
		if (slice_is(rules[i].module, module))
			return level <= rules[i].level;
	return level <= state.level;
}

void log_line(enum log_level level, const char *module, const char *fmt, ...)
{
	char line[LINE_BYTES];
	int saved = errno;
	va_list ap;

	if (!log_enabled(level, module))
		return;
	va_start(ap, fmt);
	vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	(state.sink ? state.sink : to_stderr)(level, line);
	errno = saved;
}
