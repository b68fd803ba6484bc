/* SPDX-License-Identifier: ISC */
/*
 * smtpd_proxy_filter, as Postfix's before-queue content filter: a message of this service is not
 * queued here but spoken, whole, to an SMTP server (the filter), whose reply becomes ours. What
 * the filter lets through comes back by another service.
 */
#ifndef SMTPD_PROXY_FILTER_H
#define SMTPD_PROXY_FILTER_H

#include "lib/base/attr.h"
#include "smtpd/smtpd.h"

struct proxy_filter;

/* What the filter said. A refusal that is the same for all is `failure`. */
struct proxied {
	struct why failure;   /* class WHY_NONE: it took the message, for some recipient at least */
	struct why **refused; /* by the transaction's recipients; NULL: not refused */
	int smtp;             /* 2yz */
	char code[12];
	char text[512];
};

/* Called once; the transaction may be freed in it. */
typedef void proxied_fn(struct session *s, const struct proxied *result);

/* -1 with `why` where the setting is no address. */
int proxy_filter_check(const struct smtpd_conf *conf, struct why *why) KP_MUST_USE;

/* Whether the service's messages go to a filter: then all of the content stays here until its end.
 */
bool proxy_filter_holds(const struct session *s);

/* Counts content that stays here: false where there is too much of it in this worker. */
bool proxy_filter_room(struct session *s, size_t n);

/* The content is complete and judged: gives it to the filter; `done` is called now or later. The
 * session waits. */
void proxy_filter_begin(struct session *s, proxied_fn *done);

void proxy_filter_free(struct proxy_filter **pp);

#endif
