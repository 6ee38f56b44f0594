/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "image/qcow2.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/fd.h"
#include "lib/size.h"

#define CLUSTER_BITS 16
#define CLUSTER	     (UINT64_C(1) << CLUSTER_BITS)
#define L2_ENTRIES   (CLUSTER / sizeof(uint64_t))
#define REF_ENTRIES  (CLUSTER / sizeof(uint16_t))
#define HEADER_BYTES 104
#define COPIED	     (UINT64_C(1) << 63) /* nothing else refers to the cluster */

struct header { /* all big endian */
	uint32_t magic, version;
	uint64_t backing_file;
	uint32_t backing_size, cluster_bits;
	uint64_t size;
	uint32_t encryption, l1_entries;
	uint64_t l1_table, refcount_table;
	uint32_t refcount_clusters, snapshots;
	uint64_t snapshot_table, incompatible, compatible, autoclear;
	uint32_t refcount_order, header_bytes;
};
_Static_assert(sizeof(struct header) == HEADER_BYTES, "as the format has it");

/* The file grows cluster by cluster: header, then data, each L2 table behind the data it maps, then
 * the L1 table, the refcount blocks and their table. */
struct qcow2 {
	int in, out;	 /* borrowed */
	uint64_t size;	 /* of the disk */
	uint64_t next;	 /* first free cluster of the file */
	uint64_t *l1;	 /* owned; big endian */
	size_t nl1;	 /* entries */
	uint64_t *l2;	 /* owned; the table at hand, big endian */
	size_t l2_index; /* which it is */
	bool l2_used;
	char *buf; /* owned; CLUSTER bytes */
};

static uint64_t clusters_of(uint64_t bytes)
{
	return (bytes + CLUSTER - 1) / CLUSTER;
}

/* One cluster, the next of the file. */
static int append(struct qcow2 *q, const void *p, uint64_t *ret_offset, struct err *e)
{
	int r = fd_write_full(q->out, p, CLUSTER);

	if (r < 0)
		return err_num(e, r, "writing the image");
	*ret_offset = q->next++ * CLUSTER;
	return 0;
}

/* A table of whole clusters. */
static int append_table(struct qcow2 *q, const void *table, uint64_t clusters, uint64_t *ret_offset,
			struct err *e)
{
	uint64_t at = 0;
	int r = 0;

	*ret_offset = q->next * CLUSTER;
	for (uint64_t i = 0; i < clusters && r == 0; i++)
		r = append(q, (const char *)table + i * CLUSTER, &at, e);
	return r;
}

/* ---- Data ------------------------------------------------------------------------------------ */

static int l2_flush(struct qcow2 *q, struct err *e)
{
	uint64_t at = 0;

	if (!q->l2_used)
		return 0;
	int r = append(q, q->l2, &at, e);
	if (r < 0)
		return r;
	q->l1[q->l2_index] = htobe64(at | COPIED);
	memset(q->l2, 0, CLUSTER);
	q->l2_used = false;
	return 0;
}

static bool is_zero(const char *p)
{
	return p[0] == 0 && memcmp(p, p + 1, CLUSTER - 1) == 0;
}

/* The cluster at disk offset at: copied unless it is zero. */
static int copy_cluster(struct qcow2 *q, uint64_t at, struct err *e)
{
	uint64_t index = at / CLUSTER, left = q->size - at, offset = 0;
	size_t n = left < CLUSTER ? (size_t)left : CLUSTER;
	int r = lseek(q->in, (off_t)at, SEEK_SET) < 0 ? -errno : fd_read_full(q->in, q->buf, n);

	if (r < 0)
		return err_num(e, r, "reading the disk");
	memset(q->buf + n, 0, CLUSTER - n);
	if (is_zero(q->buf))
		return 0;
	if (index / L2_ENTRIES != q->l2_index && (r = l2_flush(q, e)) < 0)
		return r;
	q->l2_index = index / L2_ENTRIES;
	if ((r = append(q, q->buf, &offset, e)) < 0)
		return r;
	q->l2[index % L2_ENTRIES] = htobe64(offset | COPIED);
	q->l2_used = true;
	return 0;
}

static int copy_data(struct qcow2 *q, struct err *e)
{
	uint64_t at = 0;

	while (at < q->size) {
		off_t data = lseek(q->in, (off_t)at, SEEK_DATA);
		if (data < 0 && errno == ENXIO) /* holes up to the end */
			break;
		if (data < 0)
			return err_sys(e, "reading the disk");
		at = (uint64_t)data / CLUSTER * CLUSTER;
		int r = at < q->size ? copy_cluster(q, at, e) : 0;
		if (r < 0)
			return r;
		at += CLUSTER;
	}
	return l2_flush(q, e);
}

