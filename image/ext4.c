/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The only file that knows libext2fs. */
#include "image/ext4.h"

#include <com_err.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/types.h>

/* Wants the types of the headers above, and does not include them itself. */
#include <ext2fs/ext2fs.h>

#include "image/readback.h"
#include "lib/fd.h"
#include "lib/path.h"
#include "lib/proc.h"
#include "lib/size.h"
#include "lib/str.h"

#define BLOCKS_PER_MB (1024 * 1024 / EXT4_BLOCK)
#define INODE_SIZE    256
#define MAKE_TRIES    12
#define RUN_BLOCKS    256 /* blocks written with one call */
#define DEPTH_MAX     300

/* Named one by one: what a version of mke2fs, or a configuration file, thinks usual is no input.
 * Not metadata_csum_seed, orphan_file: GRUB 2.06 refuses them. */
#define FEATURES                                                                                   \
	"none,has_journal,ext_attr,resize_inode,dir_index,filetype,extent,64bit,flex_bg,"          \
	"sparse_super,large_file,huge_file,dir_nlink,extra_isize,metadata_csum"

struct ext4_dir {
	ext2_ino_t ino;
	const struct man_entry *entry; /* borrowed from the manifest */
	size_t index;		       /* among all directories */
	uint32_t subdirs;
};

/* A name whose file is yet to come. */
struct ext4_name {
	ext2_ino_t dir;
	const struct man_entry *entry;
};
#define NAMES_MAX 16

struct ext4 {
	struct img_sink sink;
	bool device;	       /* nothing on it is zero by itself */
	ext2_filsys fs;	       /* owned */
	struct ext4_dir *dirs; /* owned; all directories, for the last touch */
	size_t ndirs, cap_dirs;
	struct ext4_dir open[DEPTH_MAX]; /* the directories the next entry may lie in */
	size_t nopen;
	struct ext4_name names[NAMES_MAX];
	size_t nnames;
	/* the file at hand */
	ext2_ino_t ino;
	uint64_t done;		    /* bytes */
	blk64_t goal;		    /* where the next file's blocks should start */
	struct ext2fs_extent *runs; /* owned; of the file at hand */
	size_t nruns, cap_runs, run;
	char *buf; /* owned; RUN_BLOCKS blocks that collect */
	size_t fill;
	const char *file;	 /* borrowed */
	uint64_t first;		 /* block of the file system in file */
	struct readback written; /* of a device */
};

static int fail(struct err *e, errcode_t code, const char *what)
{
	if (code == EXT2_ET_NO_MEMORY || code == ENOMEM)
		return err_num(e, -ENOMEM, "ext4: %s", what);
	if (code == EXT2_ET_BLOCK_ALLOC_FAIL || code == EXT2_ET_INODE_ALLOC_FAIL)
		return err_num(e, -ENOSPC, "ext4: %s", what);
	if (code > 0 && code < 4096)
		return err_num(e, -(int)code, "ext4: %s", what);
	return err_set(e, -EIO, "ext4: %s: %s", what, error_message(code));
}

/* ---- Size ------------------------------------------------------------------------------------ */

/* Records of a directory fill its blocks one after the other; looking for the first gap instead,
 * as the library does, never takes more. */
struct dir_size {
	size_t used; /* bytes of the last block */
	uint64_t blocks;
};

static void dir_size_add(struct dir_size *d, size_t name)
{
	size_t record = 8 + ((name + 3) & ~(size_t)3);

	if (d->blocks == 0 || d->used + record > EXT4_BLOCK - 12 /* checksum */) {
		d->blocks++;
		d->used = 0;
	}
	d->used += record;
}

static size_t depth_of(const char *path)
{
	size_t n = *path ? 1 : 0;

	for (; *path; path++)
		n += *path == '/';
	return n;
}

struct ext4_need ext4_need(const struct manifest *m)
{
	struct ext4_need need = { 0 };
	struct dir_size dirs[DEPTH_MAX]; /* the first nopen: the ones that are open */
	size_t nopen = 0;

