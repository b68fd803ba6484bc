/* SPDX-License-Identifier: ISC */
/*
 * check_host() of RFC 7208. Hostile input: every record, and the names that macros make of what a
 * client says. A record is parsed whole before any of it counts (4.6); work is bounded by the
 * limits of 4.6.4, over all records that include and redirect lead to.
 */
#include "lib/spf/spf.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "lib/base/buf.h"
#include "lib/base/mem.h"

enum { NAME_MAX_OCTETS = 253, MACRO_MAX = 4096, TERMS_MAX = 200, DEPTH_MAX = 12, PARTS_MAX = 128 };

enum mechanism { M_ALL, M_INCLUDE, M_A, M_MX, M_PTR, M_IP4, M_IP6, M_EXISTS, M_COUNT };

enum takes { TAKES_NOTHING, TAKES_DOMAIN, MAY_DOMAIN, MAY_DOMAIN_CIDR, TAKES_IP4, TAKES_IP6 };

static const struct {
	const char *name;
	enum takes takes;
} mechanisms[M_COUNT] = {
    [M_ALL] = {"all",     TAKES_NOTHING  },
    [M_INCLUDE] = {"include", TAKES_DOMAIN   },
    [M_A] = {"a",       MAY_DOMAIN_CIDR},
    [M_MX] = {"mx",      MAY_DOMAIN_CIDR},
    [M_PTR] = {"ptr",     MAY_DOMAIN     },
    [M_IP4] = {"ip4",     TAKES_IP4      },
    [M_IP6] = {"ip6",     TAKES_IP6      },
    [M_EXISTS] = {"exists",  TAKES_DOMAIN   },
};

struct term {
	enum spf_result result; /* of the qualifier */
	enum mechanism mechanism;
	struct str text;   /* as written */
	struct str domain; /* a domain-spec; "" for none */
	unsigned char ip[16];
	unsigned prefix4, prefix6;
};

struct record {
	struct term terms[TERMS_MAX];
	size_t n;
	struct str redirect, exp; /* "" for none */
	bool has_redirect, has_exp;
};

const char *
spf_result_name(enum spf_result r)
{
	static const char *const names[SPF_RESULTS] = {
	    "none", "neutral", "pass", "fail", "softfail", "temperror", "permerror"};

	return r < SPF_RESULTS ? names[r] : "?";
}

static enum spf_result
problem(struct spf *q, enum spf_result r, const char *what, struct str text)
{
	snprintf(q->problem, sizeof q->problem, "%s%s%.*s", what, text.n > 0 ? ": " : "",
	    (int)(text.n < 100 ? text.n : 100), text.p);
	for (char *p = q->problem; *p != '\0'; p++)
		if ((unsigned char)*p < ' ' || (unsigned char)*p > 126)
			*p = '?';
	return r;
}

/* --- DNS --- */

/* SPF_PASS: there is an answer in `dns`. */
static enum spf_result
look_up(struct spf *q, unsigned type, const char *name, struct spf_dns *dns)
{
	*dns = (struct spf_dns){0};
	if (!q->source->lookup(q->source->arg, type, name, dns))
		return SPF_ASKED;
	if (dns->failed)
		return problem(q, SPF_TEMPERROR, "DNS cannot tell of", str_from(name));
	return SPF_PASS;
}

/* As look_up(), of a term: a second answer without records is one too many after the next. */
static enum spf_result
look_up_term(struct spf *q, unsigned type, const char *name, struct spf_dns *dns)
{
	enum spf_result r = look_up(q, type, name, dns);

	if (r == SPF_PASS && dns->n == 0 && ++q->voids > SPF_VOIDS_MAX)
		return problem(q, SPF_PERMERROR, "too many void lookups", STR_EMPTY);
	return r;
}

static bool
count_lookup(struct spf *q)
{
	return ++q->lookups <= SPF_LOOKUPS_MAX;
}

/* --- parsing --- */

static bool
is_macro_letter(char c, bool exp)
{
	return c != '\0' && strchr(exp ? "slodiphvcrtSLODIPHVCRT" : "slodiphvSLODIPHV", c) != NULL;
}

static bool
is_delimiter(char c)
{
	return c != '\0' && strchr(".-+,/_=", c) != NULL;
}

