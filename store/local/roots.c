/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "store/local/roots.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "lib/fd.h"
#include "lib/mem.h"
#include "lib/path.h"
#include "lib/size.h"
#include "lib/tab.h"
#include "lib/text.h"
#include "store/format/base32.h"
#include "store/local/guard.h"
#include "store/limits.h"
#include "store/format/nar.h"
#include "store/local/rootlink.h"

#define AUTO_DIR   "gcroots/auto"
#define KNOWN	   "db/known-roots"
#define SILENT_MAX 16	 /* roots that do not answer: each holds a collection up */
#define PIECE	   65536 /* of a file of /proc */

/* The store item that a link target lies in, given logically or physically; empty when none. */
static struct slice target_item(const struct local *l, const char *target)
{
	size_t n = strlen(l->root);

	if (n && !strncmp(target, l->root, n) && target[n] == '/')
		target += n;
	return store_path_item(l->store_dir, slice_of(target));
}

/* ---- What roots were ------------------------------------------------------------------------- */

/* A root that cannot be read holds what it held when it was added, or last read: of each there is a
 * line "ITEM ENTRY" in the file KNOWN, ENTRY being the link to it below the state directory. */

static void add_known(struct str *text, struct slice item, const char *entry)
{
	if (!strchr(entry, '\n'))
		str_addf(text, "%.*s %s\n", (int)item.n, item.p, entry);
}

/* One more line, while no collection can be on; the last line counts. */
static void append_known(struct local *l, struct slice item, const char *entry)
{
	auto_str struct str line = STR_INIT;
	auto_fd int fd = openat(l->state_fd, KNOWN,
				O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW | O_CLOEXEC, 0600);

	add_known(&line, item, entry);
	if (fd >= 0 && !str_err(&line))
		(void)fd_write_full(fd, line.buf,
				    line.len); /* without it the root is read or asked for */
}

/* The item that text says entry held; empty: it is not known. */
static struct slice find_known(const struct local *l, struct slice text, const char *entry)
{
	struct slice line, item, found = { NULL, 0 };

	while (text.n && slice_cut(&text, '\n', &line) && text.p)
		if (slice_cut(&line, ' ', &item) && slice_is(line, entry))
			found = item;
	return found.n && slice_eq(store_path_item(l->store_dir, found), found)
		       ? found
		       : (struct slice){ NULL, 0 };
}

/* No link at all, or one that leads nowhere. */
static bool is_no_link(int code)
{
	return code == -ENOENT || code == -EINVAL || code == -ENOTDIR || code == -ELOOP ||
	       code == -ENAMETOOLONG;
}

/* As root first, then with the rights of who wants it, which reach where root's do not. */
static int read_new_root(const char *link, uid_t uid, gid_t gid, struct str *target)
{
	struct rootlink own = ROOTLINK_INIT, his = ROOTLINK_INIT;
	int r = rootlink_read(&own, link, target);

	his.uid = uid;
	his.gid = gid;
	if (r < 0 && r != -ETIMEDOUT && !is_no_link(r) && uid != (uid_t)-1)
		r = rootlink_read(&his, link, target);
	rootlink_done(&own);
	rootlink_done(&his);
	return is_no_link(r) ? 0 : r;
}

int roots_add_indirect(struct local *l, const char *link, uid_t uid, gid_t gid, struct err *e)
{
	struct digest d = digest_of(DIGEST_SHA1, link, strlen(link));
	char name[DIGEST_TEXT_MAX], path[sizeof(AUTO_DIR) + DIGEST_TEXT_MAX];
	auto_str struct str target = STR_INIT;
	auto_fd int lock = -1;
	struct slice item;
	int r;

	if (link[0] != '/')
		return err_set(e, -ERR_INVALID, "the root '%s' is not absolute", link);
	digest_base32(&d, name);
	snprintf(path, sizeof(path), AUTO_DIR "/%s", name);
	/* No collection could be made beside one that was never to be read. */
	r = read_new_root(link, uid, gid, &target);
	if (r < 0)
		return err_num(e, r, "cannot read the root %s, so it is not added", link);
	/* The item must not be lost while the link that holds it survives. */
	r = local_settle(l, e);
	/* A collection that saw the link missing must not remove what we write. */
	if (r == 0)
		r = local_gc_lock(l, false, true, &lock, e);
	if (r == 0)
		r = file_symlink_atomic(l->state_fd, link, path, e);
	item = target_item(l, target.len ? target.buf : "");
	if (r == 0 && item.n)
		append_known(l, item, path);
	return r < 0 ? err_wrap(e, r, "add the root %s", link) : 0;
}

