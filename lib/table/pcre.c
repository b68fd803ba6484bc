/* SPDX-License-Identifier: ISC */
/*
 * pcre: "/pattern/flags value" a line; $1, ${1}, $(1) in the value are what a group matched, $$ is
 * a dollar. As in Postfix letter case does not matter and a dot matches a newline unless a flag
 * says otherwise. Every match has a limit of work, since keys come from the network: one that is
 * over it is "could not tell".
 */
#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <stdlib.h>

#include "lib/base/buf.h"
#include "lib/base/mem.h"
#include "lib/base/why.h"
#include "lib/table/rules.h"
#include "lib/table/type.h"

enum { MATCH_LIMIT = 100000, DEPTH_LIMIT = 10000, HEAP_LIMIT_KB = 4096, GROUPS_MAX = 100 };

struct content {
	struct rules *rules;
	pcre2_match_context *context;
	pcre2_match_data *data;
};

struct subject {
	struct content *content;
	struct str key;
};

static const struct {
	char letter;
	uint32_t option;
} flags[] = {
    {'i', PCRE2_CASELESS      },
    {'m', PCRE2_MULTILINE     },
    {'s', PCRE2_DOTALL        },
    {'x', PCRE2_EXTENDED      },
    {'A', PCRE2_ANCHORED      },
    {'E', PCRE2_DOLLAR_ENDONLY},
    {'U', PCRE2_UNGREEDY      },
};

/* Each letter turns its option round. */
static int
flags_parse(struct str letters, uint32_t *options, struct why *why)
{
	for (size_t i = 0; i < letters.n; i++) {
		size_t f = 0;
		while (f < NELEM(flags) && flags[f].letter != letters.p[i])
			f++;
		if (f == NELEM(flags))
			return why_temp(
			    why, NULL, "unknown flag '%c' behind the pattern", letters.p[i]);
		*options ^= flags[f].option;
	}
	return 0;
}

