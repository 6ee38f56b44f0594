/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/cmd.h"

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>

#include "lib/mem.h"
#include "lib/size.h"
#include "lib/text.h"

/* Codes below this carry an exit status (cmd_exit_with). */
#define EXIT_CODE_BASE 1000000
#define PROG_BYTES     256
#define LIMIT_SUBS     128
#define COLUMN_MAX     30

struct parser {
	const struct cmd *cmd;
	char *prog; /* PROG_BYTES, "cairn store query" */
	void *ctx;
	char **args; /* operands found so far */
	size_t nargs, before;
	bool help;
	struct err *e;
};

int cmd_usage(struct err *e, const char *fmt, ...)
{
	struct err text = ERR_INIT;
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text.msg, sizeof(text.msg), fmt, ap);
	va_end(ap);
	return err_set(e, -ERR_USAGE, "%s", text.msg);
}

int cmd_exit_with(int status)
{
	return status ? -(EXIT_CODE_BASE + status) : 0;
}

/* ---- Help --------------------------------------------------------------------------------------
 */

static void option_label(const struct cmd_opt *o, struct str *out)
{
	if (o->letter)
		str_addf(out, "-%c, ", o->letter);
	else
		str_add(out, "    ");
	str_addf(out, "--%s", o->name);
	if (o->arg)
		str_addf(out, o->kind == CMD_YESNO ? "[=%s]" : " %s", o->arg);
}

static void print_row(const char *label, const char *text, int width)
{
	if ((int)strlen(label) > width)
		printf("  %s\n  %*s  %s\n", label, width, "", text);
	else
		printf("  %-*s  %s\n", width, label, text);
}

static void print_options(const struct cmd *c)
{
	int width = 10;

	for (size_t i = 0; i < c->nopts; i++) {
		auto_str struct str label = STR_INIT;

		option_label(&c->opts[i], &label);
		if (label.len <= COLUMN_MAX)
			width = MAX_OF(width, (int)label.len);
	}
	printf("\nOptions:\n");
	for (size_t i = 0; i < c->nopts; i++) {
		auto_str struct str label = STR_INIT;

		option_label(&c->opts[i], &label);
		print_row(label.buf, c->opts[i].help ? c->opts[i].help : "", width);
	}
	print_row("-h, --help", "show this help", width);
}

static void print_subs(const struct cmd *c)
{
	int width = 4;

	for (size_t i = 0; c->subs[i]; i++)
		if (!c->subs[i]->hidden)
			width = MAX_OF(width, (int)strlen(c->subs[i]->name));
	printf("\nCommands:\n");
	for (size_t i = 0; c->subs[i]; i++)
		if (!c->subs[i]->hidden)
			print_row(c->subs[i]->name, c->subs[i]->summary, width);
	printf("\n\"COMMAND --help\" says more about each.\n");
}

void cmd_status_texts(int status, struct str *out)
{
	const char *text;
	int other;

	for (size_t i = 0; err_row(i, &other, &text); i++)
		if (other == status)
			str_addf(out, "%s%s", out->len ? ", " : "", text);
}

static void print_own_statuses(const struct cmd *c)
{
	printf("\nExit status:\n");
	for (size_t i = 0; i < c->statuses->nrows; i++)
		printf("  %3d  %s\n", c->statuses->rows[i].status, c->statuses->rows[i].text);
}

/* Of all commands but those that have their own. */
static void print_statuses(const struct cmd *root)
{
	printf("\nExit status:\n    0  success\n    1  any error that is not below\n");
	for (int status = 2; status < 256; status++) {
		auto_str struct str texts = STR_INIT;

		cmd_status_texts(status, &texts);
		if (texts.len)
			printf("  %3d  %s\n", status, texts.buf);
	}
	for (size_t i = 0; root->subs && root->subs[i]; i++) {
		const struct cmd *c = root->subs[i];

		if (c->statuses)
			printf("%s'%s %s' %s others: see its help.\n",
			       c->subs ? "The commands of " : "", root->name, c->name,
			       c->subs ? "have" : "has");
	}
}

