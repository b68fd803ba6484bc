/* SPDX-License-Identifier: ISC */
/* What a table type is, for the files of this folder alone. */
#ifndef KP_TABLE_TYPE_H
#define KP_TABLE_TYPE_H

#include "lib/base/str.h"
#include "lib/table/table.h"

enum table_flag {
	TABLE_FILE = 1 << 0,    /* `name` is a path; `load` is called again when it changes */
	TABLE_PATTERN = 1 << 1, /* whole keys only, as they are; others get keys in lower case */
	TABLE_UNIX = 1 << 2,
	TABLE_REMOTE = 1 << 3, /* another program answers, over a socket (remote.h) */
};

struct table_type {
	const char *name;
	const char *suffix; /* of the file, behind the path as written */
	unsigned flags;
	/* Makes the content of table `name` (`path` where it is a file); NULL with `why`. */
	void *(*load)(struct str name, const char *path, struct why *why);
	int (*lookup)(void *content, struct str key, struct buf *out, struct why *why);
	void (*free)(void *content);
};

extern const struct table_type table_lmdb, table_text, table_words, table_inline, table_static,
    table_fail, table_cidr, table_pcre, table_passwd, table_tcp, table_socketmap;

/* The system's answer for a Unix map, which may block (unix.c). */
int unix_lookup(struct str map, struct str key, struct buf *out, struct why *why);

#endif
