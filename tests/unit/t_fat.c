/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "image/fat.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "image/fatentry.h"
#include "lib/arena.h"
#include "lib/fd.h"
#include "lib/proc.h"
#include "lib/size.h"
#include "tests/unit/test.h"

/* ---- Entries */

#define SECTOR	512
#define CLUSTER (data + 2 * SECTOR) /* the directory: cluster 3, two sectors */

/* A FAT32 of two reserved sectors, one FAT of one sector, clusters of two sectors. */
static uint8_t disk[SECTOR * 16];
static uint8_t *const data = disk + SECTOR + 3 * SECTOR; /* after a sector of something else */

static void entry(uint8_t *at, const char *name, uint32_t cluster, uint8_t size)
{
	memcpy(at, name, 11);
	at[20] = (uint8_t)(cluster >> 16);
	at[21] = (uint8_t)(cluster >> 24);
	at[22] = size; /* a time */
	at[26] = (uint8_t)cluster;
	at[27] = (uint8_t)(cluster >> 8);
	at[28] = size;
}

static void volume(void)
{
	uint8_t *boot = disk + SECTOR;

	memset(disk, 0, sizeof(disk));
	boot[12] = SECTOR >> 8;
	boot[13] = 2;
	boot[14] = 2;
	boot[16] = 1;
	boot[36] = 1;
	entry(CLUSTER, "DIR        ", 0x30002, 0);
	CLUSTER[11] = 0x10;
	entry(CLUSTER + 32, "\xe5OLD       ", 0x30002, 0);
	entry(CLUSTER + 64, "A          ", 0x30002, 7);
}

static int swapped(int *fd, struct err *e)
{
	const struct fat_chain dir = { .run = { { 3, 3 } }, .n = 1 };
	char name[] = "/tmp/fat.XXXXXX";

	*fd = mkstemp(name);
	CHECK(*fd >= 0 && unlink(name) == 0);
	CHECK_INT(fd_write_full(*fd, disk, sizeof(disk)), 0);
	return fat_exchange(*fd, SECTOR, &dir, 0x30002, 0x40005, e);
}

static void exchange_at(uint8_t *other)
{
	struct err e = ERR_INIT;
	auto_fd int fd = -1;
	uint8_t got[sizeof(disk)];

	volume();
	entry(other, "B          ", 0x40005, 9);
	CHECK_INT(swapped(&fd, &e), 0);
	CHECK_INT(pread(fd, got, sizeof(got), 0), sizeof(got));
	entry(CLUSTER + 64, "A          ", 0x40005, 9);
	entry(other, "B          ", 0x30002, 7);
	CHECK(memcmp(got, disk, sizeof(disk)) == 0);
}

TEST(exchange)
{
	exchange_at(CLUSTER + 96);
	exchange_at(CLUSTER + SECTOR + 32);
}

TEST(exchange_refuses)
{
	struct err e = ERR_INIT;
	auto_fd int fd = -1;
	uint8_t got[sizeof(disk)];

	volume();
	CHECK_INT(swapped(&fd, &e), -ERR_INVALID);
	CHECK_STR(e.msg, "no file of this directory begins at cluster 262149");
	CHECK_INT(pread(fd, got, sizeof(got), 0), sizeof(got));
	CHECK(memcmp(got, disk, sizeof(disk)) == 0);
	fd_close(&fd);
	disk[SECTOR + 13] = 0;
	CHECK_INT(swapped(&fd, &e), -ERR_INVALID);
}

/* ---- Sharing one with other systems */

static char dir[sizeof("/tmp/share.XXXXXX")];

static const char *in_dir(const char *name)
{
	static char path[4][sizeof(dir) + 16];
	static unsigned next;
	char *p = path[next++ % ARRAY_LEN(path)];

	(void)snprintf(p, sizeof(path[0]), "%s/%s", dir, name);
	return p;
}

static void write_file(const char *name, const char *text, mode_t mode)
{
	struct err e = ERR_INIT;

	CHECK_INT(file_write_atomic(AT_FDCWD, in_dir(name), text, strlen(text), mode, &e), 0);
}

