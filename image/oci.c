/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "image/oci.h"

#include <errno.h>
#include <string.h>

#include "lib/slice.h"
#include "lib/text.h"

#define LIMIT_NAME 255
#define LIMIT_TAG  128
#define CREATED	   "1970-01-01T00:00:01Z"
#define TYPE(x)	   "application/vnd.oci.image." x

#if defined(__x86_64__)
#define ARCHITECTURE "amd64"
#elif defined(__aarch64__)
#define ARCHITECTURE "arm64"
#else
#error "the name that container tools have for this architecture"
#endif

/* ---- Names ----------------------------------------------------------------------------------- */

static bool is_alnum(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

/* Letters and digits, with one ".", "_", "__" or any number of "-" between them. */
static bool component_ok(struct slice s)
{
	size_t i = 0;

	while (i < s.n && is_alnum(s.p[i])) {
		while (i < s.n && is_alnum(s.p[i]))
			i++;
		if (i == s.n)
			return true;
		char separator = s.p[i];
		size_t start = i;
		while (i < s.n && s.p[i] == separator)
			i++;
		if (separator != '-' && !(separator == '.' && i - start == 1) &&
		    !(separator == '_' && i - start <= 2))
			return false;
	}
	return false;
}

/* The first component is the host of a registry when it cannot be anything else. */
static bool is_host(struct slice s)
{
	return slice_is(s, "localhost") || memchr(s.p, '.', s.n) || memchr(s.p, ':', s.n);
}

static bool host_ok(struct slice s)
{
	struct slice host, port = s;
	uint64_t number;

	(void)slice_cut(&port, ':', &host);
	return component_ok(host) && (!port.p || text_u64(port, 65535, &number) == 0);
}

static bool name_ok(struct slice name)
{
	struct slice rest = name, part;

	if (!name.n || name.n > LIMIT_NAME || name.p[name.n - 1] == '/')
		return false;
	for (size_t i = 0; slice_cut(&rest, '/', &part); i++) {
		bool host = i == 0 && part.n < name.n && is_host(part);

		if (host ? !host_ok(part) : !component_ok(part))
			return false;
	}
	return true;
}

static bool tag_ok(struct slice s)
{
	if (!s.n || s.n > LIMIT_TAG || s.p[0] == '.' || s.p[0] == '-')
		return false;
	for (size_t i = 0; i < s.n; i++)
		if (!is_alnum(s.p[i]) && !(s.p[i] >= 'A' && s.p[i] <= 'Z') &&
		    !strchr("._-", s.p[i]))
			return false;
	return true;
}

int oci_name_parse(struct arena *a, const char *text, struct oci_name *ret, struct err *e)
{
	const char *slash = strrchr(text, '/'), *colon = strchr(slash ? slash : text, ':');
	struct slice name = { text, colon ? (size_t)(colon - text) : strlen(text) };
	struct slice tag = colon ? slice_of(colon + 1) : SLICE("latest");

	if (!name_ok(name) || !tag_ok(tag))
		return err_set(e, -ERR_INVALID,
			       "'%s' is no name of a container image [NAME:TAG, in small letters]",
			       text);
	*ret = (struct oci_name){ arena_slice(a, name), arena_slice(a, tag) };
	return ret->name && ret->tag ? 0 : err_num(e, -ENOMEM, "name");
}

/* The name with registry and all, as containerd wants it. */
static void full_name(const struct oci_name *n, struct str *out)
{
	const char *slash = strchr(n->name, '/');

	if (!slash)
		str_add(out, "docker.io/library/");
	else if (!is_host((struct slice){ n->name, (size_t)(slash - n->name) }))
		str_add(out, "docker.io/");
	str_addf(out, "%s:%s", n->name, n->tag);
}

/* ---- Documents ------------------------------------------------------------------------------- */

static void put(struct str *out, const char *key, const char *value)
{
	text_json(out, slice_of(key));
	str_addc(out, ':');
	text_json(out, slice_of(value));
}

static void put_digest(const struct oci_blob *b, struct str *out)
{
	char hex[DIGEST_TEXT_MAX];

	digest_hex(&b->digest, hex);
	str_addf(out, "\"sha256:%s\"", hex);
}

static void descriptor(const struct oci_blob *b, const char *type, struct str *out)
{
	str_addf(out, "\"mediaType\":\"%s\",\"digest\":", type);
	put_digest(b, out);
	str_addf(out, ",\"size\":%llu", (unsigned long long)b->size);
}

void oci_blob_path(const struct oci_blob *b, struct str *out)
{
	char hex[DIGEST_TEXT_MAX];

	digest_hex(&b->digest, hex);
	str_addf(out, "blobs/sha256/%s", hex);
}

static void run_config(const struct oci_image *i, struct str *out)
{
	auto_str struct str init = STR_INIT, system = STR_INIT;

	str_addf(&init, "%s/init", i->system);
	str_addf(&system, "cairn.system=%s", i->system);
	str_add(out, "\"config\":{\"Env\":[\"PATH=/run/current-system/profile/bin:"
		     "/run/current-system/profile/sbin\"],\"Entrypoint\":[");
	text_json(out, str_slice(&init));
	str_addc(out, ',');
	text_json(out, str_slice(&system));
	str_add(out, "],\"WorkingDir\":\"/\",\"StopSignal\":\"SIGTERM\",\"Labels\":{");
	put(out, "org.opencontainers.image.title", i->name.name);
	str_addc(out, ',');
	put(out, "cairn.system", i->system);
	str_add(out, "}}");
	if (str_err(&init) < 0 || str_err(&system) < 0)
		out->err = -ENOMEM;
}

void oci_config(const struct oci_image *i, struct str *out)
{
	str_add(out, "{\"created\":\"" CREATED "\",\"architecture\":\"" ARCHITECTURE
		     "\",\"os\":\"linux\",");
	run_config(i, out);
	str_add(out, ",\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[");
	for (size_t k = 0; k < i->nlayers; k++) {
		str_add(out, k ? "," : "");
		put_digest(&i->layers[k], out);
	}
	str_add(out, "]},\"history\":[");
	for (size_t k = 0; k < i->nlayers; k++) {
		str_add(out,
			k ? ",{\"created\":\"" CREATED "\"," : "{\"created\":\"" CREATED "\",");
		put(out, "created_by", i->layers[k].what);
		str_addc(out, '}');
	}
	str_add(out, "]}");
}

void oci_manifest(const struct oci_image *i, const struct oci_blob *config, struct str *out)
{
	str_add(out,
		"{\"schemaVersion\":2,\"mediaType\":\"" TYPE("manifest.v1+json") "\",\"config\":{");
	descriptor(config, TYPE("config.v1+json"), out);
	str_add(out, "},\"layers\":[");
	for (size_t k = 0; k < i->nlayers; k++) {
		str_add(out, k ? ",{" : "{");
		descriptor(&i->layers[k], TYPE("layer.v1.tar"), out);
		str_addc(out, '}');
	}
	str_add(out, "]}");
}

void oci_index(const struct oci_image *i, const struct oci_blob *manifest, struct str *out)
{
	auto_str struct str full = STR_INIT;

	full_name(&i->name, &full);
	str_add(out, "{\"schemaVersion\":2,\"mediaType\":\"" TYPE(
			     "index.v1+json") "\",\"manifests\":[{");
	descriptor(manifest, TYPE("manifest.v1+json"), out);
	str_add(out, ",\"annotations\":{");
	put(out, "io.containerd.image.name", full.buf);
	str_addc(out, ',');
	put(out, "org.opencontainers.image.ref.name", i->name.tag);
	str_add(out, "}}]}");
	if (str_err(&full) < 0)
		out->err = -ENOMEM;
}

static void put_path(const struct oci_blob *b, struct str *out)
{
	str_addc(out, '"');
	oci_blob_path(b, out);
	str_addc(out, '"');
}

void oci_docker_manifest(const struct oci_image *i, const struct oci_blob *config, struct str *out)
{
	str_add(out, "[{\"Config\":");
	put_path(config, out);
	str_addf(out, ",\"RepoTags\":[\"%s:%s\"],\"Layers\":[", i->name.name, i->name.tag);
	for (size_t k = 0; k < i->nlayers; k++) {
		str_add(out, k ? "," : "");
		put_path(&i->layers[k], out);
	}
	str_add(out, "]}]");
}
