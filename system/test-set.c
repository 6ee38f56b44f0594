/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "system/test-set.h"

#include "lib/size.h"

/* Made by system/essential.lua and services/?.lua; "NAME@" stands for each instance. */
static const char *const skipped[] = {
	/* disks, and what is on them */
	"mount@",
	"swap@",
	"swap-file@",
	"store",
	"mapped@",
	/* terminals */
	"getty",
	"getty@",
	"installer@",
	/* network cards, and the kernel's filters */
	"dhcp",
	"dhcp@",
	"network",
	"network@",
	"wireguard@",
	"wifi",
	"wifi@",
	"hostapd",
	"hostapd@",
	"firewall",
	/* users of the host, as it gives them to containers */
	"container@",
	/* boots, which a trial is none of */
	"boot-good",
	/* the kernel, the clock */
	"sysctl",
	"kernel-modules",
	"hotplug",
	"clock",
	"clock-stamp",
	"keyboard",
	"console-font",
	"power-button",
};

/* Whole, with the lines that a backslash continues. */
static bool next_line(struct slice *rest, struct slice *ret)
{
	const char *start = rest->p;
	struct slice part;
	bool more = true;

	if (!rest->n)
		return false;
	while (more && rest->n) {
		(void)slice_cut(rest, '\n', &part);
		more = slice_ends(part, "\\");
		*ret = (struct slice){ start, (size_t)(part.p + part.n - start) };
	}
	return true;
}

static bool has_key(struct slice section, const char *key)
{
	struct slice line, name;

	while (next_line(&section, &line))
		if (slice_cut(&line, '=', &name) && slice_is(slice_trim(name), key))
			return true;
	return false;
}

bool test_set_is_skipped(struct slice name, struct slice section)
{
	for (size_t i = 0; i < ARRAY_LEN(skipped); i++) {
		struct slice x = slice_of(skipped[i]);

		if (slice_ends(x, "@") ? slice_starts(name, skipped[i]) : slice_eq(name, x))
			return true;
	}
	return has_key(section, "terminal");
}

/* "[service NAME]" */
static bool header(struct slice line, struct slice *ret)
{
	static const char start[] = "[service ";

	line = slice_trim(line);
	if (!slice_starts(line, start) || !slice_ends(line, "]"))
		return false;
	*ret = slice_trim((struct slice){ line.p + sizeof(start) - 1, line.n - sizeof(start) });
	return true;
}

/* What comes before the next header. */
static struct slice section_of(struct slice rest)
{
	const char *start = rest.p;
	struct slice line;

	while (next_line(&rest, &line))
		if (slice_starts(slice_trim(line), "["))
			return (struct slice){ start, (size_t)(line.p - start) };
	return (struct slice){ start, line.p && start ? (size_t)(line.p + line.n - start) : 0 };
}

void test_set_format(struct slice set, struct str *ret)
{
	struct slice line = { NULL, 0 }, name;

	while (next_line(&set, &line)) {
		str_adds(ret, line);
		str_addc(ret, '\n');
		if (header(line, &name) && test_set_is_skipped(name, section_of(set)))
			str_add(ret, "condition = not-virtual:container\n");
	}
}
