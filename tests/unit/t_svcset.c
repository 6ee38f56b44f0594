/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The service set: what is accepted, what is refused and where, identity, comparison. */
#include "init/set.h"

#include <signal.h>
#include <stdlib.h>

#include "lib/str.h"
#include "tests/unit/test.h"

static int parse(const char *text, struct svc_set **ret, struct err *e)
{
	return svc_set_parse(slice_of(text), "f", ret, e);
}

/* One service with line in its section parses; with the changed line it does not. */
static void two_sides(const char *good, const char *bad)
{
	char text[600];
	struct svc_set *set = NULL;
	struct err e = ERR_INIT;

	snprintf(text, sizeof(text), "[service a]\nexec = /bin/x\n%s\n", good);
	if (parse(text, &set, &e) < 0)
		TEST_FAIL("%s: %s", good, e.msg);
	svc_set_free(set);
	set = NULL;
	e = (struct err)ERR_INIT;
	snprintf(text, sizeof(text), "[service a]\nexec = /bin/x\n%s\n", bad);
	if (parse(text, &set, &e) == 0)
		TEST_FAIL("%s: accepted", bad);
	else if (strncmp(e.msg, "f:3: ", 5) != 0 && strncmp(e.msg, "f:1: ", 5) != 0)
		TEST_FAIL("%s: no place in \"%s\"", bad, e.msg);
	svc_set_free(set);
}

