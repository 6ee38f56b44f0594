/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/probe.h"

#include <blkid.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "lib/fd.h"
#include "lib/slice.h"
#include "lib/str.h"

#define LIMIT_DEVICES_TEXT (256u << 10)

static void take(blkid_probe p, const char *name, char *out, size_t size)
{
	const char *value;

	out[0] = '\0';
	if (blkid_probe_lookup_value(p, name, &value, NULL) == 0)
		(void)snprintf(out, size, "%s", value); /* a longer one matches nothing */
}

static int look(blkid_probe p, int fd, struct probe *ret)
{
	if (blkid_probe_set_device(p, fd, 0, 0) < 0)
		return -EIO;
	blkid_probe_enable_superblocks(p, 1);
	blkid_probe_set_superblocks_flags(p, BLKID_SUBLKS_LABEL | BLKID_SUBLKS_UUID |
						     BLKID_SUBLKS_TYPE);
	blkid_probe_enable_partitions(p, 1);
	blkid_probe_set_partitions_flags(p, BLKID_PARTS_ENTRY_DETAILS);
	int r = blkid_do_safeprobe(p);
	if (r == -2)
		return -ENOTUNIQ;
	if (r < 0)
		return errno ? -errno : -EIO;
	take(p, "TYPE", ret->type, sizeof(ret->type));
	take(p, "LABEL", ret->label, sizeof(ret->label));
	take(p, "UUID", ret->uuid, sizeof(ret->uuid));
	take(p, "PART_ENTRY_UUID", ret->partuuid, sizeof(ret->partuuid));
	take(p, "PART_ENTRY_NAME", ret->partlabel, sizeof(ret->partlabel));
	return 0;
}

int probe_device(const char *path, struct probe *ret)
{
	struct probe found = { "" };
	auto_fd int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;

	blkid_probe p = blkid_new_probe();
	if (!p)
		return -ENOMEM;
	errno = 0;
	int r = look(p, fd, &found);
	blkid_free_probe(p);
	if (r == 0)
		*ret = found;
	return r;
}

/* ---- Finding --------------------------------------------------------------------------------- */

static bool same_id(const char *a, struct slice b)
{
	struct slice s = slice_of(a);

	if (s.n == 0 || s.n != b.n)
		return false;
	for (size_t i = 0; i < b.n; i++) {
		char x = s.p[i], y = b.p[i];
		x = x >= 'A' && x <= 'Z' ? (char)(x + 32) : x;
		y = y >= 'A' && y <= 'Z' ? (char)(y + 32) : y;
		if (x != y)
			return false;
	}
	return true;
}

static bool matches(const struct probe *p, struct slice key, struct slice value)
{
	if (slice_is(key, "LABEL"))
		return value.n && slice_is(value, p->label);
	if (slice_is(key, "PARTLABEL"))
		return value.n && slice_is(value, p->partlabel);
	if (slice_is(key, "UUID"))
		return same_id(p->uuid, value);
	return slice_is(key, "PARTUUID") && same_id(p->partuuid, value);
}

int probe_find(const char *spec, char device[PATH_MAX], char type[PROBE_TYPE_MAX])
{
	auto_str struct str text = STR_INIT;
	int r = file_read(AT_FDCWD, "/proc/partitions", &text, LIMIT_DEVICES_TEXT, NULL);
	struct slice rest = str_slice(&text), line, value = slice_of(spec), key;

	if (r < 0)
		return r;
	if (!slice_cut(&value, '=', &key))
		return -EINVAL;
	while (slice_cut(&rest, '\n', &line)) {
		const char *blank = line.n ? memrchr(line.p, ' ', line.n) : NULL;
		struct probe p;
		if (!blank)
			continue;
		int n = (int)(line.n - (size_t)(blank + 1 - line.p));
		if (n == 0 || strncmp(blank + 1, "name", 4) == 0)
			continue;
		snprintf(device, PATH_MAX, "/dev/%.*s", n, blank + 1);
		if (probe_device(device, &p) < 0 || !matches(&p, key, value))
			continue;
		memcpy(type, p.type, sizeof(p.type));
		return 0;
	}
	return -ENODEV;
}
