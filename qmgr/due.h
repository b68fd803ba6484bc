/* SPDX-License-Identifier: ISC */
/* Waiting mail whose time has come. The index says which; no folder is scanned. */
#ifndef QMGR_DUE_H
#define QMGR_DUE_H

#include <stdint.h>

struct qmgr;

/* A message will wait until `next` (microseconds since 1970). */
void due_note(struct qmgr *q, uint64_t next);

/* After a while: looks again for what was due and could not be read. */
void due_again(struct qmgr *q);

/* Loads what is due, as far as there is room. */
void due_tick(struct qmgr *q);

#endif
