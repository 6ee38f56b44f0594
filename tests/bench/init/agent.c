// SPDX-License-Identifier: GPL-3.0-or-later
// First program of a machine of init.bench, and the one that measures. As /init: mounts, and says
// on the second serial line that it is ready, for the machine to be saved. Each measurement goes on
// from there: it finds an archive on the disk, unpacks it, leaves a process behind, and becomes the
// init of /bench/argv. What is left behind does what /bench/plan says, line by line, and writes
// what it found to the serial line as "name value". "agent off" turns the machine off.
#include "page.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysinfo.h>
#include <sys/wait.h>
#include <unistd.h>

#define MS     1000000ull
#define SECOND (1000 * MS)
#define LINE   4096
#define CALLS  "/sys/kernel/tracing/events/raw_syscalls/sys_enter"

static struct page *page;
static unsigned services;
static int report_fd = -1;

static void report(const char *format, ...)
{
	char line[LINE];
	va_list ap;
	va_start(ap, format);
	int n = vsnprintf(line, sizeof(line) - 1, format, ap);
	va_end(ap);
	line[n++] = '\n';
	(void)!write(report_fd, line, (size_t)n);
}

static void sleep_until(uint64_t t)
{
	struct timespec at = { (time_t)(t / SECOND), (long)(t % SECOND) };
	while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL))
		;
}

static void sleep_for(uint64_t ns)
{
	sleep_until(now() + ns);
}

static uint32_t starts(unsigned i)
{
	return __atomic_load_n(&page->slot[i].starts, __ATOMIC_ACQUIRE);
}

// At most size - 1 bytes of a file as a string; empty when it cannot be read.
static void read_text(const char *path, char *text, size_t size)
{
	size_t n = 0;
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	for (ssize_t got; fd >= 0 && n < size - 1 && (got = read(fd, text + n, size - 1 - n)) > 0;)
		n += (size_t)got;
	text[n] = 0;
	if (fd >= 0)
		close(fd);
}

static bool write_text(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	bool ok = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);
	if (fd >= 0)
		close(fd);
	return ok;
}

// The number after a key in a file of lines "Key: number".
static unsigned long number(const char *text, const char *key)
{
	const char *found = strstr(text, key);
	return found ? strtoul(found + strlen(key), NULL, 10) : 0;
}

static bool is_service(unsigned long pid)
{
	for (unsigned i = 0; i < services; i++)
		if (page->slot[i].pid == pid)
			return true;
	return false;
}

// ---- All up
// -----------------------------------------------------------------------------------------------------------

static void all_up(void)
{
	uint64_t deadline = now() + 300 * SECOND;
	unsigned up = 0;
	while (up < services && now() < deadline) {
		if (starts(up))
			up++;
		else
			sleep_for(20 * MS);
	}
	uint64_t first = UINT64_MAX, last = 0;
	for (unsigned i = 0; i < services; i++) {
		const struct slot *s = &page->slot[i];
		if (s->starts && s->first < first)
			first = s->first;
		if (s->first > last)
			last = s->first;
	}
	report("up %u", up);
	if (up != services)
		return;
	report("first_ns %llu", (unsigned long long)(first - page->handed_over));
	report("last_ns %llu", (unsigned long long)(last - page->handed_over));
}

// ---- System calls
// -----------------------------------------------------------------------------------------------------

// Before the init is there: from now on the kernel counts the calls of every process, but not those
// of the one that measures.
static void count_calls(pid_t agent)
{
	char trigger[128];
	snprintf(trigger, sizeof(trigger), "hist:keys=common_pid:size=32768 if common_pid != %d",
		 agent);
	mount("tracefs", "/sys/kernel/tracing", "tracefs", 0, NULL);
	write_text(CALLS "/trigger", trigger);
}

static void calls(void)
{
	unsigned long init = 0, all = 0;
	FILE *f = fopen(CALLS "/hist", "re");
	char line[LINE];
	while (f && fgets(line, sizeof(line), f)) {
		unsigned long pid, hits;
		if (sscanf(line, "{ common_pid: %lu } hitcount: %lu", &pid, &hits) != 2)
			continue;
		all += hits;
		if (pid == 1)
			init = hits;
	}
	if (f)
		fclose(f);
	report("calls %lu", all);
	report("calls_init %lu", init);
}

// ---- Memory and wake-ups
// ----------------------------------------------------------------------------------------------

