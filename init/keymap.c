/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "init/keymap.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/kd.h>
#include <string.h>
#include <sys/ioctl.h>

#include "lib/fd.h"

#define MAGIC	   "bkeymap"
#define MAGIC_LEN  (sizeof(MAGIC) - 1)
#define MAPS	   256u
#define KEYS	   128u
#define HEAD	   (MAGIC_LEN + MAPS)
#define MAP_LEN	   (KEYS * sizeof(uint16_t))
#define LIMIT_FILE (HEAD + MAPS * MAP_LEN)

static bool is_whole(const struct str *text)
{
	size_t maps = 0;

	if (text->len < HEAD || memcmp(text->buf, MAGIC, MAGIC_LEN) != 0)
		return false;
	for (size_t i = 0; i < MAPS; i++)
		maps += text->buf[MAGIC_LEN + i] != 0;
	return text->len == HEAD + maps * MAP_LEN;
}

static int load_map(int screen, unsigned map, const char *values, struct err *e)
{
	for (unsigned key = 0; key < KEYS; key++) {
		struct kbentry entry = { .kb_table = (unsigned char)map,
					 .kb_index = (unsigned char)key };

		memcpy(&entry.kb_value, values + key * sizeof(entry.kb_value),
		       sizeof(entry.kb_value));
		/* A value that the kernel does not know: without that key, but with the others. */
		if (ioctl(screen, KDSKBENT, &entry) < 0 && errno != EINVAL)
			return err_sys(e, "key %u of map %u", key, map);
	}
	return 0;
}

int keymap_load(int screen, const char *file, struct err *e)
{
	auto_str struct str text = STR_INIT;
	int r = file_read(AT_FDCWD, file, &text, LIMIT_FILE, e);

	if (r < 0)
		return r;
	if (!is_whole(&text))
		return err_set(e, -ERR_SYNTAX, "%s is no layout of a keyboard", file);
	const char *at = text.buf + HEAD;
	for (unsigned map = 0; r == 0 && map < MAPS; map++) {
		if (!text.buf[MAGIC_LEN + map])
			continue;
		r = load_map(screen, map, at, e);
		at += MAP_LEN;
	}
	return r;
}
