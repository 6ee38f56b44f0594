/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/log.h"

#include <errno.h>

#include "tests/unit/test.h"

static char last[4096];
static unsigned lines;

static void keep(enum log_level level, const char *line)
{
	snprintf(last, sizeof(last), "%d %s", (int)level, line);
	lines++;
}

static void begin(const char *rules)
{
	setenv("LOG", rules, 1);
	log_set_level(LOG_LVL_INFO);
	log_init("test");
	log_set_sink(keep);
	lines = 0;
}

TEST(info_is_on_debug_is_off)
{
	begin("");
	errno = EPERM;
	log_info("svc: started name=%s", "x");
	CHECK_INT(errno, EPERM);
	CHECK_STR(last, "2 svc: started name=x");
	log_debug("svc", "quiet");
	CHECK_INT(lines, 1);
}

TEST(rules_select_modules)
{
	begin("svc:debug,store:error,nonsense:loud");
	CHECK(log_enabled(LOG_LVL_DEBUG, "svc"));
	CHECK(!log_enabled(LOG_LVL_DEBUG, "other"));
	CHECK(!log_enabled(LOG_LVL_WARN, "store"));
	CHECK(log_enabled(LOG_LVL_ERROR, "store"));
	log_debug("svc", "loud");
	CHECK_STR(last, "3 loud");
	begin("debug");
	CHECK(log_enabled(LOG_LVL_DEBUG, "anything"));
}

TEST(long_lines_are_cut)
{
	begin("");
	log_error("%05000d", 1);
	CHECK_INT(lines, 1);
	CHECK_INT(strlen(last), 2 + 2047);
}

TEST_MAIN(info_is_on_debug_is_off, rules_select_modules, long_lines_are_cut)