	for (size_t i = 0; i < m->entries.n; i++) {
		const struct man_entry *n = manifest_at(m, i);
		size_t d = depth_of(n->path);

		if (d >= DEPTH_MAX || d > nopen)
			break; /* entry() reports it */
		while (nopen > d)
			need.blocks += dirs[--nopen].blocks;
		need.inodes += !n->same;
		if (d > 0)
			dir_size_add(&dirs[d - 1], strlen(path_base(n->path)));
		if (n->type == MAN_DIR) {
			dirs[nopen++] = (struct dir_size){ .used = 24, .blocks = 1 };
		} else if (n->type == MAN_LINK) {
			need.blocks += strlen(n->target) >= 60;
		} else if (n->type == MAN_FILE) {
			need.blocks += (n->size + EXT4_BLOCK - 1) / EXT4_BLOCK;
			/* Four rows of the extent tree are in the inode; a gap between groups can
			 * make it more. */
			need.blocks += n->size / (64 << 20);
		}
	}
	while (nopen > 0)
		need.blocks += dirs[--nopen].blocks;
	return need;
}

/* ---- An empty file system -------------------------------------------------------------------- */

static unsigned journal_mb(const struct ext4_opts *o)
{
	return o->size && o->size <= 64u << 20 ? EXT4_JOURNAL_LESS : EXT4_JOURNAL_MB;
}

