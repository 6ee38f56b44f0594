/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Disks by somebody who means ill: what libblkid is asked, and what becomes of a library that was
 * taken over. This program's blkid_do_safeprobe stands before the library's, and so runs where that
 * would.
 */
#include "lib/probe.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/fd.h"
#include "lib/gpt.h"
#include "lib/loop.h"
#include "lib/size.h"
#include "lib/text.h"
#include "tests/unit/test.h"

#define SIZE (4u << 20)

static uint8_t disk[SIZE];
static char path[PATH_MAX];
static int file = -1, canary = -1;
static int (*taken_over)(void);

int blkid_do_safeprobe(void *probe); /* by name, so without the library's header */
int blkid_do_safeprobe(void *probe)
{
	int (*next)(void *) = (int (*)(void *))dlsym(RTLD_NEXT, "blkid_do_safeprobe");

	return taken_over ? taken_over() : next(probe);
}

/* The disk as it is in memory; sparse, so that thousands take no time. */
static int look(struct probe *ret)
{
	const char *dir = getenv("TMP");

	(void)snprintf(path, sizeof(path), "%s/t_probe.disk", dir ? dir : "/tmp");
	if (file < 0 && (file = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600)) < 0)
		abort();
	if (ftruncate(file, 0) < 0 || ftruncate(file, SIZE) < 0)
		abort();
	for (size_t i = 0; i < SIZE; i += 4096) {
		static const uint8_t zeros[4096];
		if (memcmp(disk + i, zeros, sizeof(zeros)) != 0 &&
		    pwrite(file, disk + i, sizeof(zeros), (off_t)i) != sizeof(zeros))
			abort();
	}
	*ret = (struct probe){ .type = "untouched" };
	return probe_device(path, ret);
}

static void clear(void)
{
	memset(disk, 0, sizeof(disk));
}

static void put(size_t at, uint64_t v, size_t n)
{
	for (size_t i = 0; i < n; i++)
		disk[at + i] = (uint8_t)(v >> 8 * i);
}

static void make_swap(const char *label)
{
	put(1024, 1, 4);	       /* version */
	put(1028, SIZE / 4096 - 1, 4); /* last page */
	memset(disk + 1036, 0x11, 16); /* UUID */
	memcpy(disk + 1052, label, strnlen(label, 16));
	memcpy(disk + 4086, "SWAPSPACE2", 10);
}

static void make_ext2(const char *label)
{
	put(1024, 512, 4);		     /* inodes */
	put(1028, SIZE / 1024, 4);	     /* blocks */
	put(1024 + 20, 1, 4);		     /* first block */
	put(1024 + 56, 0xef53, 2);	     /* magic number */
	put(1024 + 76, 1, 4);		     /* revision */
	memset(disk + 1024 + 104, 0x22, 16); /* UUID */
	memcpy(disk + 1024 + 120, label, strnlen(label, 16));
}

/* Extended partitions of an MBR that lead to each other. */
static void make_cyclic(void)
{
	put(446 + 4, 0x05, 1);
	put(446 + 8, 64, 4);
	put(446 + 12, 1000, 4);
	put(510, 0xaa55, 2);
	for (size_t at = 64; at <= 128; at += 64) {
		size_t o = at * 512 + 446;
		put(o + 4, 0x83, 1);
		put(o + 8, 1, 4);
		put(o + 12, 10, 4);
		put(o + 16 + 4, 0x05, 1);
		put(o + 16 + 8, at == 64 ? 64 : 0, 4);
		put(o + 16 + 12, 100, 4);
		put(at * 512 + 510, 0xaa55, 2);
	}
}

/* A sound checksum over entries that are beyond the disk, and over each other. */
static void make_gpt(void)
{
	static struct gpt g;
	struct err e = ERR_INIT;

	memset(&g, 0, sizeof(g));
	g.sectors = 1ull << 40;
	g.nparts = 2;
	for (size_t i = 0; i < 2; i++) {
		CHECK_INT(guid_parse(slice_of(GPT_TYPE_LINUX_DATA), &g.part[i].type), 0);
		g.part[i].first = (i + 1) << 30;
		g.part[i].last = ((i + 2) << 30) - 1;
		g.part[i].label = "far";
	}
	static uint8_t tail[GPT_TAIL_SECTORS * GPT_SECTOR];
	CHECK_INT(gpt_format(&g, disk, tail, &e), 0);
}

static const char HOSTILE[] = "a\n\033[2J\"';$(\xff\t";

TEST(labels_are_bytes)
{
	auto_str struct str safe = STR_INIT;
	struct probe p;

	clear();
	make_swap(HOSTILE);
	CHECK_INT(look(&p), 0);
	CHECK_STR(p.type, "swap");
	text_safe(&safe, slice_of(p.label));
	CHECK(p.label[0] == 'a' && !strchr(safe.buf, '\033') && !strchr(safe.buf, '\n'));
	clear();
	make_ext2(HOSTILE);
	CHECK_INT(look(&p), 0);
	CHECK(strncmp(p.type, "ext", 3) == 0 && p.label[0] == 'a');
}

TEST(two_on_one)
{
	struct probe p;

	clear();
	memcpy(disk, "hsqs", 4);
	put(28, 4, 2); /* version of squashfs */
	make_ext2("two");
	CHECK_INT(look(&p), -ENOTUNIQ);
	CHECK_STR(p.type, "untouched");
}

