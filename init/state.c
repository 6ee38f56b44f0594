/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "init/state.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "init/step.h"
#include "lib/fd.h"
#include "lib/size.h"

#define MAGIC	     0x6574617473776372ull
#define VERSION	     1
#define ROWS_MAX     64
#define PAYLOAD	     320  /* of a service */
#define WORLD	     1920 /* of all else */
#define AREA	     16384
#define RECORDS	     (2 * LIMIT_SVC_COUNT) /* two sets, for the moment of a switch */
#define SECOND	     1000000000ull
#define BURST_WINDOW (10 * SECOND)
#define CALM	     (60 * SECOND) /* since the last crash: then the next is the first again */

enum { MINIMAL_NEXT = 1, MINIMAL_WAS };

struct row {
	uint16_t id, size;
};

struct slot {
	uint64_t seq, sum; /* seq 0: never written */
	uint64_t used;
	uint8_t data[];
};

struct record {
	char name[LIMIT_SVC_NAME + 1 + 7]; /* "": free */
	char why[120], status[80];	   /* written in place: a torn reason is still one */
	uint8_t slots[];		   /* two of struct slot */
};

struct head {
	uint64_t magic;
	uint32_t version, size, slot_world, slot_svc, rec_size, nrecords, area, nrows;
	struct row rows[ROWS_MAX];
	uint64_t sum; /* of all above */

	/* Written in place. */
	uint64_t crashes[STATE_CRASHES]; /* the latest first */
	uint64_t last_crash;
	uint32_t minimal;
	volatile uint32_t launch_kind, launch_record;
	struct child_cell cell;
	volatile uint32_t read_record;
	char read[STATE_READ];
};

struct file {
	int fd;
	struct head *h; /* NULL: none */
	size_t size;
};

struct kept {
	enum state_id id;
	void *p;
	size_t n;
};

static struct file cur = { .fd = -1 }, old = { .fd = -1 };
static struct file *counts = &cur; /* what a next life reads */
static struct kept kept[STATE_ID_MAX];
static size_t nkept;
static unsigned free_hint;

#define ROW(id, field)                                                                             \
	{                                                                                          \
		{ id, sizeof(((struct svc *)0)->field) }, offsetof(struct svc, field)              \
	}

/* A service's fields. Numbers are part of the format and are never used again for another field;
 * a field of another size gets another number. */
static const struct {
	struct row row;
	uint16_t at;
} fields[] = {
	/* clang-format off */
	ROW(1, state),
	ROW(2, fate),
	ROW(3, wish),
	ROW(4, barred),
	ROW(5, bounce),
	ROW(6, leaving),
	ROW(7, broken),
	ROW(8, skipped),
	ROW(9, stale),
	ROW(10, pid_wait),
	ROW(11, aux_is_stop),
	ROW(12, ended),
	ROW(13, stuck),
	ROW(14, leaves),
	ROW(15, asked),
	ROW(16, pid),
	ROW(17, aux),
	ROW(18, pidfd),
	ROW(19, auxfd),
	ROW(20, last_status),
	ROW(21, since),
	ROW(22, started),
	ROW(23, deadline),
	ROW(24, kill_pause),
	ROW(25, window),
	ROW(26, restarts),
	ROW(27, streak),
	ROW(28, total_restarts),
	ROW(29, timer.when),
	ROW(30, ready_src.fd),
	ROW(31, main_src.fd),
	ROW(32, listen_fd),
	ROW(33, nlisten),
	ROW(34, listen_id),
	ROW(35, log_read),
	ROW(36, log_write),
	ROW(37, log_sent),
	ROW(38, has_cgroup),
	ROW(50, recovers),
	ROW(51, due),
	ROW(52, run_due),
	ROW(53, planned),
	ROW(54, last_run),
	ROW(60, begun),
	ROW(61, ready),
	ROW(62, runs),
	ROW(70, reloads),
	/* clang-format on */
};

/* ---- places and sums -------------------------------------------------------------------------*/