/* As a shell does; its status. */
static int shell(const char *line)
{
	const char *const argv[] = { "sh", "-c", line, NULL };
	struct proc_spec spec = PROC_SPEC_INIT;
	struct err e = ERR_INIT;

	spec.argv = argv;
	return proc_run(&spec, &e);
}

/* mtools that writes a line before each call and, from call number "stop" on, fails; between two
 * calls the loader is the other system's or ours, whole. */
static void spy(unsigned stop)
{
	char text[1200];

	(void)snprintf(text, sizeof(text),
		       "#!/bin/sh\nPATH=$PATH:/usr/bin\ncd %s\necho >>calls\n"
		       "mtools -c mtype -i esp ::/EFI/BOOT/BOOTX64.EFI >now 2>/dev/null\n"
		       "cmp -s now other || { cmp -s now ours && mtools -c mtype -i esp "
		       "::/EFI/BOOT/BOOTX64.EFI.saved | cmp -s - other; } || echo >>gone\n"
		       "[ $(wc -l <calls) -lt %u ] || exit 1\nexec mtools \"$@\"\n",
		       dir, stop);
	write_file("spy", text, 0755);
}

static const char make_esp[] =
	"cd %s && rm -f esp calls && mkfs.fat -C esp %u >/dev/null && mtools -c mmd -i esp ::/EFI "
	"&& "
	"mtools -c mmd -i esp ::/EFI/BOOT && "
	"for i in $(seq %u); do mtools -c mcopy -i esp other ::/EFI/BOOT/$i; done && "
	"mtools -c mcopy -i esp other ::/EFI/BOOT/BOOTX64.EFI";

static int share(struct err *e)
{
	char esp[64], tool[64], source[64];

	(void)snprintf(esp, sizeof(esp), "%s/esp", dir);
	(void)snprintf(tool, sizeof(tool), "%s/spy", dir);
	(void)snprintf(source, sizeof(source), "%s/ours", dir);
	const struct fat_opts o = { .file = esp, .mtools = tool, .foreign = true };
	return fat_share(&o, source, "EFI/BOOT", "BOOTX64.EFI", e);
}

/* Cut off before every call, and completed: the number of calls. files: others of the directory, so
 * that entries lie in one sector or in two. */
static void cut_off(unsigned kib, unsigned files)
{
	char line[600];
	unsigned stop = 0;
	int r = -1;

	while (r < 0 && (stop += SANITIZED ? 4 : 1) < 60) {
		struct err e = ERR_INIT;
		(void)snprintf(line, sizeof(line), make_esp, dir, kib, files);
		CHECK_INT(shell(line), 0);
		spy(stop);
		r = share(&e);
		spy(1000);
		CHECK_INT(share(&e), 0);
		(void)snprintf(
			line, sizeof(line),
			"cd %s && test ! -e gone && fsck.fat -n esp >/dev/null && "
			"mtools -c mtype -i esp ::/EFI/BOOT/BOOTX64.EFI | cmp - ours && "
			"mtools -c mtype -i esp ::/EFI/BOOT/BOOTX64.EFI.saved | cmp - other && "
			"test $(mtools -c mdir -b -i esp ::/EFI/BOOT | wc -l) = %u",
			dir, files + 2);
		CHECK_INT(shell(line), 0);
	}
	CHECK(r == 0 && stop > 10);
}

TEST(shared)
{
	memcpy(dir, "/tmp/share.XXXXXX", sizeof(dir));
	CHECK(mkdtemp(dir) != NULL);
	write_file("other",
		   "the other system's, of more than one cluster: "
		   "................................................................",
		   0644);
	write_file("ours", "ours", 0644);
	cut_off(4096, 0);
	cut_off(66000, 10);
	CHECK_INT(file_delete_tree(AT_FDCWD, dir, NULL, &(struct err)ERR_INIT), 0);
}

/* ---- Directories with room */

#define ROOM (32u << 10)