TEST(keys)
{
	static const char *const rows[][2] = {
		{ "type = oneshot", "type = oneshop" },
		{ "restart = on-failure", "restart = default" },
		{ "restart-delay = 20ms", "restart-delay = 20mz" },
		{ "restart-limit = 0", "restart-limit = -1" },
		{ "stop-signal = HUP", "stop-signal = HUQ" },
		{ "notify = fd:3", "notify = fd:2" },
		{ "notify = fd:63", "notify = fd:64" },
		{ "notify = socket", "notify = socker" },
		{ "umask = 0027", "umask = 028" },
		{ "nice = -20", "nice = -21" },
		{ "oom-adjust = 1000", "oom-adjust = 1001" },
		{ "limit = nofile 10:20", "limit = nofile 20:10" },
		{ "limit = core unlimited", "limit = cores unlimited" },
		{ "environment = A=1 \"B=x y\"", "environment = A" },
		{ "condition = exists:/x", "condition = exist:/x" },
		{ "listen = stream /run/x mode=0600", "listen = stream run/x" },
		{ "listen = tcp [::1]:22", "listen = tcp 22" },
		{ "listen = dgram /x name=y", "listen = dgram /x nam=y" },
		{ "success-status = 0 3", "success-status = 256" },
		{ "log-keep = 99", "log-keep = 100" },
		{ "log-rate = 64K", "log-rate = fast" },
		{ "cpu-weight = 1", "cpu-weight = 0" },
		{ "critical = yes", "critical = maybe" },
		{ "on-change = later", "on-change = sooner" },
		{ "wants =", "wants = b" },
		{ "after = b", "requires = b" },
		{ "before = a2", "before = a" },
		{ "binds =", "binds = b" },
		{ "action = x /y z", "action = x y" },
		{ "action = x /y", "action = x" },
		{ "condition = not-directory:/x", "condition = not-not-directory:/x" },
		{ "condition = executable:/x not-file:/y", "condition = executable:x" },
		{ "condition = virtual:container", "condition = virtual:moon" },
		{ "condition = not-first-boot:yes", "condition = first-boot:no" },
		{ "type = notify\nalive-timeout = 5s", "alive-timeout = 5s" },
		{ "listen = stream /s\naccept = yes", "accept = yes" },
		{ "listen = tcp 1.2.3.4:5\naccept = yes", "listen = udp 1.2.3.4:5\naccept = yes" },
		{ "max-connections = 1", "max-connections = 0" },
		{ "calendar = 1:00", "calendar = 25:00" },
		{ "every = 1h", "every = 1hour" },
		{ "every = 1h\ncatch-up = yes", "catch-up = yes" },
		{ "every = 1h\ntype = oneshot", "every = 1h\ntype = notify" },
		{ "every = 1h\nrestart = on-failure", "every = 1h\nrestart = always" },
		{ "every = 1h\nrandom-delay = 5s", "random-delay = 5s" },
		{ "every = 1h\nfirst-run = 0", "first-run = 0" },
		{ "every = 1h\nrun-timeout = 5s", "run-timeout = 5s" },
		{ "description = x", "state-directory = /x" },
		{ "milestones =", "milestones = a" },
		{ "smooth-recovery = no", "smooth-recovery = maybe" },
		{ "stop-exec = /bin/y", "stop-exec = y" },
		{ "stop-scope = main", "hostname = h" },
		{ "stop-timeout = 3", "gate-timeout = 3" },
		{ "start-timeout = 3", "watchdog = 3" },
		{ "environment-file = /a -/b", "environment-file = /a -b" },
		{ "ioprio = best-effort 7", "ioprio = best-effort 8" },
		{ "ioprio = idle", "ioprio = idle 1" },
		{ "ioprio = realtime", "ioprio = real" },
		{ "cpu-affinity = 0 2-3 1023", "cpu-affinity = 0 2-1024" },
		{ "cpu-affinity = 3-3", "cpu-affinity = 3-2" },
		{ "cpu-set = 0-3,6", "cpu-set = 0-3;6" },
		{ "capabilities = chown cap_kill", "capabilities = chown cap_chill" },
		{ "capabilities =", "capabilities = none" },
		{ "capabilities = default net_admin", "capabilities = defaults" },
		{ "ambient-capabilities = kill", "ambient-capabilities = CAP_KILL" },
		{ "capabilities = kill\nambient-capabilities = kill",
		  "capabilities = chown\nambient-capabilities = kill" },
		{ "sandbox = default", "sandbox = yes" },
		{ "sandbox = default\nambient-capabilities = chown",
		  "sandbox = default\nambient-capabilities = sys_admin" },
		{ "private-tmp = yes", "private-tmp = perhaps" },
		{ "seccomp = /f", "seccomp = f" },
		{ "seccomp = /f\nno-new-privileges = yes", "seccomp = /f\nno-new-privileges = no" },
		{ "bind-paths = /a:/b -/c", "bind-paths = /a:b" },
		{ "bind-read-only-paths = /a", "bind-read-only-paths = a" },
		{ "read-only-paths = /", "read-only-paths = -" },
		{ "inaccessible-paths = -/a", "inaccessible-paths = --/a" },
		{ "root-directory = /r", "root-directory = r" },
		{ "io-max = /dev/sda rbps=1048576  wiops=max", "io-max = /dev/sda rbs=1" },
		{ "io-max = 8:0 wbps=1", "io-max = 8:0" },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		two_sides(rows[i][0], rows[i][1]);
}

TEST(values)
{
	struct svc_set *set = NULL;
	struct err e = ERR_INIT;
	const char *text = "[init]\nhostname = h\nctrl-alt-del = ignore\ngate = b\n"
			   "gate-timeout = 2min\nwatchdog = 1500ms\n"
			   "[service a]\nexec = /bin/sh -c \"exit 3\" \\\n  more\n"
			   "requires = b\nrequires = c\nsuccess-status = 0 9\nlimit = nofile 1K\n"
			   "[service b]\nexec = /b\ntype = oneshot\n"
			   "[service c]\ntype = group\n";

	CHECK_INT(parse(text, &set, &e), 0);
	if (!set) {
		TEST_FAIL("%s", e.msg);
		return;
	}
	const struct svc_def *a = set->v[0];
	CHECK_STR(set->init.hostname, "h");
	CHECK_INT(set->init.ctrl_alt_del, SVC_CAD_IGNORE);
	CHECK_STR(set->init.gate, "b");
	CHECK(set->init.gate_timeout == 120000000000ull && set->init.watchdog == 1500000000ull);
	CHECK_STR(a->exec[2], "exit 3");
	CHECK_STR(a->exec[3], "more");
	CHECK(!a->exec[4]);
	CHECK_INT(a->requires.n, 2);
	CHECK_INT(a->restart, SVC_ALWAYS);
	CHECK_INT(a->stop_signal, SIGTERM);
	CHECK(a->success[0] == 1 && a->success[1] == 2);
	CHECK_INT(a->limits[0].hard, 1024);
	CHECK_INT(set->v[1]->restart, SVC_NEVER);
	CHECK_INT(set->edges[0].nto[SVC_ORDER], 2);
	CHECK_INT(set->edges[2].nfrom[SVC_REQ], 1);
	svc_set_free(set);
}

static const struct svc_def *find(const struct svc_set *set, const char *name)
{
	int i = svc_set_find(set, slice_of(name));

	if (i < 0)
		TEST_FAIL("no service %s", name);
	return i < 0 ? set->v[0] : set->v[i];
}

static const char templates[] = "[service t@]\nexec = /x %i %n 100%% \\\n  more-%i\nrequires = "
				"u@%i\ninstances = one two\nuser = u%i\n"
				"[service u@]\nexec = /u %i\nrequires = base\n"
				"[service base]\nexec = /b\n"
				"[service t@own]\nuser = me\nenabled = no\n"
				"[service plain@x]\nexec = /p\n";

TEST(instances)
{
	struct svc_set *set = NULL;
	struct err e = ERR_INIT;

	CHECK_INT(parse(templates, &set, &e), 0);
	if (!set) {
		TEST_FAIL("%s", e.msg);
		return;
	}
	CHECK_INT(set->n, 8); /* base t@own plain@x t@one t@two u@own u@one u@two */
	CHECK_STR(find(set, "t@one")->exec[1], "one");
	CHECK_STR(find(set, "t@one")->exec[2], "t@one");
	CHECK_STR(find(set, "t@one")->exec[3], "100%");
	CHECK_STR(find(set, "t@two")->exec[4], "more-two");
	CHECK_STR(find(set, "t@two")->user, "utwo");
	CHECK(find(set, "t@two")->enabled);
	CHECK_STR(find(set, "t@own")->exec[1], "own");
	CHECK_STR(find(set, "t@own")->user, "me"); /* what it says itself wins */
	CHECK(!find(set, "t@own")->enabled);
	CHECK_STR(find(set, "u@own")->exec[1], "own");
	CHECK(!find(set, "u@own")->enabled); /* there for t@own only */
	CHECK_STR(find(set, "plain@x")->exec[0], "/p");
	CHECK(svc_set_has_template(set, SLICE("t@new")));
	CHECK(!svc_set_has_template(set, SLICE("t@")));
	CHECK(!svc_set_has_template(set, SLICE("plain@y")));
	CHECK(!svc_set_has_template(set, SLICE("t@a b")));
	svc_set_free(set);
}

TEST(instances_change_with_their_template)
{
	struct svc_set *a = NULL, *b = NULL;
	struct err e = ERR_INIT;
	auto_str struct str other = STR_INIT;
	uint8_t old[16], new[16];

	str_add(&other, templates);
	*strstr(other.buf, "/u") = '!';
	CHECK(parse(other.buf, &b, &e) < 0);
	e = (struct err)ERR_INIT;
	*strstr(other.buf, "!u") = '/';
	*strstr(other.buf, "/u %i") = '/';
	strstr(other.buf, "/u %i")[1] = 'v';
	CHECK_INT(parse(templates, &a, &e), 0);
	CHECK_INT(parse(other.buf, &b, &e), 0);
	if (!a || !b)
		return;
	svc_set_compare(a, b, old, new);
	svc_set_spread(a, b, old, new);
	for (size_t i = 0; i < b->n; i++) {
		bool made_of_it = strchr("tu", b->v[i]->name[0]) != NULL; /* t requires u */
		CHECK_INT(new[i], made_of_it ? SVC_RESTART : SVC_KEEP);
	}
	svc_set_free(a);
	svc_set_free(b);
}

static void some_overrides(const char *dir, struct str *out)
{
	CHECK_STR(dir, "/state");
	str_add(out, "mask a\nnonsense\nenable b\n  disable   c \nenable gone\nenable t@new\nmask\n"
		     "enable ../x\n");
}

TEST(overrides)
{
	struct svc_set *set = NULL;
	struct err e = ERR_INIT;
	const char *text =
		"[init]\nstate-directory = /state\n[service a]\nexec = /x\n[service b]\n"
		"exec = /x\nenabled = no\n[service c]\nexec = /x\n[service t@]\nexec = /x\n"
		"enabled = no\n";

	CHECK_INT(svc_set_parse_with(slice_of(text), "f", some_overrides, &set, &e), 0);
	if (!set) {
		TEST_FAIL("%s", e.msg);
		return;
	}
	CHECK_INT(set->n, 4);
	CHECK(find(set, "a")->masked && !find(set, "a")->enabled);
	CHECK(find(set, "b")->enabled && !find(set, "c")->enabled && find(set, "t@new")->enabled);
	svc_set_override(set, SLICE("disable b\n"));
	CHECK(!find(set, "a")->masked && find(set, "a")->enabled);
	CHECK(!find(set, "b")->enabled && find(set, "c")->enabled);
	svc_set_free(set);
}

static void refused(const char *text, const char *why)
{
	struct svc_set *set = NULL;
	struct err e = ERR_INIT;

	if (parse(text, &set, &e) == 0)
		TEST_FAIL("accepted: %s", text);
	else if (!strstr(e.msg, why))
		TEST_FAIL("\"%s\" is not in \"%s\"", why, e.msg);
	svc_set_free(set);
}

TEST(structure)
{
	refused("[init]\nprivate-tmp = no\n", "stands in the wrong section");
	refused("[init]\nenvironment-file = /x\n", "stands in the wrong section");
	refused("exec = /x\n", "before any section");
	refused("[service]\nexec = /x\n", "bad service name");
	refused("[service a b]\nexec = /x\n", "bad service name");
	refused("[service -a]\nexec = /x\n", "bad service name");
	refused("[unit a]\n", "unknown section");
	refused("[service a]\n", "exec is missing");
	refused("[service a]\nexec = /x\n[service a]\nexec = /x\n",
		"f:3: service 'a' stands twice");
	refused("[service a]\nexec = /x\nexec = /y\n", "stands twice");
	refused("[init]\n[init]\n", "second [init]");
	refused("[init]\nexec = /x\n", "f:2: key 'exec' stands in the wrong section");
	refused("[init]\nrestart-delay = 100ms\n", "'restart-delay' stands in the wrong section");
	refused("[service a@]\nexec = /x\n[service a@b]\nhostname = h\n",
		"f:4: key 'hostname' stands");
	refused("[service a]\nexec = /x\nlog-boots = 9\n",
		"f:3: key 'log-boots' stands in the wrong section");
	refused("[init]\ngate = b\n[service a]\nexec = /x\n", "f:1: gate names 'b'");
	refused("[init]\ngate = a\n[service a]\nexec = /x\nenabled = no\n", "not enabled");
	refused("[service a]\ntype = group\nexec = /x\n", "a group has no exec");
	refused("[service a]\ntype = forking\nexec = /x\n", "pid-file");
	refused("[service a]\nexec = /x\nactivate = yes\n", "listen");
	refused("[service a]\nexec = /x\ntype = notify\nnotify = fd:3\nlisten = stream /s\n",
		"notify is that of a socket");
	refused("[service a]\nexec = /x\nrequires = b\n[service b]\nexec = /x\ntype = oneshot\n"
		"remain = no\n",
		"does not remain");
	refused("[service a]\nexec = /x\nrestrat = no\n", "restart");
	refused("[service a@]\nexec = /x\n[service a@]\nexec = /x\n", "f:3: template 'a@'");
	refused("[service @]\nexec = /x\n", "bad name");
	refused("[service a@b@]\nexec = /x\n", "bad name");
	refused("[service a@]\nexce = /x\n", "f:2: ");
	refused("[service a@]\nexec = /x\ninstances = b\n[service c]\nexec = /y\nrequires = d@e\n",
		"names 'd@e'");
	refused("[service a@]\nexec = /x\numask = %i\n", "f:3: umask");
	refused("# one\n[service a@]\nexec = /x\nrequires = b@%i\ninstances = c\n[service b@]\n"
		"exec = /x\nrequires = a@%i\n",
		"wait for each other");
	refused("[service a@]\nexec = /x\ninstances = /\n", "bad instance '/'");
	refused("[service a]\nexec = /x\ninstances = b\n", "instances is a key of templates");
}

TEST(cycles)
{
	struct svc_set *set = NULL;
	struct err e = ERR_INIT;

	refused("[service a]\nexec = /x\nrequires = b\n[service b]\nexec = /x\nafter = c\n"
		"[service c]\nexec = /x\nwants = a\n",
		"a -> b -> c -> a");
	/* An explicit order beats the one of a wish. */
	CHECK_INT(parse("[service a]\nexec = /x\nwants = b\nbefore = b\n[service b]\nexec = /x\n",
			&set, &e),
		  0);
	svc_set_free(set);
}

TEST(deep_chain)
{
	auto_str struct str text = STR_INIT;
	struct svc_set *set = NULL;
	struct err e = ERR_INIT;

	for (int i = 0; i < LIMIT_SVC_COUNT; i++) {
		str_addf(&text, "[service s%d]\nexec = /x\n", i);
		if (i + 1 < LIMIT_SVC_COUNT)
			str_addf(&text, "requires = s%d\n", i + 1);
	}
	CHECK_INT(svc_set_parse(str_slice(&text), "f", &set, &e), 0);
	svc_set_free(set);
	str_add(&text, "[service more]\nexec = /x\n");
	CHECK_INT(svc_set_parse(str_slice(&text), "f", &set, &e), -ERR_SYNTAX);
	CHECK(strstr(e.msg, "more than 1024"));
}

static uint8_t change_of(const struct svc_set *set, const uint8_t *plan, const char *name)
{
	int i = svc_set_find(set, slice_of(name));

	return i < 0 ? SVC_CHANGE_MAX : plan[i];
}

TEST(comparison)
{
	struct svc_set *old = NULL, *next = NULL;
	struct err e = ERR_INIT;
	uint8_t po[8], pn[8];

	CHECK_INT(parse("[service a]\nexec = /x 1\n[service b]\nexec = /x\nrequires = a\n"
			"[service c]\nexec = /x\nwants = a\n[service d]\nexec = /x\n"
			"[service l]\nexec = /x 1\non-change = later\n",
			&old, &e),
		  0);
	CHECK_INT(parse("# moved and commented\n[service c]\n\nexec =   /x\n# why\nwants = a\n"
			"[service a]\nexec = /x 2\n[service b]\nexec = /x\nrequires = a\n"
			"[service n]\nexec = /x\n[service o]\nexec = /x\nenabled = no\n"
			"[service l]\nexec = /x 2\non-change = later\n",
			&next, &e),
		  0);
	if (old && next) {
		svc_set_compare(old, next, po, pn);
		svc_set_spread(old, next, po, pn);
		CHECK_INT(change_of(next, pn, "a"), SVC_RESTART);
		CHECK_INT(change_of(next, pn, "b"), SVC_RESTART);
		CHECK_INT(change_of(next, pn, "c"), SVC_KEEP);
		CHECK_INT(change_of(next, pn, "n"), SVC_START);
		CHECK_INT(change_of(next, pn, "o"), SVC_LATER);
		CHECK_INT(change_of(next, pn, "l"), SVC_LATER);
		CHECK_INT(change_of(old, po, "d"), SVC_STOP);
		CHECK_INT(change_of(old, po, "a"), SVC_RESTART);
	}
	svc_set_free(old);
	svc_set_free(next);
}

/* A process is the same, whoever else starts with it, and in whatever order. */
TEST(identity)
{
	static const struct {
		const char *old, *next;
		int change;
	} rows[] = {
		{ "wants = b", "wants = b c", SVC_KEEP },
		{ "milestones = b", "milestones = b c", SVC_KEEP },
		{ "after = b", "before = c", SVC_KEEP },
		{ "description = old", "description = new", SVC_KEEP },
		{ "environment = A=1", "environment = A=1 \\\n B=2", SVC_RESTART },
		{ "nice = 1", "umask = 1", SVC_RESTART },
		{ "requires = b", "requires = b c", SVC_RESTART },
		{ "requires = b", "binds = b", SVC_RESTART },
		{ "conflicts = b", "conflicts = c", SVC_RESTART },
		{ "reload-triggers = 1", "reload-triggers = 2", SVC_RELOAD },
		{ "reload-triggers = 1", "reload-triggers = 2\nnice = 1", SVC_RESTART },
	};
	static const char rest[] = "[service b]\nexec = /x\n[service c]\nexec = /x\n";

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct svc_set *old = NULL, *next = NULL;
		struct err e = ERR_INIT;
		char text[300];
		uint8_t po[8], pn[8];

		(void)snprintf(text, sizeof(text), "[service a]\nexec = /x\n%s\n%s", rows[i].old,
			       rest);
		CHECK_INT(parse(text, &old, &e), 0);
		(void)snprintf(text, sizeof(text), "[service a]\nexec = /x\n%s\n%s", rows[i].next,
			       rest);
		CHECK_INT(parse(text, &next, &e), 0);
		if (old && next) {
			svc_set_compare(old, next, po, pn);
			CHECK_INT(change_of(next, pn, "a"), rows[i].change);
		}
		svc_set_free(old);
		svc_set_free(next);
	}
}

