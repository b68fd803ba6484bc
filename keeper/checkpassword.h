/* SPDX-License-Identifier: ISC */
/* checkpassword programs, started by spawn: https://cr.yp.to/checkpwd/interface.html */
#ifndef KEEPER_CHECKPASSWORD_H
#define KEEPER_CHECKPASSWORD_H

#include "lib/chan/chan.h"

struct auth;
struct checks;
struct exchange;

struct checks *checks_new(void);

/* Decides the exchange whose x->login and x->password are there. */
void checks_begin(struct exchange *x);
void checks_drop(struct exchange *x);

/* spawn has gone, or ended one. */
void checks_gone(struct auth *a, struct chan *ch);
void on_spawn_exit(struct chan *ch, const struct chan_head *head, union msg_any *msg);

#endif
