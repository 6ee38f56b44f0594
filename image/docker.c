/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "image/docker.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "image/layers.h"
#include "image/tarball.h"
#include "lib/fd.h"
#include "lib/path.h"
#include "lib/size.h"
#include "store/store.h"

/* A layer on its way: a tar file without a name in the scratch directory, hashed as it is written.
 * It must be complete before the image names it by its hash. */
struct layer {
	struct nar_sink sink;
	int fd;		     /* owned */
	struct hasher *hash; /* owned until it has ended */
	struct tar *tar;     /* owned until it is closed */
	struct oci_blob *blob;
};

struct docker {
	struct img_sink sink;
	struct layers plan;
	struct layer *layers; /* in order; the last has what is no store item */
	struct oci_blob *blobs;
	size_t nlayers;
	const struct store_info *item; /* whose layer is at hand */
	struct layer *current;
};

/* ---- Layers ---------------------------------------------------------------------------------- */

static int layer_write(struct nar_sink *s, const void *p, size_t n, struct err *e)
{
	struct layer *l = CONTAINER_OF(s, struct layer, sink);
	int r = fd_write_full(l->fd, p, n);

	if (r < 0)
		return err_num(e, r, "writing a layer");
	hasher_add(l->hash, p, n);
	l->blob->size += n;
	return 0;
}

