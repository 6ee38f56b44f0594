/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Accounts of a generation: whatever is taken gives lines of passwd and group that hold together,
 * and a map that reads back as it was written. */
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "lib/str.h"
#include "system/account-files.h"
#include "system/accounts.h"
#include "system/ids.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static size_t count(const struct str *s, char c)
{
	size_t n = 0;

	for (size_t i = 0; i < s->len; i++)
		n += s->buf[i] == c;
	return n;
}

static void check_lines(struct ids *ids, const struct vec *accounts)
{
	auto_str struct str passwd = STR_INIT, group = STR_INIT;
	size_t users = 0;

	for (size_t i = 0; i < accounts->n; i++) {
		const struct account *x = accounts->v[i];

		users += x->is_user;
		account_line(x->is_user ? &passwd : &group, ids, accounts, x);
	}
	if (str_err(&passwd) || str_err(&group))
		return;
	if (count(&passwd, '\n') != users || count(&passwd, ':') != 6 * users ||
	    count(&group, '\n') != accounts->n - users ||
	    count(&group, ':') != 3 * (accounts->n - users))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	auto_arena struct arena a = ARENA_INIT;
	auto_vec struct vec accounts = VEC_INIT;
	struct ids ids = IDS_INIT;
	struct err e = ERR_INIT;
	const struct slice text = { (const char *)data, size };

	if (accounts_parse(&a, text, "accounts", &accounts, &e) == 0 &&
	    accounts_check(&accounts, &e) == 0 && ids_assign(&ids, &accounts, &e) == 0)
		check_lines(&ids, &accounts);
	ids_done(&ids);
	return 0;
}
