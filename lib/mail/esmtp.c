/* SPDX-License-Identifier: ISC */
/*
 * Parameters of MAIL and RCPT as tables: keyword, the extension that must be offered, the reader of
 * the value. For smtpd (what a client says) and remote (what a server announces). Nothing that is
 * kept from here can hold a control character: values are checked octet by octet (esmtp-value of
 * RFC 5321 4.1.2) before any reader sees them.
 */
#include "lib/mail/esmtp.h"

#include <string.h>

#include "lib/base/buf.h"
#include "lib/base/why.h"
#include "lib/mail/address.h"
#include "lib/msg/fields.h"

enum { ENVID_MAX = 100, ORCPT_MAX = 500 }; /* RFC 3461 4.4 and 4.2 */

/* Reads one value (empty where there was no "="); false where it is malformed. */
typedef bool read_fn(void *out, struct str value);

struct parameter {
	const char *keyword;
	unsigned extension;
	read_fn *read;
};

static bool
read_size(void *out, struct str value)
{
	struct esmtp_mail *m = out;

	if (value.n > 20) /* RFC 1870 4 */
		return false;
	for (size_t i = 0; i < value.n; i++)
		if (value.p[i] < '0' || value.p[i] > '9')
			return false;
	/* Well formed and beyond all bounds: over any limit. */
	if (value.n > 0 && !str_u64(value, INT64_MAX, &m->size))
		m->size = INT64_MAX;
	return value.n > 0;
}

static bool
read_body(void *out, struct str value)
{
	struct esmtp_mail *m = out;

	if (str_caseis(value, "7BIT"))
		m->body = BODY_7BIT;
	else if (str_caseis(value, "8BITMIME"))
		m->body = BODY_8BITMIME;
	return m->body != BODY_NONE;
}

static bool
read_smtputf8(void *out, struct str value)
{
	struct esmtp_mail *m = out;

	m->smtputf8 = true;
	return value.p == NULL;
}

static bool
read_requiretls(void *out, struct str value)
{
	struct esmtp_mail *m = out;

	m->requiretls = true;
	return value.p == NULL;
}

static bool
read_ret(void *out, struct str value)
{
	struct esmtp_mail *m = out;

	if (str_caseis(value, "FULL"))
		m->ret = RET_FULL;
	else if (str_caseis(value, "HDRS"))
		m->ret = RET_HDRS;
	return m->ret != RET_NONE;
}

static bool
read_envid(void *out, struct str value)
{
	struct esmtp_mail *m = out;

	m->envid = value;
	return value.n > 0 && value.n <= ENVID_MAX && xtext_valid(value);
}

/* AUTH= of RFC 4954 5: "<>" or an address, as xtext. */
static bool
read_auth(void *out, struct str value)
{
	struct esmtp_mail *m = out;

	m->auth = value;
	return value.n > 0 && value.n <= ORCPT_MAX && xtext_valid(value);
}

/* NEVER alone, or any of the others once. */
static bool
read_notify(void *out, struct str value)
{
	static const struct {
		const char *word;
		unsigned bit;
	} words[] = {
	    {"SUCCESS", NOTIFY_SUCCESS},
            {"FAILURE", NOTIFY_FAILURE},
            {"DELAY",   NOTIFY_DELAY  }
        };
	struct esmtp_rcpt *r = out;
	struct str word;

	if (str_caseis(value, "NEVER")) {
		r->notify = NOTIFY_NEVER;
		return true;
	}
	if (value.n == 0 || value.p[0] == ',' || value.p[value.n - 1] == ',')
		return false;
	while (str_word(&value, ",", &word)) {
		unsigned bit = 0;
		for (size_t i = 0; i < NELEM(words); i++)
			if (str_caseis(word, words[i].word))
				bit = words[i].bit;
		if (bit == 0 || (r->notify & bit) != 0)
			return false;
		r->notify |= bit;
	}
	return true;
}

/* addr-type ";" xtext (RFC 3461 4.2); the type is an atom. */
static bool
read_orcpt(void *out, struct str value)
{
	struct esmtp_rcpt *r = out;
	ptrdiff_t semicolon = str_chr(value, ';');

	if (semicolon < 1 || value.n > ORCPT_MAX)
		return false;
	struct str type = str_sub(value, 0, (size_t)semicolon);
	struct str address = str_from_at(value, (size_t)semicolon + 1);
	for (size_t i = 0; i < type.n; i++)
		if (memchr("()<>[]:@\\,.\"+=", type.p[i], 14) != NULL ||
		    (unsigned char)type.p[i] >= 0x80)
			return false;
	r->orcpt = value;
	/* utf-8-addr-xtext has "\x{20AC}", utf-8-addr-unitext plain UTF-8 (RFC 6533 3); neither has
	 * control characters here */
	return address.n > 0 && (str_caseis(type, "utf-8") || xtext_valid(address));
}

static const struct parameter mail_parameters[] = {
    {"SIZE",       ESMTP_SIZE,       read_size      },
    {"BODY",       ESMTP_8BITMIME,   read_body      },
    {"SMTPUTF8",   ESMTP_SMTPUTF8,   read_smtputf8  },
    {"RET",        ESMTP_DSN,        read_ret       },
    {"ENVID",      ESMTP_DSN,        read_envid     },
    {"AUTH",       ESMTP_AUTH,       read_auth      },
    {"REQUIRETLS", ESMTP_REQUIRETLS, read_requiretls},
};

