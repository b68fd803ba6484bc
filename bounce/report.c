/* SPDX-License-Identifier: ISC */
/*
 * The text of a notification: multipart/report (RFC 6522) with an explanation, the machine's part
 * (RFC 3464, for UTF-8 mail RFC 6533), and the original or its header. What comes from outside
 * (addresses, replies) is clean of control characters, for `struct why`, the address parser and the
 * encoder of channels let none pass; long lines are folded.
 */
#include <bsd/stdlib.h>
#include <string.h>

#include "bounce/bounce.h"
#include "lib/base/clock.h"
#include "lib/mail/date.h"
#include "lib/mail/esmtp.h"

enum { FOLD_AT = 900 };

/* What a notice of one kind says. */
static const struct {
	const char *subject, *intro;
} notices[] = {
    [NOTICE_FAILURE] = {"Undelivered Mail Returned to Sender",
			"I'm sorry to have to inform you that your message could not\r\n"
	"be delivered to one or more recipients. It is attached below.\r\n"   },
    [NOTICE_DELAY] = {"Delayed Mail (still being retried)",
			"This is a warning only. You do not need to send the message again.\r\n"
	"It could not be delivered so far, and delivery will be tried on.\r\n"},
    [NOTICE_SUCCESS] = {"Successful Mail Delivery Report",
			"Your message was successfully delivered to the destination(s)\r\n"
	"listed below. If it was delivered to a mailbox you will receive\r\n"
	"no further notifications.\r\n"				       },
    [NOTICE_POSTMASTER] = {"Postmaster Copy: Undelivered Mail",
			"A notification could not be returned to the sender of the original\r\n"
	"message. It is attached below, for the postmaster.\r\n"              },
};

static const char *const actions[] = {
    [DSN_FAILED] = "failed",
    [DSN_DELAYED] = "delayed",
    [DSN_DELIVERED] = "delivered",
    [DSN_RELAYED] = "relayed",
    [DSN_EXPANDED] = "expanded",
};

/* The media types: plain, and for mail that needs SMTPUTF8. */
static const struct {
	const char *status, *full, *header;
} types[] = {
    {"message/delivery-status",        "message/rfc822", "text/rfc822-headers"   },
    {"message/global-delivery-status", "message/global", "message/global-headers"},
};

enum notice
report_kind(const struct job *job)
{
	enum notice kind = NOTICE_SUCCESS;

	for (size_t i = 0; i < job->nreported; i++) {
		if (job->reported[i].action == DSN_FAILED)
			kind = NOTICE_FAILURE;
		else if (job->reported[i].action == DSN_DELAYED && kind == NOTICE_SUCCESS)
			kind = NOTICE_DELAY;
	}
	return kind == NOTICE_FAILURE && job->sender[0] == '\0' ? NOTICE_POSTMASTER : kind;
}

/* "Name: value", folded at blanks where it is very long. */
static int
add_field(struct buf *out, const char *name, const char *prefix, struct str value)
{
	if (buf_printf(out, "%s: %s", name, prefix) == -1)
		return -1;
	while (value.n > FOLD_AT) {
		size_t n = FOLD_AT;
		while (n > FOLD_AT / 2 && value.p[n] != ' ')
			n--;
		if (buf_str(out, str_sub(value, 0, n)) == -1 || buf_puts(out, "\r\n ") == -1)
			return -1;
		value = str_from_at(value, n);
	}
	return buf_str(out, value) == -1 || buf_puts(out, "\r\n") == -1 ? -1 : 0;
}

static int
add_date(struct buf *out, const char *name, uint64_t when)
{
	char date[DATE_SIZE];

	if (when == 0)
		return 0;
	date_header(date, (int64_t)when);
	return buf_printf(out, "%s: %s\r\n", name, date);
}

