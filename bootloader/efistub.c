/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The program that firmware starts from the EFI system partition. It reads EFI/cairn/menu beside
 * the kernels, counts the boot in EFI/cairn/grubenv, and starts the kernel, which is an EFI program
 * too and finds its initramfs by name. Whatever fails is said in one line; then the generation that
 * came up well last is tried, and at the end the firmware goes on with what it has next.
 *
 * Freestanding, position independent and without data of its own that is written, so that no
 * relocations are needed: see efistub.lds. Built into a header as bytes (bootloader/Kbuild).
 */
#include <stdint.h>

#include "bootloader/efimenu.h"

#define EFIAPI	      __attribute__((ms_abi))
#define LIMIT_MENU    (1u << 20)
#define LIMIT_PATH    1024 /* bytes of the device's own path */
#define LIMIT_WORDS   8192 /* UTF-16 units of a command line */
#define MENU_DIR      "\\EFI\\cairn\\"
#define FAILED(s)     ((int64_t)(s) < 0)
#define TICK_US	      100000
#define KEY_ENTER     '\r'
#define WATCHDOG_S    300
#define WATCHDOG_CODE 0x10000 /* those below are the firmware's */
#define MODE_READ     1u
#define MODE_WRITE    3u
#define LOADER_DATA   2
#define LOAD_ERROR    (1ull << 63 | 1)
#define NODE_END      0x7f
#define NODE_MEDIA    4
#define NODE_FILE     4
#define NODE_HEAD     4 /* bytes */

typedef uint64_t status;
typedef void *handle;

struct guid {
	uint32_t a;
	uint16_t b, c;
	uint8_t d[8];
};

static const struct guid loaded_image_guid = {
	0x5b1b31a1, 0x9562, 0x11d2, { 0x8e, 0x3f, 0x00, 0xa0, 0xc9, 0x69, 0x72, 0x3b }
};
static const struct guid file_system_guid = {
	0x964e5b22, 0x6459, 0x11d2, { 0x8e, 0x39, 0x00, 0xa0, 0xc9, 0x69, 0x72, 0x3b }
};
static const struct guid device_path_guid = {
	0x09576e91, 0x6d3f, 0x11d2, { 0x8e, 0x39, 0x00, 0xa0, 0xc9, 0x69, 0x72, 0x3b }
};

struct file {
	uint64_t revision;
	status(EFIAPI *open)(struct file *, struct file **, const uint16_t *, uint64_t, uint64_t);
	status(EFIAPI *close)(struct file *);
	void *remove;
	status(EFIAPI *read)(struct file *, uint64_t *, void *);
	status(EFIAPI *write)(struct file *, uint64_t *, const void *);
	void *get_position;
	status(EFIAPI *set_position)(struct file *, uint64_t);
	void *info[2];
	status(EFIAPI *flush)(struct file *);
};

struct file_system {
	uint64_t revision;
	status(EFIAPI *open)(struct file_system *, struct file **);
};

struct key {
	uint16_t scan, c;
};

struct input {
	void *reset;
	status(EFIAPI *read)(struct input *, struct key *);
};

struct output {
	void *reset;
	status(EFIAPI *write)(struct output *, const uint16_t *);
};

struct services {
	uint8_t head[24];
	void *unused[5];
	status(EFIAPI *allocate)(int, uint64_t, void **);
	void *unused2[10];
	status(EFIAPI *protocol)(handle, const struct guid *, void **);
	void *unused3[5];
	status(EFIAPI *load_image)(uint8_t, handle, const void *, const void *, uint64_t, handle *);
	status(EFIAPI *start_image)(handle, uint64_t *, uint16_t **);
	void *exit;
	status(EFIAPI *unload_image)(handle);
	void *unused4[2];
	status(EFIAPI *stall)(uint64_t);
	status(EFIAPI *watchdog)(uint64_t, uint64_t, uint64_t, const uint16_t *);
};

struct system {
	uint8_t head[24];
	const uint16_t *vendor;
	uint64_t revision;
	handle in_handle;
	struct input *in;
	handle out_handle;
	struct output *out;
	handle error_handle;
	struct output *error;
	void *runtime;
	struct services *boot;
};

