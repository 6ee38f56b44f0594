/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What is on a block device. The only file that knows libblkid.
 *
 * Anybody may have written a disk, so the library looks at it in a child that has the open device
 * and nothing else: not our rights, our descriptors, or more than a dozen system calls, and limits
 * of time and memory. What it says is checked for length; labels may have any bytes.
 */
#pragma once

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>

#define PROBE_TYPE_MAX 32
#define PROBE_MS       10000 /* a disk that has to start turning needs some seconds */

struct probe {
	char type[PROBE_TYPE_MAX]; /* "ext4", "" for nothing known */
	char label[256];	   /* of the file system */
	char uuid[64];		   /* of the file system */
	char partuuid[64];	   /* of the partition, "" for a whole device */
	char partlabel[128];
	char parttype[64]; /* of the partition: a GUID, or "0xef" in a table of the old kind */
};

/* Look at the device or image at path. 0, or -errno when it cannot be opened or read; -ETIMEDOUT.
 * Two different file systems on one device are told as nothing known (-ENOTUNIQ). */
int probe_device(const char *path, struct probe *ret);
int probe_device_within(const char *path, int ms, struct probe *ret);

/* Does what was seen answer to LABEL=…, UUID=…, PARTUUID=… or PARTLABEL=…? */
bool probe_matches(const struct probe *p, const char *spec);
/* The first block device, in the order of /proc/partitions, that answers to LABEL=…, UUID=…,
 * PARTUUID=… or PARTLABEL=…, and the type of its file system. -ENODEV: none does. */
int probe_find(const char *spec, char device[PATH_MAX], char type[PROBE_TYPE_MAX]);
