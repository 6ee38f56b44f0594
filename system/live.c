/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "system/live.h"

#include <errno.h>
#include <unistd.h>

#include "lib/proc.h"
#include "lib/str.h"
#include "services/services.h"

#define INIT_SOCKET   "/run/cairn/init.sock"
#define LIMIT_ANSWERS (1 << 20)

bool live_is_running(void)
{
	return access(INIT_SOCKET, F_OK) == 0;
}

/* "restart dhcp" */
static int parse_line(struct arena *a, struct slice line, struct vec *ret, struct err *e)
{
	struct slice name = line, word;
	struct svc_change *c = ARENA_NEW(a, struct svc_change);
	unsigned k = 0;

	(void)slice_cut(&name, ' ', &word);
	while (k < SVC_ACTION_MAX && !slice_is(word, svc_action_names[k]))
		k++;
	if (k == SVC_ACTION_MAX || name.n == 0)
		return 0; /* something for people */
	if (c)
		*c = (struct svc_change){ arena_slice(a, name), (enum svc_action)k };
	vec_add(ret, c);
	return !c || ret->err ? err_set(e, -ENOMEM, "out of memory") : 0;
}

int live_load(struct arena *a, const char *file, bool dry, struct vec *ret, struct err *e)
{
	const char *argv[] = { "cairn", "service", "load", file, dry ? "--dry-run" : NULL, NULL };
	struct proc_spec spec = PROC_SPEC_INIT;
	auto_str struct str text = STR_INIT;
	struct slice rest, line;
	int rc;

	spec.argv = argv;
	spec.path = "/proc/self/exe";
	spec.in = -2;
	rc = proc_output(&spec, &text, LIMIT_ANSWERS, e);
	if (rc < 0)
		return err_wrap(e, rc, "while %s the services", dry ? "planning" : "switching");
	rest = str_slice(&text);
	while (rc == 0 && rest.n && slice_cut(&rest, '\n', &line))
		rc = parse_line(a, line, ret, e);
	return rc;
}
