/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "system/generation.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "lib/conf.h"
#include "lib/fd.h"
#include "lib/path.h"
#include "lib/size.h"
#include "lib/text.h"
#include "store/store.h"
#include "system/notes.h"

#define LIMIT_FACTS  16384
#define LIMIT_FILE   ((size_t)1 << 20)
#define LOCK_MOMENTS 200 /* of 10 ms */

/* "system-12-link" -> 12; 0: another name. */
static unsigned link_number(const char *name)
{
	struct slice s = slice_of(name);
	uint64_t number;

	if (!slice_starts(s, "system-") || !slice_ends(s, "-link") || s.n <= 12)
		return 0;
	s.p += 7;
	s.n -= 12;
	if (s.p[0] == '0' || text_u64(s, GEN_NUMBER_MAX, &number) < 0)
		return 0;
	return (unsigned)number;
}

static char *link_path(const struct sys_root *r, struct arena *a, unsigned number)
{
	return arena_fmt(a, "%s" GEN_PROFILES "/system-%u-link", r->target, number);
}

static int compare(const void *x, const void *y)
{
	const struct gen *a = x, *b = y;

	return a->number < b->number ? -1 : a->number > b->number;
}

/* Target of the link at a physical path in arena; NULL when there is no link. */
static int read_link(struct arena *a, const char *path, const char **ret, struct err *e)
{
	auto_str struct str text = STR_INIT;
	struct err tmp = ERR_INIT;
	int r = file_readlink(AT_FDCWD, path, &text, &tmp);

	if (r == -ENOENT) {
		*ret = NULL;
		return 0;
	}
	if (r < 0)
		return err_set(e, r, "%s", tmp.msg);
	*ret = arena_slice(a, str_slice(&text));
	return *ret ? 0 : err_set(e, -ENOMEM, "out of memory");
}

static int load_one(const struct sys_root *r, struct arena *a, unsigned number, struct gen *g,
		    struct err *e)
{
	const char *path = link_path(r, a, number);
	struct stat st;
	int rc;

	if (!path)
		return err_set(e, -ENOMEM, "out of memory");
	if (lstat(path, &st) < 0)
		return err_sys(e, "%s", path);
	*g = (struct gen){ .number = number, .date = st.st_mtime, .label = "" };
	rc = read_link(a, path, &g->path, e);
	if (rc < 0)
		return rc;
	if (!g->path)
		return err_set(e, -ENOENT, "%s disappeared", path);
	return store_path_check(STORE_DIR_DEFAULT, slice_of(g->path), e) < 0
		       ? err_wrap(e, e->code, "%s", path)
		       : 0;
}

static int load_all(const struct sys_root *r, struct arena *a, DIR *dir, struct gen_list *l,
		    struct err *e)
{
	struct dirent *d;

	l->v = arena_array(a, GEN_COUNT_MAX, sizeof(*l->v));
	if (!l->v)
		return err_set(e, -ENOMEM, "out of memory");
	while ((d = readdir(dir))) {
		unsigned number = link_number(d->d_name);
		int rc;

		if (number == 0)
			continue;
		if (l->n == GEN_COUNT_MAX)
			return err_set(e, -ERR_LIMIT, "more than %d generations", GEN_COUNT_MAX);
		rc = load_one(r, a, number, &l->v[l->n], e);
		if (rc < 0)
			return rc;
		l->n++;
	}
	qsort(l->v, l->n, sizeof(*l->v), compare);
	return 0;
}

int gen_list_load(const struct sys_root *r, struct arena *a, struct gen_list *ret, struct err *e)
{
	struct gen_list l = { NULL, 0, 0 };
	const char *profile;
	DIR *dir = opendir(sys_root_path(r, a, GEN_PROFILES));
	int rc;

	if (!dir && errno == ENOENT) {
		*ret = l;
		return 0;
	}
	if (!dir)
		return err_sys(e, "%s" GEN_PROFILES, r->target);
	rc = load_all(r, a, dir, &l, e);
	closedir(dir);
	if (rc < 0)
		return rc;
	rc = read_link(a, sys_root_path(r, a, GEN_LINK), &profile, e);
	if (rc < 0)
		return rc;
	if (profile)
		l.current = link_number(path_base(profile));
	notes_apply(r, a, &l);
	*ret = l;
	return 0;
}

const struct gen *gen_find(const struct gen_list *l, unsigned number)
{
	for (size_t i = 0; i < l->n; i++) {
		if (l->v[i].number == number)
			return &l->v[i];
	}
	return NULL;
}

const struct gen *gen_current(const struct gen_list *l)
{
	return l->current ? gen_find(l, l->current) : NULL;
}

