/* SPDX-License-Identifier: ISC */
/* The suite's own accounts: their database, threads for the hashes, and `kingpost user`. */
#ifndef KEEPER_PASSWORDS_H
#define KEEPER_PASSWORDS_H

#include <stdbool.h>

#include "lib/base/attr.h"
#include "lib/chan/chan.h"

struct auth;
struct buf;
struct exchange;
struct passwords;
struct why;

/* NULL with `why`. After the sandbox: the database is opened as keeper's user. */
struct passwords *passwords_new(struct auth *a, struct why *why) KP_MUST_USE;

/* Decides the exchange whose x->login and x->password are there: by the type's backend. */
void passwords_check(struct exchange *x);
void passwords_drop(struct exchange *x);
void passwords_gone(struct auth *a, struct chan *ch);

/* The account behind what a client says: folded, with smtpd_sasl_local_domain. False: none can be.
 */
bool passwords_name(const struct auth *a, struct str said, struct buf *name);

/* As users_get(). */
int passwords_record(
    struct auth *a, struct str said, struct buf *record, struct why *why) KP_MUST_USE;
struct str passwords_seed(const struct auth *a);

/* kingpost user */
void on_user_act(struct chan *ch, const struct chan_head *head, union msg_any *msg);
void on_user_list(struct chan *ch, const struct chan_head *head, union msg_any *msg);

#endif
