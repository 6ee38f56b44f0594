/* SPDX-License-Identifier: GPL-3.0-or-later */
/* "cairn system vm": a script that starts a system in QEMU on the store it was built into. */
#include "image/image.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "image/place.h"
#include "lib/fd.h"
#include "lib/path.h"
#include "lib/size.h"
#include "lib/text.h"
#include "store/store.h"
#include "system/system.h"

#define MEMORY_USUAL	 512 /* MiB */
#define MEMORY_MIN	 64
#define LIMIT_MEMORY	 (1024 * 1024)
#define FREE_MIN	 (64u << 20) /* a journal must fit */
#define LIMIT_SHARES	 16
#define LIMIT_PORTS	 32
#define LIMIT_PARAMETERS (64 * 1024)
#define STORE_TAG	 "cairn-store" /* image/vm.lua gives it to the kernel */

struct vm {
	struct store_opts store;
	struct sys_eval_opts eval;
	const char *output, *persistent, *free_space;
	struct vec share, expose, port;
	uint64_t memory;
	bool no_graphic, report, json;
};

#define AT(f) offsetof(struct vm, f)
static const struct cmd_opt vm_opts[] = {
	{ "expose", 0, CMD_LIST, AT(expose), "HOST=GUEST", "directory the machine may read" },
	{ "free", 0, CMD_STR, AT(free_space), "SIZE", "free space on the machine's disk (1G)" },
	{ "json", 0, CMD_FLAG, AT(json), NULL,
	  "the script, or where it was written, and what it starts as JSON" },
	{ "memory", 'm', CMD_U64, AT(memory), "MIB", "of the machine (512)" },
	{ "no-graphic", 0, CMD_FLAG, AT(no_graphic), NULL,
	  "the machine's serial line is this terminal; leave with Ctrl-A X" },
	{ "output", 'o', CMD_STR, AT(output), "SCRIPT",
	  "write the script there and print that path" },
	{ "persistent", 0, CMD_STR, AT(persistent), "FILE",
	  "keep what the machine writes in FILE; else it is gone at its end" },
	{ "port", 'p', CMD_LIST, AT(port), "HOST:GUEST",
	  "TCP port of this machine that leads to one of the other" },
	{ "report", 0, CMD_FLAG, AT(report), NULL,
	  "the machine tells on its second serial line how its services are; it has no way out" },
	{ "share", 0, CMD_LIST, AT(share), "HOST=GUEST", "directory the machine may write, too" },
	SYS_EVAL_OPTIONS(struct vm, eval),
	STORE_OPTIONS_BASIC(struct vm, store),
	STORE_OPTIONS_BUILD(struct vm, store),
};

/* A directory of the host. */
struct share {
	const char *host;  /* real path */
	const char *guest; /* where the machine mounts it */
	bool writable;
};

/* What the script is made from; strings in arena. */
struct plan {
	struct arena *arena;
	struct share shares[LIMIT_SHARES];
	size_t nshares;
	uint64_t ports[LIMIT_PORTS][2]; /* host, guest */
	size_t nports;
	const char *state; /* absolute path of --persistent, or NULL */
	uint64_t memory;
	bool no_graphic, report;
	/* physical paths, once built */
	const char *kernel, *initrd, *disk, *store, *system;
	const char *parameters; /* of the kernel */
	const char *configured; /* with report: the system of the configuration, logical */
};

/* ---- Options --------------------------------------------------------------------------------- */

/* Plain enough for a mount table, and no place without which a machine does not come up. */
static bool guest_ok(const char *path)
{
	static const char *const taken[] = { "/dev", "/gnu", "/proc", "/run", "/sys" };
	static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				    "0123456789/._+-";

	if (path[0] != '/' || !path[1] || path[strspn(path, plain)] || !path_is_clean(path))
		return false;
	for (size_t i = 0; i < ARRAY_LEN(taken); i++)
		if (path_is_below(path, taken[i]))
			return false;
	return true;
}

