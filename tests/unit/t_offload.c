/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Which machine gets a build. */
#include "store/remote/offload.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "lib/fd.h"
#include "store/remote/remote.h"
#include "tests/unit/test.h"

struct bench {
	char dir[256];
	struct local *l;
	struct session s;
	struct arena a;
	struct err e;
};

static bool begin(struct bench *b, const char *list)
{
	const char *tmp = getenv("TMP");
	struct local_opts opts = { .root = b->dir, .no_sync = true };
	char path[300];

	*b = (struct bench){ .e = ERR_INIT };
	snprintf(b->dir, sizeof(b->dir), "%.200s/t_offload.XXXXXX", tmp && *tmp ? tmp : "/tmp");
	snprintf(path, sizeof(path), "%s/etc/guix", mkdtemp(b->dir) ? b->dir : "/dev/null");
	if (file_mkdir_p(AT_FDCWD, path, 0755, &b->e) < 0 || local_open(&opts, &b->l, &b->e) < 0) {
		TEST_FAIL("%s", b->e.msg);
		return false;
	}
	snprintf(path, sizeof(path), "%s/etc/guix/machines", b->dir);
	CHECK_INT(file_write_atomic(AT_FDCWD, path, list, strlen(list), 0644, &b->e), 0);
	b->s.l = b->l;
	return true;
}

static void end(struct bench *b)
{
	machines_done(&b->s.machines);
	local_close(b->l);
	arena_done(&b->a);
	CHECK_INT(file_delete_tree(AT_FDCWD, b->dir, NULL, NULL), 0);
}

/* The host that gets a derivation that requires features; "" none, "busy", or an error. */
static const char *take(struct bench *b, const char *system, const char *features,
			struct offload_place *p)
{
	struct drv_env env = { slice_of("requiredSystemFeatures"), slice_of(features) };
	struct drv d = { .name = "x", .system = system, .env = &env, .nenv = *features ? 1 : 0 };
	struct remote m;
	int r = offload_take(&b->s, &d, p, &b->e);

	if (r)
		return r == -EAGAIN ? "busy" : b->e.msg;
	if (!p->m)
		return "";
	CHECK_INT(remote_parse(&b->a, p->m->address, &m, &b->e), 0);
	return m.host;
}

TEST(the_least_load_for_its_speed)
{
	static const char list[] = "# comment\n\n"
				   "ssh://slow x86_64-linux - 1 1\n"
				   "ssh://fast x86_64-linux,i686-linux - 2 4 - - # comment\n";
	struct offload_place p[4];
	struct bench b;

	if (!begin(&b, list))
		return;
	CHECK_STR(take(&b, "x86_64-linux", "", &p[0]), "fast");
	CHECK_STR(take(&b, "x86_64-linux", "", &p[1]), "slow");
	CHECK_STR(take(&b, "x86_64-linux", "", &p[2]), "fast");
	CHECK_STR(take(&b, "x86_64-linux", "", &p[3]), "busy");
	CHECK_STR(take(&b, "riscv64-linux", "", &p[3]), "");
	offload_put(&p[2]);
	CHECK_STR(take(&b, "i686-linux", "", &p[2]), "fast");
	offload_avoid(&p[2]);
	offload_put(&p[2]);
	CHECK_STR(take(&b, "i686-linux", "", &p[2]), "");
	CHECK_STR(take(&b, "x86_64-linux", "", &p[3]), "busy");
	offload_put(&p[0]);
	offload_put(&p[1]);
	b.s.no_offload = true;
	CHECK_STR(take(&b, "x86_64-linux", "", &p[3]), "");
	end(&b);
}

TEST(features)
{
	static const char list[] = "ssh://plain - - 9 1 big-parallel\n"
				   "ssh://kvm x86_64-linux - 9 9 big-parallel,benchmark kvm\n";
	struct offload_place p;
	struct bench b;

	if (!begin(&b, list))
		return;
	static const struct {
		const char *features, *host;
	} cases[] = {
		{ "", "plain" },	 { "big-parallel", "plain" },
		{ "kvm", "kvm" },	 { " kvm  benchmark", "kvm" },
		{ "benchmark", "" },	 { "big", "" },
		{ "kvm,benchmark", "" }, { "kvm\nbig-parallel", "kvm" },
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		CHECK_STR(take(&b, "x86_64-linux", cases[i].features, &p), cases[i].host);
		offload_put(&p);
	}
	end(&b);
}

TEST(wrong_lists)
{
	static const struct {
		const char *line, *said;
	} cases[] = {
		{ "host", "no address" },
		{ "ssh://-oProxyCommand=x", "no address" },
		{ "ssh://h/?program=x;y", "no address" },
		{ "ssh://h - - x", "jobs" },
		{ "ssh://h - - 1025", "jobs" },
		{ "ssh://h - - 1 0", "speed" },
		{ "ssh://h - - 1 -1", "speed" },
		{ "ssh://h - - 1 1 - - !", "host key" },
		{ "ssh://h - - 1 1 - - YQo=YQ", "host key" },
		{ "ssh://h - - 1 1 - - YQpi", "host key" }, /* two lines */
		{ "ssh://h - - 1 1 - - - -", "more than" },
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct offload_place p;
		struct bench b;

		if (!begin(&b, cases[i].line))
			return;
		if (!strstr(take(&b, "x86_64-linux", "", &p), cases[i].said) ||
		    !strstr(b.e.msg, "machines, line 1"))
			TEST_FAIL("%s: %s", cases[i].line, b.e.msg);
		end(&b);
	}
}

TEST_MAIN(the_least_load_for_its_speed, features, wrong_lists);
