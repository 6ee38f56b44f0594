/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Fuzz entry: configuration text with a key of every type. */
#include "lib/conf.h"

#include <stdint.h>

#include "lib/size.h"

struct item {
	const char *text;
	bool on;
	uint64_t number, wait, size;
	const char *const *words;
};

static const struct conf_key keys[] = {
	CONF_KEY("text", conf_parse_str, offsetof(struct item, text), NULL, "", true),
	CONF_KEY("on", conf_parse_bool, offsetof(struct item, on), NULL, "", false),
	CONF_KEY("number", conf_parse_u64, offsetof(struct item, number), NULL, "", false),
	CONF_KEY("wait", conf_parse_duration, offsetof(struct item, wait), NULL, "", false),
	CONF_KEY("size", conf_parse_size, offsetof(struct item, size), NULL, "", false),
	CONF_KEY("words", conf_parse_words, offsetof(struct item, words), NULL, "", true),
};

static int section(void *arg, struct conf_ctx *c, struct slice kind, struct slice name)
{
	c->object = arg;
	return slice_is(kind, "item") ? 0 : conf_error(c, "unknown section");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	auto_arena struct arena a = ARENA_INIT;
	struct err e = ERR_INIT;
	struct item item;
	int r = conf_parse((struct slice){ (const char *)data, size }, "fuzz", keys,
			   ARRAY_LEN(keys), section, &item, &a, &e);

	/* A failure says why, a success says nothing. */
	if ((r < 0) != (e.code < 0))
		abort();
	return 0;
}