static bool
is_alnum(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* The text between two delimiters; a backslash keeps the byte behind it. */
static int
pattern_cut(struct str text, struct str *pattern, struct str *rest, struct why *why)
{
	if (text.n == 0 || is_alnum(text.p[0]))
		return why_temp(why, NULL, "a pattern stands between slashes or the like");
	for (size_t i = 1; i < text.n; i++) {
		if (text.p[i] == '\\')
			i++;
		else if (text.p[i] == text.p[0]) {
			*pattern = str_sub(text, 1, i - 1);
			*rest = str_from_at(text, i + 1);
			return 0;
		}
	}
	return why_temp(why, NULL, "the pattern has no closing '%c'", text.p[0]);
}

static void *
pattern_parse(struct str text, struct str *rest, struct why *why)
{
	struct str pattern = STR_EMPTY, letters;
	uint32_t options = PCRE2_CASELESS | PCRE2_DOTALL;
	int error;
	PCRE2_SIZE at;

	if (pattern_cut(text, &pattern, rest, why) == -1)
		return NULL;
	size_t n = 0;
	while (n < rest->n && is_alnum(rest->p[n]))
		n++;
	letters = str_sub(*rest, 0, n);
	*rest = str_from_at(*rest, n);
	if (flags_parse(letters, &options, why) == -1)
		return NULL;
	pcre2_code *code =
	    pcre2_compile((PCRE2_SPTR)pattern.p, pattern.n, options, &error, &at, NULL);
	if (code == NULL) {
		char reason[128];
		pcre2_get_error_message(error, (PCRE2_UCHAR *)reason, sizeof reason);
		why_temp(why, NULL, "pattern, at byte %zu: %s", (size_t)at, reason);
	}
	return code;
}

static void
pattern_free(void *pattern)
{
	pcre2_code_free(pattern);
}

static const struct rule_kind kind = {pattern_parse, pattern_free};

static void
pcre_free(void *content)
{
	struct content *c = content;

	rules_free(&c->rules);
	pcre2_match_data_free(c->data);
	pcre2_match_context_free(c->context);
	free(c);
}

static void *
pcre_load(KP_UNUSED struct str name, const char *path, struct why *why)
{
	struct rules *rules = rules_load(&kind, path, why);

	if (rules == NULL)
		return NULL;
	struct content *c = xcalloc(1, sizeof *c);
	c->rules = rules;
	c->context = pcre2_match_context_create(NULL);
	c->data = pcre2_match_data_create(GROUPS_MAX, NULL);
	pcre2_set_match_limit(c->context, MATCH_LIMIT);
	pcre2_set_depth_limit(c->context, DEPTH_LIMIT);
	pcre2_set_heap_limit(c->context, HEAP_LIMIT_KB);
	return c;
}

static int
match(void *arg, const struct rule *rule, struct why *why)
{
	struct subject *s = arg;
	int rc = pcre2_match(rule->pattern, (PCRE2_SPTR)s->key.p, s->key.n, 0, 0, s->content->data,
	    s->content->context);

	if (rc >= 0)
		return 1;
	if (rc == PCRE2_ERROR_NOMATCH)
		return 0;
	char reason[128];
	pcre2_get_error_message(rc, (PCRE2_UCHAR *)reason, sizeof reason);
	return why_temp(why, "4.3.0", "a pcre: pattern could not be tried: %s", reason);
}

/* Reads "1", "{1}" or "(1)" at the front of `rest`; false where it is none of them. */
static bool
group_number(struct str *rest, uint32_t *group)
{
	char close = rest->n == 0 ? '\0' : rest->p[0] == '{' ? '}' : rest->p[0] == '(' ? ')' : '\0';
	struct str digits = str_from_at(*rest, close != '\0');
	size_t n = 0;
	uint64_t value;

	while (n < digits.n && digits.p[n] >= '0' && digits.p[n] <= '9')
		n++;
	if (!str_u64(str_sub(digits, 0, n), GROUPS_MAX, &value))
		return false;
	if (close != '\0' && (n == digits.n || digits.p[n] != close))
		return false;
	*rest = str_from_at(digits, n + (close != '\0'));
	*group = (uint32_t)value;
	return true;
}

/* A group that did not take part in the match is empty, as in Postfix. */
static int
group_add(const struct subject *s, uint32_t group, struct buf *out)
{
	const PCRE2_SIZE *at = pcre2_get_ovector_pointer(s->content->data);
	uint32_t count = pcre2_get_ovector_count(s->content->data);

	if (group >= count || at[2 * group] == PCRE2_UNSET)
		return 0;
	return buf_str(out, str_sub(s->key, at[2 * group], at[2 * group + 1] - at[2 * group]));
}

static int
substitute(const struct subject *s, struct str value, struct buf *out)
{
	while (value.n > 0) {
		ptrdiff_t dollar = str_chr(value, '$');
		size_t plain = dollar < 0 ? value.n : (size_t)dollar;
		uint32_t group;
		if (buf_str(out, str_sub(value, 0, plain)) == -1)
			return -1;
		value = str_from_at(value, plain + (dollar >= 0));
		if (dollar < 0)
			break;
		if (group_number(&value, &group)) {
			if (group_add(s, group, out) == -1)
				return -1;
			continue;
		}
		if (buf_byte(out, '$') == -1)
			return -1;
		if (value.n > 0 && value.p[0] == '$')
			value = str_from_at(value, 1);
	}
	return 0;
}

static int
pcre_lookup(void *content, struct str key, struct buf *out, struct why *why)
{
	struct content *c = content;
	struct subject s = {c, key};
	const struct rule *rule;
	int found = rules_find(c->rules, match, &s, &rule, why);

	if (found != TABLE_FOUND)
		return found;
	if (rule->negated) /* nothing matched: there are no groups */
		return buf_puts(out, rule->value) == -1
			   ? why_temp(why, "4.3.0", "a table's value is too long")
			   : found;
	if (substitute(&s, str_from(rule->value), out) == -1)
		return why_temp(why, "4.3.0", "a table's value is too long");
	return TABLE_FOUND;
}

const struct table_type table_pcre = {
    "pcre", "", TABLE_FILE | TABLE_PATTERN, pcre_load, pcre_lookup, pcre_free};
