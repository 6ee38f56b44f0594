/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The keys of what a process is shut into, where it runs, and what it reads before. */
#include <string.h>

#include "init/def.h"
#include "lib/size.h"
#include "lib/text.h"

/* ---- capabilities ----------------------------------------------------------------------------*/

/* By number. */
static const char cap_names[] =
	"chown dac_override dac_read_search fowner fsetid kill setgid setuid setpcap "
	"linux_immutable net_bind_service net_broadcast net_admin net_raw ipc_lock "
	"ipc_owner sys_module sys_rawio sys_chroot sys_ptrace sys_pacct sys_admin "
	"sys_boot sys_nice sys_resource sys_time sys_tty_config mknod lease audit_write "
	"audit_control setfcap mac_override mac_admin syslog wake_alarm block_suspend "
	"audit_read perfmon bpf checkpoint_restore ";

#define CAP(n) (1ull << (n))
/* Those of sandbox = default: what programs of root do with files, users and ports; nothing that
 * opens the box, reaches into other processes, or changes the machine. By number as above: chown to
 * fowner without dac_read_search, fsetid to setpcap, net_bind_service, net_broadcast, net_raw,
 * ipc_owner, sys_chroot, lease, audit_write, setfcap. */
#define CAPS_DEFAULT                                                                               \
	(CAP(0) | CAP(1) | CAP(3) | CAP(4) | CAP(5) | CAP(6) | CAP(7) | CAP(8) | CAP(10) |         \
	 CAP(11) | CAP(13) | CAP(15) | CAP(18) | CAP(28) | CAP(29) | CAP(31))

static int cap_mask(struct conf_ctx *c, const char *word, uint64_t *ret)
{
	struct slice name = slice_of(word), rest = { cap_names, sizeof(cap_names) - 1 }, known;

	if (slice_starts(name, "cap_"))
		name = (struct slice){ name.p + 4, name.n - 4 };
	for (size_t i = 0; slice_cut(&rest, ' ', &known) && known.n; i++) {
		if (slice_eq(name, known)) {
			*ret |= CAP(i);
			return 0;
		}
	}
	if (slice_is(name, "all"))
		*ret = UINT64_MAX;
	else if (slice_is(name, "default"))
		*ret |= CAPS_DEFAULT;
	else
		return conf_error(c, "%s: unknown capability '%s'", c->key, word);
	return 0;
}

int svc_parse_caps(struct conf_ctx *c, struct slice v, void *place)
{
	struct svc_box *b = &((struct svc_def *)c->object)->box;
	const char *const *w = NULL;
	uint64_t mask = 0;
	int r = conf_parse_words(c, v, &w);

	for (size_t i = 0; r == 0 && w[i]; i++)
		r = cap_mask(c, w[i], &mask);
	*(uint64_t *)place = mask;
	b->bounded |= place == (void *)&b->bounding;
	return r;
}

/* ---- the box ---------------------------------------------------------------------------------*/

int svc_parse_box_flag(struct conf_ctx *c, struct slice v, void *place)
{
	bool on = false;
	int r = conf_parse_bool(c, v, &on);

	*(uint8_t *)place = on ? SVC_YES : SVC_NO;
	return r;
}

int svc_parse_sandbox(struct conf_ctx *c, struct slice v, void *place)
{
	*(bool *)place = slice_is(v, "default");
	if (!slice_is(v, "default") && !slice_is(v, "none"))
		return conf_error(c, "sandbox: expected 'default' or 'none'");
	return 0;
}

static int add_mount(struct conf_ctx *c, enum svc_mount_kind kind, const char *word)
{
	struct svc_box *b = &((struct svc_def *)c->object)->box;
	bool bind = kind == SVC_MOUNT_BIND || kind == SVC_MOUNT_BIND_READ_ONLY;
	struct svc_mount m = { .kind = kind, .optional = word[0] == '-' };
	struct slice to = slice_of(word + m.optional), from = to;

	if (bind && !slice_cut(&to, ':', &from))
		from = to;
	if (!to.p || to.n == 0)
		to = from;
	if (from.n == 0 || from.p[0] != '/' || to.p[0] != '/')
		return conf_error(c, "%s: '%s' is not an absolute path", c->key, word);
	if (!b->mounts)
		b->mounts = arena_array(c->arena, LIMIT_SVC_MOUNTS, sizeof(*b->mounts));
	m.from = bind ? arena_slice(c->arena, from) : NULL;
	m.to = arena_slice(c->arena, to);
	if (!b->mounts || !m.to)
		return conf_no_memory(c);
	if (b->nmounts == LIMIT_SVC_MOUNTS)
		return conf_error(c, "%s: more than %d paths", c->key, LIMIT_SVC_MOUNTS);
	b->mounts[b->nmounts++] = m;
	return 0;
}

int svc_parse_mounts(struct conf_ctx *c, struct slice v, void *place)
{
	static const char *const keys[SVC_MOUNT_KINDS] = {
		[SVC_MOUNT_READ_ONLY] = "read-only-paths",
		[SVC_MOUNT_READ_WRITE] = "read-write-paths",
		[SVC_MOUNT_BIND] = "bind-paths",
		[SVC_MOUNT_BIND_READ_ONLY] = "bind-read-only-paths",
		[SVC_MOUNT_INACCESSIBLE] = "inaccessible-paths",
	};
	const char *const *w = NULL;
	unsigned kind = 0;
	int r = conf_parse_words(c, v, &w);

	(void)place; /* all in one array */
	while (strcmp(keys[kind], c->key) != 0)
		kind++;
	for (size_t i = 0; r == 0 && w[i]; i++)
		r = add_mount(c, (enum svc_mount_kind)kind, w[i]);
	return r;
}

