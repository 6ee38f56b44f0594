/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "image/layout.h"

#include "lib/conf.h"
#include "lib/size.h"
#include "lib/text.h"

#define MIB (1u << 20)
#define PARTS_DISTANCE                                                                             \
	(1024ull << 30) /* an ext4 of 1 TiB is the largest that anyone needs here                  \
			 */
#define BIOS_BOOT_SIZE MIB

/* ---- Values ---------------------------------------------------------------------------------- */

static const char *const content_names[PART_CONTENT_MAX] = {
	[PART_BIOS] = "bios-boot", [PART_ESP] = "esp",	 [PART_ROOT] = "root",
	[PART_BOOT] = "boot",	   [PART_EXT4] = "ext4", [PART_SWAP] = "swap",
	[PART_EMPTY] = "empty",
};

static const char *const fs_names[PART_FS_MAX] = {
	[PART_FS_EXT4] = "ext4",
	[PART_FS_SQUASHFS] = "squashfs",
	[PART_FS_EROFS] = "erofs",
};

static int parse_content(struct conf_ctx *c, struct slice v, void *place)
{
	for (size_t i = 0; i < PART_CONTENT_MAX; i++)
		if (slice_is(v, content_names[i])) {
			*(enum part_content *)place = (enum part_content)i;
			return 0;
		}
	return conf_error(c, "content is bios-boot, esp, root, boot, ext4, swap or empty");
}

static int parse_fs(struct conf_ctx *c, struct slice v, void *place)
{
	for (size_t i = 0; i < PART_FS_MAX; i++)
		if (slice_is(v, fs_names[i])) {
			*(enum part_fs *)place = (enum part_fs)i;
			return 0;
		}
	return conf_error(c, "file-system is ext4, squashfs or erofs");
}

static int parse_guid(struct conf_ctx *c, struct slice v, void *place)
{
	struct guid ignored;

	if (guid_parse(v, &ignored) < 0)
		return conf_error(c, "%s is no UUID", c->key);
	return conf_parse_str(c, v, place);
}

/* Bits of the GUID partition table (UEFI specification 5.3.3) and of its users. */
static const struct {
	const char *name;
	unsigned bit;
} flag_bits[] = {
	{ "required", 0 },   { "no-block-io", 1 }, { "legacy-boot", 2 }, { "grow", 59 },
	{ "read-only", 60 }, { "hidden", 62 },	   { "no-auto", 63 },
};

static int parse_flags(struct conf_ctx *c, struct slice v, void *place)
{
	const char *const *words;
	uint64_t bits = 0;
	int r = conf_parse_words(c, v, &words);

	for (; r == 0 && *words; words++) {
		size_t i = 0;
		while (i < ARRAY_LEN(flag_bits) && strcmp(flag_bits[i].name, *words) != 0)
			i++;
		if (i == ARRAY_LEN(flag_bits))
			return conf_error(c, "unknown flag '%s'", *words);
		bits |= UINT64_C(1) << flag_bits[i].bit;
	}
	if (r == 0)
		*(uint64_t *)place = bits;
	return r;
}

#define AT(f) offsetof(struct part_spec, f)
static const struct conf_key keys[] = {
	CONF_KEY("content", parse_content, AT(content), NULL,
		 "bios-boot, esp, root, boot, ext4, swap or empty", false),
	CONF_KEY("file-system", parse_fs, AT(file_system), "ext4", "of a root", false),
	CONF_KEY("flags", parse_flags, AT(attributes), "", "attributes of the partition", false),
	CONF_KEY("free", conf_parse_size, AT(free), "0", "left free in a root without size", false),
	CONF_KEY("label", conf_parse_str, AT(label), "", "of the file system", false),
	CONF_KEY("part-label", conf_parse_str, AT(part_label), "", "name of the partition", false),
	CONF_KEY("part-type", parse_guid, AT(part_type), "", "else that of the content", false),
	CONF_KEY("part-uuid", parse_guid, AT(part_uuid), "", "of the partition; else derived",
		 false),
	CONF_KEY("size", conf_parse_size, AT(size), "0", "0: as large as the content needs", false),
	CONF_KEY("uuid", parse_guid, AT(uuid), "", "of the file system; else derived", false),
};

/* ---- Whole layouts --------------------------------------------------------------------------- */