static void print_examples(const char *text)
{
	printf("\nExamples:\n");
	while (*text) {
		int len = (int)strcspn(text, "\n");

		printf("  %.*s\n", len, text);
		text += len + (text[len] == '\n');
	}
}

static void print_help(const struct cmd *c, const char *prog)
{
	if (c->subs)
		printf("Usage: %s COMMAND ...\n", prog);
	else
		printf("Usage: %s%s%s%s\n", prog, c->nopts ? " [OPTION]..." : "",
		       c->synopsis ? " " : "", c->synopsis ? c->synopsis : "");
	if (c->summary)
		printf("%c%s.\n", toupper((unsigned char)c->summary[0]), c->summary + 1);
	if (c->help)
		printf("\n%s\n", c->help);
	if (c->subs)
		print_subs(c);
	else
		print_options(c);
	if (c->examples)
		print_examples(c->examples);
	if (c->statuses)
		print_own_statuses(c);
}

static void dump_cli(const struct cmd *c, const char *path)
{
	char sub[PROG_BYTES];

	printf("command\t%s\t%s\t%s\n", path, c->synopsis ? c->synopsis : "",
	       c->summary ? c->summary : "");
	for (size_t i = 0; i < c->nopts; i++) {
		const struct cmd_opt *o = &c->opts[i];
		char letter[2] = { o->letter, '\0' };

		printf("option\t%s\t%s\t%s\t%s\t%s\n", path, o->name, letter, o->arg ? o->arg : "",
		       o->help ? o->help : "");
	}
	for (size_t i = 0; c->subs && c->subs[i]; i++) {
		snprintf(sub, sizeof(sub), "%s %s", path, c->subs[i]->name);
		dump_cli(c->subs[i], sub);
	}
}

/* ---- Options -----------------------------------------------------------------------------------
 */

static const struct cmd_opt *find_long(const struct cmd *c, struct slice name)
{
	for (size_t i = 0; i < c->nopts; i++)
		if (slice_is(name, c->opts[i].name))
			return &c->opts[i];
	return NULL;
}

static const struct cmd_opt *find_letter(const struct cmd *c, char letter)
{
	for (size_t i = 0; i < c->nopts; i++)
		if (c->opts[i].letter == letter)
			return &c->opts[i];
	return NULL;
}

static bool takes_value(const struct cmd_opt *o)
{
	return o->kind != CMD_FLAG && o->kind != CMD_COUNT && o->kind != CMD_YESNO;
}

/* Store one option; value is NULL for flags and counts. */
static int apply(struct parser *p, const struct cmd_opt *o, char *value)
{
	char *place = (char *)p->ctx + o->offset;

	switch (o->kind) {
	case CMD_FLAG:
		*(bool *)place = true;
		return 0;
	case CMD_COUNT:
		++*(unsigned *)place;
		return 0;
	case CMD_STR:
		*(const char **)place = value;
		return 0;
	case CMD_U64:
		if (text_u64(slice_of(value), UINT64_MAX, (uint64_t *)place) < 0)
			return cmd_usage(p->e, "option --%s needs a number, not '%s'", o->name,
					 value);
		return 0;
	case CMD_YESNO:
		if (value && strcmp(value, "yes") != 0 && strcmp(value, "no") != 0)
			return cmd_usage(p->e, "option --%s takes yes or no, not '%s'", o->name,
					 value);
		*(enum cmd_yesno *)place = value && *value == 'n' ? CMD_NO : CMD_YES;
		return 0;
	case CMD_LIST:
		vec_add((struct vec *)place, value);
		return ((struct vec *)place)->err;
	}
	return err_set(p->e, -ERR_INTERNAL, "option --%s has no kind", o->name);
}

static int unknown_long(struct parser *p, struct slice name)
{
	const char *names[LIMIT_SUBS];
	auto_str struct str word = STR_INIT;
	const char *near;
	size_t n = 0;

	str_adds(&word, name);
	for (size_t i = 0; i < p->cmd->nopts && n < LIMIT_SUBS - 1; i++)
		names[n++] = p->cmd->opts[i].name;
	names[n++] = "help";
	near = text_nearest(word.buf, names, n);
	if (near)
		return cmd_usage(p->e, "unknown option '--%s', did you mean '--%s'?", word.buf,
				 near);
	return cmd_usage(p->e, "unknown option '--%s'", word.buf);
}