/* ---- Tables ---------------------------------------------------------------------------------- */

/* Every cluster of the file has one reference, those of the refcounts too. */
static int write_refcounts(struct qcow2 *q, struct header *h, struct err *e)
{
	uint64_t blocks = 0, table = 0, total = 0, before;

	do {
		before = total;
		total = q->next + blocks + table;
		blocks = (total + REF_ENTRIES - 1) / REF_ENTRIES;
		table = clusters_of(blocks * sizeof(uint64_t));
	} while (total != before);
	auto_free uint64_t *entries = calloc(table, CLUSTER);
	auto_free uint16_t *block = malloc(CLUSTER);
	if (!entries || !block)
		return err_num(e, -ENOMEM, "writing the image");
	for (uint64_t i = 0; i < blocks; i++) {
		uint64_t at = 0;

		for (uint64_t k = 0; k < REF_ENTRIES; k++)
			block[k] = i * REF_ENTRIES + k < total ? htobe16(1) : 0;
		int r = append(q, block, &at, e);
		if (r < 0)
			return r;
		entries[i] = htobe64(at);
	}
	uint64_t at = 0;
	int r = append_table(q, entries, table, &at, e);
	h->refcount_table = htobe64(at);
	h->refcount_clusters = htobe32((uint32_t)table);
	return r;
}

static int write_header(struct qcow2 *q, const struct header *h, struct err *e)
{
	/* behind it the end of the header's extensions: eight zero bytes, there already */
	ssize_t n = pwrite(q->out, h, sizeof(*h), 0);

	if (n < 0)
		return err_sys(e, "writing the image");
	return n == sizeof(*h) ? 0 : err_num(e, -EIO, "writing the image");
}

static int qcow2_write(struct qcow2 *q, struct err *e)
{
	struct header h = { .magic = htobe32(0x514649fb), /* "QFI", 0xfb */
			    .version = htobe32(3),
			    .cluster_bits = htobe32(CLUSTER_BITS),
			    .size = htobe64(q->size),
			    .l1_entries = htobe32((uint32_t)q->nl1),
			    .refcount_order = htobe32(4), /* 16 bits */
			    .header_bytes = htobe32(HEADER_BYTES) };
	uint64_t at = 0;
	int r;

	if ((r = append(q, q->buf, &at, e)) < 0 || /* the header's */
	    (r = copy_data(q, e)) < 0 ||
	    (r = append_table(q, q->l1, clusters_of(q->nl1 * sizeof(uint64_t)), &at, e)) < 0)
		return r;
	h.l1_table = htobe64(at);
	if ((r = write_refcounts(q, &h, e)) < 0)
		return r;
	return write_header(q, &h, e);
}

static int input_open(const char *input, uint64_t *ret_size, struct err *e)
{
	struct stat st;
	auto_fd int fd = open(input, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

	if (fd < 0 || fstat(fd, &st) < 0)
		return err_sys(e, "%s", input);
	if (!S_ISREG(st.st_mode))
		return err_set(e, -ERR_INVALID, "%s is no regular file", input);
	if (st.st_size == 0 || st.st_size % QCOW2_SECTOR)
		return err_set(e, -ERR_INVALID, "%s is no disk: its size is not a multiple of %d",
			       input, QCOW2_SECTOR);
	if ((uint64_t)st.st_size > LIMIT_QCOW2_DISK)
		return err_set(e, -ERR_LIMIT, "%s is larger than 1 PiB", input);
	*ret_size = (uint64_t)st.st_size;
	return fd_take(&fd);
}

int qcow2_make(const char *input, const char *output, uint64_t *ret_size, struct err *e)
{
	struct qcow2 q = { .in = -1 };

	auto_fd int in = input_open(input, &q.size, e);
	if (in < 0)
		return in;
	auto_fd int out = open(output, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	if (out < 0)
		return err_sys(e, "%s", output);
	q.in = in;
	q.out = out;
	q.nl1 = (clusters_of(q.size) + L2_ENTRIES - 1) / L2_ENTRIES;
	q.l1 = calloc(clusters_of(q.nl1 * sizeof(uint64_t)), CLUSTER);
	q.l2 = calloc(1, CLUSTER);
	q.buf = calloc(1, CLUSTER);
	int r = q.l1 && q.l2 && q.buf ? qcow2_write(&q, e)
				      : err_num(e, -ENOMEM, "writing the image");
	free(q.l1);
	free(q.l2);
	free(q.buf);
	if (r < 0)
		(void)unlink(output); /* half an image is of no use */
	else
		*ret_size = q.next * CLUSTER;
	return r;
}
