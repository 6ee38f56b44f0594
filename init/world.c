/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "init/world.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/stat.h>

#include "init/accept.h"
#include "init/added.h"
#include "init/cgroup.h"
#include "init/child.h"
#include "init/condition.h"
#include "init/control.h"
#include "init/crash.h"
#include "init/early.h"
#include "init/fdstore.h"
#include "init/gate.h"
#include "init/inherit.h"
#include "init/logs.h"
#include "init/notify.h"
#include "init/ops.h"
#include "init/reap.h"
#include "init/rescue-shell.h"
#include "init/spare.h"
#include "init/state.h"
#include "init/watchdog.h"
#include "lib/fd.h"
#include "lib/log.h"

#define MS 1000000ull

struct world world;

static struct {
	struct loop_timer gate_timer, watchdog_timer;
	struct gate gate;
	bool gate_came; /* from a life before */
	char notify_path[108], control_path[108];
	int overrides_error; /* of reading them last */
	/* As world and manager have it, for a next life. */
	struct {
		int set, next; /* texts of the sets */
		bool switching, booted, trial;
		uint32_t shutdown;
		uint64_t start;
		int load_error;
		char load_culprit[LIMIT_SVC_NAME + 1];
	} kept;
} st;

/* ---- a boot on trial; the hardware watchdog --------------------------------------------------*/

static void look_gate(void)
{
	if (st.gate.state != GATE_WAITS || world.shutdown)
		return;
	if (gate_look(&st.gate, &world.mgr, loop_now())) {
		log_error("trial: the health gate failed, rebooting why=\"%s\"", st.gate.why);
		shutdown_begin(SHUT_REBOOT);
		svc_settle(&world.mgr); /* this turn: nothing else may happen for long */
	} else if (st.gate.state != GATE_WAITS) {
		world.trial = false; /* what fails from here on may ask for help */
		loop_disarm(world.loop, &st.gate_timer);
		log_info("trial: passed");
	}
}

static void on_gate_timer(struct loop_timer *t)
{
	(void)t; /* the turn that follows looks */
}

static void start_gate(void)
{
	if (!st.gate_came)
		gate_init(&st.gate, &world.mgr.set->init, world.trial, loop_now());
	st.gate_timer.fn = on_gate_timer;
	if (st.gate.deadline)
		(void)loop_arm(world.loop, &st.gate_timer, st.gate.deadline);
}

static void on_watchdog_timer(struct loop_timer *t)
{
	watchdog_pet();
	(void)loop_arm(world.loop, t, loop_now() + watchdog_pause());
}

static void set_watchdog(void)
{
	watchdog_set(world.mgr.set->init.watchdog);
	st.watchdog_timer.fn = on_watchdog_timer;
	if (!watchdog_pause())
		loop_disarm(world.loop, &st.watchdog_timer);
	else
		(void)loop_arm(world.loop, &st.watchdog_timer, loop_now() + watchdog_pause());
}

/* ---- loading ---------------------------------------------------------------------------------*/

/* What the administrator says in spite of the set. */
static void overrides_path(const char *state_directory, char out[LIMIT_PATH])
{
	snprintf(out, LIMIT_PATH, "%.2900s/overrides", state_directory);
}

static void read_overrides(const char *state_directory, struct str *out)
{
	char path[LIMIT_PATH];
	struct err e = ERR_INIT;

	overrides_path(state_directory, path);
	int r = file_read(AT_FDCWD, path, out, LIMIT_OVERRIDES, &e);
	st.overrides_error = r;
	if (r < 0)
		str_cut(out, 0);
	if (r < 0 && r != -ENOENT)
		log_warn("overrides: not read why=\"%s\"", e.msg);
}

int world_override(char path[LIMIT_PATH])
{
	auto_str struct str text = STR_INIT;
	struct svc_mgr *m = &world.mgr;

	overrides_path(m->set->init.state_directory, path);
	if (m->pending)
		return -EBUSY;
	read_overrides(m->set->init.state_directory, &text);
	if (spare_is_short(-st.overrides_error))
		return st.overrides_error;
	svc_set_override(m->set, str_slice(&text));
	svc_overridden(m);
	return 0;
}

int world_parse(struct slice text, const char *path, struct svc_set **ret, struct err *e)
{
	struct svc_set *set;
	int r = svc_set_parse_with(text, path, read_overrides, &set, e);

	if (r < 0)
		return r;
	/* What somebody masked must not start because it could not be read that he did. */
	if (spare_is_short(-st.overrides_error)) {
		svc_set_free(set);
		return err_num(e, st.overrides_error, "overrides");
	}
	*ret = set;
	set->text_fd = state_text_new(path, text);
	if (set->text_fd < 0) {
		r = set->text_fd;
		set->text_fd = -1;
		log_warn("state: no copy of the set why=\"%s\"", strerror(-r));
	}
	return 0;
}

