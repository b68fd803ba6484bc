/* SPDX-License-Identifier: ISC */
/*
 * The addresses to try for a next hop, in order: RFC 5321 section 5 (MX by preference, equal ones
 * at random; the domain itself where it has none), RFC 7505 (null MX), or a host's addresses alone.
 */
#ifndef REMOTE_HOSTS_H
#define REMOTE_HOSTS_H

#include "remote/remote.h"

struct host_address {
	char name[HOST_MAX + 1];
	unsigned preference;
	struct sockaddr_storage sa;
};

struct hosts {
	struct host_address *rows;
	size_t n;
};

/* Looks for the hosts of d->hop; delivery_found() is called later, never before this returns. */
void hosts_find(struct delivery *d);

/* Gives up looking. Clears the caller's pointer; NULL is fine. */
void finder_free(struct finder **fp);
void hosts_free(struct hosts **hp);

/* "192.0.2.1" */
void address_numeric(const struct sockaddr_storage *sa, char out[static INET6_ADDRSTRLEN]);
unsigned address_port(const struct sockaddr_storage *sa);

#endif
