/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "init/def.h"

#include "init/condition.h"

#include <signal.h>
#include <sys/resource.h>

#include "lib/size.h"
#include "lib/text.h"

#define SECOND 1000000000ull

uint64_t svc_hash(uint64_t h, const void *p, size_t n)
{
	const uint8_t *b = p;

	for (size_t i = 0; i < n; i++)
		h = (h ^ b[i]) * 0x100000001b3ull;
	return h ^ (h >> 29);
}

/* ---- signals ---------------------------------------------------------------------------------*/

static const struct {
	char name[7];
	uint8_t number;
} signals[] = {
	{ "HUP", SIGHUP },   { "INT", SIGINT },	  { "QUIT", SIGQUIT }, { "ILL", SIGILL },
	{ "TRAP", SIGTRAP }, { "ABRT", SIGABRT }, { "BUS", SIGBUS },   { "FPE", SIGFPE },
	{ "KILL", SIGKILL }, { "USR1", SIGUSR1 }, { "SEGV", SIGSEGV }, { "USR2", SIGUSR2 },
	{ "PIPE", SIGPIPE }, { "ALRM", SIGALRM }, { "TERM", SIGTERM }, { "CHLD", SIGCHLD },
	{ "CONT", SIGCONT }, { "STOP", SIGSTOP }, { "TSTP", SIGTSTP }, { "WINCH", SIGWINCH },
	{ "PWR", SIGPWR },   { "XCPU", SIGXCPU }, { "XFSZ", SIGXFSZ }, { "SYS", SIGSYS },
};

unsigned svc_signal_number(struct slice name)
{
	uint64_t n;

	if (text_u64(name, 64, &n) == 0)
		return (unsigned)n;
	if (slice_starts(name, "SIG"))
		name = (struct slice){ name.p + 3, name.n - 3 };
	for (size_t i = 0; i < ARRAY_LEN(signals); i++)
		if (slice_is(name, signals[i].name))
			return signals[i].number;
	return 0;
}

const char *svc_signal_name(unsigned sig)
{
	for (size_t i = 0; i < ARRAY_LEN(signals); i++)
		if (signals[i].number == sig)
			return signals[i].name;
	return "?";
}

/* ---- values ----------------------------------------------------------------------------------*/

static int parse_choice(struct conf_ctx *c, struct slice v, void *place, const char *const *choices,
			size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (slice_is(v, choices[i])) {
			int value = (int)i;
			memcpy(place, &value, sizeof(value));
			return 0;
		}
	}
	const char *near = text_nearest(arena_slice(c->arena, v), choices, n);
	return conf_error(c, "%s: unknown value '%.*s'%s%s%s", c->key, (int)v.n, v.p,
			  near ? " [did you mean '" : "", near ? near : "", near ? "'?]" : "");
}

#define CHOICE(fn, ...)                                                                            \
	static int fn(struct conf_ctx *c, struct slice v, void *place)                             \
	{                                                                                          \
		static const char *const choices[] = { __VA_ARGS__ };                              \
		return parse_choice(c, v, place, choices, ARRAY_LEN(choices));                     \
	}

_Static_assert(sizeof(enum svc_type) == sizeof(int), "choices are stored as int");
CHOICE(parse_type, "simple", "notify", "oneshot", "forking", "group")
CHOICE(parse_output, "log", "null", "console")
CHOICE(parse_cad, "reboot", "poweroff", "ignore")

static int parse_restart(struct conf_ctx *c, struct slice v, void *place)
{
	static const char *const choices[] = { "default", "always", "on-failure", "never" };

	if (slice_is(v, "default"))
		v = SLICE("?");
	return parse_choice(c, v, place, choices, ARRAY_LEN(choices));
}

static int parse_on_change(struct conf_ctx *c, struct slice v, void *place)
{
	static const char *const choices[] = { "restart", "later" };
	int choice = 0, r = parse_choice(c, v, &choice, choices, ARRAY_LEN(choices));

	*(bool *)place = choice == 1;
	return r;
}

