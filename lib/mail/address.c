/* SPDX-License-Identifier: ISC */
/*
 * The address parser, for smtpd's envelope, and through list.c for headers and command lines. One
 * scanner reads what RFC 5321 4.1.2 allows into the raw local part and the domain; one writer makes
 * the canonical text of them. Always true of a finished `struct addr`: no control character, no
 * blank outside quotes, domain checked and in lower case, `n` within ADDR_TEXT_MAX.
 */
#include "lib/mail/address.h"

#include <arpa/inet.h>
#include <idn2.h>
#include <netinet/in.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

#include "lib/base/buf.h"
#include "lib/base/why.h"

enum { ATEXT = 1, ALNUM = 2, QTEXT = 4 };

/* clang-format off */
#define A (ATEXT | QTEXT)
#define L (ATEXT | QTEXT | ALNUM)
#define Q QTEXT
static const unsigned char classes[256] = {
	[' '] = Q, ['!'] = A, ['"'] = 0, ['#'] = A, ['$'] = A, ['%'] = A, ['&'] = A, ['\''] = A,
	['('] = Q, [')'] = Q, ['*'] = A, ['+'] = A, [','] = Q, ['-'] = A, ['.'] = Q, ['/'] = A,
	['0'] = L, L, L, L, L, L, L, L, L, L,
	[':'] = Q, [';'] = Q, ['<'] = Q, ['='] = A, ['>'] = Q, ['?'] = A, ['@'] = Q,
	['A'] = L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L,
	['['] = Q, ['\\'] = 0, [']'] = Q, ['^'] = A, ['_'] = A, ['`'] = A,
	['a'] = L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L,
	['{'] = A, ['|'] = A, ['}'] = A, ['~'] = A,
};
#undef A
#undef L
#undef Q
/* clang-format on */

struct scan {
	struct str rest;
	unsigned flags;
	char local[ADDR_LOCAL_MAX]; /* unquoted */
	size_t local_n;
	char domain[ADDR_DOMAIN_MAX + 1]; /* as written */
	size_t domain_n;
	bool at;      /* an @ stands between them */
	bool literal; /* the domain is in brackets */
	struct why *why;
};

static unsigned
class_at(struct str s, size_t i)
{
	return i < s.n ? classes[(unsigned char)s.p[i]] : 0;
}

static bool
at_byte(const struct scan *s, char c)
{
	return s->rest.n > 0 && s->rest.p[0] == c;
}

static void
skip(struct scan *s, size_t n)
{
	s->rest = str_from_at(s->rest, n);
}

static int
bad(struct scan *s, const char *what)
{
	return why_perm(s->why, "5.1.3", "Bad address syntax: %s", what);
}

/* The length of the UTF-8 sequence (RFC 3629) at the front, 0 where there is none. ASCII and C1
 * controls are none. */
static size_t
utf8_at(struct str s)
{
	static const struct {
		unsigned char first, last, low, high;
		size_t n;
	} rows[] = {
	    {0xc2, 0xc2, 0xa0, 0xbf, 2},
	    {0xc3, 0xdf, 0x80, 0xbf, 2},
	    {0xe0, 0xe0, 0xa0, 0xbf, 3},
	    {0xe1, 0xec, 0x80, 0xbf, 3},
	    {0xed, 0xed, 0x80, 0x9f, 3},
	    {0xee, 0xef, 0x80, 0xbf, 3},
	    {0xf0, 0xf0, 0x90, 0xbf, 4},
	    {0xf1, 0xf3, 0x80, 0xbf, 4},
	    {0xf4, 0xf4, 0x80, 0x8f, 4},
	};

	for (size_t row = 0; row < NELEM(rows); row++) {
		const unsigned char *p = (const unsigned char *)s.p;
		if (s.n < rows[row].n || p[0] < rows[row].first || p[0] > rows[row].last)
			continue;
		if (p[1] < rows[row].low || p[1] > rows[row].high)
			return 0;
		for (size_t i = 2; i < rows[row].n; i++)
			if ((p[i] & 0xc0) != 0x80)
				return 0;
		return rows[row].n;
	}
	return 0;
}

static bool
is_8bit(struct str s)
{
	return s.n > 0 && (unsigned char)s.p[0] >= 0x80;
}

/* Takes one UTF-8 character of the local part; *n is its length. */
static int
scan_utf8(struct scan *s, size_t *n)
{
	*n = utf8_at(s->rest);
	if (*n == 0)
		return bad(s, "not UTF-8");
	if ((s->flags & ADDR_UTF8) == 0)
		return why_perm(
		    s->why, "5.6.7", "Address is not ASCII and SMTPUTF8 was not asked for");
	return 0;
}

