/* SPDX-License-Identifier: ISC */
/* All tables of router: opened before the sandbox, watched, and their common generation. */
#ifndef KP_ROUTER_MAPS_H
#define KP_ROUTER_MAPS_H

#include <stdbool.h>

#include "lib/base/attr.h"
#include "router/router.h"

struct why;

/* Opens all; -1 with `why` where a specification is malformed. A file that cannot be read is no
 * error here: its lookups defer. */
int maps_open(struct router *r, struct why *why) KP_MUST_USE;
void maps_clear(struct router *r);

/* The setting's name ("alias_maps"), and back; MAPS_COUNT where there is none. */
const char *maps_name(enum router_maps maps);
enum router_maps maps_find(struct str name);

/* Reopens what has changed, at most once in `MAPS_CHECK_MS`; true where the generation is another
 * one now. */
enum { MAPS_CHECK_MS = 100 };
bool maps_check(struct router *r);

/* Folders of all files, for the sandbox; owned by the router. */
const struct sandbox_path *maps_paths(struct router *r);

#endif
