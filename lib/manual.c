/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/manual.h"

#include <ctype.h>

/* A backslash begins an escape, and a dash alone would become a hyphen. */
static void add_char(struct str *out, char c)
{
	if (c == '\\')
		str_add(out, "\\e");
	else if (c == '-')
		str_add(out, "\\-");
	else
		str_addc(out, c);
}

/* Text of which no line is a request. */
static void add_text(struct str *out, const char *text)
{
	bool begins = true;

	for (; *text; text++) {
		if (begins && (*text == '.' || *text == '\''))
			str_add(out, "\\&");
		add_char(out, *text);
		begins = *text == '\n';
	}
}

/* A word of a request's line. */
static void add_quoted(struct str *out, const char *text)
{
	str_addc(out, '"');
	for (; *text; text++) {
		if (*text == '"')
			str_add(out, "\\(dq");
		else
			add_char(out, *text);
	}
	str_addc(out, '"');
}

static void add_summary(struct str *out, const struct cmd *c)
{
	char first[2] = { (char)toupper((unsigned char)c->summary[0]), '\0' };

	add_text(out, first);
	add_text(out, c->summary + 1);
	str_add(out, ".\n");
}

/* Lines of help and examples stand as they were written: some are tables. */
static void add_lines(struct str *out, const char *text)
{
	str_add(out, ".nf\n");
	for (const char *at = text; *at; at++) {
		/* An empty line ends a paragraph, which here it is not. */
		if (at[0] == '\n' && at[1] == '\n') {
			str_add(out, "\n.PP\n");
			at++;
		} else if ((at == text || at[-1] == '\n') && (*at == '.' || *at == '\'')) {
			str_add(out, "\\&");
			add_char(out, *at);
		} else {
			add_char(out, *at);
		}
	}
	str_add(out, "\n.fi\n");
}

static void add_help(struct str *out, const struct cmd *c)
{
	if (!c->help)
		return;
	str_add(out, ".PP\n");
	add_lines(out, c->help);
}

static void add_option(struct str *out, const struct cmd_opt *o)
{
	str_add(out, ".TP\n\\fB");
	if (o->letter)
		str_addf(out, "\\-%c\\fR, \\fB", o->letter);
	str_add(out, "\\-\\-");
	add_text(out, o->name);
	str_add(out, "\\fR");
	if (o->arg) {
		str_add(out, o->kind == CMD_YESNO ? "[=\\fI" : " \\fI");
		add_text(out, o->arg);
		str_add(out, o->kind == CMD_YESNO ? "\\fR]" : "\\fR");
	}
	str_addc(out, '\n');
	add_text(out, o->help ? o->help : "");
	str_addc(out, '\n');
}

static void add_options(struct str *out, const struct cmd *c)
{
	for (size_t i = 0; i < c->nopts; i++)
		add_option(out, &c->opts[i]);
}

static void add_usage(struct str *out, const struct cmd *c, const char *prog)
{
	str_add(out, "\\fB");
	add_text(out, prog);
	str_add(out, "\\fR");
	if (c->subs)
		str_add(out, " \\fICOMMAND\\fR ...");
	if (c->nopts)
		str_add(out, " [\\fIOPTION\\fR]...");
	if (c->synopsis) {
		str_add(out, " \\fI");
		add_text(out, c->synopsis);
		str_add(out, "\\fR");
	}
	str_addc(out, '\n');
}

static void add_command(struct str *out, const struct cmd *c, const char *path)
{
	auto_str struct str prog = STR_INIT;

	str_addf(&prog, "%s %s", path, c->name);
	str_add(out, ".SS ");
	add_quoted(out, prog.buf);
	str_addc(out, '\n');
	add_usage(out, c, prog.buf);
	str_add(out, ".PP\n");
	add_summary(out, c);
	add_help(out, c);
	add_options(out, c);
	if (c->examples) {
		str_add(out, ".PP\nExamples:\n.PP\n");
		add_lines(out, c->examples);
	}
	for (size_t i = 0; c->subs && c->subs[i]; i++)
		if (!c->subs[i]->hidden)
			add_command(out, c->subs[i], prog.buf);
}

static void add_list(struct str *out, const struct cmd *root)
{
	str_add(out, ".SH COMMANDS\n");
	for (size_t i = 0; root->subs[i]; i++) {
		if (root->subs[i]->hidden)
			continue;
		str_add(out, ".TP\n.BR ");
		add_text(out, root->name);
		str_add(out, "\\-");
		add_text(out, root->subs[i]->name);
		str_add(out, " (1)\n");
		add_summary(out, root->subs[i]);
	}
}

static void add_status(struct str *out, int status, const char *text)
{
	str_addf(out, ".TP\n%d\n", status);
	add_text(out, text);
	str_addc(out, '\n');
}

static void add_statuses(struct str *out, const struct cmd *root, const struct cmd *cmd)
{
	str_add(out, ".SH EXIT STATUS\n");
	for (size_t i = 0; cmd->statuses && i < cmd->statuses->nrows; i++)
		add_status(out, cmd->statuses->rows[i].status, cmd->statuses->rows[i].text);
	if (cmd->statuses)
		return;
	if (cmd != root) {
		str_addf(out, "See\n.BR %s (1).\n", root->name);
		return;
	}
	add_status(out, 0, "success");
	add_status(out, 1, "any error that is not below");
	for (int status = 2; status < 256; status++) {
		auto_str struct str texts = STR_INIT;

		cmd_status_texts(status, &texts);
		if (texts.len)
			add_status(out, status, texts.buf);
	}
}

void manual_page(const struct cmd *root, const struct cmd *cmd, const char *version,
		 struct str *out)
{
	auto_str struct str name = STR_INIT, prog = STR_INIT;

	str_addf(&name, cmd == root ? "%s" : "%s-%s", root->name, cmd->name);
	str_addf(&prog, cmd == root ? "%s" : "%s %s", root->name, cmd->name);
	str_add(out, ".TH ");
	add_quoted(out, name.buf);
	str_addf(out, " 1 \"\" \"%s %s\"\n.SH NAME\n", root->name, version);
	add_text(out, name.buf);
	str_add(out, " \\- ");
	add_text(out, cmd->summary);
	str_add(out, "\n.SH SYNOPSIS\n");
	add_usage(out, cmd, prog.buf);
	str_add(out, ".SH DESCRIPTION\n");
	add_summary(out, cmd);
	add_help(out, cmd);
	if (cmd == root) {
		add_list(out, root);
		add_statuses(out, root, cmd);
		return;
	}
	if (cmd->nopts)
		str_add(out, ".SH OPTIONS\n");
	add_options(out, cmd);
	if (cmd->examples) {
		str_add(out, ".SH EXAMPLES\n");
		add_lines(out, cmd->examples);
	}
	if (cmd->subs)
		str_add(out, ".SH COMMANDS\n");
	for (size_t i = 0; cmd->subs && cmd->subs[i]; i++)
		if (!cmd->subs[i]->hidden)
			add_command(out, cmd->subs[i], prog.buf);
	add_statuses(out, root, cmd);
}
