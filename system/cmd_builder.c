/* SPDX-License-Identifier: GPL-3.0-or-later */
/* cairn builder tree|cpio|seccomp: what the derivations of a system run (system/tree.h). */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "lib/fd.h"
#include "store/store.h"
#include "system/system.h"
#include "system/tree.h"

/* The description: the variables spec, spec1, spec2, … one after the other. */
static int description(struct str *out, struct err *e)
{
	const char *text = getenv("spec");
	char name[16];

	if (!text)
		return err_set(e, -ERR_USAGE, "the variable 'spec' is not set");
	for (unsigned i = 1; text; i++) {
		str_add(out, text);
		snprintf(name, sizeof(name), "spec%u", i);
		text = getenv(name);
	}
	return str_err(out) ? err_set(e, -ENOMEM, "out of memory") : 0;
}

static int load(struct arena *a, struct tree *ret, struct err *e)
{
	auto_str struct str text = STR_INIT;
	const char *out = getenv("out");
	int rc;

	if (!out || out[0] != '/')
		return err_set(e, -ERR_USAGE, "the variable 'out' is not a path");
	rc = description(&text, e);
	return rc < 0 ? rc : tree_parse(a, str_slice(&text), "spec", out, ret, e);
}

static int run_tree(struct cmd_env *env, struct err *e)
{
	auto_arena struct arena a = ARENA_INIT;
	struct tree t;
	int rc = load(&a, &t, e);

	if (rc < 0)
		return rc;
	rc = tree_write(&t, getenv("out"), e);
	tree_done(&t);
	return rc;
}

static int run_cpio(struct cmd_env *env, struct err *e)
{
	auto_arena struct arena a = ARENA_INIT;
	struct tree t;
	int rc = load(&a, &t, e);

	if (rc < 0)
		return rc;
	rc = tree_cpio(&t, STDOUT_FILENO, e);
	tree_done(&t);
	return rc;
}

static int run_seccomp(struct cmd_env *env, struct err *e)
{
	auto_str struct str filter = STR_INIT;
	const char *profile = getenv("profile"), *out = getenv("out");
	int rc;

	if (!profile || !out || out[0] != '/')
		return err_set(e, -ERR_USAGE, "the variables 'profile' and 'out' are not set");
	rc = store_service_filter(profile, &filter, e);
	if (rc == 0)
		rc = file_write_atomic(AT_FDCWD, out, filter.buf, filter.len, 0444, e);
	return rc;
}

const struct cmd sys_cmd_builder_seccomp = {
	.name = "seccomp",
	.summary = "write the filter of system calls that $profile names as $out",
	.run = run_seccomp,
	.hidden = true,
};

const struct cmd sys_cmd_builder_tree = {
	.name = "tree",
	.summary = "make the tree that $spec describes as $out",
	.run = run_tree,
	.hidden = true,
};

const struct cmd sys_cmd_builder_cpio = {
	.name = "cpio",
	.summary = "write the tree that $spec describes as a cpio archive",
	.run = run_cpio,
	.hidden = true,
};
