// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * Puts a packet filter into the kernel's nf_tables: all of a file, or nothing. It becomes the table
 *NAME of the family inet, in the place of the one that was there, in one transaction; connections
 *that are known stay known.
 *
 * The file has one thing in a line, words with blanks between them:
 *
 *	chain NAME filter|nat input|forward|output|prerouting|postrouting PRIORITY accept|drop
 *	rule CHAIN [MATCH WORD…]… [limit N/second|minute|hour BURST] [log PREFIX] VERDICT
 *
 *	MATCH    iif NAME, oif NAME, family 4|6, proto tcp|udp|icmp|icmpv6, dport FIRST-LAST, type N
 *(of ICMP), saddr ADDRESS/BITS, daddr ADDRESS/BITS, state established|related|invalid|new[,…],
 *status dnat VERDICT  accept, drop, reject, reset, masquerade, dnat ADDRESS [PORT], continue
 *
 * A rule whose match looks into a header of one family or protocol must say that first (family,
 *proto).
 */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_conntrack_common.h>
#include <linux/netfilter/nf_nat.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netlink/msg.h>
#include <netlink/netlink.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

enum {
	LIMIT_LINE = 1024,
	LIMIT_WORDS = 64,
	LIMIT_BATCH = 4 << 20, /* bytes of a transaction */
	LIMIT_MESSAGE = 16384,
};

static const char *file = "-";
static int line;

static _Noreturn void fail(const char *format, ...)
{
	va_list args;
	va_start(args, format);
	fprintf(stderr, line ? "nftload: %s:%d: " : "nftload: %s: ", file, line);
	vfprintf(stderr, format, args);
	fputc('\n', stderr);
	va_end(args);
	exit(1);
}

/* ---- The transaction --------------------------------------------------------------------------
 */

struct batch {
	char *buf;
	size_t n;
	uint32_t seq;
	int *lines; /* of each message, by seq */
};

/* Takes m. */
static void append(struct batch *b, struct nl_msg *m)
{
	struct nlmsghdr *h = nlmsg_hdr(m);
	size_t size = NLMSG_ALIGN(h->nlmsg_len);
	if (b->n + size > LIMIT_BATCH)
		fail("the rules are larger than %d bytes", LIMIT_BATCH);
	h->nlmsg_seq = b->seq;
	h->nlmsg_pid = 0;
	b->lines = realloc(b->lines, (b->seq + 1) * sizeof(int));
	if (!b->lines)
		fail("out of memory");
	b->lines[b->seq++] = line;
	memcpy(b->buf + b->n, h, h->nlmsg_len);
	memset(b->buf + b->n + h->nlmsg_len, 0, size - h->nlmsg_len);
	b->n += size;
	nlmsg_free(m);
}

static struct nl_msg *message(int type, int flags, int family, int resource)
{
	struct nfgenmsg head = { .nfgen_family = (uint8_t)family,
				 .version = NFNETLINK_V0,
				 .res_id = htons((uint16_t)resource) };
	struct nl_msg *m = nlmsg_alloc_size(LIMIT_MESSAGE);
	if (!m || !nlmsg_put(m, 0, 0, type, 0, NLM_F_REQUEST | flags) ||
	    nlmsg_append(m, &head, sizeof(head), NLMSG_ALIGNTO))
		fail("out of memory");
	return m;
}

static struct nl_msg *table_message(int command, int flags)
{
	return message(NFNL_SUBSYS_NFTABLES << 8 | command, flags | NLM_F_ACK, NFPROTO_INET, 0);
}

static void boundary(struct batch *b, int type)
{
	append(b, message(type, 0, AF_UNSPEC, NFNL_SUBSYS_NFTABLES));
}

static void must(int r)
{
	if (r < 0)
		fail("the rule is too long");
}

static struct nlattr *nest(struct nl_msg *m, int type)
{
	struct nlattr *a = nla_nest_start(m, type | NLA_F_NESTED);
	must(a ? 0 : -1);
	return a;
}

static void put32(struct nl_msg *m, int type, uint32_t v)
{
	must(nla_put_u32(m, type, htonl(v)));
}

