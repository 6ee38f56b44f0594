/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "image/pages.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/kd.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "lib/fd.h"
#include "lib/path.h"
#include "lib/proc.h"
#include "lib/size.h"
#include "lib/text.h"

#define LIMIT_LINE  4000
#define KEYMAPS	    "/run/current-system/profile/share/keymaps"
#define LIMIT_STATE (1 << 20)

/* What a question or a page ended with; negative: an error that ends the installer. */
enum answer { NEXT, BACK, QUIT };

struct pages {
	struct setup *s;
	const struct pages_opts *o;
	char line[LIMIT_LINE]; /* of the last question */
};

static struct answers *answers(struct pages *p)
{
	return &p->s->answers;
}

/* ---- Lines ----------------------------------------------------------------------------------- */

static void say(const char *text)
{
	(void)fputs(text, stdout);
	(void)fflush(stdout); /* who cannot read cannot answer either */
}

/* -ENODATA at the end of input. What does not fit is an empty answer. */
static int read_line(struct pages *p)
{
	size_t n = 0;
	bool fits = true;

	for (;;) {
		char c;
		ssize_t got = fd_read_some(STDIN_FILENO, &c, 1);

		if (got <= 0)
			return got < 0 ? (int)got : -ENODATA;
		if (c == '\n' || c == '\r')
			break;
		if (n + 1 < sizeof(p->line))
			p->line[n++] = c;
		else
			fits = false;
	}
	p->line[fits ? n : 0] = '\0';
	return 0;
}

static void run_shell(void)
{
	const char *const argv[] = { "/bin/sh", NULL };
	struct proc_spec spec = PROC_SPEC_INIT;
	struct err tmp = ERR_INIT;

	spec.argv = argv;
	say("(leave the shell with \"exit\")\n");
	(void)proc_run(&spec, &tmp); /* how it ends means nothing */
}

static bool set_echo(bool on)
{
	struct termios t;

	if (tcgetattr(STDIN_FILENO, &t) < 0)
		return false;
	t.c_lflag = on ? t.c_lflag | ECHO : t.c_lflag & ~(tcflag_t)ECHO;
	return tcsetattr(STDIN_FILENO, TCSADRAIN, &t) == 0;
}

/* One question; the answer is in p->line. Words that are for the installer are dealt with here, but
 * a password may be any of them. */
static int ask_line(struct pages *p, const char *question, const char *usual, bool secret)
{
	for (;;) {
		say(question);
		if (*usual) {
			say(" [");
			say(usual);
			say("]");
		}
		say(": ");
		bool hidden = secret && set_echo(false);
		int r = read_line(p);
		if (hidden) {
			(void)set_echo(true);
			say("\n");
		}
		if (r < 0)
			return r == -ENODATA ? QUIT : r;
		if (secret)
			return NEXT;
		if (strcmp(p->line, "back") == 0)
			return BACK;
		if (strcmp(p->line, "quit") == 0)
			return QUIT;
		if (strcmp(p->line, "shell") != 0)
			break;
		run_shell();
	}
	if (!*p->line)
		(void)snprintf(p->line, sizeof(p->line), "%s", usual);
	return NEXT;
}

typedef int check_fn(const char *v, struct err *e);

/* Ask until the answer is good; *ret in the arena. */
static int ask(struct pages *p, const char *question, const char *usual, check_fn *check,
	       const char **ret)
{
	for (;;) {
		struct err e = ERR_INIT;
		int r = ask_line(p, question, usual, false);

		if (r != NEXT)
			return r;
		if (check(p->line, &e) == 0) {
			const char *copy = arena_str(&p->s->arena, p->line);
			if (!copy)
				return -ENOMEM;
			*ret = copy;
			return NEXT;
		}
		say(e.msg);
		say("\n");
	}
}

/* ---- Pages ----------------------------------------------------------------------------------- */

