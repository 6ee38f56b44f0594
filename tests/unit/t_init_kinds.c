/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Kinds of services and of dependencies, in the fake world of the state machine. */
#include "tests/unit/svcworld.h"

/* ---- More kinds of dependencies ----*/

TEST(bound_to_another)
{
	begin("[service a]\nexec = /x\nbinds = c\n[service c]\nexec = /x\n"
	      "[service r]\nexec = /x\nrequires = c\n");
	EVENTS("+c +r +a");
	/* A restart by hand is expected: both come back. */
	svc_restart(&m, get("c"));
	svc_settle(&m);
	dies("a", TERMED);
	dies("r", TERMED);
	dies("c", TERMED);
	EVENTS("-a -r -c +c +a +r");
	/* An end is not: what is bound goes and stays away, what requires comes back. */
	dies("c", KILLED);
	dies("a", TERMED);
	dies("r", TERMED);
	EVENTS("-a -r +c +r");
	STATE("a", "down");
	CHECK_STR(get("a")->why, "bound to c, which ended");
	CHECK(svc_all_settled(&m));
	svc_start(&m, get("a"));
	svc_settle(&m);
	STATE("a", "up");
	CHECK_STR(get("a")->why, "");
	svc_mgr_done(&m);
}

TEST(milestone)
{
	begin("[service a]\nexec = /x\nmilestones = c d\n[service c]\nexec = /x\ntype = notify\n"
	      "[service d]\nexec = /x\ntype = oneshot\nremain = no\n");
	STATE("a", "waiting");
	svc_ready(&m, get("c"));
	svc_settle(&m);
	STATE("a", "waiting");
	dies("d", EXIT(0));
	STATE("d", "done");
	STATE("a", "up");
	/* Once passed, it does not matter any more. */
	dies("c", KILLED);
	STATE("a", "up");
	svc_stop(&m, get("c"));
	svc_settle(&m);
	STATE("a", "up");
	svc_mgr_done(&m);

	begin("[service a]\nexec = /x\nmilestones = c\n[service c]\nexec = /x\ntype = oneshot\n"
	      "[service w]\nexec = /x\nwants = c\n");
	dies("c", EXIT(1));
	STATE("w", "up");
	STATE("a", "failed");
	CHECK_STR(get("a")->why, "requires c, which is failed");
	svc_start(&m, get("a"));
	svc_settle(&m);
	dies("c", EXIT(0));
	STATE("a", "up");
	svc_mgr_done(&m);
}

/* ---- Smooth recovery ----*/

static const char smooth_set[] =
	"[service a]\nexec = /x\nrequires = c\n[service c]\nexec = /x\ntype = notify\n"
	"smooth-recovery = yes\nstart-timeout = 5s\nrestart-limit = 2\nrestart-delay = 50ms\n";

static void begin_smooth(void)
{
	begin(smooth_set);
	svc_ready(&m, get("c"));
	svc_settle(&m);
	EVENTS("+c +a");
}

TEST(smooth_recovery)
{
	begin_smooth();
	left_over = true;
	dies("c", KILLED);
	(void)fire("c"); /* what it left is gone */
	EVENTS("xc +c");
	STATE("c", "starting");
	STATE("a", "up");
	svc_ready(&m, get("c"));
	svc_settle(&m);
	dies("c", KILLED);
	STATE("c", "backoff");
	STATE("a", "up");
	(void)fire("c");
	svc_ready(&m, get("c"));
	svc_settle(&m);
	STATE("a", "up");
	EVENTS("+c");
	dies("c", KILLED); /* counts against the limit */
	STATE("c", "failed");
	EVENTS("-a");
	dies("a", TERMED);
	STATE("a", "failed");
	svc_mgr_done(&m);
}

TEST(smooth_recovery_times_out)
{
	begin_smooth();
	dies("c", KILLED);
	STATE("a", "up");
	CHECK_INT(fire("c") / MS, 5000);
	EVENTS("+c -c -a"); /* it was not ready in time: now those that require it go */
	dies("a", TERMED);
	dies("c", TERMED);
	(void)fire("c");
	svc_ready(&m, get("c"));
	svc_settle(&m);
	STATE("a", "up");
	svc_mgr_done(&m);
}

TEST(smooth_recovery_is_stopped)
{
	begin_smooth();
	dies("c", KILLED);
	EVENTS("+c");
	svc_stop(&m, get("c"));
	svc_settle(&m);
	EVENTS("-a");
	STATE("c", "holding");
	dies("a", TERMED);
	EVENTS("-c");
	dies("c", TERMED);
	STATE("c", "down");
	CHECK_INT(timers[get("c")->index], 0);
	svc_mgr_done(&m);
}

