/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "store/build/slirp.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <net/route.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "lib/fd.h"
#include "lib/size.h"
#include "store/build/helper.h"
#include "store/build/seccomp.h"

#define TUN_FILE    "/dev/net/tun"
#define TAP	    "tap0"
#define TUN_SET_IFF 0x400454caUL
#define TUN_TAP	    0x0002
#define TUN_NO_INFO 0x1000
#define MTU	    65520
#define GUEST	    "10.0.2.100"
#define NET_MASK    "255.255.255.0"
#define GATEWAY	    "10.0.2.2"
#define DNS	    "10.0.2.3"
#define GUEST6	    "fd00::64"
#define GATEWAY6    "fd00::2"
#define READY_MS    15000
#define SAID_MAX    300
#define IPV6_DIR    "proc/sys/net/ipv6/conf/" TAP

/* ---- Helper ---------------------------------------------------------------------------------- */

int slirp_find(const char *name, char ret[PATH_MAX], struct err *e)
{
	int r = helper_find(name, "slirp4netns", ret, e);
	if (r)
		return r;
	auto_fd int fd = open(TUN_FILE, O_RDWR | O_CLOEXEC);
	if (fd >= 0)
		return 0;
	r = err_sys(e, "cannot open " TUN_FILE);
	if (r == -EACCES || r == -EPERM)
		err_hint(e, r, "it should have mode 0666: chmod 0666 " TUN_FILE);
	else
		err_hint(e, r, "modprobe tun");
	return r;
}

/* The end of what it printed. */
static void read_said(int fd, char out[SAID_MAX])
{
	struct stat st;
	ssize_t n = -1;
	if (fstat(fd, &st) == 0) {
		off_t from = MAX_OF(st.st_size - (SAID_MAX - 1), (off_t)0);
		n = pread(fd, out, SAID_MAX - 1, from);
	}
	while (n > 0 && out[n - 1] == '\n')
		n--;
	out[MAX_OF(n, (ssize_t)0)] = 0;
	for (char *p = out; *p; p++)
		if (*p == '\n')
			*p = ';';
}

static int wait_ready(int fd, int said, struct err *e)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	char text[SAID_MAX], byte;
	int n = poll(&p, 1, READY_MS);
	if (n > 0 && read(fd, &byte, 1) == 1)
		return 0;
	read_said(said, text);
	return err_set(e, -ERR_SANDBOX, "slirp4netns %s: %s", n ? "ended" : "does not become ready",
		       text);
}

int slirp_start(struct slirp *s, int tap, struct err *e)
{
	const char *argv[] = { s->program,
			       "--ready-fd=3",
			       "--mtu=65520",
			       "--enable-ipv6",
			       "--netns-type=path",
			       "/etc",
			       TAP,
			       s->isolate ? "--disable-host-loopback" : NULL,
			       NULL };
	const char *paths[HELPER_PATHS_MAX] = { "/dev/null", "/dev/urandom", s->program };
	auto_str struct str resolv = STR_INIT;
	struct filter_prog filter;
	int ready[2];
	int r = filter_slirp(&filter, e);
	if (r)
		return r;
	helper_add_paths(paths, helper_system_paths);
	helper_read_resolv(&resolv);
	auto_fd int said = memfd_create("slirp4netns", MFD_CLOEXEC);
	if (said < 0 || pipe2(ready, O_CLOEXEC) < 0)
		return err_sys(e, "cannot start slirp4netns");
	const struct helper_file files[] = { { "/etc/resolv.conf", resolv.buf }, { NULL, NULL } };
	int fds[] = { tap, said, said, ready[1] };
	struct helper box = { .id = s->id,
			      .root = s->root,
			      .paths = paths,
			      .files = files,
			      .fds = fds,
			      .nfds = ARRAY_LEN(fds),
			      .filter = &filter,
			      .argv = argv };
	struct proc proc;
	r = helper_start(&box, &proc, e);
	close(ready[1]);
	if (!r) {
		r = wait_ready(ready[0], said, e);
		if (!r)
			s->helper = proc;
		else
			proc_end(&proc);
	}
	close(ready[0]);
	return r ? err_wrap(e, r, "the network of a build") : 0;
}

/* Whether the machine has an address of IPv6 that leads further than its own link. */
bool slirp_find_ipv6(void)
{
	static const char *const far[] = { "00", "40" }; /* global, site */
	char line[128], scope[3];
	FILE *f = fopen("/proc/net/if_inet6", "re");
	bool found = false;
	while (f && !found && fgets(line, sizeof(line), f))
		if (sscanf(line, "%*s %*s %*s %2s", scope) == 1)
			for (size_t i = 0; i < ARRAY_LEN(far); i++)
				found |= strcmp(scope, far[i]) == 0;
	if (f)
		fclose(f);
	return found;
}

/* ---- Builder's process ------------------------------------------------------------------------
 */