// For each process that is neither a service nor the one that measures nor the kernel's.
static void for_helpers(void (*each)(unsigned long pid, void *), void *arg)
{
	DIR *proc = opendir("/proc");
	for (struct dirent *d; proc && (d = readdir(proc));) {
		unsigned long pid = strtoul(d->d_name, NULL, 10);
		char path[64], exe[8];
		snprintf(path, sizeof(path), "/proc/%lu/exe", pid);
		if (pid == 0 || pid == (unsigned long)getpid() || is_service(pid) ||
		    readlink(path, exe, sizeof(exe)) < 0)
			continue;
		each(pid, arg);
	}
	if (proc)
		closedir(proc);
}

struct memory {
	unsigned processes;
	unsigned long rss, private; // KiB
};

static void add_memory(unsigned long pid, void *arg)
{
	struct memory *m = &((struct memory *)arg)[pid != 1];
	char path[64], text[LINE];
	snprintf(path, sizeof(path), "/proc/%lu/smaps_rollup", pid);
	read_text(path, text, sizeof(text));
	m->processes++;
	m->rss += number(text, "\nRss:");
	m->private += number(text, "\nPrivate_Clean:") + number(text, "\nPrivate_Dirty:");
}

static void memory(void)
{
	struct memory m[2] = { 0 };
	for_helpers(add_memory, m);
	report("init_rss %lu", m[0].rss);
	report("init_private %lu", m[0].private);
	report("helpers %u", m[1].processes);
	report("helpers_rss %lu", m[1].rss);
	report("helpers_private %lu", m[1].private);
}

// How often the scheduler switched away from PID 1, and from helpers.
static void add_switches(unsigned long pid, void *arg)
{
	char path[64], text[LINE];
	snprintf(path, sizeof(path), "/proc/%lu/status", pid);
	read_text(path, text, sizeof(text));
	((unsigned long *)arg)[pid != 1] += number(text, "\nvoluntary_ctxt_switches:") +
					    number(text, "\nnonvoluntary_ctxt_switches:");
}

static void idle(unsigned seconds)
{
	unsigned long before[2] = { 0 }, after[2] = { 0 };
	sleep_for(2 * SECOND); // until what belongs to the boot is done
	for_helpers(add_switches, before);
	sleep_for(seconds * SECOND);
	for_helpers(add_switches, after);
	report("wakeups %lu", after[0] - before[0]);
	report("wakeups_helpers %lu", after[1] - before[1]);
}

// ---- Restarts
// ---------------------------------------------------------------------------------------------------------

static int compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
	return x < y ? -1 : x > y;
}

// From the KILL to the new process; 0 when there is none within a minute.
static uint64_t restart_one(unsigned i)
{
	uint32_t before = starts(i);
	uint64_t killed = now(), deadline = killed + 60 * SECOND;
	kill((pid_t)page->slot[i].pid, SIGKILL);
	while (starts(i) == before && now() < deadline)
		sleep_for(2 * MS);
	return starts(i) == before ? 0 : page->slot[i].last - killed;
}

// Kills services one after another, so long after the one before is up again.
static void restarts(const char *name, unsigned count, uint64_t pause)
{
	static uint64_t took[1024];
	unsigned n = 0;
	for (; n < count && n < 1024; n++) {
		sleep_for(pause);
		took[n] = restart_one(n % services);
		if (!took[n])
			break;
	}
	report("%s_done %u", name, n);
	if (!n)
		return;
	qsort(took, n, sizeof(took[0]), compare);
	report("%s_ns %llu", name, (unsigned long long)took[n / 2]);
	report("%s_max_ns %llu", name, (unsigned long long)took[n - 1]);
}

// ---- Orphans
// ----------------------------------------------------------------------------------------------------------

static unsigned long processes(void)
{
	struct sysinfo s;
	return sysinfo(&s) ? 0 : s.procs;
}

// Processes whose parent is gone, so PID 1 is; they end together when the pipe is closed. How long
// until all are reaped.
static uint64_t orphans_at_once(unsigned count)
{
	int gate[2];
	unsigned long before = processes();
	if (pipe(gate))
		return 0;
	pid_t parent = fork();
	if (parent == 0) {
		char c;
		close(gate[1]);
		for (unsigned i = 0; i < count; i++)
			if (fork() == 0)
				_exit(read(gate[0], &c, 1) != 0);
		_exit(0);
	}
	waitpid(parent, NULL, 0);
	close(gate[0]);
	sleep_for(50 * MS); // until they wait
	uint64_t start = now(), deadline = start + 60 * SECOND;
	bool there = processes() >= before + count;
	close(gate[1]);
	while (processes() > before && now() < deadline)
		sleep_for(MS / 2);
	return there && now() < deadline ? now() - start : 0;
}

