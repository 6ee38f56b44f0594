/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Tries to give a file a set-id bit by each call of each of the machine's tables, and says "can
 * NAME" or "cannot NAME". Run by sandbox.sh inside a builder; static.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define FILE_NAME "setid-file"
#define X32	  0x40000000L

static void made(const char *name, const char *path)
{
	struct stat st;
	int set = stat(path, &st) == 0 && (st.st_mode & (S_ISUID | S_ISGID));

	printf("%s %s\n", set ? "can" : "cannot", name);
	(void)unlink(path);
}

static void fresh(void)
{
	(void)close(open(FILE_NAME, O_CREAT | O_RDWR, 0755));
}

#define TRY(name, call)                                                                            \
	do {                                                                                       \
		fresh();                                                                           \
		(void)(call);                                                                      \
		made(name, FILE_NAME);                                                             \
	} while (0)

#ifdef __x86_64__
static long i386(long nr, long a, long b, long c)
{
	long r;

	__asm__ volatile("int $0x80"
			 : "=a"(r)
			 : "a"(nr), "b"(a), "c"(b), "d"(c), "S"(0L)
			 : "memory", "r8", "r9", "r10", "r11");
	return r;
}
#endif

int main(void)
{
	TRY("set-chmod", syscall(SYS_chmod, FILE_NAME, 04755));
	TRY("set-fchmodat", syscall(SYS_fchmodat, AT_FDCWD, FILE_NAME, 02755));
	TRY("set-fchmodat2", syscall(452, AT_FDCWD, FILE_NAME, 04755, 0));
	(void)close(open("opened", O_CREAT | O_RDWR, 04755));
	made("set-open", "opened");
	(void)syscall(SYS_mknod, "node", S_IFREG | 04755, 0);
	made("set-mknod", "node");
#ifdef __x86_64__
	TRY("set-x32-chmod", syscall(X32 | SYS_chmod, FILE_NAME, 04755));
	TRY("set-x32-fchmodat2", syscall(X32 | 452, AT_FDCWD, FILE_NAME, 04755, 0));
	/* Pointers of the old table have 32 bits. */
	char *low = mmap((void *)0x10000000, 4096, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
	if (low == MAP_FAILED)
		return 1;
	strcpy(low, FILE_NAME);
	TRY("set-i386-chmod", i386(15, (long)low, 04755, 0));
	TRY("set-i386-fchmodat", i386(306, AT_FDCWD, (long)low, 04755));
	TRY("set-i386-fchmodat2", i386(452, AT_FDCWD, (long)low, 04755));
	(void)unlink(FILE_NAME);
	(void)i386(8, (long)low, 04755, 0);
	made("set-i386-creat", FILE_NAME);
#endif
	printf("tried set\n");
	return 0;
}