/* Whether the macros of a macro-string are well formed (7.1). */
static bool
macros_valid(struct str s, bool exp)
{
	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];
		if (c != '%') {
			if (c < 0x21 && !(exp && c == ' '))
				return false;
			if (c > 0x7e)
				return false;
			continue;
		}
		if (++i == s.n)
			return false;
		if (s.p[i] == '%' || s.p[i] == '_' || s.p[i] == '-')
			continue;
		if (s.p[i] != '{' || ++i == s.n || !is_macro_letter(s.p[i], exp))
			return false;
		size_t digits = i + 1;
		for (i++; i < s.n && s.p[i] >= '0' && s.p[i] <= '9'; i++)
			;
		uint64_t parts = 1;
		if (i > digits &&
		    (!str_u64(str_sub(s, digits, i - digits), 1000000, &parts) || parts == 0))
			return false;
		if (i < s.n && (s.p[i] == 'r' || s.p[i] == 'R'))
			i++;
		while (i < s.n && is_delimiter(s.p[i]))
			i++;
		if (i == s.n || s.p[i] != '}')
			return false;
	}
	return true;
}

/* domain-spec: ends in ".toplabel" or in a macro. */
static bool
domain_spec_valid(struct str s)
{
	if (s.n == 0 || !macros_valid(s, false))
		return false;
	if (s.p[s.n - 1] == '}' || (s.n >= 2 && s.p[s.n - 2] == '%'))
		return true;
	if (s.p[s.n - 1] == '.')
		s.n--;
	ptrdiff_t dot = str_rchr(s, '.');
	if (dot < 0)
		return false;
	struct str top = str_from_at(s, (size_t)dot + 1);
	bool letter = false;
	for (size_t i = 0; i < top.n; i++) {
		if (!isalnum((unsigned char)top.p[i]) && top.p[i] != '-')
			return false;
		letter = letter || !isdigit((unsigned char)top.p[i]);
	}
	return top.n > 0 && letter && top.p[0] != '-' && top.p[top.n - 1] != '-';
}

static bool
prefix_parse(struct str s, unsigned most, unsigned *prefix)
{
	uint64_t value;

	if (s.n == 0 || (s.n > 1 && s.p[0] == '0') || !str_u64(s, most, &value))
		return false;
	*prefix = (unsigned)value;
	return true;
}

/* Takes "/n", "//m" or "/n//m" off the end of `*s`. */
static bool
take_cidr(struct str *s, struct term *t)
{
	for (size_t i = 0; i + 1 < s->n; i++)
		if (s->p[i] == '/' && s->p[i + 1] == '/') {
			if (!prefix_parse(str_from_at(*s, i + 2), 128, &t->prefix6))
				return false;
			s->n = i;
			break;
		}
	/* a slash within a macro's braces is a delimiter */
	ptrdiff_t slash = str_rchr(*s, '/'), brace = str_rchr(*s, '}');
	if (slash >= 0 && slash > brace) {
		if (!prefix_parse(str_from_at(*s, (size_t)slash + 1), 32, &t->prefix4))
			return false;
		s->n = (size_t)slash;
	}
	return true;
}

static bool
take_ip(struct str s, struct term *t, bool v6)
{
	char text[INET6_ADDRSTRLEN];
	ptrdiff_t slash = str_rchr(s, '/');

	if (slash >= 0 && !prefix_parse(str_from_at(s, (size_t)slash + 1), v6 ? 128 : 32,
			      v6 ? &t->prefix6 : &t->prefix4))
		return false;
	if (slash >= 0)
		s.n = (size_t)slash;
	return str_copy(text, sizeof text, s) &&
	       inet_pton(v6 ? AF_INET6 : AF_INET, text, t->ip) == 1;
}

/* What stands behind a mechanism's name: ":domain", "/cidr". */
static bool
argument_parse(struct term *t, struct str rest)
{
	bool colon = rest.n > 0 && rest.p[0] == ':';
	struct str value = colon ? str_from_at(rest, 1) : STR_EMPTY;

	t->domain = STR_EMPTY;
	t->prefix4 = 32;
	t->prefix6 = 128;
	switch (mechanisms[t->mechanism].takes) {
	case TAKES_NOTHING:
		return rest.n == 0;
	case TAKES_IP4:
		return colon && take_ip(value, t, false);
	case TAKES_IP6:
		return colon && take_ip(value, t, true);
	case TAKES_DOMAIN:
		t->domain = value;
		return colon && domain_spec_valid(value);
	case MAY_DOMAIN:
		t->domain = value;
		return rest.n == 0 || (colon && domain_spec_valid(value));
	case MAY_DOMAIN_CIDR:
		if (!colon && rest.n > 0 && rest.p[0] != '/')
			return false;
		value = colon ? value : rest;
		if (!take_cidr(&value, t))
			return false;
		t->domain = value;
		return colon ? domain_spec_valid(value) : value.n == 0;
	}
	return false;
}

