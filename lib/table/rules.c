/* SPDX-License-Identifier: ISC */
/* Files of ordered rules; see rules.h. Input: files that the operator wrote. An error names file
 * and line. */
#include "lib/table/rules.h"

#include <fcntl.h>
#include <stdlib.h>

#include "lib/base/buf.h"
#include "lib/base/io.h"
#include "lib/base/mem.h"
#include "lib/base/why.h"
#include "lib/table/lines.h"
#include "lib/table/table.h"

enum { IF_DEPTH = 16 };

struct nesting {
	size_t open[IF_DEPTH]; /* the places of the guards that are not closed yet */
	size_t n;
};

void
rules_free(struct rules **rp)
{
	struct rules *r = *rp;

	if (r == NULL)
		return;
	for (size_t i = 0; i < r->n; i++) {
		if (r->items[i].pattern != NULL)
			r->kind->free(r->items[i].pattern);
		free(r->items[i].value);
	}
	free(r->items);
	free(r);
	*rp = NULL;
}

static bool
take_word(struct str *line, const char *word)
{
	struct str rest = *line, first;

	if (!str_word(&rest, " \t", &first) || !str_caseis(first, word))
		return false;
	*line = str_trim(rest);
	return true;
}

static struct rule *
add(struct rules *r)
{
	r->items = xrealloc(r->items, size_mul(r->n + 1, sizeof *r->items));
	r->items[r->n] = (struct rule){0};
	return &r->items[r->n++];
}

static int
close_guard(struct rules *r, struct nesting *nest, struct why *why)
{
	if (nest->n == 0)
		return why_temp(why, NULL, "endif without if");
	r->items[nest->open[--nest->n]].end = r->n;
	return 0;
}

static int
parse_line(struct rules *r, struct nesting *nest, struct str line, struct why *why)
{
	if (take_word(&line, "endif"))
		return close_guard(r, nest, why);
	struct rule *rule = add(r);
	rule->is_if = take_word(&line, "if");
	if (line.n > 0 && line.p[0] == '!') {
		rule->negated = true;
		line = str_trim(str_from_at(line, 1));
	}
	rule->pattern = r->kind->parse(line, &line, why);
	if (rule->pattern == NULL)
		return -1;
	line = str_trim(line);
	rule->value = str_dup(line);
	if (!rule->is_if)
		return line.n > 0 ? 0 : why_temp(why, NULL, "the rule has no value");
	if (line.n > 0 || nest->n == IF_DEPTH)
		return why_temp(why, NULL,
		    line.n > 0 ? "text behind the pattern of if" : "if is nested too deep");
	nest->open[nest->n++] = r->n - 1;
	return 0;
}

static int
parse(struct rules *r, struct lines *lines, const char *path, struct why *why)
{
	struct nesting nest = {0};
	struct why inner = {0};
	struct str line;
	int more;

	while ((more = lines_next(lines, &line, &inner)) == 1)
		if (parse_line(r, &nest, line, &inner) == -1)
			break;
	if (more == 0 && nest.n > 0)
		more = why_temp(&inner, NULL, "if without endif");
	return more == 0 ? 0 : why_temp(why, "4.3.0", "%s:%zu: %s", path, lines->first, inner.text);
}

struct rules *
rules_load(const struct rule_kind *kind, const char *path, struct why *why)
{
	struct rules *r = xcalloc(1, sizeof *r);
	struct buf text;
	struct lines lines;

	r->kind = kind;
	buf_init(&text, TABLE_SIZE_MAX);
	lines_init(&lines, STR_EMPTY);
	int rc = file_read(AT_FDCWD, path, &text, why);
	if (rc == 0) {
		lines.rest = buf_view(&text);
		rc = parse(r, &lines, path, why);
	}
	lines_clear(&lines);
	buf_free(&text);
	if (rc == -1)
		rules_free(&r);
	return r;
}

int
rules_find(const struct rules *r, rule_match_fn *match, void *arg, const struct rule **rule,
    struct why *why)
{
	for (size_t i = 0; i < r->n;) {
		const struct rule *one = &r->items[i];
		int matches = match(arg, one, why);
		if (matches == -1)
			return -1;
		bool holds = (matches == 1) != one->negated;
		if (holds && !one->is_if) {
			*rule = one;
			return TABLE_FOUND;
		}
		i = one->is_if && !holds ? one->end : i + 1;
	}
	return TABLE_NONE;
}
