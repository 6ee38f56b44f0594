/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/err.h"

#include <errno.h>

#include "lib/size.h"
#include "tests/unit/test.h"

static const struct {
	int num, status;
	const char *name, *text;
} codes[] = {
#define X(name, num, text, status) { num, status, #name, text },
	ERR_LIST(X)
#undef X
};

TEST(every_code_has_text_and_status)
{
	for (size_t i = 0; i < ARRAY_LEN(codes); i++) {
		CHECK(codes[i].num >= 1024);
		CHECK(codes[i].text[0] != '\0');
		CHECK(codes[i].status > 0 && codes[i].status < 126);
		CHECK_STR(err_text(-codes[i].num), codes[i].text);
		CHECK_INT(err_status(-codes[i].num), codes[i].status);
		for (size_t j = 0; j < i; j++)
			CHECK(codes[i].num != codes[j].num);
	}
}

TEST(system_codes)
{
	CHECK_STR(err_text(-ENOENT), "No such file or directory");
	CHECK_INT(err_status(-ENOENT), 1);
	CHECK_INT(err_status(0), 0);
	CHECK(err_text(-99999) != NULL);
}

TEST(set_fills_and_returns)
{
	struct err e = ERR_INIT;

	CHECK_INT(err_set(&e, -ERR_HASH, "%s: bad", "x"), -ERR_HASH);
	CHECK_INT(e.code, -ERR_HASH);
	CHECK_STR(e.msg, "x: bad");
	CHECK_INT(err_set(NULL, -ERR_HASH, "ignored"), -ERR_HASH);
}

TEST(sys_reads_errno)
{
	struct err e = ERR_INIT;

	errno = EACCES;
	CHECK_INT(err_sys(&e, "cannot open %s", "f"), -EACCES);
	CHECK_STR(e.msg, "cannot open f: Permission denied");
	CHECK_INT(errno, EACCES);
	errno = 0;
	CHECK(err_sys(&e, "no reason") < 0);
	CHECK_INT(err_num(&e, -ERR_TIMEOUT, "fetch"), -ERR_TIMEOUT);
	CHECK_STR(e.msg, "fetch: timed out");
}

TEST(wrap_prefixes)
{
	struct err e = ERR_INIT;

	err_set(&e, -ERR_DB, "inner");
	CHECK_INT(err_wrap(&e, -ERR_DB, "outer %d", 1), -ERR_DB);
	CHECK_STR(e.msg, "outer 1: inner");
	CHECK_INT(e.code, -ERR_DB);
	e = (struct err)ERR_INIT;
	err_wrap(&e, -ENOENT, "nothing inside");
	CHECK_STR(e.msg, "nothing inside: No such file or directory");
}

TEST(hint_follows)
{
	struct err e = ERR_INIT;

	err_set(&e, -ERR_SANDBOX, "no namespaces");
	err_hint(&e, -ERR_SANDBOX, "set %s", "the sysctl");
	CHECK_STR(e.msg, "no namespaces [set the sysctl]");
}

TEST(long_messages_are_cut_visibly)
{
	struct err e = ERR_INIT;

	err_set(&e, -ERR_EVAL, "%02000d", 1);
	CHECK_INT(strlen(e.msg), sizeof(e.msg) - 1);
	CHECK_STR(e.msg + sizeof(e.msg) - 4, "...");
	err_wrap(&e, -ERR_EVAL, "outer");
	CHECK(strncmp(e.msg, "outer: 000", 10) == 0);
	CHECK_STR(e.msg + sizeof(e.msg) - 4, "...");
	err_hint(&e, -ERR_EVAL, "more");
	CHECK_STR(e.msg + sizeof(e.msg) - 4, "...");
}

TEST_MAIN(every_code_has_text_and_status, system_codes, set_fills_and_returns, sys_reads_errno,
	  wrap_prefixes, hint_follows, long_messages_are_cut_visibly)