/* name = ALPHA *( ALPHA / DIGIT / "-" / "_" / "." ) */
static size_t
name_length(struct str s)
{
	size_t n = 0;

	if (s.n == 0 || !isalpha((unsigned char)s.p[0]))
		return 0;
	while (n < s.n && (isalnum((unsigned char)s.p[n]) ||
			      (s.p[n] != '\0' && strchr("-_.", s.p[n]) != NULL)))
		n++;
	return n;
}

static bool
modifier_parse(struct record *r, struct str name, struct str value)
{
	bool redirect = str_caseis(name, "redirect"), exp = str_caseis(name, "exp");

	if (!redirect && !exp)
		return macros_valid(value, false);
	if ((redirect && r->has_redirect) || (exp && r->has_exp) || !domain_spec_valid(value))
		return false;
	if (redirect) {
		r->redirect = value;
		r->has_redirect = true;
	} else {
		r->exp = value;
		r->has_exp = true;
	}
	return true;
}

static bool
term_parse(struct record *r, struct str word)
{
	static const char qualifiers[] = "+-~?";
	static const enum spf_result results[] = {SPF_PASS, SPF_FAIL, SPF_SOFTFAIL, SPF_NEUTRAL};
	struct term *t = &r->terms[r->n];
	struct str rest = word;
	size_t n = name_length(word);

	if (n > 0 && n < word.n && word.p[n] == '=')
		return modifier_parse(r, str_sub(word, 0, n), str_from_at(word, n + 1));
	if (r->n == TERMS_MAX)
		return false;
	*t = (struct term){.result = SPF_PASS, .text = word};
	const char *q = memchr(qualifiers, rest.p[0], 4);
	if (q != NULL) {
		t->result = results[q - qualifiers];
		rest = str_from_at(rest, 1);
	}
	for (n = 0; n < rest.n && isalnum((unsigned char)rest.p[n]); n++)
		;
	for (int m = 0; m < M_COUNT; m++)
		if (str_caseis(str_sub(rest, 0, n), mechanisms[m].name)) {
			t->mechanism = (enum mechanism)m;
			r->n++;
			return argument_parse(t, str_from_at(rest, n));
		}
	return false;
}

static enum spf_result
record_parse(struct spf *q, struct record *r, struct str text)
{
	struct str word;

	r->n = 0;
	r->redirect = r->exp = STR_EMPTY;
	r->has_redirect = r->has_exp = false;
	text = str_from_at(text, sizeof "v=spf1" - 1);
	while (str_word(&text, " ", &word))
		if (!term_parse(r, word))
			return problem(q, SPF_PERMERROR, "syntax error", word);
	return SPF_PASS;
}

/* --- macros --- */

static void
add_ip(const struct spf *q, struct buf *out)
{
	char text[INET6_ADDRSTRLEN];

	if (q->ip_n == 4) {
		(void)!buf_puts(out, inet_ntop(AF_INET, q->ip, text, sizeof text));
		return;
	}
	for (size_t i = 0; i < 16; i++)
		(void)!buf_printf(out, "%s%x.%x", i > 0 ? "." : "", q->ip[i] >> 4, q->ip[i] & 15u);
}

static void
arpa_name(const struct spf *q, char *out, size_t size)
{
	size_t at = 0;

	for (size_t i = q->ip_n; i-- > 0;)
		at += (size_t)(q->ip_n == 4 ? snprintf(out + at, size - at, "%u.", q->ip[i])
					    : snprintf(out + at, size - at, "%x.%x.",
						  q->ip[i] & 15u, q->ip[i] >> 4));
	snprintf(out + at, size - at, "%s", q->ip_n == 4 ? "in-addr.arpa" : "ip6.arpa");
}

static bool
name_below(struct str name, struct str domain)
{
	if (str_caseeq(name, domain))
		return true;
	return name.n > domain.n + 1 && name.p[name.n - domain.n - 1] == '.' &&
	       str_caseends(name, domain);
}

