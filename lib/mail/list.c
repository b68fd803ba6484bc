/* SPDX-License-Identifier: ISC */
/*
 * Address lists of header fields and command lines (RFC 5322 3.4, with the obsolete forms of
 * section 4.4), read forgivingly around the addresses and strictly in them: whatever stands before
 * a "<", in a comment or before a group's ":" is skipped; what is left is put together as
 * local@domain and given to the one parser, addr_mailbox(). Nothing recurses: comments nest by a
 * counter.
 */
#include <string.h>

#include "lib/base/why.h"
#include "lib/mail/address.h"

/* An addr-spec as far as it has been read. `bad` counts only where it turns out to be one. */
struct spec {
	char local[ADDR_LOCAL_MAX];
	size_t local_n;
	char domain[ADDR_DOMAIN_MAX];
	size_t domain_n;
	bool at;
	bool bad;
	bool word; /* the last thing was a word: another one needs a dot between */
	bool any;
};

void
addr_list_init(struct addr_list *l, struct str text, unsigned flags)
{
	*l = (struct addr_list){.rest = text, .flags = flags | ADDR_NO_DOMAIN};
}

static int
bad_list(struct addr_list *l, struct why *why, const char *what)
{
	l->rest = STR_EMPTY;
	return why_perm(why, "5.1.3", "Bad address syntax: %s", what);
}

/* Behind the comment at the front; false where it does not end. */
static bool
skip_comment(struct str *s)
{
	size_t depth = 0;

	for (size_t i = 0; i < s->n; i++) {
		if (s->p[i] == '\\')
			i++;
		else if (s->p[i] == '(')
			depth++;
		else if (s->p[i] == ')' && --depth == 0) {
			*s = str_from_at(*s, i + 1);
			return true;
		}
	}
	return false;
}

static bool
skip_blanks(struct str *s)
{
	while (s->n > 0) {
		if (s->p[0] == '(') {
			if (!skip_comment(s))
				return false;
		} else if (strchr(" \t\r\n", s->p[0]) != NULL && s->p[0] != '\0') {
			*s = str_from_at(*s, 1);
		} else {
			break;
		}
	}
	return true;
}

static void
spec_add(struct spec *spec, char c)
{
	size_t *n = spec->at ? &spec->domain_n : &spec->local_n;
	size_t size = spec->at ? sizeof spec->domain : sizeof spec->local;

	if (*n == size)
		spec->bad = true;
	else
		(spec->at ? spec->domain : spec->local)[(*n)++] = c;
}

static void
spec_word(struct spec *spec)
{
	if (spec->word)
		spec->bad = true;
	spec->word = true;
}

static bool
take_quoted(struct str *s, struct spec *spec)
{
	spec_word(spec);
	if (spec->at)
		spec->bad = true;
	for (size_t i = 1; i < s->n; i++) {
		if (s->p[i] == '"') {
			*s = str_from_at(*s, i + 1);
			return true;
		}
		if (s->p[i] == '\r' || s->p[i] == '\n')
			continue;
		if (s->p[i] == '\\' && i + 1 < s->n)
			i++;
		spec_add(spec, s->p[i]);
	}
	return false;
}

static bool
take_literal(struct str *s, struct spec *spec)
{
	ptrdiff_t end = str_chr(*s, ']');

	spec_word(spec);
	if (!spec->at)
		spec->bad = true;
	for (size_t i = 0; end >= 0 && i <= (size_t)end; i++)
		spec_add(spec, s->p[i]);
	*s = str_from_at(*s, end >= 0 ? (size_t)end + 1 : s->n);
	return end >= 0;
}

static void
take_atom(struct str *s, struct spec *spec)
{
	spec_word(spec);
	do {
		spec_add(spec, s->p[0]);
		*s = str_from_at(*s, 1);
	} while (s->n > 0 && memchr("()<>[]:;@,.\" \t\r\n", s->p[0], 16) == NULL);
}

/* Words up to one of , ; : < > or the end. False where a quote, comment or bracket is open, or a
 * ")" or "]" stands alone. */