/* Whether the modules at hand know the zone. */
static int check_zone(struct pages *p, const char *zone, struct err *e)
{
	struct sys_eval_request req = { .kind = SYS_EVAL_EXPR };
	struct sys_eval *ev = NULL;

	if (answers_timezone(zone, e) < 0)
		return e->code;
	req.text = arena_fmt(
		&p->s->arena,
		"assert(require(\"system.zones\").rule(\"%s\"), \"unknown time zone\")", zone);
	int r = req.text ? sys_eval_run(&p->s->eval, &req, &ev, e) : err_num(e, -ENOMEM, "zone");
	sys_eval_free(ev);
	return r == -ERR_EVAL ? err_set(e, -ERR_INVALID, "unknown time zone '%s'", zone) : r;
}

/* At once, so that passwords are typed with it; a serial line has no layout. */
static void load_keyboard(struct pages *p)
{
	const char *const argv[] = { "busybox", "loadkmap", NULL };
	struct proc_spec spec = PROC_SPEC_INIT;
	struct err ignored = ERR_INIT;
	int mode;

	const char *file = arena_fmt(&p->s->arena, KEYMAPS "/%s.bmap", answers(p)->keyboard);
	auto_fd int fd = file ? open(file, O_RDONLY | O_CLOEXEC) : -1;
	if (fd < 0 || ioctl(STDIN_FILENO, KDGKBMODE, &mode) < 0)
		return;
	spec.argv = argv;
	spec.in = fd;
	(void)proc_run(&spec, &ignored); /* the machine loads it again when it starts */
}

/* Whether the modules at hand know the layout; they say which are near. */
static int check_keyboard(struct pages *p, const char *name, struct err *e)
{
	struct sys_eval_request req = { .kind = SYS_EVAL_EXPR };
	struct sys_eval *ev = NULL;

	if (answers_keyboard(name, e) < 0)
		return e->code;
	req.text = arena_fmt(&p->s->arena, "require(\"system.keyboards\").demand(\"%s\")", name);
	int r = req.text ? sys_eval_run(&p->s->eval, &req, &ev, e)
			 : err_num(e, -ENOMEM, "keyboard");
	sys_eval_free(ev);
	return r;
}

static int ask_keyboard(struct pages *p)
{
	struct answers *x = answers(p);

	for (;;) {
		struct err e = ERR_INIT;
		const char *name = "";
		int r = ask(p, "Keyboard layout, such as us, uk, de-latin1, fr",
			    *x->keyboard ? x->keyboard : "us", answers_keyboard, &name);

		if (r != NEXT)
			return r;
		if (check_keyboard(p, name, &e) == 0) {
			x->keyboard = name;
			load_keyboard(p);
			return NEXT;
		}
		say(e.msg);
		say("\n");
	}
}

static int ask_zone(struct pages *p)
{
	for (;;) {
		struct err e = ERR_INIT;
		const char *zone = "";
		int r = ask(p, "Time zone, such as Europe/Berlin", answers(p)->timezone,
			    answers_timezone, &zone);

		if (r != NEXT)
			return r;
		if (check_zone(p, zone, &e) == 0) {
			answers(p)->timezone = zone;
			return NEXT;
		}
		say(e.msg);
		say("\n");
	}
}

static int page_zone(struct pages *p)
{
	int r = ask_keyboard(p);

	return r == NEXT ? ask_zone(p) : r;
}

static int page_host(struct pages *p)
{
	return ask(p, "Host name", *answers(p)->host_name ? answers(p)->host_name : "cairn",
		   answers_host_name, &answers(p)->host_name);
}

static void list_cards(void)
{
	DIR *dir = opendir("/sys/class/net");
	struct dirent *d;
	char path[PATH_MAX];

	say("Network cards:");
	while (dir && (d = readdir(dir))) {
		int n = snprintf(path, sizeof(path), "/sys/class/net/%s/device", d->d_name);
		if (n > 0 && (size_t)n < sizeof(path) && access(path, F_OK) == 0) {
			say(" ");
			say(d->d_name);
		}
	}
	say("\n");
	if (dir)
		(void)closedir(dir); /* only read from */
}

static int is_network(const char *v, struct err *e)
{
	return strcmp(v, "dhcp") == 0 || strcmp(v, "static") == 0 || strcmp(v, "none") == 0
		       ? 0
		       : err_set(e, -ERR_INVALID, "answer dhcp, static or none");
}

