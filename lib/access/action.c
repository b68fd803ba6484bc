/* SPDX-License-Identifier: ISC */
/* Actions by a table; the text is an operator's, or a policy server's, and may hold anything. */
#include "lib/access/action.h"

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include "lib/base/attr.h"
#include "lib/base/panic.h"

enum needs { NO_TEXT, MAY_TEXT, MUST_ADDRESS, MUST_TEXT, MUST_HEADER };

static const struct {
	const char *name;
	enum action_kind kind;
	enum needs needs;
} rows[] = {
    {"OK",	      ACTION_OK,              NO_TEXT     },
    {"PERMIT",          ACTION_OK,              NO_TEXT     },
    {"RELAY",           ACTION_OK,              NO_TEXT     },
    {"DUNNO",           ACTION_DUNNO,           NO_TEXT     },
    {"REJECT",          ACTION_REJECT,          MAY_TEXT    },
    {"DEFER",           ACTION_DEFER,           MAY_TEXT    },
    {"DEFER_IF_PERMIT", ACTION_DEFER_IF_PERMIT, MAY_TEXT    },
    {"DEFER_IF_REJECT", ACTION_DEFER_IF_REJECT, MAY_TEXT    },
    {"DISCARD",         ACTION_DISCARD,         MAY_TEXT    },
    {"HOLD",            ACTION_HOLD,            MAY_TEXT    },
    {"REDIRECT",        ACTION_REDIRECT,        MUST_ADDRESS},
    {"PREPEND",         ACTION_PREPEND,         MUST_HEADER },
    {"FILTER",          ACTION_FILTER,          MUST_TEXT   },
    {"BCC",	     ACTION_BCC,             MUST_ADDRESS},
    {"WARN",            ACTION_WARN,            MAY_TEXT    },
    {"INFO",            ACTION_INFO,            MAY_TEXT    },
};

static bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* Digits from `at` on; where they end. */
static size_t
digits(struct str s, size_t at)
{
	while (at < s.n && is_digit(s.p[at]))
		at++;
	return at;
}

struct str
action_take_code(struct str *text)
{
	struct str s = *text;
	size_t a, b;

	if (s.n < 5 || (s.p[0] != '2' && s.p[0] != '4' && s.p[0] != '5') || s.p[1] != '.')
		return STR_EMPTY;
	a = digits(s, 2);
	if (a == 2 || a > 5 || a >= s.n || s.p[a] != '.')
		return STR_EMPTY;
	b = digits(s, a + 1);
	if (b == a + 1 || b > a + 4 || (b < s.n && s.p[b] != ' ' && s.p[b] != '\t'))
		return STR_EMPTY;
	*text = str_trim(str_from_at(s, b));
	return str_sub(s, 0, b);
}

/* "550 5.7.1 text", "550 text". */
static bool
parse_reply(struct str s, struct action *a)
{
	if (s.n < 3 || (s.p[0] != '4' && s.p[0] != '5') || digits(s, 0) != 3)
		return false;
	if (s.n > 3 && s.p[3] != ' ' && s.p[3] != '\t')
		return false;
	a->kind = ACTION_REPLY;
	a->smtp = (s.p[0] - '0') * 100 + (s.p[1] - '0') * 10 + (s.p[2] - '0');
	a->text = str_trim(str_from_at(s, 3));
	a->code = action_take_code(&a->text);
	if (a->code.n > 0 && a->code.p[0] != s.p[0])
		a->code = STR_EMPTY;
	return true;
}

/* Whether the text is what the action needs; it is trimmed, and has no line end in it. */
static bool
suits(enum needs needs, struct str text)
{
	ptrdiff_t colon = str_chr(text, ':');

	switch (needs) {
	case NO_TEXT:
	case MAY_TEXT:
		return true;
	case MUST_ADDRESS:
		return str_chr(text, '@') > 0;
	case MUST_TEXT:
		return text.n > 0 && colon > 0;
	case MUST_HEADER:
		for (ptrdiff_t i = 0; i < colon; i++)
			if (text.p[i] <= ' ' || (unsigned char)text.p[i] > 126)
				return false;
		return colon > 0;
	}
	panic("action: needs");
}

struct action
action_parse(struct str text)
{
	struct action a = {.code = STR_EMPTY};
	struct str rest = str_trim(text), word = STR_EMPTY;

	a.kind = ACTION_RULES;
	a.text = rest;
	if (memchr(rest.p, '\0', rest.n) != NULL)
		return a;
	if (parse_reply(rest, &a))
		return a;
	/* a number alone is the time at which some program has let the client in */
	if (rest.n > 0 && digits(rest, 0) == rest.n) {
		a.kind = ACTION_OK;
		return a;
	}
	(void)str_word(&rest, " \t", &word);
	for (size_t i = 0; i < NELEM(rows); i++) {
		struct str behind = str_trim(rest);
		if (!str_caseis(word, rows[i].name))
			continue;
		if (!suits(rows[i].needs, behind))
			return a;
		/* "permit, reject_x" is a list */
		if (rows[i].kind == ACTION_OK && str_caseis(word, "PERMIT") && behind.n > 0)
			return a;
		a.kind = rows[i].kind;
		a.text = behind;
		if (rows[i].needs == MAY_TEXT)
			a.code = action_take_code(&a.text);
		return a;
	}
	return a;
}
