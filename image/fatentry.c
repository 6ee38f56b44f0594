/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "image/fatentry.h"

#include <endian.h>
#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

#include "lib/size.h"

#define SECTOR_MAX 4096u
#define CLUSTER_0  2u /* the number of the first one */

/* Of the boot sector. */
#define AT_SECTOR_SIZE	  11
#define AT_CLUSTER	  13
#define AT_RESERVED	  14
#define AT_FATS		  16
#define AT_ROOT_ENTRIES	  17
#define AT_FAT_SECTORS	  22
#define AT_FAT_SECTORS_32 36

/* Of an entry. */
#define ENTRY	      32u
#define NAME	      11u
#define AT_ATTRIBUTES 11
#define AT_CASE	      12
#define AT_HIGH	      20 /* of the first cluster; only in FAT32 */
#define AT_CONTENTS   22 /* time, date, low half of the first cluster, size */
#define AT_LOW	      26
#define AT_SIZE	      28
#define DELETED	      0xe5
#define DIRECTORY     0x10
#define NO_FILE	      0x18 /* directory, volume label, part of a long name */

struct volume {
	int fd;
	uint64_t data;	  /* bytes: cluster 2 */
	uint32_t sector;  /* bytes */
	uint32_t cluster; /* bytes */
	bool wide;	  /* FAT32 */
};

/* One entry and the sector it is in. */
struct entry {
	uint8_t sector[SECTOR_MAX];
	uint64_t place; /* of the sector */
	uint32_t at;	/* in it */
};

static uint32_t le16(const uint8_t *p)
{
	uint16_t v;

	memcpy(&v, p, sizeof(v));
	return le16toh(v);
}

static uint32_t le32(const uint8_t *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof(v));
	return le32toh(v);
}

static int get(const struct volume *v, uint64_t place, void *buf, uint32_t n)
{
	ssize_t got = pread(v->fd, buf, n, (off_t)place);

	return got < 0 ? -errno : got != (ssize_t)n ? -EIO : 0;
}

static int put(const struct volume *v, const struct entry *x)
{
	ssize_t n = pwrite(v->fd, x->sector, v->sector, (off_t)x->place);

	if (n >= 0 && n != (ssize_t)v->sector)
		return -EIO;
	return n < 0 || fdatasync(v->fd) < 0 ? -errno : 0;
}

static int open_volume(int fd, uint64_t offset, struct volume *ret, struct err *e)
{
	uint8_t b[512];
	struct volume v = { .fd = fd };
	int r = get(&v, offset, b, sizeof(b));

	if (r < 0)
		return err_num(e, r, "FAT");
	v.sector = le16(b + AT_SECTOR_SIZE);
	v.cluster = b[AT_CLUSTER] * v.sector;
	v.wide = le16(b + AT_FAT_SECTORS) == 0;
	if (v.sector < sizeof(b) || v.sector > SECTOR_MAX || v.sector % sizeof(b) || !v.cluster)
		return err_set(e, -ERR_INVALID, "this is no FAT file system");
	uint32_t fat = v.wide ? le32(b + AT_FAT_SECTORS_32) : le16(b + AT_FAT_SECTORS);
	uint32_t root = le16(b + AT_ROOT_ENTRIES) * ENTRY;
	v.data = offset + (le16(b + AT_RESERVED) + (uint64_t)b[AT_FATS] * fat +
			   (root + v.sector - 1) / v.sector) *
				  v.sector;
	*ret = v;
	return 0;
}

static uint32_t first_cluster(const struct volume *v, const uint8_t *entry)
{
	return le16(entry + AT_LOW) | (v->wide ? le16(entry + AT_HIGH) << 16 : 0);
}

/* The entry of the file that begins at cluster, in the sector x->sector. */
static bool in_sector(const struct volume *v, uint32_t cluster, struct entry *x)
{
	for (x->at = 0; x->at < v->sector; x->at += ENTRY) {
		const uint8_t *p = x->sector + x->at;
		if (*p && *p != DELETED && !(p[AT_ATTRIBUTES] & NO_FILE) &&
		    first_cluster(v, p) == cluster)
			return true;
	}
	return false;
}

