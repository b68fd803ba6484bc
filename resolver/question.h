/* SPDX-License-Identifier: ISC */
/* Questions to DNS: from hosts, else from the servers, within dns_timeout. */
#ifndef KP_RESOLVER_QUESTION_H
#define KP_RESOLVER_QUESTION_H

#include "lib/chan/chan.h"
#include "resolver/resolver.h"

extern const struct chan_rule question_rules[];

/* Forgets the questions of a channel that is gone. */
void questions_drop(struct resolver *r, const struct chan *ch);

#endif
