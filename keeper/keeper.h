/* SPDX-License-Identifier: ISC */
/* What the parts of keeper share. */
#ifndef KEEPER_KEEPER_H
#define KEEPER_KEEPER_H

#include "keeper/conf.h"

struct auth;
struct chan;
struct identities;
struct service;
struct tickets;

extern const struct sandbox keeper_sandbox;

struct keeper {
	struct service *s;
	const struct keeper_conf *conf;
	struct identities *identities; /* private keys and their certificates: identity.c */
	struct tickets *tickets;       /* keys of session tickets: tickets.c */
	struct auth *auth;             /* logins */
};

/* The keeper behind a channel. */
struct keeper *keeper_of(const struct chan *ch);

#endif
