/* SPDX-License-Identifier: ISC */
/*
 * What becomes of a message besides its content: changes that its submitter asks for (MAIL_EDIT),
 * those of header and body checks, and the copies that the configuration wants.
 */
#ifndef CLEANUP_EDITS_H
#define CLEANUP_EDITS_H

#include <stdbool.h>

#include "lib/base/attr.h"
#include "lib/base/str.h"
#include "lib/msg/msg.h"

struct transaction;
struct why;

/* Keeps the change until all recipients are known. -1: to be refused. */
int edits_add(struct transaction *t, enum mail_edit kind, struct str name, struct str value,
    struct why *why) KP_MUST_USE;

/*
 * Does what is to be done, in order, once no question is open. 0: it is done; 1: a question has
 * been asked, call again when none is open; -1: to be refused.
 */
int edits_apply(struct transaction *t, struct why *why) KP_MUST_USE;

/* Whether the message is to be thrown away. */
bool edits_discard(const struct transaction *t);

void edits_clear(struct transaction *t);

#endif
