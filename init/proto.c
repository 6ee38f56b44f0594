/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "init/proto.h"

#include "init/limits.h"
#include "lib/err.h"
#include "lib/wire.h"

int ctl_request_parse(const void *packet, size_t n, struct ctl_request *ret)
{
	struct rd r = rd_of(packet, n);
	uint64_t version = rd_u64(&r), op = rd_u64(&r), flags = rd_u64(&r);
	struct slice name = rd_str(&r, LIMIT_PATH);

	if (rd_done(&r) < 0 || version < CTL_OLDEST || version > CTL_VERSION || op == 0 ||
	    op >= CTL_OP_MAX || (flags & ~(uint64_t)CTL_FLAG_MASK) ||
	    (name.n && memchr(name.p, '\0', name.n)))
		return -ERR_PROTO;
	*ret = (struct ctl_request){ version, (enum ctl_op)op, (unsigned)flags, name };
	return 0;
}