static const struct parameter rcpt_parameters[] = {
    {"NOTIFY", ESMTP_DSN, read_notify},
    {"ORCPT",  ESMTP_DSN, read_orcpt },
};

static int
refuse(struct why *why, int smtp, const char *text)
{
	why_perm(why, "5.5.4", "%s", text);
	if (why != NULL)
		why->smtp = smtp;
	return -1;
}

/* esmtp-keyword ["=" esmtp-value]; a missing value has p == NULL. */
static bool
split(struct str word, struct str *keyword, struct str *value)
{
	ptrdiff_t equals = str_chr(word, '=');

	*keyword = equals >= 0 ? str_sub(word, 0, (size_t)equals) : word;
	*value = equals >= 0 ? str_from_at(word, (size_t)equals + 1) : (struct str){NULL, 0};
	for (size_t i = 0; i < word.n; i++)
		if ((unsigned char)word.p[i] <= ' ' || word.p[i] == 0x7f)
			return false;
	return keyword->n > 0 && (equals < 0 || value->n > 0);
}

static int
read_parameters(const struct parameter *rows, size_t n, struct str params, unsigned offered,
    void *out, struct why *why)
{
	unsigned seen = 0;
	struct str word, keyword, value;

	while (str_word(&params, " ", &word)) {
		if (!split(word, &keyword, &value))
			return refuse(why, 501, "Bad parameter syntax");
		size_t i = 0;
		while (i < n && !str_caseis(keyword, rows[i].keyword))
			i++;
		if (i == n || (rows[i].extension & offered) == 0)
			return refuse(why, 555, "Unsupported parameter");
		if ((seen & 1u << i) != 0)
			return refuse(why, 501, "Parameter given twice");
		seen |= 1u << i;
		if (!rows[i].read(out, value))
			return refuse(why, 501, "Bad parameter value");
	}
	return 0;
}

int
esmtp_mail(struct str params, unsigned offered, struct esmtp_mail *m, struct why *why)
{
	*m = (struct esmtp_mail){.envid = STR_EMPTY, .auth = STR_EMPTY};
	return read_parameters(mail_parameters, NELEM(mail_parameters), params, offered, m, why);
}

int
esmtp_rcpt(struct str params, unsigned offered, struct esmtp_rcpt *r, struct why *why)
{
	*r = (struct esmtp_rcpt){.orcpt = STR_EMPTY};
	return read_parameters(rcpt_parameters, NELEM(rcpt_parameters), params, offered, r, why);
}

unsigned
esmtp_announced(struct str line, struct str *value)
{
	static const struct {
		const char *keyword;
		unsigned bit;
	} rows[] = {
	    {"SIZE",                ESMTP_SIZE               },
	    {"8BITMIME",            ESMTP_8BITMIME           },
	    {"SMTPUTF8",            ESMTP_SMTPUTF8           },
	    {"DSN",                 ESMTP_DSN                },
	    {"PIPELINING",          ESMTP_PIPELINING         },
	    {"CHUNKING",            ESMTP_CHUNKING           },
	    {"ENHANCEDSTATUSCODES", ESMTP_ENHANCEDSTATUSCODES},
	    {"STARTTLS",            ESMTP_STARTTLS           },
	    {"AUTH",                ESMTP_AUTH               },
	    {"REQUIRETLS",          ESMTP_REQUIRETLS         },
	    {"LIMITS",              ESMTP_LIMITS             },
	    {"XFORWARD",            ESMTP_XFORWARD           },
	};
	struct str keyword = STR_EMPTY;

	str_word(&line, " \t", &keyword);
	*value = str_trim(line);
	for (size_t i = 0; i < NELEM(rows); i++)
		if (str_caseis(keyword, rows[i].keyword))
			return rows[i].bit;
	return 0;
}

static int
hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1; /* upper case only, RFC 3461 4 */
}

/* The octet at s.p[*i], decoded; *i moves behind it. -1: malformed. */
static int
xtext_octet(struct str s, size_t *i)
{
	unsigned char c = (unsigned char)s.p[(*i)++];

	if (c != '+')
		return c >= '!' && c <= '~' && c != '=' ? c : -1;
	if (s.n - *i < 2)
		return -1;
	int high = hex_digit(s.p[*i]), low = hex_digit(s.p[*i + 1]);
	*i += 2;
	return high < 0 || low < 0 ? -1 : high << 4 | low;
}

/* RFC 3461 4.2 and 4.4: of the value before it is encoded, too. */
static bool
printable(int c)
{
	return c >= ' ' && c <= '~';
}

bool
xtext_valid(struct str xtext)
{
	for (size_t i = 0; i < xtext.n;)
		if (!printable(xtext_octet(xtext, &i)))
			return false;
	return true;
}

int
xtext_decode(struct str xtext, struct buf *out)
{
	size_t before = out->n;

	for (size_t i = 0; i < xtext.n;) {
		int c = xtext_octet(xtext, &i);
		if (c < ' ' || c == 0x7f || buf_byte(out, (char)c) == -1) {
			buf_cut(out, before);
			return -1;
		}
	}
	return 0;
}

int
xtext_encode(struct str text, struct buf *out)
{
	size_t before = out->n;

	for (size_t i = 0; i < text.n; i++) {
		unsigned char c = (unsigned char)text.p[i];
		bool plain = c >= '!' && c <= '~' && c != '+' && c != '=';
		if ((plain ? buf_byte(out, (char)c) : buf_printf(out, "+%02X", c)) == -1) {
			buf_cut(out, before);
			return -1;
		}
	}
	return 0;
}
