/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/conf.h"

#include <errno.h>
#include <stdarg.h>
#include <stdint.h>

#include "lib/str.h"
#include "lib/text.h"
#include "lib/vec.h"

#define LIMIT_CONF_KEYS 256

int conf_error(struct conf_ctx *c, const char *fmt, ...)
{
	struct err text = ERR_INIT;
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text.msg, sizeof(text.msg), fmt, ap);
	va_end(ap);
	return err_set(c->err, -ERR_SYNTAX, "%s:%u: %s", c->file, c->line, text.msg);
}

int conf_no_memory(struct conf_ctx *c)
{
	int r = arena_err(c->arena);

	return err_num(c->err, r ? r : -ENOMEM, "%s:%u", c->file, c->line);
}

/* ---- Values ------------------------------------------------------------------------------------
 */

static int bad_value(struct conf_ctx *c, struct slice v, const char *want)
{
	auto_str struct str shown = STR_INIT;

	text_safe(&shown, (struct slice){ v.p, v.n > 64 ? 64 : v.n });
	return conf_error(c, "%s must be %s, not '%s'", c->key, want, shown.buf);
}

int conf_parse_str(struct conf_ctx *c, struct slice v, void *place)
{
	char *copy = arena_slice(c->arena, v);

	if (v.n && memchr(v.p, '\0', v.n))
		return bad_value(c, v, "text without NUL bytes");
	if (!copy)
		return conf_no_memory(c);
	*(const char **)place = copy;
	return 0;
}

int conf_parse_bool(struct conf_ctx *c, struct slice v, void *place)
{
	if (!slice_is(v, "yes") && !slice_is(v, "no"))
		return bad_value(c, v, "yes or no");
	*(bool *)place = slice_is(v, "yes");
	return 0;
}

int conf_parse_u64(struct conf_ctx *c, struct slice v, void *place)
{
	return text_u64(v, UINT64_MAX, place) < 0 ? bad_value(c, v, "a number") : 0;
}

int conf_parse_duration(struct conf_ctx *c, struct slice v, void *place)
{
	return text_duration(v, place) < 0 ? bad_value(c, v, "a duration such as 250ms or 10s") : 0;
}

int conf_parse_size(struct conf_ctx *c, struct slice v, void *place)
{
	return text_size(v, place) < 0 ? bad_value(c, v, "a size such as 512K or 2G") : 0;
}

/* One escape after a backslash; *v stands behind the backslash. */
static int unescape(struct conf_ctx *c, struct slice *v, struct str *out)
{
	uint8_t byte;

	if (v->n == 0)
		return conf_error(c, "%s: backslash at the end of a quoted word", c->key);
	switch (v->p[0]) {
	case '\\':
	case '"':
		str_addc(out, v->p[0]);
		break;
	case 'n':
		str_addc(out, '\n');
		break;
	case 't':
		str_addc(out, '\t');
		break;
	case 'x':
		if (v->n < 3 || text_unhex((struct slice){ v->p + 1, 2 }, &byte, 1) < 0 || !byte)
			return conf_error(c, "%s: \\x needs two hex digits, not 00", c->key);
		str_addc(out, (char)byte);
		v->p += 2;
		v->n -= 2;
		break;
	default:
		return conf_error(c, "%s: unknown escape \\%c", c->key, v->p[0]);
	}
	v->p++;
	v->n--;
	return 0;
}

static int quoted_word(struct conf_ctx *c, struct slice *v, struct str *out)
{
	for (v->p++, v->n--; v->n;) {
		char ch = *v->p++;
		int r = 0;

		v->n--;
		if (ch == '"') {
			if (v->n && v->p[0] != ' ' && v->p[0] != '\t')
				return conf_error(c, "%s: blank missing after a quoted word",
						  c->key);
			return 0;
		}
		if (ch == '\\')
			r = unescape(c, v, out);
		else
			str_addc(out, ch);
		if (r < 0)
			return r;
	}
	return conf_error(c, "%s: quote is not closed", c->key);
}

static int plain_word(struct conf_ctx *c, struct slice *v, struct str *out)
{
	while (v->n && v->p[0] != ' ' && v->p[0] != '\t') {
		if (v->p[0] == '"' || v->p[0] == '\0')
			return conf_error(c, "%s: quote or NUL inside a word", c->key);
		str_addc(out, *v->p++);
		v->n--;
	}
	return 0;
}

int conf_parse_words(struct conf_ctx *c, struct slice v, void *place)
{
	auto_vec struct vec words = VEC_INIT;
	char **copy;

	for (v = slice_trim(v); v.n; v = slice_trim(v)) {
		auto_str struct str word = STR_INIT;
		int r = v.p[0] == '"' ? quoted_word(c, &v, &word) : plain_word(c, &v, &word);

		if (r < 0)
			return r;
		if (str_err(&word))
			return err_num(c->err, str_err(&word), "%s:%u", c->file, c->line);
		vec_add(&words, arena_slice(c->arena, str_slice(&word)));
	}
	copy = arena_array(c->arena, words.n + 1, sizeof(*copy));
	if (words.err || !copy)
		return err_num(c->err, -ENOMEM, "%s:%u", c->file, c->line);
	for (size_t i = 0; i < words.n; i++)
		copy[i] = words.v[i];
	*(const char *const **)place = (const char *const *)copy;
	return 0;
}

