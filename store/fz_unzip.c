/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Fuzz entry: compressed streams; the first byte says which kind. What comes out is bounded by
 * whoever reads, as here. */
#include "lib/size.h"
#include "store/format/zip.h"

#define OUT_MAX (1u << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct input {
	struct zip_input in;
	const uint8_t *p;
	size_t n;
};

static ssize_t input_read(struct zip_input *in, void *p, size_t n, struct err *e)
{
	struct input *i = CONTAINER_OF(in, struct input, in);
	size_t part = MIN_OF(n, i->n);

	(void)e;
	memcpy(p, i->p, part);
	i->p += part;
	i->n -= part;
	return (ssize_t)part;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input i = { .in = { input_read }, .p = data + 1, .n = size ? size - 1 : 0 };
	struct unzipper *u = NULL;
	struct err e = ERR_INIT;
	char buf[4096];
	size_t total = 0;
	ssize_t n = size ? unzip_open(&i.in, (enum zip)(data[0] % ZIP_MAX), &u, &e) : 0;

	while (u && total < OUT_MAX && (n = unzip_read(u, buf, sizeof(buf), &e)) > 0)
		total += (size_t)n;
	if (n < 0 && !e.code)
		abort();
	unzip_free(u);
	return 0;
}
