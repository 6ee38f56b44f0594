/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "system/activate.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>

#include "lib/conf.h"
#include "lib/fd.h"
#include "lib/log.h"
#include "lib/path.h"
#include "lib/proc.h"
#include "lib/size.h"
#include "store/store.h"
#include "system/accounts.h"
#include "system/directory.h"
#include "system/etc.h"
#include "system/fails.h"
#include "system/generation.h"
#include "system/machine-id.h"
#include "system/privileged.h"
#include "system/secrets.h"

#define LIMIT_ACTIVATION (1 << 20)
#define LIMIT_STEPS	 4096

/* ---- The file "activation" ------------------------------------------------------------------- */

enum step_kind { STEP_SYSTEM, STEP_DIRECTORY, STEP_LINK, STEP_COMMAND, STEP_PRIVILEGED, STEP_MAX };
static const char *const step_names[STEP_MAX] = { "system", "directory", "link", "command",
						  "privileged" };

struct step {
	enum step_kind kind;
	const char *name; /* path, or name of the command */
	const char *host_name, *target, *mode, *user, *group, *program;
	const char *const *exec;
	bool clean, setuid, setgid;
	uint64_t capabilities;
};

#define AT(f) offsetof(struct step, f)
static const struct conf_key step_keys[] = {
	CONF_KEY("host-name", conf_parse_str, AT(host_name), NULL, "set at once", false),
	CONF_KEY("target", conf_parse_str, AT(target), NULL, "of a link", false),
	CONF_KEY("mode", conf_parse_str, AT(mode), "0755", "of a directory", false),
	CONF_KEY("user", conf_parse_str, AT(user), "root", "owner of a directory", false),
	CONF_KEY("group", conf_parse_str, AT(group), "that of user", "group of a directory", false),
	CONF_KEY("clean", conf_parse_bool, AT(clean), "no", "empty a directory at boot", false),
	CONF_KEY("exec", conf_parse_words, AT(exec), NULL, "command to run", false),
	CONF_KEY("program", conf_parse_str, AT(program), NULL, "that gets rights", false),
	CONF_KEY("setuid", conf_parse_bool, AT(setuid), "no", "runs as user", false),
	CONF_KEY("setgid", conf_parse_bool, AT(setgid), "no", "runs as group", false),
	CONF_KEY("capabilities", conf_parse_u64, AT(capabilities), "0", "bits it has", false),
};

static int step_section(void *arg, struct conf_ctx *c, struct slice kind, struct slice name)
{
	static const char *const none[] = { NULL };
	struct vec *steps = arg;
	struct step *s = ARENA_NEW(c->arena, struct step);
	size_t k = 0;

	while (k < STEP_MAX && !slice_is(kind, step_names[k]))
		k++;
	if (k == STEP_MAX)
		return conf_error(c, "unknown section");
	if (!s || steps->n == LIMIT_STEPS)
		return conf_error(c, "too many steps");
	*s = (struct step){ .kind = (enum step_kind)k,
			    .name = arena_slice(c->arena, name),
			    .mode = "0755",
			    .exec = none };
	if ((s->kind == STEP_DIRECTORY || s->kind == STEP_LINK) &&
	    (!s->name || s->name[0] != '/' || !path_is_clean(s->name)))
		return conf_error(c, "expected an absolute path");
	if (s->kind == STEP_PRIVILEGED &&
	    (!s->name || !*s->name || s->name[0] == '.' || strchr(s->name, '/')))
		return conf_error(c, "expected the name of a program");
	vec_add(steps, s);
	c->object = s;
	return 0;
}

static int load_steps(const struct sys_root *r, struct arena *a, const char *system,
		      struct vec *steps, struct err *e)
{
	auto_str struct str text = STR_INIT;
	char *file = arena_fmt(a, "%s%s/activation", r->store, system);
	int rc;

	if (!file)
		return err_set(e, -ENOMEM, "out of memory");
	rc = file_read(AT_FDCWD, file, &text, LIMIT_ACTIVATION, e);
	if (rc < 0)
		return rc;
	rc = conf_parse(str_slice(&text), file, step_keys, ARRAY_LEN(step_keys), step_section,
			steps, a, e);
	return rc < 0 ? rc : steps->err ? err_set(e, -ENOMEM, "out of memory") : 0;
}