static int find(const struct volume *v, const struct fat_chain *dir, uint32_t cluster,
		struct entry *x, struct err *e)
{
	for (uint32_t i = 0; i < dir->n; i++) {
		const struct fat_run *run = &dir->run[i];
		if (run->first < CLUSTER_0 || run->last < run->first)
			break;
		uint64_t end = v->data + (uint64_t)(run->last - CLUSTER_0 + 1) * v->cluster;
		x->place = v->data + (uint64_t)(run->first - CLUSTER_0) * v->cluster;
		for (; x->place < end; x->place += v->sector) {
			int r = get(v, x->place, x->sector, v->sector);
			if (r < 0)
				return err_num(e, r, "directory of a FAT");
			if (in_sector(v, cluster, x))
				return 0;
		}
	}
	return err_set(e, -ERR_INVALID, "no file of this directory begins at cluster %u", cluster);
}

static void exchange(const struct volume *v, uint8_t *a, uint8_t *b)
{
	uint8_t old[ENTRY];

	memcpy(old, a, ENTRY);
	memcpy(a + AT_CONTENTS, b + AT_CONTENTS, ENTRY - AT_CONTENTS);
	memcpy(b + AT_CONTENTS, old + AT_CONTENTS, ENTRY - AT_CONTENTS);
	if (v->wide) {
		memcpy(a + AT_HIGH, b + AT_HIGH, 2);
		memcpy(b + AT_HIGH, old + AT_HIGH, 2);
	}
}

/* Never two entries with one contents: a lost chain of clusters is garbage that fsck.fat frees, a
 * shared one loses a file when the other is deleted. */
static int exchange_apart(const struct volume *v, struct entry *x, struct entry *y)
{
	uint8_t name = y->sector[y->at];

	y->sector[y->at] = DELETED;
	int r = put(v, y);
	exchange(v, x->sector + x->at, y->sector + y->at);
	if (r == 0)
		r = put(v, x);
	y->sector[y->at] = name;
	return r == 0 ? put(v, y) : r;
}

int fat_exchange(int fd, uint64_t offset, const struct fat_chain *dir, uint32_t a, uint32_t b,
		 struct err *e)
{
	struct volume v;
	struct entry x, y;
	int r = open_volume(fd, offset, &v, e);

	if (r == 0)
		r = find(&v, dir, a, &x, e);
	if (r == 0)
		r = find(&v, dir, b, &y, e);
	if (r < 0)
		return r;
	if (fdatasync(fd) < 0) /* what the entries lead to */
		return err_sys(e, "FAT");
	if (x.place == y.place) {
		exchange(&v, x.sector + x.at, x.sector + y.at);
		r = put(&v, &x);
	} else {
		r = exchange_apart(&v, &x, &y);
	}
	return r < 0 ? err_num(e, r, "directory of a FAT") : 0;
}

/* ---- Directories ----------------------------------------------------------------------------- */

int fat_cluster_size(int fd, uint64_t offset, uint32_t *ret, struct err *e)
{
	struct volume v;
	int r = open_volume(fd, offset, &v, e);

	if (r == 0)
		*ret = v.cluster;
	return r;
}

static void put_le16(uint8_t *p, uint32_t n)
{
	uint16_t v = htole16((uint16_t)n);

	memcpy(p, &v, sizeof(v));
}

/* "." or "..", with the times of the directory that from is the entry of. */
static void format_dots(uint8_t *at, const uint8_t *from, uint32_t dots, uint32_t cluster)
{
	memcpy(at, from, ENTRY);
	memset(at, ' ', NAME);
	memset(at, '.', dots);
	at[AT_ATTRIBUTES] = DIRECTORY;
	at[AT_CASE] = 0;
	put_le16(at + AT_HIGH, cluster >> 16);
	put_le16(at + AT_LOW, cluster & 0xffff);
	memset(at + AT_SIZE, 0, ENTRY - AT_SIZE);
}

int fat_make_directory(int fd, uint64_t offset, const struct fat_chain *parent, uint32_t cluster,
		       struct err *e)
{
	struct entry x, inside = { .at = 0 };
	struct volume v;
	int r = open_volume(fd, offset, &v, e);

	if (r == 0)
		r = find(&v, parent, cluster, &x, e);
	if (r < 0)
		return r;
	uint8_t *entry = x.sector + x.at;
	inside.place = v.data + (uint64_t)(cluster - CLUSTER_0) * v.cluster;
	format_dots(inside.sector, entry, 1, cluster);
	format_dots(inside.sector + ENTRY, entry, 2, parent->run->first);
	entry[AT_ATTRIBUTES] = DIRECTORY;
	memset(entry + AT_SIZE, 0, ENTRY - AT_SIZE);
	r = put(&v, &inside);
	if (r == 0)
		r = put(&v, &x);
	return r < 0 ? err_num(e, r, "directory of a FAT") : 0;
}
