/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Switching generations, cut at every call that changes the disk: afterwards the machine must be at
 * exactly the old or exactly the new generation, whichever of the two it is then booted into, and
 * the menu, the profile link and the list of generations must agree.
 */
#include "system/switch.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/fd.h"
#include "lib/size.h"
#include "system/menu.h"
#include "system/notes.h"
#include "tests/unit/faults.h"
#include "tests/unit/test.h"

#define ONE   "/gnu/store/11111111111111111111111111111111-system"
#define TWO   "/gnu/store/22222222222222222222222222222222-system"
#define LINUX "/gnu/store/33333333333333333333333333333333-linux"

/* ---- A disk that does not read ----------------------------------------------------------------
 */

static const char *unread; /* end of the name that cannot be read; NULL: none */
static int unread_why;	   /* errno */
static bool block_unread;  /* nobody else calls pread() */

ssize_t pread(int fd, void *p, size_t n, off_t at)
{
	return block_unread ? (errno = EIO, -1) : REAL(pread)(fd, p, n, at);
}

int stat(const char *path, struct stat *st)
{
	size_t n = strlen(path), end = unread ? strlen(unread) : 0;

	if (end && n >= end && strcmp(path + n - end, unread) == 0)
		return errno = unread_why, -1;
	return REAL(stat)(path, st);
}

/* ---- A machine --------------------------------------------------------------------------------
 */

static char top[256];
static struct sys_root root = { top, top };
static const struct boot_place place = { .root = top, .store = top, .type = BOOT_GRUB, .dir = "" };

static void put(const char *dir, const char *name, const char *text)
{
	char path[512];
	struct err e = ERR_INIT;

	snprintf(path, sizeof(path), "%s%s/%s", top, dir, name);
	CHECK_INT(file_write_atomic(AT_FDCWD, path, text, strlen(text), 0644, &e), 0);
}

static void make_dir(const char *path)
{
	char full[512];
	struct err e = ERR_INIT;

	snprintf(full, sizeof(full), "%s%s", top, path);
	CHECK_INT(file_mkdir_p(AT_FDCWD, full, 0755, &e), 0);
}

static void make_generation(const char *path, const char *label)
{
	char dir[256], entry[512], facts[256];

	snprintf(dir, sizeof(dir), "%s/boot", path);
	make_dir(dir);
	snprintf(dir, sizeof(dir), "%s/services", path);
	make_dir(dir);
	snprintf(entry, sizeof(entry),
		 "cairn-boot-entry 1\nlabel %s\nkernel " LINUX "/bzImage\nparameters quiet\n",
		 label);
	snprintf(facts, sizeof(facts), "[system]\nlabel = %s\nhost-name = %s\n", label, label);
	put(path, "accounts", "");
	put(path, "activation", "");
	put(path, "boot/entry", entry);
	put(path, "boot/menu", "[menu]\ntimeout = 1\n");
	put(path, "facts", facts);
	put(path, "etc", "");
	put(path, "init", "");
	put(path, "initrd", "");
	put(path, "kernel", "");
	put(path, "services/set", "");
}

/* Two systems in the store; generation 1 exists and is current. */
static void machine_make(void)
{
	const char *tmp = getenv("TMP");
	struct err e = ERR_INIT;
	struct gen_list list;
	auto_arena struct arena a = ARENA_INIT;

	countdown = 0;
	snprintf(top, sizeof(top), "%s/machine-XXXXXX", tmp ? tmp : "/tmp");
	if (!mkdtemp(top))
		abort();
	make_dir(GEN_PROFILES);
	make_dir(LINUX);
	put(LINUX, "bzImage", "linux");
	make_generation(ONE, "one");
	make_generation(TWO, "two");
	CHECK_INT(gen_link_make(&root, 1, ONE, &e), 0);
	CHECK_INT(gen_select(&root, 1, &e), 0);
	CHECK_INT(gen_list_load(&root, &a, &list, &e), 0);
	CHECK_INT(sys_menu_write(&root, &list, 1, 0, &e), 0);
	CHECK_INT(boot_mark_good(&place, 1, &e), 0);
}

static void machine_remove(void)
{
	struct err e = ERR_INIT;

	countdown = 0;
	CHECK_INT(file_delete_tree(AT_FDCWD, top, NULL, &e), 0);
}

