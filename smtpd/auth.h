/* SPDX-License-Identifier: ISC */
/* AUTH (RFC 4954). keeper leads the exchange; smtpd carries it, and asks limiter for blocks. */
#ifndef SMTPD_AUTH_H
#define SMTPD_AUTH_H

#include "lib/base/attr.h"
#include "lib/chan/chan.h"
#include "smtpd/smtpd.h"

struct why;

/* What a mechanism is good for, or smtpd_sasl_security_options asks of it. */
enum auth_quality {
	AUTH_NOPLAINTEXT = 1 << 0,
	AUTH_NOACTIVE = 1 << 1,
	AUTH_NODICTIONARY = 1 << 2,
	AUTH_NOANONYMOUS = 1 << 3,
	AUTH_FORWARD_SECRECY = 1 << 4,
	AUTH_MUTUAL = 1 << 5,
};

/* Checks the settings and keeps what they mean in the server. */
int auth_start(struct server *server, struct why *why) KP_MUST_USE;
void auth_stop(struct server *server);

/* keeper's AUTH_OFFERED, and its end. */
void auth_offered(struct server *server, const struct msg_auth_offered *msg);
void auth_keeper_gone(struct server *server);

/* The mechanisms that this session is offered now, apart by blanks; false: none. */
bool auth_mechanisms(const struct session *s, struct buf *out);

/* The command, and the lines of the exchange. */
void cmd_auth(struct session *s, struct str argument);
void refuse_auth(struct session *s, struct str argument);
size_t auth_take(struct session *s, struct str in);

/* Forgets the login (STARTTLS: RFC 3207 4.2); for session_free(), too. */
void auth_reset(struct session *s);

#endif
