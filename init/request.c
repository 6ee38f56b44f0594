/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What clients ask for. */
#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>

#include "init/added.h"
#include "init/control-inside.h"
#include "init/rights.h"
#include "init/row.h"
#include "init/world.h"
#include "lib/fd.h"
#include "lib/size.h"
#include "lib/wire.h"

#define WATCH_BYTES (1 << 20) /* of events that a trusted client has not read yet */

static int do_info(struct client *c)
{
	row_put_info(control_begin(c, CTL_INFO_ROW), c->version);
	return control_send(c, -1);
}

/* Some changes a packet: a socket holds few packets, and they must all fit before the client
 * reads the first. */
static int put_change(struct client *c, struct str *out, const char *name, uint8_t change)
{
	int r = 0;

	if (out->len + LIMIT_SVC_NAME + 64 > LIMIT_CTL_MSG) {
		r = control_send(c, -1);
		(void)control_begin(c, CTL_CHANGES);
	}
	wr_cstr(out, name);
	wr_cstr(out, svc_change_names[change]);
	return r;
}

static int send_plan(struct client *c, const struct svc_set *next)
{
	const struct svc_set *old = world.mgr.set;
	uint8_t *plan = calloc(old->n + next->n + 1, 1);
	int r = plan ? 0 : -ENOMEM;

	if (r == 0)
		svc_load_plan(&world.mgr, next, plan, plan + old->n);
	struct str *out = control_begin(c, CTL_CHANGES);
	for (size_t i = 0; r == 0 && i < old->n; i++)
		if (plan[i] == SVC_STOP)
			r = put_change(c, out, old->v[i]->name, SVC_STOP);
	for (size_t i = 0; r == 0 && i < next->n; i++)
		r = put_change(c, out, next->v[i]->name, plan[old->n + i]);
	free(plan);
	return r < 0 ? r : control_send(c, -1);
}

const char *request_refusal(int r)
{
	return r == -EPERM	 ? "it is masked"
	       : r == -ESHUTDOWN ? "the machine is shutting down"
	       : r == -EBUSY	 ? "a load is under way"
	       : r == -ENODATA	 ? "it has no process for that, or is not up"
	       : r == -EALREADY	 ? "it runs"
				 : strerror(-r);
}

static void do_load(struct client *c, const char *path, bool dry_run, bool wait)
{
	struct svc_set *next = NULL;
	struct err e = ERR_INIT;
	int r = world_read_set(path, &next, &e);

	if (r < 0) {
		control_end(c, r, e.msg);
		return;
	}
	r = send_plan(c, next);
	if (dry_run || r < 0) {
		svc_set_free(next);
	} else {
		c->loads = !world.mgr.pending;
		c->waits = wait;
		r = world_load(path, next);
	}
	if (c->src.fd < 0)
		return;
	if (r < 0)
		control_end(c, r, request_refusal(r));
	else if (dry_run || !wait)
		control_end(c, 0, "");
	else
		c->waiting = true;
}

static void do_shutdown(struct client *c, struct slice name)
{
	for (int k = SHUT_REBOOT; k < SHUT_MAX; k++) {
		if (slice_is(name, shutdown_names[k])) {
			shutdown_begin((enum shutdown)k);
			control_end(c, 0, "");
			return;
		}
	}
	control_end(c, -EINVAL, "unknown kind of shutdown");
}

/* Add a service, and wait for it: to be up, or for its end. */
static void do_add(struct client *c, struct slice section, bool to_end, const int fds[3])
{
	struct slice name;
	struct err e = ERR_INIT;

	c->loads = !world.mgr.pending;
	c->waits = true;
	int r = added_put(section, &name, &e);

	if (r < 0) {
		control_end(c, r, e.msg);
		return;
	}
	if (fds && fds[0] >= 0)
		added_stdio(name, fds);
	snprintf(c->name, sizeof(c->name), "%.*s", (int)name.n, name.p);
	c->op = to_end ? CTL_RUN : CTL_START;
	c->waiting = true;
}

static void do_instance(struct client *c, struct slice name)
{
	char section[LIMIT_SVC_NAME + 40];
	int n = snprintf(section, sizeof(section), "[service %.*s]\nenabled = yes\n", (int)name.n,
			 name.p);

	do_add(c, (struct slice){ section, (size_t)n }, false, NULL);
}

static void do_action(struct client *c, struct slice name)
{
	struct slice service;

	slice_cut(&name, ' ', &service);
	struct svc *s = svc_mgr_find(&world.mgr, service);
	int r = !s ? -ERR_NOTFOUND : svc_action(&world.mgr, s, name);
	if (r < 0) {
		control_end(c, r,
			    r == -ERR_NOTFOUND ? "no such service"
			    : r == -ENOENT     ? "it has no such action"
					       : request_refusal(r));
		return;
	}
	snprintf(c->name, sizeof(c->name), "%s", s->name);
	c->waiting = true;
}

