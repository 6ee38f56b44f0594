/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What the parts of the control socket's server share: control.c connections, request.c what is
 * asked, result.c what those who wait are told. */
#pragma once

#include <stdbool.h>

#include "init/proto.h"
#include "init/svc.h"
#include "lib/loop.h"
#include "lib/str.h"

/* In memory that outlives this program: one of another size is taken for one of another layout, and
 * its clients lose their connections. */
struct client {
	struct loop_fd src; /* fd owned */
	bool trusted;	    /* may do more than look */
	bool rows;	    /* a list is being sent, next row is cursor */
	bool waiting;
	bool loads, waits; /* a load that was not refused; it is to be waited for */
	bool watching;	   /* is told of all that happens */
	uint8_t version;   /* of its last request */
	enum ctl_op op;
	uint32_t uid;
	size_t cursor;
	uint64_t used; /* last time it said something */
	char name[LIMIT_SVC_NAME + 1];
};

/* Begin a packet for c: fields are added with lib/wire. There is one at a time. */
struct str *control_begin(const struct client *c, enum ctl_kind kind);
/* Send it, with descriptor fd (borrowed; -1: none). 0, -EAGAIN, or the client is gone. */
int control_send(struct client *c, int fd);
void control_end(struct client *c, int code, const char *message);
/* What the request of c asked for is noted: keep that, then the request may go. */
void control_settle(struct client *c, int code);
/* As many rows of a list as the socket takes; the rest when it can be written again. */
void control_send_rows(struct client *c);

void request_do(struct client *c, const struct ctl_request *q, const int fds[3]);
/* Why the state machine did not take a request. */
const char *request_refusal(int code);

/* A client waits: tell it the result if there is one. */
void result_look(struct client *c);
