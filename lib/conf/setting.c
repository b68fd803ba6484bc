/* SPDX-License-Identifier: ISC */
/*
 * Values of settings: text to typed member and back, one row of functions a type. Hostile input: an
 * operator's typing. Every refusal says what was expected.
 */
#include "lib/conf/setting.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/buf.h"
#include "lib/base/mem.h"
#include "lib/base/panic.h"
#include "lib/base/why.h"

struct unit {
	const char *name;
	int64_t factor;
};

static const struct unit time_units[] = {
    {"ms", 1		     },
    {"s",  1000		  },
    {"m",  60 * 1000             },
    {"h",  3600 * 1000           },
    {"d",  24 * 3600 * 1000      },
    {"w",  7 * 24 * 3600 * 1000LL},
    {"",   1000		  },
};

static const struct unit size_units[] = {
    {"K", 1024LL              },
    {"M", 1024LL * 1024       },
    {"G", 1024LL * 1024 * 1024},
    {"",  1		   },
};

static const struct unit plain[] = {
    {"", 1}
};

/* A number with a unit. False: not one, or too large. */
static bool
parse_number(struct str s, const struct unit *units, size_t n, int64_t *value)
{
	bool negative = s.n > 0 && s.p[0] == '-';
	size_t digits = 0;
	uint64_t number;

	if (negative)
		s = str_from_at(s, 1);
	while (digits < s.n && s.p[digits] >= '0' && s.p[digits] <= '9')
		digits++;
	if (!str_u64(str_sub(s, 0, digits), INT64_MAX, &number))
		return false;
	for (size_t i = 0; i < n; i++)
		if (str_caseis(str_from_at(s, digits), units[i].name)) {
			if (__builtin_mul_overflow((int64_t)number, units[i].factor, value))
				return false;
			*value = negative ? -*value : *value;
			return true;
		}
	return false;
}

/* The largest unit that divides the value: "5d", "10M"; the unitless one last. */
static void
show_number(int64_t value, const struct unit *units, size_t n, struct buf *out)
{
	const struct unit *best = NULL;

	for (size_t i = 0; i < n; i++)
		if (units[i].name[0] != '\0' && value != 0 && value % units[i].factor == 0 &&
		    (best == NULL || units[i].factor > best->factor))
			best = &units[i];
	int64_t factor = best != NULL ? best->factor : 1;
	(void)!buf_printf(out, "%" PRId64 "%s", value / factor,
	    best != NULL                        ? best->name
	    : value == 0 && units == time_units ? "s"
						: "");
}

static int
check_range(
    const struct setting *row, int64_t value, const struct unit *units, size_t n, struct why *why)
{
	struct buf low = {.max = 64}, high = {.max = 64};
	int result = 0;

	if (value >= row->min && value <= row->max)
		return 0;
	show_number(row->min, units, n, &low);
	show_number(row->max, units, n, &high);
	if (row->max == INT64_MAX)
		result = why_perm(why, NULL, "must be at least %s", buf_cstr(&low));
	else
		result =
		    why_perm(why, NULL, "must be from %s to %s", buf_cstr(&low), buf_cstr(&high));
	buf_free(&low);
	buf_free(&high);
	return result;
}

static int
set_number(const struct setting *row, int64_t *at, struct str s, const struct unit *units, size_t n,
    const char *expected, struct why *why)
{
	int64_t value;

	if (!parse_number(s, units, n, &value))
		return why_perm(why, NULL, "expected %s, not \"%.*s\"", expected, STR_ARG(s));
	if (check_range(row, value, units, n, why) == -1)
		return -1;
	if (at != NULL)
		*at = value;
	return 0;
}

static int
set_bool(bool *at, struct str s, struct why *why)
{
	bool yes = str_caseis(s, "yes");

	if (!yes && !str_caseis(s, "no"))
		return why_perm(why, NULL, "expected yes or no, not \"%.*s\"", STR_ARG(s));
	if (at != NULL)
		*at = yes;
	return 0;
}

static int
set_word(const struct setting *row, int64_t *at, struct str s, struct why *why)
{
	struct buf choices = {.max = 400};

	for (int64_t i = 0; row->words[i] != NULL; i++)
		if (str_caseis(s, row->words[i])) {
			if (at != NULL)
				*at = i;
			return 0;
		}
	for (size_t i = 0; row->words[i] != NULL; i++)
		(void)!buf_printf(&choices, "%s%s", i > 0 ? ", " : "", row->words[i]);
	why_perm(why, NULL, "expected one of %s, not \"%.*s\"", buf_cstr(&choices), STR_ARG(s));
	buf_free(&choices);
	return -1;
}

static void
list_clear(struct setting_list *list)
{
	for (size_t i = 0; i < list->n; i++)
		free(list->items[i]);
	free(list->items);
	*list = (struct setting_list){0};
}

