/* SPDX-License-Identifier: ISC */
/* Names that are known without DNS: /etc/hosts, and localhost (RFC 6761 6.3), both ways. */
#ifndef KP_RESOLVER_HOSTS_H
#define KP_RESOLVER_HOSTS_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/str.h"

struct hosts;

struct host_address {
	int family;
	unsigned char bytes[16];
};

struct host {
	struct host_address *addresses;
	size_t n;
};

/* From the text of the file; lines that are malformed are passed over. */
struct hosts *hosts_new(struct str text);
void hosts_free(struct hosts **hp);

/* By name in lower case without final dot; NULL: not there. */
const struct host *hosts_find(const struct hosts *h, struct str name);

/* The first name of the address whose reverse name ("1.0.0.127.in-addr.arpa") this is; NULL. */
const char *hosts_reverse(const struct hosts *h, struct str arpa);

/* The reverse name of an address in text; false where it is none. `out` of at least HOSTS_ARPA_SIZE
 * bytes. */
enum { HOSTS_ARPA_SIZE = 80 };
bool hosts_arpa(struct str address, char out[static HOSTS_ARPA_SIZE]);

#endif