static bool exists(const char *path)
{
	char full[512];
	struct stat st;

	snprintf(full, sizeof(full), "%s%s", top, path);
	return lstat(full, &st) == 0;
}

/* Is the file there, with the contents that it should have? */
static bool is_in_place(const struct boot_file *f)
{
	auto_str struct str got = STR_INIT, want = STR_INIT;
	char path[512];
	struct err e = ERR_INIT;

	snprintf(path, sizeof(path), "%s/%s", top, f->path);
	return file_read(AT_FDCWD, path, &got, 1 << 20, &e) == 0 &&
	       (f->source ? file_read(AT_FDCWD, f->source, &want, 1 << 20, &e) == 0 &&
				    slice_eq(str_slice(&got), str_slice(&want))
			  : slice_eq(str_slice(&got), f->data));
}

/* Is the menu in place, with its kernels, the one of all present generations that starts this one?
 */
static bool menu_is(unsigned number)
{
	auto_arena struct arena a = ARENA_INIT;
	auto_vec struct vec files = VEC_INIT;
	struct err e = ERR_INIT;
	struct gen_list list;
	struct boot_menu menu;
	struct boot_place at;

	if (gen_list_load(&root, &a, &list, &e) < 0 ||
	    sys_menu_build(&root, &a, &list, number, 0, &menu, &at, &e) < 0 ||
	    boot_files(&at, &menu, &a, &files, &e) < 0)
		return false;
	for (size_t i = 0; i < files.n; i++) {
		const struct boot_file *f = files.v[i];

		if (strcmp(f->path, BOOT_ENV_FILE) != 0 && !is_in_place(f))
			return false;
	}
	return true;
}

static unsigned current(size_t *ret_n)
{
	auto_arena struct arena a = ARENA_INIT;
	struct err e = ERR_INIT;
	struct gen_list list = { NULL, 0, 0 };

	CHECK_INT(gen_list_load(&root, &a, &list, &e), 0);
	*ret_n = list.n;
	return list.current;
}

static bool has_temporary(void)
{
	char path[512];
	struct dirent *d;
	bool found = false;

	snprintf(path, sizeof(path), "%s" GEN_PROFILES, top);
	DIR *dir = opendir(path);
	while (dir && (d = readdir(dir)))
		found |= strncmp(d->d_name, ".tmp-", 5) == 0;
	if (dir)
		closedir(dir);
	return found;
}

/* A machine whose menu starts generation 2, which nobody has seen coming up, counts its boots. */
static void check_trial(int n)
{
	struct boot_count c = { 0, 0, 0 };
	struct err e = ERR_INIT;

	CHECK_INT(boot_count_load(&place, &c, &e), 0);
	if (c.good != 1)
		TEST_FAIL("cut %d: generation %u is the good one", n, c.good);
	if (menu_is(2) && (c.trial != 2 || c.left != BOOT_TRIES))
		TEST_FAIL("cut %d: the menu starts generation 2, on trial is %u (%u)", n, c.trial,
			  c.left);
}

static void check_no_trial(int n)
{
	struct boot_count c = { 0, 0, 0 };
	struct err e = ERR_INIT;

	CHECK_INT(boot_count_load(&place, &c, &e), 0);
	if (c.trial)
		TEST_FAIL("failure %d: generation %u is on trial", n, c.trial);
}

/* Everything agrees on one generation; says which. */
static unsigned settled(int n)
{
	size_t count;
	unsigned now = current(&count);

	if (now != 1 && now != 2)
		TEST_FAIL("cut %d: generation %u is current", n, now);
	if (!menu_is(now))
		TEST_FAIL("cut %d: the menu does not start generation %u", n, now);
	if (count != now)
		TEST_FAIL("cut %d: %zu generations while %u is current", n, count, now);
	if (exists(GEN_PROFILES "/system.switch"))
		TEST_FAIL("cut %d: the note is still there", n);
	if (has_temporary())
		TEST_FAIL("cut %d: a temporary file is still there", n);
	check_trial(n);
	return now;
}

static int switch_to_two(void *arg)
{
	struct err e = ERR_INIT;

	(void)arg;
	return sys_switch(&root, 2, TWO, &e);
}

/* Switch to a new generation 2 in a child that ends at its n-th call; true when it got through. */
static bool cut_at(int n)
{
	int r = run_cut_at(n, switch_to_two, NULL);

	CHECK(r >= 0);
	return r == 0;
}

