/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What the program on the EFI system partition reads and decides: the menu, the environment block,
 * whose turn it is. Freestanding, since that program has no C library; only that program and the
 * tests include it. The menu's format and the rules of counting are in doc/boot.md.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#define EM_HEAD	    "cairn-menu 1"
#define EM_FILE	    "menu" /* the two files; em_open() */
#define EM_FILE_2   "menu.2"
#define EM_ENV_SIZE 1024
#define EM_TRIES    3

struct em_text {
	const char *p;
	size_t n;
};

struct em_entry {
	unsigned number;
	struct em_text title, kernel, initrd, parameters;
};

/* Variables of boot counting, as in the environment block; 0: not set. */
struct em_count {
	unsigned good, trial, left;
};

static inline bool em_is(struct em_text t, const char *word)
{
	size_t i = 0;

	while (i < t.n && word[i] && t.p[i] == word[i])
		i++;
	return i == t.n && !word[i];
}

/* Cut the part up to end off *rest; false when there is no end. */
static inline bool em_cut(struct em_text *rest, char end, struct em_text *ret)
{
	for (size_t i = 0; i < rest->n; i++)
		if (rest->p[i] == end) {
			*ret = (struct em_text){ rest->p, i };
			rest->p += i + 1;
			rest->n -= i + 1;
			return true;
		}
	return false;
}

#define EM_WAIT 999999999u /* seconds: the list is shown, and somebody has to choose */

/* The decimal number that t is; 0: none, or more than nine digits. */
static inline unsigned em_number(struct em_text t)
{
	unsigned n = 0;

	if (t.n > 9)
		return 0;
	for (size_t i = 0; i < t.n; i++) {
		if (t.p[i] < '0' || t.p[i] > '9')
			return 0;
		n = n * 10 + (unsigned)(t.p[i] - '0');
	}
	return n;
}

/* The next "KEY VALUE" line of a menu. */
static inline bool em_line(struct em_text *rest, struct em_text *key, struct em_text *value)
{
	if (!em_cut(rest, '\n', value))
		return false;
	if (!em_cut(value, ' ', key)) {
		*key = *value;
		value->n = 0;
	}
	return true;
}

/* A menu is whole from its first line to the line "end". */
static inline bool em_is_whole(struct em_text menu)
{
	struct em_text first;
	size_t n = menu.n;

	if (n < 5 || !em_is((struct em_text){ menu.p + n - 5, 5 }, "\nend\n"))
		return false;
	return em_cut(&menu, '\n', &first) && em_is(first, EM_HEAD);
}

static inline unsigned em_sum(struct em_text t)
{
	unsigned sum = 2166136261u; /* FNV-1a */

	for (size_t i = 0; i < t.n; i++)
		sum = (sum ^ (unsigned char)t.p[i]) * 16777619u;
	return sum;
}

static inline bool em_is_sum(struct em_text hex, unsigned sum)
{
	for (size_t i = 0; i < 8; i++, sum <<= 4)
		if (hex.n != 8 || hex.p[i] != "0123456789abcdef"[sum >> 28])
			return false;
	return true;
}

/* Of the two files that have a menu the whole one with the higher serial number counts. Its last
 * line is "slot SERIAL SUM", the sum being that of all before it; without that line the serial
 * number is 0. false: the file is none, or not whole. */
static inline bool em_open(struct em_text file, struct em_text *ret_menu, unsigned *ret_serial)
{
	size_t at = file.n;
	struct em_text last, word, number;

	if (at < 2 || file.p[--at] != '\n')
		return false;
	while (at > 0 && file.p[at - 1] != '\n')
		at--;
	*ret_menu = file;
	*ret_serial = 0;
	last = (struct em_text){ file.p + at, file.n - 1 - at };
	if (em_cut(&last, ' ', &word) && em_is(word, "slot")) {
		if (!em_cut(&last, ' ', &number) ||
		    !em_is_sum(last, em_sum((struct em_text){ file.p, (size_t)(last.p - file.p) })))
			return false;
		*ret_serial = em_number(number);
		ret_menu->n = at;
	}
	return em_is_whole(*ret_menu);
}

/* Does the menu with serial number a count, and not that with b? One without a number is what an
 * image came with, and the first switch has number 1; beside a higher one it is newer: a version
 * that knew one file wrote it. */
static inline bool em_beats(unsigned a, unsigned b)
{
	if (a == 0 || b == 0)
		return a == 0 ? b > 1 : a == 1;
	return a > b;
}

