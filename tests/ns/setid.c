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

/* For calls that make the file. */
#define MAKE(name, call)                                                                           \
	do {                                                                                       \
		(void)unlink(FILE_NAME);                                                           \
		(void)(call);                                                                      \
		made(name, FILE_NAME);                                                             \
	} while (0)

/* What is behind openat2's pointer. */
struct how {
	unsigned long long flags, mode, resolve;
};

#ifdef __x86_64__
static long i386(long nr, long a, long b, long c, long d)
{
	long r;

	__asm__ volatile("int $0x80"
			 : "=a"(r)
			 : "a"(nr), "b"(a), "c"(b), "d"(c), "S"(d)
			 : "memory", "r8", "r9", "r10", "r11");
	return r;
}

static int try_old_tables(void)
{
	const long new_file = O_CREAT | O_RDWR, at = AT_FDCWD;
	/* Pointers of the oldest table have 32 bits. */
	char *low = mmap((void *)0x10000000, 4096, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
	struct how *how = (struct how *)(low + 64);
	long name = (long)low;

	if (low == MAP_FAILED)
		return -1;
	strcpy(low, FILE_NAME);
	*how = (struct how){ O_CREAT | O_RDWR, 04755, 0 };
	TRY("set-x32-chmod", syscall(X32 | SYS_chmod, FILE_NAME, 04755));
	TRY("set-x32-fchmodat2", syscall(X32 | 452, AT_FDCWD, FILE_NAME, 04755, 0));
	TRY("set-i386-chmod", i386(15, name, 04755, 0, 0));
	TRY("set-i386-fchmod", i386(94, open(FILE_NAME, O_RDWR), 04755, 0, 0));
	TRY("set-i386-fchmodat", i386(306, at, name, 04755, 0));
	TRY("set-i386-fchmodat2", i386(452, at, name, 04755, 0));
	MAKE("set-i386-open", i386(5, name, new_file, 04755, 0));
	MAKE("set-i386-creat", i386(8, name, 04755, 0, 0));
	MAKE("set-i386-openat", i386(295, at, name, new_file, 04755));
	MAKE("set-i386-openat2", i386(437, at, name, (long)how, sizeof(*how)));
	MAKE("set-i386-mknod", i386(14, name, S_IFREG | 04755, 0, 0));
	MAKE("set-i386-mknodat", i386(297, at, name, S_IFREG | 04755, 0));
	return 0;
}
#endif

int main(void)
{
	const struct how how = { O_CREAT | O_RDWR, 04755, 0 };

	/* By their numbers: libraries make some of them of others. */
	TRY("set-fchmod", syscall(SYS_fchmod, open(FILE_NAME, O_RDWR), 04755));
	TRY("set-fchmodat", syscall(SYS_fchmodat, AT_FDCWD, FILE_NAME, 02755));
	TRY("set-fchmodat2", syscall(452, AT_FDCWD, FILE_NAME, 04755, 0));
	MAKE("set-openat", syscall(SYS_openat, AT_FDCWD, FILE_NAME, O_CREAT | O_RDWR, 04755));
	MAKE("set-openat2", syscall(437, AT_FDCWD, FILE_NAME, &how, sizeof(how)));
	MAKE("set-mknodat", syscall(SYS_mknodat, AT_FDCWD, FILE_NAME, S_IFREG | 04755, 0));
#ifdef __x86_64__
	TRY("set-chmod", syscall(SYS_chmod, FILE_NAME, 04755));
	MAKE("set-open", syscall(SYS_open, FILE_NAME, O_CREAT | O_RDWR, 04755));
	MAKE("set-creat", syscall(SYS_creat, FILE_NAME, 04755));
	MAKE("set-mknod", syscall(SYS_mknod, FILE_NAME, S_IFREG | 04755, 0));
	if (try_old_tables())
		return 1;
#endif
	printf("tried set\n");
	return 0;
}