/* What the boot loader finds in the menu is what the machine is booted into. */
static const char *boots(void)
{
	return menu_is(2) && current(&(size_t){ 0 }) != 0 ? TWO : ONE;
}

static unsigned sweep_cuts(bool reboot)
{
	unsigned seen[3] = { 0, 0, 0 };
	bool through = false;

	for (int n = 1; n < 200 && !through; n++) {
		enum sys_switch_end end;
		struct err e = ERR_INIT;

		machine_make();
		through = cut_at(n);
		check_trial(n);
		if (sys_switch_recover(&root, reboot ? boots() : NULL, &end, &e) < 0)
			TEST_FAIL("cut %d: %s", n, e.msg);
		seen[settled(n) % 3]++;
		machine_remove();
	}
	CHECK(through);
	CHECK(seen[1] > 0); /* both outcomes occur */
	CHECK(seen[2] > 1);
	return seen[1] + seen[2];
}

TEST(cut_then_next_command)
{
	CHECK(sweep_cuts(false) > 10);
}

TEST(cut_then_boot)
{
	CHECK(sweep_cuts(true) > 10);
}

static int switch_to_one(void *arg)
{
	struct err e = ERR_INIT;

	(void)arg;
	return sys_switch(&root, 1, NULL, &e);
}

/* Killed on the way to what the machine was booted into long before: the link alone says which of
 * the two it is. */
TEST(cut_without_a_boot)
{
	unsigned seen[3] = { 0, 0, 0 };
	int r = CUT;

	for (int n = 1; n < 200 && r == CUT; n++) {
		enum sys_switch_end end;
		struct err e = ERR_INIT;
		unsigned now;

		machine_make();
		make_dir("/run/cairn");
		CHECK_INT(sys_switch(&root, 2, TWO, &e), 0);
		r = run_cut_at(n, switch_to_one, NULL);
		now = current(&(size_t){ 0 });
		CHECK_INT(sys_switch_recover(&root, ONE, &end, &e), 0);
		CHECK_INT(current(&(size_t){ 0 }), now);
		CHECK(menu_is(now));
		seen[now % 3]++;
		machine_remove();
	}
	CHECK_INT(r, 0);
	CHECK(seen[1] > 0);
	CHECK(seen[2] > 1);
}

/* A boot loader that sees the old menu, although the journal has the new one. */
TEST(cut_then_boot_of_the_old)
{
	bool through = false;

	for (int n = 1; n < 200 && !through; n++) {
		enum sys_switch_end end;
		struct err e = ERR_INIT;

		machine_make();
		through = cut_at(n);
		CHECK_INT(sys_switch_recover(&root, ONE, &end, &e), 0);
		settled(n);
		machine_remove();
	}
}

/* Recovery itself is cut, then run again. */
TEST(cut_during_recovery)
{
	bool through = false;

	for (int n = 1; n < 200 && !through; n++) {
		enum sys_switch_end end;
		struct err e = ERR_INIT;
		pid_t pid;
		int status = 0;

		machine_make();
		(void)cut_at(8);
		pid = fork();
		if (pid == 0) {
			countdown = n;
			failure = 0;
			_exit(sys_switch_recover(&root, NULL, &end, &e) == 0 ? 0 : 1);
		}
		CHECK(pid > 0 && waitpid(pid, &status, 0) == pid);
		through = WIFEXITED(status) && WEXITSTATUS(status) == 0;
		CHECK_INT(sys_switch_recover(&root, NULL, &end, &e), 0);
		settled(n);
		machine_remove();
	}
	CHECK(through);
}

static unsigned menu_default(void)
{
	struct err e = ERR_INIT;
	unsigned def = 0;

	CHECK_INT(boot_menu_default(&place, &def, &e), 0);
	return def;
}

static void lose(const char *path)
{
	char full[512];

	snprintf(full, sizeof(full), "%s%s", top, path);
	CHECK_INT(unlink(full), 0);
}

/* Away from a generation that has lost what it boots, or also where its menu is: recovery does not
 * hold up what is to come. */