static int page_network(struct pages *p)
{
	struct answers *x = answers(p);
	int r;

	list_cards();
	if ((r = ask(p, "Network: dhcp, static or none", x->network, is_network, &x->network)) !=
		    NEXT ||
	    strcmp(x->network, "none") == 0)
		return r;
	if ((r = ask(p, "Network card (empty: the first)", x->interface, answers_interface,
		     &x->interface)) != NEXT ||
	    strcmp(x->network, "dhcp") == 0)
		return r;
	if ((r = ask(p, "Address with prefix, such as 192.0.2.5/24", x->address, answers_address,
		     &x->address)) != NEXT ||
	    (r = ask(p, "Gateway (empty: none)", x->gateway, answers_gateway, &x->gateway)) != NEXT)
		return r;
	return ask(p, "Name servers, blanks between (empty: none)", x->name_servers,
		   answers_servers, &x->name_servers);
}

static void show_disk(const struct device *d)
{
	auto_str struct str line = STR_INIT;
	struct err ignored = ERR_INIT;
	char size[16];

	text_human(d->size, size);
	str_addf(&line, "  %s  %s  %s  %s%s%s\n", path_base(d->path), size,
		 *d->model ? d->model : "(no model)", *d->serial ? d->serial : "(no serial number)",
		 d->in_use ? "  IN USE, cannot be chosen" : "", d->read_only ? "  READ-ONLY" : "");
	(void)device_contents(d, &line, &ignored);
	say(str_err(&line) ? "?\n" : line.buf);
}

static const struct device *find_disk(const struct vec *disks, const char *name)
{
	const char *base = slice_starts(slice_of(name), "/dev/") ? name + 5 : name;

	for (size_t i = 0; i < disks->n; i++) {
		const struct device *d = disks->v[i];
		if (strcmp(path_base(d->path), base) == 0)
			return d;
	}
	return NULL;
}

static int is_layout(const char *v, struct err *e)
{
	return strcmp(v, "whole") == 0 || strcmp(v, "partitions") == 0
		       ? 0
		       : err_set(e, -ERR_INVALID, "answer whole or partitions");
}

static int is_number(const char *v, struct err *e)
{
	return *v ? answers_partition(v, e) : err_set(e, -ERR_INVALID, "a number is needed");
}

static int is_number_or_none(const char *v, struct err *e)
{
	return strcmp(v, "none") == 0 ? 0 : is_number(v, e);
}

static int ask_number(struct pages *p, const char *question, const char **place)
{
	const char *v = *place;
	int r = ask(p, question, *v ? v : "none", is_number_or_none, &v);

	if (r == NEXT)
		*place = strcmp(v, "none") == 0 ? "" : v;
	return r;
}

static int ask_numbers(struct pages *p)
{
	struct answers *x = answers(p);
	int r = ask(p, "Partition for the system; it will be formatted", x->root_partition,
		    is_number, &x->root_partition);

	if (r == NEXT)
		r = ask_number(p, "EFI system partition, which is kept (or none)",
			       &x->esp_partition);
	if (r == NEXT)
		r = ask_number(p, "BIOS boot partition (or none)", &x->bios_partition);
	if (r == NEXT)
		r = ask_number(p, "Partition for swap space; it will be formatted (or none)",
			       &x->swap_partition);
	return r;
}

/* Until they can be what they are to be. */
static int ask_partitions(struct pages *p)
{
	say("Partitions are called by their numbers: 3 is the one that ends with 3.\n"
	    "They are made beforehand, in a shell: fdisk, sfdisk.\n");
	for (;;) {
		struct err e = ERR_INIT;
		int r = ask_numbers(p);

		if (r != NEXT)
			return r;
		r = answers_partitions(answers(p), &e);
		if (r == 0)
			r = setup_open(p->s, &e);
		device_close(&p->s->disk);
		if (r == 0)
			return NEXT;
		say(e.msg);
		say("\n");
	}
}

