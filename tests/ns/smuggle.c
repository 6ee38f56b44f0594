/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A builder of a fixed output and its accomplice outside, who meet at an abstract socket. Run by
 * fod-network.sh; static.
 *
 *	smuggle send NAME FILE        give FILE, open for writing, away: "sent"
 *	smuggle lend NAME FILE        the same, open for reading
 *	smuggle take NAME READY GO TEXT
 *	                              outside: listen, make the file READY, take a descriptor; when
 *	                              the pipe GO is opened for writing, put TEXT in: "wrote"
 *	smuggle run NAME READY        outside: the same, but execute it
 *	smuggle leave FILE            make a socket with a name: "left"
 *	smuggle flood ADDRESS PORT    packets that anybody can send, of all kinds: "flooded"
 *	smuggle scopes                whether the kernel can close abstract sockets
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#ifndef SYS_landlock_create_ruleset
#define SYS_landlock_create_ruleset 444
#endif
#define WITH_SCOPES 6

union control {
	struct cmsghdr head;
	char space[CMSG_SPACE(sizeof(int))];
};

static int open_socket(const char *name, struct sockaddr_un *sa, socklen_t *len)
{
	memset(sa, 0, sizeof(*sa));
	sa->sun_family = AF_UNIX;
	strncpy(sa->sun_path + 1, name, sizeof(sa->sun_path) - 2);
	*len = (socklen_t)(sizeof(sa->sun_family) + 1 + strlen(name));
	return socket(AF_UNIX, SOCK_STREAM, 0);
}

static int send_file(const char *name, const char *file, int mode)
{
	struct sockaddr_un sa;
	socklen_t len;
	union control control = { 0 };
	char byte = 'x';
	struct iovec iov = { &byte, 1 };
	struct msghdr msg = { .msg_iov = &iov,
			      .msg_iovlen = 1,
			      .msg_control = control.space,
			      .msg_controllen = sizeof(control.space) };
	int s = open_socket(name, &sa, &len), fd = open(file, mode);

	if (s < 0 || fd < 0)
		return 2;
	if (connect(s, (struct sockaddr *)&sa, len) < 0) {
		printf("not sent: %s\n", strerror(errno));
		return 1;
	}
	control.head.cmsg_level = SOL_SOCKET;
	control.head.cmsg_type = SCM_RIGHTS;
	control.head.cmsg_len = CMSG_LEN(sizeof(fd));
	memcpy(CMSG_DATA(&control.head), &fd, sizeof(fd));
	if (sendmsg(s, &msg, 0) < 0)
		return 2;
	printf("sent\n");
	fflush(stdout);
	return read(s, &byte, 1) != 1; /* until it has arrived */
}

static int listen_at(const char *name)
{
	struct sockaddr_un sa;
	socklen_t len;
	int s = open_socket(name, &sa, &len);

	if (s < 0 || bind(s, (struct sockaddr *)&sa, len) < 0 || listen(s, 1) < 0)
		return -1;
	return s;
}

static int take(const char *name, const char *ready)
{
	union control control = { 0 };
	char byte;
	struct iovec iov = { &byte, 1 };
	struct msghdr msg = { .msg_iov = &iov,
			      .msg_iovlen = 1,
			      .msg_control = control.space,
			      .msg_controllen = sizeof(control.space) };
	int s = listen_at(name), c, fd;

	if (s < 0 || open(ready, O_WRONLY | O_CREAT, 0644) < 0)
		return -1;
	c = accept(s, NULL, NULL);
	if (c < 0 || recvmsg(c, &msg, 0) != 1 || control.head.cmsg_type != SCM_RIGHTS)
		return -1;
	memcpy(&fd, CMSG_DATA(&control.head), sizeof(fd));
	if (write(c, "y", 1) != 1)
		return -1;
	return fd;
}

static int take_and_write(char **argv)
{
	int fd = take(argv[0], argv[1]);

	if (fd < 0 || open(argv[2], O_RDONLY) < 0) /* waits for the other end */
		return 2;
	if (pwrite(fd, argv[3], strlen(argv[3]), 0) < 0) {
		printf("not written: %s\n", strerror(errno));
		return 1;
	}
	printf("wrote\n");
	return 0;
}

