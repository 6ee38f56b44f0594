/* SPDX-License-Identifier: GPL-3.0-or-later */
/* From one service set to the next: what is planned is done and nothing else, and what cannot be
 * done changes nothing. */
#include "tests/unit/svcworld.h"

#include <signal.h>

/* ---- no memory -------------------------------------------------------------------------------*/

static unsigned fail_at;				     /* the n-th request fails; 0: none */
static void *(*volatile fill)(void *, int, size_t) = memset; /* else this is compiled to a calloc */

void *calloc(size_t n, size_t size)
{
	void *p = fail_at && --fail_at == 0 ? NULL : malloc(n * size + 1);

	return p ? fill(p, 0, n * size) : NULL;
}

/* Everything that is asked to stop ends, and so does every command. */
static void let_stop(void)
{
	for (bool again = true; again;) {
		again = false;
		for (size_t i = 0; i < m.set->n && !again; i++) {
			struct svc *s = m.v[i];
			again = s->aux >= 0 || (s->state == SVC_STOPPING && s->pid >= 0);
			if (s->aux >= 0) {
				s->aux = -1;
				svc_aux_exited(&m, s, 0);
				svc_settle(&m);
			} else if (again) {
				dies(s->name, TERMED);
			}
		}
	}
}

static const char old_set[] = "[service a]\nexec = /x 1\n[service b]\nexec = /x\nrequires = a\n"
			      "[service c]\nexec = /x\n[service d]\nexec = /x\n";
static const char new_set[] = "[service a]\nexec = /x 2\n[service b]\nexec = /x\nrequires = a\n"
			      "[service d]\nexec = /x\n[service e]\nexec = /x\n"
			      "[service f]\nexec = /x\n";

TEST(no_memory)
{
	unsigned refused = 0, abandoned = 0;
	int r;

	for (unsigned n = 1;; n++) {
		begin(old_set);
		struct svc_set *next = parse(new_set);
		pid_t d = get("d")->pid;
		fail_at = n;
		r = svc_load(&m, next);
		svc_settle(&m);
		let_stop();
		bool failed = fail_at == 0;
		fail_at = 0;
		CHECK(svc_all_settled(&m));
		CHECK_INT(get("d")->pid, d);
		STATE("a", "up");
		STATE("b", "up");
		if (!failed) {
			CHECK(get("e") && get("f") && !get("c"));
			svc_mgr_done(&m);
			break;
		}
		/* Refused before anything stopped, or at the switch: the old set is whole again. */
		refused += r < 0;
		abandoned += r == 0 && m.load_error == -ENOMEM;
		CHECK(r == -ENOMEM || m.load_error == -ENOMEM);
		CHECK(!m.pending && !get("e"));
		STATE("c", "up");
		CHECK_STR(m.set->v[0]->exec[1], "1");
		/* There is memory again: it takes place. */
		CHECK_INT(svc_load(&m, parse(new_set)), 0);
		svc_settle(&m);
		let_stop();
		CHECK(get("e") && !get("c"));
		CHECK_INT(m.load_error, 0);
		svc_mgr_done(&m);
	}
	CHECK(refused && abandoned);
}

/* ---- reload ----------------------------------------------------------------------------------*/

static uint8_t planned(const char *text, const char *name)
{
	struct svc_set *next = parse(text);
	uint8_t plan[64], change;

	svc_load_plan(&m, next, plan, plan + m.set->n);
	change = plan[m.set->n + (size_t)svc_set_find(next, slice_of(name))];
	svc_set_free(next);
	return change;
}

static void load(const char *text)
{
	CHECK_INT(svc_load(&m, parse(text)), 0);
	svc_settle(&m);
}

#define PLAN(text, name, want) CHECK_STR(svc_change_names[planned(text, name)], want)

TEST(reload)
{
	static const char one[] = "[service a]\nexec = /x\nreload-triggers = /etc-1 \\\n  /more\n"
				  "[service b]\nexec = /x\nreload-exec = /r\nreload-triggers = 1\n"
				  "[service c]\nexec = /x\nrequires = a\n";
	static const char two[] = "[service a]\nexec = /x\nreload-triggers = /etc-1 \\\n  /less\n"
				  "[service b]\nexec = /x\nreload-exec = /r\n"
				  "[service c]\nexec = /x\nrequires = a\n";
	static const char three[] = "[service a]\nexec = /y\nreload-triggers = /etc-2\n"
				    "[service c]\nexec = /x\nrequires = a\n";
	begin(one);
	pid_t a = get("a")->pid, b = get("b")->pid;
	events[0] = '\0';
	PLAN(two, "a", "reload");
	PLAN(two, "b", "reload");
	PLAN(two, "c", "keep");
	load(two);
	EVENTS("ha !b");
	CHECK(!get("a")->stale && !get("b")->stale);
	CHECK_INT(get("a")->pid, a);
	CHECK_INT(get("b")->pid, b);
	/* While its command runs there is another change: it is told once more. */
	load(one);
	EVENTS("ha");
	let_stop();
	EVENTS("!b");
	let_stop();
	EVENTS("");
	/* A change of more than that. */
	PLAN(three, "a", "restart");
	PLAN(three, "c", "restart");
	svc_mgr_done(&m);
}

