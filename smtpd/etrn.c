/* SPDX-License-Identifier: ISC */
/*
 * ETRN: for domains of fast_flush_domains only, and as smtpd_etrn_restrictions say. qmgr tries the
 * domain's waiting messages now, within its limits; the answer comes before that is done.
 */
#include "smtpd/etrn.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/chan/chan.h"
#include "lib/mail/address.h"
#include "lib/service/service.h"
#include "smtpd/routes.h"
#include "smtpd/session.h"
#include "smtpd/stage.h"

static void
on_expired(struct session *s)
{
	chan_question_drop(s);
	session_reply(s, 458, "4.3.0", "Unable to queue messages");
	session_resume(s);
}

static void
on_flushed(void *arg, const struct chan_head *head, union msg_any *msg)
{
	struct session *s = arg;

	session_answered(s);
	if (msg != NULL && head->type == MSG_DONE)
		session_reply(s, 250, "2.0.0", "Queuing started");
	else
		session_reply(s, 458, "4.3.0", "Unable to queue messages");
	session_resume(s);
}

static void
on_judged(struct session *s, const struct why *why)
{
	struct msg_etrn msg = {.domain = str_from(s->verify)};

	if (why != NULL)
		session_reject(s, "ETRN", STR_EMPTY, why);
	else if (session_ask(s, PROGRAM_QMGR, 0, MSG_ETRN, &msg, on_flushed))
		session_wait(s, s->server->conf->smtpd_service_timeout, on_expired);
	else
		session_reply(s, 458, "4.3.0", "Unable to queue messages");
}

/* Whether it is one of fast_flush_domains, or below one. */
static bool
is_served(const struct session *s, struct str domain)
{
	const struct setting_list *served = &s->server->conf->fast_flush_domains;

	for (size_t i = 0; i < served->n; i++) {
		struct str d = str_from(served->items[i]);
		if (str_caseeq(domain, d) || (domain.n > d.n + 1 && str_caseends(domain, d) &&
						 domain.p[domain.n - d.n - 1] == '.'))
			return true;
	}
	return false;
}

void
cmd_etrn(struct session *s, struct str argument)
{
	char ascii[ADDR_DOMAIN_MAX + 1];
	struct why why;

	/* "@domain" asks for subdomains too, which a plain one gets as well; "#queue" is a private
	 * matter that is not offered. */
	if (argument.n > 0 && argument.p[0] == '@')
		argument = str_from_at(argument, 1);
	if (argument.n == 0 || str_chr(argument, ' ') >= 0 ||
	    domain_to_ascii(argument, ascii, NULL) == -1) {
		session_reply(s, 501, "5.5.4", "Syntax: ETRN domain");
		return;
	}
	if (!is_served(s, str_from(ascii))) {
		why_temp(&why, "5.7.1", "<%s>: service unavailable", ascii);
		why.smtp = 459;
		session_reject(s, "ETRN", STR_EMPTY, &why);
		return;
	}
	free(s->verify);
	s->verify = str_dup(str_from(ascii));
	stage_begin(s, STAGE_ETRN, on_judged);
}