/* Where there is a choice. */
static int ask_boot_loader(struct pages *p)
{
	struct answers *x = answers(p);

	if (access("/sys/firmware/efi", F_OK) < 0) {
		x->boot_loader = "grub";
		return NEXT;
	}
	return ask(p, "Boot loader: grub (starts on BIOS machines, too), efi (small, UEFI only)",
		   answers_efi(x) ? "efi" : "grub", answers_boot_loader, &x->boot_loader);
}

static int ask_layout(struct pages *p)
{
	struct answers *x = answers(p);
	const char *layout = "";
	int r = ask(p, "Use the whole disk, or partitions that are there: whole, partitions",
		    *x->root_partition ? "partitions" : "whole", is_layout, &layout);

	if (r != NEXT)
		return r;
	if (strcmp(layout, "partitions") == 0) {
		x->boot_loader = "grub";
		return ask_partitions(p);
	}
	x->root_partition = x->esp_partition = x->bios_partition = x->swap_partition = "";
	return ask_boot_loader(p);
}

/* No disk is the usual one. */
static int page_disk(struct pages *p)
{
	auto_vec struct vec disks = VEC_INIT;
	struct answers *x = answers(p);
	struct err e = ERR_INIT;

	if (device_list(&p->s->arena, &disks, &e) < 0) {
		say(e.msg);
		return e.code;
	}
	say("Disks of this machine, and what is on them:\n");
	for (size_t i = 0; i < disks.n; i++)
		show_disk(disks.v[i]);
	for (;;) {
		int r = ask_line(p, "Disk to install on", "", false);
		const struct device *d = r == NEXT ? find_disk(&disks, p->line) : NULL;

		if (r != NEXT)
			return r;
		if (d && !d->in_use && !d->read_only) {
			x->disk = d->path;
			x->disk_serial = d->serial;
			x->disk_size = d->size;
			return ask_layout(p);
		}
		say(!d ? "There is no such disk.\n" : "That disk cannot be chosen.\n");
	}
}

/* ---- Users ----------------------------------------------------------------------------------- */

/* The password goes to the program by a pipe, never by its arguments. */
static int hash_password(struct pages *p, const char *password, const char **ret)
{
	const char *const argv[] = { "busybox", "mkpasswd", "-m", "sha512", "-P", "0", NULL };
	struct proc_spec spec = PROC_SPEC_INIT;
	auto_str struct str out = STR_INIT;
	struct err e = ERR_INIT;
	int fds[2];

	if (pipe2(fds, O_CLOEXEC) < 0)
		return -errno;
	int r = fd_write_full(fds[1], password, strlen(password)); /* fits into a pipe */
	if (r == 0)
		r = fd_write_full(fds[1], "\n", 1);
	fd_close(&fds[1]);
	spec.argv = argv;
	spec.in = fds[0];
	if (r == 0)
		r = proc_output(&spec, &out, 512, &e);
	fd_close(&fds[0]);
	struct slice rest = str_slice(&out), line;
	if (r == 0 && slice_cut(&rest, '\n', &line) && line.n > 20 && line.p[0] == '$') {
		*ret = arena_slice(&p->s->arena, line);
		return *ret ? 0 : -ENOMEM;
	}
	say(e.msg);
	say("\nthe password could not be hashed\n");
	return r < 0 ? r : -EIO;
}

/* Empty: none. */
static int ask_password(struct pages *p, struct answers_user *u)
{
	char first[LIMIT_LINE];

	for (;;) {
		int r = ask_line(p, "Password (not shown; empty: none)", "", true);

		if (r != NEXT)
			return r;
		(void)snprintf(first, sizeof(first), "%s", p->line);
		if (!*first)
			return NEXT;
		r = ask_line(p, "The same again", "", true);
		bool same = strcmp(first, p->line) == 0;
		if (r == NEXT && same)
			r = hash_password(p, first, &u->password);
		explicit_bzero(first, sizeof(first));
		explicit_bzero(p->line, sizeof(p->line));
		if (r != NEXT || same)
			return r;
		say("They differ.\n");
	}
}

static int is_key_or_empty(const char *v, struct err *e)
{
	return *v ? answers_key(v, e) : 0;
}

