/* SPDX-License-Identifier: ISC */
/*
 * Who knows the accounts of a service: smtpd_sasl_type and smtpd_sasl_path as its section has them.
 * Services that say the same share a backend. Which service an smtpd belongs to is master's word,
 * not its own: it can have no other backend asked than the configuration gives that service.
 */
#ifndef KEEPER_BACKEND_H
#define KEEPER_BACKEND_H

#include <stdbool.h>
#include <sys/queue.h>

struct auth;
struct chan;
struct dovecot;
struct mechanism;

/* smtpd_sasl_type */
enum auth_type { AUTH_KINGPOST, AUTH_DOVECOT, AUTH_CHECKPASSWORD };

struct backend {
	struct auth *auth;
	enum auth_type type;
	char *path;               /* of Dovecot; "" for the others */
	struct dovecot *dovecot;  /* NULL: not its type */
	char *mechanisms, *plain; /* as offered last */
	unsigned holders;         /* services, and exchanges under way */
	TAILQ_ENTRY(backend) link;
};

/* Makes what sasl_services names; what it names no more goes with its last exchange. */
void backends_reload(struct auth *a);

/* The one of the service that is behind a channel; NULL: none. Counted by who keeps it. */
struct backend *backend_of(const struct auth *a, const struct chan *ch);
struct backend *backend_hold(struct backend *b);
void backend_drop(struct backend **bp);

/* The mechanism that it has under this name now, or NULL. */
const struct mechanism *backend_mechanism(const struct backend *b, const char *name);

/* What it has now; true where that is not what it had before. */
bool backend_list(struct backend *b);

#endif
