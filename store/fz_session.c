/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What a client says, from its greeting on, to a daemon with a store of its own. The first byte
 * chooses the dialect. */
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "lib/fd.h"
#include "store/daemon/serve.h"

#define INPUT_MAX  (64U << 10)
#define BUFFER_MAX (8 << 20) /* for all answers: nobody reads them before the end */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char roots[2][40] = { "/dev/shm/fz_session_g.XXXXXX", "/dev/shm/fz_session_n.XXXXXX" };

static void remove_roots(void)
{
	for (int i = 0; i < 2; i++)
		(void)file_delete_tree(AT_FDCWD, roots[i], NULL, NULL); /* a scratch directory */
}

static void make_roots(void)
{
	static bool made;
	if (made)
		return;
	made = true;
	if (!mkdtemp(roots[0]) || !mkdtemp(roots[1]))
		abort();
	atexit(remove_roots);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	int pair[2], room = BUFFER_MAX;
	if (size < 1 || size > INPUT_MAX)
		return 0;
	make_roots();
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		abort();
	(void)setsockopt(pair[0], SOL_SOCKET, SO_SNDBUFFORCE, &room, sizeof(room));
	(void)setsockopt(pair[1], SOL_SOCKET, SO_SNDBUFFORCE, &room, sizeof(room));
	bool nix = data[0] & 1;
	bool sent = fd_write_full(pair[0], data + 1, size - 1) == 0;
	shutdown(pair[0], SHUT_WR);
	struct serve_opts o = { .local = { .root = roots[nix],
					   .dialect = nix ? DIALECT_NIX : DIALECT_GUIX,
					   .no_sync = true },
				.dialect = nix ? DIALECT_NIX : DIALECT_GUIX,
				.policy = POLICY_INIT,
				.max_jobs = 1,
				.client_uid = geteuid(),
				.client_gid = getegid(),
				.trusted = data[0] & 2,
				.broker = -1 };
	if (sent)
		serve(pair[1], &o);
	else
		close(pair[1]);
	close(pair[0]);
	return 0;
}