struct loaded_image {
	uint64_t revision;
	handle parent;
	struct system *system;
	handle device;
	void *path, *reserved;
	uint32_t options_size;
	const uint16_t *options;
};

struct stub {
	struct system *sys;
	handle image, device;
	struct file *root;
	struct em_text menu;
	struct em_count count;
	unsigned def;
	bool has_good;
};

status EFIAPI efi_main(handle image, struct system *sys);

#if !__STDC_HOSTED__ /* as in a unit test */
/* The compiler makes calls of these. */
void *memcpy(void *to, const void *from, size_t n);
void *memset(void *to, int c, size_t n);

void *memcpy(void *to, const void *from, size_t n)
{
	for (size_t i = 0; i < n; i++)
		((volatile uint8_t *)to)[i] = ((const uint8_t *)from)[i];
	return to;
}

void *memset(void *to, int c, size_t n)
{
	for (size_t i = 0; i < n; i++)
		((volatile uint8_t *)to)[i] = (uint8_t)c;
	return to;
}
#endif

/* ---- UTF-16 ---------------------------------------------------------------------------------- */

struct wide {
	uint16_t *p;
	size_t n, max; /* units; one more is there for the end */
};

static void wide_add(struct wide *w, uint32_t c)
{
	if (c >= 0x10000) {
		wide_add(w, 0xd800 + ((c - 0x10000) >> 10));
		c = 0xdc00 + ((c - 0x10000) & 0x3ff);
	}
	if (w->n < w->max)
		w->p[w->n++] = (uint16_t)c;
	w->p[w->n] = 0;
}

/* UTF-8, which the menu was checked to be. */
static void wide_text(struct wide *w, struct em_text t)
{
	uint32_t c = 0;

	for (size_t i = 0; i < t.n; i++) {
		uint8_t b = (uint8_t)t.p[i];

		c = b < 0x80   ? b
		    : b < 0xc0 ? c << 6 | (b & 0x3f)
		    : b < 0xe0 ? b & 0x1f
		    : b < 0xf0 ? b & 0x0f
			       : b & 0x07;
		if (i + 1 == t.n || ((uint8_t)t.p[i + 1] & 0xc0) != 0x80)
			wide_add(w, c);
	}
}

static void wide_word(struct wide *w, const char *word)
{
	while (*word)
		wide_add(w, (uint8_t)*word++);
}

static void wide_number(struct wide *w, unsigned n)
{
	char digits[10];
	struct em_out o = { digits, 0, sizeof(digits) };

	em_put_number(&o, n);
	wide_text(w, (struct em_text){ digits, o.n });
}

/* ---- Screen and keyboard --------------------------------------------------------------------- */

static void say_text(struct stub *s, struct em_text t)
{
	uint16_t text[256];
	struct wide w = { text, 0, 255 };

	wide_text(&w, t);
	s->sys->out->write(s->sys->out, text);
}

static void say(struct stub *s, const char *word)
{
	size_t n = 0;

	while (word[n])
		n++;
	say_text(s, (struct em_text){ word, n });
}

static void say_number(struct stub *s, unsigned n)
{
	uint16_t text[16];
	struct wide w = { text, 0, 15 };

	wide_number(&w, n);
	s->sys->out->write(s->sys->out, text);
}

static void say_problem(struct stub *s, const char *what, struct em_text name)
{
	say(s, "cairn: ");
	say(s, what);
	say_text(s, name);
	say(s, "\r\n");
}

static bool key_read(struct stub *s, struct key *k)
{
	return s->sys->in && !FAILED(s->sys->in->read(s->sys->in, k));
}

static uint16_t key_wait(struct stub *s)
{
	struct key k;

	while (!key_read(s, &k))
		s->sys->boot->stall(TICK_US);
	return k.c;
}

