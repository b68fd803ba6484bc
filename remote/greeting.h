/* SPDX-License-Identifier: ISC */
/* Replies at the start of a session, by stage. */
#ifndef REMOTE_GREETING_H
#define REMOTE_GREETING_H

#include "remote/session.h"

void on_greeting_reply(struct session *s);
void on_ehlo_reply(struct session *s);
void on_helo_reply(struct session *s);

#endif
