/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "image/fat.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "image/fatentry.h"
#include "lib/fd.h"
#include "lib/path.h"
#include "lib/proc.h"
#include "lib/size.h"
#include "lib/slice.h"
#include "lib/text.h"

#define SECTOR	  512
#define FAT32_MIN (34u << 20)  /* fewer clusters of one sector make FAT16 */
#define FAT32_ONE (256u << 20) /* clusters of one sector up to here */
#define FAT16_MIN (9u << 20)   /* fewer clusters make FAT12 */

#define LIMIT_COMPLAINT 400
#define LIMIT_LISTING	(1u << 20)
#define FAT_NAME_MAX	255
#define FAT_FILE_END	(UINT64_C(1) << 32)

/* FAT begins in 1980; earlier times would be written as its first moment anyway. */
static const char *const fat_env[] = {
	"SOURCE_DATE_EPOCH=315532800", "TZ=UTC", "LC_ALL=C", "MTOOLS_SKIP_CHECK=1",
	"MTOOLSRC=/dev/null",	       NULL
};

/* What a program said in fd, in one line; *ret_any: whether it said anything. */
static int complaint(int fd, char text[LIMIT_COMPLAINT], bool *ret_any)
{
	ssize_t n =
		lseek(fd, 0, SEEK_SET) < 0 ? -errno : fd_read_some(fd, text, LIMIT_COMPLAINT - 1);

	if (n < 0)
		return (int)n;
	*ret_any = n > 0;
	while (n > 0 && text[n - 1] == '\n')
		n--;
	text[n] = '\0';
	for (char *p = text; *p; p++)
		if ((unsigned char)*p < ' ')
			*p = ' ';
	return 0;
}

/* in: for standard input; -2: none. mtools ends with 0 when its last writes fail, so whatever is
 * said counts as failure, unless talkative. */
static int run(const char *const *argv, int in, bool talkative, struct err *e)
{
	struct proc_spec spec = PROC_SPEC_INIT;
	auto_fd int said = memfd_create("fat", MFD_CLOEXEC);
	char text[LIMIT_COMPLAINT];
	struct err ended = ERR_INIT;
	bool any = false;

	if (said < 0)
		return err_sys(e, "%s", argv[0]);
	spec.argv = argv;
	spec.envp = fat_env;
	spec.in = in;
	spec.out = -2;
	spec.err = said;
	spec.dies_with_us = true;
	int r = proc_run(&spec, &ended);
	int c = complaint(said, text, &any);
	if (c < 0)
		return err_num(e, c, "%s", argv[0]);
	if (r < 0 && any)
		return err_set(e, r, "%s: %s", ended.msg, text);
	if (r < 0)
		return err_set(e, r, "%s", ended.msg);
	return any && !talkative ? err_set(e, -EIO, "%s: %s", argv[0], text) : 0;
}

static int mkfs(const struct fat_opts *o, struct err *e)
{
	char offset[24], blocks[24], serial[9];
	bool wide = o->size >= FAT32_MIN;
	const char *argv[24];
	size_t n = 0;

	(void)snprintf(offset, sizeof(offset), "%llu", (unsigned long long)(o->offset / SECTOR));
	(void)snprintf(blocks, sizeof(blocks), "%llu", (unsigned long long)(o->size / 1024));
	(void)snprintf(serial, sizeof(serial), "%08x", o->serial);
	argv[n++] = o->mkfs;
	argv[n++] = "--invariant";
	argv[n++] = "--offset";
	argv[n++] = offset;
	argv[n++] = "-F";
	argv[n++] = wide ? "32" : o->size >= FAT16_MIN ? "16" : "12";
	if (wide && o->size <= FAT32_ONE) {
		argv[n++] = "-s";
		argv[n++] = "1";
	}
	argv[n++] = "-i";
	argv[n++] = serial;
	if (o->device) /* with partitions on it */
		argv[n++] = "-I";
	if (*o->label) {
		argv[n++] = "-n";
		argv[n++] = o->label;
	}
	argv[n++] = o->file;
	argv[n++] = blocks;
	argv[n] = NULL;
	return run(argv, -2, true, e);
}

