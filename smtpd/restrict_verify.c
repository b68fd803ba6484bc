/* SPDX-License-Identifier: ISC */
/*
 * reject_unverified_sender and reject_unverified_recipient. What is known for good decides at once;
 * what could not be told, and all that a 4yz code refuses, is refused in the end only, or at once,
 * as the tempfail action says. Texts are Postfix's.
 */
#include <stdio.h>

#include "smtpd/judge.h"
#include "smtpd/restrict.h"
#include "smtpd/routes.h"
#include "smtpd/verify.h"

enum { TEMPFAIL_LATER, TEMPFAIL_NOW };

/* What differs between senders and recipients. */
struct side {
	const char *class, *code;
	int64_t reject_code, defer_code, tempfail;
	const char *reason; /* "": as the probe said */
};

static enum verdict
put_off(struct judge *j, const struct side *side, int64_t smtp, const char *address,
    const char *what, const char *text)
{
	if (side->tempfail == TEMPFAIL_NOW)
		return judge_refuse(j, (int)smtp, side->code, "<%s>: %s rejected: %s%.250s",
		    address, side->class, what, text);
	judge_defer_if_permit(j, (int)smtp, side->code, "<%s>: %s rejected: %s%.250s", address,
	    side->class, what, text);
	return VERDICT_DUNNO;
}

static enum verdict
not_asked(struct judge *j, const char *address)
{
	char text[MSG_ADDRESS_MAX + 64];
	int n = snprintf(text, sizeof text, "%s is not known: a session would probe it", address);

	judge_effect(j, "verify",
	    str_make(text, (size_t)n < sizeof text ? (size_t)n : sizeof text - 1), EDIT_NONE,
	    STR_EMPTY, STR_EMPTY);
	return VERDICT_DUNNO;
}

/* `address` is probed, `said` stands in the reply. */
static enum verdict
verify(struct judge *j, const struct side *side, const char *address, const char *said)
{
	const struct fact *f = judge_verified(j, str_from(address));

	if (f == NULL)
		return VERDICT_WAIT;
	if (f->failed)
		return put_off(j, side, 450, said, "address verification problem", "");
	const char *text = *side->reason != '\0' ? side->reason : f->text;
	switch (f->verified) {
	case VERIFY_DELIVERABLE:
		return VERDICT_DUNNO;
	case VERIFY_UNDELIVERABLE:
		if (side->reject_code < 500)
			return put_off(
			    j, side, side->reject_code, said, "unverified address: ", text);
		return judge_refuse(j, (int)side->reject_code, side->code,
		    "<%s>: %s rejected: undeliverable address: %.250s", said, side->class, text);
	case VERIFY_UNKNOWN:
		if (j->s == NULL)
			return not_asked(j, address);
		break;
	case VERIFY_DEFERRED:
		break;
	}
	return put_off(j, side, side->defer_code, said, "unverified address: ", text);
}

enum verdict
rule_unverified_sender(struct judge *j, const struct access_rule *rule)
{
	const struct smtpd_conf *conf = j->server->conf;
	const struct side side = {
	    .class = "Sender address",
	    .code = "4.1.7",
	    .reject_code = conf->unverified_sender_reject_code,
	    .defer_code = conf->unverified_sender_defer_code,
	    .tempfail = conf->unverified_sender_tempfail_action,
	    .reason = conf->unverified_sender_reject_reason,
	};
	const char *sender = j->who.sender->text;

	(void)rule;
	if (addr_is_null(j->who.sender) ||
	    verify_is_own(j->server->restrictions->verifier, str_from(sender)))
		return VERDICT_DUNNO;
	return verify(j, &side, sender, sender);
}

enum verdict
rule_unverified_rcpt(struct judge *j, const struct access_rule *rule)
{
	const struct smtpd_conf *conf = j->server->conf;
	const struct side side = {
	    .class = "Recipient address",
	    .code = "4.1.1",
	    .reject_code = conf->unverified_recipient_reject_code,
	    .defer_code = conf->unverified_recipient_defer_code,
	    .tempfail = conf->unverified_recipient_tempfail_action,
	    .reason = conf->unverified_recipient_reject_reason,
	};
	const struct route *route = j->who.route;
	const char *address = route != NULL ? route->address : j->who.rcpt;

	(void)rule;
	if (route != NULL && !route->known) /* router has the answer */
		return judge_unlisted_rcpt(j);
	if (address[0] == '\0' ||
	    verify_is_own(j->server->restrictions->verifier, str_from(address)))
		return VERDICT_DUNNO;
	return verify(j, &side, address, j->who.rcpt);
}