TEST(not_smooth_at_its_own_end)
{
	begin("[service a]\nexec = /x\nrequires = c\n[service c]\nexec = /x\nsmooth-recovery = "
	      "yes\n"
	      "restart = on-failure\n");
	dies("c", EXIT(0));
	EVENTS("+c +a -a");
	dies("a", TERMED);
	STATE("c", "done");
	svc_mgr_done(&m);
}

/* ---- Masks */

TEST(masked)
{
	begin("[service a]\nexec = /x\n[service b]\nexec = /x\nrequires = a\n");
	EVENTS("+a +b");
	svc_set_override(m.set, SLICE("mask a\n"));
	svc_overridden(&m);
	svc_settle(&m);
	EVENTS("-b");
	dies("b", TERMED);
	dies("a", TERMED);
	STATE("a", "down");
	STATE("b", "failed");
	CHECK_INT(svc_start(&m, get("a")), -EPERM);
	CHECK_INT(svc_start(&m, get("b")), 0); /* pulls, in vain */
	svc_settle(&m);
	STATE("a", "down");
	STATE("b", "failed");
	svc_set_override(m.set, SLICE(""));
	svc_overridden(&m);
	svc_settle(&m);
	STATE("a", "up");
	STATE("b", "up");
	svc_mgr_done(&m);
}

/* ---- A process for each connection */

TEST(accepts)
{
	begin("[service a]\nexec = /x\nlisten = stream /s\naccept = yes\n[service b]\nexec = /x\n"
	      "listen = stream /s\naccept = yes\nstop-scope = main\n");
	STATE("a", "up");
	CHECK(get("a")->listening);
	EVENTS("");
	get("a")->nconns = get("b")->nconns = 2;
	svc_stop(&m, get("a"));
	svc_stop(&m, get("b"));
	svc_settle(&m);
	EVENTS("-a");
	STATE("b", "down"); /* its connections drain */
	CHECK(!get("a")->listening);
	get("a")->nconns--;
	svc_conn_ended(&m, get("a"));
	svc_settle(&m);
	STATE("a", "stopping");
	(void)fire("a");
	EVENTS("xa");
	get("a")->nconns--;
	svc_conn_ended(&m, get("a"));
	svc_settle(&m);
	STATE("a", "down");
	svc_mgr_done(&m);
}

/* ---- What a service says */

TEST(asks_for_time)
{
	begin("[service a]\nexec = /x\ntype = notify\nstart-timeout = 5s\nstop-timeout = 2s\n");
	svc_extend(&m, get("a"), SECOND); /* less than it has */
	CHECK_INT((timers[0] - now) / SECOND, 5);
	now += 4 * SECOND;
	svc_extend(&m, get("a"), 10 * SECOND);
	svc_settle(&m);
	CHECK_INT((timers[0] - now) / SECOND, 10);
	svc_ready(&m, get("a"));
	svc_settle(&m);
	svc_extend(&m, get("a"), 10 * SECOND); /* nothing to extend */
	CHECK_INT(timers[0], 0);
	svc_stop(&m, get("a"));
	svc_settle(&m);
	svc_extend(&m, get("a"), 7 * SECOND);
	CHECK_INT(fire("a") / SECOND, 7);
	STATE("a", "killing");
	dies("a", KILLED);
	svc_mgr_done(&m);
}

TEST(signs_of_life)
{
	begin("[service a]\nexec = /x\ntype = notify\nalive-timeout = 3s\n");
	svc_ready(&m, get("a"));
	svc_settle(&m);
	for (int i = 0; i < 3; i++) {
		now += 2 * SECOND;
		svc_alive(&m, get("a"));
		CHECK_INT((timers[0] - now) / SECOND, 3);
	}
	events[0] = '\0';
	(void)fire("a");
	EVENTS("-a");
	CHECK_STR(get("a")->why, "gave no sign of life");
	svc_alive(&m, get("a")); /* too late */
	dies("a", KILLED);
	STATE("a", "starting"); /* a failure: it is restarted */
	svc_mgr_done(&m);
}

TEST(actions)
{
	begin("[service a]\nexec = /x\naction = backup /b all\naction = purge /p\n[service "
	      "b]\nexec = /x\n");
	struct svc *a = get("a");

	events[0] = '\0';
	CHECK_INT(svc_action(&m, a, SLICE("back")), -ENOENT);
	CHECK_INT(svc_action(&m, get("b"), SLICE("backup")), -ENOENT);
	CHECK_INT(svc_action(&m, a, SLICE("backup")), 0);
	EVENTS("!a");
	CHECK_INT(svc_action(&m, a, SLICE("purge")), -EALREADY);
	a->aux = -1;
	svc_aux_exited(&m, a, EXIT(3));
	svc_settle(&m);
	CHECK_INT(a->aux_status, EXIT(3));
	STATE("a", "up");
	svc_stop(&m, a);
	svc_settle(&m);
	CHECK_INT(svc_action(&m, a, SLICE("purge")), -ENODATA);
	svc_mgr_done(&m);
}