static uint64_t sum_of(const void *p, size_t n, uint64_t sum)
{
	const uint8_t *b = p;
	uint64_t word;

	for (; n >= 8; b += 8, n -= 8) {
		memcpy(&word, b, 8);
		sum = (sum ^ word) * 0x9e3779b97f4a7c15ull;
		sum ^= sum >> 29;
	}
	for (; n > 0; b++, n--)
		sum = (sum ^ *b) * 0x100000001b3ull;
	return sum;
}

static size_t slot_size(size_t payload)
{
	return sizeof(struct slot) + payload;
}

static uint64_t slot_sum(const struct slot *s)
{
	return sum_of(s->data, s->used, s->seq * 31 + s->used + 1);
}

static struct slot *slot_at(void *slots, size_t payload, int i)
{
	return (void *)((uint8_t *)slots + (i ? slot_size(payload) : 0));
}

static bool slot_checks(const struct slot *s, size_t payload)
{
	return s->seq && s->used <= payload && s->sum == slot_sum(s);
}

/* NULL: neither checks. */
static struct slot *slot_newest(void *slots, size_t payload)
{
	struct slot *a = slot_at(slots, payload, 0), *b = slot_at(slots, payload, 1);
	bool a_checks = slot_checks(a, payload), b_checks = slot_checks(b, payload);

	if (a_checks && b_checks)
		return a->seq > b->seq ? a : b;
	return a_checks ? a : b_checks ? b : NULL;
}

/* The sum comes last: until then the other place is the newest. */
static void slot_write(void *slots, size_t payload, const void *data, size_t n)
{
	struct slot *a = slot_at(slots, payload, 0), *b = slot_at(slots, payload, 1);
	struct slot *newest = a->seq > b->seq ? a : b, *s = newest == a ? b : a;

	if (newest->seq && newest->used == n && memcmp(newest->data, data, n) == 0)
		return;
	step_done();
	s->sum = 0;
	atomic_signal_fence(memory_order_seq_cst);
	memcpy(s->data, data, n);
	s->used = n;
	s->seq = newest->seq + 1;
	uint64_t sum = slot_sum(s);
	atomic_signal_fence(memory_order_seq_cst);
	*(volatile uint64_t *)&s->sum = sum;
	step_done();
}

static void *world_of(const struct file *f)
{
	return (uint8_t *)f->h + f->h->size;
}

static void *area_of(const struct file *f)
{
	return (uint8_t *)world_of(f) + 2 * slot_size(f->h->slot_world);
}

static struct record *record_of(const struct file *f, unsigned i)
{
	return (void *)((uint8_t *)area_of(f) + f->h->area + (size_t)i * f->h->rec_size);
}

static uint64_t file_size(const struct head *h)
{
	return (uint64_t)h->size + 2 * slot_size(h->slot_world) + h->area +
	       (uint64_t)h->rec_size * h->nrecords;
}

/* ---- the file --------------------------------------------------------------------------------*/

static void fill_head(struct head *h)
{
	*h = (struct head){ .magic = MAGIC,
			    .version = VERSION,
			    .size = sizeof(*h),
			    .slot_world = WORLD,
			    .slot_svc = PAYLOAD,
			    .rec_size = (uint32_t)(sizeof(struct record) + 2 * slot_size(PAYLOAD)),
			    .nrecords = RECORDS,
			    .area = AREA,
			    .nrows = ARRAY_LEN(fields) };
	for (size_t i = 0; i < ARRAY_LEN(fields); i++)
		h->rows[i] = fields[i].row;
	h->cell.pidfd = -1;
	h->sum = sum_of(h, offsetof(struct head, sum), 1);
}

static size_t payload_of(const struct head *h)
{
	size_t n = 0;

	for (size_t i = 0; i < h->nrows; i++)
		n += h->rows[i].size;
	return n;
}

