/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/cmd.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "lib/fd.h"
#include "tests/unit/test.h"

struct ctx {
	bool all;
	const char *name;
	uint64_t count;
	unsigned verbose;
	struct vec list;
};

static const struct cmd_opt opts[] = {
	{ "all", 'a', CMD_FLAG, offsetof(struct ctx, all), NULL, "take all" },
	{ "name", 'n', CMD_STR, offsetof(struct ctx, name), "NAME", "the name" },
	{ "count", 'c', CMD_U64, offsetof(struct ctx, count), "N", "how many" },
	{ "verbose", 'v', CMD_COUNT, offsetof(struct ctx, verbose), NULL, "say more" },
	{ "list", 'l', CMD_LIST, offsetof(struct ctx, list), "X", "one more" },
};

static char seen[512]; /* what run() was given */

static int run(struct cmd_env *env, struct err *e)
{
	const struct ctx *c = env->ctx;
	int n = snprintf(seen, sizeof(seen), "%d %s %u %u [", c->all, c->name ? c->name : "-",
			 (unsigned)c->count, c->verbose);

	for (size_t i = 0; i < c->list.n; i++)
		n += snprintf(seen + n, sizeof(seen) - (size_t)n, "%s,", (char *)c->list.v[i]);
	n += snprintf(seen + n, sizeof(seen) - (size_t)n, "]");
	for (size_t i = 0; i < env->nargs; i++)
		n += snprintf(seen + n, sizeof(seen) - (size_t)n, " %s", env->args[i]);
	CHECK(env->args[env->nargs] == NULL);
	return 0;
}

static int fails(struct cmd_env *env, struct err *e)
{
	return err_set(e, -ERR_BUILD, "it broke\x1b[2J");
}

static int exits(struct cmd_env *env, struct err *e)
{
	return cmd_exit_with(7);
}

static const struct cmd cmd_go = { .name = "go",
				   .synopsis = "FILE...",
				   .summary = "Go there",
				   .help = "More text.",
				   CMD_OPTS(opts),
				   .context_size = sizeof(struct ctx),
				   .min_args = 1,
				   .max_args = 3,
				   .run = run };
static const struct cmd cmd_raw = { .name = "raw",
				    .summary = "Raw",
				    CMD_OPTS(opts),
				    .context_size = sizeof(struct ctx),
				    .max_args = SIZE_MAX,
				    .raw_options = true,
				    .run = run };
static const struct cmd cmd_fails = { .name = "fails", .summary = "Fail", .run = fails };
static const struct cmd cmd_exits = { .name = "exits", .summary = "Exit", .run = exits };
static const struct cmd cmd_secret = {
	.name = "secret", .summary = "Secret", .hidden = true, .run = exits
};
static const struct cmd *const inner[] = { &cmd_exits, &cmd_fails, &cmd_go, &cmd_raw, NULL };
static const struct cmd cmd_inner = { .name = "inner", .summary = "Group", .subs = inner };
static const struct cmd *const outer[] = { &cmd_inner, &cmd_secret, NULL };
static const struct cmd root = { .name = "prog", .summary = "Test", .subs = outer };

static struct str out, err; /* of the last call */

static int capture_begin(int fd, FILE *f)
{
	int saved = dup(fd);

	dup2(fileno(f), fd);
	return saved;
}

static void capture_end(int fd, int saved, FILE *f, struct str *ret)
{
	dup2(saved, fd);
	close(saved);
	str_cut(ret, 0);
	lseek(fileno(f), 0, SEEK_SET);
	CHECK_INT(fd_read_all(fileno(f), ret, 100000), 0);
	fclose(f);
}

/* Run "prog LINE", words split at blanks. */
static int prog(const char *line)
{
	char copy[256], *argv[32] = { (char *)"prog" };
	FILE *fout = tmpfile(), *ferr = tmpfile();
	int argc = 1, saved_out, saved_err, status;

	snprintf(copy, sizeof(copy), "%s", line);
	for (char *p = copy, *word; (word = strsep(&p, " "));)
		if (*word)
			argv[argc++] = word;
	seen[0] = '\0';
	fflush(stdout);
	saved_out = capture_begin(1, fout);
	saved_err = capture_begin(2, ferr);
	status = cmd_main(&root, argc, argv, "1.2");
	fflush(stdout);
	capture_end(1, saved_out, fout, &out);
	capture_end(2, saved_err, ferr, &err);
	return status;
}