static int parse_scope(struct conf_ctx *c, struct slice v, void *place)
{
	static const char *const choices[] = { "all", "main" };
	int choice = 0, r = parse_choice(c, v, &choice, choices, ARRAY_LEN(choices));

	*(bool *)place = choice == 1;
	return r;
}

static size_t words_count(const char *const *w)
{
	size_t n = 0;

	while (w && w[n])
		n++;
	return n;
}

static int list_append(struct conf_ctx *c, struct slice v, struct svc_list *list)
{
	const char *const *words = NULL;
	int r = conf_parse_words(c, v, &words);
	if (r < 0)
		return r;

	size_t n = words_count(words);
	if (list->n + n > LIMIT_SVC_LIST)
		return conf_error(c, "%s: more than %d entries", c->key, LIMIT_SVC_LIST);
	const char **all = arena_array(c->arena, list->n + n + 1, sizeof(*all));
	if (!all)
		return conf_no_memory(c);
	if (list->n)
		memcpy(all, list->v, list->n * sizeof(*all));
	if (n)
		memcpy(all + list->n, words, n * sizeof(*all));
	*list = (struct svc_list){ all, list->n + n };
	return 0;
}

static int parse_list(struct conf_ctx *c, struct slice v, void *place)
{
	return list_append(c, v, place);
}

/* All that counts is whether it is another one (set.c). */
static int parse_trigger(struct conf_ctx *c, struct slice v, void *place)
{
	(void)c;
	(void)v;
	(void)place;
	return 0;
}

static int parse_groups(struct conf_ctx *c, struct slice v, void *place)
{
	((struct svc_def *)c->object)->groups_given = true;
	return list_append(c, v, place);
}

static int parse_environment(struct conf_ctx *c, struct slice v, void *place)
{
	struct svc_list *list = place;
	size_t old = list->n;
	int r = list_append(c, v, list);

	for (size_t i = old; r == 0 && i < list->n; i++)
		if (!strchr(list->v[i], '=') || list->v[i][0] == '=')
			r = conf_error(c, "environment: '%s' is not NAME=VALUE", list->v[i]);
	return r;
}

/* "-PATH": need not be there. */
static int parse_files(struct conf_ctx *c, struct slice v, void *place)
{
	struct svc_list *list = place;
	size_t old = list->n;
	int r = list_append(c, v, list);

	for (size_t i = old; r == 0 && i < list->n; i++)
		if (list->v[i][list->v[i][0] == '-'] != '/')
			r = conf_error(c, "%s: '%s' is not an absolute path", c->key, list->v[i]);
	return r;
}

/* One limit a line, kept as the kernel will read it. */
static int parse_io_max(struct conf_ctx *c, struct slice v, void *place)
{
	struct svc_list *list = place;
	int r = svc_check_io_max(c, v);
	const char **all = arena_array(c->arena, list->n + 1, sizeof(*all));

	if (r == 0 && !all)
		return conf_no_memory(c);
	if (r < 0)
		return r;
	if (list->n)
		memcpy(all, list->v, list->n * sizeof(*all));
	all[list->n] = arena_slice(c->arena, v);
	*list = (struct svc_list){ all, list->n + 1 };
	return 0;
}

static int parse_conditions(struct conf_ctx *c, struct slice v, void *place)
{
	struct svc_list *list = place;
	size_t old = list->n;
	int r = list_append(c, v, list);

	for (size_t i = old; r == 0 && i < list->n; i++) {
		if (!condition_is_known(slice_of(list->v[i])))
			r = conf_error(c, "condition: cannot read '%s'", list->v[i]);
	}
	return r;
}

/* Who else may control it. */
static int parse_control(struct conf_ctx *c, struct slice v, void *place)
{
	struct svc_list *list = place;
	size_t old = list->n;
	int r = list_append(c, v, list);

	for (size_t i = old; r == 0 && i < list->n; i++) {
		struct slice name = slice_of(list->v[i]), kind;
		slice_cut(&name, ':', &kind);
		if (name.n == 0 || (!slice_is(kind, "user") && !slice_is(kind, "group")))
			r = conf_error(c, "control: '%s' is not user:NAME or group:NAME",
				       list->v[i]);
	}
	return r;
}