static void put64(struct nl_msg *m, int type, uint64_t v)
{
	uint32_t halves[2] = { htonl((uint32_t)(v >> 32)), htonl((uint32_t)v) };
	must(nla_put(m, type, sizeof(halves), halves));
}

/* What the kernel says to each message; the first error is told with its line. */
static void commit(struct batch *b)
{
	static char answer[65536];
	struct nl_sock *sock = nl_socket_alloc();
	if (!sock || nl_connect(sock, NETLINK_NETFILTER) ||
	    nl_socket_set_buffer_size(sock, 1 << 20, LIMIT_BATCH))
		fail("netlink: %s", strerror(errno));
	int r = nl_sendto(sock, b->buf, b->n);
	if (r < 0)
		fail("netlink: %s", nl_geterror(r));
	/* All of one transaction is answered before sending returns. */
	ssize_t n;
	bool any = false;
	while ((n = recv(nl_socket_get_fd(sock), answer, sizeof(answer), MSG_DONTWAIT)) > 0) {
		int left = (int)n;
		for (struct nlmsghdr *h = (void *)answer; nlmsg_ok(h, left);
		     h = nlmsg_next(h, &left)) {
			if (h->nlmsg_type != NLMSG_ERROR)
				continue;
			const struct nlmsgerr *why = nlmsg_data(h);
			any = true;
			if (!why->error)
				continue;
			line = h->nlmsg_seq < b->seq ? b->lines[h->nlmsg_seq] : 0;
			fail("the kernel refuses it: %s%s", strerror(-why->error),
			     why->error == -ENOENT ? " [is a kernel module missing?]" : "");
		}
	}
	if (!any)
		fail("the kernel did not answer [kernel module nf_tables]");
	nl_socket_free(sock);
}

/* ---- Expressions ------------------------------------------------------------------------------
 */

struct expression {
	struct nlattr *element, *data;
};

static struct expression begin(struct nl_msg *m, const char *name)
{
	struct expression e = { .element = nest(m, NFTA_LIST_ELEM) };
	must(nla_put_string(m, NFTA_EXPR_NAME, name));
	e.data = nest(m, NFTA_EXPR_DATA);
	return e;
}

static void end(struct nl_msg *m, struct expression e)
{
	nla_nest_end(m, e.data);
	nla_nest_end(m, e.element);
}

static void put_value(struct nl_msg *m, int type, const void *v, size_t n)
{
	struct nlattr *a = nest(m, type);
	must(nla_put(m, NFTA_DATA_VALUE, (int)n, v));
	nla_nest_end(m, a);
}

static void compare(struct nl_msg *m, enum nft_cmp_ops how, const void *v, size_t n)
{
	struct expression e = begin(m, "cmp");
	put32(m, NFTA_CMP_SREG, NFT_REG_1);
	put32(m, NFTA_CMP_OP, how);
	put_value(m, NFTA_CMP_DATA, v, n);
	end(m, e);
}

static void mask(struct nl_msg *m, const void *bits, size_t n)
{
	static const char zero[16];
	struct expression e = begin(m, "bitwise");
	put32(m, NFTA_BITWISE_SREG, NFT_REG_1);
	put32(m, NFTA_BITWISE_DREG, NFT_REG_1);
	put32(m, NFTA_BITWISE_LEN, (uint32_t)n);
	put_value(m, NFTA_BITWISE_MASK, bits, n);
	put_value(m, NFTA_BITWISE_XOR, zero, n);
	end(m, e);
}

static void load_meta(struct nl_msg *m, enum nft_meta_keys key)
{
	struct expression e = begin(m, "meta");
	put32(m, NFTA_META_KEY, key);
	put32(m, NFTA_META_DREG, NFT_REG_1);
	end(m, e);
}

static void load_header(struct nl_msg *m, enum nft_payload_bases base, uint32_t offset, uint32_t n)
{
	struct expression e = begin(m, "payload");
	put32(m, NFTA_PAYLOAD_DREG, NFT_REG_1);
	put32(m, NFTA_PAYLOAD_BASE, base);
	put32(m, NFTA_PAYLOAD_OFFSET, offset);
	put32(m, NFTA_PAYLOAD_LEN, n);
	end(m, e);
}

