/* SPDX-License-Identifier: ISC */
/* limiter keeps the triplets; the network instead of the address lets a pool of senders come back
 * with another member. */
#include "smtpd/greylist.h"

#include "lib/base/buf.h"
#include "lib/chan/chan.h"
#include "lib/log/log.h"
#include "lib/metrics/metrics.h"
#include "lib/service/service.h"
#include "smtpd/limits.h"
#include "smtpd/routes.h"
#include "smtpd/session.h"
#include "smtpd/stage.h"

enum { LIMITER_MS = 5000 };

static void
answer(struct session *s, const struct why *why)
{
	judged_fn *then = s->grey_then;

	s->grey_then = NULL;
	then(s, why);
}

static void
on_expired(struct session *s)
{
	chan_question_drop(s);
	log_warning("limiter does not answer in time: no greylisting");
	answer(s, NULL);
}

static void
on_answer(void *arg, const struct chan_head *head, union msg_any *msg)
{
	struct session *s = arg;
	struct why why;

	session_answered(s);
	if (msg == NULL || head->type != MSG_GREY_IS || msg->grey_is.wait_s == 0) {
		answer(s, NULL);
		return;
	}
	metric_add(METRIC_GREYLISTED, 1);
	why_temp(&why, "4.2.0", "Greylisted, try again in %llu seconds",
	    (unsigned long long)msg->grey_is.wait_s);
	why.smtp = 450;
	answer(s, &why);
}

void
greylist_ask(struct session *s, struct str recipient, judged_fn *then)
{
	const struct smtpd_conf *conf = s->server->conf;
	char network[80];
	struct buf key;

	s->grey_then = then;
	buf_init(&key, 1100);
	if (!limits_network(s, network, sizeof network) ||
	    buf_printf(&key, "%s %.*s %.*s", network, STR_ARG(addr_text(&s->tx->sender)),
		STR_ARG(recipient)) == -1) {
		buf_free(&key);
		answer(s, NULL);
		return;
	}
	for (size_t i = 0; i < key.n; i++)
		if (key.p[i] >= 'A' && key.p[i] <= 'Z')
			key.p[i] |= 0x20;
	struct msg_grey msg = {
	    .key = buf_view(&key),
	    .client = str_from(network),
	    .delay_s = (uint64_t)conf->greylist_delay / 1000,
	    .keep_s = (uint64_t)conf->greylist_ttl / 1000,
	    .auto_after = (uint64_t)conf->greylist_auto_clients,
	};
	bool asked = session_ask(s, PROGRAM_LIMITER, 0, MSG_GREY, &msg, on_answer);
	buf_free(&key);
	if (asked)
		session_wait(s, LIMITER_MS, on_expired);
	else
		answer(s, NULL);
}