int state_new(void)
{
	struct head h;
	int r;

	fill_head(&h);
	if (payload_of(&h) > PAYLOAD)
		return -E2BIG;
	size_t size = (size_t)file_size(&h);
	auto_fd int low = memfd_create("cairn-init", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	/* Above what children get, as all that is kept for long. */
	auto_fd int fd = low < 0 ? -1 : fcntl(low, F_DUPFD_CLOEXEC, 10);
	if (fd < 0 || ftruncate(fd, (off_t)size) < 0)
		return -errno;
	/* Nobody can take the memory away from below, which would be a fault here. */
	(void)fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL);
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	r = -errno;
	if (p == MAP_FAILED)
		return r;
	cur = (struct file){ .h = p, .size = size, .fd = fd_take(&fd) };
	*cur.h = h;
	if (old.h) {
		memcpy(cur.h->crashes, old.h->crashes, sizeof(h.crashes));
		cur.h->last_crash = old.h->last_crash;
		cur.h->minimal = old.h->minimal ? MINIMAL_WAS : 0;
	}
	return 0;
}

static bool head_checks(const struct head *h, size_t size)
{
	return h->magic == MAGIC && h->version == VERSION && h->size == sizeof(*h) &&
	       h->sum == sum_of(h, offsetof(struct head, sum), 1) && h->nrows <= ROWS_MAX &&
	       h->slot_svc <= 4096 && h->slot_world <= 65536 && h->slot_svc % 8 == 0 &&
	       h->slot_world % 8 == 0 && h->area % 8 == 0 && h->rec_size % 8 == 0 &&
	       h->rec_size >= sizeof(struct record) + 2 * slot_size(h->slot_svc) &&
	       h->area <= (1u << 20) && h->nrecords <= (1u << 16) && file_size(h) <= size;
}

int state_old(int fd)
{
	struct stat st;

	if (fstat(fd, &st) < 0 || st.st_size < (off_t)sizeof(struct head) || st.st_size > (1 << 28))
		return -EINVAL;
	size_t size = (size_t)st.st_size;
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (p == MAP_FAILED)
		return -errno;
	if (!head_checks(p, size)) {
		(void)munmap(p, size);
		return -EINVAL;
	}
	old = (struct file){ .h = p, .size = size, .fd = fd };
	counts = &old;
	return 0;
}

int state_fd(void)
{
	return counts->fd;
}

bool state_adopts(void)
{
	return old.h != NULL;
}

bool state_is_minimal(void)
{
	return old.h && old.h->minimal == MINIMAL_NEXT;
}

/* Sums are written last. */
bool state_is_empty(void)
{
	return old.h && !slot_at(world_of(&old), old.h->slot_world, 0)->sum &&
	       !slot_at(world_of(&old), old.h->slot_world, 1)->sum;
}

void state_switch(void)
{
	state_commit();
	if (cur.h && old.h) /* a crash while this life took over counts, too */
		memcpy(cur.h->crashes, old.h->crashes, sizeof(cur.h->crashes));
	counts = &cur;
	if (!old.h)
		return;
	(void)munmap(old.h, old.size);
	fd_close(&old.fd);
	old = (struct file){ .fd = -1 };
}

/* Only stores: the handler of a fault comes here. */
bool state_crashed(uint64_t now)
{
	struct head *h = counts->h;

	if (!h)
		return true;
	if (now - h->last_crash > CALM)
		h->minimal = 0;
	h->last_crash = now;
	for (size_t i = STATE_CRASHES - 1; i > 0; i--)
		h->crashes[i] = h->crashes[i - 1];
	h->crashes[0] = now;
	if (crash_burst > STATE_CRASHES || !h->crashes[crash_burst - 1] ||
	    now - h->crashes[crash_burst - 1] > BURST_WINDOW)
		return false;
	for (size_t i = 0; i < STATE_CRASHES; i++)
		h->crashes[i] = 0;
	bool was = h->minimal != 0;
	h->minimal = MINIMAL_NEXT;
	return was;
}

/* ---- all but services ------------------------------------------------------------------------*/

struct item {
	uint32_t id, n;
	uint8_t data[];
};

static size_t padded(size_t n)
{
	return (n + 7) & ~(size_t)7;
}

static bool find_item(enum state_id id, void *p, size_t n)
{
	struct slot *s = old.h ? slot_newest(world_of(&old), old.h->slot_world) : NULL;
	size_t at = 0;

	while (s && at + sizeof(struct item) <= s->used) {
		const struct item *i = (const void *)(s->data + at);
		if (i->n > s->used - at - sizeof(*i))
			break;
		if (i->id == (uint32_t)id && i->n == n) {
			memcpy(p, i->data, n);
			return true;
		}
		at += sizeof(*i) + padded(i->n);
	}
	return false;
}

