/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What a supervisor owes its services, one behaviour a test: the life of a service among others. */
#include "tests/unit/svcworld.h"

static void ready(const char *name)
{
	svc_ready(&m, get(name));
	svc_settle(&m);
}

static void stop(const char *name)
{
	CHECK_INT(svc_stop(&m, get(name)), 0);
	svc_settle(&m);
}

static void start(const char *name)
{
	CHECK_INT(svc_start(&m, get(name)), 0);
	svc_settle(&m);
}

/* Nothing of it is left: no process, no timer, no wish that would bring it back. */
static void is_at_rest(const char *name)
{
	struct svc *s = get(name);

	CHECK(s->pid < 0 && s->aux < 0 && !s->goal && !timers[s->index] && svc_is_settled(s));
}

static const char chain_set[] =
	"[service a]\nexec = /x\ntype = notify\nrequires = b\n[service b]\nexec = /x\ntype = "
	"notify\n"
	"requires = c\n[service c]\nexec = /x\ntype = notify\nrestart-delay = 3s\n";

static void begin_chain(void)
{
	begin(chain_set);
	ready("c");
	ready("b");
	ready("a");
	events[0] = '\0';
}

TEST(b01_each_waits_for_readiness_not_for_exec)
{
	begin(chain_set);
	EVENTS("+c");
	STATE("b", "waiting");
	ready("c");
	EVENTS("+b");
	STATE("a", "waiting");
	ready("b");
	EVENTS("+a");
	ready("a");
	CHECK(svc_all_settled(&m));
	svc_mgr_done(&m);
}

TEST(b02_a_stop_goes_from_the_top_and_nothing_comes_back)
{
	begin_chain();
	stop("c");
	EVENTS("-a");
	dies("a", TERMED);
	EVENTS("-b");
	dies("b", EXIT(1)); /* badly, and still not restarted */
	EVENTS("-c");
	dies("c", TERMED);
	EVENTS("");
	is_at_rest("a");
	is_at_rest("b");
	is_at_rest("c");
	svc_mgr_done(&m);
}

TEST(b03_a_death_takes_dependents_along_and_brings_back_who_is_wanted)
{
	begin_chain();
	dies("c", KILLED);
	STATE("c", "waiting");
	EVENTS("-a");
	stop("a"); /* by hand meanwhile: it is not wanted any more */
	dies("a", TERMED);
	EVENTS("-b");
	dies("b", TERMED);
	EVENTS("+c");
	ready("c");
	EVENTS("+b");
	STATE("a", "down");
	dies("c", KILLED); /* so soon after the first: after its delay */
	dies("b", TERMED);
	STATE("c", "backoff");
	CHECK_INT(fire("c") / MS, 3000);
	STATE("c", "starting");
	svc_mgr_done(&m);
}

TEST(b04_what_is_only_wanted_may_fail_a_milestone_may_not)
{
	begin("[service soft]\nexec = /x\nwants = bad\n[service hard]\nexec = /x\nmilestones = "
	      "bad\n"
	      "[service bad]\nexec = /x\ntype = oneshot\n");
	EVENTS("+bad");
	STATE("soft", "waiting");
	dies("bad", EXIT(1));
	STATE("soft", "up");
	STATE("hard", "failed");
	start("bad");
	dies("bad", EXIT(0));
	STATE("hard", "up");
	stop("bad");
	STATE("soft", "up");
	STATE("hard", "up");
	svc_mgr_done(&m);
}

TEST(b05_the_last_dependent_releases_what_nobody_asked_for)
{
	static const char text[] = "[service a]\nexec = /x\nrequires = b\n[service c]\nexec = /x\n"
				   "requires = b\n[service b]\nexec = /x\nenabled = no\n";

	for (int by_hand = 0; by_hand < 2; by_hand++) {
		begin(text);
		if (by_hand)
			start("b");
		stop("a");
		dies("a", TERMED);
		STATE("b", "up");
		stop("c");
		dies("c", TERMED);
		STATE("b", by_hand ? "up" : "stopping");
		svc_mgr_done(&m);
	}
}

