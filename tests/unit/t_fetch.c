/* SPDX-License-Identifier: GPL-3.0-or-later */
/* How much a download may bring, whatever a server says or keeps to itself of its length. */
#include "store/build/fetch.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "lib/fd.h"
#include "tests/unit/test.h"

#define SIZE 200000

static char dir[256], body[SIZE];
static int where = -1;
static unsigned port;
static pid_t server;

/* Any request: SIZE bytes, of whose number nothing is said. */
__attribute__((noreturn)) static void serve(int sock)
{
	static const char head[] = "HTTP/1.0 200 OK\r\n\r\n";

	for (;;) {
		auto_fd int conn = accept(sock, NULL, NULL);
		char request[4096];
		ssize_t n = 0, got = 1;

		while (conn >= 0 && got > 0 && !memmem(request, (size_t)n, "\r\n\r\n", 4)) {
			got = read(conn, request + n, sizeof(request) - (size_t)n);
			n += got > 0 ? got : 0;
		}
		if (fd_write_full(conn, head, sizeof(head) - 1) == 0)
			(void)fd_write_full(conn, body, SIZE);
	}
}

static bool begin(void)
{
	const char *tmp = getenv("TMP");
	struct sockaddr_in sa = { .sin_family = AF_INET,
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(sa);
	auto_fd int sock = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	signal(SIGPIPE, SIG_IGN);
	unsetenv("http_proxy");
	unsetenv("all_proxy");
	unsetenv("ALL_PROXY");
	memset(body, 'x', SIZE);
	snprintf(dir, sizeof(dir), "%.200s/t_fetch.XXXXXX", tmp && *tmp ? tmp : "/tmp");
	if (!mkdtemp(dir) || sock < 0 || bind(sock, (struct sockaddr *)&sa, sizeof(sa)) < 0 ||
	    listen(sock, 8) < 0 || getsockname(sock, (struct sockaddr *)&sa, &len) < 0)
		return false;
	port = ntohs(sa.sin_port);
	where = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	server = fork();
	if (server == 0)
		serve(sock);
	return server > 0 && where >= 0;
}

static void end(void)
{
	kill(server, SIGKILL);
	CHECK_INT(waitpid(server, NULL, 0), server);
	fd_close(&where);
	CHECK_INT(file_delete_tree(AT_FDCWD, dir, NULL, NULL), 0);
}

static int fetch(const char *const *urls, size_t n, uint64_t limit, struct err *e)
{
	struct digest want = digest_of(DIGEST_SHA256, body, SIZE);
	struct fetch f = { .urls = urls,
			   .nurls = n,
			   .want = &want,
			   .dirfd = where,
			   .name = "file",
			   .mode = 0644,
			   .limit = limit };

	(void)unlinkat(where, "file", 0); /* may not be there */
	return fetch_run(&f, e);
}

TEST(a_server)
{
	char url[64];
	const char *const urls[] = { url };
	struct err e = ERR_INIT;

	if (!begin()) {
		TEST_FAIL("no server: %s", strerror(errno));
		return;
	}
	snprintf(url, sizeof(url), "http://127.0.0.1:%u/file", port);
	CHECK_INT(fetch(urls, 1, SIZE, &e), 0);
	CHECK_STR(e.msg, "");
	CHECK_INT(faccessat(where, "file", F_OK, 0), 0);
	CHECK_INT(fetch(urls, 1, SIZE - 1, &e), -ERR_FETCH);
	CHECK(strstr(e.msg, "larger than 199999 bytes") != NULL);
	CHECK_INT(faccessat(where, "file", F_OK, 0), -1);
	end();
}

/* The administrator's own directory; the URL alone could not be used. */
TEST(a_directory)
{
	char mirror[300], file[300];
	const char *const urls[] = { "file:///nowhere" };
	struct err e = ERR_INIT;

	if (!begin()) {
		TEST_FAIL("no server: %s", strerror(errno));
		return;
	}
	snprintf(mirror, sizeof(mirror), "file://%s/%%n.copy", dir);
	snprintf(file, sizeof(file), "%s/file.copy", dir);
	CHECK_INT(file_write_atomic(AT_FDCWD, file, body, SIZE, 0644, &e), 0);
	CHECK_INT(setenv("CAIRN_CONTENT_MIRRORS", mirror, 1), 0);
	CHECK_INT(fetch(urls, 1, SIZE, &e), 0);
	CHECK_STR(e.msg, "");
	CHECK_INT(fetch(urls, 1, SIZE - 1, &e), -ERR_FETCH);
	CHECK(strstr(e.msg, "larger than 199999 bytes") != NULL);
	CHECK_INT(faccessat(where, "file", F_OK, 0), -1);
	CHECK_INT(unsetenv("CAIRN_CONTENT_MIRRORS"), 0);
	end();
}

TEST_MAIN(a_server, a_directory)