static int layer_open(struct layer *l, struct contents *c, struct err *e)
{
	char *file = arena_fmt(c->arena, "%s/layer.tar", c->work);

	if (!file)
		return err_num(e, -ENOMEM, "layers");
	(void)unlink(file); /* of a run that was cut short here */
	l->sink.write = layer_write;
	l->fd = open(file, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (l->fd < 0 || unlink(file) < 0)
		return err_sys(e, "%s", file);
	int r = hasher_new(DIGEST_SHA256, &l->hash);
	return r < 0 ? err_num(e, r, "hashing a layer") : tar_open(&l->sink, false, &l->tar, e);
}

static int layer_end(struct layer *l, struct err *e)
{
	int r = tar_close(l->tar, e);

	l->tar = NULL;
	l->blob->digest = hasher_end(l->hash);
	l->hash = NULL;
	return r;
}

static void layers_done(struct docker *d)
{
	for (size_t i = 0; i < d->nlayers; i++) {
		tar_free(d->layers[i].tar);
		hasher_free(d->layers[i].hash);
		fd_close(&d->layers[i].fd);
	}
}

/* What "docker history" shows: the item of a layer, or how many there are. */
static int name_layers(struct docker *d, struct arena *a)
{
	for (size_t i = 0; i < d->plan.closure->n; i++) {
		const struct store_info *item = d->plan.closure->v[i];
		struct oci_blob *b = &d->blobs[layers_find(&d->plan, item)];

		b->what = b->what ? "other store items" : path_base(item->path);
	}
	d->blobs[d->nlayers - 1].what = "database, profile, configuration";
	return arena_err(a);
}

static int layers_begin(struct docker *d, const struct docker_opts *o, struct contents *c,
			struct err *e)
{
	int r = layers_plan(c->arena, c->closure, o->max_layers - 1, &d->plan, e);

	if (r < 0)
		return r;
	size_t n = d->plan.n + 1;
	d->layers = arena_array(c->arena, n, sizeof(*d->layers));
	d->blobs = arena_array(c->arena, n, sizeof(*d->blobs));
	if (!d->layers || !d->blobs)
		return err_num(e, -ENOMEM, "layers");
	for (; d->nlayers < n && r == 0; d->nlayers++) {
		struct layer *l = &d->layers[d->nlayers];

		*l = (struct layer){ .fd = -1, .blob = &d->blobs[d->nlayers] };
		r = layer_open(l, c, e);
	}
	return r < 0 ? r : name_layers(d, c->arena);
}

/* ---- Filling --------------------------------------------------------------------------------- */

/* A directory that the store is in: every layer has it, so that none decides its mode. */
static bool is_above_store(const struct man_entry *n)
{
	return n->path[0] && path_is_below(&STORE_DIR_DEFAULT[1], n->path);
}

static int sink_entry(struct img_sink *s, const struct man_entry *n, struct err *e)
{
	struct docker *d = CONTAINER_OF(s, struct docker, sink);
	int r = 0;

	if (!n->item)
		d->current = &d->layers[d->nlayers - 1];
	else if (n->item != d->item)
		d->current = &d->layers[layers_find(&d->plan, n->item)];
	d->item = n->item;
	for (size_t i = 0; is_above_store(n) && i < d->nlayers - 1 && r == 0; i++)
		r = tarball_entry(d->layers[i].tar, n, e);
	return r < 0 ? r : tarball_entry(d->current->tar, n, e);
}

static int sink_data(struct img_sink *s, const void *p, size_t n, struct err *e)
{
	return tar_data(CONTAINER_OF(s, struct docker, sink)->current->tar, p, n, e);
}

static int sink_end(struct img_sink *s, const struct man_entry *n, struct err *e)
{
	return 0;
}

static int layers_fill(struct docker *d, struct contents *c, struct err *e)
{
	struct fill_opts fill = contents_fill(c);

	d->sink = (struct img_sink){ sink_entry, sink_data, sink_end };
	int r = fill_run(&c->manifest, &d->sink, &fill, e);
	for (size_t i = 0; i < d->nlayers && r == 0; i++)
		r = layer_end(&d->layers[i], e);
	return r;
}

/* ---- The image ------------------------------------------------------------------------------- */

static int put_header(struct tar *t, const char *path, mode_t mode, uint64_t size, struct err *e)
{
	struct tar_entry n = { .path = path, .mode = mode, .mtime = 1, .size = size };

	return tar_entry(t, &n, e);
}

static int put_text(struct tar *t, const char *path, const struct str *text, struct err *e)
{
	if (str_err(text) < 0)
		return err_num(e, str_err(text), "%s", path);
	int r = put_header(t, path, S_IFREG | 0644, text->len, e);
	return r < 0 ? r : tar_data(t, text->buf, text->len, e);
}

static int put_layer(struct tar *t, const struct layer *l, struct err *e)
{
	auto_str struct str path = STR_INIT;
	auto_free char *buf = malloc(1 << 20);
	ssize_t n = 0;

	oci_blob_path(l->blob, &path);
	if (!buf || str_err(&path) < 0)
		return err_num(e, -ENOMEM, "layer");
	if (lseek(l->fd, 0, SEEK_SET) < 0)
		return err_sys(e, "reading a layer");
	int r = put_header(t, path.buf, S_IFREG | 0644, l->blob->size, e);
	while (r == 0 && (n = fd_read_some(l->fd, buf, 1 << 20)) > 0)
		r = tar_data(t, buf, (size_t)n, e);
	return n < 0 ? err_num(e, (int)n, "reading a layer") : r;
}

/* Text that becomes a blob. */
static struct oci_blob blob_of(const struct str *text)
{
	return (struct oci_blob){ .digest = digest_of(DIGEST_SHA256, text->buf, text->len),
				  .size = text->len };
}

static int put_blob(struct tar *t, const struct oci_blob *b, const struct str *text, struct err *e)
{
	auto_str struct str path = STR_INIT;

	oci_blob_path(b, &path);
	return str_err(&path) < 0 ? err_num(e, -ENOMEM, "image") : put_text(t, path.buf, text, e);
}

static int put_documents(struct tar *t, const struct oci_image *i, struct err *e)
{
	auto_str struct str config = STR_INIT, manifest = STR_INIT, index = STR_INIT;
	auto_str struct str docker = STR_INIT, layout = STR_INIT;
	int r;

	oci_config(i, &config);
	struct oci_blob config_blob = blob_of(&config);
	oci_manifest(i, &config_blob, &manifest);
	struct oci_blob manifest_blob = blob_of(&manifest);
	oci_index(i, &manifest_blob, &index);
	oci_docker_manifest(i, &config_blob, &docker);
	str_add(&layout, "{\"imageLayoutVersion\":\"1.0.0\"}");
	if ((r = put_text(t, "oci-layout", &layout, e)) < 0 ||
	    (r = put_text(t, "index.json", &index, e)) < 0 ||
	    (r = put_text(t, "manifest.json", &docker, e)) < 0 ||
	    (r = put_header(t, "blobs", S_IFDIR | 0755, 0, e)) < 0 ||
	    (r = put_header(t, "blobs/sha256", S_IFDIR | 0755, 0, e)) < 0 ||
	    (r = put_blob(t, &config_blob, &config, e)) < 0)
		return r;
	return put_blob(t, &manifest_blob, &manifest, e);
}

static int image_write(const struct docker *d, const struct docker_opts *o, struct contents *c,
		       int fd, struct err *e)
{
	struct oci_image image = {
		.name = o->name, .system = c->system, .layers = d->blobs, .nlayers = d->nlayers
	};
	struct nar_sink *out = nar_sink_fd(c->arena, fd);
	struct tar *t = NULL;

	int r = out ? tar_open(out, false, &t, e) : err_num(e, -ENOMEM, "image");
	if (r < 0)
		return r;
	r = put_documents(t, &image, e);
	for (size_t i = 0; i < d->nlayers && r == 0; i++)
		r = put_layer(t, &d->layers[i], e);
	if (r == 0)
		return tar_close(t, e);
	tar_free(t);
	return r;
}

static int docker_write(const struct docker_opts *o, struct contents *c, int fd, size_t *ret_layers,
			struct err *e)
{
	struct docker d = { .layers = NULL };
	int r;

	if ((r = contents_make(c, e)) == 0 && (r = layers_begin(&d, o, c, e)) == 0 &&
	    (r = layers_fill(&d, c, e)) == 0)
		r = image_write(&d, o, c, fd, e);
	*ret_layers = d.nlayers;
	layers_done(&d);
	manifest_done(&c->manifest);
	return r;
}

int docker_make(const struct docker_opts *o, struct contents *c, struct docker_result *ret,
		struct err *e)
{
	struct stat st = { 0 };
	size_t layers = 0;
	auto_fd int fd = open(o->file, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);

	if (fd < 0)
		return err_sys(e, "%s", o->file);
	int r = docker_write(o, c, fd, &layers, e);
	if (r == 0 && fstat(fd, &st) < 0)
		r = err_sys(e, "%s", o->file);
	if (r < 0)
		(void)unlink(o->file); /* half an image is of no use */
	else
		*ret = (struct docker_result){ .size = (uint64_t)st.st_size, .layers = layers };
	return r;
}
