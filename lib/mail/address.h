/* SPDX-License-Identifier: ISC */
/*
 * Mail addresses. A `struct addr` is made by the parsers here and by nothing else: whoever holds
 * one has a well-formed address in canonical form, without control characters, blanks outside
 * quotes, source routes or comments.
 *
 * Canonical: the local part as a dot-string where it can be one, else quoted with as few
 * backslashes as possible; the domain in lower case, U-labels normalised; an address literal as
 * "[1.2.3.4]" or "[ipv6:...]".
 */
#ifndef KP_MAIL_ADDRESS_H
#define KP_MAIL_ADDRESS_H

#include <stdbool.h>
#include <stddef.h>

#include "lib/base/attr.h"
#include "lib/base/str.h"

struct buf;
struct sockaddr_storage;
struct why;

enum {
	ADDR_LOCAL_MAX =
	    120, /* octets; RFC 5321 4.5.3.1.1 says 64, VERP and SRS make longer ones */
	ADDR_DOMAIN_MAX = 255,                                    /* octets, RFC 5321 4.5.3.1.2 */
	ADDR_TEXT_MAX = 2 * ADDR_LOCAL_MAX + 3 + ADDR_DOMAIN_MAX, /* all quoted, and the @ */
};

struct addr {
	size_t n;       /* length of `text`; 0: the null sender <> */
	size_t local_n; /* of the local part in `text`, quotes included */
	bool literal;   /* the domain is an address literal */
	char text[ADDR_TEXT_MAX + 1];
};

enum addr_flag {
	ADDR_UTF8 = 1 << 0,       /* RFC 6531: UTF-8 in the local part, U-labels in the domain */
	ADDR_NULL = 1 << 1,       /* "<>" is one, too */
	ADDR_POSTMASTER = 1 << 2, /* "<postmaster>" needs no domain (RFC 5321 4.1.1.3) */
	ADDR_NO_DOMAIN = 1 << 3,  /* no address needs a domain */
	ADDR_BARE = 1 << 4,       /* the angle brackets may be missing */
};

/*
 * The path of MAIL FROM or RCPT TO (RFC 5321 4.1.2) at the front of `in`; `*used` is its length,
 * brackets included. A source route is accepted and dropped. -1 with `why` (5.1.3, or 5.1.7 is the
 * caller's to choose; 5.6.7 for UTF-8 that was not announced), `*a` is then the null address.
 */
int addr_path(
    struct addr *a, struct str in, unsigned flags, size_t *used, struct why *why) KP_MUST_USE;

/* "local@domain" without brackets, all of `in`: what tables and channels hold. */
int addr_mailbox(struct addr *a, struct str in, unsigned flags, struct why *why) KP_MUST_USE;

/*
 * All addresses of a header field's value or of a command line's argument: RFC 5322 with comments,
 * display names, groups and folds. A domain may be missing. `text` must live as long as the
 * iterator.
 */
struct addr_list {
	struct str rest;
	unsigned flags;
	bool in_group;
};
void addr_list_init(struct addr_list *l, struct str text, unsigned flags);

/* 1: the next address; 0: no more; -1: malformed, with `why` (the rest is given up). */
int addr_list_next(struct addr_list *l, struct addr *a, struct why *why) KP_MUST_USE;

/* Parts of the canonical text; views into `*a`. The domain is empty where there is none. */
struct str addr_text(const struct addr *a);
struct str addr_local(const struct addr *a);
struct str addr_domain(const struct addr *a);
bool addr_is_null(const struct addr *a);

/* The local part without quotes and backslashes, as a user's name is looked up. -1: over the
 * buffer's max. */
int addr_local_raw(const struct addr *a, struct buf *out) KP_MUST_USE;

/* Gives an address without a domain this one, which must be a valid domain. The null sender stays
 * null. */
int addr_complete(struct addr *a, struct str domain, struct why *why) KP_MUST_USE;

/* A valid domain name of RFC 5321 (no literal), or with `utf8` of RFC 6531. */
bool domain_valid(struct str domain, bool utf8);

/*
 * The name to ask DNS for: A-labels, lower case, NUL-terminated in `out` of ADDR_DOMAIN_MAX + 1
 * bytes. Underscores pass: not every name in DNS is a host's.
 */
int domain_to_ascii(struct str domain, char *out, struct why *why) KP_MUST_USE;

/*
 * The inside of an address literal, "192.0.2.1" or "IPv6:2001:db8::1" (RFC 5321 4.1.3), or a bare
 * address of either family where `bare`. The port is 0.
 */
bool literal_parse(struct str text, bool bare, struct sockaddr_storage *sa);

#endif
