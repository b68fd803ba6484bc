/* SPDX-License-Identifier: ISC */
/* Landlock: which paths a process may still use. */
#ifndef KP_SANDBOX_LANDLOCK_H
#define KP_SANDBOX_LANDLOCK_H

#include "lib/base/attr.h"

struct sandbox_path;
struct why;

/* A ruleset that allows the paths of both lists (each may be NULL) and no other. Its descriptor; -2
 * where the kernel has no Landlock; -1 with `why`. */
int landlock_prepare(const struct sandbox_path *paths, const struct sandbox_path *more,
    const char *root, struct why *why) KP_MUST_USE;

/* Applies and closes it. Needs no_new_privs. */
int landlock_enter(int ruleset, struct why *why) KP_MUST_USE;

#endif
