/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The state machine of PID 1 in a fake world: time stands until it is moved, processes are numbers.
 */
#include "init/gate.h"
#include "tests/unit/svcworld.h"

TEST(chain)
{
	begin("[service a]\nexec = /x\nrequires = b\n[service b]\nexec = /x\ntype = notify\n"
	      "requires = c\n[service c]\nexec = /x\n");
	EVENTS("+c +b");
	STATE("a", "waiting");
	svc_ready(&m, get("b"));
	svc_settle(&m);
	EVENTS("+a");
	CHECK(svc_all_settled(&m));
	CHECK_INT(svc_stop(&m, get("c")), 0);
	svc_settle(&m);
	EVENTS("-a");
	dies("a", TERMED);
	EVENTS("-b");
	dies("b", TERMED);
	EVENTS("-c");
	dies("c", TERMED);
	STATE("a", "down");
	STATE("c", "down");
	svc_mgr_done(&m);
}

TEST(crash_takes_dependents)
{
	begin("[service a]\nexec = /x\nrequires = c\n[service c]\nexec = /x\n"
	      "[service w]\nexec = /x\nwants = c\n");
	EVENTS("+c +w +a");
	dies("c", KILLED);
	EVENTS("-a");
	STATE("c", "waiting");
	dies("a", TERMED);
	EVENTS("+c +a");
	STATE("w", "up");
	svc_mgr_done(&m);
}

TEST(pulled_in)
{
	begin("[service a]\nexec = /x\nrequires = c\n[service b]\nexec = /x\nrequires = c\n"
	      "[service c]\nexec = /x\nenabled = no\n");
	EVENTS("+c +b +a");
	svc_stop(&m, get("a"));
	svc_settle(&m);
	dies("a", TERMED);
	EVENTS("-a");
	STATE("c", "up");
	svc_stop(&m, get("b"));
	svc_settle(&m);
	dies("b", TERMED);
	EVENTS("-b -c");
	svc_mgr_done(&m);
}

TEST(back_off)
{
	begin("[service a]\nexec = /x\nrestart-delay = 100ms\nrestart-delay-max = 350ms\n"
	      "restart-limit = 5\nrestart-window = 60s\n");
	dies("a", EXIT(1));
	STATE("a", "up"); /* the first one at once */
	dies("a", EXIT(1));
	STATE("a", "backoff");
	CHECK_INT(fire("a") / MS, 100);
	dies("a", EXIT(1));
	CHECK_INT(fire("a") / MS, 200);
	dies("a", EXIT(1));
	CHECK_INT(fire("a") / MS, 350);
	dies("a", EXIT(1));
	CHECK_INT(fire("a") / MS, 350);
	dies("a", EXIT(1));
	STATE("a", "failed");
	CHECK_STR(get("a")->why, "restart limit reached; last: exit code 1");
	svc_start(&m, get("a"));
	svc_settle(&m);
	STATE("a", "up");
	now += 61 * SECOND; /* longer up than the window: forgiven */
	dies("a", EXIT(1));
	STATE("a", "up");
	svc_mgr_done(&m);
}

TEST(policies)
{
	begin("[service never]\nexec = /x\nrestart = never\n"
	      "[service fail]\nexec = /x\nrestart = on-failure\n"
	      "[service ok]\nexec = /x\nrestart = on-failure\n"
	      "[service term]\nexec = /x\nrestart = on-failure\n");
	dies("never", EXIT(1));
	STATE("never", "failed");
	dies("fail", 11);
	STATE("fail", "up");
	dies("ok", EXIT(0));
	STATE("ok", "done");
	dies("term", TERMED);
	STATE("term", "done");
	svc_mgr_done(&m);
}

TEST(stop_escalates)
{
	begin("[service a]\nexec = /x\nstop-timeout = 2s\n");
	svc_stop(&m, get("a"));
	svc_settle(&m);
	STATE("a", "stopping");
	CHECK_INT(fire("a") / MS, 2000);
	STATE("a", "killing");
	EVENTS("+a -a xa");
	stubborn = true;
	(void)fire("a");
	STATE("a", "killing");
	dies("a", KILLED);
	STATE("a", "down");
	svc_mgr_done(&m);
}

TEST(left_overs_die_before_restart)
{
	begin("[service a]\nexec = /x\n");
	left_over = stubborn = true;
	dies("a", KILLED);
	STATE("a", "killing");
	EVENTS("+a xa");
	stubborn = false;
	(void)fire("a");
	(void)fire("a");
	STATE("a", "up");
	EVENTS("xa +a");
	svc_mgr_done(&m);
}