/* Some of the bits of what conntrack knows under key are set. */
static void connection(struct nl_msg *m, enum nft_ct_keys key, uint32_t bits)
{
	uint32_t none = 0;
	struct expression e = begin(m, "ct");
	put32(m, NFTA_CT_KEY, key);
	put32(m, NFTA_CT_DREG, NFT_REG_1);
	end(m, e);
	mask(m, &bits, sizeof(bits));
	compare(m, NFT_CMP_NEQ, &none, sizeof(none));
}

static void immediate(struct nl_msg *m, uint32_t reg, const void *v, size_t n)
{
	struct expression e = begin(m, "immediate");
	put32(m, NFTA_IMMEDIATE_DREG, reg);
	put_value(m, NFTA_IMMEDIATE_DATA, v, n);
	end(m, e);
}

static void verdict(struct nl_msg *m, int code)
{
	struct expression e = begin(m, "immediate");
	put32(m, NFTA_IMMEDIATE_DREG, NFT_REG_VERDICT);
	struct nlattr *data = nest(m, NFTA_IMMEDIATE_DATA), *v = nest(m, NFTA_DATA_VERDICT);
	put32(m, NFTA_VERDICT_CODE, (uint32_t)code);
	nla_nest_end(m, v);
	nla_nest_end(m, data);
	end(m, e);
}

/* ---- Words ------------------------------------------------------------------------------------
 */

struct words {
	char *word[LIMIT_WORDS + 1];
	int at;
};

static char *next(struct words *w, const char *what)
{
	if (!w->word[w->at])
		fail("%s is missing", what);
	return w->word[w->at++];
}

static unsigned long number(const char *text, unsigned long max)
{
	char *rest;
	errno = 0;
	unsigned long v = strtoul(text, &rest, 10);
	if (errno || *rest || rest == text || text[0] == '-' || v > max)
		fail("'%s' is not a number up to %lu", text, max);
	return v;
}

/* The row of a table that is called text. */
struct row {
	const char *name;
	int value;
};

static int find(const struct row *rows, const char *text, const char *what)
{
	for (; rows->name; rows++)
		if (!strcmp(rows->name, text))
			return rows->value;
	fail("'%s' is not %s", text, what);
}

static void interface(struct nl_msg *m, enum nft_meta_keys key, const char *name)
{
	char padded[IFNAMSIZ] = "";
	if (strlen(name) >= IFNAMSIZ)
		fail("'%s' is longer than a name of an interface", name);
	memcpy(padded, name, strlen(name));
	load_meta(m, key);
	compare(m, NFT_CMP_EQ, padded, sizeof(padded));
}

static void meta_byte(struct nl_msg *m, enum nft_meta_keys key, int v)
{
	uint8_t byte = (uint8_t)v;
	load_meta(m, key);
	compare(m, NFT_CMP_EQ, &byte, 1);
}

static void ports(struct nl_msg *m, char *text)
{
	char *dash = strchr(text, '-');
	if (!dash)
		fail("'%s' is not FIRST-LAST", text);
	*dash = 0;
	uint16_t first = htons((uint16_t)number(text, 65535)),
		 last = htons((uint16_t)number(dash + 1, 65535));
	load_header(m, NFT_PAYLOAD_TRANSPORT_HEADER, 2, sizeof(first));
	compare(m, NFT_CMP_GTE, &first, sizeof(first));
	compare(m, NFT_CMP_LTE, &last, sizeof(last));
}

/* Length of the address in bytes. */
static size_t address(const char *text, uint8_t ip[16])
{
	int family = strchr(text, ':') ? AF_INET6 : AF_INET;
	if (inet_pton(family, text, ip) != 1)
		fail("'%s' is not an address", text);
	return family == AF_INET ? 4 : 16;
}

static void network(struct nl_msg *m, char *text, bool source)
{
	uint8_t ip[16], bits[16] = { 0 };
	char *slash = strchr(text, '/');
	if (!slash)
		fail("'%s' is not ADDRESS/BITS", text);
	*slash = 0;
	size_t n = address(text, ip);
	unsigned long prefix = number(slash + 1, 8 * n);
	for (size_t i = 0; i < n; i++) {
		unsigned long here = prefix > 8 * i ? prefix - 8 * i : 0;
		bits[i] = here >= 8 ? 0xff : (uint8_t)(0xff00 >> here);
		ip[i] &= bits[i];
	}
	load_header(m, NFT_PAYLOAD_NETWORK_HEADER, n == 4 ? (source ? 12 : 16) : (source ? 8 : 24),
		    (uint32_t)n);
	mask(m, bits, n);
	compare(m, NFT_CMP_EQ, ip, n);
}