/* ---- Timed services */

TEST(timed)
{
	next_run = now + 5000 * SECOND;
	begin("[service a]\nexec = /x\ntype = oneshot\nevery = 1h\nrun-timeout = 90s\n");
	STATE("a", "up");
	CHECK(svc_all_settled(&m));
	EVENTS("");
	CHECK(timers[0] == next_run);
	(void)fire("a");
	EVENTS("*a +a");
	STATE("a", "up");
	CHECK(get("a")->run_due == next_run);
	CHECK_INT((timers[0] - now) / SECOND, 90);
	next_run += 7 * SECOND;
	dies("a", EXIT(0));
	CHECK_INT(fire("a") / SECOND, 7);
	/* One that fails is seen, and comes again at its time. */
	next_run += 7 * SECOND;
	dies("a", EXIT(4));
	STATE("a", "up");
	CHECK_STR(get("a")->why, "exit code 4");
	CHECK_INT(fire("a") / SECOND, 7);
	next_run += 1000 * SECOND;
	events[0] = '\0';
	CHECK_INT(fire("a") / SECOND, 90);
	EVENTS("-a");
	dies("a", TERMED);
	STATE("a", "up");
	CHECK_STR(get("a")->why, "ran longer than its run-timeout");
	CHECK(timers[0] == next_run);
	/* By hand, in between: the plan stays. */
	CHECK_INT(svc_trigger(&m, get("a")), 0);
	svc_settle(&m);
	EVENTS("*a +a");
	CHECK(get("a")->run_due < next_run);
	CHECK_INT(svc_trigger(&m, get("a")), -EALREADY);
	dies("a", EXIT(0));
	CHECK_STR(get("a")->why, "");
	svc_stop(&m, get("a"));
	svc_settle(&m);
	STATE("a", "down");
	CHECK_INT(timers[0], 0);
	CHECK_INT(svc_trigger(&m, get("a")), -ENODATA);
	svc_mgr_done(&m);
}

TEST(timed_and_stopped_while_it_runs)
{
	next_run = now + 5000 * SECOND;
	begin("[service a]\nexec = /x\nevery = 1h\n");
	(void)fire("a");
	svc_stop(&m, get("a"));
	svc_settle(&m);
	STATE("a", "stopping");
	dies("a", TERMED);
	STATE("a", "down");
	svc_start(&m, get("a"));
	svc_settle(&m);
	(void)fire("a");
	left_over = true;
	dies("a", EXIT(1));
	STATE("a", "killing");
	svc_stop(&m, get("a"));
	svc_settle(&m);
	(void)fire("a");
	STATE("a", "down");
	svc_mgr_done(&m);
}

TEST(timed_tries_again)
{
	next_run = now + 5000 * SECOND;
	begin("[service a]\nexec = /x\nevery = 1h\nrestart = on-failure\nrestart-limit = 2\n"
	      "restart-delay = 40ms\n");
	(void)fire("a");
	uint64_t due = get("a")->run_due;
	dies("a", EXIT(1));
	CHECK_INT(fire("a") / MS, 1);
	dies("a", EXIT(1));
	CHECK_INT(fire("a") / MS, 40);
	CHECK(get("a")->run_due == due);
	next_run += 500 * SECOND;
	dies("a", EXIT(1));
	STATE("a", "up");
	CHECK(timers[0] == next_run);
	fail_launch = true;
	(void)fire("a");
	STATE("a", "up");
	CHECK_STR(get("a")->why, "exec: no");
	svc_mgr_done(&m);
}

TEST(timed_and_the_clock_is_set)
{
	next_run = now + 5000 * SECOND;
	begin("[service a]\nexec = /x\ncalendar = daily\n[service b]\nexec = /x\nevery = 1h\n"
	      "[service c]\nexec = /x\ncalendar = daily\n");
	(void)fire("c");
	next_run -= 60 * SECOND;
	svc_clock_changed(&m);
	CHECK(timers[0] == next_run);
	CHECK(timers[1] == next_run + 60 * SECOND);
	CHECK(timers[2] == 0); /* it runs */
	svc_mgr_done(&m);
}

TEST_MAIN(actions, asks_for_time, signs_of_life, accepts, masked, bound_to_another, milestone,
	  smooth_recovery, smooth_recovery_times_out, smooth_recovery_is_stopped,
	  not_smooth_at_its_own_end, timed, timed_and_stopped_while_it_runs, timed_tries_again,
	  timed_and_the_clock_is_set)