/* Whether the name's addresses have the client's: SPF_PASS, SPF_FAIL or SPF_ASKED. */
static enum spf_result
name_validated(struct spf *q, struct str name)
{
	struct spf_dns dns;
	char text[NAME_MAX_OCTETS + 1];

	if (!str_copy(text, sizeof text, name) || text[0] == '\0')
		return SPF_FAIL;
	enum spf_result r = look_up(q, q->ip_n == 4 ? SPF_A : SPF_AAAA, text, &dns);
	if (r == SPF_ASKED)
		return r;
	for (size_t i = 0; r == SPF_PASS && i < dns.n; i++) {
		struct str data = q->source->record(&dns, i);
		if (data.n == q->ip_n && memcmp(data.p, q->ip, data.n) == 0)
			return SPF_PASS;
	}
	return SPF_FAIL;
}

/* The validated name of the client (5.5), below `domain` if there is one: into `out`, "" for none.
 */
static enum spf_result
find_ptr(struct spf *q, struct str domain, bool only_below, char *out, size_t size)
{
	char name[80];
	struct spf_dns dns;

	out[0] = '\0';
	arpa_name(q, name, sizeof name);
	if (!q->source->lookup(q->source->arg, SPF_PTR, name, &dns))
		return SPF_ASKED;
	if (dns.failed || dns.n == 0)
		return SPF_PASS;
	for (size_t pass = 0; pass < (only_below ? 1 : 2); pass++)
		for (size_t i = 0; i < dns.n && i < SPF_NAMES_MAX; i++) {
			struct str one = q->source->record(&dns, i);
			if (pass == 0 && !name_below(one, domain))
				continue;
			enum spf_result r = name_validated(q, one);
			if (r == SPF_ASKED)
				return r;
			if (r == SPF_PASS && str_copy(out, size, one))
				return SPF_PASS;
		}
	return SPF_PASS;
}

/* The value of a macro letter. */
static enum spf_result
macro_value(struct spf *q, char letter, struct str domain, struct buf *out)
{
	struct str sender = str_from(q->sender);
	ptrdiff_t at = str_rchr(sender, '@');
	char text[NAME_MAX_OCTETS + 1];
	enum spf_result r;

	switch (letter | 0x20) {
	case 's':
		(void)!buf_str(out, sender);
		break;
	case 'l':
		(void)!buf_str(out, at > 0 ? str_sub(sender, 0, (size_t)at) : STR("postmaster"));
		break;
	case 'o':
		(void)!buf_str(out, str_from_at(sender, (size_t)(at + 1)));
		break;
	case 'd':
		(void)!buf_str(out, domain);
		break;
	case 'i':
		add_ip(q, out);
		break;
	case 'p':
		r = find_ptr(q, domain, false, text, sizeof text);
		if (r == SPF_ASKED)
			return r;
		(void)!buf_puts(out, text[0] != '\0' ? text : "unknown");
		break;
	case 'v':
		(void)!buf_puts(out, q->ip_n == 4 ? "in-addr" : "ip6");
		break;
	case 'h':
		(void)!buf_puts(out, q->helo);
		break;
	case 'c':
		(void)!buf_puts(
		    out, inet_ntop(q->ip_n == 4 ? AF_INET : AF_INET6, q->ip, text, sizeof text));
		break;
	case 'r':
		(void)!buf_puts(out, q->receiver);
		break;
	case 't':
		(void)!buf_printf(out, "%lld", (long long)time(NULL));
		break;
	}
	return SPF_PASS;
}

static void
add_escaped(struct buf *out, struct str s, bool escape)
{
	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];
		bool plain = isalnum(c) || (c != '\0' && strchr("-._~", c) != NULL);
		if (escape && !plain)
			(void)!buf_printf(out, "%%%02X", c);
		else
			(void)!buf_byte(out, (char)c);
	}
}

/* Splits, reverses, keeps the last `keep` parts, and joins with dots (7.3). */
static void
transform(struct str value, struct str delimiters, bool reverse, uint64_t keep, bool escape,
    struct buf *out)
{
	struct str parts[PARTS_MAX];
	size_t n = 0, at = 0;

	for (size_t i = 0; i <= value.n && n < PARTS_MAX; i++)
		if (i == value.n || memchr(delimiters.p, value.p[i], delimiters.n) != NULL) {
			parts[n++] = str_sub(value, at, i - at);
			at = i + 1;
		}
	size_t first = keep > 0 && keep < n ? n - (size_t)keep : 0;
	for (size_t i = first; i < n; i++) {
		/* reversed, the last parts are the first of the text */
		struct str part = parts[reverse ? n - 1 - i : i];
		if (i > first)
			(void)!buf_byte(out, '.');
		add_escaped(out, part, escape);
	}
}

