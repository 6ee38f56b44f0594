/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "system/devices.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "lib/fd.h"
#include "tests/unit/test.h"

#define ONE "/one-system"
#define TWO "/two-system"

static char top[64] = "/tmp/cairn-devices-XXXXXX";
static struct sys_root root = { "", top };

static void put(const char *system, const char *text)
{
	struct err e = ERR_INIT;
	char path[128];

	snprintf(path, sizeof(path), "%s%s", top, system);
	CHECK_INT(file_mkdir_p(AT_FDCWD, path, 0755, &e), 0);
	snprintf(path, sizeof(path), "%s%s/devices", top, system);
	CHECK_INT(file_write_atomic(AT_FDCWD, path, text, strlen(text), 0644, &e), 0);
}

static int check(const char *from, struct err *e)
{
	*e = (struct err)ERR_INIT;
	return devices_check(&root, from, &root, TWO, e);
}

TEST(what_a_machine_has)
{
	struct err e;

	CHECK(mkdtemp(top) != NULL);
	put(TWO, "[device]\nspec = /dev/null\nfor = file_systems › /a\n");
	CHECK_INT(check(NULL, &e), 0);
	put(TWO, "[device]\nspec = /dev/null\nfor = file_systems › /a\n"
		 "[device]\nspec = LABEL=no such label\nfor = file_systems › /b\n"
		 "[device]\nspec = /dev/none\nfor = file_systems › /c\n");
	CHECK_INT(check(NULL, &e), -ERR_NOTFOUND);
	CHECK(strstr(e.msg, "LABEL=no such label of file_systems › /b, /dev/none of") != NULL);
	CHECK(strstr(e.msg, "--skip-checks") != NULL);
}

TEST(what_it_did_without_before)
{
	struct err e;

	put(ONE, "[device]\nspec = LABEL=no such label\nfor = x\n");
	CHECK_INT(check(ONE, &e), -ERR_NOTFOUND);
	CHECK(strstr(e.msg, "LABEL=") == NULL);
	put(ONE,
	    "[device]\nspec = LABEL=no such label\nfor = x\n[device]\nspec = /dev/none\nfor = y\n");
	CHECK_INT(check(ONE, &e), 0);
	CHECK_INT(check("/none-system", &e), -ERR_NOTFOUND);
	put(TWO, "[disk]\n");
	CHECK_INT(check(NULL, &e), -ERR_SYNTAX);
	CHECK_INT(file_delete_tree(AT_FDCWD, top, NULL, &e), 0);
}

TEST_MAIN(what_a_machine_has, what_it_did_without_before)
