/* SPDX-License-Identifier: ISC */
/*
 * MAIL, RCPT, DATA or BDAT (RFC 5321 3.3, 2033 4.2, 2920, 3030). The commands are steps: step 0 is
 * MAIL, one for each recipient, the last one asks for the content. With PIPELINING all leave at
 * once; without, each waits for the reply to the one before. Replies come in the same order, so
 * `got` says whose a reply is.
 *
 * An address probe ends with the reply to RCPT: its content is never asked for.
 *
 * The content can never be read as its own end: by BDAT it is counted, and by DATA a line that
 * begins with a dot gets another (cleanup has noted whether there is any).
 */
#include "remote/transaction.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/clock.h"
#include "lib/base/mem.h"
#include "lib/log/log.h"
#include "lib/mail/command.h"
#include "lib/mail/esmtp.h"
#include "lib/mail/xforward.h"
#include "remote/delivery.h"
#include "remote/result.h"

static void pump(struct session *s);

static bool
offers(const struct session *s, unsigned extension)
{
	return (s->features & extension) != 0;
}

static bool
is_probe(const struct session *s)
{
	return (s->d->flags & MAIL_PROBE) != 0;
}

/* --- what the server must be able to do --- */

/* Whether the message cannot go without SMTPUTF8 (RFC 6531 3.2): UTF-8 in its envelope or header.
 */
static bool
needs_smtputf8(const struct session *s)
{
	const struct delivery *d = s->d;

	if (!str_ascii(str_from(d->sender)))
		return true;
	for (size_t i = 0; i < s->nrcpts; i++)
		if (!str_ascii(str_from(s->rcpts[i]->address)))
			return true;
	return (d->flags & MAIL_SMTPUTF8) != 0 && (d->facts & FACT_8BIT_HEADER) != 0;
}

/* -1 with `why`: this server cannot take the message whatever we say. */
static int
check_server(const struct session *s, struct why *why)
{
	const struct delivery *d = s->d;

	if (offers(s, ESMTP_SIZE) && s->size_limit > 0 && d->size > s->size_limit)
		return why_perm(why, "5.3.4",
		    "message size %llu exceeds size limit %llu of server %s",
		    (unsigned long long)d->size, (unsigned long long)s->size_limit, s->name);
	/* RFC 8689 4.2.1; a final delivery by LMTP is no relaying. */
	if ((d->flags & MAIL_REQUIRETLS) != 0 && !s->lmtp)
		return why_perm(why, "5.7.30", "REQUIRETLS support required");
	if (needs_smtputf8(s) && !offers(s, ESMTP_SMTPUTF8))
		return why_perm(
		    why, "5.6.7", "SMTPUTF8 is required, but was not offered by host %s", s->name);
	return 0;
}

/* --- commands --- */

/* Commands are bounded: addresses by their parser, recipients by qmgr; `out` has room for all. */
static void
say(struct session *s, const char *text)
{
	if (buf_puts(&s->out, text) == -1)
		s->overflow = true;
}

static void
end_line(struct session *s, int written)
{
	if (written == -1 || buf_puts(&s->out, "\r\n") == -1)
		s->overflow = true;
}

static void
say_mail(struct session *s)
{
	const struct delivery *d = s->d;
	const struct command_mail mail = {
	    .sender = str_from(d->sender),
	    .offered = s->features,
	    .size = d->size,
	    .body_8bit = (d->flags & MAIL_8BITMIME) != 0 || (d->facts & FACT_8BIT) != 0,
	    .smtputf8 = needs_smtputf8(s),
	    .ret = d->ret,
	    .envid = d->envid,
	};

	end_line(s, command_mail(&mail, &s->out));
}

static void
say_rcpt(struct session *s, const struct rcpt *r)
{
	const struct command_rcpt rcpt = {
	    .address = str_from(r->address),
	    .offered = s->features,
	    .notify = r->notify,
	    .orcpt = r->orcpt,
	    .original = r->original,
	};

	end_line(s, command_rcpt(&rcpt, &s->out));
}

/* --- content --- */

/* Queues the content behind the commands; it leaves as it is, by count or with its dots doubled. */
static void
queue_content(struct session *s)
{
	const struct delivery *d = s->d;

	s->content = true;
	s->stuff = !s->chunking && (d->facts & FACT_DOT_LINE) != 0;
	dot_encode_begin(&s->encoder);
	s->file = d->file;
	s->file_at = d->offset;
	s->file_left = d->file != -1 ? d->size : 0;
	s->body = d->file == -1 && !s->stuff ? buf_view(&d->content) : STR_EMPTY;
	if (d->file == -1 && s->stuff &&
	    dot_encode(&s->encoder, buf_view(&d->content), &s->out) == -1)
		s->overflow = true;
	if (!s->chunking)
		s->tail =
		    d->size == 0 || d->file != -1 || str_ends(buf_view(&d->content), STR("\r\n"))
			? STR(".\r\n")
			: STR("\r\n.\r\n");
}

static void
say_bdat(struct session *s)
{
	char text[40];

	snprintf(text, sizeof text, "BDAT %llu LAST\r\n", (unsigned long long)s->d->size);
	say(s, text);
	queue_content(s);
}