static void make_roomy(const char *name, uint64_t size)
{
	struct manifest m = { .arena = &(struct arena)ARENA_INIT, .entries = VEC_INIT };
	struct err e = ERR_INIT;
	const struct fat_opts o = { .file = in_dir(name),
				    .size = size,
				    .serial = 0x12345678,
				    .label = "ESP",
				    .mkfs = "mkfs.fat",
				    .mtools = "mtools",
				    .roomy = "EFI/cairn",
				    .room = ROOM };

	write_file(name, "", 0644);
	CHECK_INT(truncate(o.file, (off_t)size), 0);
	(void)manifest_dir(&m, "", 0755);
	(void)manifest_dir(&m, "EFI", 0755);
	(void)manifest_dir(&m, "EFI/BOOT", 0755);
	(void)manifest_dir(&m, "EFI/cairn", 0755);
	(void)manifest_bytes(&m, "EFI/cairn/menu", 0644, SLICE("whole"));
	CHECK_INT(manifest_finish(&m, &e), 0);
	if (fat_make(&o, &m, &e) < 0)
		TEST_FAIL("%s", e.msg);
	arena_done(m.arena);
	manifest_done(&m);
}

/* Files of 125 generations and what else there is find room, with mtools, which as Linux does gives
 * a directory a cluster when it has none that is free. */
static void has_room(uint64_t size, unsigned clusters)
{
	static const char line[] =
		"cd %s && fsck.fat -n esp >/dev/null && "
		"mtools -c mdir -b -i esp ::/EFI >names && printf "
		"'::/EFI/BOOT/\\n::/EFI/cairn/\\n' | "
		"cmp - names && mtools -c mshowfat -i esp ::/EFI/cairn >chain && "
		"test $(sed 's/.*<//; s/>//; s/-/ /' chain | { read a b; echo $((${b:-$a} - a + "
		"1)); }) "
		"= %u && mtools -c mcopy -i esp many/* ::/EFI/cairn && "
		"test $(mtools -c mdir -b -i esp ::/EFI/cairn | wc -l) = 251 && "
		"mtools -c mtype -i esp ::/EFI/cairn/menu | grep -qx whole && "
		"mtools -c mshowfat -i esp ::/EFI/cairn | cmp - chain && fsck.fat -n esp "
		">/dev/null";
	char text[1200];

	make_roomy("esp", size);
	(void)snprintf(text, sizeof(text), line, dir, clusters);
	CHECK_INT(shell(text), 0);
}

TEST(roomy_is_the_same)
{
	char line[100];

	memcpy(dir, "/tmp/share.XXXXXX", sizeof(dir));
	CHECK(mkdtemp(dir) != NULL);
	make_roomy("esp", 64u << 20);
	make_roomy("again", 64u << 20);
	(void)snprintf(line, sizeof(line), "cd %s && cmp esp again", dir);
	CHECK_INT(shell(line), 0);
	CHECK_INT(file_delete_tree(AT_FDCWD, dir, NULL, &(struct err)ERR_INIT), 0);
}

TEST(roomy)
{
	char line[300];

	memcpy(dir, "/tmp/share.XXXXXX", sizeof(dir));
	CHECK(mkdtemp(dir) != NULL);
	(void)snprintf(line, sizeof(line),
		       "cd %s && mkdir many && for i in $(seq 1000 1124); do n="
		       "0123456789abcdef0123456789ab$i; : >many/$n-kernel; : >many/$n-initrd; done",
		       dir);
	CHECK_INT(shell(line), 0);
	has_room(4u << 20, ROOM / 2048);  /* FAT12 */
	has_room(16u << 20, ROOM / 2048); /* FAT16 */
	has_room(64u << 20, ROOM / 512);  /* FAT32 */
	has_room(600u << 20, ROOM / 4096);
	CHECK_INT(file_delete_tree(AT_FDCWD, dir, NULL, &(struct err)ERR_INIT), 0);
}

TEST_MAIN(exchange, exchange_refuses, shared, roomy, roomy_is_the_same)
