/* SPDX-License-Identifier: ISC */
/* The right-hand side of an access table, and what a policy server answers (access(5)). */
#ifndef KP_ACCESS_ACTION_H
#define KP_ACCESS_ACTION_H

#include "lib/base/str.h"

enum action_kind {
	ACTION_OK,
	ACTION_DUNNO,
	ACTION_REJECT,
	ACTION_DEFER,
	ACTION_DEFER_IF_PERMIT,
	ACTION_DEFER_IF_REJECT,
	ACTION_REPLY, /* `smtp`, `code`, `text` as written */
	ACTION_DISCARD,
	ACTION_HOLD,
	ACTION_REDIRECT, /* `text` is the address */
	ACTION_PREPEND,  /* `text` is the header line */
	ACTION_FILTER,   /* `text` is transport:nexthop */
	ACTION_BCC,      /* `text` is the address */
	ACTION_WARN,
	ACTION_INFO,
	ACTION_RULES, /* `text` is a restriction list */
};

struct action {
	enum action_kind kind;
	int smtp;        /* 0: the setting's */
	struct str code; /* enhanced code, "" where none was written */
	struct str text; /* behind all that; a view into what was parsed */
};

/* Never fails: what is no action is ACTION_RULES, and what must have a text and has none (REDIRECT,
 * PREPEND, FILTER, BCC) as well, so that it is an error of the configuration. */
struct action action_parse(struct str text);

/* Cuts an enhanced code ("5.7.1") off the front of `*text`; "" where there is none. */
struct str action_take_code(struct str *text);

#endif