/* "--name", "--name=value" or "--name value"; *next points behind the argument. */
static int parse_long(struct parser *p, char *arg, char ***next)
{
	struct slice rest = slice_of(arg + 2), name;
	const struct cmd_opt *o;
	char *value;

	(void)slice_cut(&rest, '=', &name);
	value = (char *)rest.p;
	if (slice_is(name, "help") && !value) {
		p->help = true;
		return 0;
	}
	o = find_long(p->cmd, name);
	if (!o)
		return unknown_long(p, name);
	if (!takes_value(o) && o->kind != CMD_YESNO && value)
		return cmd_usage(p->e, "option --%s takes no value", o->name);
	if (takes_value(o) && !value) {
		value = **next;
		if (!value)
			return cmd_usage(p->e, "option --%s needs a value", o->name);
		++*next;
	}
	return apply(p, o, value);
}

/* A cluster "-abc", "-oVALUE" or "-o VALUE". */
static int parse_letters(struct parser *p, char *arg, char ***next)
{
	for (char *c = arg + 1; *c; c++) {
		const struct cmd_opt *o = find_letter(p->cmd, *c);
		char *value = NULL;
		int r;

		if (!o && *c == 'h') {
			p->help = true;
			return 0;
		}
		if (!o)
			return cmd_usage(p->e, "unknown option '-%c'", *c);
		if (takes_value(o)) {
			value = c[1] ? c + 1 : **next;
			if (!value)
				return cmd_usage(p->e, "option -%c needs a value", *c);
			if (!c[1])
				++*next;
		}
		r = apply(p, o, value);
		if (r < 0 || value)
			return r;
	}
	return 0;
}

static int parse_args(struct parser *p, char **argv)
{
	bool operands_only = false;

	while (*argv) {
		char *arg = *argv++;
		int r;

		if (operands_only || arg[0] != '-' || !arg[1] ||
		    (p->cmd->numbers && isdigit((unsigned char)arg[1]))) {
			p->args[p->nargs++] = arg;
			operands_only = operands_only || p->cmd->raw_options;
			continue;
		}
		if (strcmp(arg, "--") == 0) {
			p->before = p->nargs;
			operands_only = true;
			continue;
		}
		r = arg[1] == '-' ? parse_long(p, arg, &argv) : parse_letters(p, arg, &argv);
		if (r < 0 || p->help)
			return r;
	}
	return 0;
}

static int check_operands(struct parser *p)
{
	const struct cmd *c = p->cmd;

	if (p->nargs < c->min_args)
		return cmd_usage(p->e, "missing operand: %s", c->synopsis ? c->synopsis : "");
	if (p->nargs > c->max_args)
		return cmd_usage(p->e, "operand '%s' is one too many", p->args[c->max_args]);
	return 0;
}

/* ---- Commands ----------------------------------------------------------------------------------
 */

static int unknown_sub(const struct cmd *group, const char *word, struct err *e)
{
	const char *names[LIMIT_SUBS], *near;
	size_t n = 0;

	for (size_t i = 0; group->subs[i] && n < LIMIT_SUBS; i++)
		if (!group->subs[i]->hidden)
			names[n++] = group->subs[i]->name;
	near = text_nearest(word, names, n);
	if (near)
		return cmd_usage(e, "unknown command '%s', did you mean '%s'?", word, near);
	return cmd_usage(e, "unknown command '%s'", word);
}

static void prog_add(char prog[PROG_BYTES], const char *name)
{
	size_t n = strlen(prog);

	snprintf(prog + n, PROG_BYTES - n, " %s", name);
}

/* Walk the groups; *argv ends at the first argument of the command found. *help: only its help is
 * wanted. */