static void states(struct nl_msg *m, char *list)
{
	static const struct row names[] = {
		{ "invalid", NF_CT_STATE_INVALID_BIT },
		{ "established", NF_CT_STATE_BIT(IP_CT_ESTABLISHED) },
		{ "related", NF_CT_STATE_BIT(IP_CT_RELATED) },
		{ "new", NF_CT_STATE_BIT(IP_CT_NEW) },
		{ NULL, 0 },
	};
	uint32_t bits = 0;
	for (char *rest = NULL, *one = strtok_r(list, ",", &rest); one;
	     one = strtok_r(NULL, ",", &rest))
		bits |= (uint32_t)find(names, one, "a state of connections");
	connection(m, NFT_CT_STATE, bits);
}

static void limit(struct nl_msg *m, char *text, const char *burst)
{
	static const struct row units[] = {
		{ "second", 1 }, { "minute", 60 }, { "hour", 3600 }, { NULL, 0 }
	};
	char *slash = strchr(text, '/');
	if (!slash)
		fail("'%s' is not N/second, N/minute or N/hour", text);
	*slash = 0;
	struct expression e = begin(m, "limit");
	put64(m, NFTA_LIMIT_RATE, number(text, 1000000));
	put64(m, NFTA_LIMIT_UNIT, (uint64_t)find(units, slash + 1, "second, minute or hour"));
	put32(m, NFTA_LIMIT_BURST, (uint32_t)number(burst, 1000000));
	put32(m, NFTA_LIMIT_TYPE, NFT_LIMIT_PKTS);
	end(m, e);
}

static void write_log(struct nl_msg *m, const char *prefix)
{
	char text[64];
	struct expression e = begin(m, "log");
	snprintf(text, sizeof(text), "%s ", prefix); /* a word has no blank to end with */
	must(nla_put_string(m, NFTA_LOG_PREFIX, text));
	end(m, e);
}

/* ---- Rules ------------------------------------------------------------------------------------
 */

static const struct row protocols[] = {
	{ "tcp", IPPROTO_TCP },
	{ "udp", IPPROTO_UDP },
	{ "icmp", IPPROTO_ICMP },
	{ "icmpv6", IPPROTO_ICMPV6 },
	{ NULL, 0 },
};
static const struct row families[] = { { "4", NFPROTO_IPV4 }, { "6", NFPROTO_IPV6 }, { NULL, 0 } };

/* A match, or what happens by the way. False: word is none of these. */
static bool match(struct nl_msg *m, struct words *w, const char *word)
{
	if (!strcmp(word, "iif"))
		interface(m, NFT_META_IIFNAME, next(w, "the interface"));
	else if (!strcmp(word, "oif"))
		interface(m, NFT_META_OIFNAME, next(w, "the interface"));
	else if (!strcmp(word, "family"))
		meta_byte(m, NFT_META_NFPROTO, find(families, next(w, "the family"), "4 or 6"));
	else if (!strcmp(word, "proto"))
		meta_byte(m, NFT_META_L4PROTO,
			  find(protocols, next(w, "the protocol"), "a protocol"));
	else if (!strcmp(word, "dport"))
		ports(m, next(w, "the port"));
	else if (!strcmp(word, "type")) {
		uint8_t type = (uint8_t)number(next(w, "the type"), 255);
		load_header(m, NFT_PAYLOAD_TRANSPORT_HEADER, 0, 1);
		compare(m, NFT_CMP_EQ, &type, 1);
	} else if (!strcmp(word, "saddr"))
		network(m, next(w, "the network"), true);
	else if (!strcmp(word, "daddr"))
		network(m, next(w, "the network"), false);
	else if (!strcmp(word, "state"))
		states(m, next(w, "the state"));
	else if (!strcmp(word, "status"))
		connection(m, NFT_CT_STATUS,
			   (uint32_t)find((struct row[]){ { "dnat", IPS_DST_NAT }, { NULL, 0 } },
					  next(w, "the status"), "dnat"));
	else if (!strcmp(word, "limit")) {
		char *rate = next(w, "the rate");
		limit(m, rate, next(w, "the burst"));
	} else if (!strcmp(word, "log"))
		write_log(m, next(w, "the prefix"));
	else
		return false;
	return true;
}