/* One command of mtools: COMMAND -i FILE@@OFFSET FIRST [SECOND]. */
static int mtool(const struct fat_opts *o, int in, const char *command, const char *first,
		 const char *second, struct err *e)
{
	char image[PATH_MAX + 32];

	(void)snprintf(image, sizeof(image), "%s@@%llu", o->file, (unsigned long long)o->offset);
	const char *const argv[] = { o->mtools, "-c", command, "-i", image, first, second, NULL };
	return run(argv, in, o->foreign, e);
}

static int put_bytes(const struct fat_opts *o, struct slice data, const char *path, struct err *e)
{
	auto_fd int fd = memfd_create("fat", MFD_CLOEXEC);
	int r = fd < 0 ? -errno : fd_write_full(fd, data.p, data.n);

	if (r == 0 && lseek(fd, 0, SEEK_SET) < 0)
		r = -errno;
	return r < 0 ? err_num(e, r, "%s", path) : mtool(o, fd, "mcopy", "-", path, e);
}

/* Names that stay what they are; others would silently become similar ones. (mtools takes "~" for
 * a sign of short names.) */
static bool is_name(const char *name)
{
	size_t n =
		strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-+@");

	return n > 0 && n <= FAT_NAME_MAX && !name[n] && name[n - 1] != '.';
}

/* Standard output of mtools: COMMAND -i IMAGE FIRST [SECOND]; what it complains of is not shown. */
static int read_tool(const struct fat_opts *o, const char *command, const char *first,
		     const char *second, size_t limit, struct str *out, struct err *e)
{
	struct proc_spec spec = PROC_SPEC_INIT;
	char image[PATH_MAX + 32];

	(void)snprintf(image, sizeof(image), "%s@@%llu", o->file, (unsigned long long)o->offset);
	const char *const argv[] = { o->mtools, "-c", command, "-i", image, first, second, NULL };
	spec.argv = argv;
	spec.envp = fat_env;
	spec.in = spec.err = -2;
	spec.dies_with_us = true;
	return proc_output(&spec, out, limit, e);
}

/* "PATH <3> <5-9>", as mshowfat says it. */
static int chain(const struct fat_opts *o, const char *path, struct fat_chain *ret, struct err *e)
{
	auto_str struct str text = STR_INIT;
	struct slice rest, text_before, begin, end;
	uint64_t first, last;
	int r = read_tool(o, "mshowfat", path, NULL, LIMIT_LISTING, &text, e);

	if (r < 0)
		return r;
	ret->n = 0;
	rest = str_slice(&text);
	while (slice_cut(&rest, '<', &text_before) && slice_cut(&rest, '>', &end)) {
		(void)slice_cut(&end, '-', &begin);
		if (ret->n == FAT_RUNS_MAX || text_u64(begin, UINT32_MAX, &first) < 0 ||
		    text_u64(end.p ? end : begin, UINT32_MAX, &last) < 0)
			return err_set(e, -ERR_INVALID, "mshowfat: %s", text.buf);
		ret->run[ret->n++] =
			(struct fat_run){ .first = (uint32_t)first, .last = (uint32_t)last };
	}
	return 0;
}

/* path is "::/PARENT/NAME". */
static int put_roomy(const struct fat_opts *o, const char *path, struct err *e)
{
	auto_fd int zeros = memfd_create("fat", MFD_CLOEXEC);
	auto_fd int fd = open(o->file, O_RDWR | O_CLOEXEC);
	struct fat_chain in, new;
	char parent[PATH_MAX];
	uint32_t cluster;

	if (fd < 0 || zeros < 0)
		return err_sys(e, "%s", fd < 0 ? o->file : path);
	int r = path_dir(parent, path);
	if (r < 0)
		return err_num(e, r, "%s", path);
	if ((r = fat_cluster_size(fd, o->offset, &cluster, e)) < 0)
		return r;
	if (ftruncate(zeros, (off_t)((o->room + cluster - 1) / cluster * cluster)) < 0)
		return err_sys(e, "%s", path);
	if ((r = mtool(o, zeros, "mcopy", "-", path, e)) < 0 ||
	    (r = chain(o, parent, &in, e)) < 0 || (r = chain(o, path, &new, e)) < 0)
		return r;
	if (!in.n || !new.n)
		return err_set(e, -ERR_INVALID, "%s is at the top", path);
	return fat_make_directory(fd, o->offset, &in, new.run->first, e);
}

