/* SPDX-License-Identifier: ISC */
/* The changes that gates make to a message: kept with the transaction, sent to cleanup before the
 * word that makes it a message. */
#ifndef SMTPD_EDITS_H
#define SMTPD_EDITS_H

#include "lib/base/attr.h"
#include "lib/base/str.h"
#include "lib/msg/fields.h"
#include "smtpd/smtpd.h"

/* Adds one; name and value are copied. False where there are too many: the gate refuses for now. */
bool edits_add(struct transaction *tx, enum mail_edit kind, struct str name, struct str value);

/* Whether there is one of this kind. */
bool edits_have(const struct transaction *tx, enum mail_edit kind);

/* The next one, in order (start with *at = 0); false after the last. */
bool edits_next(const struct transaction *tx, size_t *at, enum mail_edit *kind, struct str *name,
    struct str *value);

/* Sends those that have not been sent yet; -1 where the channel is gone. */
int edits_send(struct transaction *tx, uint64_t trace) KP_MUST_USE;

void edits_free(struct transaction *tx);

#endif