TEST(reload_of_what_is_not_up)
{
	static const char one[] = "[service a]\nexec = /x\ntype = notify\nreload-triggers = 1\n"
				  "[service b]\nexec = /x\nrestart = never\nreload-triggers = 1\n"
				  "[service c]\nexec = /x\nreload-triggers = 1\n";
	static const char two[] = "[service a]\nexec = /x\ntype = notify\nreload-triggers = 2\n"
				  "[service b]\nexec = /x\nrestart = never\nreload-triggers = 2\n"
				  "[service c]\nexec = /x\nreload-triggers = 2\n";
	begin(one);
	dies("b", EXIT(1));
	STATE("b", "failed");
	CHECK_INT(svc_stop(&m, get("c")), 0);
	svc_settle(&m);
	let_stop();
	events[0] = '\0';
	PLAN(two, "b", "start");
	PLAN(two, "c", "later");
	load(two);
	EVENTS("+b"); /* what failed of its files is tried again; by hand stays by hand */
	STATE("a", "starting");
	svc_ready(&m, get("a"));
	svc_settle(&m);
	EVENTS("ha");
	STATE("c", "down");
	svc_mgr_done(&m);
}

TEST(reload_waits_for_a_load_that_fails)
{
	begin("[service a]\nexec = /x\nreload-exec = /r\nreload-triggers = 1\n"
	      "[service b]\nexec = /x 1\n");
	CHECK_INT(svc_reload(&m, get("a")), 0); /* by hand, before */
	load("[service a]\nexec = /x\nreload-exec = /r\nreload-triggers = 2\n"
	     "[service b]\nexec = /x 1\n");
	load("[service a]\nexec = /x\nreload-exec = /r\nreload-triggers = 2\n"
	     "[service b]\nexec = /x 2\n");
	events[0] = '\0';
	get("a")->aux = -1;
	svc_aux_exited(&m, get("a"), 0);
	svc_settle(&m);
	EVENTS(""); /* a load is under way */
	stubborn = true;
	(void)fire("b");
	while (m.pending)
		(void)fire("b");
	CHECK_INT(m.load_error, -ETIMEDOUT);
	CHECK(strstr(events, "!a") != NULL);
	svc_mgr_done(&m);
}

/* ---- by hand ---------------------------------------------------------------------------------*/

TEST(stopped_by_hand_stays_so)
{
	static const char sets[][96] = {
		"[service a]\nexec = /x 1\n[service b]\nexec = /x\nrequires = a\n",
		"[service a]\nexec = /x 2\n[service b]\nexec = /x\nrequires = a\n"
	};
	begin(sets[0]);
	CHECK_INT(svc_stop(&m, get("a")), 0);
	svc_settle(&m);
	let_stop();
	for (int i = 1; i < 5; i++) {
		events[0] = '\0';
		PLAN(sets[i % 2], "a", "later");
		load(sets[i % 2]);
		EVENTS("");
		STATE("a", "down");
		STATE("b", "down");
	}
	CHECK_INT(svc_start(&m, get("b")), 0);
	svc_settle(&m);
	EVENTS("+a +b");
	svc_mgr_done(&m);
}

TEST(stale)
{
	begin("[service a]\nexec = /x 1\non-change = later\nreload-triggers = 1\n");
	pid_t a = get("a")->pid;
	PLAN("[service a]\nexec = /x 2\non-change = later\nreload-triggers = 1\n", "a", "later");
	load("[service a]\nexec = /x 2\non-change = later\nreload-triggers = 1\n");
	CHECK(get("a")->stale);
	/* Its files change, too: it is told, and is as old as before. */
	load("[service a]\nexec = /x 2\non-change = later\nreload-triggers = 2\n");
	CHECK(get("a")->stale);
	CHECK_INT(get("a")->pid, a);
	CHECK_INT(svc_restart(&m, get("a")), 0);
	svc_settle(&m);
	let_stop();
	CHECK(!get("a")->stale);
	svc_mgr_done(&m);
}

/* ---- what is planned is what is done ---------------------------------------------------------*/

#define SERVICES 8
static uint64_t seed;

static unsigned pick(unsigned n)
{
	seed = seed * 6364136223846793005ull + 1442695040888963407ull;
	return (unsigned)(seed >> 33) % n;
}

