/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "image/answers.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>

#include "lib/base64.h"
#include "lib/conf.h"
#include "lib/gpt.h"
#include "lib/size.h"
#include "lib/text.h"

#define LIMIT_NAME 32
#define PASSWORDS  "/etc/cairn/passwords"
#define LIMIT_KEY  2000

/* ---- Single values --------------------------------------------------------------------------- */

static bool only(const char *v, const char *others)
{
	for (; *v; v++)
		if (!((*v >= 'a' && *v <= 'z') || (*v >= 'A' && *v <= 'Z') ||
		      (*v >= '0' && *v <= '9') || strchr(others, *v)))
			return false;
	return true;
}

static bool is_printable(const char *v)
{
	for (; *v; v++)
		if ((unsigned char)*v < 0x20 || (unsigned char)*v > 0x7e)
			return false;
	return true;
}

static int invalid(struct err *e, const char *v, const char *what)
{
	auto_str struct str safe = STR_INIT;

	text_safe(&safe, slice_of(v));
	return err_set(e, -ERR_INVALID, "'%s' is not %s", str_err(&safe) ? "?" : safe.buf, what);
}

int answers_host_name(const char *v, struct err *e)
{
	return *v && *v != '-' && strlen(v) <= 63 && only(v, "-")
		       ? 0
		       : invalid(e, v, "a host name (letters, digits and -)");
}

int answers_timezone(const char *v, struct err *e)
{
	return *v && strlen(v) <= 100 && only(v, "/_+-,.:<>") ? 0 : invalid(e, v, "a time zone");
}

int answers_keyboard(const char *v, struct err *e)
{
	return strlen(v) <= 100 && only(v, "_.-") ? 0 : invalid(e, v, "a keyboard layout");
}

int answers_partition(const char *v, struct err *e)
{
	uint64_t n;

	return !*v || (*v != '0' && text_u64(slice_of(v), GPT_ENTRIES, &n) == 0)
		       ? 0
		       : invalid(e, v, "the number of a partition");
}

static int family_of(const char *v)
{
	unsigned char ignored[16];

	return inet_pton(AF_INET, v, ignored) == 1    ? AF_INET
	       : inet_pton(AF_INET6, v, ignored) == 1 ? AF_INET6
						      : 0;
}

int answers_address(const char *v, struct err *e)
{
	struct slice rest = slice_of(v), address;
	char text[64];
	uint64_t prefix;
	const char *slash = strchr(v, '/');

	if (!slash || !slice_cut(&rest, '/', &address) || address.n >= sizeof(text))
		return invalid(e, v, "an address with prefix such as 192.0.2.5/24");
	memcpy(text, address.p, address.n);
	text[address.n] = '\0';
	int family = family_of(text);
	if (!family || text_u64(rest, family == AF_INET ? 32 : 128, &prefix) < 0)
		return invalid(e, v, "an address with prefix such as 192.0.2.5/24");
	return 0;
}

int answers_gateway(const char *v, struct err *e)
{
	return !*v || family_of(v) ? 0 : invalid(e, v, "an address");
}

int answers_servers(const char *v, struct err *e)
{
	auto_arena struct arena a = ARENA_INIT;
	struct slice rest = slice_of(v), word;
	int r = 0;

	while (r == 0 && slice_cut(&rest, ' ', &word)) {
		const char *one = arena_slice(&a, word);
		r = one ? answers_gateway(one, e) : err_num(e, -ENOMEM, "name servers");
	}
	return r;
}

int answers_interface(const char *v, struct err *e)
{
	return strlen(v) < 16 && only(v, "_.-") ? 0 : invalid(e, v, "the name of a network card");
}

int answers_user(const char *v, struct err *e)
{
	bool good = *v && strlen(v) <= LIMIT_NAME && ((*v >= 'a' && *v <= 'z') || *v == '_');

	for (const char *p = v; *p && good; p++)
		good = !(*p >= 'A' && *p <= 'Z');
	return good && only(v, "_-") ? 0 : invalid(e, v, "a user name (a-z, 0-9, _ and -)");
}

/* What services/dropbear.lua takes, system/ssh_keys.lua as it does: a key with its parts, each
 * after its length in four bytes, of which the first is the kind. */
static bool is_key_of(struct slice kind, struct slice text)
{
	auto_str struct str bytes = STR_INIT;
	unsigned parts = 0;

	if (base64_decode(text, &bytes) < 0)
		return false;
	const uint8_t *p = (const uint8_t *)bytes.buf, *end = p + bytes.len;
	while (end - p >= 4) {
		size_t n = (size_t)p[0] << 24 | (size_t)p[1] << 16 | (size_t)p[2] << 8 | p[3];
		struct slice part = { (const char *)p + 4, n };

		if (n > (size_t)(end - p) - 4 || (parts++ == 0 && !slice_eq(part, kind)))
			return false;
		p += 4 + n;
	}
	return p == end && parts > 1;
}