/* ---- Steps ----------------------------------------------------------------------------------- */

static int make_parent(const char *path, struct err *e)
{
	char dir[PATH_MAX];
	int rc = path_dir(dir, path);

	return rc < 0 ? err_num(e, rc, "%s", path) : file_mkdir_p(AT_FDCWD, dir, 0755, e);
}

static bool link_is(const char *path, const char *target)
{
	auto_str struct str text = STR_INIT;
	struct err tmp = ERR_INIT;

	return file_readlink(AT_FDCWD, path, &text, &tmp) == 0 &&
	       slice_is(str_slice(&text), target);
}

/* A link at a path of the machine; a file that is no link stays, and is an error. */
static int put_link(const struct sys_root *r, const char *path, const char *target, struct err *e)
{
	auto_arena struct arena a = ARENA_INIT;
	char *file = sys_root_path(r, &a, path);
	struct stat st;
	int rc;

	if (!file)
		return err_set(e, -ENOMEM, "out of memory");
	if (link_is(file, target))
		return 0;
	if (lstat(file, &st) == 0 && !S_ISLNK(st.st_mode))
		return err_set(e, -EEXIST, "%s is there already and is not a link", file);
	rc = make_parent(file, e);
	return rc < 0 ? rc : file_symlink_atomic(AT_FDCWD, target, file, e);
}

static int parse_mode(const char *text, mode_t *ret)
{
	mode_t mode = 0;

	for (const char *p = text; *p; p++) {
		if (*p < '0' || *p > '7' || p - text > 4)
			return -ERR_SYNTAX;
		mode = mode * 8 + (mode_t)(*p - '0');
	}
	*ret = mode;
	return 0;
}

static int put_directory(const struct sys_root *r, const struct step *s, bool clean, struct err *e)
{
	auto_arena struct arena a = ARENA_INIT;
	struct sys_directory d = { .path = sys_root_path(r, &a, s->name),
				   .clean = clean && s->clean };
	uint64_t uid = 0, gid = 0;
	int rc = parse_mode(s->mode, &d.mode);

	if (!d.path)
		return err_set(e, -ENOMEM, "out of memory");
	if (rc < 0)
		return err_set(e, rc, "%s: bad mode '%s'", s->name, s->mode);
	if (s->user)
		rc = accounts_user(r, s->user, &uid, &gid, e);
	if (rc == 0 && s->group)
		rc = accounts_group(r, s->group, &gid, e);
	if (rc < 0)
		return rc;
	d.uid = (uid_t)uid;
	d.gid = (gid_t)gid;
	return sys_directory_put(&d, e);
}

/* What the command is given for our descriptor: where nobody listens any more it would die of
 * what it says. */
static int output_of(int fd)
{
	struct pollfd p = { fd, 0, 0 };

	return poll(&p, 1, 0) > 0 ? -2 : -1;
}

static int run_command(const struct sys_root *r, const struct step *s, struct err *e)
{
	struct proc_spec spec = PROC_SPEC_INIT;
	int rc;

	if (!sys_root_is_machine(r))
		return 0;
	if (!s->exec[0])
		return err_set(e, -ERR_INVALID, "nothing to run");
	spec.argv = s->exec;
	spec.in = -2;
	spec.out = output_of(STDOUT_FILENO);
	spec.err = output_of(STDERR_FILENO);
	spec.setsid = true; /* ^C is for the command that switches, which does not heed it */
	rc = proc_run(&spec, e);
	return rc < 0 ? err_wrap(e, rc, "command %s", s->name) : 0;
}

static int put_host_name(const struct sys_root *r, const struct step *s, struct err *e)
{
	if (!s->host_name || !sys_root_is_machine(r))
		return 0;
	/* The name of a container is for those to choose who run it. */
	if (sethostname(s->host_name, strlen(s->host_name)) < 0 && errno != EPERM)
		return err_sys(e, "cannot set the host name");
	return 0;
}

static int do_step(const struct sys_root *r, const struct step *s, bool clean, struct err *e)
{
	switch (s->kind) {
	case STEP_SYSTEM:
		return put_host_name(r, s, e);
	case STEP_DIRECTORY:
		return put_directory(r, s, clean, e);
	case STEP_LINK:
		return put_link(r, s->name, s->target ? s->target : "", e);
	case STEP_PRIVILEGED:
		return 0; /* all of them are one step */
	default:
		return run_command(r, s, e);
	}
}