static void reject(struct nl_msg *m, enum nft_reject_types type)
{
	struct expression e = begin(m, "reject");
	put32(m, NFTA_REJECT_TYPE, type);
	if (type == NFT_REJECT_ICMPX_UNREACH)
		must(nla_put_u8(m, NFTA_REJECT_ICMP_CODE, NFT_REJECT_ICMPX_PORT_UNREACH));
	end(m, e);
}

static void dnat(struct nl_msg *m, const char *to, const char *port)
{
	uint8_t ip[16];
	size_t n = address(to, ip);
	immediate(m, NFT_REG_1, ip, n);
	if (port) {
		uint16_t p = htons((uint16_t)number(port, 65535));
		immediate(m, NFT_REG_2, &p, sizeof(p));
	}
	struct expression e = begin(m, "nat");
	put32(m, NFTA_NAT_TYPE, NFT_NAT_DNAT);
	put32(m, NFTA_NAT_FAMILY, n == 4 ? NFPROTO_IPV4 : NFPROTO_IPV6);
	put32(m, NFTA_NAT_REG_ADDR_MIN, NFT_REG_1);
	if (port) {
		put32(m, NFTA_NAT_REG_PROTO_MIN, NFT_REG_2);
		put32(m, NFTA_NAT_FLAGS, NF_NAT_RANGE_PROTO_SPECIFIED);
	}
	end(m, e);
}

static void decide(struct nl_msg *m, struct words *w, const char *word)
{
	if (!strcmp(word, "accept"))
		verdict(m, NF_ACCEPT);
	else if (!strcmp(word, "drop"))
		verdict(m, NF_DROP);
	else if (!strcmp(word, "reject"))
		reject(m, NFT_REJECT_ICMPX_UNREACH);
	else if (!strcmp(word, "reset"))
		reject(m, NFT_REJECT_TCP_RST);
	else if (!strcmp(word, "masquerade"))
		end(m, begin(m, "masq"));
	else if (!strcmp(word, "dnat")) {
		char *to = next(w, "the address");
		dnat(m, to, w->word[w->at] ? next(w, "the port") : NULL);
	} else if (strcmp(word, "continue") != 0)
		fail("unknown word '%s'", word);
	if (w->word[w->at])
		fail("'%s' stands behind what happens", w->word[w->at]);
}

static void add_rule(struct batch *b, const char *table, struct words *w)
{
	struct nl_msg *m = table_message(NFT_MSG_NEWRULE, NLM_F_CREATE | NLM_F_APPEND);
	must(nla_put_string(m, NFTA_RULE_TABLE, table));
	must(nla_put_string(m, NFTA_RULE_CHAIN, next(w, "the chain")));
	struct nlattr *list = nest(m, NFTA_RULE_EXPRESSIONS);
	const char *word;
	do
		word = next(w, "what happens");
	while (match(m, w, word));
	end(m, begin(m, "counter"));
	decide(m, w, word);
	nla_nest_end(m, list);
	append(b, m);
}