static bool is_kind(struct slice word)
{
	static const char *const kinds[] = {
		"ssh-ed25519",
		"ssh-rsa",
		"ecdsa-sha2-nistp256",
		"ecdsa-sha2-nistp384",
		"ecdsa-sha2-nistp521",
		"sk-ssh-ed25519@openssh.com",
		"sk-ecdsa-sha2-nistp256@openssh.com",
	};

	for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
		if (slice_is(word, kinds[i]))
			return true;
	return false;
}

int answers_key(const char *v, struct err *e)
{
	struct slice rest = slice_of(v), kind = { 0 }, key = { 0 };

	if (rest.n > LIMIT_KEY || !is_printable(v) || strchr(v, '"') ||
	    !slice_cut(&rest, ' ', &kind) || !is_kind(kind))
		return invalid(e, v,
			       "an SSH key (one line that begins with ssh-ed25519, ssh-rsa, "
			       "ecdsa- or sk-)");
	if (!slice_cut(&rest, ' ', &key) || !is_key_of(kind, key))
		return err_set(e, -ERR_INVALID,
			       "the SSH key is not all there, or not one of %.*s [the whole line "
			       "of the file that ends in .pub]",
			       (int)kind.n, kind.p);
	return 0;
}

int answers_boot_loader(const char *v, struct err *e)
{
	return strcmp(v, "grub") == 0 || strcmp(v, "efi") == 0 ? 0 : invalid(e, v, "grub or efi");
}

static int check_network(const char *v, struct err *e)
{
	return strcmp(v, "dhcp") == 0 || strcmp(v, "static") == 0 || strcmp(v, "none") == 0
		       ? 0
		       : invalid(e, v, "dhcp, static or none");
}

static int check_disk(const char *v, struct err *e)
{
	return v[0] == '/' && is_printable(v) ? 0 : invalid(e, v, "the path of a disk");
}

static int check_text(const char *v, struct err *e)
{
	return is_printable(v) ? 0 : invalid(e, v, "plain text");
}

static int check_uuid(const char *v, struct err *e)
{
	struct guid ignored;

	return guid_parse(slice_of(v), &ignored) == 0 ? 0 : invalid(e, v, "a UUID");
}

/* What crypt(3) makes; a password in plain text has no place in a file. */
static int check_password(const char *v, struct err *e)
{
	bool good = v[0] == '$' && strlen(v) > 20 && strlen(v) < 200 && only(v, "$./=");

	return good ? 0
		    : err_set(e, -ERR_INVALID,
			      "password is not the output of crypt(3) [busybox mkpasswd -m "
			      "sha512 makes one]");
}

/* ---- The text -------------------------------------------------------------------------------- */

/* Sections share one table of keys; a row says which section it is for and how it is checked. */
struct parse {
	struct answers *x;
	struct answers_user *user; /* of the section at hand; NULL: [install] */
	struct arena *arena;
};

static const struct row {
	const char *name;
	size_t offset;
	int (*check)(const char *v, struct err *e);
} rows[] = {
#define ROW(key, field, check)                                                                     \
	{                                                                                          \
		key, offsetof(struct answers, field), check                                        \
	}
	ROW("host-name", host_name, answers_host_name),
	ROW("timezone", timezone, answers_timezone),
	ROW("keyboard", keyboard, answers_keyboard),
	ROW("network", network, check_network),
	ROW("interface", interface, answers_interface),
	ROW("address", address, answers_address),
	ROW("gateway", gateway, answers_gateway),
	ROW("name-servers", name_servers, answers_servers),
	ROW("disk", disk, check_disk),
	ROW("boot-loader", boot_loader, answers_boot_loader),
	ROW("disk-serial", disk_serial, check_text),
	ROW("root-partition", root_partition, answers_partition),
	ROW("esp-partition", esp_partition, answers_partition),
	ROW("bios-partition", bios_partition, answers_partition),
	ROW("swap-partition", swap_partition, answers_partition),
	ROW("root-uuid", root_uuid, check_uuid),
	ROW("page", page, check_text),
#undef ROW
};

static int take(struct conf_ctx *c, struct slice v, int (*check)(const char *, struct err *),
		const char **ret)
{
	const char *text = arena_slice(c->arena, v);
	struct err tmp = ERR_INIT;

	if (!text)
		return err_num(c->err, -ENOMEM, "%s", c->file);
	if (check(text, &tmp) < 0)
		return conf_error(c, "%s", tmp.msg);
	*ret = text;
	return 0;
}