static int parse_command(struct conf_ctx *c, struct slice v, void *place)
{
	const char *const *words = NULL;
	int r = conf_parse_words(c, v, &words);

	if (r < 0)
		return r;
	size_t n = words_count(words);
	if (n == 0 || words[0][0] != '/')
		return conf_error(c, "%s: needs the absolute path of a program", c->key);
	if (n > LIMIT_SVC_LIST)
		return conf_error(c, "%s: more than %d words", c->key, LIMIT_SVC_LIST);
	*(const char *const **)place = words;
	return 0;
}

static int parse_path(struct conf_ctx *c, struct slice v, void *place)
{
	if (v.n == 0 || v.p[0] != '/')
		return conf_error(c, "%s: needs an absolute path", c->key);
	return conf_parse_str(c, v, place);
}

/* An empty one could match a line of a damaged file. */
static int parse_account(struct conf_ctx *c, struct slice v, void *place)
{
	if (v.n == 0)
		return conf_error(c, "%s: is empty", c->key);
	return conf_parse_str(c, v, place);
}

static int parse_signal(struct conf_ctx *c, struct slice v, void *place)
{
	uint64_t n = svc_signal_number(v);

	if (n == 0)
		return conf_error(c, "%s: unknown signal '%.*s'", c->key, (int)v.n, v.p);
	*(uint64_t *)place = n;
	return 0;
}

static int parse_notify(struct conf_ctx *c, struct slice v, void *place)
{
	uint64_t fd = 0;

	if (slice_starts(v, "fd:")) {
		struct slice digits = { v.p + 3, v.n - 3 };
		if (text_u64(digits, LIMIT_SVC_NOTIFYFD, &fd) < 0 || fd < 3)
			return conf_error(c, "notify: descriptor must be 3 to %d",
					  LIMIT_SVC_NOTIFYFD);
	} else if (!slice_is(v, "socket")) {
		return conf_error(c, "notify: expected 'socket' or 'fd:N'");
	}
	*(uint64_t *)place = fd;
	return 0;
}

static int parse_success(struct conf_ctx *c, struct slice v, void *place)
{
	uint8_t *set = place;
	const char *const *words = NULL;
	int r = conf_parse_words(c, v, &words);

	if (r < 0)
		return r;
	memset(set, 0, 32);
	for (size_t i = 0; words[i]; i++) {
		uint64_t n;
		if (text_u64(slice_of(words[i]), 255, &n) < 0)
			return conf_error(c, "success-status: '%s' is not 0 to 255", words[i]);
		set[n / 8] |= (uint8_t)(1u << (n % 8));
	}
	return 0;
}

static int parse_octal(struct conf_ctx *c, struct slice v, void *place)
{
	uint64_t n = 0;

	for (size_t i = 0; i < v.n; i++) {
		if (v.p[i] < '0' || v.p[i] > '7' || n > 0777)
			return conf_error(c, "%s: expected an octal number up to 7777", c->key);
		n = n * 8 + (uint64_t)(v.p[i] - '0');
	}
	if (v.n == 0)
		return conf_error(c, "%s: expected an octal number", c->key);
	*(uint64_t *)place = n;
	return 0;
}

static int signed_in(struct conf_ctx *c, struct slice v, int min, int max, void *place)
{
	bool minus = v.n > 0 && v.p[0] == '-';
	struct slice digits = minus ? (struct slice){ v.p + 1, v.n - 1 } : v;
	uint64_t n;

	if (text_u64(digits, (uint64_t)(minus ? -min : max), &n) < 0)
		return conf_error(c, "%s: must be %d to %d", c->key, min, max);
	*(int *)place = minus ? -(int)n : (int)n;
	return 0;
}

static int parse_nice(struct conf_ctx *c, struct slice v, void *place)
{
	return signed_in(c, v, -20, 19, place);
}

static int parse_oom(struct conf_ctx *c, struct slice v, void *place)
{
	return signed_in(c, v, -1000, 1000, place);
}