bool state_keep(enum state_id id, void *p, size_t n)
{
	if (nkept < ARRAY_LEN(kept))
		kept[nkept++] = (struct kept){ id, p, n };
	return find_item(id, p, n);
}

void state_commit(void)
{
	_Alignas(8) uint8_t data[WORLD] = { 0 };
	size_t at = 0;

	if (!cur.h)
		return;
	for (size_t k = 0; k < nkept; k++) {
		struct item *i = (void *)(data + at);
		if (at + sizeof(*i) + padded(kept[k].n) > sizeof(data))
			break;
		i->id = kept[k].id;
		i->n = (uint32_t)kept[k].n;
		memcpy(i->data, kept[k].p, kept[k].n);
		at += sizeof(*i) + padded(kept[k].n);
	}
	slot_write(world_of(&cur), WORLD, data, at);
}

void *state_area(size_t n, bool *ret_came)
{
	static size_t used;
	size_t bytes = sizeof(uint64_t) + padded(n);

	*ret_came = false;
	if (bytes > AREA - used)
		return NULL;
	if (!cur.h)
		return calloc(1, n);
	/* The first word tells the size, which stands for the layout. */
	uint64_t *size = (void *)((uint8_t *)area_of(&cur) + used);
	uint64_t *before = old.h ? (void *)((uint8_t *)area_of(&old) + used) : NULL;
	*size = n;
	if (before && old.h->area == AREA && *before == n) {
		memcpy(size, before, bytes);
		*ret_came = true;
	}
	used += bytes;
	return size + 1;
}

/* ---- services --------------------------------------------------------------------------------*/

static struct record *find_record(const struct file *f, const char *name)
{
	for (unsigned i = 0; i < f->h->nrecords; i++) {
		struct record *r = record_of(f, i);
		if (r->name[0] && strncmp(r->name, name, sizeof(r->name)) == 0)
			return r;
	}
	return NULL;
}

/* The name makes it one, and its first letter comes last. */
static struct record *make_record(struct svc *s)
{
	for (unsigned k = 0; k < RECORDS; k++) {
		unsigned i = (free_hint + k) % RECORDS;
		struct record *r = record_of(&cur, i);
		if (r->name[0])
			continue;
		memset(r, 0, sizeof(*r) + 2 * slot_size(PAYLOAD));
		memcpy(r->name + 1, s->name + 1, sizeof(s->name) - 1);
		s->record = (uint16_t)(i + 1);
		free_hint = i + 1;
		return r;
	}
	return NULL;
}

static void put_text(char *to, const char *from, size_t n)
{
	if (strcmp(to, from) != 0)
		memcpy(to, from, n);
	to[n - 1] = '\0';
}

void state_commit_svc(struct svc *s)
{
	_Alignas(8) uint8_t data[PAYLOAD];
	size_t at = 0;

	if (!cur.h)
		return;
	struct record *r = s->record ? record_of(&cur, s->record - 1u) : make_record(s);
	if (!r)
		return;
	for (size_t i = 0; i < ARRAY_LEN(fields) && at + fields[i].row.size <= PAYLOAD; i++) {
		memcpy(data + at, (const uint8_t *)s + fields[i].at, fields[i].row.size);
		at += fields[i].row.size;
	}
	put_text(r->why, s->why, sizeof(r->why));
	put_text(r->status, s->status, sizeof(r->status));
	slot_write(r->slots, PAYLOAD, data, at);
	if (!r->name[0]) {
		atomic_signal_fence(memory_order_seq_cst);
		*(volatile char *)&r->name[0] = s->name[0];
	}
}

void state_forget_svc(struct svc *s)
{
	if (s->record && cur.h)
		record_of(&cur, s->record - 1u)->name[0] = '\0';
	s->record = 0;
}

static void take_field(struct svc *s, struct row row, const uint8_t *from)
{
	for (size_t i = 0; i < ARRAY_LEN(fields); i++)
		if (fields[i].row.id == row.id && fields[i].row.size == row.size)
			memcpy((uint8_t *)s + fields[i].at, from, row.size);
}

