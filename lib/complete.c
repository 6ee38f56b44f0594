/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/complete.h"

#include "lib/size.h"

static void add(struct str *out, const char *word, const char *dashes, const char *name)
{
	size_t n = strlen(word), d = strlen(dashes);

	if (strncmp(word, dashes, MIN_OF(n, d)) == 0 &&
	    (n <= d || strncmp(word + d, name, n - d) == 0))
		str_addf(out, "%s%s\n", dashes, name);
}

static void add_options(struct str *out, const struct cmd *c, const char *word)
{
	for (size_t i = 0; i < c->nopts; i++)
		add(out, word, "--", c->opts[i].name);
	add(out, word, "--", "help");
}

static void add_operands(struct str *out, const struct cmd *c, const char *word)
{
	auto_str struct str names = STR_INIT;
	struct slice line;

	c->operands(&names);
	struct slice rest = str_slice(&names);
	while (slice_cut(&rest, '\n', &line))
		if (line.n && slice_starts(line, word)) {
			str_adds(out, line);
			str_addc(out, '\n');
		}
}

/* Does the word before take the next one as its value? */
static bool takes_next(const struct cmd *c, const char *word)
{
	for (size_t i = 0; i < c->nopts; i++) {
		const struct cmd_opt *o = &c->opts[i];
		bool value = o->kind == CMD_STR || o->kind == CMD_U64 || o->kind == CMD_LIST;
		if (value && word[0] == '-' && word[1] == '-' && strcmp(word + 2, o->name) == 0)
			return true;
		if (value && word[0] == '-' && word[1] == o->letter && o->letter && !word[2])
			return true;
	}
	return false;
}

static const struct cmd *find_sub(const struct cmd *c, const char *name)
{
	for (size_t i = 0; c->subs[i]; i++)
		if (strcmp(c->subs[i]->name, name) == 0)
			return c->subs[i];
	return NULL;
}

void complete_words(const struct cmd *root, char *const *words, size_t n, struct str *out)
{
	const struct cmd *c = root;
	const char *word = n ? words[n - 1] : "", *before = n > 1 ? words[n - 2] : "";
	size_t i = 0;

	for (; c && c->subs && i + 1 < n; i++)
		c = find_sub(c, words[i]);
	if (!c)
		return;
	for (size_t k = 0; c->subs && c->subs[k]; k++)
		if (!c->subs[k]->hidden)
			add(out, word, "", c->subs[k]->name);
	if (c->subs && word[0] == '-')
		add(out, word, "--", "help");
	if (c->subs || (i + 1 < n && takes_next(c, before)))
		return;
	if (word[0] == '-')
		add_options(out, c, word);
	else if (c->operands)
		add_operands(out, c, word);
}

static const struct {
	const char *shell, *script;
} scripts[] = {
	{ "bash",
	  "_cairn() {\n"
	  "\tlocal IFS=$'\\n'\n"
	  "\tCOMPREPLY=($(\"$1\" complete -- \"${COMP_WORDS[@]:1:COMP_CWORD}\" 2>/dev/null))\n"
	  "}\n"
	  "complete -o default -F _cairn cairn\n" },
	{ "fish", "complete -c cairn -f -a '(cairn complete -- (commandline -opc)[2..] "
		  "(commandline -ct) 2>/dev/null)'\n" },
	{ "zsh", "#compdef cairn\n"
		 "_cairn() {\n"
		 "\tlocal -a found\n"
		 "\tfound=(${(f)\"$(cairn complete -- ${words[2,CURRENT]} 2>/dev/null)\"})\n"
		 "\tif (( $#found )); then compadd -a found; else _files; fi\n"
		 "}\n"
		 "compdef _cairn cairn\n" },
};

const char *complete_script(const char *shell)
{
	for (size_t i = 0; i < ARRAY_LEN(scripts); i++)
		if (strcmp(scripts[i].shell, shell) == 0)
			return scripts[i].script;
	return NULL;
}