static int share_parse(struct plan *p, const char *text, bool writable, struct err *e)
{
	const char *option = writable ? "share" : "expose";
	const char *at = strrchr(text, '=');
	struct stat st;

	if (!at || at == text)
		return cmd_usage(e, "--%s: '%s' is not HOST=GUEST", option, text);
	if (!guest_ok(at + 1))
		return cmd_usage(
			e,
			"--%s: the machine cannot mount anything at '%s' [letters, digits "
			"and . _ + - after a '/'; not below /dev, /gnu, /proc, /run, /sys]",
			option, at + 1);
	if (p->nshares == LIMIT_SHARES)
		return cmd_usage(e, "at most %d directories can be shared", LIMIT_SHARES);
	char *host = arena_slice(p->arena, (struct slice){ text, (size_t)(at - text) });
	auto_free char *real = host ? realpath(host, NULL) : NULL;
	if (!real || stat(real, &st) < 0)
		return err_sys(e, "%s", host ? host : text);
	if (!S_ISDIR(st.st_mode))
		return err_num(e, -ENOTDIR, "%s", host);
	p->shares[p->nshares++] = (struct share){ .host = arena_fmt(p->arena, "%s", real),
						  .guest = at + 1,
						  .writable = writable };
	return 0;
}

static int port_parse(struct plan *p, const char *text, struct err *e)
{
	struct slice rest = slice_of(text), host;
	uint64_t *port = p->ports[p->nports];

	if (p->nports == LIMIT_PORTS)
		return cmd_usage(e, "at most %d ports can be forwarded", LIMIT_PORTS);
	slice_cut(&rest, ':', &host);
	if (text_u64(host, 65535, &port[0]) < 0 || text_u64(rest, 65535, &port[1]) < 0 ||
	    !port[0] || !port[1])
		return cmd_usage(e, "--port: '%s' is not HOST:GUEST, two numbers up to 65535",
				 text);
	p->nports++;
	return 0;
}

/* Absolute, so that the script works from anywhere. */
static int state_parse(struct plan *p, const char *file, struct err *e)
{
	char parent[PATH_MAX];

	int r = img_place_check(file, e);
	if (r < 0)
		return r;
	auto_free char *real = path_dir(parent, file) == 0 ? realpath(parent, NULL) : NULL;
	if (!real)
		return err_sys(e, "%s", file);
	p->state =
		arena_fmt(p->arena, "%s/%s", strcmp(real, "/") == 0 ? "" : real, path_base(file));
	return p->state ? 0 : err_num(e, -ENOMEM, "%s", file);
}

static int options_parse(const struct vm *o, struct plan *p, struct err *e)
{
	int r = 0;

	p->no_graphic = o->no_graphic;
	p->report = o->report;
	p->memory = o->memory ? o->memory : MEMORY_USUAL;
	if (p->memory < MEMORY_MIN || p->memory > LIMIT_MEMORY)
		return cmd_usage(e, "--memory: %d to %d MiB are possible", MEMORY_MIN,
				 LIMIT_MEMORY);
	for (size_t i = 0; r == 0 && i < o->share.n; i++)
		r = share_parse(p, o->share.v[i], true, e);
	for (size_t i = 0; r == 0 && i < o->expose.n; i++)
		r = share_parse(p, o->expose.v[i], false, e);
	for (size_t i = 0; r == 0 && i < o->port.n; i++)
		r = port_parse(p, o->port.v[i], e);
	if (r == 0 && o->persistent)
		r = state_parse(p, o->persistent, e);
	return r == 0 && o->output ? img_place_check(o->output, e) : r;
}

/* ---- Building -------------------------------------------------------------------------------- */

/* Arguments of image/vm.lua. */
static int module_args(const struct vm *o, const struct plan *p, const char *args[3], size_t *ret_n,
		       struct err *e)
{
	auto_str struct str shares = STR_INIT;
	uint64_t bytes;