static int
add_head(const struct job *job, enum notice kind, const char *from, const char *to,
    const char *boundary, struct buf *out)
{
	const struct bounce_conf *conf = job->service->conf;
	const char *auto_kind = kind == NOTICE_POSTMASTER ? "auto-generated" : "auto-replied";

	if (add_date(out, "Date", (uint64_t)wall_us()) == -1 ||
	    buf_printf(out, "Message-Id: <%s.%08x%08x@%s>\r\n", job->queue_id, arc4random(),
		arc4random(), conf->common.myhostname) == -1)
		return -1;
	if (buf_printf(out, "From: %s (Mail Delivery System)\r\nSubject: %s\r\nTo: %s\r\n", from,
		notices[kind].subject, to) == -1 ||
	    buf_printf(out, "Auto-Submitted: %s\r\nMIME-Version: 1.0\r\n", auto_kind) == -1)
		return -1;
	return buf_printf(out,
	    "Content-Type: multipart/report; report-type=delivery-status;\r\n\tboundary=\"%s\"\r\n"
	    "Content-Transfer-Encoding: 8bit\r\n\r\n"
	    "This is a MIME-encapsulated message.\r\n\r\n--%s\r\n"
	    "Content-Description: Notification\r\nContent-Type: text/plain; "
	    "charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n"
	    "This is the mail system at host %s.\r\n\r\n%s\r\n",
	    boundary, boundary, conf->common.myhostname, notices[kind].intro);
}

static int
explain_recipient(const struct reported *r, struct buf *out)
{
	struct str text = str_from(r->text);

	if (buf_printf(out, "<%s>", r->address) == -1 ||
	    (r->original[0] != '\0' && strcmp(r->original, r->address) != 0 &&
		buf_printf(out, " (expanded from <%s>)", r->original) == -1))
		return -1;
	return add_field(out, "", "", text);
}

static int
add_explanation(const struct job *job, struct buf *out)
{
	for (size_t i = 0; i < job->nreported; i++)
		if (explain_recipient(&job->reported[i], out) == -1 || buf_puts(out, "\r\n") == -1)
			return -1;
	return 0;
}

/* The part about the message (RFC 3464 2.2). */
static int
add_message_fields(
    const struct job *job, const char *status_type, const char *boundary, struct buf *out)
{
	const struct bounce_conf *conf = job->service->conf;
	struct buf envid = {.max = 1024};
	int result = -1;

	if (buf_printf(out,
		"--%s\r\nContent-Description: Delivery report\r\nContent-Type: %s\r\n\r\n",
		boundary, status_type) == -1 ||
	    buf_printf(out, "Reporting-MTA: dns; %s\r\n", conf->common.myhostname) == -1)
		goto done;
	if (job->envid[0] != '\0' && xtext_decode(str_from(job->envid), &envid) == 0 &&
	    add_field(out, "Original-Envelope-Id", "", buf_view(&envid)) == -1)
		goto done;
	if (buf_printf(out, "X-Kingpost-Queue-ID: %s\r\nX-Kingpost-Sender: rfc822; %s\r\n",
		job->queue_id, job->sender) == -1)
		goto done;
	result = add_date(out, "Arrival-Date", job->arrived);
done:
	buf_free(&envid);
	return result;
}

static int
add_original_recipient(const struct reported *r, struct buf *out)
{
	struct buf decoded = {.max = 2048};
	struct str orcpt = str_from(r->orcpt);
	ptrdiff_t semicolon = str_chr(orcpt, ';');
	int result = 0;

	if (semicolon > 0 && xtext_decode(str_from_at(orcpt, (size_t)semicolon + 1), &decoded) == 0)
		result = buf_printf(out, "Original-Recipient: %.*s;%s\r\n", (int)semicolon, orcpt.p,
		    buf_cstr(&decoded));
	else if (r->original[0] != '\0')
		result = buf_printf(out, "Original-Recipient: rfc822; %s\r\n", r->original);
	buf_free(&decoded);
	return result;
}

/* The reply of the peer within what is said of it ("host H said: REPLY (in reply to ...)"), or the
 * text itself where it is one; empty where no SMTP server spoke. */
static struct str
reply_in(struct str text)
{
	static const char said[] = " said: ", behind[] = " (in reply to ";
	const char *from = text.n > 0 ? memmem(text.p, text.n, said, sizeof said - 1) : NULL;
	uint64_t code;

	if (from != NULL)
		text = str_from_at(text, (size_t)(from - text.p) + sizeof said - 1);
	const char *end = text.p != NULL ? memmem(text.p, text.n, behind, sizeof behind - 1) : NULL;
	if (from != NULL && end != NULL)
		text = str_sub(text, 0, (size_t)(end - text.p));
	return text.n >= 3 && str_u64(str_sub(text, 0, 3), 599, &code) && code >= 200 ? text
										      : STR_EMPTY;
}

