/* SPDX-License-Identifier: ISC */
/*
 * Runs the lists with what is known of a kind of client and of recipient. A rule surely lets pass,
 * surely refuses, or may let pass; what may refuse besides (a DNS list) does not count, since it is
 * no protection against relaying.
 */
#include "settings/relay.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/access/action.h"
#include "lib/base/panic.h"
#include "lib/base/why.h"
#include "lib/conf/config.h"

static const char *const client_names[CLIENT_KINDS] = {
    [CLIENT_OUTSIDE] = "outside",
    [CLIENT_NETWORKS] = "mynetworks",
    [CLIENT_SASL] = "logged in",
    [CLIENT_CERT_LISTED] = "certificate in relay_clientcerts",
    [CLIENT_CERT_ANY] = "any other verified certificate",
};

static const char *const rcpt_names[TO_KINDS] = {
    [TO_LOCAL] = "mydestination",
    [TO_ALIAS] = "virtual_alias_domains",
    [TO_VIRTUAL] = "virtual_mailbox_domains",
    [TO_RELAY] = "relay_domains",
    [TO_ELSEWHERE] = "anywhere else",
};

const char *
relay_client_name(enum relay_client c)
{
	return client_names[c];
}

const char *
relay_rcpt_name(enum relay_rcpt r)
{
	return rcpt_names[r];
}

/* --- the lists --- */

static int
value_list(struct config *config, size_t service, const char *name, struct setting_list *list,
    struct why *why)
{
	const struct setting row = {.name = name, .type = SETTING_LIST};
	const char *value =
	    config_value(config, service, config_row(config, service, str_from(name)), NULL);

	*list = (struct setting_list){0};
	return setting_set(&row, list, str_from(value), why);
}

static void
list_free(struct setting_list *list)
{
	for (size_t i = 0; i < list->n; i++)
		free(list->items[i]);
	free(list->items);
}

int
relay_lists_parse(struct relay_lists *lists, struct config *config, size_t service,
    const char **setting, struct why *why)
{
	struct setting_list classes, items;
	int rc = 0;

	*lists = (struct relay_lists){0};
	*setting = "smtpd_restriction_classes";
	if (value_list(config, service, *setting, &classes, why) == -1)
		return -1;
	rc = access_classes_check(&classes, why);
	for (enum access_stage at = AT_CLIENT; rc == 0 && at < AT_COUNT; at++) {
		*setting = access_stage_setting(at);
		rc = value_list(config, service, *setting, &items, why);
		if (rc == 0)
			rc = access_list_parse(&lists->at[at], &items, at, &classes, why);
		if (items.items != NULL)
			list_free(&items);
	}
	list_free(&classes);
	if (rc == -1)
		relay_lists_clear(lists);
	return rc;
}

void
relay_lists_clear(struct relay_lists *lists)
{
	for (size_t i = 0; i < AT_COUNT; i++)
		access_list_clear(&lists->at[i]);
}

/* --- the walk --- */

enum effect { NO_OPINION, LETS_PASS, MAY_LET_PASS, REFUSES, REFUSES_IN_THE_END };

struct walk {
	enum relay_client client;
	enum relay_rcpt rcpt;
	const char *may;  /* the first rule that may let it pass */
	const char *late; /* the rule that refuses what passes in the end */
};

/* static:OK decides, whatever the key is. */
static enum effect
effect_of_table(const struct access_rule *rule)
{
	struct str arg = str_from(rule->arg);

	if (access_rules[rule->id].param != PARAM_TABLE || !str_starts(arg, STR("static:")))
		return MAY_LET_PASS;
	struct action a = action_parse(str_from_at(arg, sizeof "static:" - 1));
	switch (a.kind) {
	case ACTION_OK:
		return LETS_PASS;
	case ACTION_REJECT:
	case ACTION_DEFER:
	case ACTION_REPLY:
		return REFUSES;
	case ACTION_RULES:
		return MAY_LET_PASS;
	case ACTION_DUNNO:
	case ACTION_DEFER_IF_PERMIT:
	case ACTION_DEFER_IF_REJECT:
	case ACTION_DISCARD:
	case ACTION_HOLD:
	case ACTION_REDIRECT:
	case ACTION_PREPEND:
	case ACTION_FILTER:
	case ACTION_BCC:
	case ACTION_WARN:
	case ACTION_INFO:
		return NO_OPINION;
	}
	panic("relay: action");
}

