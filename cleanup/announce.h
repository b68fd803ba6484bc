/* SPDX-License-Identifier: ISC */
/* Telling qmgr what is durable. It never waits: what cannot be said now is found by qmgr in new/.
 */
#ifndef CLEANUP_ANNOUNCE_H
#define CLEANUP_ANNOUNCE_H

#include <stdint.h>

struct cleanup;
struct transaction;

/* A durable message: an extent of a segment, or a file (segment 0). */
void announce(struct cleanup *c, const struct transaction *t, uint64_t segment, uint64_t seal);

/* A fresh channel to qmgr. */
void announce_to_new(struct cleanup *c);

#endif