static void random_set(struct str *out)
{
	bool there[SERVICES];

	str_cut(out, 0);
	for (unsigned i = 0; i < SERVICES; i++) {
		unsigned other = pick(i + 1), foe = pick(i + 1);
		there[i] = pick(6) != 0;
		if (!there[i])
			continue;
		str_addf(out, "[service s%u]\nexec = /x %u\nenabled = %s\n", i,
			 pick(4) ? 0 : pick(3), pick(6) ? "yes" : "no");
		if (other < i && there[other])
			str_addf(out, "%s = s%u\n", pick(3) ? "requires" : "wants", other);
		if (foe < i && foe != other && there[foe] && !pick(3))
			str_addf(out, "conflicts = s%u\n", foe);
		if (!pick(3))
			str_addf(out, "reload-triggers = %u\n", pick(3));
		if (!pick(6))
			str_add(out, "reload-exec = /r\n");
		if (!pick(6))
			str_add(out, "on-change = later\n");
		if (!pick(5))
			str_add(out, "restart = never\n");
	}
}

/* What happened to name: the signs of events before it, in order. */
static void happened(const char *name, char out[16])
{
	struct slice rest = slice_of(events), word;
	size_t n = 0;

	while (rest.n && slice_cut(&rest, ' ', &word))
		if (word.n > 1 && n < 15 &&
		    slice_is((struct slice){ word.p + 1, word.n - 1 }, name))
			out[n++] = word.p[0];
	out[n] = '\0';
}

struct before {
	char name[LIMIT_SVC_NAME + 1];
	pid_t pid;
	bool runs;
};

static void check_one(const struct before *b, unsigned change)
{
	const struct svc *s = svc_mgr_find(&m, slice_of(b->name));
	char what[16];

	happened(b->name, what);
	switch (change) {
	case SVC_KEEP:
	case SVC_LATER:
		CHECK_STR(what, "");
		if (b->runs)
			CHECK_INT(s->pid, b->pid);
		break;
	case SVC_RELOAD:
		CHECK(strcmp(what, "h") == 0 || strcmp(what, "!") == 0);
		CHECK_INT(s->pid, b->pid);
		break;
	case SVC_STOP:
		CHECK_STR(what, b->runs ? "-" : "");
		CHECK(!s || !svc_is_active(s));
		break;
	case SVC_RESTART:
		CHECK_STR(what, "-+");
		break;
	case SVC_START:
		CHECK(!b->runs);
		CHECK(strcmp(what, "+") == 0 || s->state == SVC_FAILED);
		break;
	default:
		TEST_FAIL("no such change %u", change);
	}
}

/* Some fail, some are stopped by hand, some of those are started again. */
static void disturb(void)
{
	for (unsigned k = pick(4); k > 0 && m.set->n; k--) {
		struct svc *s = m.v[pick((unsigned)m.set->n)];
		switch (pick(3)) {
		case 0:
			(void)svc_stop(&m, s);
			break;
		case 1:
			(void)svc_start(&m, s);
			break;
		default:
			if (s->state == SVC_UP && s->pid >= 0)
				dies(s->name, EXIT(1));
		}
		svc_settle(&m);
		let_stop();
		for (size_t i = 0; i < m.set->n; i++)
			while (m.v[i]->state == SVC_BACKOFF)
				(void)fire(m.v[i]->name);
		let_stop();
	}
}

static void load_random(struct str *text)
{
	struct before before[2 * SERVICES];
	uint8_t plan[2 * SERVICES + 1];
	unsigned changes[2 * SERVICES];
	struct svc_set *next;
	size_t n = 0;

	random_set(text);
	next = parse(text->buf);
	svc_load_plan(&m, next, plan, plan + m.set->n);
	for (size_t j = 0; j < m.set->n; j++) {
		const struct svc *s = m.v[j];
		int i = svc_set_find(next, slice_of(s->name));
		changes[n] = plan[i < 0 ? j : m.set->n + (size_t)i];
		before[n] = (struct before){ .pid = s->pid, .runs = svc_is_active(s) };
		snprintf(before[n++].name, sizeof(before[0].name), "%s", s->name);
	}
	for (size_t i = 0; i < next->n; i++) {
		if (svc_mgr_find(&m, slice_of(next->v[i]->name)))
			continue;
		changes[n] = plan[m.set->n + i];
		before[n] = (struct before){ .pid = -1 };
		snprintf(before[n++].name, sizeof(before[0].name), "%s", next->v[i]->name);
	}
	events[0] = '\0';
	CHECK_INT(svc_load(&m, next), 0);
	svc_settle(&m);
	let_stop();
	CHECK(!m.pending && svc_all_settled(&m));
	for (size_t i = 0; i < n; i++)
		check_one(&before[i], changes[i]);
	if (test_failures)
		printf("# events: %s\n# set:\n%s", events, text->buf);
}

TEST(plan_is_followed)
{
	auto_str struct str text = STR_INIT;

	for (seed = 1; seed < 1000 && !test_failures; seed++) {
		uint64_t from = seed;
		random_set(&text);
		begin(text.buf);
		for (int i = 0; i < 3; i++) {
			disturb();
			load_random(&text);
		}
		svc_mgr_done(&m);
		seed = from;
	}
}

TEST_MAIN(no_memory, reload, reload_of_what_is_not_up, reload_waits_for_a_load_that_fails,
	  stopped_by_hand_stays_so, stale, plan_is_followed)