static int take_and_run(char **argv)
{
	char *args[] = { "smuggled", "hello", NULL }, *none[] = { NULL };
	int fd = take(argv[0], argv[1]);

	(void)syscall(SYS_execveat, fd, "", args, none, AT_EMPTY_PATH);
	printf("not executed: %s\n", strerror(errno));
	return 1;
}

static int leave(const char *file)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	int s = socket(AF_UNIX, SOCK_STREAM, 0);

	strncpy(sa.sun_path, file, sizeof(sa.sun_path) - 1);
	if (s < 0 || bind(s, (struct sockaddr *)&sa, sizeof(sa)) < 0)
		return 1;
	printf("left\n");
	return 0;
}

static unsigned next(unsigned *seed)
{
	return *seed = *seed * 1103515245U + 12345U;
}

/* Datagrams of all sizes to the services that a helper offers and to none, and to everybody. */
static void flood_udp(unsigned *seed)
{
	static const char *const to[] = { "10.0.2.2", "10.0.2.3", "10.0.2.255", "10.0.2.77",
					  "224.0.0.1" };
	static const unsigned short ports[] = { 53, 67, 68, 69, 7, 0, 65535 };
	static char data[65507];
	int s = socket(AF_INET, SOCK_DGRAM, 0), yes = 1;

	(void)setsockopt(s, SOL_SOCKET, SO_BROADCAST, &yes, sizeof(yes));
	for (unsigned i = 0; i < 2000; i++) {
		struct sockaddr_in sa = { .sin_family = AF_INET };
		size_t n = next(seed) % (i % 10 ? 600 : sizeof(data));

		for (size_t k = 0; k < n; k++)
			data[k] = (char)(next(seed) >> 16);
		data[0] = 0; /* TFTP: requests, data, acknowledgements */
		data[1] = (char)(i % 6);
		sa.sin_port = htons(ports[i % 7]);
		sa.sin_addr.s_addr = inet_addr(to[(i / 7) % 5]);
		(void)sendto(s, data, n, MSG_DONTWAIT, (struct sockaddr *)&sa, sizeof(sa));
	}
	close(s);
}

/* Connections with urgent data, cut off, half closed, never used. */
static int flood_tcp(const char *address, int port)
{
	int made = 0;

	for (int i = 0; i < 100; i++) {
		struct sockaddr_in sa = { .sin_family = AF_INET, .sin_port = htons(port) };
		struct linger now = { 1, 0 };
		int s = socket(AF_INET, SOCK_STREAM, 0);

		sa.sin_addr.s_addr = inet_addr(address);
		if (connect(s, (struct sockaddr *)&sa, sizeof(sa)) == 0)
			made++;
		(void)send(s, "GET", 3, MSG_NOSIGNAL | (i % 2 ? MSG_OOB : 0));
		(void)send(s, "!", 1, MSG_NOSIGNAL | MSG_OOB);
		if (i % 3 == 0)
			(void)setsockopt(s, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
		if (i % 3 == 1)
			(void)shutdown(s, SHUT_WR);
		if (i % 5)
			close(s);
	}
	return made;
}

static int flood(const char *address, int port)
{
	unsigned seed = 1;

	flood_udp(&seed);
	if (flood_tcp(address, port) == 0)
		return 1;
	printf("flooded\n");
	return 0;
}

int main(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "";

	if (!strcmp(what, "hello")) {
		printf("executed\n");
		return 0;
	}
	if (!strcmp(what, "send") && argc == 4)
		return send_file(argv[2], argv[3], O_RDWR);
	if (!strcmp(what, "lend") && argc == 4)
		return send_file(argv[2], argv[3], O_RDONLY);
	if (!strcmp(what, "take") && argc == 6)
		return take_and_write(argv + 2);
	if (!strcmp(what, "run") && argc == 4)
		return take_and_run(argv + 2);
	if (!strcmp(what, "leave") && argc == 3)
		return leave(argv[2]);
	if (!strcmp(what, "flood") && argc == 4)
		return flood(argv[2], atoi(argv[3]));
	if (!strcmp(what, "scopes"))
		return syscall(SYS_landlock_create_ruleset, NULL, 0, 1) < WITH_SCOPES;
	return 2;
}
