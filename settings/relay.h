/* SPDX-License-Identifier: ISC */
/*
 * Who may send to whom, read off the restriction lists of one smtpd service. Nothing is tried: what
 * a table or a server would say is not known here, and the answer says so.
 */
#ifndef KP_SETTINGS_RELAY_H
#define KP_SETTINGS_RELAY_H

#include <stddef.h>

#include "lib/access/list.h"
#include "lib/base/attr.h"

struct config;
struct why;

enum relay_client {
	CLIENT_OUTSIDE,
	CLIENT_NETWORKS,    /* in mynetworks */
	CLIENT_SASL,        /* logged in */
	CLIENT_CERT_LISTED, /* a certificate in relay_clientcerts */
	CLIENT_CERT_ANY,    /* any other verified certificate */
	CLIENT_KINDS,
};

enum relay_rcpt { TO_LOCAL, TO_ALIAS, TO_VIRTUAL, TO_RELAY, TO_ELSEWHERE, TO_KINDS };

enum relay_outcome { RELAY_PASSES, RELAY_DEPENDS, RELAY_REFUSED };

struct relay_answer {
	enum relay_outcome outcome;
	char by[400]; /* the list and the rule that decide */
};

const char *relay_client_name(enum relay_client c);
const char *relay_rcpt_name(enum relay_rcpt r);

/* All lists of a service, parsed. */
struct relay_lists {
	struct access_rules_list at[AT_COUNT];
};

/* -1 with `why`, which begins with the setting's name; `*setting` is that name. */
int relay_lists_parse(struct relay_lists *lists, struct config *config, size_t service,
    const char **setting, struct why *why) KP_MUST_USE;
void relay_lists_clear(struct relay_lists *lists);

struct relay_answer relay_ask(
    const struct relay_lists *lists, enum relay_client client, enum relay_rcpt rcpt);

#endif