static int
local_add(struct scan *s, size_t n)
{
	if (s->local_n + n > sizeof s->local)
		return bad(s, "local part too long");
	memcpy(s->local + s->local_n, s->rest.p, n);
	s->local_n += n;
	skip(s, n);
	return 0;
}

/* Quoted-string of RFC 5321: QcontentSMTP, that is no folds and no control characters. */
static int
scan_quoted(struct scan *s)
{
	skip(s, 1);
	while (!at_byte(s, '"')) {
		size_t n = 1;
		if (at_byte(s, '\\')) {
			skip(s, 1);
			if (s->rest.n == 0 || s->rest.p[0] < ' ' || s->rest.p[0] > '~')
				return bad(s, "backslash before nothing");
		} else if (is_8bit(s->rest)) {
			if (scan_utf8(s, &n) == -1)
				return -1;
		} else if ((class_at(s->rest, 0) & QTEXT) == 0) {
			return bad(
			    s, s->rest.n == 0 ? "open quote" : "control character in quotes");
		}
		if (local_add(s, n) == -1)
			return -1;
	}
	skip(s, 1);
	return 0;
}

static int
scan_dot_string(struct scan *s)
{
	for (;;) {
		size_t before = s->local_n;
		while ((class_at(s->rest, 0) & ATEXT) != 0 || is_8bit(s->rest)) {
			size_t n = 1;
			if (is_8bit(s->rest) && scan_utf8(s, &n) == -1)
				return -1;
			if (local_add(s, n) == -1)
				return -1;
		}
		if (s->local_n == before)
			return bad(s, "empty word in local part");
		if (!at_byte(s, '.'))
			return 0;
		if (local_add(s, 1) == -1)
			return -1;
	}
}

bool
literal_parse(struct str text, bool bare, struct sockaddr_storage *sa)
{
	struct sockaddr_in *in4 = (struct sockaddr_in *)sa;
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)sa;
	char copy[INET6_ADDRSTRLEN];
	bool tagged = str_casestarts(text, STR("IPv6:"));

	memset(sa, 0, sizeof *sa);
	if (tagged)
		text = str_from_at(text, 5);
	if (memchr(text.p, '\0', text.n) != NULL || !str_copy(copy, sizeof copy, text))
		return false;
	if (!tagged && inet_pton(AF_INET, copy, &in4->sin_addr) == 1) {
		in4->sin_family = AF_INET;
		return true;
	}
	if ((tagged || bare) && inet_pton(AF_INET6, copy, &in6->sin6_addr) == 1) {
		in6->sin6_family = AF_INET6;
		return true;
	}
	return false;
}

/* "[192.0.2.1]" or "[IPv6:...]", rewritten in the one way that inet_ntop() writes it. */
static int
scan_literal(struct scan *s)
{
	struct sockaddr_storage sa;
	char text[INET6_ADDRSTRLEN];
	ptrdiff_t end = str_chr(s->rest, ']');

	if (end == -1 || !literal_parse(str_sub(s->rest, 1, (size_t)end - 1), false, &sa))
		return bad(s, "address literal");
	bool v6 = sa.ss_family == AF_INET6;
	const void *ip = v6 ? (const void *)&((struct sockaddr_in6 *)&sa)->sin6_addr
			    : (const void *)&((struct sockaddr_in *)&sa)->sin_addr;
	inet_ntop(sa.ss_family, ip, text, sizeof text);

	struct buf out;
	buf_init(&out, sizeof s->domain - 1);
	int rc = buf_printf(&out, "[%s%s]", v6 ? "IPv6:" : "", text);
	str_copy(s->domain, sizeof s->domain, buf_view(&out));
	s->domain_n = out.n;
	buf_free(&out);
	s->literal = true;
	skip(s, (size_t)end + 1);
	return rc;
}

/* Labels of letters, digits and inner hyphens (underscores where `loose`), at most 63 octets each.
 */
static bool
labels_valid(struct str d, bool loose)
{
	size_t label = 0;

	if (d.n == 0 || d.n > ADDR_DOMAIN_MAX)
		return false;
	for (size_t i = 0; i < d.n; i++) {
		if (d.p[i] == '.') {
			if (label == 0 || d.p[i - 1] == '-')
				return false;
			label = 0;
			continue;
		}
		bool hyphen = d.p[i] == '-' && label > 0;
		bool underscore = d.p[i] == '_' && loose;
		if ((class_at(d, i) & ALNUM) == 0 && !hyphen && !underscore)
			return false;
		if (++label > 63)
			return false;
	}
	return label > 0 && d.p[d.n - 1] != '-';
}

