/* SPDX-License-Identifier: ISC */
/*
 * A session: its socket, its timers, its state. It ends by session_end() or session_lost() only,
 * which let the callback that called them return: the memory goes at the end of the loop's round.
 */
#ifndef SMTPD_SESSION_H
#define SMTPD_SESSION_H

#include "lib/base/attr.h"
#include "smtpd/smtpd.h"

/* Takes over the socket `fd` of a client; sa is NULL for a caller on this machine. Starts with
 * looking up its name. */
struct session *session_new(struct server *server, int fd, const struct sockaddr_storage *sa);

/* The handshake is done: greets, or begins anew behind STARTTLS. */
void session_secured(struct session *s);

/* Who it is: its address, and what that address may. */
void session_set_client(struct session *s, const struct sockaddr_storage *sa);

/* Begins to read from the client, or leaves that to the handshake of implicit TLS. */
void session_read(struct session *s);

/* Greets, once the name is known (s->client_name). */
void session_greet(struct session *s);

/* Judges and greets a client that XCLIENT has put in the place of the one that connected. */
void session_greet_again(struct session *s);

/* The one way to change the state. */
void session_enter(struct session *s, enum state state);
const char *session_state_name(enum state state);

/* One line of a reply: session_reply() is the last or only one, session_reply_more() is followed by
 * another. `code` NULL: no enhanced code. A refusal gets smtpd_reject_footer, and is counted;
 * session_reply_last() is a line and no more. */
void session_reply(struct session *s, int smtp, const char *code, const char *fmt, ...)
    KP_PRINTF(4, 5);
void session_reply_more(struct session *s, int smtp, const char *fmt, ...) KP_PRINTF(3, 4);
void session_reply_last(struct session *s, int smtp, const char *code, const char *text);
void session_reply_why(struct session *s, const struct why *why);
/* A line whose text is ours and as long as it likes: a challenge. */
void session_reply_long(struct session *s, int smtp, struct str text);

/* Replies and logs it as a refusal ("reject: RCPT from ..."). */
void session_reject(
    struct session *s, const char *stage, struct str recipient, const struct why *why);

/* No input is taken until session_resume(); `expire` is called after `ms`. */
void session_wait(struct session *s, int64_t ms, expire_fn *expire);
void session_resume(struct session *s);

/* Makes it wait where its errors deserve it; returns whether it waits, for this or anything else.
 */
bool session_penalty(struct session *s);

/* Gives the client time: `ms` from now. */
void session_allow(struct session *s, int64_t ms);

/* `ms`, or smtpd_stress_timeout where the server is near its limit and the client is not trusted.
 */
int64_t session_pressed(const struct session *s, int64_t ms);

/* Gives it as much more as `octets` of a message are worth by smtpd_min_data_rate. */
void session_earned(struct session *s, size_t octets);

/* Ends it when the last words are written. */
void session_end(struct session *s);

/* As session_end(), but what the client still sends is read and thrown away for a moment, or the
 * reset would eat our reply. */
void session_end_lingering(struct session *s);

/* Ends it without a word: "lost connection after RCPT from ...". */
void session_lost(struct session *s, const char *what);

/* For server.c, when it stops: 421 to the session, at once or after its transaction. */
void session_shut(struct session *s);

/* Frees at once; only outside of the session's own callbacks. */
void session_free(struct session **sp);

/* "ESMTP", and by which command the session stands ("RCPT", "CONNECT", "END-OF-MESSAGE"). */
struct str session_proto(const struct session *s);

/* Our own end of the connection: the address in `out` (INET6_ADDRSTRLEN), and the port, 0 where
 * that is not known. */
unsigned session_own_address(const struct session *s, char *out, size_t size);

#endif
