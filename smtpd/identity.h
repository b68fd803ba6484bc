/* SPDX-License-Identifier: ISC */
/*
 * The certificates that smtpd shows: the service's own, and those of the names that
 * tls_server_sni_maps has; and the authorities of clients' certificates. keeper has the files and
 * the keys; what it gave is kept here until it says that files have changed.
 */
#ifndef SMTPD_IDENTITY_H
#define SMTPD_IDENTITY_H

#include <stdbool.h>

#include "lib/base/str.h"

struct chan;
struct identities;
struct server;
struct session;
struct tls_identity;
struct tls_server;

/* `identity` NULL: there is none now. */
typedef void identity_then_fn(struct session *s, struct tls_identity *identity);

/* `files`: of the service's own certificates, as IDENTITY_GET takes them. */
struct identities *identities_new(struct server *server, struct tls_server *tls, const char *files);
void identities_free(struct identities **ip);

/* A new channel to keeper, its end, and its word that files have changed. */
void identities_keeper(struct identities *all);
void identities_keeper_gone(struct identities *all);
void identities_changed(struct identities *all);

/* The tables of router may have changed. */
void identities_forget_names(struct identities *all);

/* Whether the service's own are there, or have not been refused yet. */
bool identities_hopeful(const struct identities *all);

/* Finds what to show to a client that asked for `name` ("": for none); `then` is called now or
 * later, and not after identity_forget(). */
void identity_find(struct session *s, struct str name, identity_then_fn *then);
void identity_forget(struct session *s);

#endif