int world_read_set(const char *path, struct svc_set **ret, struct err *e)
{
	auto_str struct str text = STR_INIT, all = STR_INIT;
	struct err ignored = ERR_INIT;
	int r = svc_set_read(path, &text, e);

	if (r < 0)
		return r;
	r = added_carry(str_slice(&text), &all);
	if (r < 0)
		return err_num(e, r, "what was added");
	if (all.len > text.len) {
		r = world_parse(str_slice(&all), path, ret, &ignored);
		if (r == 0)
			return 0;
		if (spare_is_short(-r))
			return err_set(e, r, "%s", ignored.msg);
		log_warn("load: what was added goes, it does not fit why=\"%s\"", ignored.msg);
	}
	return world_parse(str_slice(&text), path, ret, e);
}

/* ---- for a next life -------------------------------------------------------------------------*/

static int text_of(const struct svc_set *set)
{
	return set ? set->text_fd : -1;
}

void world_commit(void)
{
	st.kept.set = text_of(world.mgr.set);
	st.kept.next = text_of(world.mgr.pending);
	st.kept.booted = world.booted;
	st.kept.trial = world.trial;
	st.kept.shutdown = (uint32_t)world.shutdown;
	st.kept.start = world.start;
	st.kept.load_error = world.mgr.load_error;
	memcpy(st.kept.load_culprit, world.mgr.load_culprit, sizeof(st.kept.load_culprit));
	state_commit();
}

void world_switching(bool done)
{
	st.kept.switching = !done;
	world_commit();
}

static int read_kept(int fd, char *path, size_t size, struct svc_set **ret)
{
	auto_str struct str buf = STR_INIT;
	struct slice name, text;
	struct err e = ERR_INIT;
	int own = inherit_take(fd, S_IFREG);
	int r = state_text_read(own, &buf, &name, &text);

	if (r == 0)
		snprintf(path, size, "%.*s", (int)name.n, name.p);
	if (r == 0)
		r = svc_set_parse_with(text, path, read_overrides, ret, &e);
	if (r == 0)
		(*ret)->text_fd = fd_take(&own);
	fd_close(&own);
	return r;
}

int world_recall(struct svc_set **ret_set, struct svc_set **ret_next, bool *ret_switching)
{
	*ret_next = NULL;
	if (!state_keep(STATE_WORLD, &st.kept, sizeof(st.kept)) || st.kept.shutdown >= SHUT_MAX)
		return -ENOENT;
	world.booted = st.kept.booted;
	world.trial = st.kept.trial;
	world.shutdown = (enum shutdown)st.kept.shutdown;
	world.start = st.kept.start;
	world.mgr.load_error = st.kept.load_error;
	int r = read_kept(st.kept.set, world.set_buf, sizeof(world.set_buf), ret_set);
	if (r < 0)
		return r;
	world.set_path = world.set_buf;
	if (st.kept.next >= 0 &&
	    read_kept(st.kept.next, world.next_path, sizeof(world.next_path), ret_next) < 0)
		log_warn("adopt: the load that was under way is lost");
	*ret_switching = st.kept.switching;
	st.kept.switching = false;
	return 0;
}

int world_reexec(const char *path, struct err *e)
{
	struct stat sb;
	auto_fd int fd = path[0] ? open(path, O_PATH | O_CLOEXEC) : -1;

	if (world.shutdown)
		return err_set(e, -ESHUTDOWN, "the machine is shutting down");
	if (path[0] && (fd < 0 || fstat(fd, &sb) < 0))
		return err_sys(e, "%s", path);
	if (path[0] && (!S_ISREG(sb.st_mode) || !(sb.st_mode & 0111)))
		return err_set(e, -EACCES, "%s is no program", path);
	if (state_fd() < 0)
		return err_set(e, -ENOMEM, "there was no memory to keep the state in");
	fd_close(&world.next_exe);
	world.next_exe = fd_take(&fd);
	world.reexec = true;
	world.reexec_error = 0;
	return 0;
}

/* Everything is settled as far as it can be, and kept. Returns only when it failed. */
static void reexec(void)
{
	int exe = world.next_exe >= 0 ? world.next_exe : world.exe;

	log_info("init: executes itself again");
	world.reexec = false;
	world.reexec_error = crash_exec(exe);
	log_error("init: cannot execute itself again why=\"%s\"", strerror(-world.reexec_error));
	fd_close(&world.next_exe);
	control_turn();
}

int world_load(const char *path, struct svc_set *next)
{
	char hostname[256] = "";

	if (next->init.hostname)
		snprintf(hostname, sizeof(hostname), "%s", next->init.hostname);
	int r = svc_load(&world.mgr, next);
	if (r < 0)
		return r;
	if (world.pid1)
		early_hostname(hostname[0] ? hostname : NULL);
	if (path != world.next_path)
		snprintf(world.next_path, sizeof(world.next_path), "%s", path);
	log_info("load: begins set=%s", path);
	return 0;
}

static void load_failed(void)
{
	control_note("load-failed", strerror(-world.mgr.load_error));
	log_warn("load: failed, the old set stays why=\"%s%s%s\"", world.mgr.load_culprit,
		 world.mgr.load_culprit[0] ? ": " : "", strerror(-world.mgr.load_error));
	if (world.pid1)
		early_hostname(world.mgr.set->init.hostname);
}

