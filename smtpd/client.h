/* SPDX-License-Identifier: ISC */
/* The name of a client: what PTR says and A or AAAA confirms (RFC 1912 2.1), else "unknown". */
#ifndef SMTPD_CLIENT_H
#define SMTPD_CLIENT_H

struct server;
struct session;

/* Finds the name and greets the client, now or later. */
void client_lookup(struct session *s);

/* Frees the names that are kept. */
void client_forget(struct server *server);

#endif