/* ---- Links ------------------------------------------------------------------------------------
 */

struct finder {
	struct local *l;
	struct arena *a;
	struct vec *ret;
	struct err *e;
	bool locked;	/* nobody can add a root meanwhile */
	struct path at; /* of the entry, below the state directory */
	struct rootlink links;
	unsigned silent;  /* links that did not answer */
	struct str known; /* what KNOWN says */
	struct str now;	  /* what it should say */
	/* of what runs */
	roots_wanted_fn *wanted;
	void *arg;
	struct tab seen; /* items that were told */
};

static int add_root(struct finder *f, const char *link, struct slice item)
{
	struct root *r = ARENA_NEW(f->a, struct root);

	if (!r)
		return err_num(f->e, -ENOMEM, "roots");
	r->link = arena_str(f->a, link);
	r->target = arena_slice(f->a, item);
	vec_add(f->ret, r);
	return arena_err(f->a) < 0 || f->ret->err < 0 ? err_num(f->e, -ENOMEM, "roots") : 0;
}

/* Where a link target outside the store is to be found by us: what lies in the state directory by
 * its logical name is below the private root. */
static char *physical_target(struct finder *f, const char *target)
{
	char dir[PATH_MAX];

	if (target[0] != '/') {
		if (path_dir(dir, f->at.buf) < 0)
			return NULL;
		return arena_fmt(f->a, "%s/%s/%s", f->l->state_phys, dir, target);
	}
	if (*f->l->root && path_is_below(target, f->l->state_dir))
		return arena_fmt(f->a, "%s%s", f->l->root, target);
	return arena_str(f->a, target);
}

/* What cannot be read may hold anything: it lives when it is known what it was. */
static int unread_root(struct finder *f, const char *link, int code)
{
	struct slice item = find_known(f->l, str_slice(&f->known), f->at.buf);
	int r;

	f->silent += code == -ETIMEDOUT;
	if (item.n && f->silent <= SILENT_MAX) {
		add_known(&f->now, item, f->at.buf);
		return add_root(f, link, item);
	}
	r = item.n ? err_set(f->e, -ETIMEDOUT, "%u roots do not answer, the last is %s", f->silent,
			     link)
		   : err_num(f->e, code, "read the root %s", link);
	return err_hint(f->e, r, "if it is none any more, remove the link to it from gcroots/auto");
}

/* A link to a link into the store. */
static int indirect_root(struct finder *f, const char *target)
{
	auto_str struct str next = STR_INIT;
	char *link = physical_target(f, target);
	struct slice item;
	int r;

	if (!link)
		return err_num(f->e, -ENOMEM, "roots");
	r = rootlink_read(&f->links, link, &next);
	if (r == -ENOENT && path_is_below(f->at.buf, AUTO_DIR)) {
		r = guard_mounted(link, f->e);
		if (r == 0 && f->locked) /* stale; if it cannot be removed another run does */
			(void)unlinkat(f->l->state_fd, f->at.buf, 0);
		return r;
	}
	if (is_no_link(r))
		return 0;
	if (r < 0)
		return unread_root(f, link, r);
	item = target_item(f->l, next.buf);
	if (item.n)
		add_known(&f->now, item, f->at.buf);
	return item.n ? add_root(f, link, item) : 0;
}

static char *logical_link(struct finder *f)
{
	return arena_fmt(f->a, "%s/%s", f->l->state_dir, f->at.buf);
}

static int look_at_link(struct finder *f)
{
	auto_str struct str target = STR_INIT;
	struct slice item;
	char *link;
	int r = file_readlink(f->l->state_fd, f->at.buf, &target, NULL);

	if (r == -ENOENT || r == -EINVAL)
		return 0; /* gone, or changed, in the meantime */
	if (r < 0)
		return err_num(f->e, r, "read the root %s/%s", f->l->state_phys, f->at.buf);
	item = target_item(f->l, target.buf);
	if (!item.n)
		return indirect_root(f, target.buf);
	link = logical_link(f);
	return link ? add_root(f, link, item) : err_num(f->e, -ENOMEM, "roots");
}

/* A plain file named like an item holds it. */
static int look_at_pin(struct finder *f, const char *name)
{
	char *item = arena_fmt(f->a, "%s/%s", f->l->store_dir, name), *link = logical_link(f);

	if (!item || !link)
		return err_num(f->e, -ENOMEM, "roots");
	if (local_check_path(f->l, item, NULL) < 0)
		return 0;
	return add_root(f, link, slice_of(item));
}

