/* SPDX-License-Identifier: ISC */
/* The head that a load balancer puts before a connection: the PROXY protocol, versions 1 and 2, as
 * haproxy's proxy-protocol.txt has it. */
#ifndef KP_MAIL_PROXYHEAD_H
#define KP_MAIL_PROXYHEAD_H

#include <netinet/in.h>
#include <stdbool.h>
#include <sys/socket.h>

#include "lib/base/attr.h"
#include "lib/base/str.h"

struct why;

enum { PROXYHEAD_MAX = 1024 }; /* version 2 with what may follow the addresses */

struct proxyhead {
	bool own; /* LOCAL or UNKNOWN: the balancer speaks for itself */
	struct sockaddr_storage client;
};

/*
 * How many octets at the front of `in` belong to the head for certain: all of it where it is not
 * whole. `*whole`: that is the head, and proxyhead_parse() takes it. -1 with `why` where it can be
 * none.
 */
ssize_t proxyhead_length(struct str in, bool *whole, struct why *why) KP_MUST_USE;
int proxyhead_parse(struct str head, struct proxyhead *out, struct why *why) KP_MUST_USE;

#endif
