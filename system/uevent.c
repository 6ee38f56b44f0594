/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "system/uevent.h"

#include "lib/size.h"
#include "lib/text.h"

#define LIMIT_NAME  128
#define LIMIT_ALIAS 1024

static bool is_of(struct slice s, const char *more, size_t limit)
{
	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];
		if (!(c >= 'a' && c <= 'z') && !(c >= 'A' && c <= 'Z') && !(c >= '0' && c <= '9') &&
		    (c == '\0' || !strchr(more, c)))
			return false;
	}
	return s.n <= limit;
}

/* Relative, and without empty, "." or ".." parts. */
static bool stays_below(struct slice path)
{
	struct slice part;

	if (path.n == 0)
		return true;
	while (slice_cut(&path, '/', &part))
		if (part.n == 0 || slice_is(part, ".") || slice_is(part, ".."))
			return false;
	return true;
}

static bool is_sound(const struct uevent *u)
{
	return is_of(u->action, "", 16) && is_of(u->subsystem, "_-.", 64) &&
	       is_of(u->name, "_-.:+@!,#/", LIMIT_NAME) && stays_below(u->name) &&
	       is_of(u->alias, "_-.:+@!,#/*=?[]{}()&;<>|^~", LIMIT_ALIAS) &&
	       (u->alias.n == 0 || u->alias.p[0] != '-');
}

static bool take_number(struct slice v, unsigned *ret)
{
	uint64_t n;

	if (text_u64(v, UINT32_MAX, &n) < 0)
		return false;
	*ret = (unsigned)n;
	return true;
}

bool uevent_parse(struct slice text, char sep, struct uevent *ret)
{
	struct uevent u = { .major = 0 };
	const struct {
		const char *key;
		struct slice *value;
	} words[] = { { "ACTION", &u.action },
		      { "SUBSYSTEM", &u.subsystem },
		      { "DEVNAME", &u.name },
		      { "MODALIAS", &u.alias } };
	struct slice word, key;

	while (slice_cut(&text, sep, &word)) {
		if (!memchr(word.p ? word.p : "", '=', word.n) || !slice_cut(&word, '=', &key))
			continue;
		if (slice_is(key, "MAJOR") && !take_number(word, &u.major))
			return false;
		if (slice_is(key, "MINOR") && !take_number(word, &u.minor))
			return false;
		for (size_t i = 0; i < ARRAY_LEN(words); i++)
			if (slice_is(key, words[i].key))
				*words[i].value = word.n ? word : (struct slice){ 0 };
	}
	if (!is_sound(&u))
		return false;
	*ret = u;
	return true;
}
