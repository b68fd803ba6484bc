/* SPDX-License-Identifier: ISC */
/*
 * Address verification: limiter knows which addresses take mail; where it does not it has one of
 * those who ask submit a probe, a message that no delivery ever gives away. A question lives on
 * when its session has gone, so that a probe which limiter has asked for is always submitted.
 */
#ifndef SMTPD_VERIFY_H
#define SMTPD_VERIFY_H

#include <stdint.h>

#include "lib/base/attr.h"
#include "lib/base/str.h"
#include "lib/msg/fields.h"

struct server;
struct verifier;
struct verify_question;

/* `text` NULL: there is no answer. */
typedef void verify_done_fn(void *arg, enum verify_status status, const char *text);

struct verifier *verifier_new(struct server *server) KP_MUST_USE;
void verifier_free(struct verifier **vp);

/* Asks; `done` is called once, later, unless it is cancelled. NULL: nobody can be asked. */
struct verify_question *verify_ask(struct verifier *v, uint64_t trace, struct str address,
    enum verify_mode mode, verify_done_fn *done, void *arg) KP_MUST_USE;
void verify_cancel(struct verify_question **qp);

/* How long an answer may take: address_verify_poll_count times address_verify_poll_delay; 0: what
 * is known now has to do. */
int64_t verify_patience(const struct server *server);

/* The sender of our probes; and that, or who sends notices to the postmaster: nobody probes these.
 */
bool verify_is_prober(const struct verifier *v, struct str address);
bool verify_is_own(const struct verifier *v, struct str address);

#endif
