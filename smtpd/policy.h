/* SPDX-License-Identifier: ISC */
/*
 * Policy delegation (Postfix's SMTPD_POLICY_README): a request of name=value lines, an empty line;
 * a reply "action=..." and an empty line. One question at a time on a connection, connections are
 * kept, more questions wait in turn.
 */
#ifndef SMTPD_POLICY_H
#define SMTPD_POLICY_H

#include <stdint.h>

#include "lib/base/attr.h"
#include "lib/base/str.h"

struct access_rule;
struct policy;
struct policy_request;
struct server;

/* `action` NULL: there is no answer, and `text` says why. */
typedef void policy_done_fn(void *arg, const char *action, const char *text);

struct policy *policy_new(struct server *server);
void policy_free(struct policy **pp);

/* The number of the server that a rule names; each (server, options) is one. */
unsigned policy_server(struct policy *p, const struct access_rule *rule);

/* How long the caller should wait at most, all tries included. */
int64_t policy_patience(const struct policy *p, unsigned server);

/* What to do where it does not answer. */
const char *policy_default(const struct policy *p, unsigned server);

/* Asks; `done` is called once, later, unless it is cancelled. The request is copied. */
struct policy_request *policy_ask(struct policy *p, unsigned server, struct str request,
    policy_done_fn *done, void *arg) KP_MUST_USE;
void policy_cancel(struct policy_request **rp);

/*
 * The reply at the front of `in`: 1 and the action (the attribute's last value), 0 where more is to
 * come, -1 where it is no reply. `*used` is its length, the empty line included.
 */
int policy_reply(struct str in, struct str *action, size_t *used) KP_MUST_USE;

#endif
