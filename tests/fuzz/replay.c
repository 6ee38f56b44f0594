/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Replay a corpus through a fuzz entry, without libFuzzer: each file as it is, and then a fixed
 * sequence of mutations of it. An empty or unreadable corpus is a failure.
 *
 *	fz_NAME CORPUS_DIR [MUTATIONS [SEED]]
 */
#include <dirent.h>
#include <fcntl.h>
#include <stdint.h>
#include <unistd.h>

#include "lib/err.h"
#include "lib/fd.h"
#include "lib/str.h"
#include "lib/text.h"

#define LIMIT_CORPUS_FILE (16 << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint64_t state;

static uint64_t next_random(void)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state;
}

/* A heap copy of exactly the size, so that a sanitizer sees reads beyond it. */
static void feed(const struct str *input)
{
	uint8_t *copy = malloc(input->len ? input->len : 1);

	if (!copy)
		abort();
	memcpy(copy, input->buf, input->len);
	(void)LLVMFuzzerTestOneInput(copy, input->len); /* only crashes count */
	free(copy);
}

static void mutate(struct str *s)
{
	static const uint8_t interesting[] = { 0, 1, 0x7f, 0x80, 0xff, '"', '\\', '\n', '/', '(' };
	size_t at = s->len ? next_random() % s->len : 0;

	switch (next_random() % 6) {
	case 0:
		if (s->len)
			s->buf[at] = (char)(s->buf[at] ^ (1 << next_random() % 8));
		break;
	case 1:
		if (s->len)
			s->buf[at] = (char)interesting[next_random() % sizeof(interesting)];
		break;
	case 2:
		str_cut(s, at);
		break;
	case 3:
		str_drop(s, at % 16);
		break;
	case 4: /* a piece twice */
		if (s->len && str_room(s, s->len - at)) {
			memcpy(s->buf + s->len, s->buf + at, s->len - at);
			str_grown(s, s->len - at);
		}
		break;
	default: /* eight bytes as a number */
		if (s->len >= 8) {
			uint64_t v = next_random() >> (next_random() % 64);

			at = next_random() % (s->len / 8) * 8;
			memcpy(s->buf + at, &v, 8);
		}
	}
	str_cut(s, 1 << 20);
}

static int replay(int dirfd, const char *name, uint64_t mutations, struct err *e)
{
	auto_str struct str input = STR_INIT, changed = STR_INIT;
	int r = file_read(dirfd, name, &input, LIMIT_CORPUS_FILE, e);

	if (r < 0)
		return r;
	feed(&input);
	for (uint64_t i = 0; i < mutations; i++) {
		if (i % 4 == 0 || changed.len == 0) {
			str_cut(&changed, 0);
			str_addn(&changed, input.buf, input.len);
		}
		mutate(&changed);
		feed(&changed);
	}
	return 0;
}

static int replay_all(const char *path, uint64_t mutations, unsigned *count, struct err *e)
{
	DIR *dir = opendir(path);
	struct dirent *ent;
	int r = 0;

	if (!dir)
		return err_sys(e, "cannot open the corpus %s", path);
	while (r == 0 && (ent = readdir(dir))) {
		if (ent->d_name[0] == '.')
			continue;
		r = replay(dirfd(dir), ent->d_name, mutations, e);
		++*count;
	}
	closedir(dir);
	if (r == 0 && *count == 0)
		return err_set(e, -ERR_NOTFOUND, "the corpus %s is empty", path);
	return r;
}

int main(int argc, char **argv)
{
	struct err e = ERR_INIT;
	uint64_t mutations = 2000;
	unsigned count = 0;

	state = 0x9e3779b97f4a7c15;
	if (argc < 2 || argc > 4 ||
	    (argc > 2 && text_u64(slice_of(argv[2]), UINT64_MAX, &mutations) < 0) ||
	    (argc > 3 && (text_u64(slice_of(argv[3]), UINT64_MAX, &state) < 0 || !state))) {
		fprintf(stderr, "usage: %s CORPUS_DIR [MUTATIONS [SEED]]\n", argv[0]);
		return 2;
	}
	if (replay_all(argv[1], mutations, &count, &e) < 0) {
		fprintf(stderr, "%s: %s\n", argv[0], e.msg);
		return 1;
	}
	printf("%u inputs, %llu mutations each\n", count, (unsigned long long)mutations);
	return 0;
}