/* BDAT where it is offered and saves something: no dots to double, or no look at a large file. */
static bool
use_chunking(const struct session *s)
{
	int64_t use = s->remote->conf->smtp_use_chunking;

	if (!offers(s, ESMTP_CHUNKING) || use == CHUNKING_NEVER)
		return false;
	return use == CHUNKING_ALWAYS || (s->d->facts & FACT_DOT_LINE) != 0 || s->d->file != -1;
}

/* --- steps --- */

static void
say_step(struct session *s, size_t step)
{
	if (step == 0)
		say_mail(s);
	else if (step <= s->nrcpts)
		say_rcpt(s, s->rcpts[step - 1]);
	else if (s->chunking)
		say_bdat(s);
	else
		say(s, "DATA\r\n");
}

static enum stage
stage_of(const struct session *s)
{
	if (s->got == 0)
		return STAGE_MAIL;
	if (s->got <= s->nrcpts)
		return STAGE_RCPT;
	if (!s->content)
		return STAGE_DATA;
	return session_flushed(s) ? STAGE_DOT : STAGE_BODY;
}

/* The last step: the one that asks for the content, which a probe has not. */
static size_t
last_step(const struct session *s)
{
	return is_probe(s) ? s->nrcpts : s->nrcpts + 1;
}

/* Says all that may be said now. */
static void
pump(struct session *s)
{
	size_t last = last_step(s);

	while (s->sent <= last && (offers(s, ESMTP_PIPELINING) || s->sent == s->got)) {
		if (!is_probe(s) && s->sent == last && s->got == last && s->naccepted == 0)
			break; /* nobody to send it to */
		say_step(s, s->sent++);
	}
	if (s->overflow) {
		struct why why;
		why_temp(&why, "4.3.0", "the envelope is too large for one transaction");
		session_fail(s, &why);
		return;
	}
	session_enter(s, stage_of(s));
	session_flush(s);
}

/* --- XFORWARD --- */

static const char *
known(const char *text)
{
	return strcmp(text, "unknown") != 0 ? text : NULL;
}

/* The next command of who the original client was; false where none is left, or none is wanted. */
static bool
say_xforward(struct session *s)
{
	const struct delivery *d = s->d;
	const struct remote_conf *conf = s->remote->conf;
	bool local = (d->flags & MAIL_LOCAL) != 0;
	char port[12] = "";

	if (!(s->lmtp ? conf->lmtp_send_xforward_command : conf->smtp_send_xforward_command))
		return false;
	if (d->client.port != 0)
		snprintf(port, sizeof port, "%u", d->client.port);
	const struct xforward x = {
	    {
             [XFORWARD_NAME] = local ? NULL : known(d->client.name),
             [XFORWARD_ADDR] = local ? NULL : known(d->client.addr),
             [XFORWARD_PORT] = port,
             [XFORWARD_PROTO] = strstr(d->client.proto, "ESMTP") != NULL ? "ESMTP"
				   : strcmp(d->client.proto, "SMTP") == 0   ? "SMTP"
									    : NULL,
             [XFORWARD_HELO] = d->client.helo,
             [XFORWARD_IDENT] = d->queue_id,
             [XFORWARD_SOURCE] = local ? "LOCAL" : "REMOTE",
	     }
        };
	if (!xforward_command(&x, s->xforward, &s->xforward_next, &s->out))
		return false;
	end_line(s, 0);
	session_enter(s, STAGE_XFORWARD);
	session_flush(s);
	return true;
}

/* Mail goes on where it is refused: a filter can do without. */
void
on_xforward_reply(struct session *s)
{
	struct why why;

	if (s->reply.code / 100 != 2) {
		session_why(s, "XFORWARD", &why);
		log_warning("%s: %s", s->d->queue_id, why.text);
		s->xforward = 0;
	}
	if (!say_xforward(s))
		pump(s);
}

void
transaction_begin(struct session *s)
{
	struct delivery *d = s->d;
	struct why why;

	s->heard = s->content = s->open = s->mail_refused = false;
	s->sent = s->got = s->naccepted = s->nrcpts = s->dots = 0;
	s->soft = (struct why){0};
	free(s->rcpts);
	s->rcpts = xcalloc(d->nrcpts + 1, sizeof *s->rcpts);
	for (size_t i = 0; i < d->nrcpts; i++) {
		d->rcpts[i].accepted = false;
		if (d->rcpts[i].outcome == NULL)
			s->rcpts[s->nrcpts++] = &d->rcpts[i];
	}
	d->connected = s->reused ? d->began : wall_us();
	if (check_server(s, &why) == -1) {
		session_release(s, &why);
		return;
	}
	s->chunking = use_chunking(s);
	s->uses++;
	s->xforward_next = 0;
	if (!say_xforward(s))
		pump(s);
}

/* --- outcomes --- */

