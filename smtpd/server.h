/* SPDX-License-Identifier: ISC */
/* The server: listeners, the list of sessions, the caches. One a process. */
#ifndef SMTPD_SERVER_H
#define SMTPD_SERVER_H

#include "lib/base/attr.h"
#include "smtpd/smtpd.h"

struct service_table;

extern const struct service_table smtpd_service;

/* For service_main(), and for the tests: makes the server of a service, and frees it with all its
 * sessions. */
int server_start(struct service *service, struct why *why) KP_MUST_USE;
void server_free(struct server **sp);

/* A new client on `fd` from `sa`; refuses with 421 over a limit. Takes over `fd`. NULL: it was
 * refused. */
struct session *server_accept(struct server *server, int fd, const struct sockaddr_storage *sa);

/* session_free() tells. */
void server_session_gone(struct server *server, struct session *s);

#endif
