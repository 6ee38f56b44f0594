/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What every reader of archives does first: words, numbers, padding, and what they may be. */
#include "store/format/nar-words.h"

#include "lib/text.h"
#include "lib/wire.h"
#include "store/limits.h"

int nar_bad(struct nar_words *w, const char *what)
{
	return err_set(w->e, -ERR_SYNTAX, "bad archive: %s", what);
}

int nar_number(struct nar_words *w, uint64_t *ret)
{
	uint8_t b[8];
	uint64_t v = 0;
	int r = w->in->read(w->in, b, sizeof(b), w->e);

	if (r < 0)
		return r;
	for (int i = 7; i >= 0; i--)
		v = v << 8 | b[i];
	*ret = v;
	return 0;
}

int nar_pad(struct nar_words *w, uint64_t n)
{
	uint8_t pad[8];
	int r = w->in->read(w->in, pad, wire_pad(n), w->e);

	for (size_t i = 0; r == 0 && i < wire_pad(n); i++)
		if (pad[i])
			r = nar_bad(w, "padding that is not zero");
	return r;
}

int nar_string(struct nar_words *w, char *out, size_t max, size_t *ret_len, const char *what)
{
	uint64_t n;
	int r = nar_number(w, &n);

	if (r < 0)
		return r;
	if (n > max)
		return err_set(w->e, -ERR_LIMIT, "bad archive: %s of %llu bytes", what,
			       (unsigned long long)n);
	r = w->in->read(w->in, out, (size_t)n, w->e);
	if (r == 0)
		r = nar_pad(w, n);
	if (r < 0)
		return r;
	out[n] = 0;
	if (memchr(out, 0, (size_t)n))
		return err_set(w->e, -ERR_SYNTAX, "bad archive: %s with a NUL byte", what);
	*ret_len = (size_t)n;
	return 0;
}

int nar_word(struct nar_words *w)
{
	size_t n;

	return nar_string(w, w->word, sizeof(w->word) - 1, &n, "a word");
}

int nar_expect(struct nar_words *w, const char *word)
{
	int r = nar_word(w);

	if (r < 0)
		return r;
	if (strcmp(w->word, word)) {
		auto_str struct str safe = STR_INIT;

		text_safe(&safe, slice_of(w->word));
		return err_set(w->e, -ERR_SYNTAX, "bad archive: expected '%s', found '%s'", word,
			       safe.buf);
	}
	return 0;
}

int nar_too_deep(struct nar_words *w)
{
	return err_set(w->e, -ERR_LIMIT, "bad archive: directories are nested deeper than %d",
		       LIMIT_NAR_DEPTH);
}

int nar_node(struct nar_words *w, enum nar_type *ret)
{
	int r = nar_expect(w, "(");

	if (r == 0)
		r = nar_expect(w, "type");
	if (r == 0)
		r = nar_word(w);
	if (r < 0)
		return r;
	if (!strcmp(w->word, "regular"))
		*ret = NAR_FILE;
	else if (!strcmp(w->word, "directory"))
		*ret = NAR_DIRECTORY;
	else if (!strcmp(w->word, "symlink"))
		*ret = NAR_LINK;
	else
		return nar_bad(w, "an entry of unknown type");
	return 0;
}

int nar_file(struct nar_words *w, bool *ret_exec)
{
	bool exec;
	int r = nar_word(w);

	if (r < 0)
		return r;
	exec = !strcmp(w->word, "executable");
	if (exec) {
		r = nar_expect(w, "");
		if (r == 0)
			r = nar_word(w);
		if (r < 0)
			return r;
	}
	if (strcmp(w->word, "contents"))
		return nar_bad(w, "a file without contents");
	*ret_exec = exec;
	return 0;
}

int nar_target(struct nar_words *w, char target[LIMIT_NAR_TARGET + 1])
{
	size_t n;
	int r = nar_expect(w, "target");

	if (r == 0)
		r = nar_string(w, target, LIMIT_NAR_TARGET, &n, "a link target");
	if (r < 0)
		return r;
	return n ? 0 : nar_bad(w, "a link without target");
}

int nar_next(struct nar_words *w, bool *ret)
{
	int r = nar_word(w);

	if (r < 0)
		return r;
	*ret = !strcmp(w->word, "entry");
	if (!*ret && strcmp(w->word, ")"))
		return nar_bad(w, "a directory with something that is no entry");
	return 0;
}

int nar_entry(struct nar_words *w, char last[LIMIT_NAR_NAME + 1], char name[LIMIT_NAR_NAME + 1])
{
	size_t n;
	int r = nar_expect(w, "(");

	if (r == 0)
		r = nar_expect(w, "name");
	if (r == 0)
		r = nar_string(w, name, LIMIT_NAR_NAME, &n, "a file name");
	if (r < 0)
		return r;
	if (!n || !strcmp(name, ".") || !strcmp(name, "..") || strchr(name, '/'))
		return nar_bad(w, "a file name that is empty, '.', '..' or has a '/'");
	if (strcmp(name, last) <= 0)
		return nar_bad(w, "file names that are not sorted");
	memcpy(last, name, n + 1);
	return nar_expect(w, "node");
}
