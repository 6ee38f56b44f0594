/* SPDX-License-Identifier: GPL-3.0-or-later */
/* cairn system hotplug, the service of that name. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>

#include "lib/fd.h"
#include "lib/log.h"
#include "lib/path.h"
#include "lib/proc.h"
#include "system/hotplug.h"
#include "system/system.h"

#define ALIASES 32 /* for one modprobe */

struct ctx {
	const char *dev, *modprobe;
	bool ready;
	struct arena arena;
	struct vec rules, aliases; /* aliases: char *, in arena_aliases */
	struct arena arena_aliases;
	int dir;
};

/* ---- modules --------------------------------------------------------------------------------- */

/* Most aliases have no module, which is no fault. */
static void load_modules(struct ctx *c)
{
	const char *argv[ALIASES + 4] = { c->modprobe, "-qab" };
	struct proc_spec spec = PROC_SPEC_INIT;
	struct err ignored = ERR_INIT;

	for (size_t i = 0; i < c->aliases.n; i++)
		argv[2 + i] = c->aliases.v[i];
	spec.argv = argv;
	spec.in = -2;
	if (c->aliases.n)
		(void)proc_run(&spec, &ignored);
	c->aliases.n = 0;
	arena_done(&c->arena_aliases);
	c->arena_aliases = (struct arena)ARENA_INIT;
}

static void want_module(struct ctx *c, struct slice alias)
{
	if (!c->modprobe || alias.n == 0)
		return;
	for (size_t i = 0; i < c->aliases.n; i++)
		if (slice_is(alias, c->aliases.v[i]))
			return;
	char *text = arena_slice(&c->arena_aliases, alias);
	if (text)
		vec_add(&c->aliases, text);
	if (c->aliases.n == ALIASES)
		load_modules(c);
}

/* ---- devices --------------------------------------------------------------------------------- */

static void handle(struct ctx *c, const struct uevent *u)
{
	const struct hotplug_rule *r = hotplug_rule_find(&c->rules, u);
	int rc = r ? hotplug_node(c->dir, r, u) : 0;

	if (rc < 0 && rc != -ENOENT) /* gone already */
		log_warn("hotplug: not set device=%.*s why=\"%s\"", (int)u->name.n, u->name.p,
			 err_text(rc));
	want_module(c, u->alias);
}

/* What is there: DIR/NAME/uevent, or DIR/NAME/BELOW/…/uevent. */
static void look_at(struct ctx *c, const char *dir, const char *below, struct slice subsystem)
{
	DIR *d = opendir(dir);
	struct dirent *entry;
	char path[PATH_MAX];

	while (d && (entry = readdir(d))) {
		auto_str struct str text = STR_INIT;
		struct err ignored = ERR_INIT;
		struct uevent u;
		if (entry->d_name[0] == '.')
			continue;
		(void)snprintf(path, sizeof(path), "%s/%s", dir, entry->d_name);
		if (below) {
			size_t n = strlen(path);
			(void)snprintf(path + n, sizeof(path) - n, "%s", below);
			look_at(c, path, NULL, slice_of(entry->d_name));
			continue;
		}
		(void)snprintf(path, sizeof(path), "%s/%s/uevent", dir, entry->d_name);
		if (file_read(AT_FDCWD, path, &text, UEVENT_BYTES, &ignored) < 0 ||
		    !uevent_parse(str_slice(&text), '\n', &u))
			continue;
		u.subsystem = subsystem;
		handle(c, &u);
	}
	if (d)
		closedir(d);
}

static void look_at_all(struct ctx *c)
{
	look_at(c, "/sys/bus", "/devices", (struct slice){ 0 });
	look_at(c, "/sys/class", "", (struct slice){ 0 });
	load_modules(c);
}

static int listen_on(struct ctx *c, int sock, struct err *e)
{
	struct pollfd p = { .fd = sock, .events = POLLIN };
	char buf[UEVENT_BYTES];
	struct uevent u;

	for (;;) {
		/* Modules wait for a pause: of a bus with many devices each one has an alias. */
		if (poll(&p, 1, c->aliases.n ? 50 : -1) == 0)
			load_modules(c);
		if (!(p.revents & (POLLIN | POLLERR)))
			continue;
		int r = hotplug_read(sock, buf, &u);
		if (r == -ENOBUFS) {
			log_warn("hotplug: messages were lost, looking at all devices again");
			look_at_all(c);
		} else if (r < 0) {
			return err_num(e, r, "cannot hear of devices");
		} else if (r == 1 && (slice_is(u.action, "add") || slice_is(u.action, "change"))) {
			handle(c, &u);
		}
	}
}

static int run(struct cmd_env *env, struct err *e)
{
	struct ctx *c = env->ctx;
	const char *dev = c->dev ? c->dev : "/dev";
	int r = hotplug_rules_load(env->args[0], &c->arena, &c->rules, e);

	if (r < 0)
		return r;
	c->dir = open(dev, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (c->dir < 0)
		return err_sys(e, "%s", dev);
	/* Before the look around, so that nothing is missed in between. */
	auto_fd int sock = hotplug_open(e);
	if (sock < 0)
		return sock;
	look_at_all(c);
	if (c->ready && write(3, "\n", 1) != 1)
		return err_sys(e, "descriptor 3");
	return listen_on(c, sock, e);
}

static const struct cmd_opt opts[] = {
	{ "dev", 0, CMD_STR, offsetof(struct ctx, dev), "DIR", "where the devices are [/dev]" },
	{ "ready", 0, CMD_FLAG, offsetof(struct ctx, ready), NULL,
	  "say on descriptor 3 when all that are there have been looked at" },
	{ "modprobe", 0, CMD_STR, offsetof(struct ctx, modprobe), "PROGRAM",
	  "load modules with it" },
};

const struct cmd sys_cmd_hotplug = {
	.name = "hotplug",
	.synopsis = "RULES",
	.summary = "give devices their modes and groups, load their modules, as they come",
	CMD_OPTS(opts),
	.context_size = sizeof(struct ctx),
	.min_args = 1,
	.max_args = 1,
	.run = run,
	.hidden = true,
};