const char *svc_box_finish(struct svc_def *d)
{
	static const enum svc_box_flag profile[] = { SVC_BOX_PRIVILEGES, SVC_BOX_TMP,
						     SVC_BOX_KERNEL };
	struct svc_box *b = &d->box;

	for (size_t i = 0; b->profile && i < ARRAY_LEN(profile); i++)
		if (b->flags[profile[i]] == SVC_UNSAID)
			b->flags[profile[i]] = SVC_YES;
	if (b->profile && !b->bounded) {
		b->bounded = true;
		b->bounding = CAPS_DEFAULT;
	}
	b->bounded &= b->bounding != UINT64_MAX;
	if (b->seccomp && b->flags[SVC_BOX_PRIVILEGES] == SVC_NO)
		return "seccomp does not work without no-new-privileges";
	if (b->seccomp)
		b->flags[SVC_BOX_PRIVILEGES] = SVC_YES;
	if (b->bounded && (b->ambient | b->inheritable) & ~b->bounding)
		return "a capability that is to be kept is not among 'capabilities'";
	b->mount = b->root || b->nmounts || svc_box_on(b, SVC_BOX_TMP) ||
		   svc_box_on(b, SVC_BOX_DEV) || svc_box_on(b, SVC_BOX_PIDS) ||
		   svc_box_on(b, SVC_BOX_KERNEL);
	b->any = b->mount || b->bounded || b->ambient || b->inheritable || b->seccomp ||
		 svc_box_on(b, SVC_BOX_NETWORK);
	return NULL;
}

/* ---- where it runs ---------------------------------------------------------------------------*/

int svc_parse_ioprio(struct conf_ctx *c, struct slice v, void *place)
{
	static const char *const classes[] = { "", "realtime", "best-effort", "idle" };
	struct slice rest = v, name;
	uint64_t level = 4;
	int class = 0;

	slice_cut(&rest, ' ', &name);
	rest = slice_trim(rest);
	for (size_t i = 1; i < ARRAY_LEN(classes); i++)
		if (slice_is(name, classes[i]))
			class = (int)i;
	if (class == 3)
		level = rest.n ? 8 : 0; /* has no levels */
	else if (rest.n && text_u64(rest, 7, &level) < 0)
		level = 8;
	if (!class || level > 7)
		return conf_error(c,
				  "ioprio: expected 'idle', 'best-effort [0…7]', 'realtime [0…7]'");
	*(int *)place = class << 13 | (int)level;
	return 0;
}

int svc_parse_cpus(struct conf_ctx *c, struct slice v, void *place)
{
	uint64_t *mask = arena_array(c->arena, LIMIT_SVC_CPUS / 64, sizeof(*mask));
	const char *const *w = NULL;
	int r = conf_parse_words(c, v, &w);

	if (!mask)
		return conf_no_memory(c);
	for (size_t i = 0; r == 0 && w[i]; i++) {
		struct slice last = slice_of(w[i]), first;
		uint64_t a, b;
		slice_cut(&last, '-', &first);
		if (!last.p)
			last = first;
		if (text_u64(first, LIMIT_SVC_CPUS - 1, &a) < 0 ||
		    text_u64(last, LIMIT_SVC_CPUS - 1, &b) < 0 || a > b)
			return conf_error(c, "%s: '%s' is neither a processor nor A-B", c->key,
					  w[i]);
		for (; a <= b; a++)
			mask[a / 64] |= CAP(a % 64);
	}
	if (r == 0 && !w[0])
		return conf_error(c, "%s: names no processor", c->key);
	*(const uint64_t **)place = mask;
	return r;
}

/* As the kernel reads it: numbers and ranges, separated by commas. */
int svc_parse_cpu_set(struct conf_ctx *c, struct slice v, void *place)
{
	for (size_t i = 0; i < v.n; i++)
		if (!strchr("0123456789,-", v.p[i]))
			return conf_error(c, "%s: expected a list such as 0-3,6", c->key);
	if (v.n == 0)
		return conf_error(c, "%s: names no processor", c->key);
	return conf_parse_str(c, v, place);
}

static bool is_io_limit(struct slice word)
{
	static const char *const keys[] = { "rbps", "wbps", "riops", "wiops" };
	struct slice key;
	uint64_t n;

	if (!slice_cut(&word, '=', &key) || !word.p)
		return false;
	for (size_t i = 0; i < ARRAY_LEN(keys); i++)
		if (slice_is(key, keys[i]))
			return slice_is(word, "max") || text_u64(word, INT64_MAX, &n) == 0;
	return false;
}

int svc_check_io_max(struct conf_ctx *c, struct slice v)
{
	struct slice rest = v, device, word;
	size_t n = 0;

	slice_cut(&rest, ' ', &device);
	bool named = slice_starts(device, "/dev/") || (device.n && memchr(device.p, ':', device.n));
	while (named && slice_cut(&rest, ' ', &word)) {
		if (word.n && !is_io_limit(word))
			return conf_error(c, "io-max: cannot read '%.*s'", (int)word.n, word.p);
		n += word.n != 0;
	}
	if (!named || n == 0)
		return conf_error(c, "io-max: expected DEVICE and rbps= wbps= riops= wiops=");
	return 0;
}
