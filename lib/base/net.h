/* SPDX-License-Identifier: ISC */
/* Addresses as settings write them: "192.0.2.1:25", "[2001:db8::1]:25", "*:25" for all of both
 * families. */
#ifndef KP_BASE_NET_H
#define KP_BASE_NET_H

#include "lib/base/attr.h"

struct addrinfo;
struct why;

/* The address of such a text; the caller frees *info. -1 with `why`. */
int net_address(const char *text, struct addrinfo **info, struct why *why) KP_MUST_USE;

/* A socket that listens there: not blocking, TCP_NODELAY for what it accepts. -1 with `why`. */
int net_listen(const char *text, struct why *why) KP_MUST_USE;

#endif