/* ---- Files -------------------------------------------------------------------------------------
 */

struct parse {
	struct conf_ctx ctx;
	const struct conf_key *keys;
	size_t nkeys;
	conf_section_fn *section;
	void *arg;
	bool in_section;
	bool seen[LIMIT_CONF_KEYS]; /* in this section */
};

static int unknown_key(struct parse *p, struct slice key)
{
	const char *names[LIMIT_CONF_KEYS], *near;
	auto_str struct str safe = STR_INIT;

	text_safe(&safe, key);
	if (str_err(&safe))
		return err_num(p->ctx.err, str_err(&safe), "%s:%u", p->ctx.file, p->ctx.line);
	if (!p->in_section)
		return conf_error(&p->ctx, "key '%s' stands before any section", safe.buf);
	for (size_t i = 0; i < p->nkeys; i++)
		names[i] = p->keys[i].name;
	near = text_nearest(safe.buf, names, p->nkeys);
	if (near)
		return conf_error(&p->ctx, "unknown key '%s', did you mean '%s'?", safe.buf, near);
	return conf_error(&p->ctx, "unknown key '%s'", safe.buf);
}

/* "[kind]" or "[kind name]" */
static int section_line(struct parse *p, struct slice line)
{
	struct slice inner = { line.p + 1, line.n - 2 }, kind, name = SLICE("");

	if (line.n < 3 || line.p[line.n - 1] != ']')
		return conf_error(&p->ctx, "a section header ends in ']'");
	inner = slice_trim(inner);
	(void)slice_cut(&inner, ' ', &kind);
	if (inner.p)
		name = slice_trim(inner);
	if (kind.n == 0)
		return conf_error(&p->ctx, "a section header needs a name");
	memset(p->seen, 0, sizeof(p->seen));
	p->in_section = true;
	p->ctx.key = NULL;
	p->ctx.kind = 0;
	return p->section(p->arg, &p->ctx, kind, name);
}

/* Its row, or nkeys. Most differ in their first letter. */
static size_t find_key(const struct parse *p, struct slice key)
{
	size_t i = 0;

	while (i < p->nkeys && (p->keys[i].name[0] != key.p[0] || !slice_is(key, p->keys[i].name)))
		i++;
	return i;
}

static int key_line(struct parse *p, struct slice line)
{
	struct slice value = line, key;

	(void)slice_cut(&value, '=', &key);
	if (!value.p)
		return conf_error(&p->ctx, "expected 'key = value'");
	key = slice_trim(key);
	size_t i = p->in_section ? find_key(p, key) : p->nkeys;
	if (i == p->nkeys)
		return unknown_key(p, key);
	p->ctx.key = p->keys[i].name;
	if (p->keys[i].kinds && !(p->keys[i].kinds & p->ctx.kind))
		return conf_error(&p->ctx, "key '%s' stands in the wrong section", p->ctx.key);
	if (p->seen[i] && !p->keys[i].repeat)
		return conf_error(&p->ctx, "key '%s' stands twice", p->ctx.key);
	p->seen[i] = true;
	value = slice_trim(value);
	int r = p->keys[i].parse(&p->ctx, value, (char *)p->ctx.object + p->keys[i].offset);
	if (r == 0 && p->ctx.told)
		p->ctx.told(&p->ctx, &p->keys[i], value);
	return r;
}

/* The next logical line: trailing backslashes join. joined is used only when there are any. */
static bool next_line(struct slice *rest, unsigned *line_no, unsigned *lines, struct str *joined,
		      struct slice *ret)
{
	struct slice part;

	*line_no += *lines;
	*lines = 1;
	if (!slice_cut(rest, '\n', ret))
		return false;
	if (!slice_ends(*ret, "\\"))
		return true;
	str_cut(joined, 0);
	str_addn(joined, ret->p, ret->n - 1);
	while (slice_cut(rest, '\n', &part)) {
		bool more = slice_ends(part, "\\");

		++*lines;
		str_addn(joined, part.p, part.n - more);
		if (!more)
			break;
	}
	*ret = str_slice(joined);
	return true;
}

int conf_parse(struct slice text, const char *file, const struct conf_key *keys, size_t nkeys,
	       conf_section_fn *section, void *arg, struct arena *arena, struct err *e)
{
	struct parse p = { .ctx = { .file = file, .arena = arena, .err = e },
			   .keys = keys,
			   .nkeys = nkeys,
			   .section = section,
			   .arg = arg };
	auto_str struct str joined = STR_INIT;
	struct slice rest = text, line;
	unsigned lines = 1;
	int r = 0;

	if (nkeys > LIMIT_CONF_KEYS)
		return err_set(e, -ERR_INTERNAL, "%s: too many keys in the table", file);
	while (r == 0 && next_line(&rest, &p.ctx.line, &lines, &joined, &line)) {
		line = slice_trim(line);
		if (str_err(&joined))
			return err_num(e, str_err(&joined), "%s", file);
		if (line.n == 0 || line.p[0] == '#')
			continue;
		r = line.p[0] == '[' ? section_line(&p, line) : key_line(&p, line);
	}
	if (r == 0 && arena_err(arena))
		return err_num(e, arena_err(arena), "%s", file);
	return r;
}