static unsigned ask_number(struct stub *s)
{
	char digits[6];
	size_t n = 0;

	say(s, "Number, or Enter for the usual one: ");
	for (;;) {
		uint16_t c = key_wait(s);

		if (c == KEY_ENTER)
			break;
		if (c >= '0' && c <= '9' && n < sizeof(digits)) {
			digits[n++] = (char)c;
			say_number(s, c - '0');
		}
	}
	say(s, "\r\n");
	return em_number((struct em_text){ digits, n });
}

static unsigned ask(struct stub *s, unsigned usual)
{
	struct em_text rest = s->menu;
	struct em_entry x;

	while (em_next(&rest, &x)) {
		say_text(s, x.title);
		say(s, "\r\n");
	}
	for (;;) {
		unsigned n = ask_number(s);

		if (!n)
			return usual;
		if (em_find(s->menu, n, &x))
			return n;
		say(s, "There is no such generation.\r\n");
	}
}

/* Unless a key comes in time, the usual one. */
static unsigned count_down(struct stub *s, unsigned usual, unsigned seconds)
{
	struct key k;

	say(s, "Generation ");
	say_number(s, usual);
	say(s, " starts in ");
	say_number(s, seconds);
	say(s, " s; any key shows the list.\r\n");
	for (uint64_t left = seconds * (1000000ull / TICK_US); left; left--) {
		if (key_read(s, &k))
			return ask(s, usual);
		s->sys->boot->stall(TICK_US);
	}
	return usual;
}

static unsigned wait_for(struct stub *s, unsigned usual)
{
	say(s, "Generation ");
	say_number(s, usual);
	say(s, " is the usual one; the menu waits for a choice.\r\n");
	return ask(s, usual);
}

static unsigned offer(struct stub *s, unsigned usual)
{
	unsigned seconds = em_number(em_setting(s->menu, "timeout")), chosen;

	/* Without a keyboard there is nobody to wait for. */
	if (!seconds || (seconds == EM_WAIT && !s->sys->in))
		return usual;
	/* Firmware resets the machine five minutes after it started us. The time begins anew for
	 * what is started then. */
	(void)s->sys->boot->watchdog(0, 0, 0, 0);
	chosen = seconds == EM_WAIT ? wait_for(s, usual) : count_down(s, usual, seconds);
	(void)s->sys->boot->watchdog(WATCHDOG_S, WATCHDOG_CODE, 0, 0);
	return chosen;
}

/* ---- Files ----------------------------------------------------------------------------------- */

static struct file *file_open(struct stub *s, const char *name, uint64_t mode)
{
	uint16_t path[64];
	struct wide w = { path, 0, 63 };
	struct file *f;

	wide_word(&w, MENU_DIR);
	wide_word(&w, name);
	return FAILED(s->root->open(s->root, &f, path, mode, 0)) ? NULL : f;
}

/* Bytes read into buf, at most max; 0 when nothing was. */
static size_t file_read(struct stub *s, const char *name, void *buf, size_t max)
{
	struct file *f = file_open(s, name, MODE_READ);
	uint64_t n = max;

	if (!f)
		return 0;
	if (FAILED(f->read(f, &n, buf)))
		n = 0;
	f->close(f);
	return (size_t)n;
}

static bool env_write(struct stub *s, const char block[EM_ENV_SIZE])
{
	struct file *f = file_open(s, "grubenv", MODE_WRITE);
	uint64_t n = EM_ENV_SIZE;

	if (!f)
		return false;
	bool done = !FAILED(f->set_position(f, 0)) && !FAILED(f->write(f, &n, block)) &&
		    n == EM_ENV_SIZE && !FAILED(f->flush(f));
	return !FAILED(f->close(f)) && done;
}

static bool env_read(struct stub *s, char block[EM_ENV_SIZE])
{
	return file_read(s, "grubenv", block, EM_ENV_SIZE) == EM_ENV_SIZE && block[0] == '#';
}

/* Take a try of what is started. False: it could not be written down. */
static bool count(struct stub *s, unsigned number, bool *ret_counted)
{
	char old[EM_ENV_SIZE], block[EM_ENV_SIZE];

	*ret_counted = em_take(&s->count, number, s->def);
	if (!*ret_counted)
		return true;
	return env_read(s, old) && em_count_write(old, &s->count, block) && env_write(s, block);
}