static int put(const struct fat_opts *o, const struct man_entry *n, struct err *e)
{
	char path[PATH_MAX];

	if (!*n->path)
		return 0;
	if (!is_name(path_base(n->path)))
		return err_set(e, -ERR_INVALID,
			       "/%s: no name for FAT [A-Z a-z 0-9 . _ - + @, without a dot at the "
			       "end]",
			       n->path);
	if (n->size >= FAT_FILE_END)
		return err_set(e, -ERR_LIMIT, "/%s: files on FAT have less than 4 GiB", n->path);
	int len = snprintf(path, sizeof(path), "::/%s", n->path);
	if (len < 0 || (size_t)len >= sizeof(path))
		return err_num(e, -ENAMETOOLONG, "/%s", n->path);
	if (n->type == MAN_DIR && o->roomy && strcmp(n->path, o->roomy) == 0)
		return put_roomy(o, path, e);
	if (n->type == MAN_DIR)
		return mtool(o, -2, "mmd", path, NULL, e);
	if (n->type == MAN_FILE && n->source)
		return mtool(o, -2, "mcopy", n->source, path, e);
	if (n->type == MAN_FILE)
		return put_bytes(o, n->data, path, e);
	return err_set(e, -ERR_INVALID, "/%s: FAT has only files and directories", n->path);
}

int fat_make(const struct fat_opts *o, const struct manifest *m, struct err *e)
{
	if (strlen(o->label) > FAT_LABEL_MAX)
		return err_set(e, -ERR_INVALID, "label '%s' is longer than %d bytes", o->label,
			       FAT_LABEL_MAX);
	int r = mkfs(o, e);
	for (size_t i = 0; r == 0 && i < m->entries.n; i++)
		r = put(o, manifest_at(m, i), e);
	return r < 0 ? err_wrap(e, r, "FAT file system") : 0;
}

/* ---- One that is there ----------------------------------------------------------------------- */

#define LIMIT_FILE (32u << 20)

int fat_free(const struct fat_opts *o, uint64_t *ret, struct err *e)
{
	auto_str struct str text = STR_INIT;
	struct err tmp = ERR_INIT;
	struct slice rest, line;
	uint64_t n = 0;

	if (read_tool(o, "mdir", "::/", NULL, LIMIT_LISTING, &text, &tmp) < 0)
		return err_set(e, -ERR_INVALID, "there is no FAT file system that can be read");
	/* "      65 432 100 bytes free", the last line with text */
	for (rest = str_slice(&text); slice_cut(&rest, '\n', &line);) {
		line = slice_trim(line);
		if (line.n < 10 || memcmp(line.p + line.n - 10, "bytes free", 10) != 0)
			continue;
		for (n = 0; line.n > 10; line.p++, line.n--)
			if (*line.p >= '0' && *line.p <= '9')
				n = n * 10 + (uint64_t)(*line.p - '0');
	}
	*ret = n;
	return 0;
}

static bool has(const struct fat_opts *o, const char *path)
{
	auto_str struct str text = STR_INIT;
	struct err ignored = ERR_INIT;

	return read_tool(o, "mdir", "-b", path, LIMIT_LISTING, &text, &ignored) == 0;
}

/* Whether path is there with the contents of source. */
static int is_same(const struct fat_opts *o, const char *source, const char *path, bool *ret,
		   struct err *e)
{
	auto_str struct str old = STR_INIT;
	auto_str struct str new = STR_INIT;
	int r = file_read(AT_FDCWD, source, &new, LIMIT_FILE, e);