static int parse_row(struct conf_ctx *c, struct slice v, void *place)
{
	struct parse *p = place;

	if (p->user)
		return conf_error(c, "%s belongs into [install]", c->key);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (strcmp(rows[i].name, c->key) == 0)
			return take(c, v, rows[i].check,
				    (const char **)((char *)p->x + rows[i].offset));
	return conf_error(c, "unknown key '%s'", c->key);
}

static int parse_size(struct conf_ctx *c, struct slice v, void *place)
{
	struct parse *p = place;

	return p->user ? conf_error(c, "disk-size belongs into [install]")
		       : conf_parse_size(c, v, &p->x->disk_size);
}

static int parse_ssh(struct conf_ctx *c, struct slice v, void *place)
{
	struct parse *p = place;

	if (p->user || !(slice_is(v, "no") || slice_is(v, "keys") || slice_is(v, "passwords")))
		return conf_error(c, "ssh is no, keys or passwords, in [install]");
	p->x->ssh = !slice_is(v, "no");
	p->x->ssh_passwords = slice_is(v, "passwords");
	return 0;
}

static int parse_password(struct conf_ctx *c, struct slice v, void *place)
{
	struct parse *p = place;

	if (!p->user)
		return conf_error(c, "password belongs into [user NAME]");
	return v.n ? take(c, v, check_password, &p->user->password) : 0;
}

static int parse_key(struct conf_ctx *c, struct slice v, void *place)
{
	struct parse *p = place;

	if (!p->user)
		return conf_error(c, "key belongs into [user NAME]");
	if (p->user->nkeys == LIMIT_KEYS)
		return conf_error(c, "more than %d keys", LIMIT_KEYS);
	int r = take(c, v, answers_key, &p->user->keys[p->user->nkeys]);
	if (r == 0)
		p->user->nkeys++;
	return r;
}

#define KEY(name, doc) CONF_KEY(name, parse_row, 0, NULL, doc, false)

static const struct conf_key keys[] = {
	KEY("address", "with prefix, of a static network"),
	KEY("bios-partition", "number of one for GRUB's core"),
	KEY("boot-loader", "grub or efi"),
	KEY("disk", "to install on"),
	KEY("disk-serial", "that it must have"),
	CONF_KEY("disk-size", parse_size, 0, NULL, "that it must have", false),
	KEY("esp-partition", "number of the EFI system partition to share"),
	KEY("gateway", "of a static network"),
	KEY("host-name", "of the machine"),
	KEY("interface", "network card; else the first"),
	CONF_KEY("key", parse_key, 0, NULL, "SSH key of a user", true),
	KEY("keyboard", "layout of the console"),
	KEY("name-servers", "of a static network"),
	KEY("network", "dhcp, static or none"),
	KEY("page", "where the installer was"),
	CONF_KEY("password", parse_password, 0, NULL, "of a user, as crypt(3) makes it", false),
	KEY("root-partition", "number of the one to format; else the whole disk"),
	KEY("root-uuid", "of the root file system"),
	CONF_KEY("ssh", parse_ssh, 0, NULL, "no, keys or passwords", false),
	KEY("swap-partition", "number of one for swap space"),
	KEY("timezone", "name of a zone"),
};

static struct answers_user *add_user(struct answers *x, const char *name)
{
	struct answers_user *u = &x->users[x->nusers++];

	*u = (struct answers_user){ .name = name, .password = "" };
	return u;
}

static int section(void *arg, struct conf_ctx *c, struct slice kind, struct slice name)
{
	struct parse *p = arg;
	const char *user;

	c->object = p;
	p->user = NULL;
	if (slice_is(kind, "install") && !name.n)
		return 0;
	if (!slice_is(kind, "user"))
		return conf_error(c, "unknown section [there are install and user NAME]");
	int r = take(c, name, answers_user, &user);
	if (r < 0)
		return r;
	if (answers_find_user(p->x, user))
		return conf_error(c, "user '%s' stands twice", user);
	if (p->x->nusers == LIMIT_USERS)
		return conf_error(c, "more than %d users", LIMIT_USERS);
	p->user = add_user(p->x, user);
	return 0;
}

void answers_init(struct answers *x)
{
	*x = (struct answers){ .host_name = "",
			       .timezone = "UTC",
			       .keyboard = "",
			       .network = "dhcp",
			       .interface = "",
			       .address = "",
			       .gateway = "",
			       .name_servers = "",
			       .disk = "",
			       .disk_serial = "",
			       .root_partition = "",
			       .esp_partition = "",
			       .bios_partition = "",
			       .swap_partition = "",
			       .root_uuid = "",
			       .swap_uuid = "",
			       .esp_uuid = "",
			       .boot_loader = "",
			       .page = "" };
}