static void
lower(char *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (p[i] >= 'A' && p[i] <= 'Z')
			p[i] = (char)(p[i] + ('a' - 'A'));
}

static bool
ascii_only(struct str s)
{
	for (size_t i = 0; i < s.n; i++)
		if ((unsigned char)s.p[i] >= 0x80)
			return false;
	return true;
}

/*
 * A domain with U-labels to A-labels, which are checked again: libidn2 lets an empty label and
 * underscores through. `out` has ADDR_DOMAIN_MAX + 1 bytes.
 */
static bool
idn_to_ascii(struct str domain, bool loose, char *out)
{
	char in[ADDR_DOMAIN_MAX + 1];
	char *ascii = NULL;

	if (!str_copy(in, sizeof in, domain))
		return false;
	if (idn2_to_ascii_8z(in, &ascii, IDN2_NONTRANSITIONAL | IDN2_NFC_INPUT) != IDN2_OK)
		return false;
	bool ok = str_copy(out, ADDR_DOMAIN_MAX + 1, str_from(ascii)) &&
		  labels_valid(str_from(out), loose);
	idn2_free(ascii);
	lower(out, strlen(out));
	return ok;
}

/* The U-label form of checked A-labels, over the domain as it was written. */
static bool
idn_normalise(struct scan *s)
{
	char ascii[ADDR_DOMAIN_MAX + 1];
	char *u = NULL;

	if (!idn_to_ascii(str_make(s->domain, s->domain_n), false, ascii))
		return false;
	if (idn2_to_unicode_8z8z(ascii, &u, 0) != IDN2_OK)
		return false;
	bool ok = str_copy(s->domain, sizeof s->domain, str_from(u));
	idn2_free(u);
	s->domain_n = strlen(s->domain);
	return ok;
}

static int
scan_domain(struct scan *s)
{
	if (at_byte(s, '['))
		return scan_literal(s);

	size_t n = 0;
	while ((class_at(s->rest, n) & ALNUM) != 0 ||
	       (n < s->rest.n && strchr("-.", s->rest.p[n])) ||
	       (n < s->rest.n && (unsigned char)s->rest.p[n] >= 0x80))
		n++;
	struct str d = str_sub(s->rest, 0, n);
	if (n == 0 || !str_copy(s->domain, sizeof s->domain, d))
		return bad(s, "domain missing or too long");
	s->domain_n = n;
	if (ascii_only(d)) {
		if (!labels_valid(d, false))
			return bad(s, "domain name");
	} else if ((s->flags & ADDR_UTF8) == 0) {
		return why_perm(
		    s->why, "5.6.7", "Address is not ASCII and SMTPUTF8 was not asked for");
	} else if (!idn_normalise(s)) {
		return bad(s, "internationalised domain name");
	}
	lower(s->domain, s->domain_n);
	skip(s, n);
	return 0;
}

static bool
is_postmaster(const struct scan *s)
{
	return str_caseis(str_make(s->local, s->local_n), "postmaster");
}

static int
scan_mailbox(struct scan *s)
{
	if ((at_byte(s, '"') ? scan_quoted(s) : scan_dot_string(s)) == -1)
		return -1;
	if (at_byte(s, '@')) {
		skip(s, 1);
		s->at = true;
		return scan_domain(s);
	}
	if ((s->flags & ADDR_NO_DOMAIN) != 0 ||
	    ((s->flags & ADDR_POSTMASTER) != 0 && is_postmaster(s)))
		return 0;
	return bad(s, "domain missing");
}

/* A-d-l ":" of RFC 5321: accepted, checked and dropped (section 3.6.1, appendix C). */
static int
scan_route(struct scan *s)
{
	while (at_byte(s, '@')) {
		skip(s, 1);
		if (scan_domain(s) == -1)
			return -1;
		if (at_byte(s, ':')) {
			skip(s, 1);
			s->literal = false;
			s->domain_n = 0;
			return 0;
		}
		if (!at_byte(s, ','))
			break;
		skip(s, 1);
	}
	return bad(s, "source route");
}

/* Whether the raw local part is a dot-string, and so needs no quotes. */
static bool
is_dot_string(struct str raw)
{
	bool word = false;

	for (size_t i = 0; i < raw.n; i++) {
		if (raw.p[i] == '.' && !word)
			return false;
		word = raw.p[i] != '.';
		if (word && (class_at(raw, i) & ATEXT) == 0 && (unsigned char)raw.p[i] < 0x80)
			return false;
	}
	return word;
}

static void
put(struct addr *a, char c)
{
	a->text[a->n++] = c;
}

