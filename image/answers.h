/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What an installation has to know: one text format for answers given beforehand and for the state
 * of an installer that was cut off (doc/install.md), and the configuration that follows from it.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/arena.h"
#include "lib/err.h"
#include "lib/slice.h"
#include "lib/str.h"

#define LIMIT_USERS 16
#define LIMIT_KEYS  16

struct answers_user {
	const char *name;
	const char *password; /* crypt(3) output; "": cannot log in with a password */
	const char *keys[LIMIT_KEYS];
	size_t nkeys;
};

/* Strings are "" while they are not known. */
struct answers {
	const char *host_name, *timezone, *keyboard;
	const char *network; /* dhcp, static or none */
	const char *interface, *address, *gateway, *name_servers;
	const char *disk, *disk_serial; /* serial: must be that; "": any */
	uint64_t disk_size;		/* must be that; 0: any */
	/* Numbers of partitions that are there; root_partition "": the whole disk is laid out. */
	const char *root_partition, *esp_partition, *bios_partition, *swap_partition;
	const char *root_uuid;		  /* of the file system; "": a new one */
	const char *swap_uuid, *esp_uuid; /* follow from root_uuid; of the ESP's partition */
	const char *boot_loader;	  /* grub or efi; "": grub */
	bool ssh, ssh_passwords;
	struct answers_user users[LIMIT_USERS]; /* root among them */
	size_t nusers;
	const char *page; /* of an installer that was cut off */
};

void answers_init(struct answers *x);
/* Strict; strings in a. Values are checked, but for what only evaluation can know. */
int answers_parse(struct arena *a, struct slice text, const char *file, struct answers *ret,
		  struct err *e);
void answers_format(const struct answers *x, struct str *out);
/* -ERR_INVALID names what is missing: host name, disk, a way for root to log in. */
int answers_check(const struct answers *x, struct err *e);

bool answers_efi(const struct answers *x); /* our own program on the ESP, no GRUB */
/* Its part about partitions. */
int answers_partitions(const struct answers *x, struct err *e);

/* One value each, as a person or a file gives it: 0, or -ERR_INVALID with the reason. */
int answers_host_name(const char *v, struct err *e);
int answers_timezone(const char *v, struct err *e);
int answers_keyboard(const char *v, struct err *e);  /* or "" */
int answers_partition(const char *v, struct err *e); /* a number, or "" */
int answers_address(const char *v, struct err *e);   /* with prefix: 192.0.2.5/24 */
int answers_gateway(const char *v, struct err *e);   /* an address, or "" */
int answers_servers(const char *v, struct err *e);   /* addresses with blanks between, or "" */
int answers_interface(const char *v, struct err *e); /* or "" */
int answers_user(const char *v, struct err *e);
int answers_key(const char *v, struct err *e);
int answers_boot_loader(const char *v, struct err *e);

struct answers_user *answers_find_user(struct answers *x, const char *name); /* NULL: none */

/* Where the configuration has the first password of a user, who has one; in a. */
const char *answers_password_file(struct arena *a, const struct answers_user *u);
/* The configuration, as Lua; no password is in it. */
void answers_configuration(const struct answers *x, struct str *out);