/* ---- Starting a kernel ----------------------------------------------------------------------- */

static size_t put_node(uint8_t *out, uint8_t type, uint8_t sub, const void *data, size_t n)
{
	out[0] = type;
	out[1] = sub;
	out[2] = (uint8_t)(n + NODE_HEAD);
	out[3] = (uint8_t)((n + NODE_HEAD) >> 8);
	memcpy(out + NODE_HEAD, data, n);
	return n + NODE_HEAD;
}

/* The device's path with the kernel's file behind it. */
static bool make_path(struct stub *s, struct em_text kernel, uint8_t out[2 * LIMIT_PATH])
{
	uint16_t name[128];
	struct wide w = { name, 0, 127 };
	const uint8_t *device;
	size_t n = 0;

	if (FAILED(s->sys->boot->protocol(s->device, &device_path_guid, (void **)&device)))
		return false;
	while (device[n] != NODE_END) {
		n += device[n + 2] | (size_t)device[n + 3] << 8;
		if (n > LIMIT_PATH)
			return false;
	}
	memcpy(out, device, n);
	wide_word(&w, MENU_DIR);
	wide_text(&w, kernel);
	n += put_node(out + n, NODE_MEDIA, NODE_FILE, name, (w.n + 1) * sizeof(*name));
	(void)put_node(out + n, NODE_END, 0xff, "", 0);
	return true;
}

static void make_options(struct stub *s, const struct em_entry *x, bool counted, struct wide *w)
{
	if (x->initrd.n) {
		wide_word(w, "initrd=" MENU_DIR);
		wide_text(w, x->initrd);
		wide_word(w, " ");
	}
	wide_text(w, x->parameters);
	/* With nothing to go back to a person is needed: no word, so a shell. */
	if (counted && s->has_good) {
		wide_word(w, " cairn.trial=");
		wide_number(w, s->count.left);
	}
}

/* Comes back only when it did not work. */
static void start(struct stub *s, const struct em_entry *x, bool counted)
{
	struct services *boot = s->sys->boot;
	struct wide options = { NULL, 0, LIMIT_WORDS };
	uint8_t path[2 * LIMIT_PATH];
	struct loaded_image *loaded;
	handle kernel;

	say(s, "Booting `");
	say_text(s, x->title);
	say(s, "'\r\n");
	if (FAILED(boot->allocate(LOADER_DATA, (LIMIT_WORDS + 1) * 2, (void **)&options.p))) {
		say_problem(s, "no memory", (struct em_text){ "", 0 });
		return;
	}
	make_options(s, x, counted, &options);
	if (!make_path(s, x->kernel, path) ||
	    FAILED(boot->load_image(0, s->image, path, NULL, 0, &kernel))) {
		say_problem(s, "cannot load the kernel " MENU_DIR, x->kernel);
		return;
	}
	if (!FAILED(boot->protocol(kernel, &loaded_image_guid, (void **)&loaded))) {
		loaded->options = options.p;
		loaded->options_size = (uint32_t)((options.n + 1) * sizeof(*options.p));
		(void)boot->start_image(kernel, NULL, NULL);
	}
	say_problem(s, "the kernel came back: " MENU_DIR, x->kernel);
	boot->unload_image(kernel);
}

static void run(struct stub *s, unsigned number)
{
	struct em_entry x;
	bool counted;

	if (!em_find(s->menu, number, &x))
		return say_problem(s, "the menu lacks its default", (struct em_text){ "", 0 });
	if (count(s, number, &counted) || !s->has_good)
		return start(s, &x, counted);
	/* Who cannot count must not try what may never come up. */
	say_problem(s, "the boot cannot be counted, so not this one: ", x.title);
}

static const char *open_volume(struct stub *s)
{
	struct loaded_image *self;
	struct file_system *fs;

	if (FAILED(s->sys->boot->protocol(s->image, &loaded_image_guid, (void **)&self)))
		return "where this program came from is not known";
	s->device = self->device;
	if (FAILED(s->sys->boot->protocol(s->device, &file_system_guid, (void **)&fs)) ||
	    FAILED(fs->open(fs, &s->root)))
		return "the file system cannot be read";
	return NULL;
}