/* Writes the canonical text; ADDR_TEXT_MAX is the sum of the parts' largest forms. */
static void
addr_write(struct addr *a, const struct scan *s)
{
	struct str raw = str_make(s->local, s->local_n);
	bool quotes = !is_dot_string(raw);

	*a = (struct addr){.literal = s->literal};
	if (quotes)
		put(a, '"');
	for (size_t i = 0; i < raw.n; i++) {
		if (raw.p[i] == '"' || raw.p[i] == '\\')
			put(a, '\\');
		put(a, raw.p[i]);
	}
	if (quotes)
		put(a, '"');
	a->local_n = a->n;
	if (s->at) {
		put(a, '@');
		memcpy(a->text + a->n, s->domain, s->domain_n);
		a->n += s->domain_n;
	}
	a->text[a->n] = '\0';
}

static int
scan_path(struct addr *a, struct scan *s)
{
	bool angle = at_byte(s, '<');

	if (!angle && (s->flags & ADDR_BARE) == 0)
		return bad(s, "< missing");
	if (angle)
		skip(s, 1);
	if (angle && at_byte(s, '>') && (s->flags & ADDR_NULL) != 0) {
		skip(s, 1);
		return 0;
	}
	if (at_byte(s, '@') && scan_route(s) == -1)
		return -1;
	if (scan_mailbox(s) == -1)
		return -1;
	if (angle && !at_byte(s, '>'))
		return bad(s, "> missing");
	if (angle)
		skip(s, 1);
	addr_write(a, s);
	return 0;
}

int
addr_path(struct addr *a, struct str in, unsigned flags, size_t *used, struct why *why)
{
	struct scan s = {.rest = in, .flags = flags, .why = why};

	*a = (struct addr){0};
	*used = 0;
	if (scan_path(a, &s) == -1)
		return -1;
	*used = in.n - s.rest.n;
	return 0;
}

int
addr_mailbox(struct addr *a, struct str in, unsigned flags, struct why *why)
{
	struct scan s = {.rest = in, .flags = flags, .why = why};

	*a = (struct addr){0};
	if (in.n == 0 && (flags & ADDR_NULL) != 0)
		return 0;
	if (scan_mailbox(&s) == -1)
		return -1;
	if (s.rest.n > 0)
		return bad(&s, "text behind the address");
	addr_write(a, &s);
	return 0;
}

struct str
addr_text(const struct addr *a)
{
	return str_make(a->text, a->n);
}

struct str
addr_local(const struct addr *a)
{
	return str_make(a->text, a->local_n);
}

struct str
addr_domain(const struct addr *a)
{
	return str_from_at(addr_text(a), a->local_n + 1);
}

bool
addr_is_null(const struct addr *a)
{
	return a->n == 0;
}

int
addr_local_raw(const struct addr *a, struct buf *out)
{
	struct str local = addr_local(a);

	if (local.n == 0 || local.p[0] != '"')
		return buf_str(out, local);
	for (size_t i = 1; i + 1 < local.n; i++) {
		if (local.p[i] == '\\')
			i++;
		if (buf_byte(out, local.p[i]) == -1)
			return -1;
	}
	return 0;
}

int
addr_complete(struct addr *a, struct str domain, struct why *why)
{
	struct scan s = {.rest = domain, .flags = ADDR_UTF8, .at = true, .why = why};

	if (addr_is_null(a) || a->n > a->local_n)
		return 0;
	if (scan_domain(&s) == -1)
		return -1;
	if (s.rest.n > 0)
		return bad(&s, "domain name");
	a->text[a->n++] = '@';
	memcpy(a->text + a->n, s.domain, s.domain_n);
	a->n += s.domain_n;
	a->text[a->n] = '\0';
	a->literal = s.literal;
	return 0;
}

bool
domain_valid(struct str domain, bool utf8)
{
	char ascii[ADDR_DOMAIN_MAX + 1];

	if (ascii_only(domain))
		return labels_valid(domain, false);
	return utf8 && memchr(domain.p, '\0', domain.n) == NULL &&
	       idn_to_ascii(domain, false, ascii);
}

int
domain_to_ascii(struct str domain, char *out, struct why *why)
{
	if (ascii_only(domain) && labels_valid(domain, true) &&
	    str_copy(out, ADDR_DOMAIN_MAX + 1, domain)) {
		lower(out, domain.n);
		return 0;
	}
	if (!ascii_only(domain) && memchr(domain.p, '\0', domain.n) == NULL &&
	    idn_to_ascii(domain, true, out))
		return 0;
	return why_perm(why, "5.1.2", "Bad domain name syntax");
}