int state_find_svc(struct svc *s)
{
	struct record *r = old.h ? find_record(&old, s->name) : NULL;
	size_t at = 0;

	if (!r)
		return -ENOENT;
	struct slot *slot = slot_newest(r->slots, old.h->slot_svc);
	if (!slot)
		return -EBADMSG;
	for (unsigned i = 0; i < old.h->nrows && at + old.h->rows[i].size <= slot->used; i++) {
		take_field(s, old.h->rows[i], slot->data + at);
		at += old.h->rows[i].size;
	}
	snprintf(s->why, sizeof(s->why), "%.*s", (int)sizeof(r->why) - 1, r->why);
	snprintf(s->status, sizeof(s->status), "%.*s", (int)sizeof(r->status) - 1, r->status);
	return 0;
}

/* ---- what is being started -------------------------------------------------------------------*/

static bool is_record(unsigned record, const struct svc *s)
{
	return record > 0 && record <= old.h->nrecords &&
	       strncmp(record_of(&old, record - 1)->name, s->name, sizeof(s->name)) == 0;
}

struct child_cell *state_cell(void)
{
	return cur.h ? &cur.h->cell : NULL;
}

void state_launch(enum state_launch kind, struct svc *s)
{
	if (!cur.h)
		return;
	if (kind == LAUNCH_NONE) { /* s has its process by now, or has none */
		state_commit_svc(s);
		cur.h->launch_kind = LAUNCH_NONE;
		step_done();
		return;
	}
	/* Before the record: one that says that a command was started needs this to tell whether
	 * it was. */
	cur.h->cell = (struct child_cell){ .pidfd = -1 };
	cur.h->launch_record = s->record;
	atomic_signal_fence(memory_order_seq_cst);
	cur.h->launch_kind = kind;
	step_done();
	state_commit_svc(s);
}

enum state_launch state_old_launch(const struct svc *s, const struct child_cell **ret)
{
	const struct head *h = old.h;

	if (!h || h->launch_kind == LAUNCH_NONE || !is_record(h->launch_record, s))
		return LAUNCH_NONE;
	*ret = &h->cell;
	return (enum state_launch)h->launch_kind;
}

char *state_reading(struct svc *s)
{
	static char elsewhere[STATE_READ];

	if (!cur.h)
		return elsewhere;
	cur.h->read_record = 0;
	if (!s)
		return NULL;
	memset(cur.h->read, 0, sizeof(cur.h->read));
	cur.h->read_record = s->record;
	return cur.h->read;
}

const char *state_old_reading(const struct svc *s)
{
	return old.h && is_record(old.h->read_record, s) ? old.h->read : NULL;
}

/* ---- texts of sets ---------------------------------------------------------------------------*/

int state_text_new(const char *path, struct slice text)
{
	char head[STATE_TEXT_PATH] = "";
	auto_fd int low = memfd_create("cairn-set", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	auto_fd int fd = low < 0 ? -1 : fcntl(low, F_DUPFD_CLOEXEC, 10);

	if (fd < 0)
		return -errno;
	snprintf(head, sizeof(head), "%s", path);
	int r = fd_write_full(fd, head, sizeof(head));
	if (r == 0)
		r = fd_write_full(fd, text.p, text.n);
	if (r < 0)
		return r;
	(void)fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL);
	return fd_take(&fd);
}

int state_text_read(int fd, struct str *buf, struct slice *ret_path, struct slice *ret_text)
{
	if (fd < 0 || lseek(fd, 0, SEEK_SET) < 0)
		return -EBADF;
	int r = fd_read_all(fd, buf, STATE_TEXT_PATH + LIMIT_SET_BYTES);
	if (r == 0 && buf->len < STATE_TEXT_PATH)
		r = -EINVAL;
	if (r < 0)
		return r;
	buf->buf[STATE_TEXT_PATH - 1] = '\0';
	*ret_path = slice_of(buf->buf);
	*ret_text = (struct slice){ buf->buf + STATE_TEXT_PATH, buf->len - STATE_TEXT_PATH };
	return 0;
}