TEST(tables_that_lie)
{
	struct probe p;

	clear();
	make_cyclic();
	CHECK_INT(look(&p), 0);
	CHECK_STR(p.type, "");
	clear();
	make_gpt();
	CHECK_INT(look(&p), 0);
	make_swap("x");
	CHECK_INT(look(&p), 0);
	CHECK_STR(p.type, "swap");
}

static uint64_t state = 0x9e3779b97f4a7c15;

static uint64_t next_random(void)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state;
}

/* Magic numbers that the library knows, each at its place, among random bytes. */
static void plant(unsigned i)
{
	static const struct {
		size_t at;
		const char *magic;
	} known[] = { { 0, "XFSB" },
		      { 65600, "_BHRfS_M" },
		      { 1024, "\xe2\xe1\xf5\xe0" },
		      { 0, "hsqs" },
		      { 0, "LUKS\xba\xbe" },
		      { 512, "LABELONE" },
		      { 32769, "CD001" },
		      { 32769, "BEA01" },
		      { 1024, "\x10\x20\xf5\xf2" },
		      { 3, "NTFS    " },
		      { 54, "FAT16   " },
		      { 82, "FAT32   " },
		      { 3, "EXFAT   " },
		      { 131072, "\x0c\xb1\xba" },
		      { 1024, "H+" },
		      { 4096, "\xfc\x4e\x2b\xa9" },
		      { 1024, "BD" },
		      { 9564, "\x19\x01\x54\x19" } };

	clear();
	for (size_t at = 0; at < 262144; at += 8)
		put(at, next_random(), 8);
	if (i % 4 == 1)
		make_gpt();
	else if (i % 4 == 2)
		make_cyclic();
	size_t n = i % ARRAY_LEN(known);
	memcpy(disk + known[n].at, known[n].magic, strlen(known[n].magic));
	if (i % 8 > 3)
		make_ext2(HOSTILE);
	if (i % 16 > 11)
		make_swap(HOSTILE);
	for (unsigned k = 0; k < i % 32; k++)
		disk[next_random() % 262144] = (uint8_t)next_random();
}

TEST(noise)
{
	unsigned died = 0, slow = 0;
	struct probe p;

	for (unsigned i = 0; i < 400; i++) {
		plant(i);
		uint64_t begun = loop_now();
		int r = look(&p);
		died += r != 0 && r != -ENOTUNIQ;
		slow += loop_now() - begun > 5000000000;
	}
	CHECK_INT(died, 0);
	CHECK_INT(slow, 0);
}

/* ---- A library that was taken over ------------------------------------------------------------
 */

/* The bit of each thing that it could do goes into what it returns. */
static int try_everything(void)
{
	int can = 0;

	can |= (open("/etc/passwd", O_RDONLY | O_CLOEXEC) >= 0) << 0;
	can |= (open("t_probe.made", O_WRONLY | O_CREAT | O_CLOEXEC, 0600) >= 0) << 1;
	can |= (socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0) >= 0) << 2;
	can |= (kill(getppid(), 0) == 0) << 3;
	can |= (execl("/bin/true", "true", (char *)NULL) >= 0) << 4;
	can |= (unlink(path) == 0) << 5;
	can |= (fcntl(canary, F_GETFD) >= 0) << 6;
	can |= (write(canary, "x", 1) == 1) << 7;
	can |= (setuid(0) == 0 && geteuid() == 0 && getuid() == 0) << 8;
	can |= (ftruncate(0, 0) == 0) << 9;
	can |= (write(0, "x", 1) == 1) << 10;
	pid_t pid = fork();
	if (pid == 0)
		_exit(0);
	can |= (pid > 0) << 11;
	errno = can ? 1000 + can : ENOTTY;
	return -1;
}

TEST(can_do_nothing)
{
	struct probe p;

	clear();
	canary = open("/dev/null", O_WRONLY | O_CLOEXEC);
	taken_over = try_everything;
	CHECK_INT(look(&p), -ENOTTY);
	taken_over = NULL;
	fd_close(&canary);
}

static int spin(void)
{
	for (volatile bool on = true; on;)
		;
	return 0;
}

TEST(has_little_time)
{
	struct probe p;
	uint64_t begun = loop_now();

	taken_over = spin;
	CHECK_INT(probe_device_within(path, 200, &p), -ETIMEDOUT);
	CHECK(loop_now() - begun < 3000000000);
	taken_over = NULL;
	CHECK(waitpid(-1, NULL, WNOHANG) < 0 && errno == ECHILD);
}

/* Touches what it gets: a disk must not make the machine swap. */
static int eat(void)
{
	for (;;) {
		char *p = malloc(1 << 20);
		if (!p)
			break;
		for (size_t i = 0; i < 1 << 20; i += 4096)
			p[i] = 1;
	}
	errno = ENOMEM;
	return -1;
}

TEST(has_little_memory)
{
	struct probe p;

	if (SANITIZED)
		TEST_SKIP("the sanitizer needs memory without limit");
	taken_over = eat;
	CHECK_INT(look(&p), -ENOMEM);
	taken_over = NULL;
}

static int crash(void)
{
	abort();
}

TEST(may_die)
{
	struct probe p;

	taken_over = crash;
	CHECK_INT(look(&p), -EIO);
	taken_over = NULL;
	(void)unlink(path);
}

TEST_MAIN(labels_are_bytes, two_on_one, tables_that_lie, noise, can_do_nothing, has_little_time,
	  has_little_memory, may_die)