	*ret_n = 0;
	if (o->free_space && text_size(slice_of(o->free_space), &bytes) < 0)
		return cmd_usage(e, "'%s' is not a size", o->free_space);
	if (o->free_space && bytes < FREE_MIN)
		return cmd_usage(e, "--free: the disk needs at least 64 MiB");
	if (o->free_space)
		args[(*ret_n)++] = arena_fmt(p->arena, "free=%llu", (unsigned long long)bytes);
	if (o->report)
		args[(*ret_n)++] = "report=yes";
	str_add(&shares, "shares=");
	for (size_t i = 0; i < p->nshares; i++)
		str_addf(&shares, "%s%s:%s", i ? " " : "", p->shares[i].writable ? "rw" : "ro",
			 p->shares[i].guest);
	args[(*ret_n)++] = str_err(&shares) ? NULL : arena_slice(p->arena, str_slice(&shares));
	return args[0] && args[*ret_n - 1] ? 0 : err_num(e, -ENOMEM, "arguments of the machine");
}

static int read_parameters(struct plan *p, const char *system, struct err *e)
{
	auto_str struct str text = STR_INIT;
	const char *file = arena_fmt(p->arena, "%s/parameters", system);

	if (!file)
		return err_num(e, -ENOMEM, "%s", system);
	int r = file_read(AT_FDCWD, file, &text, LIMIT_PARAMETERS, e);
	if (r < 0)
		return r;
	p->parameters = arena_slice(p->arena, slice_trim(str_slice(&text)));
	return p->parameters ? 0 : err_num(e, -ENOMEM, "%s", system);
}

static int find_results(struct plan *p, struct sys_eval *eval, struct store_conn *conn,
			struct err *e)
{
	const struct {
		const char *key, **ret;
	} rows[] = { { "disk", &p->disk },
		     { "initrd", &p->initrd },
		     { "kernel", &p->kernel },
		     { "system", &p->system } };

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const char *logical = sys_eval_value(eval, rows[i].key);
		if (!logical)
			return err_set(e, -ERR_INTERNAL, "image.vm made no %s", rows[i].key);
		*rows[i].ret = store_conn_physical(conn, p->arena, logical);
		if (!*rows[i].ret)
			return err_num(e, -ENOMEM, "%s", logical);
	}
	if (p->report) {
		const char *configured = sys_eval_value(eval, "configured");

		p->configured = configured ? arena_str(p->arena, configured) : NULL;
		if (!p->configured)
			return err_set(e, -ERR_INTERNAL, "image.vm does not say what it tests");
	}
	p->store = store_conn_physical(conn, p->arena, store_conn_dir(conn));
	return p->store ? read_parameters(p, p->system, e) : err_num(e, -ENOMEM, "store");
}

static int build(struct vm *o, struct plan *p, const char *config, struct err *e)
{
	struct sys_eval_request req = { .kind = SYS_EVAL_FILE,
					.text = config,
					.apply = "image.vm" };
	struct store_conn *conn = NULL;
	struct sys_eval *eval = NULL;
	const char *args[3] = { NULL, NULL, NULL };

	int r = module_args(o, p, args, &req.nargs, e);
	req.args = args;
	o->eval.store_dir = o->store.store_dir;
	if (r == 0)
		r = sys_eval_run(&o->eval, &req, &eval, e);
	if (r == 0)
		r = store_open(&o->store, &conn, e);
	if (r == 0)
		r = sys_eval_build(eval, conn, NULL, e);
	if (r == 0)
		r = find_results(p, eval, conn, e);
	sys_eval_free(eval);
	store_close(conn);
	return r;
}

/* ---- The script ------------------------------------------------------------------------------ */

static void word(struct str *s, const char *text)
{
	str_addc(s, ' ');
	text_shell(s, text);
}

/* KEY=VALUE as a part of a QEMU option, where a comma is written twice. */
static void part(struct str *option, const char *key, const char *value)
{
	str_addf(option, "%s=", key);
	for (; *value; value++) {
		if (*value == ',')
			str_addc(option, ',');
		str_addc(option, *value);
	}
}