static int number_in(struct conf_ctx *c, struct slice v, uint64_t min, uint64_t max, void *place)
{
	if (text_u64(v, max, place) < 0 || *(uint64_t *)place < min)
		return conf_error(c, "%s: must be %u to %u", c->key, (unsigned)min, (unsigned)max);
	return 0;
}

static int parse_weight(struct conf_ctx *c, struct slice v, void *place)
{
	return number_in(c, v, 1, 10000, place);
}

static int parse_connections(struct conf_ctx *c, struct slice v, void *place)
{
	return number_in(c, v, 1, LIMIT_CONNECTIONS, place);
}

static int parse_fd_store(struct conf_ctx *c, struct slice v, void *place)
{
	return number_in(c, v, 0, LIMIT_SVC_FDS, place);
}

static int parse_keep(struct conf_ctx *c, struct slice v, void *place)
{
	return number_in(c, v, 0, 99, place);
}

static int limit_value(struct slice v, uint64_t *ret)
{
	if (slice_is(v, "unlimited")) {
		*ret = UINT64_MAX;
		return 0;
	}
	return text_size(v, ret);
}

static int parse_action(struct conf_ctx *c, struct slice v, void *place)
{
	struct svc_def *d = c->object;
	const char *const *words = NULL;
	size_t n = d->nactions;
	int r = conf_parse_words(c, v, &words);

	(void)place; /* the array beside it */
	if (r < 0)
		return r;
	if (!words[0] || !words[1] || words[1][0] != '/' || n == LIMIT_SVC_ACTIONS)
		return conf_error(c,
				  "action: expected NAME and the absolute path of a program, at "
				  "most %d times",
				  LIMIT_SVC_ACTIONS);
	const char *const **all = arena_array(c->arena, n + 1, sizeof(*all));
	if (!all)
		return conf_no_memory(c);
	if (n)
		memcpy(all, d->actions, n * sizeof(*all));
	all[n] = words;
	d->actions = all;
	d->nactions = n + 1;
	return 0;
}

static int parse_calendar(struct conf_ctx *c, struct slice v, void *place)
{
	struct svc_def *d = c->object;
	size_t n = d->ncalendars;

	(void)place; /* the array beside it */
	if (n == LIMIT_SVC_CALENDAR)
		return conf_error(c, "calendar: more than %d", LIMIT_SVC_CALENDAR);
	struct calendar *all = arena_array(c->arena, n + 1, sizeof(*all));
	if (!all)
		return conf_no_memory(c);
	if (n)
		memcpy(all, d->calendars, n * sizeof(*all));
	const char *bad = calendar_parse(v, &all[n]);
	if (bad)
		return conf_error(c, "calendar: '%.*s': %s", (int)v.n, v.p, bad);
	d->calendars = all;
	d->ncalendars = n + 1;
	return 0;
}

/* An array in the arena, copied with room for one more: that one, NULL without memory. What a
 * template has stays as it is. */
static void *one_more(struct conf_ctx *c, void *array, size_t n, size_t size)
{
	const void *before;
	char *all = arena_array(c->arena, n + 1, size);

	if (!all)
		return NULL;
	memcpy(&before, array, sizeof(before));
	if (n)
		memcpy(all, before, n * size);
	memcpy(array, &all, sizeof(all));
	return all + n * size;
}

