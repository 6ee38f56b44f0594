/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What the control socket tells of a service, of the whole, of an event: fields of packets. */
#pragma once

#include "init/svc.h"
#include "lib/str.h"

#define ROW_EVENT_MAX (LIMIT_SVC_NAME + 250) /* bytes of one event */

/* Added to out, whose owner asks str_err(); version: of the protocol that the client speaks. */
void row_put(struct str *out, const struct svc *s, unsigned version);
void row_put_info(struct str *out, unsigned version);
void row_put_event(struct str *out, const char *name, const char *old, const char *now,
		   const char *why);