int answers_parse(struct arena *a, struct slice text, const char *file, struct answers *ret,
		  struct err *e)
{
	struct answers x;
	struct parse p = { .x = &x, .arena = a };

	answers_init(&x);
	int r = conf_parse(text, file, keys, ARRAY_LEN(keys), section, &p, a, e);
	if (r == 0)
		*ret = x;
	return r;
}

void answers_format(const struct answers *x, struct str *out)
{
	str_add(out, "[install]\n");
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const char *v = *(const char *const *)((const char *)x + rows[i].offset);

		if (*v)
			str_addf(out, "%s = %s\n", rows[i].name, v);
	}
	if (x->disk_size)
		str_addf(out, "disk-size = %llu\n", (unsigned long long)x->disk_size);
	str_addf(out, "ssh = %s\n", !x->ssh ? "no" : x->ssh_passwords ? "passwords" : "keys");
	for (size_t i = 0; i < x->nusers; i++) {
		const struct answers_user *u = &x->users[i];

		str_addf(out, "\n[user %s]\n", u->name);
		if (*u->password)
			str_addf(out, "password = %s\n", u->password);
		for (size_t k = 0; k < u->nkeys; k++)
			str_addf(out, "key = %s\n", u->keys[k]);
	}
}

struct answers_user *answers_find_user(struct answers *x, const char *name)
{
	for (size_t i = 0; i < x->nusers; i++)
		if (strcmp(x->users[i].name, name) == 0)
			return &x->users[i];
	return NULL;
}

/* Somebody must be able to log in and to become root: root has a password, or a key and SSH. */
static bool root_can_log_in(const struct answers *x)
{
	for (size_t i = 0; i < x->nusers; i++)
		if (strcmp(x->users[i].name, "root") == 0)
			return *x->users[i].password || (x->ssh && x->users[i].nkeys);
	return false;
}

bool answers_efi(const struct answers *x)
{
	return strcmp(x->boot_loader, "efi") == 0;
}

/* Each at most once, and the boot loader must go somewhere. */
int answers_partitions(const struct answers *x, struct err *e)
{
	const char *const all[] = { x->root_partition, x->esp_partition, x->bios_partition,
				    x->swap_partition };

	if (*all[0] && answers_efi(x))
		return err_hint(
			e, err_set(e, -ERR_INVALID, "boot-loader efi is for a whole disk only"),
			"cairn system init can put it on partitions");
	for (size_t i = 0; i < ARRAY_LEN(all); i++) {
		if (i && *all[i] && !*all[0])
			return err_set(e, -ERR_INVALID, "root-partition is not given");
		for (size_t k = 0; k < i; k++)
			if (*all[i] && strcmp(all[i], all[k]) == 0)
				return err_set(e, -ERR_INVALID, "partition %s is named twice",
					       all[i]);
	}
	if (*all[0] && !*all[1] && !*all[2])
		return err_set(e, -ERR_INVALID,
			       "neither esp-partition nor bios-partition is given: it would not "
			       "start");
	return 0;
}

int answers_check(const struct answers *x, struct err *e)
{
	const char *missing = !*x->host_name ? "host-name" : !*x->disk ? "disk" : NULL;

	if (missing)
		return err_set(e, -ERR_INVALID, "%s is not given", missing);
	if (strcmp(x->network, "static") == 0 && !*x->address)
		return err_set(e, -ERR_INVALID, "a static network needs an address");
	if (!root_can_log_in(x))
		return err_hint(e, err_set(e, -ERR_INVALID, "root would have no way to log in"),
				"[user root] needs a password, or a key and ssh");
	return answers_partitions(x, e);
}

/* ---- The configuration ----------------------------------------------------------------------- */

/* Values have neither quotes nor control characters but for what check_text lets through. */
static void lua_string(struct str *out, const char *v)
{
	str_addc(out, '"');
	for (; *v; v++) {
		if (*v == '"' || *v == '\\')
			str_addc(out, '\\');
		str_addc(out, *v);
	}
	str_addc(out, '"');
}

static void lua_field(struct str *out, const char *name, const char *v)
{
	if (!*v)
		return;
	str_addf(out, "%s = ", name);
	lua_string(out, v);
	str_add(out, ", ");
}

static void lua_words(struct str *out, const char *words)
{
	struct slice rest = slice_of(words), word;

	while (slice_cut(&rest, ' ', &word))
		if (word.n)
			str_addf(out, "\"%.*s\", ", (int)word.n, word.p);
}

