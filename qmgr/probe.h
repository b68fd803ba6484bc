/* SPDX-License-Identifier: ISC */
/*
 * Address probes (MAIL_PROBE): messages that are routed and queued like mail, whose deliveries stop
 * before the content. One attempt, whose result limiter hears; no notice, no second try.
 */
#ifndef QMGR_PROBE_H
#define QMGR_PROBE_H

#include <stdbool.h>

#include "qmgr/qmgr.h"

bool probe_is(const struct message *m);

/* One that a virtual alias made many of: that the alias is there is the answer. False: it is not.
 */
bool probe_answered(struct message *m);

/* The attempt is over: limiter is told. */
void probe_report(const struct message *m);

#endif