static void add_chain(struct batch *b, const char *table, struct words *w)
{
	static const struct row types[] = { { "filter", 0 }, { "nat", 1 }, { NULL, 0 } };
	static const struct row hooks[] = {
		{ "prerouting", NF_INET_PRE_ROUTING },	 { "input", NF_INET_LOCAL_IN },
		{ "forward", NF_INET_FORWARD },		 { "output", NF_INET_LOCAL_OUT },
		{ "postrouting", NF_INET_POST_ROUTING }, { NULL, 0 },
	};
	static const struct row policies[] = { { "accept", NF_ACCEPT },
					       { "drop", NF_DROP },
					       { NULL, 0 } };
	struct nl_msg *m = table_message(NFT_MSG_NEWCHAIN, NLM_F_CREATE);
	must(nla_put_string(m, NFTA_CHAIN_TABLE, table));
	must(nla_put_string(m, NFTA_CHAIN_NAME, next(w, "the name")));
	const char *type = next(w, "the type");
	(void)find(types, type, "filter or nat");
	must(nla_put_string(m, NFTA_CHAIN_TYPE, type));
	struct nlattr *hook = nest(m, NFTA_CHAIN_HOOK);
	put32(m, NFTA_HOOK_HOOKNUM, (uint32_t)find(hooks, next(w, "the hook"), "a hook"));
	const char *priority = next(w, "the priority");
	bool negative = priority[0] == '-';
	long v = (long)number(priority + negative, 1000);
	put32(m, NFTA_HOOK_PRIORITY, (uint32_t)(negative ? -v : v));
	nla_nest_end(m, hook);
	put32(m, NFTA_CHAIN_POLICY,
	      (uint32_t)find(policies, next(w, "the policy"), "accept or drop"));
	append(b, m);
}

static void table_command(struct batch *b, const char *table, int command, int flags)
{
	struct nl_msg *m = table_message(command, flags);
	must(nla_put_string(m, NFTA_TABLE_NAME, table));
	append(b, m);
}

/* ---- The file ---------------------------------------------------------------------------------
 */

static void read_line(struct batch *b, const char *table, char *text)
{
	struct words w = { .at = 0 };
	int n = 0;
	for (char *rest = NULL, *one = strtok_r(text, " \t\n", &rest); one;
	     one = strtok_r(NULL, " \t\n", &rest)) {
		if (n == LIMIT_WORDS)
			fail("more than %d words", LIMIT_WORDS);
		w.word[n++] = one;
	}
	w.word[n] = NULL;
	if (!n || w.word[0][0] == '#')
		return;
	const char *what = next(&w, "");
	if (!strcmp(what, "chain"))
		add_chain(b, table, &w);
	else if (!strcmp(what, "rule"))
		add_rule(b, table, &w);
	else
		fail("'%s' is neither chain nor rule", what);
}

static void read_file(struct batch *b, const char *table)
{
	char text[LIMIT_LINE];
	FILE *f = fopen(file, "re");
	if (!f)
		fail("%s", strerror(errno));
	while (fgets(text, sizeof(text), f)) {
		line++;
		if (!strchr(text, '\n'))
			fail("the line is longer than %d bytes, or does not end", LIMIT_LINE - 2);
		read_line(b, table, text);
	}
	if (ferror(f))
		fail("cannot be read");
	fclose(f);
	line = 0;
}

static const char USAGE[] = "usage: nftload TABLE FILE            the table inet TABLE is what "
			    "FILE says, or stays what it was\n"
			    "       nftload --check TABLE FILE    only read the file\n"
			    "       nftload --remove TABLE        there is no such table\n";

int main(int argc, char **argv)
{
	struct batch b = { .buf = malloc(LIMIT_BATCH) };
	bool check = argc == 4 && !strcmp(argv[1], "--check"),
	     remove = argc == 3 && !strcmp(argv[1], "--remove");
	if (argc == 2 && !strcmp(argv[1], "--help"))
		return fputs(USAGE, stdout) < 0 || fflush(stdout);
	if (!check && !remove && (argc != 3 || argv[1][0] == '-')) {
		fputs(USAGE, stderr);
		return 2;
	}
	if (!b.buf)
		fail("out of memory");
	const char *table = argv[check || remove ? 2 : 1];
	boundary(&b, NFNL_MSG_BATCH_BEGIN);
	/* Made first, so that it can be deleted whether it was there or not. */
	table_command(&b, table, NFT_MSG_NEWTABLE, NLM_F_CREATE);
	table_command(&b, table, NFT_MSG_DELTABLE, 0);
	if (!remove) {
		file = argv[check ? 3 : 2];
		table_command(&b, table, NFT_MSG_NEWTABLE, NLM_F_CREATE);
		read_file(&b, table);
	}
	boundary(&b, NFNL_MSG_BATCH_END);
	if (!check)
		commit(&b);
	return 0;
}
