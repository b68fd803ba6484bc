/* SPDX-License-Identifier: ISC */
/* Lists of networks: "127.0.0.0/8", "[2001:db8::]/32", "192.0.2.1", "!192.0.2.7"; the first that
 * matches decides. */
#ifndef KP_MAIL_NETWORKS_H
#define KP_MAIL_NETWORKS_H

#include <stdbool.h>
#include <stddef.h>

#include "lib/base/attr.h"
#include "lib/base/str.h"

struct setting_list;
struct sockaddr_storage;
struct why;

struct networks {
	struct network *rows; /* owned */
	size_t n;
};

/* -1 with `why` names the item that is no network; bits behind the prefix must be 0. */
int networks_parse(
    struct networks *nets, const struct setting_list *list, struct why *why) KP_MUST_USE;
void networks_clear(struct networks *nets);

/*
 * Whether it names a network so wide (more than a /8, or than an IPv6 /16) that outsiders must be
 * in it.
 */
bool networks_open(const struct networks *nets);

/* An IPv4 address in IPv6 clothing (::ffff:192.0.2.1) matches as IPv4. */
bool networks_match(const struct networks *nets, const struct sockaddr_storage *sa);

/* The network of an address in text, as "192.0.2.0/24", with so many bits of an IPv4 or an IPv6
 * one. False where it is no address or does not fit. */
bool networks_key(
    struct str address, unsigned ipv4_bits, unsigned ipv6_bits, char *out, size_t size);

#endif