static int find_programs(const struct vec *steps, struct arena *a, struct vec *ret, struct err *e)
{
	for (size_t i = 0; i < steps->n; i++) {
		const struct step *s = steps->v[i];
		struct privileged *p;

		if (s->kind != STEP_PRIVILEGED)
			continue;
		p = ARENA_NEW(a, struct privileged);
		if (!p || !s->program)
			return err_set(e, p ? -ERR_INVALID : -ENOMEM, "privileged program %s: %s",
				       s->name, p ? "no program" : "out of memory");
		*p = (struct privileged){ s->name,
					  s->program,
					  s->user ? s->user : "root",
					  s->group ? s->group : "root",
					  s->setuid,
					  s->setgid,
					  s->capabilities };
		vec_add(ret, p);
	}
	return ret->err ? err_set(e, -ENOMEM, "out of memory") : 0;
}

static int put_privileged(const struct sys_root *r, const struct vec *steps, struct err *e)
{
	auto_arena struct arena a = ARENA_INIT;
	auto_vec struct vec list = VEC_INIT;
	int rc = find_programs(steps, &a, &list, e);

	return rc < 0 ? rc : privileged_apply(r, &list, e);
}

int sys_activate_programs(const struct sys_root *r, struct arena *a, const char *system,
			  struct vec *ret, struct err *e)
{
	auto_vec struct vec steps = VEC_INIT;
	int rc = load_steps(r, a, system, &steps, e);

	return rc < 0 ? rc : find_programs(&steps, a, ret, e);
}

/* What every machine has, before anything else looks for it. */
static int base_directories(const struct sys_root *r, struct err *e)
{
	static const struct {
		const char *path;
		mode_t mode;
	} dirs[] = {
		{ "/bin", 0755 },	{ "/etc", 0755 },      { "/home", 0755 },
		{ "/mnt", 0755 },	{ "/root", 0700 },     { "/run", 0755 },
		{ "/tmp", 01777 },	{ "/usr/bin", 0755 },  { "/var/cache", 0755 },
		{ "/var/empty", 0555 }, { "/var/lib", 0755 },  { "/var/lib/cairn", 0755 },
		{ "/var/log", 0755 },	{ "/var/tmp", 01777 },
	};

	for (size_t i = 0; i < ARRAY_LEN(dirs); i++) {
		auto_arena struct arena a = ARENA_INIT;
		char *path = sys_root_path(r, &a, dirs[i].path);
		struct stat st;
		int rc = path ? file_mkdir_p(AT_FDCWD, path, dirs[i].mode, e)
			      : err_set(e, -ENOMEM, "out of memory");

		if (rc < 0)
			return rc;
		/* umask, and the sticky bit that mkdir does not set everywhere; what is mounted
		 * there to be read only is as it is */
		if (stat(path, &st) == 0 && (st.st_mode & 07777) != dirs[i].mode &&
		    chmod(path, dirs[i].mode) < 0 && errno != EROFS)
			return err_sys(e, "%s", path);
	}
	return 0;
}

/* The profile directory's links are roots already; what runs now must not be collected either. What
 * was booted says who boots: stage 1 and PID 1. */
static int put_run_links(const struct sys_root *r, const char *system, struct err *e)
{
	int rc = put_link(r, GEN_CURRENT_LINK, system, e);

	if (rc == 0)
		rc = put_link(r, "/var/guix/gcroots/current-system", GEN_CURRENT_LINK, e);
	if (rc == 0)
		rc = put_link(r, "/var/guix/gcroots/booted-system", GEN_BOOTED_LINK, e);
	return rc;
}

/* ---- All together ---------------------------------------------------------------------------- */

static void note(struct fails *f, int rc, struct err *e)
{
	if (rc >= 0)
		return;
	log_debug("activate", "step failed why=\"%s\"", e->msg);
	fails_note(f, rc, e);
}

/* The error that names what failed; 0 when nothing did. */
static int steps_end(struct fails *f, const char *system, struct err *e)
{
	unsigned n = f->count;
	int rc = fails_end(f, e);

	return rc < 0 ? err_wrap(e, rc, "activation of %s: %u step%s failed", system, n,
				 n == 1 ? "" : "s")
		      : 0;
}