TEST(interrupted_start)
{
	begin("[service a]\nexec = /x\ntype = notify\nstart-timeout = 5s\n"
	      "[service b]\nexec = /x\nrequires = a\n");
	STATE("a", "starting");
	svc_stop(&m, get("a"));
	svc_settle(&m);
	STATE("a", "stopping");
	svc_ready(&m, get("a")); /* too late */
	svc_settle(&m);
	STATE("a", "stopping");
	dies("a", TERMED);
	STATE("a", "down");
	STATE("b", "down");
	CHECK_INT(timers[0], 0);
	EVENTS("+a -a");
	svc_mgr_done(&m);
}

TEST(start_timeout)
{
	begin("[service a]\nexec = /x\ntype = notify\nstart-timeout = 5s\nrestart = never\n"
	      "[service b]\nexec = /x\nrequires = a\n");
	CHECK_INT(fire("a") / MS, 5000);
	dies("a", TERMED);
	STATE("a", "failed");
	STATE("b", "failed");
	CHECK_STR(get("b")->why, "requires a, which is failed");
	/* By hand it comes up, and what failed only for its sake follows. */
	svc_start(&m, get("a"));
	svc_settle(&m);
	svc_ready(&m, get("a"));
	svc_settle(&m);
	STATE("b", "up");
	svc_mgr_done(&m);
}

TEST(exec_fails)
{
	struct svc_set *set = parse("[service a]\nexec = /x\nrestart-limit = 2\n");

	events[0] = '\0';
	fail_launch = true;
	CHECK_INT(svc_mgr_init(&m, set, &ops), 0);
	svc_settle(&m);
	STATE("a", "backoff");
	(void)fire("a");
	STATE("a", "failed");
	EVENTS("+a +a +a");
	svc_mgr_done(&m);
}

TEST(restart)
{
	begin("[service a]\nexec = /x\n[service b]\nexec = /x\nrequires = a\n");
	events[0] = '\0';
	svc_restart(&m, get("a"));
	svc_settle(&m);
	CHECK(!svc_is_settled(get("a")));
	EVENTS("-b");
	dies("b", TERMED);
	EVENTS("-a");
	dies("a", TERMED);
	EVENTS("+a +b");
	CHECK(svc_all_settled(&m));
	svc_mgr_done(&m);
}

TEST(conflict)
{
	begin("[service a]\nexec = /x\n[service b]\nexec = /x\nconflicts = a\nenabled = no\n");
	events[0] = '\0';
	svc_start(&m, get("b"));
	svc_settle(&m);
	EVENTS("-a");
	STATE("b", "waiting");
	dies("a", TERMED);
	EVENTS("+b");
	svc_start(&m, get("a"));
	svc_settle(&m);
	EVENTS("-b");
	svc_mgr_done(&m);
}

TEST(oneshot_and_stop_command)
{
	begin("[service a]\nexec = /x\ntype = oneshot\nstop-exec = /y\n"
	      "[service b]\nexec = /x\nrequires = a\n");
	EVENTS("+a");
	dies("a", EXIT(0));
	EVENTS("+b");
	svc_stop(&m, get("a"));
	svc_settle(&m);
	dies("b", TERMED);
	EVENTS("-b !a");
	get("a")->aux = -1;
	svc_aux_exited(&m, get("a"), 0);
	svc_settle(&m);
	STATE("a", "down");
	svc_mgr_done(&m);
}

TEST(shutdown)
{
	begin("[service a]\nexec = /x\n[service b]\nexec = /x\nafter = a\n");
	events[0] = '\0';
	svc_shutdown(&m);
	svc_settle(&m);
	EVENTS("-b");
	CHECK_INT(svc_start(&m, get("a")), -ESHUTDOWN);
	dies("b", TERMED);
	EVENTS("-a");
	dies("a", TERMED);
	STATE("a", "down");
	svc_mgr_done(&m);
}

TEST(activation)
{
	begin("[service a]\nexec = /x\nlisten = stream /s\nactivate = yes\nrestart-delay = 50ms\n");
	STATE("a", "up");
	EVENTS("");
	CHECK(get("a")->listening);
	svc_activated(&m, get("a"));
	svc_settle(&m);
	EVENTS("+a");
	CHECK(!get("a")->listening);
	dies("a", EXIT(0));
	STATE("a", "up");
	CHECK_INT(fire("a") / MS, 50);
	CHECK(get("a")->listening);
	svc_stop(&m, get("a"));
	svc_settle(&m);
	STATE("a", "down");
	CHECK(!get("a")->listening);
	svc_mgr_done(&m);
}

