/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What PID 1 keeps for its next life: torn and damaged records, other versions. Each life is a
 * process of its own, as in earnest. */
#include "init/state.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/unit/test.h"

static struct svc *make(const char *name)
{
	struct svc *s = calloc(1, sizeof(*s));

	snprintf(s->name, sizeof(s->name), "%s", name);
	s->pid = s->aux = s->pidfd = s->auxfd = -1;
	return s;
}

/* fn in a process of its own, with the file of the life before (-1: none) on descriptor fd. */
static void in_life(void (*fn)(int fd), int fd)
{
	pid_t pid = fork();
	int status;

	if (pid == 0) {
		fn(fd);
		fflush(stdout);
		_exit(0);
	}
	CHECK(waitpid(pid, &status, 0) == pid);
	CHECK(status == 0);
}

/* ---- a first life, that leaves a file --------------------------------------------------------*/

enum { A_FIRST = 0x5a5a0101, A_SECOND = 0x5a5a0202, B = 0x5a5a0303 };

static uint64_t kept_number = 42;

static void write_all(void)
{
	struct svc *a = make("a"), *b = make("b");

	if (state_new() < 0)
		_exit(2);
	(void)state_keep(STATE_GATE, &kept_number, sizeof(kept_number));
	a->pid = A_FIRST;
	a->state = SVC_UP;
	snprintf(a->why, sizeof(a->why), "first");
	state_commit_svc(a);
	b->pid = B;
	state_commit_svc(b);
	a->pid = A_SECOND; /* in the other place of its record */
	snprintf(a->why, sizeof(a->why), "second");
	state_commit_svc(a);
	state_commit();
}

/* Descriptor of its file; it has ended. */
static int first_life(void)
{
	int told[2], over[2], number = -1;
	char path[64], c;

	CHECK(pipe(told) == 0 && pipe(over) == 0);
	pid_t pid = fork();
	if (pid == 0) {
		write_all();
		number = state_fd();
		(void)!write(told[1], &number, sizeof(number));
		close(over[1]);
		(void)!read(over[0], &c, 1);
		_exit(0);
	}
	CHECK(read(told[0], &number, sizeof(number)) == sizeof(number));
	snprintf(path, sizeof(path), "/proc/%d/fd/%d", (int)pid, number);
	int fd = open(path, O_RDWR);
	CHECK(fd >= 0);
	for (int i = 0; i < 2; i++) {
		close(told[i]);
		close(over[i]);
	}
	CHECK(waitpid(pid, NULL, 0) == pid);
	return fd;
}

/* ---- the next ones ---------------------------------------------------------------------------*/

