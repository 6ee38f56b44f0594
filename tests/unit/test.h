/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Unit tests: a file of functions, each begun by TEST(name), and one TEST_MAIN that lists them.
 * Output is TAP; a failed check prints where and what, and the test goes on.
 *
 *	TEST(adds)
 *	{
 *		CHECK_INT(1 + 1, 2);
 *	}
 *	TEST_MAIN(adds)
 */
#pragma once

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#ifdef __SANITIZE_ADDRESS__
#define SANITIZED 1 /* all takes several times as long, and more memory */
#else
#define SANITIZED 0
#endif

struct test_case {
	const char *name;
	void (*run)(void);
};

extern unsigned test_failures; /* of the case that runs */
extern const char *test_skip;  /* reason; set by TEST_SKIP */

#define TEST(id) static void test_##id(void)

#define TEST_FAIL(...)                                                                             \
	do {                                                                                       \
		test_failures++;                                                                   \
		printf("# %s:%d: ", __FILE__, __LINE__);                                           \
		printf(__VA_ARGS__);                                                               \
		putchar('\n');                                                                     \
	} while (0)

#define CHECK(cond)                                                                                \
	do {                                                                                       \
		if (!(cond))                                                                       \
			TEST_FAIL("%s is false", #cond);                                           \
	} while (0)

#define CHECK_INT(got, want)                                                                       \
	do {                                                                                       \
		intmax_t got_ = (intmax_t)(got), want_ = (intmax_t)(want);                         \
		if (got_ != want_)                                                                 \
			TEST_FAIL("%s is %" PRIdMAX ", expected %" PRIdMAX, #got, got_, want_);    \
	} while (0)

#define CHECK_STR(got, want)                                                                       \
	do {                                                                                       \
		const char *got_ = (got), *want_ = (want);                                         \
		if (!got_ || strcmp(got_, want_) != 0)                                             \
			TEST_FAIL("%s is \"%s\", expected \"%s\"", #got, got_ ? got_ : "(null)",   \
				  want_);                                                          \
	} while (0)

/* A slice against a literal string. */
#define CHECK_SLICE(got, want)                                                                     \
	do {                                                                                       \
		struct slice got_ = (got);                                                         \
		const char *want_ = (want);                                                        \
		if (!slice_is(got_, want_))                                                        \
			TEST_FAIL("%s is \"%.*s\", expected \"%s\"", #got, (int)got_.n, got_.p,    \
				  want_);                                                          \
	} while (0)

/* Leave the test as skipped, with the reason. */
#define TEST_SKIP(reason)                                                                          \
	do {                                                                                       \
		test_skip = (reason);                                                              \
		return;                                                                            \
	} while (0)

int test_run(const struct test_case *cases, size_t n, int argc, char **argv);

/* clang-format off */
#define TEST_EACH_1(x) { #x, test_##x },
#define TEST_EACH_2(x, ...) { #x, test_##x }, TEST_EACH_1(__VA_ARGS__)
#define TEST_EACH_3(x, ...) { #x, test_##x }, TEST_EACH_2(__VA_ARGS__)
#define TEST_EACH_4(x, ...) { #x, test_##x }, TEST_EACH_3(__VA_ARGS__)
#define TEST_EACH_5(x, ...) { #x, test_##x }, TEST_EACH_4(__VA_ARGS__)
#define TEST_EACH_6(x, ...) { #x, test_##x }, TEST_EACH_5(__VA_ARGS__)
#define TEST_EACH_7(x, ...) { #x, test_##x }, TEST_EACH_6(__VA_ARGS__)
#define TEST_EACH_8(x, ...) { #x, test_##x }, TEST_EACH_7(__VA_ARGS__)
#define TEST_EACH_9(x, ...) { #x, test_##x }, TEST_EACH_8(__VA_ARGS__)
#define TEST_EACH_10(x, ...) { #x, test_##x }, TEST_EACH_9(__VA_ARGS__)
#define TEST_EACH_11(x, ...) { #x, test_##x }, TEST_EACH_10(__VA_ARGS__)
#define TEST_EACH_12(x, ...) { #x, test_##x }, TEST_EACH_11(__VA_ARGS__)
#define TEST_EACH_13(x, ...) { #x, test_##x }, TEST_EACH_12(__VA_ARGS__)
#define TEST_EACH_14(x, ...) { #x, test_##x }, TEST_EACH_13(__VA_ARGS__)
#define TEST_EACH_15(x, ...) { #x, test_##x }, TEST_EACH_14(__VA_ARGS__)
#define TEST_EACH_16(x, ...) { #x, test_##x }, TEST_EACH_15(__VA_ARGS__)
#define TEST_EACH_17(x, ...) { #x, test_##x }, TEST_EACH_16(__VA_ARGS__)
#define TEST_EACH_18(x, ...) { #x, test_##x }, TEST_EACH_17(__VA_ARGS__)
#define TEST_EACH_19(x, ...) { #x, test_##x }, TEST_EACH_18(__VA_ARGS__)
#define TEST_EACH_20(x, ...) { #x, test_##x }, TEST_EACH_19(__VA_ARGS__)
#define TEST_EACH_21(x, ...) { #x, test_##x }, TEST_EACH_20(__VA_ARGS__)
#define TEST_EACH_22(x, ...) { #x, test_##x }, TEST_EACH_21(__VA_ARGS__)
#define TEST_EACH_23(x, ...) { #x, test_##x }, TEST_EACH_22(__VA_ARGS__)
#define TEST_EACH_24(x, ...) { #x, test_##x }, TEST_EACH_23(__VA_ARGS__)
#define TEST_EACH_25(x, ...) { #x, test_##x }, TEST_EACH_24(__VA_ARGS__)
#define TEST_EACH_26(x, ...) { #x, test_##x }, TEST_EACH_25(__VA_ARGS__)
#define TEST_EACH_27(x, ...) { #x, test_##x }, TEST_EACH_26(__VA_ARGS__)
#define TEST_EACH_28(x, ...) { #x, test_##x }, TEST_EACH_27(__VA_ARGS__)
#define TEST_EACH_29(x, ...) { #x, test_##x }, TEST_EACH_28(__VA_ARGS__)
#define TEST_EACH_30(x, ...) { #x, test_##x }, TEST_EACH_29(__VA_ARGS__)
#define TEST_EACH_31(x, ...) { #x, test_##x }, TEST_EACH_30(__VA_ARGS__)
#define TEST_EACH_32(x, ...) { #x, test_##x }, TEST_EACH_31(__VA_ARGS__)
#define TEST_NTH(_1, _2, _3, _4, _5, _6, _7, _8, _9, _10, _11, _12, _13, _14, _15, _16, _17, _18,  \
		 _19, _20, _21, _22, _23, _24, _25, _26, _27, _28, _29, _30, _31, _32, n, ...)     \
	TEST_EACH_##n
#define TEST_LIST(...) TEST_NTH(__VA_ARGS__, 32, 31, 30, 29, 28, 27, 26, 25, 24, 23, 22, 21, 20,   \
				19, 18, 17, 16, 15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, \
				0)(__VA_ARGS__)
/* clang-format on */

#define TEST_MAIN(...)                                                                             \
	int main(int argc, char **argv)                                                            \
	{                                                                                          \
		static const struct test_case cases[] = { TEST_LIST(__VA_ARGS__) };                \
		return test_run(cases, sizeof(cases) / sizeof(cases[0]), argc, argv);              \
	}