static int mke2fs_run(const struct ext4_opts *o, uint64_t blocks, uint64_t inodes, struct err *e)
{
	static const char conf[] =
		"[defaults]\n\tbase_features = none\n\tenable_periodic_fsck = 0\n"
		"[fs_types]\n\text4 = {\n\t\tinode_size = 256\n\t}\n\tplain = {\n\t\tinode_size = "
		"256\n\t}\n";
	char uuid[GUID_TEXT_MAX], extended[300], config[PATH_MAX + 32], n[3][24], journal[24];
	char path[PATH_MAX];
	auto_fd int work = open(o->work, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (work < 0)
		return err_sys(e, "%s", o->work);
	if (path_join(path, o->work, "mke2fs.conf") < 0)
		return err_num(e, -ENAMETOOLONG, "%s", o->work);
	int r = file_write_atomic(work, "mke2fs.conf", conf, sizeof(conf) - 1, 0644, e);
	if (r < 0)
		return r;
	guid_format(&o->uuid, uuid);
	(void)snprintf(extended, sizeof(extended),
		       "offset=%llu,hash_seed=%s,root_owner=0:0,lazy_itable_init=0,nodiscard,"
		       "lazy_journal_init=0,assume_storage_prezeroed=%d",
		       (unsigned long long)o->offset, uuid, !o->device);
	(void)snprintf(config, sizeof(config), "MKE2FS_CONFIG=%s", path);
	(void)snprintf(n[0], sizeof(n[0]), "%d", EXT4_BLOCK);
	(void)snprintf(n[1], sizeof(n[1]), "%llu", (unsigned long long)inodes);
	(void)snprintf(n[2], sizeof(n[2]), "%llu", (unsigned long long)blocks);
	(void)snprintf(journal, sizeof(journal), "size=%u", journal_mb(o));
	const char *argv[] = { o->mke2fs, "-q",	   o->device ? "-FF" : "-F",
			       "-t",	  "ext4",  "-T",
			       "plain",	  "-b",	   n[0],
			       "-I",	  "256",   "-N",
			       n[1],	  "-m",	   "0",
			       "-J",	  journal, "-O",
			       FEATURES,  "-E",	   extended,
			       "-U",	  uuid,	   "-L",
			       o->label,  "-e",	   "remount-ro",
			       o->file,	  n[2],	   NULL };
	/* mke2fs before 1.47.1 knows only its own variable for the time, later ones the common. */
	const char *envp[] = { config,
			       "E2FSPROGS_FAKE_TIME=1",
			       "SOURCE_DATE_EPOCH=1",
			       "MKE2FS_SYNC=0",
			       "TZ=UTC",
			       "LC_ALL=C",
			       NULL };
	struct proc_spec spec = PROC_SPEC_INIT;
	spec.argv = argv;
	spec.envp = envp;
	spec.in = spec.out = -2;
	spec.dies_with_us = true;
	r = proc_run(&spec, e);
	(void)unlinkat(work, "mke2fs.conf", 0); /* scratch */
	return r;
}

static int fs_open(const struct ext4_opts *o, int flags, ext2_filsys *ret, struct err *e)
{
	char options[40];

	initialize_ext2_error_table();
	(void)snprintf(options, sizeof(options), "offset=%llu", (unsigned long long)o->offset);
	errcode_t c = ext2fs_open2(o->file, options, flags | EXT2_FLAG_64BITS, 0, 0,
				   unix_io_manager, ret);
	return c ? fail(e, c, "opening the new file system") : 0;
}

static int file_size(const struct ext4_opts *o, uint64_t size, struct err *e)
{
	if (o->device)
		return 0;
	auto_fd int fd = open(o->file, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return err_sys(e, "%s", o->file);
	/* Down first: what an earlier try wrote must be zeros again. */
	if (ftruncate(fd, (off_t)o->offset) < 0 || ftruncate(fd, (off_t)(o->offset + size)) < 0)
		return err_sys(e, "%s", o->file);
	return 0;
}

/* An empty file system of total blocks; *ret: how many of them are free. */
static int make_empty(const struct ext4_opts *o, uint64_t total, uint64_t inodes, uint64_t *ret,
		      struct err *e)
{
	ext2_filsys fs = NULL;

	int r = file_size(o, total * EXT4_BLOCK, e);
	if (r == 0)
		r = mke2fs_run(o, total, inodes, e);
	if (r == 0)
		r = fs_open(o, 0, &fs, e);
	if (r < 0)
		return r;
	*ret = ext2fs_free_blocks_count(fs->super);
	(void)ext2fs_close(fs); /* read only */
	return 0;
}

static int too_small(const struct ext4_opts *o, uint64_t missing, struct err *e)
{
	return err_set(e, -ERR_LIMIT, "ext4: %llu MiB are too small: %llu KiB are missing",
		       (unsigned long long)(o->size >> 20),
		       (unsigned long long)missing * (EXT4_BLOCK / 1024));
}

int ext4_make(const struct ext4_opts *o, const struct manifest *m, uint64_t *ret_bytes,
	      struct err *e)
{
	struct ext4_need need = ext4_need(m);
	uint64_t inodes = need.inodes + 16 + o->free_inodes; /* 10 reserved ones, lost+found */
	uint64_t want = need.blocks + (o->free_bytes + EXT4_BLOCK - 1) / EXT4_BLOCK;
	uint64_t journal = (uint64_t)journal_mb(o) * BLOCKS_PER_MB;
	uint64_t tables = inodes * INODE_SIZE / EXT4_BLOCK;
	uint64_t total = tables + journal + MAX_OF(want, journal + BLOCKS_PER_MB);

	if (strlen(o->label) > EXT4_LABEL_MAX)
		return err_set(e, -ERR_INVALID, "label '%s' is longer than %d bytes", o->label,
			       EXT4_LABEL_MAX);
	if (o->size && o->size / EXT4_BLOCK < total) /* mke2fs would only grumble about its journal,
						      * which may take a half */
		return too_small(o, total - o->size / EXT4_BLOCK, e);
	if (o->size)
		total = o->size / EXT4_BLOCK;
	for (int i = 0; i < MAKE_TRIES; i++) {
		uint64_t have;

		total = (total + BLOCKS_PER_MB - 1) / BLOCKS_PER_MB * BLOCKS_PER_MB;
		int r = make_empty(o, total, inodes, &have, e);
		if (r < 0)
			return r;
		if (have >= want) {
			*ret_bytes = total * EXT4_BLOCK;
			return 0;
		}
		if (o->size)
			return too_small(o, want - have, e);
		total += want - have;
	}
	return err_set(e, -ERR_INTERNAL, "ext4: no size found for %llu blocks",
		       (unsigned long long)want);
}

/* ---- Filling --------------------------------------------------------------------------------- */

/* Inode numbers and links are ours to give: the library's helpers are called without names. */
static int link_in(struct ext4 *x, ext2_ino_t dir, const struct man_entry *n, ext2_ino_t ino,
		   int kind, struct err *e)
{
	const char *name = path_base(n->path);
	errcode_t c = ext2fs_link(x->fs, dir, name, ino, kind);

	if (c == EXT2_ET_DIR_NO_SPACE) {
		c = ext2fs_expand_dir(x->fs, dir);
		if (!c)
			c = ext2fs_link(x->fs, dir, name, ino, kind);
	}
	return c ? fail(e, c, "linking a name") : 0;
}

static int link_name(struct ext4 *x, const struct man_entry *n, ext2_ino_t ino, int kind,
		     struct err *e)
{
	return link_in(x, x->open[x->nopen - 1].ino, n, ino, kind, e);
}

static void set_attributes(struct ext2_inode *i, const struct man_entry *n)
{
	i->i_mode = (__u16)((i->i_mode & LINUX_S_IFMT) | (n->mode & 07777));
	i->i_uid = (__u16)(n->uid & 0xffff);
	i->i_gid = (__u16)(n->gid & 0xffff);
	ext2fs_set_i_uid_high(*i, (__u16)(n->uid >> 16));
	ext2fs_set_i_gid_high(*i, (__u16)(n->gid >> 16));
	i->i_mtime = i->i_atime = i->i_ctime = (__u32)n->mtime;
}

static int update(struct ext4 *x, ext2_ino_t ino, const struct man_entry *n, struct err *e)
{
	struct ext2_inode inode;
	errcode_t c = ext2fs_read_inode(x->fs, ino, &inode);

	if (!c) {
		set_attributes(&inode, n);
		c = ext2fs_write_inode(x->fs, ino, &inode);
	}
	return c ? fail(e, c, "setting attributes") : 0;
}

static int dirs_add(struct ext4 *x, ext2_ino_t ino, const struct man_entry *n, struct err *e)
{
	if (x->nopen == DEPTH_MAX)
		return err_set(e, -ERR_LIMIT, "too deep");
	if (x->ndirs == x->cap_dirs) {
		size_t cap = x->cap_dirs ? 2 * x->cap_dirs : 256, bytes;
		void *p = size_mul(cap, sizeof(*x->dirs), &bytes) ? realloc(x->dirs, bytes) : NULL;

		if (!p)
			return err_num(e, -ENOMEM, "ext4");
		x->dirs = p;
		x->cap_dirs = cap;
	}
	if (x->nopen)
		x->dirs[x->open[x->nopen - 1].index].subdirs++;
	x->dirs[x->ndirs] = (struct ext4_dir){ .ino = ino, .entry = n, .index = x->ndirs };
	x->open[x->nopen++] = x->dirs[x->ndirs++];
	return 0;
}

static int add_dir(struct ext4 *x, const struct man_entry *n, struct err *e)
{
	ext2_ino_t ino = EXT2_ROOT_INO;

	if (*n->path) {
		ext2_ino_t dir = x->open[x->nopen - 1].ino;
		errcode_t c = ext2fs_new_inode(x->fs, dir, LINUX_S_IFDIR, NULL, &ino);
		if (!c)
			c = ext2fs_mkdir(x->fs, dir, ino, NULL);
		if (c)
			return fail(e, c, "making a directory");
		int r = link_name(x, n, ino, EXT2_FT_DIR, e);
		if (r < 0)
			return r;
	}
	return dirs_add(x, ino, n, e);
}

static int add_link(struct ext4 *x, const struct man_entry *n, struct err *e)
{
	ext2_ino_t dir = x->open[x->nopen - 1].ino, ino;
	errcode_t c = ext2fs_new_inode(x->fs, dir, LINUX_S_IFLNK, NULL, &ino);

	if (!c)
		c = ext2fs_symlink(x->fs, dir, ino, NULL, n->target);
	if (c)
		return fail(e, c, "making a link");
	int r = link_name(x, n, ino, EXT2_FT_SYMLINK, e);
	return r < 0 ? r : update(x, ino, n, e);
}

static int new_node(struct ext4 *x, const struct man_entry *n, struct ext2_inode *inode, int kind,
		    ext2_ino_t *ret, struct err *e)
{
	ext2_ino_t ino;
	errcode_t c = ext2fs_new_inode(x->fs, x->open[x->nopen - 1].ino, inode->i_mode, NULL, &ino);

	if (c)
		return fail(e, c, "taking an inode");
	int r = link_name(x, n, ino, kind, e);
	if (r < 0)
		return r;
	ext2fs_inode_alloc_stats2(x->fs, ino, +1, 0);
	inode->i_links_count = 1;
	set_attributes(inode, n);
	*ret = ino;
	return 0;
}

static int add_device(struct ext4 *x, const struct man_entry *n, struct err *e)
{
	struct ext2_inode inode = { .i_mode = n->type == MAN_CHAR ? LINUX_S_IFCHR : LINUX_S_IFBLK };
	ext2_ino_t ino;
	int r = new_node(x, n, &inode, n->type == MAN_CHAR ? EXT2_FT_CHRDEV : EXT2_FT_BLKDEV, &ino,
			 e);

	if (r < 0)
		return r;
	if (n->major < 256 && n->minor < 256)
		inode.i_block[0] = n->major << 8 | n->minor;
	else
		inode.i_block[1] = (n->minor & 0xff) | n->major << 8 | (n->minor & ~0xffU) << 12;
	errcode_t c = ext2fs_write_new_inode(x->fs, ino, &inode);
	return c ? fail(e, c, "making a device") : 0;
}

static int runs_read(struct ext4 *x, struct ext2_inode *inode, struct err *e)
{
	ext2_extent_handle_t h;
	struct ext2fs_extent ext;
	errcode_t c = ext2fs_extent_open2(x->fs, x->ino, inode, &h);
	int r = 0;

	x->nruns = x->run = 0;
	if (c)
		return fail(e, c, "reading extents");
	for (c = ext2fs_extent_get(h, EXT2_EXTENT_ROOT, &ext); !c && r == 0;
	     c = ext2fs_extent_get(h, EXT2_EXTENT_NEXT, &ext)) {
		if (!(ext.e_flags & EXT2_EXTENT_FLAGS_LEAF))
			continue;
		if (x->nruns == x->cap_runs) {
			size_t cap = x->cap_runs ? 2 * x->cap_runs : 16;
			void *p = realloc(x->runs, cap * sizeof(*x->runs));

			if (!p) {
				r = err_num(e, -ENOMEM, "ext4");
				break;
			}
			x->runs = p;
			x->cap_runs = cap;
		}
		x->runs[x->nruns++] = ext;
	}
	ext2fs_extent_free(h);
	if (r == 0 && c != EXT2_ET_EXTENT_NO_NEXT)
		r = fail(e, c, "reading extents");
	return r;
}

static int name_later(struct ext4 *x, const struct man_entry *n, struct err *e)
{
	if (x->nnames == NAMES_MAX)
		return err_set(e, -ERR_LIMIT, "ext4: more than %d second names", NAMES_MAX);
	x->names[x->nnames++] = (struct ext4_name){ x->open[x->nopen - 1].ino, n };
	x->done = 0;
	x->fill = 0;
	return 0;
}

/* The names before it that n has, too. */
static int name_now(struct ext4 *x, const struct man_entry *n, struct ext2_inode *inode,
		    struct err *e)
{
	int r = 0;

	for (size_t i = x->nnames; r == 0 && i-- > 0;) {
		if (strcmp(x->names[i].entry->same, n->path) != 0)
			continue;
		r = link_in(x, x->names[i].dir, x->names[i].entry, x->ino, EXT2_FT_REG_FILE, e);
		inode->i_links_count++;
		x->names[i] = x->names[--x->nnames];
	}
	return r;
}

static int add_file(struct ext4 *x, const struct man_entry *n, struct err *e)
{
	struct ext2_inode inode = { .i_mode = LINUX_S_IFREG };
	uint64_t blocks = (n->size + EXT4_BLOCK - 1) / EXT4_BLOCK;
	ext2_extent_handle_t h;

	if (n->same)
		return name_later(x, n, e);
	int r = new_node(x, n, &inode, EXT2_FT_REG_FILE, &x->ino, e);
	if (r == 0)
		r = name_now(x, n, &inode, e);
	if (r < 0)
		return r;
	/* Opening the extents of an inode that has none makes the empty tree. */
	errcode_t c = ext2fs_extent_open2(x->fs, x->ino, &inode, &h);
	if (!c)
		ext2fs_extent_free(h);
	if (!c)
		c = ext2fs_inode_size_set(x->fs, &inode, (ext2_off64_t)n->size);
	if (!c)
		c = ext2fs_write_new_inode(x->fs, x->ino, &inode);
	if (!c && blocks)
		c = ext2fs_fallocate(x->fs,
				     EXT2_FALLOCATE_FORCE_INIT | EXT2_FALLOCATE_INIT_BEYOND_EOF,
				     x->ino, &inode, x->goal, 0, blocks);
	if (!c)
		c = ext2fs_write_inode(x->fs, x->ino, &inode);
	if (c)
		return fail(e, c, "making a file");
	x->done = 0;
	x->fill = 0;
	return blocks ? runs_read(x, &inode, e) : 0;
}

static int sink_entry(struct img_sink *s, const struct man_entry *n, struct err *e)
{
	struct ext4 *x = CONTAINER_OF(s, struct ext4, sink);
	size_t d = depth_of(n->path);

	if (d > x->nopen || (d == 0 && x->nopen))
		return err_set(e, -ERR_INTERNAL, "out of order");
	x->nopen = d;
	switch (n->type) {
	case MAN_DIR:
		return add_dir(x, n, e);
	case MAN_LINK:
		return add_link(x, n, e);
	case MAN_FILE:
		return add_file(x, n, e);
	default:
		return add_device(x, n, e);
	}
}

static bool is_hole(const struct ext4 *x, const char *block)
{
	return !x->device && block[0] == 0 && memcmp(block, block + 1, EXT4_BLOCK - 1) == 0;
}

/* Write the count blocks that collected, whose first is block number at of the file. Blocks of
 * zeros stay holes of an image, which is new; a device is not. */
static int put_blocks(struct ext4 *x, uint64_t at, size_t count, struct err *e)
{
	size_t i = 0;

	while (i < count) {
		while (x->run < x->nruns &&
		       at + i >= x->runs[x->run].e_lblk + x->runs[x->run].e_len)
			x->run++;
		if (x->run == x->nruns || at + i < x->runs[x->run].e_lblk)
			return err_set(e, -ERR_INTERNAL, "ext4: file without a block");
		const struct ext2fs_extent *r = &x->runs[x->run];
		uint64_t off = at + i - r->e_lblk;
		size_t most = MIN_OF(count - i, (size_t)(r->e_len - off)), k = 0;
		bool zero = is_hole(x, x->buf + i * EXT4_BLOCK);

		while (k < most && is_hole(x, x->buf + (i + k) * EXT4_BLOCK) == zero)
			k++;
		errcode_t c = zero ? 0
				   : io_channel_write_blk64(x->fs->io, r->e_pblk + off, (int)k,
							    x->buf + i * EXT4_BLOCK);
		if (c)
			return fail(e, c, "writing a file");
		for (size_t j = 0; x->device && j < k; j++)
			readback_add(&x->written, x->first + r->e_pblk + off + j,
				     x->buf + (i + j) * EXT4_BLOCK);
		i += k;
		x->goal = r->e_pblk + off + k;
	}
	return 0;
}

static int flush_blocks(struct ext4 *x, struct err *e)
{
	size_t count = (x->fill + EXT4_BLOCK - 1) / EXT4_BLOCK;
	uint64_t at = (x->done - x->fill) / EXT4_BLOCK;

	memset(x->buf + x->fill, 0, count * EXT4_BLOCK - x->fill);
	x->fill = 0;
	return put_blocks(x, at, count, e);
}

static int sink_data(struct img_sink *s, const void *p, size_t n, struct err *e)
{
	struct ext4 *x = CONTAINER_OF(s, struct ext4, sink);
	const char *b = p;

	while (n) {
		size_t k = MIN_OF(n, (size_t)RUN_BLOCKS * EXT4_BLOCK - x->fill);

		memcpy(x->buf + x->fill, b, k);
		x->fill += k;
		x->done += k;
		b += k;
		n -= k;
		if (x->fill == (size_t)RUN_BLOCKS * EXT4_BLOCK) {
			int r = flush_blocks(x, e);
			if (r < 0)
				return r;
		}
	}
	return 0;
}

static int sink_end(struct img_sink *s, const struct man_entry *n, struct err *e)
{
	struct ext4 *x = CONTAINER_OF(s, struct ext4, sink);

	if (n->type != MAN_FILE)
		return 0;
	if (x->done != n->size)
		return err_set(e, -ERR_INTERNAL, "ext4: %llu bytes instead of %llu",
			       (unsigned long long)x->done, (unsigned long long)n->size);
	return x->fill ? flush_blocks(x, e) : 0;
}

int ext4_open(const struct ext4_opts *o, struct ext4 **ret, struct err *e)
{
	struct ext4 *x = calloc(1, sizeof(*x));

	if (!x || !(x->buf = malloc((size_t)RUN_BLOCKS * EXT4_BLOCK))) {
		ext4_free(x);
		return err_num(e, -ENOMEM, "ext4");
	}
	int r = fs_open(o, EXT2_FLAG_RW, &x->fs, e);
	if (r < 0) {
		ext4_free(x);
		return r;
	}
	x->device = o->device;
	x->file = o->file;
	x->first = o->offset / EXT4_BLOCK;
	x->fs->now = 1; /* what the library stamps on its own */
	x->goal = ~(blk64_t)0;
	x->sink = (struct img_sink){ sink_entry, sink_data, sink_end };
	errcode_t c = ext2fs_read_bitmaps(x->fs);
	if (c) {
		ext4_free(x);
		return fail(e, c, "reading bitmaps");
	}
	*ret = x;
	return 0;
}

struct img_sink *ext4_sink(struct ext4 *x)
{
	return &x->sink;
}

/* More directories in one than its inode counts: 1 stands for that. */
static int uncount(struct ext4 *x, ext2_ino_t ino, struct err *e)
{
	struct ext2_inode inode;
	errcode_t c = ext2fs_read_inode(x->fs, ino, &inode);

	if (!c) {
		inode.i_links_count = 1;
		c = ext2fs_write_inode(x->fs, ino, &inode);
	}
	return c ? fail(e, c, "counting links") : 0;
}

/* Linking names into a directory touches it, so its own attributes come last. */
static int last_touch(struct ext4 *x, struct err *e)
{
	static const struct man_entry lost = { .path = "lost+found", .mode = 0700, .mtime = 1 };
	ext2_ino_t ino;

	for (size_t i = 0; i < x->ndirs; i++) {
		const struct ext4_dir *d = &x->dirs[i];
		int r = d->subdirs + 2 > EXT2_LINK_MAX ? uncount(x, d->ino, e) : 0;
		if (r == 0)
			r = update(x, d->ino, d->entry, e);
		if (r < 0)
			return r;
	}
	errcode_t c =
		ext2fs_lookup(x->fs, EXT2_ROOT_INO, lost.path, (int)strlen(lost.path), NULL, &ino);
	return c ? fail(e, c, "lost+found") : update(x, ino, &lost, e);
}

int ext4_finish(struct ext4 *x, uint64_t *ret_free, struct err *e)
{
	int r = last_touch(x, e);

	if (r == 0 && x->nnames)
		r = err_set(e, -ERR_INTERNAL, "ext4: /%s is a name of no file",
			    x->names[0].entry->path);
	if (r < 0) {
		ext4_free(x);
		return r;
	}
	uint64_t free_bytes = ext2fs_free_blocks_count(x->fs->super) * EXT4_BLOCK;
	/* The image is durable when its store item is registered, not here. */
	errcode_t c = ext2fs_close2(x->fs, EXT2_FLAG_FLUSH_NO_SYNC);
	if (c) {
		ext4_free(x);
		return fail(e, c, "writing tables");
	}
	x->fs = NULL;
	r = x->device ? readback_check(&x->written, x->file, e) : 0;
	ext4_free(x);
	if (r == 0)
		*ret_free = free_bytes;
	return r;
}

void ext4_free(struct ext4 *x)
{
	if (!x)
		return;
	if (x->fs)
		ext2fs_free(x->fs);
	free(x->dirs);
	free(x->runs);
	free(x->buf);
	readback_done(&x->written);
	free(x);
}

uint32_t ext4_checksum(const void *p, size_t n)
{
	return ext2fs_crc32c_le(~0U, p, n);
}
