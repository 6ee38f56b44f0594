/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "system/modinfo.h"

#include <elf.h>
#include <string.h>

static bool read_header(struct slice file, Elf64_Ehdr *ret)
{
	if (file.n < sizeof(*ret))
		return false;
	memcpy(ret, file.p, sizeof(*ret));
	return memcmp(ret->e_ident, ELFMAG, SELFMAG) == 0 && ret->e_ident[EI_CLASS] == ELFCLASS64 &&
	       ret->e_ident[EI_DATA] == ELFDATA2LSB && ret->e_shentsize == sizeof(Elf64_Shdr) &&
	       ret->e_shoff <= file.n &&
	       ret->e_shnum <= (file.n - ret->e_shoff) / sizeof(Elf64_Shdr);
}

/* Section i and what is in it. */
static bool section_at(struct slice file, const Elf64_Ehdr *h, unsigned i, Elf64_Shdr *ret,
		       struct slice *ret_inside)
{
	if (i >= h->e_shnum)
		return false;
	memcpy(ret, file.p + h->e_shoff + i * sizeof(*ret), sizeof(*ret));
	if (ret->sh_type == SHT_NOBITS || ret->sh_offset > file.n ||
	    ret->sh_size > file.n - ret->sh_offset)
		return false;
	*ret_inside = (struct slice){ file.p + ret->sh_offset, ret->sh_size };
	return true;
}

/* Whether the text that begins at offset at of names is name. */
static bool is_named(struct slice names, size_t at, const char *name)
{
	size_t n = strlen(name) + 1;

	return at <= names.n && n <= names.n - at && memcmp(names.p + at, name, n) == 0;
}

bool modinfo_find(struct slice file, struct slice *ret)
{
	Elf64_Ehdr h;
	Elf64_Shdr s;
	struct slice names, inside;

	if (!read_header(file, &h) || !section_at(file, &h, h.e_shstrndx, &s, &names))
		return false;
	for (unsigned i = 0; i < h.e_shnum; i++) {
		if (section_at(file, &h, i, &s, &inside) &&
		    is_named(names, s.sh_name, ".modinfo")) {
			*ret = inside;
			return true;
		}
	}
	return false;
}

bool modinfo_next(struct slice *rest, struct slice *ret_key, struct slice *ret_value)
{
	struct slice word;

	while (rest->n && slice_cut(rest, '\0', &word)) {
		if (slice_cut(&word, '=', ret_key) && word.p) {
			*ret_value = word;
			return true;
		}
	}
	return false;
}
