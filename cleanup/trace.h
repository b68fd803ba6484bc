/* SPDX-License-Identifier: ISC */
/* The header that cleanup writes: the trace field (RFC 5321 4.4), and what a local submission lacks
 * (RFC 6409 8). */
#ifndef CLEANUP_TRACE_H
#define CLEANUP_TRACE_H

#include <stddef.h>

#include "lib/base/attr.h"

struct buf;
struct transaction;

/* Fills `prefix`, `own` and `header_end` for the header that stands at the front of `content`. -1:
 * over the buffer's max. */
int trace_write(struct transaction *t) KP_MUST_USE;

/* Adds to `out` what belongs between our trace field and the content from `*end` on. -1: as above.
 */
int trace_complete(struct transaction *t, struct buf *out, size_t *end) KP_MUST_USE;

#endif
