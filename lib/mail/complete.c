/* SPDX-License-Identifier: ISC */
/* For cleanup, and for pickup's milters, which are to see a message as it will be sent. Nothing of
 * a user's text ends a line. */
#include "lib/mail/complete.h"

#include <time.h>

#include "lib/base/buf.h"
#include "lib/mail/date.h"
#include "lib/mail/header.h"

struct seen {
	bool date, message_id, from;
};

static bool
is_bcc(const struct header_field *f)
{
	return str_caseis(f->name, "Bcc") || str_caseis(f->name, "Resent-Bcc") ||
	       str_is(f->name, "From ");
}

static struct seen
look(struct str header)
{
	struct seen seen = {0};
	struct header_field f;
	size_t at = 0;

	while (header_next(header, &at, &f)) {
		seen.date |= str_caseis(f.name, "Date");
		seen.message_id |= str_caseis(f.name, "Message-Id");
		seen.from |= str_caseis(f.name, "From");
	}
	return seen;
}

/* A phrase of RFC 5322: quoted, with what must be escaped. */
static int
put_phrase(struct buf *b, const char *text)
{
	if (buf_byte(b, '"') == -1)
		return -1;
	for (const char *p = text; *p != '\0'; p++) {
		unsigned char c = (unsigned char)*p;
		if ((c == '"' || c == '\\') && buf_byte(b, '\\') == -1)
			return -1;
		if (buf_byte(b, c < ' ' || c == 0x7f ? '?' : (char)c) == -1)
			return -1;
	}
	return buf_byte(b, '"');
}

static int
put_originator(const struct complete *c, struct buf *b)
{
	const char *name = c->full_name, *sender = c->sender;

	if (*sender == '\0')
		return buf_printf(b, "From: MAILER-DAEMON@%s\r\n", c->host);
	if (*name == '\0')
		return buf_printf(b, "From: %s\r\n", sender);
	if (buf_puts(b, "From: ") == -1 || put_phrase(b, name) == -1)
		return -1;
	return buf_printf(b, " <%s>\r\n", sender);
}

int
complete_missing(struct str content, const struct complete *c, struct buf *b)
{
	struct seen seen = look(content);
	char date[DATE_SIZE], stamp[32];
	time_t now = (time_t)(c->arrived / 1000000);
	struct tm tm;

	date_header(date, (int64_t)c->arrived);
	gmtime_r(&now, &tm);
	strftime(stamp, sizeof stamp, "%Y%m%d%H%M%S", &tm);
	if (!seen.message_id &&
	    buf_printf(b, "Message-Id: <%s.%s@%s>\r\n", stamp, c->id, c->host) == -1)
		return -1;
	if (!seen.date && buf_printf(b, "Date: %s\r\n", date) == -1)
		return -1;
	return seen.from ? 0 : put_originator(c, b);
}

int
complete_rewrite(struct str content, const struct complete *c, struct buf *out, size_t *end)
{
	struct header_field f;
	size_t at = 0;

	while (header_next(content, &at, &f))
		if (!is_bcc(&f) && buf_add(out, content.p + f.offset, f.size) == -1)
			return -1;
	*end = at;
	if (complete_missing(content, c, out) == -1)
		return -1;
	/* A message that begins with its body gets the empty line between. */
	return str_starts(str_from_at(content, at), STR("\r\n")) ? 0 : buf_puts(out, "\r\n");
}
