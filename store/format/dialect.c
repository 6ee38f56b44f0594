/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "store/format/dialect.h"

#include <stddef.h>

#include "lib/err.h"
#include "lib/size.h"

#define IN_GUIX (1U << DIALECT_GUIX)
#define IN_NIX	(1U << DIALECT_NIX)
#define IN_BOTH (IN_GUIX | IN_NIX)

static const struct dialect_facts facts[] = {
	[DIALECT_GUIX] = { .name = "guix",
			   .store_dir = "/gnu/store",
			   .state_dir = "/var/guix",
			   .log_dir = "/var/log/guix",
			   .conf_dir = "/etc/guix",
			   .schema = "7",
			   .version = 0x164,
			   .minor_min = 0x61,
			   .log_suffix = ".gz" },
	[DIALECT_NIX] = { .name = "nix",
			  .store_dir = "/nix/store",
			  .state_dir = "/nix/var/nix",
			  .log_dir = "/nix/var/log/nix",
			  .conf_dir = "/etc/nix",
			  .schema = "10",
			  .version = 0x115,
			  .minor_min = 10,
			  .log_suffix = "", /* its tools read plain ones and bzip2 */
			  .build_dir = "/build" },
};

/* Guix's daemon hands requiredSystemFeatures to its offload hook alone: where a derivation is built
 * here it changes nothing. */
static const struct {
	const char *name;
	unsigned in;
} keys[KEY_MAX] = {
	[KEY_ALLOW_SUBSTITUTES] = { "allowSubstitutes", IN_BOTH },
	[KEY_ALLOWED_REFERENCES] = { "allowedReferences", IN_BOTH },
	[KEY_ALLOWED_REQUISITES] = { "allowedRequisites", IN_BOTH },
	[KEY_DISALLOWED_REFERENCES] = { "disallowedReferences", IN_BOTH },
	[KEY_DISALLOWED_REQUISITES] = { "disallowedRequisites", IN_BOTH },
	[KEY_EXPORT_REFERENCES_GRAPH] = { "exportReferencesGraph", IN_BOTH },
	[KEY_IMPURE_ENV_VARS] = { "impureEnvVars", IN_BOTH },
	[KEY_MACHINE_FEATURES] = { "requiredSystemFeatures", IN_BOTH },
	[KEY_PASS_AS_FILE] = { "passAsFile", IN_NIX },
	[KEY_PREFER_LOCAL_BUILD] = { "preferLocalBuild", IN_BOTH },
	[KEY_REQUIRED_SYSTEM_FEATURES] = { "requiredSystemFeatures", IN_NIX },
	[KEY_STRUCTURED_ATTRS] = { "__json", IN_NIX },
};

const struct dialect_facts *dialect_facts(enum dialect d)
{
	return &facts[d];
}

int dialect_parse(struct slice name, enum dialect *ret)
{
	for (size_t i = 0; i < ARRAY_LEN(facts); i++)
		if (slice_is(name, facts[i].name)) {
			*ret = (enum dialect)i;
			return 0;
		}
	return -ERR_SYNTAX;
}

const char *dialect_key(enum dialect d, enum drv_key key)
{
	return keys[key].in & (1U << d) ? keys[key].name : NULL;
}

const char *dialect_key_name(enum drv_key key)
{
	return keys[key].name;
}