static int parse_limit(struct conf_ctx *c, struct slice v, void *place)
{
	static const struct {
		const char *name;
		int resource;
	} names[] = {
		{ "nofile", RLIMIT_NOFILE },
		{ "nproc", RLIMIT_NPROC },
		{ "core", RLIMIT_CORE },
		{ "stack", RLIMIT_STACK },
		{ "data", RLIMIT_DATA },
		{ "as", RLIMIT_AS },
		{ "memlock", RLIMIT_MEMLOCK },
		{ "fsize", RLIMIT_FSIZE },
		{ "cpu", RLIMIT_CPU },
		{ "rss", RLIMIT_RSS },
		{ "nice", RLIMIT_NICE },
		{ "rtprio", RLIMIT_RTPRIO },
		{ "sigpending", RLIMIT_SIGPENDING },
		{ "msgqueue", RLIMIT_MSGQUEUE },
	};
	struct svc_def *d = c->object;
	struct slice rest = v, name, soft;

	(void)place; /* fills the array below it */
	if (d->nlimits == LIMIT_SVC_RLIMITS)
		return conf_error(c, "limit: more than %d", LIMIT_SVC_RLIMITS);
	struct svc_limit *l = one_more(c, &d->limits, d->nlimits, sizeof(*l));
	if (!l)
		return conf_no_memory(c);
	slice_cut(&rest, ' ', &name);
	rest = slice_trim(rest);
	l->resource = -1;
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (slice_is(name, names[i].name))
			l->resource = names[i].resource;
	if (l->resource < 0)
		return conf_error(c, "limit: unknown resource '%.*s'", (int)name.n, name.p);
	if (!slice_cut(&rest, ':', &soft) || limit_value(soft, &l->soft) < 0)
		return conf_error(c, "limit: expected RESOURCE SOFT[:HARD]");
	l->hard = l->soft;
	if (rest.p && limit_value(rest, &l->hard) < 0)
		return conf_error(c, "limit: expected RESOURCE SOFT[:HARD]");
	if (l->soft > l->hard)
		return conf_error(c, "limit: soft limit above the hard one");
	d->nlimits++;
	return 0;
}

static int listen_option(struct conf_ctx *c, struct svc_listen *l, const char *word)
{
	struct slice rest = slice_of(word), key;

	if (!slice_cut(&rest, '=', &key) || !rest.p || rest.n == 0)
		return conf_error(c, "listen: cannot read '%s'", word);
	if (slice_is(key, "mode")) {
		uint64_t mode;
		int r = parse_octal(c, rest, &mode);
		l->mode = r < 0 ? 0 : (unsigned)mode;
		return r;
	}
	if (slice_is(key, "user"))
		l->user = rest.p;
	else if (slice_is(key, "group"))
		l->group = rest.p;
	else if (slice_is(key, "name"))
		l->name = rest.p;
	else
		return conf_error(c, "listen: unknown option '%.*s'", (int)key.n, key.p);
	return 0;
}

static int parse_listen(struct conf_ctx *c, struct slice v, void *place)
{
	static const char *const kinds[] = { "stream", "dgram", "seqpacket", "tcp", "udp" };
	struct svc_def *d = c->object;
	const char *const *w = NULL;
	int kind = 0, r = conf_parse_words(c, v, &w);

	(void)place;
	if (r < 0)
		return r;
	if (d->nlisten == LIMIT_SVC_LISTEN)
		return conf_error(c, "listen: more than %d", LIMIT_SVC_LISTEN);
	if (words_count(w) < 2)
		return conf_error(c, "listen: expected KIND ADDRESS");
	r = parse_choice(c, slice_of(w[0]), &kind, kinds, ARRAY_LEN(kinds));
	if (r < 0)
		return r;
	struct svc_listen *l = one_more(c, &d->listen, d->nlisten, sizeof(*l));
	if (!l)
		return conf_no_memory(c);
	*l = (struct svc_listen){ .kind = (enum svc_socket)kind, .address = w[1], .mode = 0666 };
	if (kind <= SVC_SEQPACKET) {
		if (w[1][0] != '/' || strlen(w[1]) > 100)
			return conf_error(c, "listen: needs an absolute path of at most 100 bytes");
	} else if (!strrchr(w[1], ':')) {
		return conf_error(c, "listen: expected IP:PORT");
	}
	for (size_t i = 2; w[i]; i++) {
		r = listen_option(c, l, w[i]);
		if (r < 0)
			return r;
	}
	d->listen_id = svc_hash(d->listen_id + 1, v.p, v.n);
	d->nlisten++;
	return 0;
}

/* ---- keys ------------------------------------------------------------------------------------*/

#define AT(field) offsetof(struct svc_def, field)

