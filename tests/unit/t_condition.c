/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Conditions of services, on paths of a directory of the test. */
#include "init/condition.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/unit/test.h"

static bool holds(const char *kind, const char *path)
{
	char text[200], contrary[200];

	snprintf(text, sizeof(text), "%s:%s", kind, path);
	snprintf(contrary, sizeof(contrary), "not-%s:%s", kind, path);
	if (!condition_is_known(slice_of(text)) || !condition_is_known(slice_of(contrary)))
		TEST_FAIL("%s is not known", text);
	if (condition_holds(text) == condition_holds(contrary))
		TEST_FAIL("%s and its contrary", text);
	return condition_holds(text);
}

TEST(paths)
{
	char dir[] = "/tmp/t_condition.XXXXXX", file[60], gone[60];

	if (!mkdtemp(dir)) {
		TEST_FAIL("no directory");
		return;
	}
	snprintf(file, sizeof(file), "%s/f", dir);
	snprintf(gone, sizeof(gone), "%s/gone", dir);
	int fd = open(file, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	CHECK(fd >= 0);
	CHECK(holds("exists", dir) && holds("exists", file) && !holds("exists", gone));
	CHECK(holds("directory", dir) && !holds("directory", file) && !holds("directory", gone));
	CHECK(!holds("file", dir) && holds("file", file) && !holds("file", gone));
	CHECK(holds("writable", dir) && holds("writable", file) && !holds("writable", gone));
	CHECK(!holds("executable", dir) && !holds("executable", file));
	CHECK_INT(fchmod(fd, 0700), 0);
	CHECK(holds("executable", file) && !holds("executable", gone));
	close(fd);
	CHECK_INT(unlink(file), 0);
	CHECK_INT(rmdir(dir), 0);
}

TEST(virtualisation)
{
	(void)setenv("container", "test", 1);
	CHECK(holds("virtual", "container"));
	CHECK(holds("virtual", "any"));
	(void)unsetenv("container");
	CHECK(holds("virtual", "any") ==
	      (holds("virtual", "container") || holds("virtual", "machine")));
	/* What it was first stays. */
	CHECK(holds("first-boot", "yes") == holds("first-boot", "yes"));
}

TEST_MAIN(paths, virtualisation)
