/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Archives as they come from clients: unpacked into a scratch directory, packed again. */
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

#include "lib/fd.h"
#include "lib/size.h"
#include "store/format/nar.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct memory {
	struct nar_source source;
	struct nar_sink sink;
	const uint8_t *p;
	size_t n;
	bool same;
};

static int take(struct nar_source *source, void *to, size_t n, struct err *e)
{
	struct memory *m = CONTAINER_OF(source, struct memory, source);

	if (n > m->n)
		return err_set(e, -ERR_SYNTAX, "the archive ends early");
	memcpy(to, m->p, n);
	m->p += n;
	m->n -= n;
	return 0;
}

static int compare(struct nar_sink *sink, const void *from, size_t n, struct err *e)
{
	struct memory *m = CONTAINER_OF(sink, struct memory, sink);

	(void)e;
	m->same = m->same && n <= m->n && !memcmp(m->p, from, n);
	m->p += MIN_OF(n, m->n);
	m->n -= MIN_OF(n, m->n);
	return 0;
}

static int nothing(void *arg, const struct nar_entry *entry, struct err *e)
{
	(void)arg, (void)entry, (void)e;
	return 0;
}

/* What is accepted must be exactly what the writer makes of the result. What only lists accepts the
 * same, and reads as far. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char dir[] = "/dev/shm/fz_nar.XXXXXX";
	struct memory m = { { take }, { compare }, data, size, true };
	struct memory again = m;
	auto_fd int fd = -1;
	int r;

	if (!mkdtemp(dir))
		abort();
	fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	r = nar_restore(&m.source, fd, "x", NULL);
	if ((nar_list(&again.source, nothing, NULL, NULL) == 0) != (r == 0) ||
	    (r == 0 && again.n != m.n))
		abort();
	if (r == 0) {
		size_t used = size - m.n;

		m.p = data;
		m.n = used;
		if (nar_dump(fd, "x", NULL, NULL, &m.sink, NULL) < 0 || !m.same || m.n)
			abort();
	} else if (faccessat(fd, "x", F_OK, AT_SYMLINK_NOFOLLOW) == 0) {
		abort(); /* a refused archive leaves nothing */
	}
	(void)file_delete_tree(fd, "x", NULL, NULL);
	if (rmdir(dir) < 0) /* something beside x was made */
		abort();
	return 0;
}
