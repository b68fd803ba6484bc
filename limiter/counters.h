/* SPDX-License-Identifier: ISC */
/* Counters that workers share: events within a window of time, and what is held at once. */
#ifndef LIMITER_COUNTERS_H
#define LIMITER_COUNTERS_H

#include <stddef.h>
#include <stdint.h>

#include "lib/base/str.h"

struct counters;

/* At most `max` counters; the one that changed least recently goes first. */
struct counters *counters_new(size_t max);
void counters_free(struct counters **cp);

/* Adds to the count of this window, which begins with the first event after the last window; 0
 * asks. Returns the count. */
uint64_t counters_add(
    struct counters *c, struct str kind, struct str key, uint64_t amount, int64_t window_ms);

/* Adds to what `holder` holds; returns what all hold. Released in part, or with its holder. */
uint64_t counters_hold(
    struct counters *c, const void *holder, struct str kind, struct str key, uint64_t amount);
void counters_release(
    struct counters *c, const void *holder, struct str kind, struct str key, uint64_t amount);
void counters_forget_holder(struct counters *c, const void *holder);

#endif
