/* SPDX-License-Identifier: ISC */
/*
 * Logins: one exchange a client, led by its mechanism, decided by the service's backend:
 *
 *	begin, respond -> exchange_challenge(), or a decision: exchange_ok(), exchange_fail()
 *
 * A mechanism that waits for a backend says so with exchange_wait(); no response comes meanwhile,
 * and after keeper_auth_timeout the exchange fails as one that could not be told.
 */
#ifndef KEEPER_AUTH_H
#define KEEPER_AUTH_H

#include <event2/event_struct.h>
#include <gsasl.h>
#include <stdbool.h>
#include <sys/queue.h>

#include "keeper/keeper.h"
#include "lib/base/attr.h"
#include "lib/base/buf.h"
#include "lib/chan/chan.h"

struct backend;
struct checks;
struct exchange;
struct map;
struct passwords;
struct why;

enum { MECHANISM_MAX = 20, MECHANISMS_MAX = 500, AUTH_DATA_MAX = 12288 };

/* A way to prove who one is. */
struct mechanism {
	const char *name;
	bool plain; /* shows the secret to the line */
	void (*begin)(struct exchange *x, bool has_initial, struct str initial);
	void (*respond)(struct exchange *x, struct str data);
	void (*drop)(struct exchange *x); /* frees what it has in the exchange; may be NULL */
};

struct auth {
	struct keeper *k;
	TAILQ_HEAD(, exchange) exchanges;
	size_t n;
	Gsasl *gsasl;
	struct passwords *passwords; /* users' database, and threads for hashes: passwords.c */
	struct checks *checks;       /* checkpassword programs: checkpassword.c */
	TAILQ_HEAD(, backend) backends;
	struct map *services; /* backends by service; counted */
};

struct exchange {
	struct auth *auth;
	struct backend *backend; /* counted */
	TAILQ_ENTRY(exchange) link;
	struct chan *ch; /* smtpd */
	struct chan_head head;
	const struct mechanism *how;
	unsigned rounds;
	bool waiting; /* for a backend */
	struct event timer;

	/* the session */
	char *name; /* of the mechanism */
	char *client_addr, *server_addr, *certificate, *binding_type;
	struct buf binding;
	unsigned client_port, server_port;
	bool tls;

	char *login;   /* claimed */
	char *granted; /* it has passed: only the answer to the last challenge is to come */

	/* the mechanism's */
	Gsasl_session *sasl;
	struct buf password;
	struct scram *scram;
	struct task *task;   /* of a thread */
	struct check *check; /* a checkpassword program */
	uint32_t dovecot_id;
};

int auth_start(struct keeper *k, struct why *why) KP_MUST_USE;
void auth_reload(struct keeper *k);

/* A new smtpd: hears what there is to offer. */
void auth_greet(struct keeper *k, struct chan *ch);
/* Tells those of the backend's services, where it has changed. */
void auth_offer(struct backend *b);
/* Exchanges of a channel that is gone. */
void auth_gone(struct keeper *k, struct chan *ch);

void on_auth_start(struct chan *ch, const struct chan_head *head, union msg_any *msg);
void on_auth_response(struct chan *ch, const struct chan_head *head, union msg_any *msg);
void on_auth_cancel(struct chan *ch, const struct chan_head *head, union msg_any *msg);

/* Steps of an exchange; the last two may free it. */
void exchange_challenge(struct exchange *x, struct str data);
void exchange_wait(struct exchange *x);
void exchange_ok(struct exchange *x, struct str login);
void exchange_fail(struct exchange *x, const char *reason);
void exchange_fail_temp(struct exchange *x, const char *reason);
/* One more challenge that a client answers with nothing, and then the decision. */
void exchange_ok_after(struct exchange *x, struct str data, struct str login);
/* Who the client says it is. */
void exchange_claim(struct exchange *x, struct str login);

/* sasl.c: what libgsasl has. */
extern const struct mechanism sasl_mechanisms[]; /* ended by one without a name */
extern const struct mechanism external_mechanism;

#endif