static int
add_diagnostic(const struct reported *r, struct buf *out)
{
	struct str text = str_from(r->text), reply = reply_in(text);

	if (reply.n > 0)
		return add_field(out, "Diagnostic-Code", "smtp; ", reply);
	return text.n > 0 ? add_field(out, "Diagnostic-Code", "X-Kingpost; ", text) : 0;
}

/* The part about one recipient (RFC 3464 2.3). */
static int
add_recipient_fields(const struct reported *r, bool utf8, struct buf *out)
{
	if (buf_puts(out, "\r\n") == -1 || add_original_recipient(r, out) == -1 ||
	    buf_printf(out, "Final-Recipient: %s; %s\r\nAction: %s\r\nStatus: %s\r\n",
		utf8 ? "utf-8" : "rfc822", r->address, actions[r->action],
		r->code[0] != '\0' ? r->code : "5.0.0") == -1)
		return -1;
	if (r->mta[0] != '\0' && buf_printf(out, "Remote-MTA: dns; %s\r\n", r->mta) == -1)
		return -1;
	if (add_diagnostic(r, out) == -1)
		return -1;
	if (add_date(out, "Last-Attempt-Date", r->tried) == -1)
		return -1;
	return r->action == DSN_DELAYED ? add_date(out, "Will-Retry-Until", r->until) : 0;
}

/* The whole original where its sender wants it and it is not too large; else its header (RFC
 * 3461 4.3, 6.2). */
static int
add_original(
    const struct job *job, enum notice kind, bool utf8, const char *boundary, struct buf *out)
{
	const struct bounce_conf *conf = job->service->conf;
	bool failed = kind == NOTICE_FAILURE || kind == NOTICE_POSTMASTER;
	/* RFC 8689 5: what asked for TLS all the way is not sent round in full. */
	bool whole = failed && job->ret != RET_HDRS && (job->flags & MAIL_REQUIRETLS) == 0 &&
		     job->size <= (uint64_t)conf->bounce_size_limit && job->excerpt.n == job->size;
	struct str part = buf_view(&job->excerpt);

	if (!whole)
		part = str_sub(part, 0,
		    job->header_size < (uint64_t)conf->bounce_size_limit
			? (size_t)job->header_size
			: (size_t)conf->bounce_size_limit);
	if (buf_printf(out,
		"\r\n--%s\r\nContent-Description: %s\r\nContent-Type: "
		"%s\r\nContent-Transfer-Encoding: 8bit\r\n\r\n",
		boundary, whole ? "Undelivered Message" : "Message Headers",
		whole ? types[utf8].full : types[utf8].header) == -1 ||
	    buf_str(out, part) == -1)
		return -1;
	if (!str_ends(part, STR("\r\n")) && buf_puts(out, "\r\n") == -1)
		return -1;
	return buf_printf(out, "\r\n--%s--\r\n", boundary);
}

int
report_write(
    const struct job *job, enum notice kind, const char *from, const char *to, struct buf *out)
{
	const struct bounce_conf *conf = job->service->conf;
	bool utf8 = (job->flags & MAIL_SMTPUTF8) != 0;
	struct buf boundary = {.max = 512};
	int result = -1;

	/* Random, so that no original can close it. */
	if (buf_printf(&boundary, "%s.%08x%08x/%.200s", job->queue_id, arc4random(), arc4random(),
		conf->common.myhostname) == -1)
		return -1;
	const char *b = buf_cstr(&boundary);
	if (add_head(job, kind, from, to, b, out) == -1 || add_explanation(job, out) == -1 ||
	    add_message_fields(job, types[utf8].status, b, out) == -1)
		goto done;
	for (size_t i = 0; i < job->nreported; i++)
		if (add_recipient_fields(&job->reported[i], utf8, out) == -1)
			goto done;
	result = add_original(job, kind, utf8, b, out);
done:
	buf_free(&boundary);
	return result;
}