#define MUST(x)                                                                                    \
	do {                                                                                       \
		if (!(x)) {                                                                        \
			printf("# line %d: %s\n", __LINE__, #x);                                   \
			fflush(stdout);                                                            \
			_exit(1);                                                                  \
		}                                                                                  \
	} while (0)

static void sees_all(int fd)
{
	struct svc *a = make("a"), *b = make("b"), *c = make("c");
	uint64_t number = 0;

	MUST(state_old(fd) == 0 && state_new() == 0);
	MUST(state_find_svc(a) == 0 && a->pid == A_SECOND && a->state == SVC_UP);
	MUST(strcmp(a->why, "second") == 0);
	MUST(state_find_svc(b) == 0 && b->pid == B);
	MUST(state_find_svc(c) == -ENOENT);
	MUST(state_keep(STATE_GATE, &number, sizeof(number)) && number == 42);
}

static void sees_older(int fd)
{
	struct svc *a = make("a"), *b = make("b");

	MUST(state_old(fd) == 0 && state_new() == 0);
	MUST(state_find_svc(a) == 0 && a->pid == A_FIRST);
	MUST(state_find_svc(b) == 0 && b->pid == B);
}

static void sees_damage(int fd)
{
	struct svc *a = make("a"), *b = make("b");

	MUST(state_old(fd) == 0 && state_new() == 0);
	MUST(state_find_svc(a) == -EBADMSG);
	MUST(state_find_svc(b) == 0 && b->pid == B);
}

static void sees_nothing(int fd)
{
	MUST(state_old(fd) == -EINVAL);
	MUST(!state_adopts());
	MUST(state_new() == 0);
}

/* The bytes of a file, to be damaged. */
static uint8_t *map(int fd, size_t *ret_size)
{
	*ret_size = (size_t)lseek(fd, 0, SEEK_END);
	return mmap(NULL, *ret_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
}

/* The place in the file with that number. */
static uint8_t *place_of(int fd, int32_t number)
{
	size_t size;
	uint8_t *p = map(fd, &size);

	for (size_t i = 0; i + 4 <= size; i++)
		if (memcmp(p + i, &number, 4) == 0)
			return p + i;
	return NULL;
}

TEST(what_was_kept_is_there)
{
	int fd = first_life();

	in_life(sees_all, fd);
	in_life(sees_all, fd); /* reading changes nothing: a next life that crashes begins again */
	close(fd);
}

TEST(a_torn_record_is_the_one_before)
{
	int fd = first_life();

	*place_of(fd, A_SECOND) ^= 1; /* the pid in the newer place */
	in_life(sees_older, fd);
	close(fd);
}

TEST(both_places_damaged_are_told)
{
	int fd = first_life();

	*place_of(fd, A_SECOND) ^= 0x40;
	*place_of(fd, A_FIRST) ^= 0x40;
	in_life(sees_damage, fd);
	close(fd);
}

TEST(every_damaged_head_is_refused)
{
	int fd = first_life();
	size_t size;
	uint8_t *p = map(fd, &size);

	for (size_t i = 0; i < 296; i += 3) { /* up to its checksum */
		p[i] ^= 0x10;
		in_life(sees_nothing, fd);
		p[i] ^= 0x10;
	}
	in_life(sees_all, fd);
	close(fd);
}

TEST(no_file_of_state_is_refused)
{
	int fd = memfd_create("x", 0);

	in_life(sees_nothing, fd);
	CHECK(ftruncate(fd, 100000) == 0);
	in_life(sees_nothing, fd);
	close(fd);
	int pair[2];
	CHECK(pipe(pair) == 0);
	in_life(sees_nothing, pair[0]);
	close(pair[0]);
	close(pair[1]);
}

static void counts_crashes(int fd)
{
	uint64_t second = 1000000000ull, now = 100 * second;

	MUST(state_new() == 0);
	for (int i = 0; i < 20; i++) /* far apart */
		MUST(!state_crashed(now += 20 * second));
	for (int i = 0; i < 3; i++)
		MUST(!state_crashed(now += second));
	MUST(!state_crashed(now += second)); /* the fifth in ten seconds: only what is seen */
	for (int i = 0; i < 4; i++)
		MUST(!state_crashed(now += second));
	MUST(state_crashed(now += second)); /* and again: the last resort */
}

static void calms_down(int fd)
{
	uint64_t second = 1000000000ull, now = 100 * second;

	MUST(state_new() == 0);
	for (int i = 0; i < 5; i++)
		MUST(!state_crashed(now += second));
	now += 100 * second;
	for (int i = 0; i < 5; i++)
		MUST(!state_crashed(now += second));
}

TEST(five_crashes_in_ten_seconds)
{
	in_life(counts_crashes, -1);
	in_life(calms_down, -1);
}

static void writes_many(int fd)
{
	struct svc *v[LIMIT_SVC_COUNT];
	char name[32];

	MUST(state_new() == 0);
	for (int i = 0; i < LIMIT_SVC_COUNT; i++) {
		snprintf(name, sizeof(name), "s%d", i);
		v[i] = make(name);
		v[i]->pid = 1000 + i;
		state_commit_svc(v[i]);
		MUST(v[i]->record);
	}
	for (int i = 0; i < 10 * LIMIT_SVC_COUNT; i++) { /* places are used again */
		struct svc *s = v[i % LIMIT_SVC_COUNT];
		state_forget_svc(s);
		MUST(!s->record);
		state_commit_svc(s);
		MUST(s->record);
	}
	MUST(state_old(dup(state_fd())) == 0);
	for (int i = 0; i < LIMIT_SVC_COUNT; i++) {
		v[i]->pid = -1;
		MUST(state_find_svc(v[i]) == 0 && v[i]->pid == 1000 + i);
	}
}

TEST(as_many_as_there_may_be)
{
	in_life(writes_many, -1);
}

TEST_MAIN(what_was_kept_is_there, a_torn_record_is_the_one_before, both_places_damaged_are_told,
	  every_damaged_head_is_refused, no_file_of_state_is_refused, five_crashes_in_ten_seconds,
	  as_many_as_there_may_be)
