/* SPDX-License-Identifier: ISC */
/* What became of recipients: told to qmgr, logged, and kept until qmgr has it on disk. */
#ifndef REMOTE_RESULT_H
#define REMOTE_RESULT_H

#include "lib/base/attr.h"
#include "remote/remote.h"

/* One recipient is done. `relay` "" is none. Only the first outcome of a recipient counts. */
void result_add(struct delivery *d, struct rcpt *r, enum delivery_status status,
    const struct why *why, const char *relay, const char *mta);

/* All that are not done yet: deferred or bounced as `why` says. */
void result_rest(struct delivery *d, const struct why *why, const char *relay, const char *mta);

bool result_complete(const struct delivery *d);

/* Tells qmgr about recipient `r` again, after it has come back; `id` 0. */
void result_tell(struct delivery *d, const struct rcpt *r);

/* "12", "1.2", "0.34" seconds: two digits that count, as Postfix logs delays. */
void delay_show(char out[static 16], int64_t us);

#endif
