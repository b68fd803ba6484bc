/* SPDX-License-Identifier: ISC */
/*
 * A submitter that has milters sees a message before it commits it: judged, with the header fields
 * that it lacked, and without our trace field (MAIL_LOOK, MAIL_SHOWN). It may give back another
 * header, and another body (MAIL_REPLACE).
 */
#ifndef CLEANUP_SHOW_H
#define CLEANUP_SHOW_H

#include "lib/base/attr.h"
#include "lib/msg/msg.h"

struct transaction;
struct why;

/* Makes in memory what is to be made of content there. -1: to be refused. */
int show_make(struct transaction *t, struct why *why) KP_MUST_USE;

/* Answers MAIL_LOOK: the content is whole and judged. -1: to be refused. */
int show_reply(struct transaction *t, struct why *why) KP_MUST_USE;

/* What comes from now on takes the place of header and body; `pipe` is taken over, -1: none. */
int show_replace(struct transaction *t, const struct msg_mail_replace *msg, int pipe,
    struct why *why) KP_MUST_USE;
int show_add(struct transaction *t, struct str bytes, struct why *why) KP_MUST_USE;

/* All of it has come: 1: it is a message; 0: checks of the new fields have not answered; -1: to be
 * refused. */
int show_end(struct transaction *t, struct why *why) KP_MUST_USE;

/* The envelope's pieces and added text, of a message that has a file. -1: to be refused. */
int show_pieces(struct transaction *t, struct why *why) KP_MUST_USE;

#endif