static bool
is_separator(char c)
{
	return c == ',' || c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

/* Cuts the next item off `rest`; braces keep what is inside together (`inline:{a=b, c=d}`), and go
 * when they enclose all of it. */
static int
next_item(struct str *rest, struct str *item, struct why *why)
{
	size_t n = 0;
	int depth = 0;

	while (rest->n > 0 && is_separator(rest->p[0]))
		*rest = str_from_at(*rest, 1);
	for (; n < rest->n && (depth > 0 || !is_separator(rest->p[n])); n++) {
		depth += rest->p[n] == '{';
		depth -= rest->p[n] == '}';
		if (depth < 0)
			return why_perm(why, NULL, "a } without its {");
	}
	if (depth > 0)
		return why_perm(why, NULL, "a { without its }");
	*item = str_sub(*rest, 0, n);
	*rest = str_from_at(*rest, n);
	if (item->n >= 2 && item->p[0] == '{' && item->p[item->n - 1] == '}')
		*item = str_trim(str_sub(*item, 1, item->n - 2));
	return n > 0;
}

static int
set_list(const struct setting *row, struct setting_list *at, struct str s, struct why *why)
{
	struct setting_list list = {0};
	struct str item = STR_EMPTY;
	int more;

	while ((more = next_item(&s, &item, why)) == 1) {
		int64_t word = 0;
		if (row->words != NULL && set_word(row, &word, item, why) == -1) {
			more = -1;
			break;
		}
		list.items = xrealloc(list.items, (list.n + 1) * sizeof *list.items);
		list.items[list.n++] =
		    row->words != NULL ? xstrdup(row->words[word]) : str_dup(item);
	}
	if (more == 0 && at != NULL) {
		list_clear(at);
		*at = list;
	} else {
		list_clear(&list);
	}
	return more;
}

int
setting_set(const struct setting *row, void *conf, struct str value, struct why *why)
{
	void *at = conf != NULL ? (char *)conf + row->offset : NULL;

	value = str_trim(value);
	if (value.n > 0 && memchr(value.p, '\0', value.n) != NULL)
		return why_perm(why, NULL, "holds a NUL");
	switch (row->type) {
	case SETTING_TIME:
		return set_number(row, at, value, time_units, NELEM(time_units),
		    "a time such as 30s, 5m, 4h or 5d", why);
	case SETTING_SIZE:
		return set_number(row, at, value, size_units, NELEM(size_units),
		    "a size such as 64K, 10M or 1G", why);
	case SETTING_INT:
		return set_number(row, at, value, plain, NELEM(plain), "a number", why);
	case SETTING_BOOL:
		return set_bool(at, value, why);
	case SETTING_WORD:
		return set_word(row, at, value, why);
	case SETTING_LIST:
		return set_list(row, at, value, why);
	case SETTING_TEXT:
	case SETTING_COMMAND:
		if (at != NULL) {
			char **text = at;
			free(*text);
			*text = str_dup(value);
		}
		return 0;
	}
	panic("setting %s: type %d", row->name, (int)row->type);
}

void
setting_show(const struct setting *row, const void *conf, struct buf *out)
{
	const void *at = (const char *)conf + row->offset;
	const int64_t *number = at;
	const struct setting_list *list = at;

	switch (row->type) {
	case SETTING_TIME:
		show_number(*number, time_units, NELEM(time_units), out);
		return;
	case SETTING_SIZE:
		show_number(*number, size_units, NELEM(size_units), out);
		return;
	case SETTING_INT:
		show_number(*number, plain, NELEM(plain), out);
		return;
	case SETTING_BOOL:
		(void)!buf_puts(out, *(const bool *)at ? "yes" : "no");
		return;
	case SETTING_WORD:
		(void)!buf_puts(out, row->words[*number]);
		return;
	case SETTING_TEXT:
	case SETTING_COMMAND:
		(void)!buf_puts(out, *(char *const *)at);
		return;
	case SETTING_LIST:
		for (size_t i = 0; i < list->n; i++)
			(void)!buf_printf(out,
			    strpbrk(list->items[i], ", \t") != NULL ? "%s{%s}" : "%s%s",
			    i > 0 ? ", " : "", list->items[i]);
		return;
	}
}

const struct setting *
settings_find(const struct settings *s, struct str name)
{
	for (size_t i = 0; i < s->n; i++)
		if (str_is(name, s->rows[i].name))
			return &s->rows[i];
	return NULL;
}

/* A number whose default is another setting's value: master sends it. */
static bool
refers(const struct setting *row)
{
	return row->type != SETTING_TEXT && row->type != SETTING_LIST &&
	       row->type != SETTING_COMMAND && strchr(row->def, '$') != NULL;
}

void
settings_init(const struct settings *s, void *conf)
{
	struct why why;

	for (size_t i = 0; i < s->n; i++)
		if (!refers(&s->rows[i]) &&
		    setting_set(&s->rows[i], conf, str_from(s->rows[i].def), &why) == -1)
			panic("default of %s: %s", s->rows[i].name, why.text);
}

void
settings_clear(const struct settings *s, void *conf)
{
	for (size_t i = 0; i < s->n; i++) {
		void *at = (char *)conf + s->rows[i].offset;
		if (s->rows[i].type == SETTING_LIST)
			list_clear(at);
		if (s->rows[i].type != SETTING_TEXT && s->rows[i].type != SETTING_COMMAND)
			continue;
		char **text = at;
		free(*text);
		*text = NULL;
	}
}
