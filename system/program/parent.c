/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "system/program/parent.h"

#include <unistd.h>

#include "lib/wire.h"
#include "system/box.h"

static int parent; /* one evaluation per process */

void parent_set(int fd)
{
	parent = fd;
}

void parent_end(enum eval_msg type, struct slice text)
{
	(void)box_send(parent, type, text); /* it may be gone: nothing left to tell */
	_exit(0);
}

uint64_t parent_ask(enum eval_msg what, uint64_t root, const char *path, struct str *reply)
{
	struct str msg = STR_INIT;
	uint64_t type = 0;
	int r;

	wr_u64(&msg, root);
	wr_cstr(&msg, path);
	r = str_err(&msg);
	if (r == 0)
		r = box_send(parent, what, str_slice(&msg));
	str_done(&msg);
	if (r == 0)
		r = box_recv(parent, &type, reply, LIMIT_EVAL_FILE);
	if (r < 0)
		_exit(1); /* the parent is gone */
	return type;
}

void parent_log(struct slice text)
{
	if (box_send(parent, EVAL_MSG_LOG, text) < 0)
		_exit(1);
}
