/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "system/notes.h"

#include <errno.h>
#include <fcntl.h>

#include "bootloader/bootloader.h"
#include "lib/conf-file.h"
#include "lib/fd.h"
#include "lib/size.h"
#include "lib/text.h"

#define NOTES	    GEN_PROFILES "/system.notes"
#define TRIED	    GEN_PROFILES "/system.tried"
#define LIMIT_NOTES (GEN_COUNT_MAX * 1024)

static const char *const no_word[] = { NULL };

static const struct conf_key note_keys[] = {
	CONF_KEY("system", conf_parse_str, offsetof(struct note_of, path), NULL, "its item", false),
	CONF_KEY("pinned", conf_parse_bool, offsetof(struct note_of, pinned), "no", "it stays",
		 false),
	CONF_KEY("label", conf_parse_words, offsetof(struct note_of, label), NULL,
		 "one quoted word", false),
};

static int note_section(void *arg, struct conf_ctx *c, struct slice kind, struct slice name)
{
	struct note_of *n = ARENA_NEW(c->arena, struct note_of);
	struct vec *notes = arg;

	if (!n)
		return conf_no_memory(c);
	*n = (struct note_of){ 0, "", false, no_word };
	if (!slice_is(kind, "generation") || text_u64(name, GEN_NUMBER_MAX, &n->number) < 0)
		return conf_error(c, "unknown section");
	if (notes->n == GEN_COUNT_MAX)
		return conf_error(c, "more than %d notes", GEN_COUNT_MAX);
	vec_add(notes, n);
	c->object = n;
	return notes->err ? conf_no_memory(c) : 0;
}

static const struct conf_file notes_file = {
	.limit = LIMIT_NOTES,
	.keys = note_keys,
	.nkeys = ARRAY_LEN(note_keys),
	.section = note_section,
};

int notes_load(const struct sys_root *r, struct arena *a, struct vec *ret, struct err *e)
{
	char *file = sys_root_path(r, a, NOTES);
	bool found;

	return file ? conf_load(&notes_file, file, ret, &found, a, e)
		    : err_set(e, -ENOMEM, "out of memory");
}

/* The generation of a line of system.tried; NULL: it is gone. */
static struct gen *tried_line(const struct gen_list *list, struct slice line)
{
	struct slice number;
	uint64_t n;

	(void)slice_cut(&line, ' ', &number);
	if (!line.p || text_u64(number, GEN_NUMBER_MAX, &n) < 0)
		return NULL;
	for (size_t i = 0; i < list->n; i++)
		if (list->v[i].number == n && slice_is(line, list->v[i].path))
			return &list->v[i];
	return NULL;
}

static void apply_tried(const struct sys_root *r, struct arena *a, struct gen_list *list)
{
	auto_str struct str text = STR_INIT;
	struct err ignored = ERR_INIT;
	char *file = sys_root_path(r, a, TRIED);
	struct slice rest, line;
	struct gen *g;

	if (!file || file_read(AT_FDCWD, file, &text, LIMIT_NOTES, &ignored) < 0)
		return;
	rest = str_slice(&text);
	while (slice_cut(&rest, '\n', &line))
		if ((g = tried_line(list, line)))
			g->tried = true;
}

void notes_apply(const struct sys_root *r, struct arena *a, struct gen_list *list)
{
	auto_vec struct vec notes = VEC_INIT;
	struct err ignored = ERR_INIT;

	apply_tried(r, a, list);
	if (notes_load(r, a, &notes, &ignored) < 0)
		return;
	for (size_t i = 0; i < list->n; i++)
		for (size_t k = 0; k < notes.n; k++) {
			const struct note_of *n = notes.v[k];
			struct gen *g = &list->v[i];

			if (n->number != g->number || strcmp(n->path, g->path) != 0)
				continue;
			g->pinned = n->pinned;
			g->label = n->label[0] && boot_label_check(n->label[0], &ignored) == 0
					   ? n->label[0]
					   : "";
		}
}

/* What conf_parse_words() reads back as it was; labels have no control characters. */
static void add_word(struct str *out, const char *text)
{
	str_addc(out, '"');
	for (; *text; text++) {
		if (*text == '"' || *text == '\\')
			str_addc(out, '\\');
		str_addc(out, *text);
	}
	str_addc(out, '"');
}

int notes_save(const struct sys_root *r, const struct gen_list *list, struct err *e)
{
	auto_arena struct arena a = ARENA_INIT;
	auto_str struct str text = STR_INIT;
	char *file = sys_root_path(r, &a, NOTES);
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < list->n; i++) {
		const struct gen *g = &list->v[i];

		if (!g->pinned && !g->label[0])
			continue;
		str_addf(&text, "[generation %u]\nsystem = %s\n", g->number, g->path);
		if (g->pinned)
			str_add(&text, "pinned = yes\n");
		if (!g->label[0])
			continue;
		rc = boot_label_check(g->label, e);
		str_add(&text, "label = ");
		add_word(&text, g->label);
		str_addc(&text, '\n');
	}
	if (rc < 0)
		return rc;
	if (!file || str_err(&text))
		return err_set(e, -ENOMEM, "out of memory");
	return file_write_atomic(AT_FDCWD, file, text.buf ? text.buf : "", text.len, 0644, e);
}

int notes_set_tried(const struct sys_root *r, unsigned number, bool tried, struct err *e)
{
	auto_arena struct arena a = ARENA_INIT;
	auto_str struct str text = STR_INIT;
	char *file = sys_root_path(r, &a, TRIED);
	struct gen_list list;
	bool changes = false;
	int rc = gen_list_load(r, &a, &list, e);

	for (size_t i = 0; rc == 0 && i < list.n; i++) {
		struct gen *g = &list.v[i];
		bool will = g->number == number ? tried : g->tried;

		changes = changes || will != g->tried;
		if (will)
			str_addf(&text, "%u %s\n", g->number, g->path);
	}
	if (rc < 0 || !changes)
		return rc;
	if (!file || str_err(&text))
		return err_set(e, -ENOMEM, "out of memory");
	return file_write_atomic(AT_FDCWD, file, text.buf ? text.buf : "", text.len, 0644, e);
}