/* A line of the command: OPTION VALUE. Empties value, and keeps its error. */
static void line(struct str *s, const char *option, struct str *value)
{
	str_add(s, " \\\n\t");
	str_add(s, option);
	word(s, value->buf);
	if (str_err(value))
		s->err = str_err(value);
	str_done(value);
}

static void add_directory(struct str *s, const char *host, const char *tag, bool writable)
{
	struct str v = STR_INIT;

	str_add(&v, "local,");
	part(&v, "path", host);
	str_addf(&v, ",mount_tag=%s,security_model=none,multidevs=remap%s", tag,
		 writable ? "" : ",readonly=on");
	line(s, "-virtfs", &v);
}

static void add_disk(struct str *s, const struct plan *p)
{
	struct str v = STR_INIT;

	part(&v, "file", p->state ? p->state : p->disk);
	str_add(&v, p->state ? ",format=qcow2,if=virtio" : ",format=raw,if=virtio,snapshot=on");
	line(s, "-drive", &v);
}

static void add_network(struct str *s, const struct plan *p)
{
	struct str v = STR_INIT;

	/* What is tested must not act as a second copy of a machine, nor reach this one. */
	str_addf(&v, "user,id=n0%s", p->report ? ",restrict=on" : "");
	for (size_t i = 0; i < p->nports; i++)
		str_addf(&v, ",hostfwd=tcp:127.0.0.1:%u-:%u", (unsigned)p->ports[i][0],
			 (unsigned)p->ports[i][1]);
	line(s, "-netdev", &v);
	str_add(s, " -device virtio-net-pci,netdev=n0 -device virtio-rng-pci");
}

static void add_kernel(struct str *s, const struct plan *p)
{
	struct str v = STR_INIT;

	str_add(&v, p->kernel);
	line(s, "-kernel", &v);
	str_add(&v, p->initrd);
	line(s, "-initrd", &v);
	str_addf(&v, "%s%s", p->parameters, p->no_graphic ? " console=ttyS0" : "");
	line(s, "-append", &v);
}

static void add_head(struct str *s, const struct plan *p)
{
	str_add(s, "#!/bin/sh\n"
		   "# Starts a system in QEMU; written by \"cairn system vm\". Arguments are "
		   "passed on.\n"
		   "# ACCEL=tcg or ACCEL=kvm chooses how the processor is emulated.\n");
	if (p->configured)
		str_addf(s, SYSTEM_VM_TESTS "%s\n", p->configured);
	str_add(s, "set -eu\n"
		   "for file in");
	word(s, p->kernel);
	word(s, p->initrd);
	word(s, p->disk);
	str_add(s, "; do\n"
		   "\t[ -e \"$file\" ] || {\n"
		   "\t\techo \"$0: $file is gone [make this script again]\" >&2\n"
		   "\t\texit 1\n"
		   "\t}\n"
		   "done\n"
		   "if [ -n \"${ACCEL:-}\" ]; then\n"
		   "\tset -- -accel \"$ACCEL\" \"$@\"\n"
		   "elif [ -r /dev/kvm ] && [ -w /dev/kvm ]; then\n"
		   "\tset -- -accel kvm -accel tcg \"$@\"\n"
		   "fi\n");
}

/* The disk of a machine that remembers: above the one in the store, which it must go with. */
static void add_state(struct str *s, const struct plan *p)
{
	str_add(s, "disk=");
	text_shell(s, p->disk);
	str_add(s, "\nstate=");
	text_shell(s, p->state);
	str_add(s, "\n"
		   "if [ ! -e \"$state\" ]; then\n"
		   "\tqemu-img create -q -f qcow2 -F raw -b \"$disk\" \"$state.new\"\n"
		   "\tmv \"$state.new\" \"$state\"\n"
		   "fi\n"
		   "case $(qemu-img info -U \"$state\") in\n"
		   "*\"backing file: $disk\"*) ;;\n"
		   "*)\n"
		   "\techo \"$0: $state is not a disk of this system [remove it, or take another "
		   "--persistent]\" >&2\n"
		   "\texit 1\n"
		   "\t;;\n"
		   "esac\n");
}