/* Takes it when there is none yet, or it is the one that counts. */
static bool read_slot(struct stub *s, const char *name, unsigned *best)
{
	struct em_text menu;
	unsigned serial;
	void *file;

	if (FAILED(s->sys->boot->allocate(LOADER_DATA, LIMIT_MENU, &file)))
		return false;
	size_t n = file_read(s, name, file, LIMIT_MENU);
	if (em_open((struct em_text){ file, n }, &menu, &serial) &&
	    (!s->menu.n || em_beats(serial, *best))) {
		*best = serial;
		s->menu = menu;
	}
	return true;
}

static const char *read_menu(struct stub *s)
{
	char block[EM_ENV_SIZE];
	struct em_entry x;
	unsigned best = 0;

	if (!read_slot(s, EM_FILE, &best) || !read_slot(s, EM_FILE_2, &best))
		return "no memory";
	if (!s->menu.n)
		return "there is no whole " MENU_DIR EM_FILE;
	s->def = em_number(em_setting(s->menu, "default"));
	s->count = env_read(s, block) ? em_count_read(block) : (struct em_count){ 0, 0, 0 };
	s->has_good = s->count.good && em_find(s->menu, s->count.good, &x);
	return NULL;
}

status EFIAPI efi_main(handle image, struct system *sys)
{
	struct stub s = { .sys = sys, .image = image };
	const char *problem = open_volume(&s);

	if (!problem)
		problem = read_menu(&s);
	if (problem) {
		say_problem(&s, problem, (struct em_text){ "", 0 });
		return LOAD_ERROR;
	}
	unsigned number = offer(&s, em_turn(&s.count, s.def, s.has_good));
	run(&s, number);
	if (s.has_good && number != s.count.good)
		run(&s, s.count.good);
	say(&s, "cairn: nothing could be started\r\n");
	return LOAD_ERROR;
}

/* ---- The file's head, which efistub.lds lays out --------------------------------------------- */

#if !__STDC_HOSTED__
__asm__(".section .head, \"a\"\n"
	"	.ascii \"MZ\"\n"
	"	.fill 58, 1, 0\n"
	"	.long 0x40\n"
	"	.ascii \"PE\\0\\0\"\n"
	"	.short 0x8664, 2\n"	      /* x86-64; sections */
	"	.long 0, 0, 0\n"	      /* time, symbols */
	"	.short 160, 0x206\n"	      /* size of what follows; a program without symbols */
	"	.short 0x20b, 0\n"	      /* PE32+ */
	"	.long stub_code_size, 0, 0\n" /* code, data */
	"	.long efi_main, 0x1000\n"     /* entry; where code begins */
	"	.quad 0\n"		      /* base */
	"	.long 0x1000, 0x1000\n"	      /* alignment in memory, in the file */
	"	.long 0, 0, 0, 0\n"	      /* versions */
	"	.long stub_size, 0x1000, 0\n" /* of image and head; checksum */
	"	.short 10, 0x100\n"	      /* EFI program, pages need not be executable */
	"	.quad 0, 0, 0, 0\n"	      /* stack and heap */
	"	.long 0, 6\n"		      /* directories: */
	"	.quad 0, 0, 0, 0, 0\n"
	"	.long stub_reloc, 12\n"
	"	.ascii \".text\\0\\0\\0\"\n"
	"	.long stub_code_size, 0x1000, stub_code_size, 0x1000, 0, 0, 0, 0x60000020\n"
	"	.ascii \".reloc\\0\\0\"\n"
	"	.long 12, stub_reloc, 0x1000, stub_reloc, 0, 0, 0, 0x42000040\n"
	/* Nothing to relocate, but firmware wants to see a table. */
	"	.section .reloc, \"a\"\n"
	"	.long 0x1000, 12, 0\n"
	"	.text\n");
#endif