static int section(void *arg, struct conf_ctx *c, struct slice kind, struct slice name)
{
	struct layout *l = arg;

	if (!slice_is(kind, "partition") || !name.n)
		return conf_error(c, "unknown section [partition NAME is the only one]");
	if (l->n == LIMIT_LAYOUT_PARTS)
		return conf_error(c, "more than %d partitions", LIMIT_LAYOUT_PARTS);
	for (size_t i = 0; i < l->n; i++)
		if (slice_is(name, l->parts[i].name))
			return conf_error(c, "partition '%s' stands twice", l->parts[i].name);
	struct part_spec *p = &l->parts[l->n++];
	*p = (struct part_spec){ .content = PART_CONTENT_MAX,
				 .name = arena_slice(c->arena, name),
				 .label = "",
				 .part_label = "",
				 .uuid = "",
				 .part_uuid = "",
				 .part_type = "" };
	c->object = p;
	return p->name ? 0 : err_num(c->err, arena_err(c->arena), "%s", c->file);
}

/* A root that is only read has just the room it takes. */
static int check_read_only(const struct part_spec *p, const char *file, struct err *e)
{
	const char *type = fs_names[p->file_system];

	if (p->content != PART_ROOT)
		return err_set(e, -ERR_INVALID, "%s: partition '%s' is no root: not %s", file,
			       p->name, type);
	if (p->free)
		return err_set(e, -ERR_INVALID, "%s: partition '%s': %s has no free space", file,
			       p->name, type);
	if (p->file_system == PART_FS_SQUASHFS && (*p->label || *p->uuid))
		return err_set(e, -ERR_INVALID,
			       "%s: partition '%s': squashfs has neither label nor UUID", file,
			       p->name);
	return 0;
}

static int finish_part(struct part_spec *p, const char *file, struct err *e)
{
	if (p->content == PART_CONTENT_MAX)
		return err_set(e, -ERR_INVALID, "%s: partition '%s' has no content", file, p->name);
	if (p->size % MIB || p->size > PARTS_DISTANCE)
		return err_set(e, -ERR_INVALID, "%s: size of partition '%s' is not a number of MiB",
			       file, p->name);
	if (!p->size && p->content == PART_BIOS)
		p->size = BIOS_BOOT_SIZE;
	if (!p->size && p->content == PART_ESP)
		p->size = LAYOUT_ESP_SIZE;
	if (!p->size && p->content == PART_BOOT)
		p->size = LAYOUT_BOOT_SIZE;
	if (!p->size && p->content != PART_ROOT)
		return err_set(e, -ERR_INVALID, "%s: partition '%s' needs a size", file, p->name);
	if (!*p->part_label)
		p->part_label = p->name;
	return p->file_system == PART_FS_EXT4 ? 0 : check_read_only(p, file, e);
}

int layout_parse(struct arena *a, struct slice text, const char *file, struct layout *ret,
		 struct err *e)
{
	static const enum part_content single[] = { PART_BIOS, PART_ESP, PART_BOOT };
	size_t count[PART_CONTENT_MAX] = { 0 };

	*ret = (struct layout){ .n = 0 };
	int r = conf_parse(text, file, keys, ARRAY_LEN(keys), section, ret, a, e);
	for (size_t i = 0; r == 0 && i < ret->n; i++) {
		r = finish_part(&ret->parts[i], file, e);
		if (r == 0)
			count[ret->parts[i].content]++;
	}
	if (r < 0)
		return r;
	if (count[PART_ROOT] != 1)
		return err_set(e, -ERR_INVALID, "%s: %zu root partitions instead of one", file,
			       count[PART_ROOT]);
	for (size_t i = 0; i < ARRAY_LEN(single); i++)
		if (count[single[i]] > 1)
			return err_set(e, -ERR_INVALID, "%s: more than one %s partition", file,
				       content_names[single[i]]);
	return 0;
}

struct guid layout_type(const struct part_spec *p)
{
	static const char *const types[PART_CONTENT_MAX] = {
		[PART_BIOS] = GPT_TYPE_BIOS_BOOT,   [PART_ESP] = GPT_TYPE_ESP,
		[PART_ROOT] = GPT_TYPE_LINUX_ROOT,  [PART_BOOT] = GPT_TYPE_LINUX_DATA,
		[PART_EXT4] = GPT_TYPE_LINUX_DATA,  [PART_SWAP] = GPT_TYPE_LINUX_SWAP,
		[PART_EMPTY] = GPT_TYPE_LINUX_DATA,
	};
	struct guid g = { { 0 } };

	/* Both kinds of text were checked, or are constants. */
	(void)guid_parse(slice_of(*p->part_type ? p->part_type : types[p->content]), &g);
	return g;
}