const char *answers_password_file(struct arena *a, const struct answers_user *u)
{
	return arena_fmt(a, PASSWORDS "/%s", u->name);
}

static void lua_users(const struct answers *x, struct str *out)
{
	str_add(out, "\tusers = {\n");
	for (size_t i = 0; i < x->nusers; i++) {
		const struct answers_user *u = &x->users[i];

		str_add(out, "\t\t{ ");
		lua_field(out, "name", u->name);
		if (*u->password)
			str_addf(out, "password_file = \"" PASSWORDS "/%s\", ", u->name);
		str_add(out, strcmp(u->name, "root") != 0 ? "groups = { \"wheel\" } },\n" : "},\n");
	}
	str_add(out, "\t},\n\n");
}

static void lua_keys(const struct answers *x, struct str *out)
{
	str_add(out, "\t\t\tauthorized_keys = {\n");
	for (size_t i = 0; i < x->nusers; i++) {
		const struct answers_user *u = &x->users[i];

		if (!u->nkeys)
			continue;
		str_addf(out, "\t\t\t\t[\"%s\"] = {\n", u->name);
		for (size_t k = 0; k < u->nkeys; k++) {
			str_add(out, "\t\t\t\t\t");
			lua_string(out, u->keys[k]);
			str_add(out, ",\n");
		}
		str_add(out, "\t\t\t\t},\n");
	}
	str_add(out, "\t\t\t},\n");
}

static void lua_services(const struct answers *x, struct str *out)
{
	bool dhcp = strcmp(x->network, "dhcp") == 0;

	str_add(out, "\tservices = services.base {\n");
	if (!dhcp || *x->interface)
		str_add(out, "\t\twithout = { \"dhcp\" },\n");
	if (dhcp && *x->interface) {
		str_add(out, "\t\tservices.dhcp { ");
		lua_field(out, "interface", x->interface);
		str_add(out, "},\n");
	}
	if (strcmp(x->network, "static") == 0) {
		str_add(out, "\t\tservices.static_network { ");
		lua_field(out, "interface", x->interface);
		lua_field(out, "address", x->address);
		lua_field(out, "gateway", x->gateway);
		str_add(out, "},\n");
	}
	if (x->ssh) {
		str_addf(out, "\t\tservices.dropbear {\n\t\t\tpassword_login = %s,\n",
			 x->ssh_passwords ? "true" : "false");
		lua_keys(x, out);
		str_add(out, "\t\t},\n");
	}
	str_add(out, "\t},\n\n");
}

void answers_configuration(const struct answers *x, struct str *out)
{
	str_add(out, "-- This machine, as it was installed. Change it, then: cairn system "
		     "reconfigure\n\n"
		     "local services = require \"services\"\n"
		     "local system = require \"system\"\n\n"
		     "return system.operating_system {\n\t");
	lua_field(out, "host_name", x->host_name);
	str_add(out, "\n\t");
	lua_field(out, "timezone", x->timezone);
	if (*x->keyboard) {
		str_add(out, "\n\t");
		lua_field(out, "keyboard", x->keyboard);
	}
	str_addf(out,
		 "\n\tkernel_arguments = { \"console=tty0\", \"console=ttyS0,115200\", "
		 "\"panic=10\", \"quiet\" },\n\n"
		 "\tfile_systems = {\n"
		 "\t\t{ device = \"UUID=%s\", mount_point = \"/\", type = \"ext4\" },\n"
		 "%s%s%s"
		 "\t\t{ mount_point = \"/tmp\", type = \"tmpfs\", options = { \"nosuid\", "
		 "\"nodev\", \"mode=1777\" } },\n"
		 "\t},\n\n",
		 x->root_uuid, answers_efi(x) ? "\t\t{ device = \"PARTUUID=" : "",
		 answers_efi(x) ? x->esp_uuid : "",
		 answers_efi(x) ? "\", mount_point = \"/boot/efi\", type = \"vfat\" },\n" : "");
	if (*x->swap_partition)
		str_addf(out, "\tswap = { { device = \"UUID=%s\" } },\n\n", x->swap_uuid);
	lua_users(x, out);
	lua_services(x, out);
	if (*x->name_servers && strcmp(x->network, "static") == 0) {
		str_add(out, "\tname_servers = { ");
		lua_words(out, x->name_servers);
		str_add(out, "},\n");
	}
	str_addf(out, "\tbootloader = { type = \"%s\", timeout = 3, serial = true },\n}\n",
		 answers_efi(x) ? "efi" : "grub");
}
