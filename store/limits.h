/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Every bound on what comes from outside the store, in one place. */
#pragma once

#define LIMIT_NAR_NAME	  255		/* one directory entry, as in the file systems */
#define LIMIT_NAR_TARGET  4095		/* symbolic link */
#define LIMIT_NAR_DEPTH	  512		/* nested directories; each costs one descriptor */
#define LIMIT_DRV_TEXT	  (64U << 20)	/* a .drv as bytes */
#define LIMIT_DRV_ITEMS	  1000000U	/* elements of one list in a .drv */
#define LIMIT_TEXT_ITEM	  (256U << 20)	/* contents of a text item */
#define LIMIT_LINK_TARGET 4096		/* symbolic links that are looked at as roots */
#define LIMIT_TEMP_ROOTS  (64U << 20)	/* bytes of one temporary roots file */
#define LIMIT_MACHINES	  (1U << 20)	/* list of machines that build */
#define LIMIT_KNOWN_ROOTS (64U << 20)	/* what roots were when they could be read */
#define LIMIT_MARKS	  4096		/* a mark of the store, the list of marks */
#define LIMIT_DOWNLOAD	  (16ULL << 30) /* a file fetched from a server */
#define LIMIT_DEB_MEMBER  (4ULL << 30)	/* a file taken out of a Debian package */

/* Data of a process that decompresses what a server sent, windows and dictionaries included. */
#define LIMIT_UNPACK_MEMORY (512U << 20)

/* Substitutes. */
#define LIMIT_NARINFO	      (2U << 20)  /* bytes */
#define LIMIT_NARINFOS	      (64U << 20) /* bytes of all that one search is told or remembers */
#define LIMIT_MISSING_LETTERS 3 /* of a hash: 32,768 places for "it is not there" of a cache */
#define LIMIT_NARINFO_REFS    20000
#define LIMIT_NARINFO_FILES   16
#define LIMIT_NARINFO_URL     4096
#define LIMIT_NARINFO_SIGS    (16U << 10) /* bytes of all */