static void orphans(unsigned rounds, unsigned count)
{
	uint64_t sum = 0, worst = 0;
	for (unsigned i = 0; i < rounds; i++) {
		uint64_t took = orphans_at_once(count);
		if (!took) {
			report("orphans_lost %u", i);
			return;
		}
		sum += took;
		worst = took > worst ? took : worst;
	}
	report("orphan_ns %llu", (unsigned long long)(sum / rounds / count));
	report("orphan_worst_ns %llu", (unsigned long long)(worst / count));
}

// ---- The end
// ----------------------------------------------------------------------------------------------------------

// What the kernel stamps its messages with, less our clock: a message of our own is read back.
static long long kernel_clock(void)
{
	char record[LINE];
	int fd = open("/dev/kmsg", O_RDWR | O_CLOEXEC | O_NONBLOCK);
	unsigned long long stamp = 0;
	if (fd < 0)
		return 0;
	lseek(fd, 0, SEEK_END);
	uint64_t at = now();
	(void)!write(fd, "<7>bench\n", 9);
	at = (at + now()) / 2;
	ssize_t n = read(fd, record, sizeof(record) - 1);
	record[n > 0 ? n : 0] = 0;
	sscanf(record, "%*u,%*u,%llu", &stamp);
	close(fd);
	return (long long)(stamp * 1000) - (long long)at;
}

// Ask for the end at a time that was reported before, in the kernel's clock: nothing can be
// reported after it.
static void down(char *how)
{
	char *argv[16] = { 0 };
	size_t n = 0;
	for (char *word = strtok(how, " "); word && n < 15; word = strtok(NULL, " "))
		argv[n++] = word;
	uint64_t at = now() + 2 * SECOND; // the line is slow
	report("asked_ns %lld", (long long)at + kernel_clock());
	sleep_until(at);
	if (!strcmp(argv[0], "signal")) {
		kill(1, atoi(argv[1]));
	} else if (vfork() == 0) {
		execv(argv[0], argv);
		_exit(127);
	}
	for (;;)
		pause();
}

// ---- The plan
// ---------------------------------------------------------------------------------------------------------

static void carry_out(char *line)
{
	unsigned a = 0, b = 0;
	if (sscanf(line, "services %u", &a) == 1)
		services = a <= SLOTS ? a : SLOTS;
	else if (!strcmp(line, "up"))
		all_up();
	else if (!strcmp(line, "calls"))
		calls();
	else if (!strcmp(line, "memory"))
		memory();
	else if (sscanf(line, "idle %u", &a) == 1)
		idle(a);
	else if (sscanf(line, "restarts %u", &a) == 1)
		restarts("restart", a, SECOND + SECOND / 2);
	else if (sscanf(line, "rapid %u", &a) == 1)
		restarts("rapid", a, 0);
	else if (sscanf(line, "orphans %u %u", &a, &b) == 2)
		orphans(a, b);
	else if (!strncmp(line, "down ", 5))
		down(line + 5);
	else
		report("unknown %s", line);
}

static void measure(void)
{
	char plan[LINE], *rest = plan;
	setsid(); // signals to a session or group are not for it
	read_text("/bench/plan", plan, sizeof(plan));
	for (char *line; (line = strsep(&rest, "\n"));)
		if (*line)
			carry_out(line);
}

// ---- The root
// ---------------------------------------------------------------------------------------------------------

static unsigned long hex(const char *digits)
{
	char text[9] = { 0 };
	memcpy(text, digits, 8);
	return strtoul(text, NULL, 16);
}

static size_t padded(size_t n)
{
	return (n + 3) & ~(size_t)3;
}

static void unpack_one(const char *name, mode_t mode, const char *data, size_t size)
{
	char target[LINE];
	if (S_ISDIR(mode)) {
		mkdir(name, mode & 07777);
	} else if (S_ISLNK(mode)) {
		snprintf(target, sizeof(target), "%.*s", (int)size, data);
		(void)!symlink(target, name);
	} else if (S_ISREG(mode)) {
		int fd = open(name, O_WRONLY | O_CREAT | O_CLOEXEC, mode & 07777);
		if (fd < 0 || write(fd, data, size) != (ssize_t)size)
			report("cannot_unpack %s", name);
		close(fd);
	}
}

