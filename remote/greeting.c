/* SPDX-License-Identifier: ISC */
/*
 * The start of a session: the greeting, EHLO and where that is not known HELO (RFC 5321 4.1.1.1),
 * or LHLO (RFC 2033 4.1). A server that will not talk to us is left for the next one.
 */
#include "remote/greeting.h"

#include "lib/base/panic.h"
#include "lib/mail/esmtp.h"
#include "lib/mail/xforward.h"
#include "remote/transaction.h"

/* The server will not talk to us: 5yz is for good, but for a greeting that smtp_skip_5xx_greeting
 * forgives. */
static void
refused(struct session *s, bool forgive)
{
	struct why why, said;
	char code[sizeof said.code];

	reply_why(&s->reply, &said);
	str_copy(code, sizeof code, str_from(said.code));
	if (forgive)
		code[0] = '4';
	if (said.class == WHY_PERM && !forgive)
		why_perm(&why, code, "host %s refused to talk to me: %.400s", s->name, said.text);
	else
		why_temp(&why, code, "host %s refused to talk to me: %.400s", s->name, said.text);
	why.smtp = s->reply.code;
	session_fail(s, &why);
}

static void
hello(struct session *s, const char *verb, enum stage stage)
{
	if (buf_printf(&s->out, "%s %s\r\n", verb, s->remote->conf->smtp_helo_name) == -1)
		panic("session: no room for %s", verb);
	session_enter(s, stage);
	session_flush(s);
}

void
on_greeting_reply(struct session *s)
{
	s->d->reached = true;
	s->d->sessions++;
	if (s->reply.code / 100 != 2)
		refused(s, s->reply.code / 100 == 5 && s->remote->conf->smtp_skip_5xx_greeting);
	else
		hello(s, s->lmtp ? "LHLO" : "EHLO", STAGE_EHLO);
}

/*
 * The server's own name is the first word of its reply to EHLO. A port that is not the usual one
 * may well lead to another program of this machine, which bears the same name: a content filter,
 * say.
 */
static bool
loops_back(const struct session *s)
{
	struct str line, word = STR_EMPTY;
	size_t offset = 0;

	bool usual = s->mx || s->d->hop.port == s->remote->conf->smtp_tcp_port;
	if (!usual || !reply_line(&s->reply, &offset, &line))
		return false;
	str_word(&line, " ", &word);
	return str_caseis(word, s->remote->conf->common.myhostname);
}

static void
take_features(struct session *s)
{
	struct str line, value;
	size_t offset = 0;

	(void)reply_line(&s->reply, &offset, &line); /* the first is its name */
	while (reply_line(&s->reply, &offset, &line)) {
		unsigned bit = esmtp_announced(line, &value) & ~s->remote->ignored;
		s->features |= bit;
		if (bit == ESMTP_SIZE && !str_u64(value, UINT64_MAX, &s->size_limit))
			s->size_limit = 0;
		if (bit == ESMTP_XFORWARD)
			s->xforward = xforward_offered(value);
	}
}

static void
ready(struct session *s)
{
	struct why why;

	if (loops_back(s)) {
		why_perm(&why, "5.4.6", "mail for %s loops back to myself", s->d->hop.host);
		session_fail(s, &why);
		return;
	}
	transaction_begin(s);
}

void
on_ehlo_reply(struct session *s)
{
	if (s->reply.code / 100 == 5 && !s->lmtp && !s->broken) {
		hello(s, "HELO", STAGE_HELO);
	} else if (s->reply.code / 100 != 2) {
		refused(s, false);
	} else {
		take_features(s);
		ready(s);
	}
}

void
on_helo_reply(struct session *s)
{
	if (s->reply.code / 100 != 2)
		refused(s, false);
	else
		ready(s);
}