#define KEY(...)      CONF_KEY_OF(SECTION_SERVICE, __VA_ARGS__)
#define INIT_KEY(...) CONF_KEY_OF(SECTION_INIT, __VA_ARGS__)
#define BOTH(...)     CONF_KEY_OF(0, __VA_ARGS__)

const struct conf_key svc_keys[] = {
	KEY("accept", conf_parse_bool, AT(accept), "no", "a process a connection", false),
	KEY("action", parse_action, 0, NULL, "a command by name", true),
	KEY("activate", conf_parse_bool, AT(activate), "no", "start at the first connection",
	    false),
	KEY("after", parse_list, AT(after), NULL, "start after these", true),
	KEY("ambient-capabilities", svc_parse_caps, AT(box.ambient), NULL, "kept by users", false),
	KEY("before", parse_list, AT(before), NULL, "start before these", true),
	KEY("bind-paths", svc_parse_mounts, 0, NULL, "SRC[:DST], mounted there", true),
	KEY("bind-read-only-paths", svc_parse_mounts, 0, NULL, "the same, read-only", true),
	KEY("alive-timeout", conf_parse_duration, AT(alive_timeout), "0", "says WATCHDOG=1", false),
	KEY("binds", parse_list, AT(binds), NULL, "must be up, and its end is the end", true),
	KEY("calendar", parse_calendar, 0, NULL, "runs at these times", true),
	KEY("capabilities", svc_parse_caps, AT(box.bounding), "all", "bounding set", false),
	KEY("catch-up", conf_parse_bool, AT(catch_up), "no", "make up for missed runs", false),
	KEY("cgroup", conf_parse_bool, AT(cgroup.use), "yes", "a control group of its own", false),
	KEY("condition", parse_conditions, AT(conditions), NULL, "run only when these hold", true),
	KEY("conflicts", parse_list, AT(conflicts), NULL, "never together with these", true),
	KEY("control", parse_control, AT(control), NULL, "who besides root", true),
	KEY("cpu-affinity", svc_parse_cpus, AT(cpus), NULL, "processors it may run on", false),
	KEY("cpu-max", conf_parse_str, AT(cgroup.cpu_max), NULL, "quota and period", false),
	KEY("cpu-set", svc_parse_cpu_set, AT(cgroup.cpu_set), NULL, "processors of the group",
	    false),
	KEY("cpu-weight", parse_weight, AT(cgroup.cpu_weight), NULL, "share of the CPU", false),
	KEY("critical", conf_parse_bool, AT(critical), "no", "no boot without it", false),
	INIT_KEY("ctrl-alt-del", parse_cad, AT(ctrl_alt_del), "reboot", "what the keys do", false),
	KEY("delegate", conf_parse_bool, AT(cgroup.delegate), "no", "the group is its own", false),
	KEY("description", conf_parse_str, AT(description), NULL, "one line", false),
	KEY("enabled", conf_parse_bool, AT(enabled), "yes", "start at boot", false),
	BOTH("environment", parse_environment, AT(environment), NULL, "variables", true),
	KEY("environment-file", parse_files, AT(environment_files), NULL, "variables from files",
	    true),
	KEY("every", conf_parse_duration, AT(every), "0", "runs so often", false),
	KEY("exec", parse_command, AT(exec), NULL, "program and arguments", false),
	KEY("fd-store", parse_fd_store, AT(fd_store), "0", "kept", false),
	KEY("first-run", conf_parse_duration, AT(first_run), NULL, "after it came up", false),
	INIT_KEY("gate", conf_parse_str, AT(gate), NULL, "what a boot on trial must bring up",
		 false),
	INIT_KEY("gate-timeout", conf_parse_duration, AT(gate_timeout), "5min", "until it is up",
		 false),
	KEY("group", parse_account, AT(group), NULL, "group", false),
	KEY("groups", parse_groups, AT(groups), NULL, "supplementary groups", false),
	INIT_KEY("hostname", conf_parse_str, AT(hostname), NULL, "host name", false),
	KEY("inaccessible-paths", svc_parse_mounts, 0, NULL, "empty for it", true),
	KEY("inheritable-capabilities", svc_parse_caps, AT(box.inheritable), NULL, "mask", false),
	KEY("instances", parse_list, AT(instances), NULL, "of a template", true),
	KEY("io-max", parse_io_max, AT(cgroup.io_max), NULL, "limits of a disk", true),
	KEY("io-weight", parse_weight, AT(cgroup.io_weight), NULL, "share of the disks", false),
	KEY("ioprio", svc_parse_ioprio, AT(ioprio), NULL, "priority at the disks", false),
	KEY("limit", parse_limit, 0, NULL, "resource limit", true),
	KEY("listen", parse_listen, 0, NULL, "socket", true),
	INIT_KEY("log-boots", parse_keep, AT(log_boots), "5", "earlier boots kept", false),
	INIT_KEY("log-directory", parse_path, AT(log_directory), "/var/log/cairn", "logs", false),
	BOTH("log-keep", parse_keep, AT(log_keep), "3", "rotated logs kept", false),
	BOTH("log-rate", conf_parse_size, AT(log_rate), "4M", "a second at most", false),
	BOTH("log-size", conf_parse_size, AT(log_size), "1M", "rotate beyond", false),
	KEY("max-connections", parse_connections, AT(max_connections), "64", "at a time", false),
	KEY("memory-high", conf_parse_size, AT(cgroup.memory_high), NULL, "throttle", false),
	KEY("memory-max", conf_parse_size, AT(cgroup.memory_max), NULL, "memory limit", false),
	KEY("milestones", parse_list, AT(milestones), NULL, "must come up before", true),
	KEY("nice", parse_nice, AT(nice), "0", "priority", false),
	KEY("no-new-privileges", svc_parse_box_flag, AT(box.flags[SVC_BOX_PRIVILEGES]), "no",
	    "no set-uid", false),
	KEY("notify", parse_notify, AT(notify_fd), "socket", "how it says it is ready", false),
	KEY("on-change", parse_on_change, AT(later), "restart", "what a load does", false),
	KEY("oom-adjust", parse_oom, AT(oom_adjust), "0", "OOM preference", false),
	KEY("output", parse_output, AT(output), "log", "where 1 and 2 go", false),
	KEY("pid-file", parse_path, AT(pid_file), NULL, "of a forking daemon", false),
	KEY("pids-max", conf_parse_u64, AT(cgroup.pids_max), NULL, "number of tasks", false),
	KEY("private-dev", svc_parse_box_flag, AT(box.flags[SVC_BOX_DEV]), "no", "own /dev", false),
	KEY("private-network", svc_parse_box_flag, AT(box.flags[SVC_BOX_NETWORK]), "no", "none",
	    false),
	KEY("private-pids", svc_parse_box_flag, AT(box.flags[SVC_BOX_PIDS]), "no", "alone", false),
	KEY("private-tmp", svc_parse_box_flag, AT(box.flags[SVC_BOX_TMP]), "no", "own /tmp", false),
	KEY("protect-kernel", svc_parse_box_flag, AT(box.flags[SVC_BOX_KERNEL]), "no", "settings",
	    false),
	KEY("random-delay", conf_parse_duration, AT(random_delay), "0", "at most", false),
	KEY("read-only-paths", svc_parse_mounts, 0, NULL, "not written by it", true),
	KEY("read-write-paths", svc_parse_mounts, 0, NULL, "written all the same", true),
	KEY("reload-exec", parse_command, AT(reload_exec), NULL, "reload command", false),
	KEY("reload-signal", parse_signal, AT(reload_signal), "HUP", "reload signal", false),
	KEY("reload-triggers", parse_trigger, 0, NULL, "reloads when it changes", true),
	KEY("remain", conf_parse_bool, AT(remain), "yes", "oneshot stays up", false),
	KEY("requires", parse_list, AT(requires), NULL, "must be up", true),
	INIT_KEY("rescue", parse_command, AT(rescue), "/bin/sh", "program of last resort", false),
	KEY("restart", parse_restart, AT(restart), NULL, "when to restart", false),
	KEY("restart-delay", conf_parse_duration, AT(restart_delay), "100ms", "first wait", false),
	KEY("restart-delay-max", conf_parse_duration, AT(restart_delay_max), "30s", "most", false),
	KEY("restart-limit", conf_parse_u64, AT(restart_limit), "10", "restarts allowed", false),
	KEY("restart-window", conf_parse_duration, AT(restart_window), "60s", "within", false),
	KEY("root-directory", parse_path, AT(box.root), "/", "all it sees", false),
	KEY("run-timeout", conf_parse_duration, AT(run_timeout), "0", "of a timed run", false),
	KEY("sandbox", svc_parse_sandbox, AT(box.profile), "none", "profile: default or none",
	    false),
	KEY("seccomp", parse_path, AT(box.seccomp), NULL, "compiled filter of calls", false),
	INIT_KEY("shutdown-timeout", conf_parse_duration, AT(shutdown_timeout), "90s", "bound",
		 false),
	KEY("smooth-recovery", conf_parse_bool, AT(smooth), "no", "restart alone", false),
	KEY("start-timeout", conf_parse_duration, AT(start_timeout), "60s", "until up", false),
	INIT_KEY("state-directory", parse_path, AT(state_directory), "/var/lib/cairn/services",
		 "what outlives a boot", false),
	KEY("stop-exec", parse_command, AT(stop_exec), NULL, "stop command", false),
	KEY("stop-scope", parse_scope, AT(scope_main), "all", "whom to kill", false),
	KEY("stop-signal", parse_signal, AT(stop_signal), "TERM", "stop signal", false),
	KEY("stop-timeout", conf_parse_duration, AT(stop_timeout), "10s", "until KILL", false),
	KEY("success-status", parse_success, AT(success), "0", "codes of success", false),
	KEY("terminal", parse_path, AT(terminal), NULL, "controlling terminal", false),
	KEY("type", parse_type, AT(type), "simple", "kind of service", false),
	KEY("umask", parse_octal, AT(umask), "022", "umask", false),
	KEY("user", parse_account, AT(user), "root", "user", false),
	KEY("wants", parse_list, AT(wants), NULL, "waited for, may fail", true),
	INIT_KEY("watchdog", conf_parse_duration, AT(watchdog), "0", "time-out of the hardware's",
		 false),
	KEY("working-directory", parse_path, AT(cwd), "/", "working directory", false),
};

