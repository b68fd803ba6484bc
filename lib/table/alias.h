/* SPDX-License-Identifier: ISC */
/*
 * The aliases file: "name: target, target" entries, of logical lines (lib/table/lines.h). Every
 * target is checked here, so that an error is found by newaliases and not at delivery.
 */
#ifndef KP_TABLE_ALIAS_H
#define KP_TABLE_ALIAS_H

#include "lib/base/attr.h"
#include "lib/base/str.h"

struct why;

/* `name` in lower case and without quotes; returns -1 with `why` to stop. */
typedef int alias_entry_fn(void *arg, struct str name, struct str value, struct why *why);

/* Reads the whole text; an error is "path:line: ..." (class permanent). */
int alias_parse(struct str text, const char *path, alias_entry_fn *on_entry, void *arg,
    struct why *why) KP_MUST_USE;

#endif
