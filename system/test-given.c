/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "system/test-given.h"

#include <errno.h>
#include <fcntl.h>

#include "lib/fd.h"
#include "lib/str.h"
#include "system/accounts.h"
#include "system/secrets.h"

#define LIMIT_PASSWORD (64u << 10)

static int give(struct test_given *g, const char *path, struct slice text, struct err *e)
{
	struct test_file x = { path, text }, *copy = arena_dup(&g->arena, &x, sizeof(x));

	vec_add(&g->files, copy);
	return !copy || g->files.err ? err_set(e, -ENOMEM, "out of memory") : 0;
}

static int give_secrets(struct test_given *g, const struct sys_root *r, const char *system,
			struct err *e)
{
	auto_vec struct vec list = VEC_INIT;
	int rc = secrets_load(r, &g->arena, system, &list, e);

	if (rc == 0)
		rc = secret_values_load(&g->secrets, r, system, e);
	for (size_t i = 0; rc == 0 && i < list.n && i < g->secrets.n; i++)
		rc = give(g, ((const struct secret *)list.v[i])->source,
			  str_slice(&g->secrets.v[i]), e);
	return rc;
}

/* It is only the first one, and may be gone. */
static int give_password(struct test_given *g, const struct sys_root *r, const char *file,
			 struct err *e)
{
	struct str *text = ARENA_NEW(&g->arena, struct str);
	const char *path = sys_root_path(r, &g->arena, file);
	struct err ignored = ERR_INIT;

	if (!text || !path)
		return err_set(e, -ENOMEM, "out of memory");
	*text = (struct str)STR_INIT;
	vec_add(&g->passwords, text);
	/* A buffer that grows would leave copies in memory that was given back. */
	if (g->passwords.err || !str_room(text, 2 * LIMIT_PASSWORD))
		return err_set(e, -ENOMEM, "out of memory");
	if (file_read(AT_FDCWD, path, text, LIMIT_PASSWORD, &ignored) < 0)
		return 0;
	return give(g, file, str_slice(text), e);
}

static int give_passwords(struct test_given *g, const struct sys_root *r, const char *system,
			  struct err *e)
{
	auto_vec struct vec list = VEC_INIT;
	int rc = accounts_load(r, &g->arena, system, &list, e);

	for (size_t i = 0; rc == 0 && i < list.n; i++) {
		const struct account *x = list.v[i];

		if (x->is_user && x->password_file && x->password_file[0])
			rc = give_password(g, r, x->password_file, e);
	}
	return rc;
}

int test_given_load(struct test_given *g, const struct sys_root *r, const char *system,
		    struct err *e)
{
	int rc = give_secrets(g, r, system, e);

	return rc == 0 ? give_passwords(g, r, system, e) : rc;
}

void test_given_done(struct test_given *g)
{
	secret_values_done(&g->secrets);
	for (size_t i = 0; i < g->passwords.n; i++)
		secret_wipe(g->passwords.v[i]);
	vec_done(&g->passwords);
	vec_done(&g->files);
	arena_done(&g->arena);
}