/* Files for new homes; NULL: a generation without. */
static const char *skeletons_of(const struct sys_root *r, struct arena *a, const char *system)
{
	const char *path = gen_part(r, a, system, "skeletons");

	return path && access(path, F_OK) == 0 ? path : NULL;
}

static void put_accounts(const struct sys_root *r, struct arena *a, const char *system,
			 struct fails *f)
{
	auto_vec struct vec accounts = VEC_INIT;
	struct err e = ERR_INIT;
	int rc = accounts_load(r, a, system, &accounts, &e);

	if (rc == 0)
		rc = accounts_apply(r, &accounts, skeletons_of(r, a, system), true, &e);
	note(f, rc, &e);
}

static int put_homes(const struct sys_root *r, struct arena *a, const char *system, struct err *e)
{
	auto_vec struct vec accounts = VEC_INIT;
	int rc = accounts_load(r, a, system, &accounts, e);

	return rc < 0 ? rc : accounts_homes(r, &accounts, skeletons_of(r, a, system), e);
}

/* What nobody can log in or be started without goes to vital, the rest to other. */
static void do_all(const struct sys_root *r, struct arena *a, const char *system,
		   const struct vec *steps, struct fails *vital, struct fails *other)
{
	struct err e = ERR_INIT;

	sys_root_clean(r, "/etc");
	sys_root_clean(r, "/var/lib/cairn");
	note(other, base_directories(r, &e), &e);
	put_accounts(r, a, system, vital);
	note(other, sys_machine_id_put(r, &e), &e);
	note(vital, etc_apply(r, system, &e), &e);
	note(vital, put_run_links(r, system, &e), &e);
	note(other, secrets_apply(r, system, &e), &e);
	for (size_t i = 0; i < steps->n; i++)
		note(other, do_step(r, steps->v[i], false, &e), &e);
	note(other, put_privileged(r, steps, &e), &e);
	note(other, secrets_prune(r, &e), &e);
}

int sys_activate(const struct sys_root *r, const char *system, struct err *e)
{
	auto_arena struct arena a = ARENA_INIT;
	auto_vec struct vec steps = VEC_INIT;
	struct fails f = FAILS_INIT;
	int rc = gen_check(r, system, e);

	if (rc == 0)
		rc = load_steps(r, &a, system, &steps, e);
	if (rc < 0)
		return rc;
	do_all(r, &a, system, &steps, &f, &f);
	return steps_end(&f, system, e);
}

int sys_activate_boot(const struct sys_root *r, const char *system, struct err *ret_other,
		      struct err *e)
{
	auto_arena struct arena a = ARENA_INIT;
	auto_vec struct vec steps = VEC_INIT;
	struct fails vital = FAILS_INIT, other = FAILS_INIT;
	struct err one = ERR_INIT;
	int rc = gen_check(r, system, e);

	if (rc < 0)
		return rc;
	note(&other, load_steps(r, &a, system, &steps, &one), &one);
	do_all(r, &a, system, &steps, &vital, &other);
	(void)steps_end(&other, system, ret_other);
	return steps_end(&vital, system, e);
}

int sys_activate_directories(const struct sys_root *r, const char *system, struct err *e)
{
	auto_arena struct arena a = ARENA_INIT;
	auto_vec struct vec steps = VEC_INIT;
	struct fails f = FAILS_INIT;
	struct err one = ERR_INIT;
	int rc = gen_check(r, system, e);

	if (rc == 0)
		rc = load_steps(r, &a, system, &steps, e);
	if (rc < 0)
		return rc;
	note(&f, base_directories(r, &one), &one);
	note(&f, put_homes(r, &a, system, &one), &one);
	for (size_t i = 0; i < steps.n; i++)
		note(&f, do_step(r, steps.v[i], true, &one), &one);
	return steps_end(&f, system, e);
}

int sys_activate_check(const struct sys_root *r, const char *system, struct err *e)
{
	auto_arena struct arena a = ARENA_INIT;
	auto_vec struct vec steps = VEC_INIT, accounts = VEC_INIT;
	int rc = load_steps(r, &a, system, &steps, e);

	if (rc == 0)
		rc = accounts_load(r, &a, system, &accounts, e);
	if (rc == 0)
		rc = accounts_apply(r, &accounts, NULL, false, e);
	return rc < 0 ? rc : secrets_check(r, system, e);
}