const struct gen *gen_before(const struct gen_list *l)
{
	const struct gen *before = NULL;

	for (size_t i = 0; i < l->n && l->v[i].number < l->current; i++)
		if (!l->v[i].tried)
			before = &l->v[i];
	return before;
}

unsigned gen_next(const struct gen_list *l)
{
	unsigned last = l->n ? l->v[l->n - 1].number : 0;

	return MAX_OF(last, l->current) + 1;
}

int gen_link_make(const struct sys_root *r, unsigned number, const char *path, struct err *e)
{
	auto_arena struct arena a = ARENA_INIT;
	char *link = link_path(r, &a, number);

	if (!link)
		return err_set(e, -ENOMEM, "out of memory");
	if (number > GEN_NUMBER_MAX)
		return err_set(e, -ERR_LIMIT, "generation number %u is too large", number);
	return file_symlink_atomic(AT_FDCWD, path, link, e);
}

int gen_link_remove(const struct sys_root *r, unsigned number, struct err *e)
{
	auto_arena struct arena a = ARENA_INIT;
	char *link = link_path(r, &a, number);

	if (!link)
		return err_set(e, -ENOMEM, "out of memory");
	if (unlink(link) < 0 && errno != ENOENT)
		return err_sys(e, "%s", link);
	return file_sync(AT_FDCWD, sys_root_path(r, &a, GEN_PROFILES), e);
}

int gen_select(const struct sys_root *r, unsigned number, struct err *e)
{
	auto_arena struct arena a = ARENA_INIT;
	char *target = arena_fmt(&a, "system-%u-link", number);
	char *link = sys_root_path(r, &a, GEN_LINK);

	if (!target || !link)
		return err_set(e, -ENOMEM, "out of memory");
	return file_symlink_atomic(AT_FDCWD, target, link, e);
}

char *gen_part(const struct sys_root *r, struct arena *a, const char *path, const char *name)
{
	auto_str struct str target = STR_INIT;
	struct err ignored = ERR_INIT;
	char *file = arena_fmt(a, "%s%s/%s", r->store, path, name);

	if (file && file_readlink(AT_FDCWD, file, &target, &ignored) == 0 && target.buf[0] == '/')
		return sys_root_store(r, a, target.buf);
	return file;
}

int gen_check(const struct sys_root *r, const char *path, struct err *e)
{
	static const char *const files[][2] = {
		{ "accounts", "" },	{ "activation", "" }, { "boot", "/entry" },
		{ "boot", "/menu" },	{ "etc", "" },	      { "facts", "" },
		{ "init", "" },		{ "kernel", "" },     { "initrd", "" },
		{ "services", "/set" },
	};
	int rc = store_path_check(STORE_DIR_DEFAULT, slice_of(path), e);

	if (rc < 0)
		return rc;
	for (size_t i = 0; i < ARRAY_LEN(files); i++) {
		auto_arena struct arena a = ARENA_INIT;
		struct stat st;
		char *part = gen_part(r, &a, path, files[i][0]);
		char *file = part ? arena_fmt(&a, "%s%s", part, files[i][1]) : NULL;

		if (!file)
			return err_set(e, -ENOMEM, "out of memory");
		if (lstat(file, &st) < 0)
			return err_set(e, errno == ENOENT ? -ERR_INVALID : -errno,
				       "%s is not a complete system: %s%s is missing", path,
				       files[i][0], files[i][1]);
	}
	return 0;
}

int gen_running(const struct sys_root *r, const char *link, struct arena *a, const char **ret,
		struct err *e)
{
	char *path = sys_root_path(r, a, link);

	return path ? read_link(a, path, ret, e) : err_set(e, -ENOMEM, "out of memory");
}

static const struct conf_key facts_keys[] = {
	CONF_KEY("label", conf_parse_str, offsetof(struct gen_facts, label), "", "text of the menu",
		 0),
	CONF_KEY("host-name", conf_parse_str, offsetof(struct gen_facts, host_name), "",
		 "host name", 0),
	CONF_KEY("kernel", conf_parse_str, offsetof(struct gen_facts, kernel), "",
		 "name and version", 0),
	CONF_KEY("kernel-path", conf_parse_str, offsetof(struct gen_facts, kernel_path), "",
		 "kernel", 0),
	CONF_KEY("initrd-path", conf_parse_str, offsetof(struct gen_facts, initrd_path), "",
		 "initrd", 0),
	CONF_KEY("configuration", conf_parse_str, offsetof(struct gen_facts, configuration), "",
		 "file below config/", 0),
};