/* The recipient is refused: for good, for this attempt, or left for another host. */
static void
refuse(struct session *s, struct rcpt *r, const struct why *why)
{
	if (why->class == WHY_PERM)
		result_add(s->d, r, DELIVERY_BOUNCED, why, s->relay, s->host);
	else if (delivery_last_chance(s->d))
		result_add(s->d, r, DELIVERY_DEFERRED, why, s->relay, s->host);
	else
		s->soft = *why;
	r->accepted = false;
}

static void
refuse_all(struct session *s, const struct why *why)
{
	for (size_t i = 0; i < s->nrcpts; i++)
		refuse(s, s->rcpts[i], why);
	s->naccepted = 0;
}

static void
refuse_accepted(struct session *s, const struct why *why)
{
	for (size_t i = 0; i < s->nrcpts; i++)
		if (s->rcpts[i]->accepted)
			refuse(s, s->rcpts[i], why);
	s->naccepted = 0;
}

/* A reply of 2yz to the content: for this recipient the mail is at the server. */
static void
delivered(struct session *s, struct rcpt *r)
{
	struct why why = {0};
	struct buf text;
	bool promised = offers(s, ESMTP_DSN);

	buf_init(&text, sizeof why.text - 1);
	reply_show(&s->reply, &text);
	why.smtp = s->reply.code;
	str_copy(why.code, sizeof why.code,
	    s->reply.enhanced[0] != '\0' ? str_from(s->reply.enhanced) : STR("2.0.0"));
	str_copy(why.text, sizeof why.text, buf_view(&text));
	buf_free(&text);
	result_add(s->d, r, promised ? DELIVERY_SENT : DELIVERY_RELAYED, &why, s->relay, s->host);
	r->accepted = false;
}

static void
finish(struct session *s)
{
	session_release(s, s->soft.class != WHY_NONE ? &s->soft : NULL);
}

/* The next reply is another step's, or all have come. */
static void
advance(struct session *s)
{
	s->got++;
	if (s->got > last_step(s)) {
		finish(s);
		return;
	}
	if (!offers(s, ESMTP_PIPELINING) && s->got == s->nrcpts + 1 && s->naccepted == 0) {
		finish(s);
		return;
	}
	pump(s);
}

/* --- replies --- */

void
on_mail_reply(struct session *s)
{
	struct why why;

	s->open = s->reply.code / 100 == 2;
	if (!s->open) {
		session_why(s, "MAIL FROM", &why);
		refuse_all(s, &why);
		s->mail_refused = true;
		if (!offers(s, ESMTP_PIPELINING)) {
			finish(s);
			return;
		}
	}
	advance(s);
}

void
on_rcpt_reply(struct session *s)
{
	struct rcpt *r = s->rcpts[s->got - 1];
	struct why why;

	if (s->mail_refused) {
		/* the reply to MAIL was theirs */
	} else if (s->reply.code / 100 == 2 && is_probe(s)) {
		delivered(s, r);
	} else if (s->reply.code / 100 == 2) {
		r->accepted = true;
		s->naccepted++;
	} else {
		session_why(s, "RCPT TO", &why);
		refuse(s, r, &why);
	}
	advance(s);
}

void
on_data_reply(struct session *s)
{
	struct why why;

	if (s->reply.code / 100 != 3) {
		session_why(s, "DATA", &why);
		refuse_accepted(s, &why);
		finish(s);
		return;
	}
	if (s->naccepted > 0) {
		queue_content(s);
	} else {
		/* It wants content although nobody is left (RFC 2920 3.1): it gets none. */
		s->content = true;
		s->tail = STR(".\r\n");
	}
	session_enter(s, STAGE_BODY);
	session_flush(s);
}

/* The server speaks before it has everything: it refuses, and the session cannot go on. */
void
on_body_reply(struct session *s)
{
	struct why why;

	session_why(s, "DATA", &why);
	refuse_accepted(s, &why);
	session_fail(s, &why);
}

static struct rcpt *
next_accepted(struct session *s)
{
	while (s->dots < s->nrcpts) {
		struct rcpt *r = s->rcpts[s->dots++];
		if (r->accepted)
			return r;
	}
	return NULL;
}

static bool
more_accepted(const struct session *s)
{
	for (size_t i = s->dots; i < s->nrcpts; i++)
		if (s->rcpts[i]->accepted)
			return true;
	return false;
}

/* One reply for all (SMTP), or one for each recipient in order (LMTP, RFC 2033 4.2). */
void
on_dot_reply(struct session *s)
{
	bool good = s->reply.code / 100 == 2;
	struct rcpt *r;
	struct why why;

	s->open = false;
	if (!good)
		session_why(s, "end of DATA", &why);
	while ((r = next_accepted(s)) != NULL) {
		if (good)
			delivered(s, r);
		else
			refuse(s, r, &why);
		if (s->lmtp)
			break;
	}
	if (s->lmtp && more_accepted(s))
		session_enter(s, STAGE_DOT);
	else
		finish(s);
}

void
transaction_flushed(struct session *s)
{
	if (!s->content)
		return;
	s->d->committed = s->chunking || s->naccepted > 0;
	if (s->stage == STAGE_BODY)
		session_enter(s, STAGE_DOT);
}
