/* SPDX-License-Identifier: ISC */
/*
 * What limiter must still know after a restart: blocks, the greylist, clients that are known. In
 * memory, bounded, the least used one goes first; every change is a line of a journal that the next
 * start reads. Losing the last second of it is harmless.
 */
#ifndef LIMITER_FACTS_H
#define LIMITER_FACTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "lib/base/attr.h"
#include "lib/base/str.h"

struct facts;
struct why;

struct fact {
	char *name; /* "kind key" */
	const char *kind, *key;
	int64_t first, expires; /* seconds since 1970 */
	uint64_t count;
	char *text;
	TAILQ_ENTRY(fact) link;
};

/* Reads what `folder`/facts holds, and appends to it from now on; lines that are torn or no longer
 * true are left out. At most `max` facts. -1 with `why`: the file cannot be used. */
struct facts *facts_open(const char *folder, size_t max, struct why *why) KP_MUST_USE;
void facts_free(struct facts **fp);

/* The fact, or NULL where there is none or its time is over; valid until the next put. */
struct fact *facts_get(struct facts *f, struct str kind, struct str key);

/* Makes or renews it: it ends in `ttl_s` seconds. An existing one keeps its `first`. */
struct fact *facts_put(struct facts *f, struct str kind, struct str key, int64_t ttl_s,
    uint64_t count, struct str text);

/* Whether there was one. */
bool facts_remove(struct facts *f, struct str kind, struct str key);

/* Calls `each` for every fact of the kind that still holds; it must not change the facts. */
void facts_each(
    struct facts *f, struct str kind, void (*each)(const struct fact *, void *arg), void *arg);

/* Writes what has changed, drops some of what is over, and rewrites a journal that has grown far
 * beyond what it says. To be called every second. -1 with `why`; called again, it goes on. */
int facts_flush(struct facts *f, struct why *why) KP_MUST_USE;

size_t facts_count(const struct facts *f);

#endif