static int facts_section(void *arg, struct conf_ctx *c, struct slice kind, struct slice name)
{
	if (!slice_is(kind, "system") || name.n)
		return conf_error(c, "unknown section");
	c->object = arg;
	return 0;
}

int gen_facts_load(const struct sys_root *r, struct arena *a, const char *path,
		   struct gen_facts *ret, struct err *e)
{
	struct gen_facts f = { "", "", "", "", "", "" };
	auto_str struct str text = STR_INIT;
	char *file = arena_fmt(a, "%s%s/facts", r->store, path);
	int rc;

	if (!file)
		return err_set(e, -ENOMEM, "out of memory");
	rc = file_read(AT_FDCWD, file, &text, LIMIT_FACTS, e);
	if (rc < 0)
		return rc;
	rc = conf_parse(str_slice(&text), file, facts_keys, ARRAY_LEN(facts_keys), facts_section,
			&f, a, e);
	if (rc < 0)
		return rc;
	*ret = f;
	return 0;
}

int gen_file_load(const struct sys_root *r, struct arena *a, const char *path,
		  const struct gen_file *what, struct vec *list, struct err *e)
{
	auto_str struct str text = STR_INIT;
	struct err tmp = ERR_INIT;
	char *file = arena_fmt(a, "%s%s/%s", r->store, path, what->name);
	int rc = file ? file_read(AT_FDCWD, file, &text, LIMIT_FILE, &tmp) : -ENOMEM;

	if (rc == -ENOENT)
		return 0;
	if (rc < 0)
		return err_set(e, rc, "%s", rc == -ENOMEM ? "out of memory" : tmp.msg);
	rc = conf_parse(str_slice(&text), file, what->keys, what->nkeys, what->section, list, a, e);
	return rc == 0 && list->err ? err_set(e, -ENOMEM, "out of memory") : rc;
}

/* The text that the holder left in the file, or one before him. */
static void read_holder(int fd, struct str *ret)
{
	auto_str struct str text = STR_INIT;

	str_cut(ret, 0);
	if (lseek(fd, 0, SEEK_SET) >= 0 && fd_read_all(fd, &text, 512) >= 0)
		text_safe(ret, slice_trim(str_slice(&text)));
}

static bool is_alive(const struct str *holder)
{
	struct slice rest = str_slice(holder), word;
	uint64_t pid;

	return slice_cut(&rest, ' ', &word) && slice_cut(&rest, ',', &word) &&
	       text_u64(word, INT32_MAX, &pid) == 0 && pid &&
	       (kill((pid_t)pid, 0) == 0 || errno != ESRCH);
}

/* Take the lock, or say who has it. Who has just got it has not left his name yet: what is there is
 * nothing, or the name of one who is gone. */
static int take_lock(int fd, const char *file, struct err *e)
{
	const struct timespec moment = { .tv_nsec = 10 * 1000 * 1000 };
	auto_str struct str holder = STR_INIT;

	for (unsigned i = 0; i < LOCK_MOMENTS; i++) {
		int rc = fd_lock(fd, true, false);

		if (rc != -EAGAIN)
			return rc < 0 ? err_num(e, rc, "cannot lock %s", file) : 0;
		read_holder(fd, &holder);
		if (is_alive(&holder))
			break;
		(void)nanosleep(&moment, NULL);
	}
	return err_set(e, -ERR_IN_USE, "the system is being changed by another command: %s",
		       holder.len ? holder.buf : "unknown");
}

int gen_lock(const struct sys_root *r, const char *verb, int *ret_fd, struct err *e)
{
	auto_arena struct arena a = ARENA_INIT;
	auto_fd int fd = -1;
	char *dir = sys_root_path(r, &a, GEN_PROFILES);
	char *file = sys_root_path(r, &a, GEN_PROFILES "/system.lock");
	struct tm tm;
	time_t now = time(NULL);
	char when[32] = "";
	int rc;

	if (!dir || !file)
		return err_set(e, -ENOMEM, "out of memory");
	rc = file_mkdir_p(AT_FDCWD, dir, 0755, e);
	if (rc < 0)
		return rc;
	fd = file_open_lock(AT_FDCWD, file, e);
	if (fd < 0)
		return fd;
	rc = take_lock(fd, file, e);
	if (rc < 0)
		return rc;
	if (gmtime_r(&now, &tm))
		strftime(when, sizeof(when), "%Y-%m-%d %H:%M:%S UTC", &tm);
	if (ftruncate(fd, 0) < 0 ||
	    dprintf(fd, "process %ld, %s, since %s\n", (long)getpid(), verb, when) < 0)
		return err_sys(e, "%s", file);
	*ret_fd = fd_take(&fd);
	return 0;
}