TEST(load)
{
	begin("[service a]\nexec = /x\n[service b]\nexec = /x 1\n[service c]\nexec = /x\n"
	      "requires = b\n[service d]\nexec = /x\n");
	pid_t pid_a = get("a")->pid;
	events[0] = '\0';
	CHECK_INT(svc_load(&m,
			   parse("[service c]\nexec = /x\nrequires = b\n[service b]\n"
				 "exec = /x 2\n[service a]\nexec = /x\n[service e]\nexec = /x\n")),
		  0);
	CHECK_INT(svc_start(&m, get("a")), -EBUSY);
	svc_settle(&m);
	EVENTS("-c -d");
	CHECK(!get("e"));
	dies("c", TERMED);
	EVENTS("-b");
	dies("b", TERMED);
	CHECK(!get("e")); /* d is not down yet */
	dies("d", TERMED);
	CHECK(!get("d"));
	CHECK_INT(get("a")->pid, pid_a);
	EVENTS("+b +e +c");
	CHECK(svc_all_settled(&m));
	svc_mgr_done(&m);
}

/* A group and who requires it go on while another milestone comes, fails, or goes. */
TEST(load_of_another_milestone)
{
	static const char rest[] = "[service a]\nexec = /x\nrequires = g\n[service b]\nexec = /x\n";
	char text[300];

	(void)snprintf(text, sizeof(text), "[service g]\ntype = group\nmilestones = b\n%s", rest);
	begin(text);
	pid_t pid = get("a")->pid;
	events[0] = '\0';
	(void)snprintf(
		text, sizeof(text),
		"[service g]\ntype = group\nmilestones = b c d\n%s"
		"[service c]\ntype = oneshot\nexec = /x\n[service d]\ntype = oneshot\nexec = /x\n",
		rest);
	CHECK_INT(svc_load(&m, parse(text)), 0);
	svc_settle(&m);
	EVENTS("+c +d");
	dies("c", EXIT(0));
	dies("d", EXIT(1));
	STATE("c", "up");
	STATE("d", "failed");
	STATE("g", "up");
	CHECK_INT(get("a")->pid, pid);
	events[0] = '\0';
	(void)snprintf(text, sizeof(text), "[service g]\ntype = group\nmilestones = b\n%s", rest);
	CHECK_INT(svc_load(&m, parse(text)), 0);
	svc_settle(&m);
	CHECK(!get("c") && !get("d"));
	STATE("g", "up");
	CHECK_INT(get("a")->pid, pid);
	svc_mgr_done(&m);
}

/* One that could not come up for a milestone comes without it. */
TEST(load_without_a_failed_milestone)
{
	begin("[service g]\ntype = group\nmilestones = b\n[service a]\nexec = /x\nrequires = g\n"
	      "[service b]\ntype = oneshot\nexec = /x\n");
	dies("b", EXIT(1));
	STATE("g", "failed");
	STATE("a", "failed");
	events[0] = '\0';
	CHECK_INT(
		svc_load(
			&m,
			parse("[service g]\ntype = group\n[service a]\nexec = /x\nrequires = g\n")),
		0);
	svc_settle(&m);
	STATE("g", "up");
	EVENTS("+a");
	svc_mgr_done(&m);
}

TEST(load_under_shutdown)
{
	begin("[service a]\nexec = /x 1\n");
	svc_load(&m, parse("[service a]\nexec = /x 2\n"));
	svc_shutdown(&m);
	svc_settle(&m);
	dies("a", TERMED);
	STATE("a", "down");
	CHECK(!m.pending);
	svc_mgr_done(&m);
}

/* Stop name, and let time pass until it counts as stuck. */
static void get_stuck(const char *name)
{
	unsigned i = 0;

	stubborn = true;
	(void)fire(name); /* the stop timeout */
	while (!get(name)->stuck && i++ < 100)
		(void)fire(name);
	CHECK(get(name)->stuck);
	stubborn = false;
	events[0] = '\0';
}

static const char stuck_set[] = "[service a]\nexec = /x\nrequires = b\n[service b]\nexec = /x 1\n"
				"[service c]\nexec = /x\n[service d]\nexec = /x\nafter = b\n";

