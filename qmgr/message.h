/* SPDX-License-Identifier: ISC */
/*
 * A message in memory: from its activation until it is gone or waits on disk. message_check() is
 * where every event ends: it looks at what is left to do and starts that, or ends the message.
 */
#ifndef QMGR_MESSAGE_H
#define QMGR_MESSAGE_H

#include "qmgr/qmgr.h"

struct loaded;

/* Takes over the state. The message stands in a segment, or in a file. It is not scheduled yet. */
struct message *message_new(struct qmgr *q, struct state *st);

struct message *message_find(const struct qmgr *q, struct str id);

/* From memory only; nothing on disk changes. All that is under way for it is forgotten. */
void message_free(struct message *m);

/* Begins an attempt for all recipients that have no final result; on hold where the envelope says
 * so. */
void message_activate(struct message *m);

/* Every recipient that was pending is back, or something else has changed: goes on. May free the
 * message. */
void message_check(struct message *m);

/* A job of the disk's thread is over; may free the message. */
void message_disk_done(struct message *m);

/* The disk refused: it is tried again after a while. */
void message_stuck(struct message *m);
void message_retry_stuck(struct qmgr *q);

/* What became of a recipient. `e` is a RESULT; the recipient is no longer pending. */
void message_result(struct message *m, struct entry *e);

/* An operator wants something of a message in memory. May free it. */
void message_wish(struct message *m, enum wish wish, struct str reason);

/* Gives up the memory of a message that stands in a file and is not active; what is not recorded
 * yet is written first. */
void message_release(struct message *m);

/* Messages of this many more may be loaded now. */
size_t message_room(const struct qmgr *q);

/* A message that was loaded from its file. NULL where it is in memory already. */
struct message *message_from_file(struct qmgr *q, struct loaded *l);

#endif
