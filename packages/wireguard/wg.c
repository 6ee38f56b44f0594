// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * Keys and peers of WireGuard interfaces, in the words of the program of the same name: genkey,
 * set, show. The kernel derives the public key from the private one, so there is no arithmetic
 * here.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/wireguard.h>
#include <net/if.h>
#include <netdb.h>
#include <netlink/genl/ctrl.h>
#include <netlink/genl/genl.h>
#include <netlink/netlink.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#define KEY_TEXT 44 /* base64 of WG_KEY_LEN bytes */

static const char DIGITS[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

static _Noreturn void fail(const char *format, ...)
{
	va_list args;
	va_start(args, format);
	fputs("wg: ", stderr);
	vfprintf(stderr, format, args);
	fputc('\n', stderr);
	va_end(args);
	exit(1);
}

/* ---- Keys -------------------------------------------------------------------------------------
 */

static void key_format(char text[KEY_TEXT + 1], const uint8_t key[WG_KEY_LEN])
{
	for (int i = 0, o = 0; i < WG_KEY_LEN; i += 3) {
		uint32_t v = (uint32_t)key[i] << 16;
		v |= i + 1 < WG_KEY_LEN ? (uint32_t)key[i + 1] << 8 : 0;
		v |= i + 2 < WG_KEY_LEN ? key[i + 2] : 0;
		for (int shift = 18; shift >= 0; shift -= 6)
			text[o++] = DIGITS[v >> shift & 63];
	}
	text[KEY_TEXT - 1] = '=';
	text[KEY_TEXT] = 0;
}

static bool key_parse(uint8_t key[WG_KEY_LEN], const char *text)
{
	if (strlen(text) != KEY_TEXT || text[KEY_TEXT - 1] != '=')
		return false;
	uint32_t v = 0;
	for (int i = 0, o = 0; i < KEY_TEXT - 1; i++) {
		const char *digit = strchr(DIGITS, text[i]);
		if (!digit)
			return false;
		v = v << 6 | (uint32_t)(digit - DIGITS);
		if (i % 4 == 1 || i % 4 == 2 || i % 4 == 3)
			key[o++] = (uint8_t)(v >> (6 - i % 4 * 2));
	}
	return (v & 3) == 0; /* the last digit has four bits of the key */
}

static void key_read(uint8_t key[WG_KEY_LEN], const char *path)
{
	char line[KEY_TEXT + 3] = "";
	FILE *f = fopen(path, "re");
	if (!f)
		fail("%s: %s", path, strerror(errno));
	if (!fgets(line, sizeof(line), f))
		line[0] = 0;
	fclose(f);
	line[strcspn(line, "\r\n")] = 0;
	if (!key_parse(key, line))
		fail("%s: not a key", path);
}

static int genkey(void)
{
	uint8_t key[WG_KEY_LEN];
	char text[KEY_TEXT + 1];
	if (getrandom(key, sizeof(key), 0) != sizeof(key))
		fail("no random numbers: %s", strerror(errno));
	key[0] &= 248; /* what Curve25519 asks of a private key */
	key[31] = (key[31] & 127) | 64;
	key_format(text, key);
	return puts(text) < 0 || fflush(stdout);
}

/* ---- Talking to the kernel --------------------------------------------------------------------
 */

struct wire {
	struct nl_sock *sock;
	int family;
};

static struct wire wire_open(void)
{
	struct wire w = { .sock = nl_socket_alloc() };
	int r = w.sock ? genl_connect(w.sock) : -NLE_NOMEM;
	if (r)
		fail("netlink: %s", nl_geterror(r));
	w.family = genl_ctrl_resolve(w.sock, WG_GENL_NAME);
	if (w.family < 0)
		fail("the kernel has no WireGuard [kernel module wireguard]");
	return w;
}

static struct nl_msg *message(const struct wire *w, const char *interface, int command, int flags)
{
	struct nl_msg *m = nlmsg_alloc_size(65536);
	if (!m ||
	    !genlmsg_put(m, NL_AUTO_PORT, NL_AUTO_SEQ, w->family, 0, flags, (uint8_t)command,
			 WG_GENL_VERSION) ||
	    nla_put_string(m, WGDEVICE_A_IFNAME, interface))
		fail("out of memory");
	return m;
}

/* A put that fails means that the message is full. */
static void must(int r)
{
	if (r < 0)
		fail("too many addresses of one peer");
}

static void send_message(const struct wire *w, struct nl_msg *m, const char *interface)
{
	int r = nl_send_auto(w->sock, m);
	nlmsg_free(m);
	if (r >= 0)
		r = nl_wait_for_ack(w->sock);
	if (r < 0)
		fail("%s: %s", interface, nl_geterror(r));
}

/* ---- set --------------------------------------------------------------------------------------
 */

static unsigned long number(const char *text, unsigned long max, const char *what)
{
	char *end;
	errno = 0;
	unsigned long v = strtoul(text, &end, 10);
	if (errno || *end || end == text || text[0] == '-' || v > max)
		fail("%s: '%s' is not a number up to %lu", what, text, max);
	return v;
}

static void put_address(struct nl_msg *m, char *text)
{
	uint8_t ip[16];
	char *slash = strchr(text, '/');
	if (slash)
		*slash = 0;
	uint16_t family = strchr(text, ':') ? AF_INET6 : AF_INET;
	unsigned bits = family == AF_INET ? 32 : 128;
	if (inet_pton(family, text, ip) != 1)
		fail("allowed-ips: '%s' is not an address", text);
	uint8_t cidr = slash ? (uint8_t)number(slash + 1, bits, "allowed-ips") : (uint8_t)bits;
	struct nlattr *nest = nla_nest_start(m, 0);
	must(nest ? 0 : -1);
	must(nla_put_u16(m, WGALLOWEDIP_A_FAMILY, family));
	must(nla_put(m, WGALLOWEDIP_A_IPADDR, (int)bits / 8, ip));
	must(nla_put_u8(m, WGALLOWEDIP_A_CIDR_MASK, cidr));
	nla_nest_end(m, nest);
}

static void put_addresses(struct nl_msg *m, char *list)
{
	struct nlattr *nest = nla_nest_start(m, WGPEER_A_ALLOWEDIPS);
	must(nest ? 0 : -1);
	for (char *next, *one = list; one && *one; one = next) {
		next = strchr(one, ',');
		if (next)
			*next++ = 0;
		put_address(m, one);
	}
	nla_nest_end(m, nest);
}

/* HOST:PORT or [ADDRESS]:PORT. */
static void put_endpoint(struct nl_msg *m, char *text)
{
	char *colon = strrchr(text, ':'), *host = text;
	if (!colon || colon == text)
		fail("endpoint: '%s' has no port", text);
	*colon = 0;
	if (host[0] == '[' && colon[-1] == ']') {
		host++;
		colon[-1] = 0;
	}
	struct addrinfo hints = { .ai_socktype = SOCK_DGRAM, .ai_protocol = IPPROTO_UDP }, *found;
	int r = getaddrinfo(host, colon + 1, &hints, &found);
	if (r)
		fail("endpoint %s: %s", host, gai_strerror(r));
	must(nla_put(m, WGPEER_A_ENDPOINT, (int)found->ai_addrlen, found->ai_addr));
	freeaddrinfo(found);
}

/* Words from args[0] == "peer" on; gives the first that is not of this peer. */
static char **set_peer(const struct wire *w, const char *interface, char **args)
{
	uint8_t key[WG_KEY_LEN];
	if (!args[1] || !key_parse(key, args[1]))
		fail("peer: '%s' is not a key", args[1] ? args[1] : "");
	struct nl_msg *m = message(w, interface, WG_CMD_SET_DEVICE, NLM_F_REQUEST | NLM_F_ACK);
	struct nlattr *peers = nla_nest_start(m, WGDEVICE_A_PEERS), *peer = nla_nest_start(m, 0);
	must(peers && peer ? 0 : -1);
	must(nla_put(m, WGPEER_A_PUBLIC_KEY, WG_KEY_LEN, key));
	must(nla_put_u32(m, WGPEER_A_FLAGS, WGPEER_F_REPLACE_ALLOWEDIPS));
	for (args += 2; args[0] && strcmp(args[0], "peer") != 0; args += 2) {
		if (!args[1])
			fail("%s: the value is missing", args[0]);
		if (!strcmp(args[0], "allowed-ips"))
			put_addresses(m, args[1]);
		else if (!strcmp(args[0], "endpoint"))
			put_endpoint(m, args[1]);
		else if (!strcmp(args[0], "persistent-keepalive"))
			must(nla_put_u16(m, WGPEER_A_PERSISTENT_KEEPALIVE_INTERVAL,
					 (uint16_t)number(args[1], 65535, args[0])));
		else if (!strcmp(args[0], "preshared-key")) {
			key_read(key, args[1]);
			must(nla_put(m, WGPEER_A_PRESHARED_KEY, WG_KEY_LEN, key));
		} else
			fail("unknown word '%s'", args[0]);
	}
	nla_nest_end(m, peer);
	nla_nest_end(m, peers);
	send_message(w, m, interface);
	return args;
}

/* A message for the interface and one for each peer, so that their number has no bound. */
static int set(const char *interface, char **args)
{
	struct wire w = wire_open();
	struct nl_msg *m = message(&w, interface, WG_CMD_SET_DEVICE, NLM_F_REQUEST | NLM_F_ACK);
	uint8_t key[WG_KEY_LEN];
	for (; args[0] && strcmp(args[0], "peer") != 0; args += 2) {
		if (!args[1])
			fail("%s: the value is missing", args[0]);
		if (!strcmp(args[0], "listen-port"))
			must(nla_put_u16(m, WGDEVICE_A_LISTEN_PORT,
					 (uint16_t)number(args[1], 65535, args[0])));
		else if (!strcmp(args[0], "fwmark"))
			must(nla_put_u32(m, WGDEVICE_A_FWMARK,
					 (uint32_t)number(args[1], UINT32_MAX, args[0])));
		else if (!strcmp(args[0], "private-key")) {
			key_read(key, args[1]);
			must(nla_put(m, WGDEVICE_A_PRIVATE_KEY, WG_KEY_LEN, key));
		} else
			fail("unknown word '%s'", args[0]);
	}
	send_message(&w, m, interface);
	while (args[0])
		args = set_peer(&w, interface, args);
	nl_socket_free(w.sock);
	return 0;
}

/* ---- show -------------------------------------------------------------------------------------
 */

struct show {
	const char *field;	  /* "public-key", or NULL for all */
	bool seen;		  /* the interface's part was printed */
	uint8_t peer[WG_KEY_LEN]; /* of the last message; its addresses may go on in the next one */
};

static void print_key(const char *what, struct nlattr *a)
{
	char text[KEY_TEXT + 1];
	if (!a || nla_len(a) != WG_KEY_LEN)
		return;
	key_format(text, nla_data(a));
	printf("%s%s\n", what, text);
}

static void print_endpoint(struct nlattr *a)
{
	char host[INET6_ADDRSTRLEN];
	const struct sockaddr *s = nla_data(a);
	if (s->sa_family == AF_INET && nla_len(a) >= (int)sizeof(struct sockaddr_in)) {
		const struct sockaddr_in *in = nla_data(a);
		printf("  endpoint: %s:%d\n", inet_ntop(AF_INET, &in->sin_addr, host, sizeof(host)),
		       ntohs(in->sin_port));
	} else if (s->sa_family == AF_INET6 && nla_len(a) >= (int)sizeof(struct sockaddr_in6)) {
		const struct sockaddr_in6 *in = nla_data(a);
		printf("  endpoint: [%s]:%d\n",
		       inet_ntop(AF_INET6, &in->sin6_addr, host, sizeof(host)),
		       ntohs(in->sin6_port));
	}
}

static void print_addresses(struct nlattr *list)
{
	struct nlattr *at;
	int left;
	nla_for_each_nested(at, list, left)
	{
		struct nlattr *a[WGALLOWEDIP_A_MAX + 1];
		char text[INET6_ADDRSTRLEN];
		if (nla_parse_nested(a, WGALLOWEDIP_A_MAX, at, NULL) || !a[WGALLOWEDIP_A_IPADDR] ||
		    !a[WGALLOWEDIP_A_CIDR_MASK])
			continue;
		int family = nla_len(a[WGALLOWEDIP_A_IPADDR]) == 4 ? AF_INET : AF_INET6;
		if (inet_ntop(family, nla_data(a[WGALLOWEDIP_A_IPADDR]), text, sizeof(text)))
			printf("  allowed ip: %s/%d\n", text,
			       nla_get_u8(a[WGALLOWEDIP_A_CIDR_MASK]));
	}
}

static void print_peer(struct show *s, struct nlattr *peer)
{
	struct nlattr *a[WGPEER_A_MAX + 1];
	if (nla_parse_nested(a, WGPEER_A_MAX, peer, NULL) || !a[WGPEER_A_PUBLIC_KEY] ||
	    nla_len(a[WGPEER_A_PUBLIC_KEY]) != WG_KEY_LEN)
		return;
	if (memcmp(s->peer, nla_data(a[WGPEER_A_PUBLIC_KEY]), WG_KEY_LEN) != 0) {
		memcpy(s->peer, nla_data(a[WGPEER_A_PUBLIC_KEY]), WG_KEY_LEN);
		print_key("peer: ", a[WGPEER_A_PUBLIC_KEY]);
		if (a[WGPEER_A_ENDPOINT])
			print_endpoint(a[WGPEER_A_ENDPOINT]);
		if (a[WGPEER_A_LAST_HANDSHAKE_TIME] &&
		    nla_len(a[WGPEER_A_LAST_HANDSHAKE_TIME]) >= 8) {
			int64_t when;
			memcpy(&when, nla_data(a[WGPEER_A_LAST_HANDSHAKE_TIME]), sizeof(when));
			printf("  latest handshake: %lld\n", (long long)when);
		}
		if (a[WGPEER_A_RX_BYTES] && a[WGPEER_A_TX_BYTES])
			printf("  transfer: %llu received, %llu sent\n",
			       (unsigned long long)nla_get_u64(a[WGPEER_A_RX_BYTES]),
			       (unsigned long long)nla_get_u64(a[WGPEER_A_TX_BYTES]));
	}
	if (a[WGPEER_A_ALLOWEDIPS])
		print_addresses(a[WGPEER_A_ALLOWEDIPS]);
}

static int print_message(struct nl_msg *m, void *to)
{
	struct show *s = to;
	struct nlattr *a[WGDEVICE_A_MAX + 1], *peer;
	int left;
	if (genlmsg_parse(nlmsg_hdr(m), 0, a, WGDEVICE_A_MAX, NULL))
		return NL_SKIP;
	if (s->field) {
		if (!s->seen)
			print_key("", a[WGDEVICE_A_PUBLIC_KEY]);
		s->seen = true;
		return NL_OK;
	}
	if (!s->seen) {
		if (a[WGDEVICE_A_IFNAME])
			printf("interface: %s\n", nla_get_string(a[WGDEVICE_A_IFNAME]));
		print_key("  public key: ", a[WGDEVICE_A_PUBLIC_KEY]);
		if (a[WGDEVICE_A_LISTEN_PORT])
			printf("  listening port: %d\n", nla_get_u16(a[WGDEVICE_A_LISTEN_PORT]));
		s->seen = true;
	}
	if (a[WGDEVICE_A_PEERS])
		nla_for_each_nested(peer, a[WGDEVICE_A_PEERS], left) print_peer(s, peer);
	return NL_OK;
}

static int show(const char *interface, const char *field)
{
	struct show s = { .field = field };
	if (field && strcmp(field, "public-key") != 0)
		fail("unknown field '%s' [public-key]", field);
	struct wire w = wire_open();
	struct nl_msg *m = message(&w, interface, WG_CMD_GET_DEVICE, NLM_F_REQUEST | NLM_F_DUMP);
	nl_socket_modify_cb(w.sock, NL_CB_VALID, NL_CB_CUSTOM, print_message, &s);
	int r = nl_send_auto(w.sock, m);
	nlmsg_free(m);
	if (r >= 0)
		r = nl_recvmsgs_default(w.sock);
	if (r < 0)
		fail("%s: %s", interface, nl_geterror(r));
	nl_socket_free(w.sock);
	return fflush(stdout) != 0;
}

static const char USAGE[] =
	"usage: wg genkey                            print a new private key\n"
	"       wg show INTERFACE [public-key]       its keys, peers, and what they sent\n"
	"       wg set INTERFACE [listen-port N] [fwmark N] [private-key FILE]\n"
	"              [peer KEY [preshared-key FILE] [endpoint HOST:PORT]\n"
	"                        [persistent-keepalive SECONDS] [allowed-ips ADDRESS/BITS,…]]…\n"
	"Keys are text (base64); a file holds one in its first line. Allowed addresses of a peer "
	"are replaced.\n";

int main(int argc, char **argv)
{
	if (argc == 2 && (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h")))
		return fputs(USAGE, stdout) < 0 || fflush(stdout);
	if (argc == 2 && !strcmp(argv[1], "genkey"))
		return genkey();
	if ((argc == 3 || argc == 4) && !strcmp(argv[1], "show"))
		return show(argv[2], argv[3]);
	if (argc >= 4 && !strcmp(argv[1], "set"))
		return set(argv[2], argv + 3);
	fputs(USAGE, stderr);
	return 2;
}