static enum spf_result
expand_one(struct spf *q, struct str s, size_t *i, struct str domain, struct buf *out)
{
	struct buf value;
	size_t at = *i;
	char letter = s.p[at++];
	size_t digits = at;

	while (at < s.n && isdigit((unsigned char)s.p[at]))
		at++;
	uint64_t keep = 0;
	(void)!str_u64(str_sub(s, digits, at - digits), 1000000, &keep);
	bool reverse = at < s.n && (s.p[at] == 'r' || s.p[at] == 'R');
	at += reverse;
	size_t from = at;
	while (at < s.n && s.p[at] != '}')
		at++;
	struct str delimiters = str_sub(s, from, at - from);
	*i = at;
	buf_init(&value, MACRO_MAX);
	enum spf_result r = macro_value(q, letter, domain, &value);
	if (r == SPF_PASS)
		transform(buf_view(&value), delimiters.n > 0 ? delimiters : STR("."), reverse, keep,
		    isupper((unsigned char)letter) != 0, out);
	buf_free(&value);
	return r;
}

/* A valid macro-string. What is too long is cut. */
static enum spf_result
expand(struct spf *q, struct str s, struct str domain, struct buf *out)
{
	enum spf_result r = SPF_PASS;

	for (size_t i = 0; i < s.n && r == SPF_PASS; i++) {
		if (s.p[i] != '%') {
			(void)!buf_byte(out, s.p[i]);
			continue;
		}
		i++;
		if (s.p[i] == '%')
			(void)!buf_byte(out, '%');
		else if (s.p[i] == '_')
			(void)!buf_byte(out, ' ');
		else if (s.p[i] == '-')
			(void)!buf_puts(out, "%20");
		else {
			i++;
			r = expand_one(q, s, &i, domain, out);
		}
	}
	return r;
}

/* A domain-spec becomes a name: left labels go until it fits (7.3). */
static enum spf_result
target_name(struct spf *q, struct str spec, struct str domain, char *out)
{
	struct buf text;

	if (spec.n == 0)
		return str_copy(out, NAME_MAX_OCTETS + 1, domain) ? SPF_PASS : SPF_PERMERROR;
	buf_init(&text, MACRO_MAX);
	enum spf_result r = expand(q, spec, domain, &text);
	struct str name = buf_view(&text);
	if (name.n > 0 && name.p[name.n - 1] == '.')
		name.n--;
	while (name.n > NAME_MAX_OCTETS) {
		ptrdiff_t dot = str_chr(name, '.');
		if (dot < 0)
			break;
		name = str_from_at(name, (size_t)dot + 1);
	}
	if (r == SPF_PASS && !str_copy(out, NAME_MAX_OCTETS + 1, name))
		out[0] = '\0'; /* no such name can be */
	buf_free(&text);
	return r;
}

/* A name that DNS could have: labels of 1 to 63 octets. */
static bool
name_valid(const char *name)
{
	size_t n = 0;

	for (const char *p = name; *p != '\0'; p++) {
		if (*p == '.') {
			if (n == 0)
				return false;
			n = 0;
		} else if (++n > 63 || (unsigned char)*p <= ' ' || (unsigned char)*p > 126) {
			return false;
		}
	}
	return n > 0;
}

/* --- mechanisms: SPF_PASS matches, SPF_FAIL does not, else an error or SPF_ASKED --- */

static enum spf_result check_domain(struct spf *q, struct str domain, bool top);

static bool
bits_match(const unsigned char *a, const unsigned char *b, unsigned bits)
{
	unsigned whole = bits / 8, rest = bits % 8;

	if (memcmp(a, b, whole) != 0)
		return false;
	return rest == 0 || ((a[whole] ^ b[whole]) >> (8 - rest)) == 0;
}