static bool
take_spec(struct str *s, struct spec *spec)
{
	for (;;) {
		if (!skip_blanks(s))
			return false;
		if (s->n == 0 || memchr(",;:<>", s->p[0], 5) != NULL)
			return true;
		spec->any = true;
		switch (s->p[0]) {
		case '"':
			if (!take_quoted(s, spec))
				return false;
			break;
		case '[':
			if (!take_literal(s, spec))
				return false;
			break;
		case '@':
			spec->bad = spec->bad || spec->at || !spec->any;
			spec->at = true;
			spec->word = false;
			*s = str_from_at(*s, 1);
			break;
		case '.':
			spec_add(spec, '.');
			spec->word = false;
			*s = str_from_at(*s, 1);
			break;
		case ')':
		case ']':
			return false;
		default:
			take_atom(s, spec);
		}
	}
}

/* Puts the address together, the local part in quotes (the parser takes off what is not needed),
 * and parses it. */
static int
spec_parse(const struct spec *spec, unsigned flags, struct addr *a, struct why *why)
{
	char text[2 * ADDR_LOCAL_MAX + ADDR_DOMAIN_MAX + 4];
	size_t n = 0;

	if (spec->bad || !spec->any)
		return why_perm(why, "5.1.3", "Bad address syntax: not an address");
	text[n++] = '"';
	for (size_t i = 0; i < spec->local_n; i++) {
		if (spec->local[i] == '"' || spec->local[i] == '\\')
			text[n++] = '\\';
		text[n++] = spec->local[i];
	}
	text[n++] = '"';
	if (spec->at) {
		text[n++] = '@';
		memcpy(text + n, spec->domain, spec->domain_n);
		n += spec->domain_n;
	}
	return addr_mailbox(a, str_make(text, n), flags, why);
}

/* "<...>" behind a display name: an old source route is skipped. */
static int
take_angle(struct addr_list *l, struct addr *a, struct why *why)
{
	struct spec spec = {0};

	l->rest = str_from_at(l->rest, 1);
	if (!skip_blanks(&l->rest))
		return bad_list(l, why, "open comment");
	if (l->rest.n > 0 && l->rest.p[0] == '@') {
		ptrdiff_t colon = str_chr(l->rest, ':');
		ptrdiff_t end = str_chr(l->rest, '>');
		if (colon == -1 || end < colon)
			return bad_list(l, why, "source route");
		l->rest = str_from_at(l->rest, (size_t)colon + 1);
	}
	if (!take_spec(&l->rest, &spec) || l->rest.n == 0 || l->rest.p[0] != '>')
		return bad_list(l, why, "> missing");
	l->rest = str_from_at(l->rest, 1);
	if (!spec.any && (l->flags & ADDR_NULL) != 0) {
		*a = (struct addr){0};
		return 0;
	}
	return spec_parse(&spec, l->flags, a, why);
}

/* After an address: only a separator or the end may follow. */
static int
expect_separator(struct addr_list *l, struct why *why)
{
	if (!skip_blanks(&l->rest) || (l->rest.n > 0 && l->rest.p[0] != ',' && l->rest.p[0] != ';'))
		return bad_list(l, why, "text behind an address");
	return 1;
}

int
addr_list_next(struct addr_list *l, struct addr *a, struct why *why)
{
	for (;;) {
		struct spec spec = {0};
		if (!take_spec(&l->rest, &spec))
			return bad_list(l, why, "open quote, comment or bracket");
		char stop = l->rest.n > 0 ? l->rest.p[0] : '\0';
		if (stop == '<') {
			if (take_angle(l, a, why) == -1)
				goto fail;
			return expect_separator(l, why);
		}
		if (stop == '>' || (stop == ':' && l->in_group))
			return bad_list(l, why, "stray > or :");
		if (stop == ':')
			l->in_group = true; /* what was read is the group's name */
		else if (stop == ';')
			l->in_group = false;
		if (stop != '\0')
			l->rest = str_from_at(l->rest, 1);
		if (spec.any && stop != ':') {
			if (spec_parse(&spec, l->flags, a, why) == -1)
				goto fail;
			return 1;
		}
		if (stop == '\0')
			return 0;
	}
fail:
	l->rest = STR_EMPTY;
	return -1;
}
