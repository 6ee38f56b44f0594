/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/probe.h"

#include <blkid.h>
#include <errno.h>
#include <fcntl.h>

#include "lib/fd.h"

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