TEST(options_and_operands)
{
	static const char *const rows[][2] = {
		{ "inner go x", "0 - 0 0 [] x" },
		{ "inner go -a x --name=n y", "1 n 0 0 [] x y" },
		{ "inner go --name n -c 5 x", "0 n 5 0 [] x" },
		{ "inner go -avvn name x", "1 name 0 2 [] x" },
		{ "inner go -nname x", "0 name 0 0 [] x" },
		{ "inner go -l1 --list 2 x --list=3", "0 - 0 0 [1,2,3,] x" },
		{ "inner go -- -a --name", "0 - 0 0 [] -a --name" },
		{ "inner go - x", "0 - 0 0 [] - x" },
		{ "inner go --name= x", "0  0 0 [] x" },
		{ "inner raw -a cmd -v --name", "1 - 0 0 [] cmd -v --name" },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		CHECK_INT(prog(rows[i][0]), 0);
		CHECK_STR(seen, rows[i][1]);
		CHECK_STR(err.buf, "");
	}
}

TEST(usage_errors)
{
	static const char *const rows[][2] = {
		{ "", "prog: a command is missing\nTry 'prog --help'.\n" },
		{ "iner", "prog: unknown command 'iner', did you mean 'inner'?\n"
			  "Try 'prog --help'.\n" },
		{ "secert", "prog: unknown command 'secert'\nTry 'prog --help'.\n" },
		{ "-x inner", "prog: unknown option '-x' before a command\nTry 'prog --help'.\n" },
		{ "inner go", "prog inner go: missing operand: FILE...\n"
			      "Try 'prog inner go --help'.\n" },
		{ "inner go 1 2 3 4", "prog inner go: operand '4' is one too many\n"
				      "Try 'prog inner go --help'.\n" },
		{ "inner go --nmae x", "prog inner go: unknown option '--nmae', did you mean "
				       "'--name'?\nTry 'prog inner go --help'.\n" },
		{ "inner go -x", "prog inner go: unknown option '-x'\n"
				 "Try 'prog inner go --help'.\n" },
		{ "inner go x --name", "prog inner go: option --name needs a value\n"
				       "Try 'prog inner go --help'.\n" },
		{ "inner go -n", "prog inner go: option -n needs a value\n"
				 "Try 'prog inner go --help'.\n" },
		{ "inner go --all=x", "prog inner go: option --all takes no value\n"
				      "Try 'prog inner go --help'.\n" },
		{ "inner go -c 5x", "prog inner go: option --count needs a number, not '5x'\n"
				    "Try 'prog inner go --help'.\n" },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		CHECK_INT(prog(rows[i][0]), 2);
		CHECK_STR(err.buf, rows[i][1]);
		CHECK_STR(out.buf, "");
		CHECK_STR(seen, "");
	}
}

TEST(errors_and_statuses)
{
	CHECK_INT(prog("inner fails"), 100);
	CHECK_STR(err.buf, "prog inner fails: it broke\\x1b[2J\n");
	CHECK_INT(prog("inner exits"), 7);
	CHECK_STR(err.buf, "");
	CHECK_INT(prog("secret"), 7);
}

TEST(help)
{
	CHECK_INT(prog("inner go --help"), 0);
	CHECK(strstr(out.buf, "Usage: prog inner go [OPTION]... FILE...\n") == out.buf);
	CHECK(strstr(out.buf, "More text.") != NULL);
	CHECK(strstr(out.buf, "  -n, --name NAME") != NULL);
	CHECK_INT(prog("inner go -h"), 0);
	CHECK_INT(prog("inner --help"), 0);
	CHECK(strstr(out.buf, "Go there") != NULL);
	CHECK_INT(prog("--help"), 0);
	CHECK(strstr(out.buf, "inner") != NULL);
	CHECK(strstr(out.buf, "secret") == NULL);
	CHECK_INT(prog("--version"), 0);
	CHECK_STR(out.buf, "prog 1.2\n");
}

TEST(dump_lists_everything)
{
	CHECK_INT(prog("--dump-cli"), 0);
	CHECK(strstr(out.buf, "command\tprog inner go\tFILE...\tGo there\n") != NULL);
	CHECK(strstr(out.buf, "option\tprog inner go\tname\tn\tNAME\tthe name\n") != NULL);
	CHECK(strstr(out.buf, "command\tprog secret\t") != NULL);
}

TEST(a_full_disk_is_noticed)
{
	char name[] = "prog", help[] = "--help", *argv[] = { name, help, NULL };
	int full = open("/dev/full", O_WRONLY | O_CLOEXEC), saved, status;

	if (full < 0)
		TEST_SKIP("no /dev/full");
	fflush(stdout);
	saved = dup(1);
	dup2(full, 1);
	status = cmd_main(&root, 2, argv, "1");
	clearerr(stdout);
	dup2(saved, 1);
	close(saved);
	close(full);
	CHECK_INT(status, 1);
	str_done(&out);
	str_done(&err);
}

int main(int argc, char **argv)
{
	static const struct test_case cases[] = { TEST_LIST(
		options_and_operands, usage_errors, errors_and_statuses, help,
		dump_lists_everything, a_full_disk_is_noticed) };

	out = err = (struct str)STR_INIT;
	return test_run(cases, sizeof(cases) / sizeof(cases[0]), argc, argv);
}