static enum spf_result
addresses_match(struct spf *q, const struct term *t, const char *name, bool counts)
{
	struct spf_dns dns;
	unsigned type = q->ip_n == 4 ? SPF_A : SPF_AAAA;
	enum spf_result r =
	    counts ? look_up_term(q, type, name, &dns) : look_up(q, type, name, &dns);

	if (r != SPF_PASS)
		return r;
	for (size_t i = 0; i < dns.n; i++) {
		struct str data = q->source->record(&dns, i);
		if (data.n == q->ip_n && bits_match((const unsigned char *)data.p, q->ip,
					     q->ip_n == 4 ? t->prefix4 : t->prefix6))
			return SPF_PASS;
	}
	return SPF_FAIL;
}

static enum spf_result
match_mx(struct spf *q, const struct term *t, const char *name)
{
	struct spf_dns dns;
	char host[NAME_MAX_OCTETS + 1];
	enum spf_result r = look_up_term(q, SPF_MX, name, &dns);

	if (r != SPF_PASS)
		return r;
	if (dns.n > SPF_NAMES_MAX)
		return problem(q, SPF_PERMERROR, "more than 10 MX hosts", str_from(name));
	for (size_t i = 0; i < dns.n; i++) {
		if (!str_copy(host, sizeof host, q->source->record(&dns, i)) || !name_valid(host))
			continue;
		r = addresses_match(q, t, host, false);
		if (r != SPF_FAIL)
			return r;
	}
	return SPF_FAIL;
}

static enum spf_result
match_include(struct spf *q, const char *name)
{
	switch (check_domain(q, str_from(name), false)) {
	case SPF_PASS:
		return SPF_PASS;
	case SPF_FAIL:
	case SPF_SOFTFAIL:
	case SPF_NEUTRAL:
		return SPF_FAIL;
	case SPF_TEMPERROR:
		return SPF_TEMPERROR;
	case SPF_PERMERROR:
		return SPF_PERMERROR;
	case SPF_NONE:
		return problem(
		    q, SPF_PERMERROR, "include of a domain without a record", str_from(name));
	case SPF_ASKED:
		break;
	}
	return SPF_ASKED;
}

static enum spf_result
match_ptr(struct spf *q, struct str below)
{
	char name[NAME_MAX_OCTETS + 1];
	enum spf_result r = find_ptr(q, below, true, name, sizeof name);

	return r == SPF_ASKED ? r : name[0] != '\0' ? SPF_PASS : SPF_FAIL;
}

static enum spf_result
match_exists(struct spf *q, const char *name)
{
	struct spf_dns dns;
	enum spf_result r = look_up_term(q, SPF_A, name, &dns);

	return r != SPF_PASS ? r : dns.n > 0 ? SPF_PASS : SPF_FAIL;
}

static enum spf_result
match(struct spf *q, const struct term *t, struct str domain)
{
	char name[NAME_MAX_OCTETS + 1];
	enum spf_result r;

	switch (t->mechanism) {
	case M_ALL:
		return SPF_PASS;
	case M_IP4:
		return q->ip_n == 4 && bits_match(t->ip, q->ip, t->prefix4) ? SPF_PASS : SPF_FAIL;
	case M_IP6:
		return q->ip_n == 16 && bits_match(t->ip, q->ip, t->prefix6) ? SPF_PASS : SPF_FAIL;
	case M_INCLUDE:
	case M_A:
	case M_MX:
	case M_PTR:
	case M_EXISTS:
	case M_COUNT:
		break;
	}
	if (!count_lookup(q))
		return problem(q, SPF_PERMERROR, "more than 10 DNS lookups", STR_EMPTY);
	r = target_name(q, t->domain, domain, name);
	if (r != SPF_PASS)
		return r;
	if (!name_valid(name))
		return t->mechanism == M_INCLUDE ? problem(q, SPF_PERMERROR, "no domain", t->text)
						 : SPF_FAIL;
	switch (t->mechanism) {
	case M_INCLUDE:
		return match_include(q, name);
	case M_A:
		return addresses_match(q, t, name, true);
	case M_MX:
		return match_mx(q, t, name);
	case M_PTR:
		return match_ptr(q, str_from(name));
	case M_EXISTS:
		return match_exists(q, name);
	case M_ALL:
	case M_IP4:
	case M_IP6:
	case M_COUNT:
		break;
	}
	return SPF_PERMERROR;
}

/* --- records --- */

static bool
is_spf(struct str text)
{
	return str_casestarts(text, STR("v=spf1")) && (text.n == 6 || text.p[6] == ' ');
}

/* What the domain says to those that it does not know (6.2); none where anything is wrong with it.
 */