TEST(b06_a_stop_in_the_middle_of_a_start)
{
	/* While it waits for another, */
	begin(chain_set);
	stop("a");
	STATE("a", "down");
	is_at_rest("a");
	STATE("b", "waiting");
	/* and that one for a third, which is not ready. */
	stop("c");
	EVENTS("+c -c");
	ready("c");
	dies("c", TERMED);
	is_at_rest("b");
	is_at_rest("c");
	svc_mgr_done(&m);

	/* While its command runs, which is deaf; while it waits to be tried again. */
	begin("[service o]\nexec = /x\ntype = oneshot\nstop-timeout = 2s\n"
	      "[service l]\nexec = /x\nrestart-delay = 9s\n");
	stop("o");
	(void)fire("o");
	EVENTS("+o +l -o xo");
	dies("o", KILLED);
	is_at_rest("o");
	dies("l", EXIT(1));
	dies("l", EXIT(1));
	STATE("l", "backoff");
	stop("l");
	is_at_rest("l");
	svc_mgr_done(&m);
}

TEST(b08_order_alone_pulls_nothing_in)
{
	begin("[service a]\nexec = /x\nafter = b\n[service b]\nexec = /x\nenabled = no\n"
	      "[service c]\nexec = /x\nbefore = b\n");
	EVENTS("+a +c");
	STATE("b", "down");
	svc_mgr_done(&m);
	/* One wants the other and comes before it: that is no circle. */
	begin("[service a]\nexec = /x\ntype = notify\nwants = b\nbefore = b\n[service b]\nexec = "
	      "/x\n");
	EVENTS("+a");
	ready("a");
	EVENTS("+b");
	svc_mgr_done(&m);
}

static void is_refused(const char *text, const char *why)
{
	struct svc_set *set = NULL;
	struct err e = ERR_INIT;

	if (svc_set_parse(slice_of(text), "f", &set, &e) == 0)
		TEST_FAIL("accepted: %s", text);
	else if (!strstr(e.msg, why))
		TEST_FAIL("\"%s\" is not in \"%s\"", why, e.msg);
	svc_set_free(set);
}

TEST(b09_circles_are_refused_by_name)
{
	auto_str struct str text = STR_INIT;

	is_refused("[service a]\nexec = /x\nrequires = b\n[service b]\nexec = /x\nbinds = c\n"
		   "[service c]\nexec = /x\nmilestones = a\n",
		   "a -> b -> c -> a");
	is_refused("[service a]\nexec = /x\nrequires = a\n", "the service itself");
	/* As deep as a set can be. */
	for (int i = 0; i < LIMIT_SVC_COUNT; i++)
		str_addf(&text, "[service s%d]\ntype = group\nmilestones = s%d\n", i,
			 (i + 1) % LIMIT_SVC_COUNT);
	is_refused(text.buf, "s0 -> s1 -> ");
}

TEST(b10_a_name_that_is_not_there_is_an_error_with_its_place)
{
	is_refused("[service a]\nexec = /x\n\n[service b]\nexec = /x\nrequires = nowhere\n",
		   "f:4: service 'b': requires names 'nowhere'");
	begin("[service a]\nexec = /x\n"); /* and what runs goes on */
	STATE("a", "up");
	svc_mgr_done(&m);
}

TEST(b12_a_load_touches_what_changed)
{
	begin("[service a]\nexec = /x\n[service b]\nexec = /x\n[service c]\nexec = /x\nafter = d\n"
	      "[service d]\nexec = /x\n");
	pid_t a = get("a")->pid;
	events[0] = '\0';
	CHECK_INT(svc_load(&m, parse("[service a]\nexec = /x\n[service b]\nexec = /other\n")), 0);
	svc_settle(&m);
	EVENTS("-b -c");
	dies("c", TERMED);
	EVENTS("-d"); /* in the order of the old set */
	dies("d", TERMED);
	dies("b", TERMED);
	EVENTS("+b");
	CHECK_INT(get("a")->pid, a);
	svc_mgr_done(&m);
}

