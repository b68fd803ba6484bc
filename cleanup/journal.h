/* SPDX-License-Identifier: ISC */
/*
 * The journal of this worker: its segments, and the group commit. What is committed during a round
 * is written together at its end, made durable by one sync, and only then answered.
 */
#ifndef CLEANUP_JOURNAL_H
#define CLEANUP_JOURNAL_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/attr.h"

struct cleanup;
struct transaction;
struct why;

struct journal;

/* Takes over the segments that an earlier worker of this slot left. */
struct journal *journal_new(struct cleanup *c, struct why *why);
void journal_free(struct journal **jp);

/* Whether a message of `n` bytes (head, content, envelope) belongs in the journal. */
bool journal_takes(const struct journal *j, uint64_t n);

/* Adds the message, whose envelope and prefix are complete, to this round's group. It is answered
 * when it is durable. */
void journal_add(struct journal *j, struct transaction *t);

/* qmgr says: all in this segment is done or moved. */
void journal_segment_free(struct journal *j, uint64_t number, uint64_t seal);

#endif
