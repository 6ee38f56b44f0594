/* SPDX-License-Identifier: GPL-3.0-or-later */
/* One connection over standard input and output, for a client on another machine. */
#pragma once

#include "store/daemon/serve.h"

/* Connect them to the daemon at socket, or serve here when there is none. Ends when either side
 * does. */
int stdio_serve(const struct serve_opts *o, const char *socket, struct err *e);