static void cut_away_from(const char *lost)
{
	unsigned seen[3] = { 0, 0, 0 };
	bool through = false;

	for (int n = 1; n < 200 && !through; n++) {
		enum sys_switch_end end = SYS_SWITCH_NONE;
		struct err e = ERR_INIT;
		unsigned now;

		machine_make();
		lose(lost);
		through = cut_at(n);
		if (sys_switch_recover(&root, NULL, &end, &e) < 0)
			TEST_FAIL("cut %d: %s", n, e.msg);
		now = current(&(size_t){ 0 });
		if (menu_default() != now || end == SYS_SWITCH_LEFT)
			TEST_FAIL("cut %d: generation %u is current, %u starts", n, now,
				  menu_default());
		if (exists(GEN_PROFILES "/system.switch"))
			TEST_FAIL("cut %d: the note is still there", n);
		check_trial(n);
		seen[now % 3]++;
		machine_remove();
	}
	CHECK(through);
	CHECK(seen[1] > 1); /* both outcomes occur */
	CHECK(seen[2] > 1);
}

TEST(cut_away_from_the_damaged)
{
	cut_away_from(ONE "/boot/entry");
	cut_away_from(ONE "/boot/menu");
}

/* A switch from 1 to 2 that was cut off; then both lost what a menu needs. */
static void cut_with_both_lost(void)
{
	struct err e = ERR_INIT;

	CHECK_INT(sys_switch(&root, 2, TWO, &e), 0);
	CHECK_INT(gen_select(&root, 1, &e), 0);
	put(GEN_PROFILES, "system.switch",
	    "[switch]\nfrom = 1\nto = 2\nfresh = no\npath = " TWO "\n");
	lose(ONE "/boot/entry");
	lose(TWO "/boot/entry");
}

/* Neither can be booted, nor is the menu of before in place: whoever goes to another one can. */
TEST(cut_between_the_damaged)
{
	enum sys_switch_end end = SYS_SWITCH_NONE;
	auto_arena struct arena a = ARENA_INIT;
	struct gen_list list;
	struct err e = ERR_INIT;

	machine_make();
	cut_with_both_lost();
	CHECK_INT(sys_switch_recover(&root, NULL, &end, &e), 0);
	CHECK_INT(end, SYS_SWITCH_LEFT);
	CHECK(!exists(GEN_PROFILES "/system.switch"));
	CHECK_INT(gen_list_load(&root, &a, &list, &e), 0);
	CHECK_INT(list.current, 1);
	CHECK_INT(list.n, 2);
	machine_remove();
}

/* Booted into what has lost its kernel since: nobody can go forward, but back. */
static void cut_before_the_damage(bool fresh)
{
	enum sys_switch_end end = SYS_SWITCH_NONE;
	struct err e = ERR_INIT;
	size_t n;

	machine_make();
	if (!fresh)
		CHECK_INT(gen_link_make(&root, 2, TWO, &e), 0);
	put(GEN_PROFILES, "system.switch",
	    fresh ? "[switch]\nfrom = 1\nto = 2\nfresh = yes\npath = " TWO "\n"
		  : "[switch]\nfrom = 1\nto = 2\nfresh = no\npath = " TWO "\n");
	lose(TWO "/boot/entry");
	CHECK_INT(sys_switch_recover(&root, TWO, &end, &e), 0);
	CHECK_INT(end, SYS_SWITCH_UNDONE);
	CHECK(!exists(GEN_PROFILES "/system.switch"));
	CHECK_INT(current(&n), 1);
	CHECK_INT(n, fresh ? 1 : 2);
	CHECK_INT(menu_default(), 1);
	machine_remove();
}

TEST(cut_into_the_damaged)
{
	enum sys_switch_end end = SYS_SWITCH_NONE;
	struct err e = ERR_INIT;

	cut_before_the_damage(true);
	cut_before_the_damage(false);
	/* Where that does not go, either, it is left. */
	machine_make();
	cut_with_both_lost();
	CHECK_INT(sys_switch_recover(&root, TWO, &end, &e), 0);
	CHECK_INT(end, SYS_SWITCH_LEFT);
	machine_remove();
}

/* What cannot be read of a generation that nobody asked for can be done without, if it is said how;
 * memory that is short has nothing to do with it. */
