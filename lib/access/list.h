/* SPDX-License-Identifier: ISC */
/*
 * Restriction lists (smtpd_recipient_restrictions and the like), from text to rules. smtpd runs
 * them; master and kingpost look at what they allow.
 */
#ifndef KP_ACCESS_LIST_H
#define KP_ACCESS_LIST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/access/rules.h"
#include "lib/base/attr.h"
#include "lib/base/str.h"

struct setting_list;
struct why;

/* The lists, in the order in which Postfix asks them for a recipient; the last three stand alone.
 */
enum access_stage {
	AT_CLIENT,
	AT_HELO,
	AT_SENDER,
	AT_RELAY,
	AT_RCPT,
	AT_DATA,
	AT_END_OF_DATA,
	AT_ETRN,
	AT_COUNT
};

/* "smtpd_client_restrictions" */
const char *access_stage_setting(enum access_stage at);

struct access_rules_list {
	struct access_rule *rules; /* owned */
	size_t n;
};

struct access_rule {
	enum rule_id id;
	bool warn;  /* warn_if_reject stood before it */
	char *text; /* as it is shown: "reject_rbl_client zone"; owned */
	char *arg;  /* table, zone, server; "" for none; owned */
	/* options of { }, as "name=value" */
	char **options;
	size_t noptions;
	uint64_t number;
	struct access_rules_list group; /* RULE_GROUP: a class, or braces */
};

/*
 * Parses the items of a list. `at` decides what a bare table means. `classes` has items
 * "name={rule, ...}" (smtpd_restriction_classes); NULL: none. -1 with `why`, which names the
 * nearest restriction for one that does not exist.
 */
int access_list_parse(struct access_rules_list *list, const struct setting_list *items,
    enum access_stage at, const struct setting_list *classes, struct why *why) KP_MUST_USE;

/* The same from text: the right-hand side of a table. */
int access_list_parse_text(struct access_rules_list *list, struct str text, enum access_stage at,
    const struct setting_list *classes, struct why *why) KP_MUST_USE;

void access_list_clear(struct access_rules_list *list);

/* The value of an option, or NULL. */
const char *access_option(const struct access_rule *rule, const char *name);

/* Checks the names of classes and that each can be parsed. */
int access_classes_check(const struct setting_list *classes, struct why *why) KP_MUST_USE;

#endif
