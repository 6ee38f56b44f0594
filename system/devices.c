/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "system/devices.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

#include "lib/conf.h"
#include "lib/fd.h"
#include "lib/probe.h"
#include "lib/size.h"
#include "lib/str.h"
#include "lib/vec.h"
#include "system/generation.h"

#define LIMIT_COUNT 1024

struct needed {
	const char *spec; /* LABEL=… or a path */
	const char *what; /* "file_systems › /srv" */
};

static const struct conf_key keys[] = {
	CONF_KEY("spec", conf_parse_str, offsetof(struct needed, spec), NULL, "device", false),
	CONF_KEY("for", conf_parse_str, offsetof(struct needed, what), NULL, "field", false),
};

static int section(void *arg, struct conf_ctx *c, struct slice kind, struct slice name)
{
	struct vec *list = arg;
	struct needed *x = ARENA_NEW(c->arena, struct needed);

	(void)name;
	if (!slice_is(kind, "device"))
		return conf_error(c, "unknown section");
	if (!x || list->n == LIMIT_COUNT)
		return conf_error(c, "more than %d devices", LIMIT_COUNT);
	*x = (struct needed){ "", "" };
	vec_add(list, x);
	c->object = x;
	return 0;
}

static const struct gen_file needed_file = { "devices", keys, ARRAY_LEN(keys), section };

static bool is_there(const char *spec)
{
	char device[PATH_MAX], type[PROBE_TYPE_MAX];

	return spec[0] == '/' ? access(spec, F_OK) == 0 : probe_find(spec, device, type) != -ENODEV;
}

static bool had(const struct vec *list, const char *spec)
{
	for (size_t i = 0; i < list->n; i++) {
		if (strcmp(((const struct needed *)list->v[i])->spec, spec) == 0)
			return true;
	}
	return false;
}

int devices_check(const struct sys_root *r, const char *from, const struct sys_root *to,
		  const char *system, struct err *e)
{
	auto_arena struct arena a = ARENA_INIT;
	auto_vec struct vec before = VEC_INIT, now = VEC_INIT;
	auto_str struct str missing = STR_INIT;
	int rc = from ? gen_file_load(r, &a, from, &needed_file, &before, e) : 0;

	if (rc == 0)
		rc = gen_file_load(to, &a, system, &needed_file, &now, e);
	for (size_t i = 0; rc == 0 && i < now.n; i++) {
		const struct needed *x = now.v[i];

		if (!had(&before, x->spec) && !is_there(x->spec))
			str_addf(&missing, "%s%s of %s", missing.len ? ", " : "", x->spec, x->what);
	}
	if (rc < 0 || !missing.len)
		return rc;
	return err_hint(e, err_set(e, -ERR_NOTFOUND, "this machine does not have %s", missing.buf),
			"--skip-checks goes on all the same; a file system with may_fail is not "
			"waited for");
}