/* Value of a line before the first entry; empty when there is none. */
static inline struct em_text em_setting(struct em_text menu, const char *name)
{
	struct em_text key, value;

	while (em_line(&menu, &key, &value) && !em_is(key, "entry"))
		if (em_is(key, name))
			return value;
	return (struct em_text){ menu.p, 0 };
}

/* The next entry of what is left of a menu; begin with all of it. */
static inline bool em_next(struct em_text *rest, struct em_entry *ret)
{
	struct em_entry x = { 0 };
	struct em_text key, value, ahead = *rest;

	while (em_line(&ahead, &key, &value)) {
		if (em_is(key, "entry") || em_is(key, "end")) {
			if (x.number)
				break;
			x.number = em_number(value);
		}
		if (em_is(key, "title"))
			x.title = value;
		else if (em_is(key, "kernel"))
			x.kernel = value;
		else if (em_is(key, "initrd"))
			x.initrd = value;
		else if (em_is(key, "parameters"))
			x.parameters = value;
		*rest = ahead;
	}
	*ret = x;
	return x.number != 0;
}

static inline bool em_find(struct em_text menu, unsigned number, struct em_entry *ret)
{
	while (em_next(&menu, ret))
		if (ret->number == number)
			return true;
	return false;
}

/* ---- The environment block ------------------------------------------------------------------- */

static inline unsigned em_variable(struct em_text block, const char *name)
{
	struct em_text line, key;

	while (em_cut(&block, '\n', &line))
		if (em_cut(&line, '=', &key) && em_is(key, name))
			return em_number(line);
	return 0;
}

static inline struct em_count em_count_read(const char block[EM_ENV_SIZE])
{
	struct em_text t = { block, EM_ENV_SIZE };

	return (struct em_count){ em_variable(t, "cairn_good"), em_variable(t, "cairn_try"),
				  em_variable(t, "cairn_left") };
}

struct em_out {
	char *p;
	size_t n, max;
};

static inline void em_put(struct em_out *o, struct em_text t)
{
	for (size_t i = 0; i < t.n; i++, o->n++)
		if (o->n < o->max)
			o->p[o->n] = t.p[i];
}

static inline void em_put_word(struct em_out *o, const char *word)
{
	size_t n = 0;

	while (word[n])
		n++;
	em_put(o, (struct em_text){ word, n });
}

static inline void em_put_number(struct em_out *o, unsigned n)
{
	char digits[10];
	size_t i = sizeof(digits);

	do
		digits[--i] = (char)('0' + n % 10);
	while ((n /= 10) > 0);
	em_put(o, (struct em_text){ digits + i, sizeof(digits) - i });
}

/* The block with trial and left as in c; false when they do not fit into its first sector. */
static inline bool em_count_write(const char old[EM_ENV_SIZE], const struct em_count *c,
				  char block[EM_ENV_SIZE])
{
	struct em_out o = { block, 0, EM_ENV_SIZE };
	struct em_text rest = { old, EM_ENV_SIZE }, line, value, key;

	while (em_cut(&rest, '\n', &line)) {
		value = line;
		if (em_cut(&value, '=', &key) &&
		    (em_is(key, "cairn_try") || em_is(key, "cairn_left")))
			continue;
		em_put(&o, line);
		em_put_word(&o, "\n");
	}
	em_put_word(&o, "cairn_try=");
	em_put_number(&o, c->trial);
	em_put_word(&o, "\ncairn_left=");
	em_put_number(&o, c->left);
	em_put_word(&o, "\n");
	bool fits = o.n <= EM_ENV_SIZE / 2;
	while (o.n < EM_ENV_SIZE)
		em_put_word(&o, "#");
	return fits;
}

/* ---- Whose turn it is ------------------------------------------------------------------------ */

/* What starts unless somebody chooses: the default, or, when its tries are used up, the good one.
 * has_good: the menu has it. */
static inline unsigned em_turn(const struct em_count *c, unsigned def, bool has_good)
{
	return def != c->good && has_good && c->trial == def && c->left == 0 ? c->good : def;
}

/* Generation number is started: take one of its tries, where it has any. A default that is not the
 * good one begins a trial of its own. True: *c must be saved first. */
static inline bool em_take(struct em_count *c, unsigned number, unsigned def)
{
	if (number == c->good)
		return false;
	if (number == def && number != c->trial) {
		c->trial = number;
		c->left = EM_TRIES;
	}
	if (number != c->trial)
		return false;
	if (c->left > EM_TRIES)
		c->left = EM_TRIES;
	c->left -= c->left > 0;
	return true;
}