static enum effect
effect_of(const struct walk *w, const struct access_rule *rule)
{
	bool ours = w->rcpt != TO_ELSEWHERE;

	switch (access_rules[rule->id].relay) {
	case RELAY_NEVER:
	case RELAY_GROUP:
		return NO_OPINION;
	case RELAY_MAY:
		return effect_of_table(rule);
	case RELAY_ALL:
		return LETS_PASS;
	case RELAY_NONE:
		return REFUSES;
	case RELAY_DEFER_LATER:
		return REFUSES_IN_THE_END;
	case RELAY_MYNETWORKS:
		return w->client == CLIENT_NETWORKS ? LETS_PASS : NO_OPINION;
	case RELAY_SASL:
		return w->client == CLIENT_SASL ? LETS_PASS : NO_OPINION;
	case RELAY_CERT_ANY:
		return w->client == CLIENT_CERT_ANY || w->client == CLIENT_CERT_LISTED ? LETS_PASS
										       : NO_OPINION;
	case RELAY_CERT_LISTED:
		return w->client == CLIENT_CERT_LISTED ? LETS_PASS : NO_OPINION;
	case RELAY_AUTH_DESTINATION:
		return ours ? LETS_PASS : NO_OPINION;
	case RELAY_BACKUP:
		return ours ? LETS_PASS : MAY_LET_PASS;
	case RELAY_UNAUTH_REFUSED:
		return ours ? NO_OPINION : REFUSES;
	}
	panic("relay: rule");
}

/* The rule that decides, or NULL at the list's end. */
static const struct access_rule *
decide(struct walk *w, const struct access_rules_list *list, enum effect *effect)
{
	for (size_t i = 0; i < list->n; i++) {
		const struct access_rule *rule = &list->rules[i], *inner;

		if (rule->id == RULE_GROUP) {
			inner = decide(w, &rule->group, effect);
			if (inner != NULL && (!rule->warn || *effect == LETS_PASS))
				return inner;
			continue;
		}
		*effect = effect_of(w, rule);
		if (*effect == MAY_LET_PASS && w->may == NULL)
			w->may = rule->text;
		if (*effect == REFUSES_IN_THE_END && !rule->warn && w->late == NULL)
			w->late = rule->text;
		if (*effect == LETS_PASS || (*effect == REFUSES && !rule->warn))
			return rule;
	}
	return NULL;
}

static struct relay_answer
ask_list(const struct access_rules_list *list, enum access_stage at, struct walk w)
{
	struct relay_answer a = {.outcome = RELAY_PASSES};
	enum effect effect = NO_OPINION;
	const struct access_rule *rule = decide(&w, list, &effect);
	const char *text = rule != NULL ? rule->text : "end of the list";

	if (rule != NULL && effect == REFUSES)
		a.outcome = w.may != NULL ? RELAY_DEPENDS : RELAY_REFUSED;
	else if (w.late != NULL) {
		a.outcome = w.may != NULL ? RELAY_DEPENDS : RELAY_REFUSED;
		text = w.late;
	}
	snprintf(a.by, sizeof a.by, "%s: %s", access_stage_setting(at),
	    a.outcome == RELAY_DEPENDS ? w.may : text);
	return a;
}

struct relay_answer
relay_ask(const struct relay_lists *lists, enum relay_client client, enum relay_rcpt rcpt)
{
	struct relay_answer result = {.outcome = RELAY_PASSES};

	for (enum access_stage at = AT_CLIENT; at <= AT_RCPT; at++) {
		struct walk w = {.client = client, .rcpt = rcpt};
		struct relay_answer a = ask_list(&lists->at[at], at, w);
		if (a.outcome > result.outcome || at == AT_RELAY || result.by[0] == '\0') {
			if (a.outcome >= result.outcome)
				result = a;
		}
		if (result.outcome == RELAY_REFUSED)
			break;
	}
	return result;
}
