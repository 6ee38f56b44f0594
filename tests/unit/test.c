/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tests/unit/test.h"

unsigned test_failures;
const char *test_skip;

/* Runs the cases named on the command line, or all; exit status 1 when one failed. */
int test_run(const struct test_case *cases, size_t n, int argc, char **argv)
{
	unsigned failed = 0;

	setvbuf(stdout, NULL, _IOLBF, 0); /* a crash must not swallow what was said */
	printf("1..%zu\n", n);
	for (size_t i = 0; i < n; i++) {
		bool wanted = argc < 2;

		for (int a = 1; a < argc; a++)
			wanted = wanted || strcmp(argv[a], cases[i].name) == 0;
		test_failures = 0;
		test_skip = wanted ? NULL : "not asked for";
		if (wanted)
			cases[i].run();
		printf("%s %zu - %s%s%s\n", test_failures ? "not ok" : "ok", i + 1, cases[i].name,
		       test_skip ? " # SKIP " : "", test_skip ? test_skip : "");
		failed += test_failures != 0;
	}
	return failed != 0;
}
