/* SPDX-License-Identifier: ISC */
/* Parses what Dovecot says. Unknown words and parameters are ignored, as the protocol wants it. */
#include "keeper/dovecot_line.h"

#include "lib/base/buf.h"

/* Cuts the next word off, which may be empty; false: there is none. */
static bool
next(struct str *rest, struct str *word)
{
	ptrdiff_t tab;

	if (rest->p == NULL)
		return false;
	tab = str_chr(*rest, '\t');
	*word = tab >= 0 ? str_sub(*rest, 0, (size_t)tab) : *rest;
	*rest = tab >= 0 ? str_from_at(*rest, (size_t)tab + 1) : (struct str){NULL, 0};
	return true;
}

static bool
number(struct str *rest, uint32_t *n)
{
	struct str word;
	uint64_t value;

	if (!next(rest, &word) || !str_u64(word, UINT32_MAX, &value))
		return false;
	*n = (uint32_t)value;
	return true;
}

/* "name=value": the value. */
static bool
value_of(struct str word, const char *name, struct str *value)
{
	struct str prefix = str_from(name);

	if (!str_starts(word, prefix))
		return false;
	*value = str_from_at(word, prefix.n);
	return true;
}

static bool
mechanism_sane(struct str name)
{
	for (size_t i = 0; i < name.n; i++) {
		char c = name.p[i];
		if (!((c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_'))
			return false;
	}
	return name.n > 0 && name.n <= 20;
}

static bool
parse_version(struct str rest, struct dovecot_line *l)
{
	return number(&rest, &l->major) && number(&rest, &l->minor);
}

static bool
parse_mech(struct str rest, struct dovecot_line *l)
{
	struct str word;

	if (!next(&rest, &l->mechanism) || !mechanism_sane(l->mechanism))
		return false;
	while (next(&rest, &word)) {
		l->plaintext |= str_is(word, "plaintext");
		l->private_mechanism |= str_is(word, "private");
	}
	return true;
}

static bool
parse_cont(struct str rest, struct dovecot_line *l)
{
	if (!number(&rest, &l->id))
		return false;
	if (!next(&rest, &l->data))
		l->data = STR_EMPTY;
	return true;
}

static bool
parse_end(struct str rest, struct dovecot_line *l)
{
	struct str word, value;

	if (!number(&rest, &l->id))
		return false;
	while (next(&rest, &word)) {
		l->temporary |= str_is(word, "temp") || str_is(word, "code=temp_fail");
		if (value_of(word, "user=", &value))
			l->user = value;
		else if (value_of(word, "reason=", &value))
			l->reason = value;
	}
	return true;
}

static bool
parse_nothing(struct str rest, struct dovecot_line *l)
{
	(void)rest;
	(void)l;
	return true;
}

int
dovecot_parse(struct str line, struct dovecot_line *l)
{
	static const struct {
		const char *name;
		enum dovecot_word word;
		bool (*parse)(struct str rest, struct dovecot_line *l);
	} words[] = {
	    {"VERSION", DOVECOT_VERSION, parse_version},
	    {"MECH",    DOVECOT_MECH,    parse_mech   },
	    {"DONE",    DOVECOT_DONE,    parse_nothing},
	    {"OK",      DOVECOT_OK,      parse_end    },
	    {"CONT",    DOVECOT_CONT,    parse_cont   },
	    {"FAIL",    DOVECOT_FAIL,    parse_end    },
	};
	struct str word;

	*l = (struct dovecot_line){
	    .data = STR_EMPTY, .user = STR_EMPTY, .reason = STR_EMPTY, .mechanism = STR_EMPTY};
	if (line.p == NULL || !next(&line, &word))
		return -1;
	for (size_t i = 0; i < NELEM(words); i++)
		if (str_is(word, words[i].name)) {
			l->word = words[i].word;
			return words[i].parse(line, l) ? 0 : -1;
		}
	return 0;
}

static const struct {
	char raw, escaped;
} escapes[] = {
    {'\0',   '0'},
    {'\001', '1'},
    {'\t',   't'},
    {'\r',   'r'},
    {'\n',   'n'},
};

int
dovecot_escape(struct str text, struct buf *out)
{
	for (size_t n = 0; n < text.n; n++) {
		size_t i = 0;
		while (i < NELEM(escapes) && escapes[i].raw != text.p[n])
			i++;
		if (i < NELEM(escapes) && buf_byte(out, '\001') == -1)
			return -1;
		if (buf_byte(out, i < NELEM(escapes) ? escapes[i].escaped : text.p[n]) == -1)
			return -1;
	}
	return 0;
}

int
dovecot_unescape(struct str text, struct buf *out)
{
	for (size_t n = 0; n < text.n; n++) {
		char c = text.p[n];
		if (c == '\001') {
			size_t i = 0;
			if (++n == text.n)
				return -1;
			while (i < NELEM(escapes) && escapes[i].escaped != text.p[n])
				i++;
			if (i == NELEM(escapes))
				return -1;
			c = escapes[i].raw;
		}
		if (buf_byte(out, c) == -1)
			return -1;
	}
	return 0;
}
