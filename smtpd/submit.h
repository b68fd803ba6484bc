/* SPDX-License-Identifier: ISC */
/*
 * The hand-over of a message to cleanup: small content in one go after its end, behind the
 * envelope; larger content through a pipe while it comes in. Only COMMIT with the exact size makes
 * it a message.
 */
#ifndef SMTPD_SUBMIT_H
#define SMTPD_SUBMIT_H

#include "smtpd/smtpd.h"

/* The transaction has failed, for this reason if it is the first one: the rest of its content is
 * thrown away. */
void submit_fail(struct session *s, const struct why *why);

/* More content. The session may wait after it, until a full pipe has been read. */
void submit_add(struct session *s, struct str bytes);

/* All of it is in. The reply follows, now or later, and the transaction is over. */
void submit_end(struct session *s);

/* For the gate of milters, when all content is in: cleanup is asked to show it, and milter_shown()
 * or the stage's end follows. False: it has failed, as s->tx->failure says. */
bool submit_look(struct session *s);

/* Forgets what has not been committed. */
void submit_abort(struct transaction *tx);

/* A channel to cleanup has room again, or is gone: those who waited for that try again. */
void submit_unpark(struct server *server);

#endif