static int ask_login(struct pages *p, struct answers_user *u)
{
	const char *key = "";
	int r;

	say("Login of ");
	say(u->name);
	say(*u->password ? " (has a password; empty keeps it)\n" : "\n");
	if ((r = ask_password(p, u)) != NEXT ||
	    (r = ask(p, "SSH key, one line (empty: none)", u->nkeys ? u->keys[0] : "",
		     is_key_or_empty, &key)) != NEXT)
		return r;
	if (*key) {
		u->keys[0] = key;
		u->nkeys = 1;
	}
	return NEXT;
}

static struct answers_user *user_of(struct answers *x, const char *name)
{
	struct answers_user *u = answers_find_user(x, name);

	if (!u && x->nusers < LIMIT_USERS) {
		u = &x->users[x->nusers++];
		*u = (struct answers_user){ .name = name, .password = "" };
	}
	return u;
}

static int is_user_or_empty(const char *v, struct err *e)
{
	return *v ? answers_user(v, e) : 0;
}

static int page_users(struct pages *p)
{
	struct answers *x = answers(p);
	int r = ask_login(p, user_of(x, "root"));

	while (r == NEXT) {
		const char *name = "";
		struct answers_user *u;

		r = ask(p, "Another user (empty: no more)", "", is_user_or_empty, &name);
		if (r != NEXT || !*name)
			return r;
		u = user_of(x, name);
		r = u ? ask_login(p, u) : NEXT;
	}
	return r;
}

static int is_ssh(const char *v, struct err *e)
{
	return strcmp(v, "no") == 0 || strcmp(v, "keys") == 0 || strcmp(v, "passwords") == 0
		       ? 0
		       : err_set(e, -ERR_INVALID, "answer no, keys or passwords");
}

static int page_services(struct pages *p)
{
	struct answers *x = answers(p);
	const char *ssh = "";
	int r = ask(p, "SSH server: no, keys (only SSH keys), passwords (both)",
		    !x->ssh	       ? "no"
		    : x->ssh_passwords ? "passwords"
				       : "keys",
		    is_ssh, &ssh);

	if (r != NEXT)
		return r;
	x->ssh = strcmp(ssh, "no") != 0;
	x->ssh_passwords = strcmp(ssh, "passwords") == 0;
	return NEXT;
}

/* ---- Review, confirm, write ------------------------------------------------------------------ */

static int page_review(struct pages *p)
{
	auto_str struct str text = STR_INIT;
	struct err e = ERR_INIT;
	bool good = answers_check(answers(p), &e) == 0 && setup_evaluate(p->s, &e) == 0;

	answers_configuration(answers(p), &text);
	say("This becomes /etc/cairn/system.lua:\n\n");
	say(str_err(&text) ? "?" : text.buf);
	say("\n");
	for (;;) {
		if (!good) {
			say("It cannot be installed: ");
			say(e.msg);
			say("\n");
		}
		int r = ask_line(p, good ? "Go on (back changes something)" : "Say back", "",
				 false);
		if (r != NEXT || good)
			return r;
	}
}

static int page_confirm(struct pages *p)
{
	auto_str struct str text = STR_INIT;
	const char *name = path_base(answers(p)->disk);

	say("Building the system\n");
	struct err e = ERR_INIT;
	device_close(&p->s->disk);
	bool good = setup_open(p->s, &e) == 0 && (p->s->ev || setup_evaluate(p->s, &e) == 0) &&
		    setup_build(p->s, &e) == 0;
	if (good)
		setup_plan(p->s, &text);
	say(str_err(&text) ? "?" : text.buf);
	for (;;) {
		if (!good) {
			say("This cannot be done: ");
			say(e.msg);
			say("\n");
		}
		say(good ? "To erase what the plan says and install, type the disk's name: " : "");
		say(good ? name : "");
		int r = ask_line(p, good ? "\nName of the disk" : "Say back", "", false);
		if (r != NEXT) {
			device_close(&p->s->disk);
			return r;
		}
		if (good && strcmp(p->line, name) == 0)
			return NEXT;
		say("That is not its name; nothing was written.\n");
	}
}

