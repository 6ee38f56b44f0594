/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "image/builder.h"

#include <stdio.h>
#include <stdlib.h>

#include "image/closure.h"
#include "lib/text.h"
#include "store/store.h"

int builder_load(struct builder *b, struct builder_opts *o, struct err *e)
{
	int r;

	if (!o->output)
		o->output = getenv("out");
	if (!o->store_prefix)
		o->store_prefix = "";
	if (!o->closure || !o->system || !o->output)
		return cmd_usage(e, "--closure, --system and an output are needed");
	r = store_path_check(STORE_DIR_DEFAULT, slice_of(o->system), e);
	if (r == 0)
		r = closure_load(&b->arena, STORE_DIR_DEFAULT, o->closure, &b->closure, e);
	b->contents = (struct contents){ .arena = &b->arena,
					 .store_prefix = o->store_prefix,
					 .system = o->system,
					 .closure = &b->closure,
					 .work = o->work ? o->work : "." };
	return r;
}

void builder_done(struct builder *b)
{
	vec_done(&b->closure);
	arena_done(&b->arena);
}

void builder_report(uint64_t bytes, const char *what, size_t n)
{
	char size[16];

	text_human(bytes, size);
	(void)fprintf(stderr, "image: %s, %zu %s\n", size, n, what);
}
