/* SPDX-License-Identifier: ISC */
/* Limits that all workers share: limiter counts, smtpd compares. Clients of
 * smtpd_client_event_limit_exceptions are never counted. */
#ifndef SMTPD_LIMITS_H
#define SMTPD_LIMITS_H

#include "smtpd/smtpd.h"

/* "192.0.2.0/24": the client's network, under which it is counted. */
bool limits_network(const struct session *s, char *out, size_t size);

/* The session has a client that nobody limits. */
bool limits_exempt(const struct session *s);

/* A recipient was refused as unknown: waits (smtpd_unknown_recipient_delay), and blocks the
 * client's network after smtpd_harvest_limit of them. */
void limits_unknown_recipient(struct session *s);

/* Forgets the question that limits_unknown_recipient() has asked. */
void limits_harvest_drop(struct session *s);

/* The session ends: what it held is given back, its errors are counted. */
void limits_gone(struct session *s);

/* A new limiter knows nothing of the sessions that there are. */
void limits_tell(struct server *server, struct chan *limiter);

#endif