static void load_done(void)
{
	snprintf(world.set_buf, sizeof(world.set_buf), "%s", world.next_path);
	world.set_path = world.set_buf;
	logs_resend();
	set_watchdog();
	control_note("loaded", world.set_path);
	log_info("load: done services=%zu", world.mgr.set->n);
}

/* ---- start and loop --------------------------------------------------------------------------*/

/* Somebody removed them, or put something in their place. */
static void listen_anew(void)
{
	struct err e = ERR_INIT;

	if (control_listen(st.control_path, &e) < 0 || notify_listen(st.notify_path, &e) < 0)
		log_error("init: %s", e.msg);
}

static void on_signal(struct loop *l, const void *info, void *arg)
{
	const struct signalfd_siginfo *si = info;

	if (si->ssi_signo == SIGCHLD)
		reap_soon();
	else if (si->ssi_signo == SIGHUP)
		listen_anew();
	else
		shutdown_signal((int)si->ssi_signo);
}

static int block_signals(void)
{
	sigset_t all;

	sigfillset(&all);
	/* What the kernel raises for a fault must end in a fault. */
	sigdelset(&all, SIGSEGV);
	sigdelset(&all, SIGBUS);
	sigdelset(&all, SIGILL);
	sigdelset(&all, SIGFPE);
	sigdelset(&all, SIGABRT);
	sigdelset(&all, SIGTRAP);
	sigdelset(&all, SIGSYS);
	return loop_signals(world.loop, &all, on_signal, NULL);
}

/* Who else may write to it could put sockets of his own there. */
static int check_run_dir(const char *path, struct err *e)
{
	struct stat sb;

	if (stat(path, &sb) < 0)
		return err_sys(e, "%s", path);
	if (sb.st_uid != geteuid() || (sb.st_mode & 022))
		return err_set(e, -EPERM, "%s: others may write to it", path);
	return 0;
}

int world_init(struct svc_set *set, const char *run_dir, struct err *e)
{
	spare_keep(); /* the first ones, below any limit that somebody sets later */
	int r = loop_new(LIMIT_SVC_COUNT * 2 + 16, &world.loop);

	world.run_dir = run_dir;
	(void)state_keep(STATE_SETTLED, &world.settled, sizeof(world.settled));
	if (!state_adopts()) {
		(void)state_keep(STATE_WORLD, &st.kept, sizeof(st.kept));
		world.start = loop_now();
	}
	world.pid1 = getpid() == 1;
	if (r == 0)
		r = block_signals();
	if (r < 0)
		return err_num(e, r, "event loop");
	if (!world.pid1)
		(void)prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
	r = file_mkdir_p(AT_FDCWD, run_dir, 0755, e);
	if (r == 0 && !world.pid1)
		r = check_run_dir(run_dir, e);
	if (r < 0)
		return r;
	snprintf(st.notify_path, sizeof(st.notify_path), "%.90s/notify", run_dir);
	r = child_init(st.notify_path, state_cell(), set->n);
	if (r < 0)
		return err_num(e, r, "shared page");
	cgroup_init();
	logs_init();
	watchdog_init();
	rescue_init();
	st.gate_came = state_keep(STATE_GATE, &st.gate, sizeof(st.gate));
	r = svc_mgr_init(&world.mgr, set, &world_ops);
	if (r < 0)
		return err_num(e, r, "service table");
	shutdown_init();
	(void)condition_holds("first-boot:yes"); /* before activation makes the identity */
	r = notify_open(st.notify_path, e);
	if (r < 0)
		return r;
	snprintf(st.control_path, sizeof(st.control_path), "%.90s/init.sock", run_dir);
	r = control_open(st.control_path, e);
	if (r < 0)
		return r;
	r = accept_init();
	fdstore_init();
	return r < 0 ? err_num(e, r, "connections") : 0;
}

static void look_booted(void)
{
	unsigned failed = 0;

	if (world.booted || !svc_all_settled(&world.mgr))
		return;
	world.booted = true;
	world.settled = loop_now();
	control_note("booted", "");
	for (size_t i = 0; i < world.mgr.set->n; i++)
		failed += world.mgr.v[i]->state == SVC_FAILED;
	log_info("boot: settled services=%zu failed=%u ms=%llu", world.mgr.set->n, failed,
		 (unsigned long long)((loop_now() - world.start) / MS));
	cgroup_leave_root(logs_pid());
}

void world_run(void)
{
	set_watchdog();
	logs_start();
	start_gate();
	world_commit();
	reap_soon(); /* children from before the signals were blocked */
	for (;;) {
		bool loading = world.mgr.pending != NULL;
		reap_turn();
		svc_settle(&world.mgr);
		if (loading && !world.mgr.pending && !world.shutdown)
			world.mgr.load_error ? load_failed() : load_done();
		look_booted();
		look_gate();
		control_turn();
		world_commit();
		if (world.reexec)
			reexec();
		if (shutdown_is_due())
			shutdown_finish();
		spare_keep();
		int r = loop_turn(world.loop, reap_is_due() ? 0 : UINT64_MAX);
		if (r < 0)
			log_error("loop: turn failed why=\"%s\"", strerror(-r));
	}
}