TEST(b14_a_crash_loop_ends_and_a_start_by_hand_forgives)
{
	begin("[service a]\nexec = /x\nrestart-limit = 3\nrestart-window = 60s\nrestart-delay = "
	      "100ms\n");
	for (int i = 0; i < 3; i++) {
		dies("a", EXIT(1));
		if (get("a")->state == SVC_BACKOFF)
			(void)fire("a");
		STATE("a", "up");
	}
	dies("a", EXIT(1));
	STATE("a", "failed");
	CHECK_INT(timers[0], 0);
	EVENTS("+a +a +a +a");
	start("a");
	dies("a", EXIT(1)); /* all its tries again, and the first one at once */
	STATE("a", "up");
	svc_mgr_done(&m);
}

TEST(b15_a_long_life_forgives)
{
	begin("[service a]\nexec = /x\nrestart-limit = 1\nrestart-window = 10s\n");
	for (int i = 0; i < 5; i++) {
		dies("a", KILLED);
		STATE("a", "up");
		now += 11 * SECOND;
	}
	dies("a", KILLED);
	now += 9 * SECOND;
	dies("a", KILLED);
	STATE("a", "failed");
	svc_mgr_done(&m);
}

TEST(b16_ends_that_are_none_and_ends_that_are)
{
	begin("[service a]\nexec = /x\nrestart = on-failure\n");
	static const int good[] = { EXIT(0), 1, 2, 15, 13 }; /* HUP INT TERM PIPE */
	static const int bad[] = { EXIT(1), 11, 6, 9, 0x80 | 11 };

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		dies("a", good[i]);
		STATE("a", "done");
		start("a");
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		dies("a", bad[i]);
		if (get("a")->state == SVC_BACKOFF)
			(void)fire("a");
		STATE("a", "up");
	}
	svc_mgr_done(&m);
}

TEST(b17_one_that_does_not_die_holds_up_nobody_else)
{
	begin("[service a]\nexec = /x\nstop-timeout = 4s\n[service b]\nexec = /x\nrequires = a\n"
	      "[service other]\nexec = /x\n");
	events[0] = '\0';
	stubborn = true;
	stop("a");
	EVENTS("-b");
	dies("b", TERMED);
	EVENTS("-a");
	CHECK_INT(fire("a") / MS, 4000);
	EVENTS("xa");
	for (int i = 0; i < 50 && !get("a")->stuck; i++)
		(void)fire("a");
	CHECK(get("a")->stuck);
	CHECK_STR(get("a")->why, "does not die");
	events[0] = '\0';
	stop("other");
	dies("other", TERMED);
	start("other");
	EVENTS("-other +other");
	stubborn = false;
	dies("a", KILLED);
	is_at_rest("a");
	svc_mgr_done(&m);
}

TEST(b38_a_shutdown_is_the_way_back)
{
	begin_chain();
	svc_shutdown(&m);
	svc_settle(&m);
	EVENTS("-a");
	CHECK_INT(svc_start(&m, get("b")), -ESHUTDOWN);
	CHECK_INT(svc_restart(&m, get("b")), -ESHUTDOWN);
	svc_shutdown(&m); /* said twice */
	svc_settle(&m);
	EVENTS("");
	dies("a", KILLED); /* its death now is no reason to restart */
	EVENTS("-b");
	dies("b", TERMED);
	EVENTS("-c");
	dies("c", EXIT(1));
	EVENTS("");
	is_at_rest("c");
	svc_mgr_done(&m);
}

TEST_MAIN(b01_each_waits_for_readiness_not_for_exec,
	  b02_a_stop_goes_from_the_top_and_nothing_comes_back,
	  b03_a_death_takes_dependents_along_and_brings_back_who_is_wanted,
	  b04_what_is_only_wanted_may_fail_a_milestone_may_not,
	  b05_the_last_dependent_releases_what_nobody_asked_for,
	  b06_a_stop_in_the_middle_of_a_start, b08_order_alone_pulls_nothing_in,
	  b09_circles_are_refused_by_name, b10_a_name_that_is_not_there_is_an_error_with_its_place,
	  b12_a_load_touches_what_changed, b14_a_crash_loop_ends_and_a_start_by_hand_forgives,
	  b15_a_long_life_forgives, b16_ends_that_are_none_and_ends_that_are,
	  b17_one_that_does_not_die_holds_up_nobody_else, b38_a_shutdown_is_the_way_back)