// An archive as initramfs are ("newc"), in memory. Everything is old afterwards: some inits wait a
// second for a directory that has just changed.
static void unpack(const char *archive, const char *end)
{
	static const struct timespec old[2];
	for (int pass = 0; pass < 2; pass++) {
		for (const char *p = archive; end - p > 110;) {
			mode_t mode = (mode_t)hex(p + 14);
			size_t size = hex(p + 54), name_size = hex(p + 94);
			const char *name = p + 110, *data = p + padded(110 + name_size);
			if (!strcmp(name, "TRAILER!!!"))
				break;
			if (pass == 0)
				unpack_one(name, mode, data, size);
			else
				utimensat(AT_FDCWD, name, old, AT_SYMLINK_NOFOLLOW);
			p = data + padded(size);
		}
	}
}

// The disk begins with a line "root BYTES", and has the archive after a block. There is none before
// the machine was saved, so it is looked for until it comes; never in the cache.
static void take_root(void)
{
	size_t size = 0;
	for (int fd; !size; sleep_for(MS)) {
		char *block = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
				   -1, 0);
		fd = open("/dev/vda", O_RDONLY | O_DIRECT | O_CLOEXEC);
		if (read(fd, block, 4096) == 4096 && sscanf(block, "root %zu\n", &size) == 1) {
			size_t all = (size + 8191) & ~(size_t)4095;
			char *archive = mmap(NULL, all, PROT_READ | PROT_WRITE,
					     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
			size_t n = 0;
			lseek(fd, 0, SEEK_SET);
			for (ssize_t got; n < all && (got = read(fd, archive + n, all - n)) > 0;)
				n += (size_t)got;
			unpack(archive + 4096, archive + 4096 + size);
			munmap(archive, all);
		}
		munmap(block, 4096);
		close(fd);
	}
}

// ---- The beginning
// ----------------------------------------------------------------------------------------------------

static void mounts(void)
{
	mount("proc", "/proc", "proc", 0, NULL);
	mount("sysfs", "/sys", "sysfs", 0, NULL);
	mount("devtmpfs", "/dev", "devtmpfs", 0, NULL);
	mount("tmpfs", "/run", "tmpfs", 0, "mode=0755");
	mount("cgroup2", "/sys/fs/cgroup", "cgroup2", 0, NULL);
}

// Drivers of the disk: /modules/0.ko, 1.ko and so on.
static void load_modules(void)
{
	char path[32];
	for (int i = 0, fd;; i++) {
		snprintf(path, sizeof(path), "/modules/%d.ko", i);
		if ((fd = open(path, O_RDONLY | O_CLOEXEC)) < 0)
			return;
		if (syscall(SYS_finit_module, fd, "", 0)) {
			perror(path);
			reboot(RB_POWER_OFF);
		}
		close(fd);
	}
}

static void map_page(void)
{
	int fd = open(PAGE_PATH, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
	void *map = fd < 0 || ftruncate(fd, sizeof(*page))
			    ? MAP_FAILED
			    : mmap(NULL, sizeof(*page), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (map == MAP_FAILED)
		reboot(RB_POWER_OFF);
	page = map;
	close(fd);
}

static void hand_over(void)
{
	static char text[LINE];
	char *argv[64] = { 0 }, *rest = text, *word;
	read_text("/bench/argv", text, sizeof(text));
	for (size_t n = 0; n < 63 && (word = strsep(&rest, "\n")) && *word; n++)
		argv[n] = word;
	close(report_fd);
	page->handed_over = now();
	execv(argv[0], argv);
	perror(argv[0]);
	reboot(RB_POWER_OFF);
}

int main(int argc, char **argv)
{
	if (argc > 1 && !strcmp(argv[1], "off"))
		return reboot(RB_POWER_OFF);
	mounts();
	load_modules();
	report_fd = open("/dev/ttyS1", O_WRONLY | O_NOCTTY | O_CLOEXEC);
	report("ready");
	take_root();
	map_page();
	pid_t agent = fork();
	if (agent == 0) {
		measure();
		return 0;
	}
	if (access("/bench/count-calls", F_OK) == 0)
		count_calls(agent);
	hand_over();
}