const size_t svc_nkeys = ARRAY_LEN(svc_keys);

void svc_identify(struct conf_ctx *c, const struct conf_key *key, struct slice value)
{
	struct svc_def *d = c->object;
	size_t n = strlen(key->name) + 1; /* with its end */

	if (key->offset == AT(description) ||
	    (key->offset >= AT(milestones) && key->offset <= AT(before)))
		return;
	for (unsigned k = 0; k < 2; k++)
		d->id[k] = svc_hash(svc_hash(d->id[k] + k, key->name, n), value.p, value.n);
	if (key->parse != parse_trigger)
		d->plain_id = svc_hash(svc_hash(d->plain_id, key->name, n), value.p, value.n);
}

void svc_def_defaults(struct svc_def *d)
{
	*d = (struct svc_def){
		.shutdown_timeout = 90 * SECOND,
		.gate_timeout = 300 * SECOND,
		.log_directory = "/var/log/cairn",
		.state_directory = "/var/lib/cairn/services",
		.first_run = UINT64_MAX,
		.max_connections = 64,
		.reload_signal = SIGHUP,
		.stop_signal = SIGTERM,
		.enabled = true,
		.remain = true,
		.success = { 1 },
		.restart_delay = SECOND / 10,
		.restart_delay_max = 30 * SECOND,
		.restart_limit = 10,
		.restart_window = 60 * SECOND,
		.start_timeout = 60 * SECOND,
		.stop_timeout = 10 * SECOND,
		.cwd = "/",
		.umask = 022,
		.log_size = SVC_NO_VALUE,
		.log_keep = SVC_NO_VALUE,
		.log_rate = SVC_NO_VALUE,
		.log_boots = 5,
		.cgroup = { .use = true },
	};
}
