/* SPDX-License-Identifier: ISC */
/*
 * TLS of a session: STARTTLS (RFC 3207) or from the first octet, the handshake, and the stream that
 * all octets go through afterwards.
 */
#ifndef SMTPD_TLS_H
#define SMTPD_TLS_H

#include <sys/types.h>

#include "lib/base/attr.h"
#include "lib/chan/chan.h"
#include "lib/tls/facts.h"
#include "smtpd/identity.h"
#include "smtpd/smtpd.h"

struct certs;
struct service;
struct tls;
struct why;

enum { TLS_LEVEL_NONE, TLS_LEVEL_MAY, TLS_LEVEL_ENCRYPT }; /* smtpd_tls_security_level */

/* What a session has of TLS, from the beginning of the handshake. */
struct session_tls {
	struct session *session;
	struct tls *tls;
	struct tls_facts *facts; /* NULL: the handshake is under way */

	/* the handshake */
	bool queued;  /* waits for its turn */
	bool crowded; /* waits for another to end */
	TAILQ_ENTRY(session_tls) turn;
	struct chan *signer; /* keeper makes a signature */
	uint32_t request;
	char *name;      /* that the client asked for, while its certificates are looked for */
	const char *key; /* ... under this part of it */
	identity_then_fn *then;
	struct certs *certs; /* ... and waited for */
	TAILQ_ENTRY(session_tls) waiter;
};

/* Before the sandbox: reads the file of authorities into `ca`, which the caller frees. */
int smtpd_tls_open(const struct smtpd_conf *conf, char **ca, struct why *why) KP_MUST_USE;

/* Takes over `ca`. Where no certificate is configured there is no TLS, and that is no error. */
int smtpd_tls_start(struct server *server, char *ca, struct why *why) KP_MUST_USE;
void smtpd_tls_stop(struct server *server);

/* What keeper sends, and its channel's beginning and end. */
void smtpd_tls_keeper(struct server *server, struct chan *keeper);
void smtpd_tls_keeper_gone(struct server *server);
void on_ticket_keys(struct chan *ch, const struct chan_head *head, union msg_any *msg);
void on_identities_changed(struct chan *ch, const struct chan_head *head, union msg_any *msg);

/* The tables of names may have changed. */
void smtpd_tls_forget_names(struct server *server);

/* Whether EHLO names STARTTLS; whether nothing goes without it. */
bool smtpd_tls_offered(const struct session *s);
bool smtpd_tls_missing(const struct session *s);

/* The session is encrypted: what was agreed on, and who the client is. NULL: it is not. */
const struct tls_facts *smtpd_tls_facts(const struct session *s);

/* See tls_binding(). */
int smtpd_tls_binding(const struct session *s, const char *type, struct buf *out) KP_MUST_USE;

/* For the Received field: the comments, apart by semicolons; "" where there is none. */
void smtpd_tls_comment(const struct session *s, char *out, size_t size);

void cmd_starttls(struct session *s, struct str argument);
void refuse_starttls(struct session *s, struct str argument);

/* Takes, and throws away, what a client sent behind STARTTLS. */
size_t smtpd_tls_drop_plain(struct session *s, struct str in);

/* Begins the handshake; nothing is in `out` any more. */
void smtpd_tls_begin(struct session *s);

/* The handshake is under way, and the socket is ready. */
bool smtpd_tls_shaking(const struct session *s);
void smtpd_tls_on_socket(struct session *s);

/* As read() and write(), through TLS where there is such. */
ssize_t smtpd_read(struct session *s, void *p, size_t n);
ssize_t smtpd_write(struct session *s, const void *p, size_t n);

/* No more is sent. */
void smtpd_tls_end(struct session *s);

/* For session_free(). */
void smtpd_tls_free(struct session *s);

#endif
