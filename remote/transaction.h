/* SPDX-License-Identifier: ISC */
/* One mail transaction over a session that is ready for it. */
#ifndef REMOTE_TRANSACTION_H
#define REMOTE_TRANSACTION_H

#include "remote/session.h"

/* Begins it for s->d. */
void transaction_begin(struct session *s);

/* Replies, by stage. */
void on_xforward_reply(struct session *s);
void on_mail_reply(struct session *s);
void on_rcpt_reply(struct session *s);
void on_data_reply(struct session *s);
void on_body_reply(struct session *s);
void on_dot_reply(struct session *s);

/* All that was queued has left. */
void transaction_flushed(struct session *s);

#endif
