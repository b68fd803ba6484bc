/* SPDX-License-Identifier: ISC */
/*
 * Children: messages that local's expansion of a recipient made. A parent remembers them among its
 * own records, so that an expansion that is repeated after a kill commits nothing twice.
 */
#ifndef QMGR_CHILDREN_H
#define QMGR_CHILDREN_H

#include "lib/chan/chan.h"
#include "qmgr/qmgr.h"

/* A message has come in: if it is a child its parent takes note. */
void children_note(struct qmgr *q, const struct envelope *env, const char *id);

/* Answers cleanup: is there a child under this key already? */
void children_answer(
    struct qmgr *q, struct chan *ch, const struct chan_head *head, struct str parent);

#endif
