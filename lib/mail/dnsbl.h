/* SPDX-License-Identifier: ISC */
/*
 * DNS block and allow lists (RFC 5782): "zone=127.0.0.[2..8;10]*3" names a zone, the answers that
 * count, and what a hit is worth; Postfix's syntax of postscreen_dnsbl_sites and reject_rbl_client.
 */
#ifndef KP_MAIL_DNSBL_H
#define KP_MAIL_DNSBL_H

#include <stdbool.h>
#include <stddef.h>

#include "lib/base/attr.h"
#include "lib/base/str.h"

struct why;

struct dnsbl {
	char *zone; /* owned */
	char *text; /* as written, without the weight; owned */
	int weight; /* 1 where none is written; negative for an allow list */
	bool filtered;
	unsigned char allow[4][32]; /* a bit for each value of each octet */
};

/* -1 with `why`: what was expected. */
int dnsbl_parse(struct dnsbl *d, struct str text, struct why *why) KP_MUST_USE;
void dnsbl_clear(struct dnsbl *d);

/* Whether this A record (4 octets) is a hit; without a filter any of 127.0.0.0/8 is. */
bool dnsbl_hit(const struct dnsbl *d, struct str record);

/* "2.0.0.127.zone" for an address, nibbles for IPv6; false where it does not fit or is none. */
bool dnsbl_name(char *out, size_t size, struct str address, const char *zone);

#endif