TEST(load_of_one_that_does_not_die)
{
	begin(stuck_set);
	events[0] = '\0';
	CHECK_INT(svc_load(&m,
			   parse("[service b]\nexec = /x 2\n[service d]\nexec = /x\nafter = b\n")),
		  0);
	svc_settle(&m);
	dies("a", TERMED);
	dies("c", TERMED);
	EVENTS("-a -c -b");
	CHECK(m.pending);
	get_stuck("b");
	CHECK(!m.pending);
	CHECK_INT(m.load_error, -ETIMEDOUT);
	CHECK_STR(m.load_culprit, "b");
	/* The old set stays: c is there and runs again, a cannot without b. */
	STATE("c", "up");
	STATE("a", "failed");
	CHECK_STR(get("a")->why, "requires b, which does not die");
	CHECK_INT(svc_stop(&m, get("c")), 0);
	CHECK_INT(svc_start(&m, get("c")), 0);
	CHECK(svc_all_settled(&m));
	/* Again at once, as long as it is there; one that leaves it alone works. */
	CHECK_INT(svc_load(&m, parse("[service d]\nexec = /x\n")), 0);
	svc_settle(&m);
	CHECK_INT(m.load_error, -ETIMEDOUT);
	CHECK_INT(svc_load(&m, parse("[service b]\nexec = /x 1\n[service e]\nexec = /x\n")), 0);
	svc_settle(&m);
	dies("a", TERMED);
	dies("c", TERMED);
	dies("d", TERMED);
	CHECK(!m.pending);
	CHECK_INT(m.load_error, 0);
	STATE("e", "up");
	dies("b", KILLED);
	STATE("b", "up");
	svc_mgr_done(&m);
}

TEST(nobody_waits_for_one_that_does_not_die)
{
	begin(stuck_set);
	svc_stop(&m, get("b"));
	svc_stop(&m, get("d"));
	svc_settle(&m);
	dies("d", TERMED);
	dies("a", TERMED);
	get_stuck("b");
	CHECK(svc_is_settled(get("b")));
	CHECK_STR(get("b")->why, "does not die");
	svc_start(&m, get("d"));
	svc_start(&m, get("a"));
	svc_settle(&m);
	STATE("d", "up");
	STATE("a", "failed");
	CHECK(svc_all_settled(&m));
	/* It dies after all, and comes again, because a wants it; a follows. */
	dies("b", KILLED);
	STATE("b", "up");
	STATE("a", "up");
	svc_mgr_done(&m);

	begin("[service a]\nexec = /x\n[service b]\nexec = /x\nenabled = no\nconflicts = a\n");
	svc_start(&m, get("b"));
	svc_settle(&m);
	get_stuck("a");
	STATE("b", "failed");
	CHECK_STR(get("b")->why, "conflicts with a, which does not die");
	CHECK(svc_all_settled(&m));
	dies("a", KILLED);
	svc_start(&m, get("b"));
	svc_settle(&m);
	STATE("b", "up");
	svc_mgr_done(&m);
}

TEST(stop_during_reload)
{
	begin("[service a]\nexec = /x\nreload-exec = /r\n"
	      "[service b]\nexec = /x\ntype = oneshot\nreload-exec = /r\nstop-exec = /y\n");
	dies("b", EXIT(0));
	svc_reload(&m, get("a"));
	svc_reload(&m, get("b"));
	svc_stop(&m, get("a"));
	svc_stop(&m, get("b"));
	svc_settle(&m);
	EVENTS("+a +b !a !b ka kb");
	get("a")->aux = get("b")->aux = -1;
	svc_aux_exited(&m, get("a"), KILLED);
	svc_aux_exited(&m, get("b"), KILLED);
	EVENTS("-a !b");
	dies("a", TERMED);
	STATE("a", "down");
	STATE("b", "stopping");
	get("b")->aux = -1;
	svc_aux_exited(&m, get("b"), 0);
	svc_settle(&m);
	STATE("b", "down");
	svc_mgr_done(&m);
}

TEST(goes_by_itself)
{
	begin("[service a]\nexec = /x\ntype = notify\nrestart = on-failure\nstop-timeout = 3s\n"
	      "[service b]\nexec = /x\nrequires = a\n");
	svc_leaves(&m, get("a")); /* not up yet */
	svc_ready(&m, get("a"));
	svc_settle(&m);
	EVENTS("+a +b");
	svc_leaves(&m, get("a"));
	svc_settle(&m);
	STATE("a", "stopping");
	EVENTS("-b"); /* who requires it stops, and it hears nothing */
	dies("b", TERMED);
	dies("a", EXIT(0));
	STATE("a", "done");
	CHECK_STR(get("a")->why, "");
	/* One that says so and then does not go. */
	svc_start(&m, get("a"));
	svc_settle(&m);
	svc_ready(&m, get("a"));
	svc_leaves(&m, get("a"));
	CHECK_INT(fire("a") / MS, 3000);
	STATE("a", "killing");
	dies("a", KILLED);
	STATE("a", "starting");
	svc_mgr_done(&m);
}