TEST(unread_generation)
{
	static const int reasons[] = { EIO, EUCLEAN, EBADMSG, ENOMEM };

	for (size_t i = 0; i < ARRAY_LEN(reasons); i++) {
		auto_arena struct arena a = ARENA_INIT;
		struct err e = ERR_INIT, asked = ERR_INIT;
		struct gen_list list;

		machine_make();
		put(ONE, "boot/entry",
		    "cairn-boot-entry 1\nlabel one\nkernel " ONE "/kernel\nparameters quiet\n");
		CHECK_INT(gen_link_make(&root, 2, TWO, &e), 0);
		CHECK_INT(gen_list_load(&root, &a, &list, &e), 0);
		unread = ONE "/kernel";
		unread_why = reasons[i];
		CHECK_INT(sys_menu_write(&root, &list, 2, 0, &e), -reasons[i]);
		CHECK_INT(sys_menu_write(&root, &list, 1, 0, &asked), -reasons[i]);
		unread = NULL;
		if ((strstr(e.msg, "delete-generations 1 does without it") != NULL) !=
		    (reasons[i] != ENOMEM))
			TEST_FAIL("%s", e.msg);
		CHECK(!strstr(asked.msg, "delete-generations"));
		machine_remove();
	}
}

/* Whatever is left of the block says of nothing that it is on trial, and does not keep the machine
 * from being switched: it is made anew on the way. */
TEST(damaged_block)
{
	static const char garbage[BOOT_ENV_SIZE + 1] = { [0 ... BOOT_ENV_SIZE - 1] = 'x' };
	static const char *const texts[] = { "", "# GRUB Environment Block\n", garbage };

	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		struct boot_count c = { 1, 1, 1 };
		struct err e = ERR_INIT;

		machine_make();
		put("/boot/grub", "grubenv", texts[i]);
		if (boot_count_load(&place, &c, &e) < 0)
			TEST_FAIL("block %zu: %s", i, e.msg);
		CHECK(c.good == 0 && c.trial == 0 && c.left == 0);
		if (sys_switch(&root, 2, TWO, &e) < 0)
			TEST_FAIL("block %zu: %s", i, e.msg);
		CHECK_INT(current(&(size_t){ 0 }), 2);
		CHECK(menu_is(2));
		CHECK_INT(boot_count_load(&place, &c, &e), 0);
		CHECK(c.trial == 2 && c.left == BOOT_TRIES);
		put("/boot/grub", "grubenv", texts[i]);
		CHECK_INT(boot_mark_good(&place, 2, &e), 0);
		CHECK_INT(boot_count_load(&place, &c, &e), 0);
		CHECK_INT(c.good, 2);
		machine_remove();
	}
	/* A disk that does not read is another matter. */
	struct err e = ERR_INIT;

	machine_make();
	block_unread = true;
	CHECK_INT(sys_switch(&root, 2, TWO, &e), -EIO);
	block_unread = false;
	CHECK_INT(settled(0), 1);
	machine_remove();
}

/* Each call fails once: the switch reports it, and nothing has changed. */
static void fail_everywhere(int with)
{
	bool through = false;

	for (int n = 1; n < 200 && !through; n++) {
		struct err e = ERR_INIT;
		int rc;

		machine_make();
		countdown = n;
		failure = with;
		rc = sys_switch(&root, 2, TWO, &e);
		through = countdown > 0;
		countdown = 0;
		if (rc < 0 && settled(n) != 1)
			TEST_FAIL("failure %d: reported, but switched", n);
		if (rc < 0)
			check_no_trial(n);
		if (rc == 0 && current(&(size_t){ 0 }) != 2)
			TEST_FAIL("failure %d: not reported", n);
		machine_remove();
	}
	CHECK(through);
}

TEST(failure_changes_nothing)
{
	fail_everywhere(ENOSPC); /* a full disk */
	fail_everywhere(EIO);	 /* a broken one */
}

TEST(refuses_what_is_no_system)
{
	enum sys_switch_end end = SYS_SWITCH_DONE;
	struct err e = ERR_INIT;

	machine_make();
	CHECK_INT(sys_switch(&root, 2, LINUX, &e), -ERR_INVALID);
	CHECK_INT(sys_switch(&root, 7, NULL, &e), -ERR_NOTFOUND);
	CHECK_INT(settled(0), 1);
	CHECK_INT(sys_switch_recover(&root, NULL, &end, &e), 0);
	CHECK_INT(end, SYS_SWITCH_NONE);
	machine_remove();
}

/* What the boot loader does in some boots. */
static int use_up_tries(const char *left)
{
	const struct boot_var none = { "cairn_left", left };
	char path[512];
	struct err e = ERR_INIT;

	snprintf(path, sizeof(path), "%s/" BOOT_ENV_FILE, top);
	auto_fd int fd = open(path, O_RDWR | O_CLOEXEC);
	return fd < 0 ? -errno : boot_env_update(fd, &none, 1, &e);
}