/* What the profile says is what is not said otherwise. */
TEST(sandbox)
{
	struct svc_set *set = NULL;
	struct err e = ERR_INIT;

	CHECK_INT(parse("[service a]\nexec = /x\nsandbox = default\n"
			"[service b]\nexec = /x\nsandbox = default\nprivate-tmp = no\n"
			"capabilities = default net_admin\n"
			"[service c]\nexec = /x\n"
			"[service d]\nexec = /x\ncapabilities = all\nseccomp = /f\n"
			"cpu-affinity = 1 64-65\nbind-paths = /a:/b -/c\n",
			&set, &e),
		  0);
	if (!set) {
		TEST_FAIL("%s", e.msg);
		return;
	}
	const struct svc_box *a = &set->v[0]->box, *b = &set->v[1]->box, *d = &set->v[3]->box;
	CHECK(svc_box_on(a, SVC_BOX_TMP) && svc_box_on(a, SVC_BOX_KERNEL) && a->mount && a->any);
	CHECK(svc_box_on(a, SVC_BOX_PRIVILEGES) && !svc_box_on(a, SVC_BOX_NETWORK));
	CHECK(a->bounded && a->bounding == 0xb004adfb);
	CHECK(!svc_box_on(b, SVC_BOX_TMP) && b->bounding == (a->bounding | 1 << 12));
	CHECK(!set->v[2]->box.any && !set->v[2]->box.bounded);
	CHECK(!d->bounded && svc_box_on(d, SVC_BOX_PRIVILEGES));
	CHECK(set->v[3]->cpus[0] == 2 && set->v[3]->cpus[1] == 3);
	CHECK_INT(d->nmounts, 2);
	CHECK_STR(d->mounts[0].from, "/a");
	CHECK_STR(d->mounts[0].to, "/b");
	CHECK(d->mounts[1].optional);
	CHECK_STR(d->mounts[1].to, "/c");
	svc_set_free(set);
}

TEST(empty)
{
	struct svc_set *set = NULL;
	struct err e = ERR_INIT;

	CHECK_INT(parse("", &set, &e), 0);
	CHECK_INT(set ? set->n : 1, 0);
	svc_set_free(set);
	svc_set_free(NULL);
}

TEST_MAIN(instances, instances_change_with_their_template, overrides, keys, values, structure,
	  cycles, deep_chain, comparison, identity, sandbox, empty)
