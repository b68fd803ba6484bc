/* SPDX-License-Identifier: ISC */
/*
 * Building lmdb: tables, for `kingpost map build` and newaliases: PATH is text, PATH.lmdb the
 * table. The table is made as a new file, synced and renamed, so that readers see the old one or
 * the new one, whole; after an error the old one stays.
 */
#ifndef KP_TABLE_BUILD_H
#define KP_TABLE_BUILD_H

#include <stddef.h>

#include "lib/base/attr.h"

struct buf;
struct why;

/* What newaliases -v says: "%zu aliases, longest %zu bytes, %zu bytes total" (of keys and values).
 */
struct build_report {
	size_t count;
	size_t longest;
	size_t total;
	struct buf *warnings; /* of the caller, or NULL: "path:line: ..." lines of what was left out
				 (a key that comes twice) */
};

/* PATH holds "key value" lines, as for postmap. */
int map_build(const char *path, struct build_report *report, struct why *why) KP_MUST_USE;

/* PATH is an aliases file. */
int alias_build(const char *path, struct build_report *report, struct why *why) KP_MUST_USE;

#endif