static int page_write(struct pages *p)
{
	struct err e = ERR_INIT;

	/* The installer may have been cut off here: the disk is opened and everything checked anew.
	 */
	if (p->s->disk.fd < 0) {
		int r = page_confirm(p);
		if (r != NEXT)
			return r;
	}
	for (;;) {
		say("Writing\n");
		if (setup_write(p->s, &e) == 0) {
			say("\nDone. Remove the medium and type: reboot\n");
			return NEXT;
		}
		say(e.msg);
		say("\n");
		int r = ask_line(p, "Empty tries again", "", false);
		if (r != NEXT)
			return r;
	}
}

static const struct page {
	const char *name, *title;
	int (*run)(struct pages *p);
} pages[] = {
	{ "zone", "Keyboard and time zone", page_zone },
	{ "host", "Name of the machine", page_host },
	{ "network", "Network", page_network },
	{ "disk", "Disk", page_disk },
	{ "users", "Users", page_users },
	{ "services", "Services", page_services },
	{ "review", "Review", page_review },
	{ "confirm", "Last confirmation", page_confirm },
	{ "write", "Installation", page_write },
};

/* ---- State and log --------------------------------------------------------------------------- */

static int save(struct pages *p, const char *page, struct err *e)
{
	auto_str struct str text = STR_INIT;

	answers(p)->page = page;
	answers_format(answers(p), &text);
	if (str_err(&text))
		return err_num(e, -ENOMEM, "%s", p->o->state);
	return file_write_atomic(AT_FDCWD, p->o->state, text.buf, text.len, 0600, e);
}

/* The page to begin with: where an earlier run was. */
static int load(struct pages *p, size_t *ret, struct err *e)
{
	auto_str struct str text = STR_INIT;
	struct err tmp = ERR_INIT;
	int r = file_read(AT_FDCWD, p->o->state, &text, LIMIT_STATE, &tmp);

	*ret = 0;
	if (r == -ENOENT)
		return 0;
	if (r == 0)
		r = answers_parse(&p->s->arena, str_slice(&text), p->o->state, answers(p), &tmp);
	if (r < 0)
		return err_hint(e, err_set(e, r, "%s", tmp.msg), "remove the file to begin anew");
	for (size_t i = 0; i < ARRAY_LEN(pages); i++)
		if (strcmp(pages[i].name, answers(p)->page) == 0)
			*ret = i;
	if (*ret)
		say("Going on where the installer was cut off.\n");
	return 0;
}

/* Names of pages only: nothing that was typed is in it. */
static void note(const struct pages *p, const char *text)
{
	auto_fd int fd = open(p->o->log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	time_t now = time(NULL);
	char when[32] = "";
	struct tm tm;

	if (gmtime_r(&now, &tm))
		(void)strftime(when, sizeof(when), "%Y-%m-%dT%H:%M:%SZ", &tm);
	if (fd >= 0)
		(void)dprintf(fd, "%s %s\n", when, text); /* a log that is full stops nothing */
}

static void show_title(size_t at)
{
	char line[120];

	(void)snprintf(line, sizeof(line), "\n-- %zu of %zu: %s --\n", at + 1, ARRAY_LEN(pages),
		       pages[at].title);
	say(line);
}

int pages_run(struct setup *s, const struct pages_opts *o, bool *ret_quit, struct err *e)
{
	struct pages p = { .s = s, .o = o };
	size_t at;
	int r = load(&p, &at, e);

	*ret_quit = false;
	if (r < 0)
		return r;
	say("Installation of Cairn. \"back\", \"shell\" and \"quit\" are understood wherever no "
	    "password is asked for.\n");
	while (at < ARRAY_LEN(pages)) {
		if ((r = save(&p, pages[at].name, e)) < 0)
			return r;
		note(&p, pages[at].title);
		show_title(at);
		int end = pages[at].run(&p);
		if (end < 0)
			return err_num(e, end, "installer");
		if (end == QUIT) {
			*ret_quit = true;
			note(&p, "left");
			return 0;
		}
		if (end == NEXT)
			at++;
		else if (at > 0)
			at--;
	}
	note(&p, "done");
	return unlink(o->state) < 0 ? err_sys(e, "%s", o->state) : 0;
}