static void script_format(const struct plan *p, struct str *s)
{
	char tag[32];

	add_head(s, p);
	if (p->state)
		add_state(s, p);
	str_addf(s, "exec qemu-system-x86_64 -m %u", (unsigned)p->memory);
	if (p->no_graphic)
		str_add(s, " -nographic");
	add_kernel(s, p);
	add_disk(s, p);
	add_directory(s, p->store, STORE_TAG, false);
	for (size_t i = 0; i < p->nshares; i++) {
		(void)snprintf(tag, sizeof(tag), "share%zu", i + 1);
		add_directory(s, p->shares[i].host, tag, p->shares[i].writable);
	}
	add_network(s, p);
	str_add(s, " \\\n\t\"$@\"\n");
}

static int print(const char *text, struct err *e)
{
	return fputs(text, stdout) < 0 || fflush(stdout) == EOF ? err_sys(e, "standard output") : 0;
}

static void json_text(struct str *out, const char *key, const char *value)
{
	str_addf(out, ",\n \"%s\":", key);
	if (value)
		text_json(out, slice_of(value));
	else
		str_add(out, "null");
}

static int print_json(const struct plan *p, const char *file, const char *script, struct err *e)
{
	auto_str struct str out = STR_INIT;

	str_addf(&out, "{\"memory\":%llu", (unsigned long long)p->memory);
	json_text(&out, "system", p->system);
	json_text(&out, "kernel", p->kernel);
	json_text(&out, "initrd", p->initrd);
	json_text(&out, "parameters", p->parameters);
	json_text(&out, "disk", p->disk);
	json_text(&out, "persistent", p->state);
	json_text(&out, "store", p->store);
	json_text(&out, "file", file);
	json_text(&out, "script", file ? NULL : script);
	str_add(&out, "}\n");
	return str_err(&out) ? err_num(e, -ENOMEM, "script") : print(out.buf, e);
}

static int vm_run(struct cmd_env *env, struct err *e)
{
	struct vm *o = env->ctx;
	auto_arena struct arena a = ARENA_INIT;
	auto_str struct str script = STR_INIT;
	struct plan p = { .arena = &a };

	int r = options_parse(o, &p, e);
	if (r < 0 || (r = build(o, &p, env->args[0], e)) < 0)
		return r;
	script_format(&p, &script);
	if (str_err(&script) || arena_err(&a))
		return err_num(e, -ENOMEM, "script");
	if (!o->output)
		return o->json ? print_json(&p, NULL, script.buf, e) : print(script.buf, e);
	r = file_write_atomic(AT_FDCWD, o->output, script.buf, script.len, 0755, e);
	if (r < 0)
		return r;
	auto_free char *real = realpath(o->output, NULL);
	if (o->json)
		return print_json(&p, real ? real : o->output, NULL, e);
	str_cut(&script, 0);
	str_addf(&script, "%s\n", real ? real : o->output);
	return str_err(&script) ? err_num(e, -ENOMEM, "script") : print(script.buf, e);
}

const struct cmd image_cmd_vm = {
	.name = "vm",
	.synopsis = "CONFIG",
	.summary = "make a script that starts a system in QEMU",
	.examples = "cairn system vm examples/minimal.lua -o run && ./run",
	.help = "Evaluates CONFIG, builds the system, and prints a script that starts it in QEMU.\n"
		"The machine reads the store it was built into instead of having a copy, and can\n"
		"build in its own. The script takes further arguments of QEMU.",
	CMD_OPTS(vm_opts),
	.context_size = sizeof(struct vm),
	.min_args = 1,
	.max_args = 1,
	.statuses = &sys_statuses,
	.run = vm_run,
};
