/* SPDX-License-Identifier: ISC */
/* What each login usually sends, and when it goes far beyond: a stolen password. */
#ifndef LIMITER_USAGE_H
#define LIMITER_USAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/str.h"

struct limiter;
struct usages;

struct usages *usages_new(void);
void usages_free(struct usages **up);

/* A message of `login` to `recipients` (their hashes, 8 octets each). True: it is to be held, for
 * `reason`. */
bool usage_add(
    struct limiter *l, struct str login, struct str recipients, char *reason, size_t size);

/* So many of its recipients bounced. */
void usage_failed(struct limiter *l, struct str login, uint64_t count);

#endif