static int find_command(const struct cmd **cmd, char ***argv, char prog[PROG_BYTES], bool *help,
			struct err *e)
{
	while ((*cmd)->subs) {
		const char *word = **argv;
		size_t i = 0;

		if (!word && *help)
			return 0;
		if (!word)
			return cmd_usage(e, "a command is missing");
		if (strcmp(word, "help") == 0) { /* of what follows, as others have it */
			*help = true;
			++*argv;
			continue;
		}
		if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0) {
			*help = true;
			return 0;
		}
		if (word[0] == '-')
			return cmd_usage(e, "unknown option '%s' before a command", word);
		while ((*cmd)->subs[i] && strcmp((*cmd)->subs[i]->name, word) != 0)
			i++;
		if (!(*cmd)->subs[i])
			return unknown_sub(*cmd, word, e);
		*cmd = (*cmd)->subs[i];
		prog_add(prog, word);
		++*argv;
	}
	return 0;
}

static void free_lists(const struct cmd *c, void *ctx)
{
	for (size_t i = 0; i < c->nopts; i++)
		if (c->opts[i].kind == CMD_LIST)
			vec_done((struct vec *)((char *)ctx + c->opts[i].offset));
}

static int run_command(const struct cmd *c, char **argv, char *prog, struct err *e)
{
	struct parser p = { .cmd = c, .prog = prog, .before = SIZE_MAX, .e = e };
	struct cmd_env env;
	size_t n = 0, bytes;
	int r;

	while (argv[n])
		n++;
	p.ctx = mem_zalloc(c->context_size);
	p.args = size_mul(n + 1, sizeof(*p.args), &bytes) ? mem_zalloc(bytes) : NULL;
	if (!p.ctx || !p.args) {
		r = err_num(e, -ENOMEM, "cannot read the command line");
		goto out;
	}
	r = parse_args(&p, argv);
	if (r < 0)
		goto out;
	if (p.help) {
		print_help(c, prog);
		goto out;
	}
	r = check_operands(&p);
	if (r < 0)
		goto out;
	env = (struct cmd_env){ c, p.ctx, p.args, p.nargs, MIN_OF(p.before, p.nargs), prog };
	r = c->run(&env, e);
out:
	if (p.ctx)
		free_lists(c, p.ctx);
	free(p.args);
	free(p.ctx);
	return r;
}

/* The one place where an error is printed. Lines stay lines; other control bytes are escaped. */
static void print_error(const char *prog, const struct err *e, int r)
{
	struct slice rest = slice_of(e->code ? e->msg : err_text(r)), line;
	auto_str struct str out = STR_INIT;

	str_addf(&out, "%s: ", prog);
	while (slice_cut(&rest, '\n', &line)) {
		text_safe(&out, line);
		str_addc(&out, '\n');
	}
	fflush(stdout);
	fwrite(out.buf, 1, out.len, stderr);
}

static int status_of(const struct cmd *c, int r, const char *prog, const struct err *e)
{
	if (r <= -EXIT_CODE_BASE)
		return -r - EXIT_CODE_BASE;
	if (r < 0) {
		print_error(prog, e, r);
		if (r == -ERR_USAGE)
			fprintf(stderr, "Try '%s --help'.\n", prog);
	}
	return r < 0 && c->statuses ? c->statuses->of(r) : err_status(r);
}

int cmd_main(const struct cmd *root, int argc, char **argv, const char *version)
{
	struct err e = ERR_INIT;
	char prog[PROG_BYTES];
	const struct cmd *c = root;
	bool help = false;
	int r, status;

	snprintf(prog, sizeof(prog), "%s", root->name);
	argv += argc > 0;
	if (*argv && strcmp(*argv, "--version") == 0) {
		printf("%s %s\n", root->name, version);
		r = 0;
	} else if (*argv && strcmp(*argv, "--dump-cli") == 0) {
		dump_cli(root, root->name);
		r = 0;
	} else {
		r = find_command(&c, &argv, prog, &help, &e);
		if (r == 0 && help) {
			print_help(c, prog);
			if (c == root)
				print_statuses(root);
		} else if (r == 0)
			r = run_command(c, argv, prog, &e);
	}
	status = status_of(c, r, prog, &e);
	if (fflush(stdout) != 0 || ferror(stdout)) {
		fprintf(stderr, "%s: cannot write to standard output\n", prog);
		return status ? status : err_status(-EIO);
	}
	return status;
}
