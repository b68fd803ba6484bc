/* SPDX-License-Identifier: ISC */
/*
 * Private keys and their certificates: read when somebody first asks for them, watched from then
 * on. A good change is taken over and told to all partners; of a broken one the log tells once, and
 * what was there before stays.
 */
#ifndef KEEPER_IDENTITY_H
#define KEEPER_IDENTITY_H

#include "lib/chan/chan.h"

struct keeper;

void identities_start(struct keeper *k);

/* Looks at all files now. */
void identities_reload(struct keeper *k);

/* Serves IDENTITY_GET, AUTHORITIES_GET and SIGN. */
void on_identity_get(struct chan *ch, const struct chan_head *head, union msg_any *msg);
void on_authorities_get(struct chan *ch, const struct chan_head *head, union msg_any *msg);
void on_sign(struct chan *ch, const struct chan_head *head, union msg_any *msg);

/* Who asked on this channel wants no answer any more. */
void identities_gone(struct keeper *k, struct chan *ch);

#endif
