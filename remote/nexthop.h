/* SPDX-License-Identifier: ISC */
/* A next hop as transport tables write it: host, [host], host:port, [address]:port, unix:path,
 * inet:host:port. */
#ifndef REMOTE_NEXTHOP_H
#define REMOTE_NEXTHOP_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "lib/base/attr.h"
#include "lib/base/str.h"

struct why;

enum { HOST_MAX = 255 };

struct nexthop {
	char host[HOST_MAX + 1]; /* as DNS asks it; or the path of a UNIX socket in `path` */
	char path[1024];         /* "" unless it is a UNIX socket */
	uint16_t port;
	bool lmtp;
	bool mx;      /* MX records count: no brackets, not LMTP */
	bool literal; /* `address` is it, nothing is asked */
	struct sockaddr_storage address;
};

/* `transport` is the service's name; "lmtp" and names that begin with it speak LMTP. */
int nexthop_parse(struct nexthop *hop, struct str transport, struct str text, uint16_t smtp_port,
    uint16_t lmtp_port, struct why *why) KP_MUST_USE;

#endif