TEST(there_and_back)
{
	struct boot_count c;
	struct err e = ERR_INIT;
	size_t n;

	machine_make();
	CHECK_INT(sys_switch(&root, 2, TWO, &e), 0);
	CHECK_INT(settled(0), 2);
	CHECK_INT(boot_count_load(&place, &c, &e), 0);
	CHECK_INT(c.trial, 2);
	CHECK_INT(sys_switch(&root, 1, NULL, &e), 0);
	CHECK_INT(boot_count_load(&place, &c, &e), 0);
	CHECK_INT(c.good, 1); /* the good one needs no trial */
	CHECK_INT(current(&n), 1);
	CHECK_INT(n, 2);
	CHECK(menu_is(1));
	/* What used up its tries gets new ones when somebody asks for it again. */
	CHECK_INT(use_up_tries("0"), 0);
	CHECK_INT(sys_switch(&root, 2, NULL, &e), 0);
	CHECK_INT(settled(0), 2);
	/* And when it is the current one; but those that are left are not made more. */
	CHECK_INT(use_up_tries("0"), 0);
	CHECK_INT(sys_switch(&root, 2, NULL, &e), 0);
	CHECK_INT(settled(0), 2);
	CHECK_INT(use_up_tries("1"), 0);
	CHECK_INT(sys_switch(&root, 2, NULL, &e), 0);
	CHECK_INT(boot_count_load(&place, &c, &e), 0);
	CHECK_INT(c.left, 1);
	machine_remove();
}

/* A switch that fails leaves the current one the tries that it had. */
static void fail_on_trial(unsigned to, const char *path)
{
	bool through = false;

	for (int n = 1; n < 200 && !through; n++) {
		struct boot_count c;
		struct err e = ERR_INIT;
		int rc;

		machine_make();
		CHECK_INT(sys_switch(&root, 2, TWO, &e), 0);
		CHECK_INT(use_up_tries("1"), 0);
		countdown = n;
		failure = EIO;
		rc = sys_switch(&root, to, path, &e);
		through = countdown > 0;
		countdown = 0;
		CHECK_INT(boot_count_load(&place, &c, &e), 0);
		if (rc < 0 && (c.trial != 2 || c.left != 1))
			TEST_FAIL("failure %d: on trial is %u (%u)", n, c.trial, c.left);
		machine_remove();
	}
	CHECK(through);
}

TEST(failure_leaves_the_trial)
{
	fail_on_trial(1, NULL);
	fail_on_trial(2, NULL);
	fail_on_trial(3, TWO);
}

/* Nobody goes back to what was only tried out; switched to, it is one like the others. */
TEST(what_was_only_tried_out)
{
	auto_arena struct arena a = ARENA_INIT;
	struct gen_list list;
	struct err e = ERR_INIT;

	machine_make();
	CHECK_INT(gen_link_make(&root, 2, TWO, &e), 0);
	CHECK_INT(notes_set_tried(&root, 2, true, &e), 0);
	CHECK_INT(sys_switch(&root, 3, TWO, &e), 0);
	CHECK_INT(gen_list_load(&root, &a, &list, &e), 0);
	CHECK_INT(list.current, 3);
	CHECK(gen_find(&list, 2)->tried && !gen_find(&list, 3)->tried);
	CHECK_INT(gen_before(&list)->number, 1);
	CHECK_INT(sys_switch(&root, 2, NULL, &e), 0);
	CHECK_INT(sys_switch(&root, 3, NULL, &e), 0);
	CHECK_INT(gen_list_load(&root, &a, &list, &e), 0);
	CHECK(!gen_find(&list, 2)->tried);
	CHECK_INT(gen_before(&list)->number, 2);
	CHECK_INT(sys_switch(&root, 1, NULL, &e), 0);
	CHECK_INT(gen_list_load(&root, &a, &list, &e), 0);
	CHECK(!gen_before(&list));
	machine_remove();
}

TEST_MAIN(cut_then_next_command, cut_then_boot, cut_without_a_boot, cut_then_boot_of_the_old,
	  cut_during_recovery, cut_away_from_the_damaged, cut_between_the_damaged,
	  cut_into_the_damaged, unread_generation, damaged_block, failure_changes_nothing,
	  refuses_what_is_no_system, there_and_back, failure_leaves_the_trial,
	  what_was_only_tried_out)
