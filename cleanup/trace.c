/* SPDX-License-Identifier: ISC */
/*
 * What goes in front of a message. Mail from outside gets a Received field and nothing else is
 * touched; a local submission also gets Date, Message-Id and From where it has none, and loses Bcc
 * (RFC 6409 8, RFC 5322 3.6.3). Values that a client chose (HELO) are cleaned here once more:
 * nothing in a header field of ours ends a line.
 */
#include "cleanup/trace.h"

#include <stdio.h>
#include <string.h>

#include "cleanup/cleanup.h"
#include "lib/base/clock.h"
#include "lib/mail/complete.h"
#include "lib/mail/date.h"
#include "lib/mail/header.h"

/* Text of a client's choice: control bytes and what would end a comment become '?'. */
static int
put_clean(struct buf *b, const char *text)
{
	for (const char *p = text; *p != '\0'; p++) {
		unsigned char c = (unsigned char)*p;
		bool fine = c > ' ' && c != 0x7f && c != '(' && c != ')' && c != '\\' && c != ';';
		if (buf_byte(b, fine ? (char)c : '?') == -1)
			return -1;
	}
	return 0;
}

/* One comment, of text that a client's certificate may have a part in; folded as Postfix does. */
static int
put_comment(struct buf *b, struct str text)
{
	int open = 0, rc = buf_byte(b, '(');

	for (size_t i = 0; i < text.n && rc == 0; i++) {
		unsigned char c = (unsigned char)text.p[i];
		bool fine = c >= ' ' && c < 0x7f && c != '\\' && (c != ')' || open > 0);
		if (str_starts(str_from_at(text, i), STR(" key-exchange ")))
			rc = buf_puts(b, "\r\n\t");
		if (rc == 0)
			rc = buf_byte(b, fine ? (char)c : '?');
		open += fine && c == '(' ? 1 : fine && c == ')' ? -1 : 0;
	}
	for (; open > 0 && rc == 0; open--)
		rc = buf_byte(b, ')');
	return rc == 0 ? buf_puts(b, ")\r\n\t") : -1;
}

static int
put_comments(struct buf *b, const char *text)
{
	struct str rest = str_from(text), comment;

	while (str_word(&rest, ";", &comment))
		if (put_comment(b, comment) == -1)
			return -1;
	return 0;
}

/* "from HELO (NAME [ADDR])", an IPv6 address as RFC 5321 4.1.3 writes it, or for a local submission
 * "(from userid UID)". */
static int
put_from(struct transaction *t, struct buf *b)
{
	const char *helo = tx_text(t, t->helo), *name = tx_text(t, t->client_name);
	const char *address = tx_text(t, t->client_addr);

	if (buf_puts(b, "from ") == -1 || put_clean(b, *helo != '\0' ? helo : name) == -1 ||
	    buf_puts(b, " (") == -1 || put_clean(b, *name != '\0' ? name : "unknown") == -1 ||
	    buf_puts(b, strchr(address, ':') != NULL ? " [IPv6:" : " [") == -1 ||
	    put_clean(b, address) == -1 || buf_puts(b, "])\r\n\t") == -1)
		return -1;
	return put_comments(b, tx_text(t, t->tls));
}

/* As a comment: what would end one is escaped (RFC 5322 3.2.2). */
static int
put_login(struct transaction *t, struct buf *b)
{
	if (buf_puts(b, "(Authenticated sender: ") == -1)
		return -1;
	for (const char *p = tx_text(t, t->login); *p != '\0'; p++) {
		unsigned char c = (unsigned char)*p;
		if ((c == '(' || c == ')' || c == '\\') && buf_byte(b, '\\') == -1)
			return -1;
		if (buf_byte(b, c < ' ' || c >= 0x7f ? '?' : (char)c) == -1)
			return -1;
	}
	return buf_puts(b, ")\r\n\t");
}

static int
put_received(struct transaction *t, struct buf *b)
{
	const struct conf_common *conf = &t->c->conf->common;
	const char *proto = tx_text(t, t->proto);
	bool client = *tx_text(t, t->client_addr) != '\0' &&
		      (t->env.flags & (MAIL_LOCAL | MAIL_RESUBMIT)) == 0;
	char date[DATE_SIZE];

	date_header(date, (int64_t)t->arrived);
	if (buf_puts(b, "Received: ") == -1 || (client && put_from(t, b) == -1))
		return -1;
	if (client && (t->env.flags & MAIL_SHOW_LOGIN) != 0 && put_login(t, b) == -1)
		return -1;
	if (buf_printf(b, "by %s (%s", conf->myhostname, conf->mail_name) == -1)
		return -1;
	if ((t->env.flags & MAIL_LOCAL) != 0 &&
	    buf_printf(b, ", from userid %llu", (unsigned long long)t->env.uid) == -1)
		return -1;
	if (buf_puts(b, ")") == -1 ||
	    (client && buf_printf(b, " with %s", *proto != '\0' ? proto : "SMTP") == -1) ||
	    buf_printf(b, " id %s", t->id) == -1)
		return -1;
	/* Never one of several: the others may have been blind copies. */
	if (t->nrcpts == 1 && t->questions == 0) {
		const struct recipient *r = &t->rcpts[0];
		const char *original = tx_text(t, r->original);
		if (buf_printf(b, "\r\n\tfor <%s>",
			*original != '\0' ? original : tx_text(t, r->address)) == -1)
			return -1;
	}
	return buf_printf(b, "; %s\r\n", date);
}

/* --- a local submission --- */

static struct complete
completion(const struct transaction *t)
{
	return (struct complete){
	    .host = t->c->conf->common.myhostname,
	    .sender = tx_text(t, t->sender),
	    .full_name = tx_text(t, t->full_name),
	    .id = t->id,
	    .arrived = t->arrived,
	};
}

/* Such a message gets the empty line between our header and its first line, or a reader would take
 * that for a part of the header. */
static bool
begins_with_body(struct str content)
{
	struct header_field f;
	size_t at = 0;

	return content.n > 0 && !str_starts(content, STR("\r\n")) && !header_next(content, &at, &f);
}

int
trace_complete(struct transaction *t, struct buf *out, size_t *end)
{
	struct str content = buf_view(&t->content);
	struct complete c = completion(t);

	*end = 0;
	if ((t->env.flags & MAIL_LOCAL) != 0)
		return complete_rewrite(content, &c, out, end);
	if ((t->env.flags & MAIL_ADD_HEADERS) != 0 && complete_missing(content, &c, out) == -1)
		return -1;
	return begins_with_body(content) ? buf_puts(out, "\r\n") : 0;
}

int
trace_write(struct transaction *t)
{
	buf_reset(&t->prefix);
	t->header_end = 0;
	if (buf_str(&t->prefix, buf_view(&t->prepended)) == -1)
		return -1;
	if (put_received(t, &t->prefix) == -1)
		return -1;
	t->own = t->prefix.n;
	return t->completed ? 0 : trace_complete(t, &t->prefix, &t->header_end);
}