static enum spf_result
explain(struct spf *q, const struct record *rec, struct str domain)
{
	char name[NAME_MAX_OCTETS + 1];
	struct spf_dns dns;
	struct buf text;
	enum spf_result r;

	if (!rec->has_exp)
		return SPF_FAIL;
	r = target_name(q, rec->exp, domain, name);
	if (r == SPF_ASKED)
		return r;
	if (r != SPF_PASS || !name_valid(name))
		return SPF_FAIL;
	if (!q->source->lookup(q->source->arg, SPF_TXT, name, &dns))
		return SPF_ASKED;
	if (dns.failed || dns.n != 1 || !macros_valid(q->source->record(&dns, 0), true))
		return SPF_FAIL;
	buf_init(&text, sizeof q->explanation - 1);
	r = expand(q, q->source->record(&dns, 0), domain, &text);
	bool ascii = true;
	for (size_t i = 0; i < text.n; i++)
		ascii = ascii && text.p[i] >= ' ' && text.p[i] <= '~';
	if (r == SPF_PASS && ascii)
		snprintf(q->explanation, sizeof q->explanation, "%s", buf_cstr(&text));
	buf_free(&text);
	return r == SPF_ASKED ? r : SPF_FAIL;
}

static enum spf_result
redirect(struct spf *q, const struct record *rec, struct str domain, bool top)
{
	char name[NAME_MAX_OCTETS + 1];

	if (!count_lookup(q))
		return problem(q, SPF_PERMERROR, "more than 10 DNS lookups", STR_EMPTY);
	enum spf_result r = target_name(q, rec->redirect, domain, name);
	if (r != SPF_PASS)
		return r;
	r = check_domain(q, str_from(name), top);
	return r == SPF_NONE ? problem(q, SPF_PERMERROR, "redirect to a domain without a record",
				   str_from(name))
			     : r;
}

static enum spf_result
evaluate(struct spf *q, const struct record *rec, struct str domain, bool top)
{
	for (size_t i = 0; i < rec->n; i++) {
		const struct term *t = &rec->terms[i];
		enum spf_result r = match(q, t, domain);
		if (r == SPF_FAIL)
			continue;
		if (r != SPF_PASS)
			return r;
		(void)problem(q, t->result, "mechanism", t->text);
		return t->result == SPF_FAIL && top ? explain(q, rec, domain) : t->result;
	}
	if (rec->has_redirect)
		return redirect(q, rec, domain, top);
	(void)problem(q, SPF_NEUTRAL, "no mechanism matches", STR_EMPTY);
	return SPF_NEUTRAL;
}

static enum spf_result
check_record(struct spf *q, struct str text, struct str domain, bool top)
{
	struct record *rec = xmalloc(sizeof *rec);
	enum spf_result r = record_parse(q, rec, text);

	if (r == SPF_PASS)
		r = evaluate(q, rec, domain, top);
	free(rec);
	return r;
}

/* `top`: its explanation counts; not within include. */
static enum spf_result
check_domain(struct spf *q, struct str domain, bool top)
{
	char name[NAME_MAX_OCTETS + 1];
	struct spf_dns dns;
	struct str text = STR_EMPTY;
	size_t records = 0;

	if (!str_copy(name, sizeof name, domain) || !name_valid(name) || strchr(name, '.') == NULL)
		return SPF_NONE;
	if (q->depth == DEPTH_MAX)
		return problem(q, SPF_PERMERROR, "records too deep", STR_EMPTY);
	enum spf_result r = look_up(q, SPF_TXT, name, &dns);
	if (r != SPF_PASS)
		return r;
	for (size_t i = 0; i < dns.n; i++)
		if (is_spf(q->source->record(&dns, i))) {
			text = q->source->record(&dns, i);
			records++;
		}
	if (records == 0)
		return SPF_NONE;
	if (records > 1)
		return problem(q, SPF_PERMERROR, "more than one record", domain);
	q->depth++;
	r = check_record(q, text, str_from(name), top);
	q->depth--;
	return r;
}

enum spf_result
spf_check(struct spf *q)
{
	ptrdiff_t at = str_rchr(str_from(q->sender), '@');

	q->problem[0] = q->explanation[0] = '\0';
	q->lookups = q->voids = q->depth = 0;
	enum spf_result r =
	    check_domain(q, str_from_at(str_from(q->sender), (size_t)(at + 1)), true);
	if (r == SPF_NONE)
		(void)problem(q, r, "no SPF record", STR_EMPTY);
	return r;
}
