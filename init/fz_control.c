/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Packets that clients send to PID 1. */
#include <stdlib.h>

#include "init/limits.h"
#include "init/proto.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct ctl_request q;

	if (size > LIMIT_CTL_MSG || ctl_request_parse(data, size, &q) < 0)
		return 0;
	if (q.version < CTL_OLDEST || q.version > CTL_VERSION || q.op < CTL_LIST ||
	    q.op >= CTL_OP_MAX || (q.flags & ~(unsigned)CTL_FLAG_MASK) || q.name.n > LIMIT_PATH)
		abort();
	if (q.name.n && ((const uint8_t *)q.name.p < data ||
			 (const uint8_t *)q.name.p + q.name.n > data + size ||
			 memchr(q.name.p, '\0', q.name.n)))
		abort();
	return 0;
}