TEST(deep)
{
	auto_str struct str text = STR_INIT;

	for (int i = 0; i < LIMIT_SVC_COUNT; i++) {
		str_addf(&text, "[service s%d]\ntype = group\n", i);
		if (i + 1 < LIMIT_SVC_COUNT)
			str_addf(&text, "requires = s%d\nenabled = no\n", i + 1);
	}
	struct svc_set *set = parse(text.buf);
	CHECK_INT(svc_mgr_init(&m, set, &ops), 0);
	svc_settle(&m);
	CHECK_INT(svc_start(&m, get("s0")), 0);
	svc_settle(&m);
	STATE("s0", "up");
	CHECK_INT(svc_stop(&m, get("s1023")), 0);
	svc_settle(&m);
	STATE("s0", "down");
	STATE("s1023", "down");
	svc_mgr_done(&m);
}

/* ---- The health gate of a boot on trial */

#define GATED                                                                                      \
	"[init]\ngate = g\ngate-timeout = 10s\n[service g]\ntype = oneshot\nexec = /x\nrequires "  \
	"= a\n"

static struct gate gate;

static void begin_gate(const char *text, bool trial)
{
	begin(text);
	gate_init(&gate, &m.set->init, trial, now);
}

TEST(gate_opens)
{
	begin_gate(GATED "[service a]\nexec = /x\ntype = notify\n", true);
	CHECK(!gate_look(&gate, &m, now));
	CHECK_INT(gate.state, GATE_WAITS);
	svc_ready(&m, get("a"));
	svc_settle(&m);
	CHECK(!gate_look(&gate, &m, now + 9 * SECOND));
	dies("g", EXIT(0));
	CHECK(!gate_look(&gate, &m,
			 now + 11 * SECOND)); /* late, but up: a deadline is not a wish */
	CHECK_INT(gate.state, GATE_PASSED);
	/* What happens later is not a matter of the boot. */
	dies("a", KILLED);
	CHECK(!gate_look(&gate, &m, now + 20 * SECOND));
	svc_mgr_done(&m);
}

TEST(gate_fails)
{
	begin_gate(GATED "[service a]\ntype = oneshot\nexec = /x\n", true);
	CHECK(!gate_look(&gate, &m, now));
	dies("a", EXIT(1));
	STATE("g", "failed");
	CHECK(gate_look(&gate, &m, now));
	CHECK(strstr(gate.why, "g failed: ") == gate.why);
	CHECK(!gate_look(&gate, &m, now)); /* says so once */
	svc_mgr_done(&m);

	begin_gate(GATED "[service a]\nexec = /x\ntype = notify\n", true);
	CHECK(!gate_look(&gate, &m, gate.deadline - 1));
	CHECK(gate_look(&gate, &m, gate.deadline));
	CHECK_STR(gate.why, "g is not up in time: waiting");
	svc_mgr_done(&m);
}

TEST(gate_is_of_trials)
{
	begin_gate(GATED "[service a]\ntype = oneshot\nexec = /x\n", false);
	dies("a", EXIT(1));
	CHECK(!gate_look(&gate, &m, now + 100 * SECOND));
	svc_mgr_done(&m);

	/* Somebody loads a set without a gate: he is there and sees what happens. */
	begin_gate(GATED "[service a]\nexec = /x\ntype = notify\n", true);
	svc_load(&m, parse("[service a]\nexec = /x\ntype = notify\n"));
	svc_settle(&m);
	CHECK(!gate_look(&gate, &m, now + 100 * SECOND));
	CHECK_INT(gate.state, GATE_OFF);
	svc_mgr_done(&m);
}

TEST_MAIN(chain, load_of_one_that_does_not_die, nobody_waits_for_one_that_does_not_die,
	  stop_during_reload, goes_by_itself, crash_takes_dependents, pulled_in, back_off, policies,
	  stop_escalates, left_overs_die_before_restart, interrupted_start, start_timeout,
	  exec_fails, restart, conflict, oneshot_and_stop_command, shutdown, activation, load,
	  load_under_shutdown, deep, gate_opens, gate_fails, gate_is_of_trials,
	  load_of_another_milestone, load_without_a_failed_milestone)