static int look_below(struct finder *f, int dirfd, const char *name, unsigned depth);

static int look_at_entry(struct finder *f, int fd, const char *name, unsigned depth)
{
	struct stat st;

	if (fstatat(fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 /* gone in the meantime */
				       : err_sys(f->e, "%s/%s", f->l->state_phys, f->at.buf);
	if (S_ISLNK(st.st_mode))
		return look_at_link(f);
	if (S_ISDIR(st.st_mode))
		return look_below(f, fd, name, depth + 1);
	return S_ISREG(st.st_mode) ? look_at_pin(f, name) : 0;
}

static int look_below(struct finder *f, int dirfd, const char *name, unsigned depth)
{
	/* profiles itself may lie elsewhere */
	auto_fd int fd =
		openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | (depth ? O_NOFOLLOW : 0));
	auto_arena struct arena a = ARENA_INIT;
	auto_vec struct vec names = VEC_INIT;
	int r;

	if (fd < 0 && errno != ENOENT && errno != ENOTDIR && errno != ELOOP)
		return err_sys(f->e, "open %s/%s", f->l->state_phys, f->at.buf);
	if (fd < 0 || depth > 64)
		return 0; /* missing, or a link: nothing to hold */
	r = nar_list_dir(&a, fd, &names);
	if (r < 0) /* what cannot be read may hold anything */
		return err_num(f->e, r, "list %s/%s", f->l->state_phys, f->at.buf);
	for (size_t i = 0, len; i < names.n; i++) {
		len = path_push(&f->at, names.v[i]);
		/* A name beyond PATH_MAX holds nothing, and must not hide what comes after it. */
		r = f->at.err < 0 ? 0 : look_at_entry(f, fd, names.v[i], depth);
		f->at.err = 0;
		path_pop(&f->at, len);
		if (r < 0)
			return r;
	}
	return 0;
}

int roots_find(struct local *l, bool locked, struct arena *a, struct vec *ret, struct err *e)
{
	static const char *const dirs[] = { "gcroots", "profiles", "manifests" };
	struct finder f = { .l = l,
			    .a = a,
			    .ret = ret,
			    .e = e,
			    .locked = locked,
			    .links = ROOTLINK_INIT,
			    .known = STR_INIT,
			    .now = STR_INIT };
	int r = 0;

	if (file_read(l->state_fd, KNOWN, &f.known, LIMIT_KNOWN_ROOTS, NULL) < 0)
		str_cut(&f.known, 0); /* nothing is known */
	for (size_t i = 0; r == 0 && i < sizeof(dirs) / sizeof(dirs[0]); i++) {
		path_init(&f.at, dirs[i]);
		r = look_below(&f, l->state_fd, dirs[i], 0);
	}
	rootlink_done(&f.links);
	/* Where it cannot be written roots are not known, and have to be read. */
	if (r == 0 && locked && !str_err(&f.now) &&
	    !slice_eq(str_slice(&f.now), str_slice(&f.known)))
		(void)file_write_atomic(l->state_fd, KNOWN, f.now.buf, f.now.len, 0600, NULL);
	str_done(&f.known);
	str_done(&f.now);
	return r;
}

/* ---- Temporary roots --------------------------------------------------------------------------
 */

static int add_temp_paths(struct finder *f, const char *name, struct slice text)
{
	char *link = arena_fmt(f->a, "{temp:%s}", name);
	struct slice path;
	int r = 0;

	/* What has no NUL at its end was not completely written, so nobody relies on it. */
	while (text.n && text.p[text.n - 1])
		text.n--;
	while (r == 0 && text.n && slice_cut(&text, 0, &path))
		if (path.n)
			r = add_root(f, link, path);
	return r;
}

/* One file: of a dead process it goes, of a live one it is read and kept locked. */
static int read_temp(struct finder *f, int dirfd, const char *name, int *ret_fd)
{
	auto_fd int fd = openat(dirfd, name, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
	auto_str struct str text = STR_INIT;
	int r;

	if (fd < 0)
		return errno == ENOENT ? 0 : err_sys(f->e, "open the temporary roots %s", name);
	r = fd_lock(fd, true, false);
	if (r == 0) {
		(void)unlinkat(dirfd, name, 0); /* the next collection tries again */
		(void)!write(fd, "d", 1);
		return 0;
	}
	if (r == -EAGAIN)
		r = fd_lock(fd, false, true);
	if (r == 0)
		r = fd_read_all(fd, &text, LIMIT_TEMP_ROOTS);
	if (r < 0)
		return err_num(f->e, r, "read the temporary roots %s", name);
	*ret_fd = fd_take(&fd);
	return add_temp_paths(f, name, str_slice(&text));
}

int roots_temp(struct local *l, struct arena *a, struct vec *ret, struct roots_temp *ret_held,
	       struct err *e)
{
	struct finder f = { .l = l, .a = a, .ret = ret, .e = e };
	struct roots_temp held = { NULL, 0 };
	auto_vec struct vec names = VEC_INIT;
	auto_fd int fd =
		openat(l->state_fd, "temproots", O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	int r;

	if (fd < 0)
		return err_sys(e, "open %s/temproots", l->state_phys);
	r = nar_list_dir(a, fd, &names);
	if (r < 0)
		return err_num(e, r, "list %s/temproots", l->state_phys);
	held.fds = mem_zalloc((names.n + 1) * sizeof(*held.fds));
	if (!held.fds)
		return err_num(e, -ENOMEM, "roots");
	for (size_t i = 0; r == 0 && i < names.n; i++) {
		held.fds[held.n] = -1;
		r = read_temp(&f, fd, names.v[i], &held.fds[held.n]);
		if (held.fds[held.n] >= 0)
			held.n++;
	}
	if (r < 0) {
		roots_temp_done(&held);
		return r;
	}
	*ret_held = held;
	return 0;
}

void roots_temp_done(struct roots_temp *t)
{
	for (size_t i = 0; i < t->n; i++)
		fd_close(&t->fds[i]);
	free(t->fds);
	*t = (struct roots_temp){ NULL, 0 };
}

/* ---- What processes use -----------------------------------------------------------------------
 */

/* The item that begins at p, which stands behind "STORE/"; its length or 0. */
static size_t item_length(const char *p, size_t n)
{
	size_t i = STORE_HASH_CHARS + 1;

	if (n < i + 1 || p[STORE_HASH_CHARS] != '-')
		return 0;
	for (size_t k = 0; k < STORE_HASH_CHARS; k++)
		if (!base32_char(p[k]))
			return 0;
	while (i < n && p[i] &&
	       (strchr("+-._?=", p[i]) || (p[i] >= '0' && p[i] <= '9') ||
		(p[i] >= 'a' && p[i] <= 'z') || (p[i] >= 'A' && p[i] <= 'Z')))
		i++;
	return i > STORE_HASH_CHARS + 1 ? i : 0;
}

/* Once each of those that are wanted: who runs can name any number of others, and one often. */
static int add_wanted(struct finder *f, const char *link, struct slice item)
{
	struct root *added;
	int r;

	if (tab_has(&f->seen, item) || !f->wanted(f->arg, item))
		return 0;
	r = add_root(f, link, item);
	if (r < 0)
		return r;
	added = f->ret->v[f->ret->n - 1];
	return tab_put(&f->seen, slice_of(added->target), NULL) ? 0
								: err_num(f->e, -ENOMEM, "roots");
}

/* Every item named anywhere in text, logically or physically, from before its byte end on. */
static int add_named_before(struct finder *f, const char *link, struct slice text, size_t end)
{
	const char *dir = f->l->store_dir, *start = text.p, *p;
	size_t n = strlen(dir), len;
	int r = 0;

	while (r == 0 && text.n && (p = memmem(text.p, text.n, dir, n)) &&
	       (size_t)(p - start) < end) {
		size_t skip = (size_t)(p - text.p) + n;

		text.p += skip;
		text.n -= skip;
		if (!text.n || text.p[0] != '/')
			continue;
		len = item_length(text.p + 1, text.n - 1);
		if (len)
			r = add_wanted(f, link, (struct slice){ p, n + 1 + len });
	}
	return r;
}

static int add_named(struct finder *f, const char *link, struct slice text)
{
	return add_named_before(f, link, text, text.n);
}

/* Every item named in a file of any size. What may be cut at the end of a piece, a directory and a
 * name, is looked at again with the next one. */
static int add_named_in(struct finder *f, const char *link, int fd)
{
	static char buf[PIECE];
	size_t have = 0, done, keep = strlen(f->l->store_dir) + 1 + LIMIT_NAR_NAME;
	ssize_t n;
	int r = 0;

	do {
		n = fd_read_some(fd, buf + have, sizeof(buf) - have);
		if (n < 0)
			return (int)n;
		have += (size_t)n;
		done = n == 0 ? have : have > keep ? have - keep : 0;
		r = add_named_before(f, link, (struct slice){ buf, have }, done);
		have -= done;
		memmove(buf, buf + done, have);
	} while (r == 0 && n > 0);
	return r;
}

static int add_proc_link(struct finder *f, int fd, const char *pid, const char *name)
{
	char target[PATH_MAX], link[64];
	ssize_t n = readlinkat(fd, name, target, sizeof(target));

	if (n <= 0)
		return 0;
	snprintf(link, sizeof(link), "{/proc/%.16s/%.24s}", pid, name);
	return add_named(f, link, (struct slice){ target, (size_t)n });
}

/* A process that ends or is not ours to see is no obstacle; that we cannot look is one. */
static bool is_ours(int code)
{
	return code == -EMFILE || code == -ENFILE || code == -ENOMEM;
}

static int add_proc_file(struct finder *f, int fd, const char *pid, const char *name)
{
	auto_fd int file = openat(fd, name, O_RDONLY | O_CLOEXEC);
	char link[64];
	int r;

	snprintf(link, sizeof(link), "{/proc/%.16s/%.24s}", pid, name);
	r = file < 0 ? -errno : add_named_in(f, link, file);
	return is_ours(r) ? err_num(f->e, r, "read /proc/%s/%s", pid, name) : 0;
}

static int look_at_process(struct finder *f, int proc_fd, const char *pid)
{
	auto_fd int fd = openat(proc_fd, pid, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	auto_fd int fds = fd < 0 ? -1 : openat(fd, "fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	auto_arena struct arena a = ARENA_INIT;
	auto_vec struct vec names = VEC_INIT;
	int r = fds < 0 ? -errno : 0;

	if (is_ours(r))
		return err_num(f->e, r, "open /proc/%s", pid);
	if (fd < 0)
		return 0;
	r = add_proc_link(f, fd, pid, "exe");
	if (r == 0)
		r = add_proc_link(f, fd, pid, "cwd");
	if (r == 0)
		r = add_proc_link(f, fd, pid, "root");
	if (r == 0)
		r = add_proc_file(f, fd, pid, "maps");
	if (r == 0)
		r = add_proc_file(f, fd, pid, "environ");
	if (r < 0 || fds < 0)
		return r;
	r = nar_list_dir(&a, fds, &names);
	if (r < 0)
		return is_ours(r) ? err_num(f->e, r, "list /proc/%s/fd", pid) : 0;
	for (size_t i = 0; r == 0 && i < names.n; i++)
		r = add_proc_link(f, fds, pid, names.v[i]);
	return r;
}

/* What the machine started from and runs on: known without looking into any directory of roots. */
static int look_at_machine(struct finder *f)
{
	static const char *const links[] = { "/run/booted-system", "/run/current-system" };
	static const char *const files[] = { "cmdline", "sys/kernel/modprobe",
					     "sys/kernel/poweroff_cmd", "sys/kernel/core_pattern" };
	int r = 0;

	for (size_t i = 0; r == 0 && i < ARRAY_LEN(links); i++) {
		auto_str struct str target = STR_INIT;

		r = file_readlink(AT_FDCWD, links[i], &target, NULL);
		if (r == 0)
			r = add_named(f, links[i], str_slice(&target));
		else
			r = r == -ENOENT || r == -EINVAL || r == -ENOTDIR
				    ? 0
				    : err_num(f->e, r, "read the root %s", links[i]);
	}
	for (size_t i = 0; r == 0 && i < ARRAY_LEN(files); i++) {
		char path[64];

		snprintf(path, sizeof(path), "/proc/%s", files[i]);
		auto_fd int fd = open(path, O_RDONLY | O_CLOEXEC);
		if (fd >= 0 && is_ours(r = add_named_in(f, path, fd)))
			return err_num(f->e, r, "read %s", path);
		r = 0; /* what this kernel does not have holds nothing */
	}
	return r;
}

int roots_runtime(struct local *l, struct arena *a, roots_wanted_fn *wanted, void *arg,
		  struct vec *ret, struct err *e)
{
	struct finder f = {
		.l = l, .a = a, .ret = ret, .e = e, .wanted = wanted, .arg = arg, .seen = TAB_INIT
	};
	auto_fd int fd = open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	auto_vec struct vec names = VEC_INIT;
	uint64_t pid;
	int r;

	if (fd < 0)
		return err_sys(e, "open /proc");
	r = nar_list_dir(a, fd, &names);
	if (r < 0)
		return err_num(e, r, "list /proc");
	r = look_at_machine(&f);
	for (size_t i = 0; r == 0 && i < names.n; i++)
		if (text_u64(slice_of(names.v[i]), INT32_MAX, &pid) == 0)
			r = look_at_process(&f, fd, names.v[i]);
	tab_done(&f.seen);
	return r;
}