int slirp_open_tap(struct cell *c)
{
	struct ifreq ifr = { .ifr_name = TAP, .ifr_flags = TUN_TAP | TUN_NO_INFO };
	int fd = open(TUN_FILE, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		cell_die(c, 'S', "cannot open " TUN_FILE);
	if (ioctl(fd, TUN_SET_IFF, &ifr) < 0)
		cell_die(c, 'S', "cannot make the network device " TAP);
	return fd;
}

static struct sockaddr address(const char *text)
{
	struct sockaddr ret;
	struct sockaddr_in in = { .sin_family = AF_INET };
	(void)inet_pton(AF_INET, text, &in.sin_addr); /* constants */
	memcpy(&ret, &in, sizeof(ret));
	return ret;
}

static void configure_ipv4(struct cell *c, int fd)
{
	struct ifreq addr = { .ifr_name = TAP }, mask = { .ifr_name = TAP };
	struct ifreq mtu = { .ifr_name = TAP, .ifr_mtu = MTU };
	struct ifreq up = { .ifr_name = TAP, .ifr_flags = IFF_UP | IFF_RUNNING };
	char device[] = TAP;
	struct rtentry route = { .rt_flags = RTF_UP | RTF_GATEWAY, .rt_dev = device };
	addr.ifr_addr = address(GUEST);
	mask.ifr_netmask = address(NET_MASK);
	route.rt_gateway = address(GATEWAY);
	route.rt_dst = route.rt_genmask = address("0.0.0.0");
	if (ioctl(fd, SIOCSIFMTU, &mtu) < 0 || ioctl(fd, SIOCSIFADDR, &addr) < 0 ||
	    ioctl(fd, SIOCSIFNETMASK, &mask) < 0 || ioctl(fd, SIOCSIFFLAGS, &up) < 0)
		cell_die(c, 'S', "cannot give " TAP " an address");
	if (ioctl(fd, SIOCADDRT, &route) < 0)
		cell_die(c, 'S', "cannot make a route");
}

/* As the kernel has it. */
struct ifreq6 {
	struct in6_addr addr;
	uint32_t prefix;
	int index;
};

/* Nothing is learnt from what the other end announces, and no second is lost asking whether
 * somebody has our address. Without a kernel that has IPv6, there is none. */
static void configure_ipv6(struct cell *c, bool out)
{
	int fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return;
	struct ifreq6 addr = { .prefix = 64, .index = (int)if_nametoindex(TAP) };
	struct in6_rtmsg route = { .rtmsg_flags = RTF_UP | RTF_GATEWAY,
				   .rtmsg_metric = 1,
				   .rtmsg_ifindex = addr.index };
	(void)inet_pton(AF_INET6, GUEST6, &addr.addr); /* constants */
	(void)inet_pton(AF_INET6, GATEWAY6, &route.rtmsg_gateway);
	if (ioctl(fd, SIOCSIFADDR, &addr) < 0)
		cell_die(c, 'S', "cannot give " TAP " an address of IPv6");
	if (out && ioctl(fd, SIOCADDRT, &route) < 0)
		cell_die(c, 'S', "cannot make a route of IPv6");
	close(fd);
}

static void raise_loopback(struct cell *c, int fd)
{
	struct ifreq ifr = { .ifr_name = "lo", .ifr_flags = IFF_UP | IFF_LOOPBACK | IFF_RUNNING };
	if (ioctl(fd, SIOCSIFFLAGS, &ifr) < 0)
		cell_die(c, 'S', "cannot bring up the loopback interface");
}

void slirp_configure(struct cell *c, const struct slirp *s)
{
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		cell_die(c, 'S', "cannot make a socket");
	if (access(IPV6_DIR, F_OK) == 0) {
		cell_put_proc(c, IPV6_DIR "/accept_dad", "0");
		cell_put_proc(c, IPV6_DIR "/accept_ra", "0");
	}
	configure_ipv4(c, fd);
	configure_ipv6(c, s->ipv6);
	if (s->isolate)
		raise_loopback(c, fd);
	else /* 127.0.0.1 leads out: it is the machine's */
		cell_put_proc(c, "proc/sys/net/ipv4/conf/all/route_localnet", "1");
	close(fd);
}

void slirp_make_etc(struct cell *c, const struct slirp *s)
{
	cell_put_file(c, "etc/resolv.conf", "nameserver " DNS "\n");
	cell_put_file(c, "etc/nsswitch.conf", "hosts: files dns\nservices: files\n");
	cell_put_file(c, "etc/services",
		      "ftp 21/tcp\nssh 22/tcp\ndomain 53/tcp\ndomain 53/udp\nhttp 80/tcp\n"
		      "https 443/tcp\nrsync 873/tcp\nsvn 3690/tcp\ngit 9418/tcp\n");
	if (!s->isolate)
		cell_put_file(c, "etc/hosts", GATEWAY " localhost\n" GATEWAY6 " localhost\n");
}
