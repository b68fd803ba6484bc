/* SPDX-License-Identifier: ISC */
/*
 * The grammar: items apart by commas or blanks; a name, behind it what its row says. Braces keep
 * words together: as an item they are a list within the list, behind check_policy_service and
 * check_spf they hold options. A class is put in place of its name, so that nothing is looked up
 * later. Input: settings, and right-hand sides of tables.
 */
#include "lib/access/list.h"

#include <stdlib.h>
#include <string.h>

#include "lib/base/mem.h"
#include "lib/base/panic.h"
#include "lib/base/why.h"
#include "lib/conf/setting.h"
#include "lib/mail/dnsbl.h"

enum { DEPTH_MAX = 8, RULES_MAX = 1000, NEAR_MAX = 8, SLEEP_MAX = 600 };

const struct rule_row access_rules[RULE_COUNT] = {
#define RULE_ROW(id, name, param, need, relay) \
	[RULE_##id] = {name, PARAM_##param, NEED_##need, RELAY_##relay},
    ACCESS_RULES(RULE_ROW)
#undef RULE_ROW
};

/* Other names of the same. */
static const struct {
	const char *name;
	enum rule_id id;
} aliases[] = {
    {"reject_unknown_client",    RULE_UNKNOWN_CLIENT       },
    {"reject_invalid_hostname",  RULE_INVALID_HELO         },
    {"reject_non_fqdn_hostname", RULE_NON_FQDN_HELO        },
    {"reject_unknown_hostname",  RULE_UNKNOWN_HELO         },
    {"reject_unknown_address",   RULE_UNKNOWN_SENDER_DOMAIN},
    {"check_recipient_maps",     RULE_UNLISTED_RCPT        },
};

/* Names that Postfix has or had, and what to write instead. */
static const struct {
	const char *name, *text;
} refused[] = {
    {"reject_maps_rbl",         "is gone from Postfix, too: write reject_rbl_client ZONE"   },
    {"permit_naked_ip_address",
     "would let any client pass that says an address: write permit_mynetworks"              },
    {"check_relay_domains",     "is gone from Postfix, too: write reject_unauth_destination"},
};

static const struct {
	const char *setting;
	enum rule_id bare; /* what a table without a restriction's name means */
} stages[AT_COUNT] = {
    [AT_CLIENT] = {"smtpd_client_restrictions",      RULE_CLIENT_ACCESS},
    [AT_HELO] = {"smtpd_helo_restrictions",        RULE_HELO_ACCESS  },
    [AT_SENDER] = {"smtpd_sender_restrictions",      RULE_SENDER_ACCESS},
    [AT_RELAY] = {"smtpd_relay_restrictions",       RULE_RCPT_ACCESS  },
    [AT_RCPT] = {"smtpd_recipient_restrictions",   RULE_RCPT_ACCESS  },
    [AT_DATA] = {"smtpd_data_restrictions",        RULE_RCPT_ACCESS  },
    [AT_END_OF_DATA] = {"smtpd_end_of_data_restrictions", RULE_RCPT_ACCESS  },
    [AT_ETRN] = {"smtpd_etrn_restrictions",        RULE_ETRN_ACCESS  },
};

const char *
access_stage_setting(enum access_stage at)
{
	return stages[at].setting;
}

/* What is the same for one parse. */
struct parse {
	const struct setting_list *classes;
	enum access_stage at;
	unsigned depth;
	size_t count; /* of rules, over all depths */
	struct why *why;
};

static int parse_items(
    struct parse *p, struct access_rules_list *list, const struct setting_list *items);

/* --- names --- */

static int
rule_find(struct str name)
{
	for (int i = 0; i < RULE_COUNT; i++)
		if (i != RULE_GROUP && str_caseis(name, access_rules[i].name))
			return i;
	for (size_t i = 0; i < NELEM(aliases); i++)
		if (str_caseis(name, aliases[i].name))
			return (int)aliases[i].id;
	return -1;
}

static int
refuse_name(struct str name, struct why *why)
{
	const char *nearest = NULL;
	size_t best = NEAR_MAX;

	for (size_t i = 0; i < NELEM(refused); i++)
		if (str_caseis(name, refused[i].name))
			return why_perm(why, NULL, "%s %s", refused[i].name, refused[i].text);
	for (int i = 0; i < RULE_COUNT; i++) {
		size_t d = str_distance(name, str_from(access_rules[i].name));
		if (i != RULE_GROUP && d < best) {
			best = d;
			nearest = access_rules[i].name;
		}
	}
	if (nearest != NULL)
		return why_perm(why, NULL, "there is no restriction \"%.*s\"; did you mean %s?",
		    STR_ARG(name), nearest);
	return why_perm(why, NULL, "there is no restriction \"%.*s\"", STR_ARG(name));
}

/* The text between the braces of "name={...}" or "name = ...". */
static bool
class_split(struct str item, struct str *name, struct str *text)
{
	ptrdiff_t eq = str_chr(item, '=');

	if (eq <= 0)
		return false;
	*name = str_trim(str_sub(item, 0, (size_t)eq));
	*text = str_trim(str_from_at(item, (size_t)eq + 1));
	if (text->n >= 2 && text->p[0] == '{' && text->p[text->n - 1] == '}')
		*text = str_trim(str_sub(*text, 1, text->n - 2));
	return name->n > 0 && text->n > 0;
}

static bool
class_find(const struct setting_list *classes, struct str name, struct str *text)
{
	struct str one;

	for (size_t i = 0; classes != NULL && i < classes->n; i++)
		if (class_split(str_from(classes->items[i]), &one, text) && str_caseeq(one, name))
			return true;
	return false;
}

/* --- rules --- */

static void
rule_clear(struct access_rule *r)
{
	free(r->text);
	free(r->arg);
	for (size_t i = 0; i < r->noptions; i++)
		free(r->options[i]);
	free(r->options);
	access_list_clear(&r->group);
}

void
access_list_clear(struct access_rules_list *list)
{
	for (size_t i = 0; i < list->n; i++)
		rule_clear(&list->rules[i]);
	free(list->rules);
	*list = (struct access_rules_list){0};
}

static struct access_rule *
add(struct access_rules_list *list, enum rule_id id)
{
	list->rules = xrealloc(list->rules, size_mul(list->n + 1, sizeof *list->rules));
	list->rules[list->n] = (struct access_rule){.id = id, .arg = xstrdup("")};
	return &list->rules[list->n++];
}

static void
list_free(struct setting_list *list)
{
	for (size_t i = 0; i < list->n; i++)
		free(list->items[i]);
	free(list->items);
}

static int
split(struct str text, struct setting_list *items, struct why *why)
{
	static const struct setting row = {.name = "restrictions", .type = SETTING_LIST};

	*items = (struct setting_list){0};
	return setting_set(&row, items, text, why);
}

static int
parse_group(struct parse *p, struct access_rules_list *list, struct str name, struct str text)
{
	struct setting_list items;

	if (++p->depth > DEPTH_MAX)
		return why_perm(p->why, NULL,
		    "\"%.*s\": lists within lists too deep, or a class that refers to itself",
		    STR_ARG(name));
	if (split(text, &items, p->why) == -1)
		return -1;
	struct access_rule *rule = add(list, RULE_GROUP);
	rule->text = str_dup(name);
	int rc = parse_items(p, &rule->group, &items);
	list_free(&items);
	p->depth--;
	return rc;
}

enum option_is { OPTION_TEXT, OPTION_TIME, OPTION_NUMBER, OPTION_ACTION };

static const struct {
	const char *name;
	enum rule_param param;
	enum option_is is;
} options[] = {
    {"timeout",        PARAM_POLICY, OPTION_TIME  },
    {"max_idle",       PARAM_POLICY, OPTION_TIME  },
    {"retry_delay",    PARAM_POLICY, OPTION_TIME  },
    {"try_limit",      PARAM_POLICY, OPTION_NUMBER},
    {"default_action", PARAM_POLICY, OPTION_TEXT  },
    {"policy_context", PARAM_POLICY, OPTION_TEXT  },
    {"none",           PARAM_SPF,    OPTION_ACTION},
    {"neutral",        PARAM_SPF,    OPTION_ACTION},
    {"fail",           PARAM_SPF,    OPTION_ACTION},
    {"softfail",       PARAM_SPF,    OPTION_ACTION},
    {"temperror",      PARAM_SPF,    OPTION_ACTION},
    {"permerror",      PARAM_SPF,    OPTION_ACTION},
};

static bool
value_valid(enum option_is is, struct str value)
{
	static const struct setting time = {.type = SETTING_TIME, .max = 3600 * 1000};
	uint64_t number;

	switch (is) {
	case OPTION_TEXT:
		return true;
	case OPTION_TIME:
		return setting_set(&time, NULL, value, NULL) == 0;
	case OPTION_NUMBER:
		return str_u64(value, 100, &number) && number > 0;
	case OPTION_ACTION:
		return str_is(value, "reject") || str_is(value, "defer") || str_is(value, "ignore");
	}
	panic("restrictions: option");
}

/* One "name=value". */
static int
option_add(struct access_rule *rule, struct str text, struct why *why)
{
	const struct rule_row *row = &access_rules[rule->id];
	ptrdiff_t eq = str_chr(text, '=');
	struct str name = str_trim(str_sub(text, 0, eq > 0 ? (size_t)eq : 0));
	struct str value = str_trim(str_from_at(text, (size_t)(eq + 1)));

	for (size_t i = 0; i < NELEM(options); i++) {
		if (options[i].param != row->param || !str_is(name, options[i].name))
			continue;
		if (!value_valid(options[i].is, value))
			return why_perm(why, NULL, "%s: %s: \"%.*s\" is no value for it", row->name,
			    options[i].name, STR_ARG(value));
		rule->options =
		    xrealloc(rule->options, size_mul(rule->noptions + 1, sizeof *rule->options));
		rule->options[rule->noptions++] =
		    xasprintf("%s=%.*s", options[i].name, STR_ARG(value));
		return 0;
	}
	return why_perm(why, NULL, "%s: \"%.*s\" is not an option", row->name, STR_ARG(text));
}

/* "inet:host:port, timeout=10s": the first item, where there is to be one, and the options. A value
 * with blanks stands in braces, or runs to the next comma. */
static int
parse_options(struct parse *p, struct access_rule *rule, struct str text, bool first)
{
	struct str part;
	char *all = str_dup(text);
	struct str rest = str_from(all);
	int rc = 0;

	while (rc == 0 && str_word(&rest, ",", &part)) {
		part = str_trim(part);
		if (part.n >= 2 && part.p[0] == '{' && part.p[part.n - 1] == '}')
			part = str_trim(str_sub(part, 1, part.n - 2));
		if (part.n == 0)
			continue;
		if (first) {
			free(rule->arg);
			rule->arg = str_dup(part);
			first = false;
			continue;
		}
		rc = option_add(rule, part, p->why);
	}
	free(all);
	return rc;
}

const char *
access_option(const struct access_rule *rule, const char *name)
{
	size_t n = strlen(name);

	for (size_t i = 0; i < rule->noptions; i++)
		if (strncmp(rule->options[i], name, n) == 0 && rule->options[i][n] == '=')
			return rule->options[i] + n + 1;
	return NULL;
}

static int
check_zone(const struct access_rule *rule, struct why *why)
{
	struct dnsbl list;
	struct why inner;

	if (dnsbl_parse(&list, str_from(rule->arg), &inner) == -1)
		return why_perm(
		    why, NULL, "%s %s: %s", access_rules[rule->id].name, rule->arg, inner.text);
	dnsbl_clear(&list);
	return 0;
}

static int
take_param(struct parse *p, struct access_rule *rule, const struct setting_list *items, size_t *i)
{
	const struct rule_row *row = &access_rules[rule->id];
	bool has_next = *i + 1 < items->n;
	struct str next = has_next ? str_from(items->items[*i + 1]) : STR_EMPTY;

	if (row->param == PARAM_NONE || row->param == PARAM_RULE)
		return 0;
	if (row->param == PARAM_SPF) {
		if (str_chr(next, '=') < 0)
			return 0;
		++*i;
		return parse_options(p, rule, next, false);
	}
	if (!has_next || next.n == 0)
		return why_perm(p->why, NULL, "%s needs a %s behind it", row->name,
		    row->param == PARAM_TABLE    ? "table (type:name)"
		    : row->param == PARAM_ZONE   ? "DNS zone"
		    : row->param == PARAM_POLICY ? "server (inet:host:port or unix:/path)"
						 : "number");
	++*i;
	if (row->param == PARAM_POLICY) {
		if (parse_options(p, rule, next, true) == -1)
			return -1;
		if (!str_starts(str_from(rule->arg), STR("inet:")) &&
		    !str_starts(str_from(rule->arg), STR("unix:/")))
			return why_perm(p->why, NULL,
			    "%s: \"%s\" is neither inet:host:port nor unix:/path", row->name,
			    rule->arg);
		return 0;
	}
	if (row->param == PARAM_TABLE && str_chr(next, ':') <= 0)
		return why_perm(
		    p->why, NULL, "%s: \"%.*s\" is no table (type:name)", row->name, STR_ARG(next));
	if (row->param == PARAM_NUMBER && !str_u64(next, SLEEP_MAX, &rule->number))
		return why_perm(p->why, NULL, "%s: expected seconds from 0 to %d, not \"%.*s\"",
		    row->name, SLEEP_MAX, STR_ARG(next));
	free(rule->arg);
	rule->arg = str_dup(next);
	return row->param == PARAM_ZONE ? check_zone(rule, p->why) : 0;
}

/* Several words, of which the first is no table: "{ warn_if_reject, reject_x }". */
static bool
is_group(struct str item)
{
	struct str first;
	struct str rest = item;

	return str_word(&rest, ", \t", &first) && rest.n > 0 && str_chr(first, ':') < 0;
}

static int
parse_rule(struct parse *p, struct access_rules_list *list, const struct setting_list *items,
    size_t *i, bool warn)
{
	struct str word = str_from(items->items[*i]), text;
	int id = rule_find(word);
	int rc = 0;

	if (++p->count > RULES_MAX)
		return why_perm(p->why, NULL, "more than %d restrictions", RULES_MAX);
	size_t at = list->n;
	if (id == -1 && class_find(p->classes, word, &text))
		rc = parse_group(p, list, word, text);
	else if (id == -1 && is_group(word))
		rc = parse_group(p, list, STR("{}"), word);
	else if (id == -1 && str_chr(word, ':') > 0) {
		struct access_rule *rule = add(list, stages[p->at].bare);
		free(rule->arg);
		rule->arg = str_dup(word);
	} else if (id == -1)
		return refuse_name(word, p->why);
	else
		rc = take_param(p, add(list, (enum rule_id)id), items, i);
	if (rc == 0 && list->n > at) {
		struct access_rule *rule = &list->rules[at];
		rule->warn = warn;
		if (rule->text == NULL)
			rule->text = xasprintf("%s%s%s", access_rules[rule->id].name,
			    rule->arg[0] != '\0' ? " " : "", rule->arg);
	}
	return rc;
}

static int
parse_items(struct parse *p, struct access_rules_list *list, const struct setting_list *items)
{
	for (size_t i = 0; i < items->n; i++) {
		bool warn = rule_find(str_from(items->items[i])) == RULE_WARN_IF_REJECT;
		if (warn && ++i == items->n)
			return why_perm(
			    p->why, NULL, "warn_if_reject needs a restriction behind it");
		if (parse_rule(p, list, items, &i, warn) == -1)
			return -1;
	}
	return 0;
}

int
access_list_parse(struct access_rules_list *list, const struct setting_list *items,
    enum access_stage at, const struct setting_list *classes, struct why *why)
{
	struct parse p = {.classes = classes, .at = at, .why = why};

	*list = (struct access_rules_list){0};
	if (parse_items(&p, list, items) == 0)
		return 0;
	access_list_clear(list);
	return -1;
}

int
access_list_parse_text(struct access_rules_list *list, struct str text, enum access_stage at,
    const struct setting_list *classes, struct why *why)
{
	struct setting_list items;

	*list = (struct access_rules_list){0};
	if (split(text, &items, why) == -1)
		return -1;
	int rc = access_list_parse(list, &items, at, classes, why);
	list_free(&items);
	return rc;
}

int
access_classes_check(const struct setting_list *classes, struct why *why)
{
	struct access_rules_list list;
	struct str name, text;

	for (size_t i = 0; i < classes->n; i++) {
		struct why inner;
		if (!class_split(str_from(classes->items[i]), &name, &text))
			return why_perm(why, NULL,
			    "\"%s\": a class is written name={restriction, ...}",
			    classes->items[i]);
		if (rule_find(name) != -1)
			return why_perm(
			    why, NULL, "%.*s is a restriction's own name", STR_ARG(name));
		if (access_list_parse_text(&list, text, AT_RCPT, classes, &inner) == -1)
			return why_perm(why, NULL, "%.*s: %s", STR_ARG(name), inner.text);
		access_list_clear(&list);
	}
	return 0;
}