	if (r == 0)
		r = read_tool(o, "mtype", path, NULL, LIMIT_FILE, &old, e);
	if (r == 0)
		*ret = slice_eq(str_slice(&old), str_slice(&new));
	return r;
}

static int make_dirs(const struct fat_opts *o, const char *dir, struct err *e)
{
	char path[PATH_MAX];
	int r = 0;

	for (const char *end = dir; r == 0 && *end; end += *end == '/') {
		end += strcspn(end, "/");
		(void)snprintf(path, sizeof(path), "::/%.*s", (int)(end - dir), dir);
		if (!has(o, path))
			r = mtool(o, -2, "mmd", path, NULL, e);
	}
	return r;
}

/* Names that were of a run cut off are free again. */
static int discard(const struct fat_opts *o, const char *path, struct err *e)
{
	return has(o, path) ? mtool(o, -2, "mdel", path, NULL, e) : 0;
}

/* Keep path's contents as saved: a copy, so that path is there all the time. */
static int save(const struct fat_opts *o, const char *path, const char *part, const char *saved,
		struct err *e)
{
	auto_str struct str old = STR_INIT;
	auto_str struct str new = STR_INIT;

	if (has(o, saved))
		return 0;
	int r = mtool(o, -2, "mcopy", path, part, e);
	if (r == 0)
		r = read_tool(o, "mtype", path, NULL, LIMIT_FILE, &old, e);
	if (r == 0)
		r = read_tool(o, "mtype", part, NULL, LIMIT_FILE, &new, e);
	if (r == 0 && !slice_eq(str_slice(&old), str_slice(&new)))
		r = err_set(e, -EIO, "%s: what was written is not there", part);
	return r == 0 ? mtool(o, -2, "mren", part, saved, e) : r;
}

/* path gets new's contents, and new is gone. */
static int replace(const struct fat_opts *o, const char *dir, const char *path, const char *new,
		   struct err *e)
{
	struct fat_chain in, old, next;
	char parent[200];
	int r;

	(void)snprintf(parent, sizeof(parent), "::/%s", dir);
	r = chain(o, parent, &in, e);
	if (r == 0)
		r = chain(o, path, &old, e);
	if (r == 0)
		r = chain(o, new, &next, e);
	if (r == 0 && old.n && next.n) {
		auto_fd int fd = open(o->file, O_RDWR | O_CLOEXEC);
		r = fd < 0 ? err_sys(e, "%s", o->file)
			   : fat_exchange(fd, o->offset, &in, old.run->first, next.run->first, e);
		return r == 0 ? mtool(o, -2, "mdel", new, NULL, e) : r;
	}
	/* An empty file has no cluster, and nothing starts from it. */
	if (r == 0)
		r = mtool(o, -2, "mdel", path, NULL, e);
	return r == 0 ? mtool(o, -2, "mren", new, path, e) : r;
}

int fat_share(const struct fat_opts *o, const char *source, const char *dir, const char *name,
	      struct err *e)
{
	char path[200], new[220], saved[220];
	bool there, same = false;
	int r = make_dirs(o, dir, e);

	(void)snprintf(path, sizeof(path), "::/%s/%s", dir, name);
	(void)snprintf(new, sizeof(new), "%s.new", path);
	(void)snprintf(saved, sizeof(saved), "%s.saved", path);
	there = r == 0 && has(o, path);
	if (there)
		r = is_same(o, source, path, &same, e);
	if (r == 0)
		r = discard(o, new, e);
	if (r < 0 || same)
		return r;
	if (there)
		r = save(o, path, new, saved, e);
	if (r == 0)
		r = mtool(o, -2, "mcopy", source, new, e);
	if (r < 0) /* of a full one, for example */
		(void)discard(o, new, &(struct err)ERR_INIT);
	if (r == 0)
		r = there ? replace(o, dir, path, new, e) : mtool(o, -2, "mren", new, path, e);
	if (r == 0)
		r = is_same(o, source, path, &same, e);
	return r == 0 && !same ? err_set(e, -EIO, "%s: what was written is not there", path) : r;
}
