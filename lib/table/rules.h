/* SPDX-License-Identifier: ISC */
/*
 * What cidr: and pcre: have in common: a file of rules that are tried in their order, "if" and
 * "endif" around some of them,
 * "!" before a pattern that must not match.
 */
#ifndef KP_TABLE_RULES_H
#define KP_TABLE_RULES_H

#include <stdbool.h>
#include <stddef.h>

#include "lib/base/str.h"

struct rules;
struct why;

struct rule {
	bool is_if; /* has no value: guards the rules up to `end` */
	bool negated;
	size_t end;    /* where to go on when a guard does not hold */
	void *pattern; /* the type's own */
	char *value;
};

/* How a type reads and frees its pattern. `text` starts at the pattern; what follows it is left in
 * `rest`. NULL with `why`. */
struct rule_kind {
	void *(*parse)(struct str text, struct str *rest, struct why *why);
	void (*free)(void *pattern);
};

struct rules {
	const struct rule_kind *kind;
	struct rule *items;
	size_t n;
};

struct rules *rules_load(const struct rule_kind *kind, const char *path, struct why *why);
void rules_free(struct rules **rp);

/* Whether the pattern matches: 1, 0, -1 with `why`. */
typedef int rule_match_fn(void *arg, const struct rule *rule, struct why *why);

/* The first rule that matches: 1 and `*rule`, 0, -1. */
int rules_find(const struct rules *r, rule_match_fn *match, void *arg, const struct rule **rule,
    struct why *why);

#endif