static void do_override(struct client *c)
{
	char path[LIMIT_PATH];
	int r = world_override(path);

	wr_cstr(control_begin(c, CTL_TEXT), path);
	if (control_send(c, -1) == 0)
		control_end(c, r, r < 0 ? request_refusal(r) : "");
}

static void do_service(struct client *c, struct slice name, bool wait)
{
	struct svc *s = svc_mgr_find(&world.mgr, name);
	char text[LIMIT_SVC_NAME + 64];
	int r = 0;

	if (!s && (c->op == CTL_START || c->op == CTL_RESTART) &&
	    svc_set_has_template(world.mgr.set, name)) {
		do_instance(c, name);
		return;
	}
	if (!s) {
		snprintf(text, sizeof(text), "no service '%.*s'",
			 (int)MIN_OF(name.n, (size_t)LIMIT_SVC_NAME), name.p);
		control_end(c, -ERR_NOTFOUND, text);
		return;
	}
	snprintf(c->name, sizeof(c->name), "%s", s->name);
	switch (c->op) {
	case CTL_STATUS:
		control_settle(c, 0);
		row_put(control_begin(c, CTL_ROW), s, c->version);
		if (control_send(c, -1) < 0)
			return;
		break;
	case CTL_START:
		r = svc_start(&world.mgr, s);
		break;
	case CTL_STOP:
		r = svc_stop(&world.mgr, s);
		break;
	case CTL_RESTART:
		r = svc_restart(&world.mgr, s);
		break;
	case CTL_TRIGGER:
		r = svc_trigger(&world.mgr, s);
		break;
	default:
		r = svc_reload(&world.mgr, s);
		break;
	}
	bool has_result = c->op == CTL_START || c->op == CTL_STOP || c->op == CTL_RESTART ||
			  c->op == CTL_TRIGGER;
	if (r == 0 && wait && has_result) {
		c->waiting = true;
		return;
	}
	control_end(c, r, r < 0 ? request_refusal(r) : "");
}

/* Answered by the next life. */
static void do_reexec(struct client *c, const char *path)
{
	struct err e = ERR_INIT;
	int r = world_reexec(path, &e);

	if (r < 0)
		control_end(c, r, e.msg);
	else
		c->waiting = true;
}

/* The text of the set, which nobody can change, to be read from the beginning. It has what was
 * added, too, and perhaps is of a file that not everybody may read: others are told its path only.
 */
static void do_set(struct client *c)
{
	char path[40];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", world.mgr.set->text_fd);
	auto_fd int fd = c->trusted ? open(path, O_RDONLY | O_CLOEXEC) : -1;
	if (c->trusted && fd < 0) {
		control_end(c, -errno, "there is no copy of the set");
		return;
	}
	wr_cstr(control_begin(c, CTL_TEXT), world.set_path ? world.set_path : "");
	if (control_send(c, fd) == 0)
		control_end(c, 0, "");
}

/* It is told at once that it is heard. */
static void do_watch(struct client *c)
{
	int size = WATCH_BYTES;

	if (c->trusted) /* of others there may be many */
		(void)setsockopt(c->src.fd, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size));
	c->watching = true;
	control_settle(c, 0);
	(void)control_begin(c, CTL_EVENTS);
	(void)control_send(c, -1);
}

/* The service that q is about. */
static struct svc *find_service(const struct ctl_request *q)
{
	struct slice name = q->name;

	if (q->op == CTL_ACTION) {
		struct slice rest = name;
		slice_cut(&rest, ' ', &name);
	}
	return svc_mgr_find(&world.mgr, name);
}

void request_do(struct client *c, const struct ctl_request *q, const int fds[3])
{
	char text[LIMIT_PATH + 1];
	bool wait = q->flags & CTL_WAIT;

	if (!c->trusted && !rights_allow(c->src.fd, q->op, find_service(q), text, sizeof(text))) {
		control_end(c, -EPERM, text);
		return;
	}
	snprintf(text, sizeof(text), "%.*s", (int)q->name.n, q->name.p);
	switch (q->op) {
	case CTL_LIST:
		c->rows = true;
		c->cursor = 0;
		control_settle(c, 0);
		control_send_rows(c);
		break;
	case CTL_INFO:
		if (do_info(c) == 0)
			control_end(c, 0, "");
		break;
	case CTL_SET:
		do_set(c);
		break;
	case CTL_WATCH:
		do_watch(c);
		break;
	case CTL_LOAD:
		do_load(c, text, q->flags & CTL_DRY_RUN, wait);
		break;
	case CTL_SHUTDOWN:
		do_shutdown(c, q->name);
		break;
	case CTL_REEXEC:
		do_reexec(c, text);
		break;
	case CTL_RUN:
		do_add(c, q->name, wait, fds);
		break;
	case CTL_ACTION:
		do_action(c, q->name);
		break;
	case CTL_OVERRIDE:
		do_override(c);
		break;
	default:
		do_service(c, q->name, wait);
		break;
	}
}
