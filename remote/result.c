/* SPDX-License-Identifier: ISC */
/* Results, and the log line that Postfix's smtp writes for each. */
#include "remote/result.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/clock.h"
#include "lib/base/mem.h"
#include "lib/log/log.h"
#include "remote/delivery.h"

static const char *const status_words[] = {
    [DELIVERY_NONE] = "aborted",
    [DELIVERY_SENT] = "sent",
    [DELIVERY_RELAYED] = "sent",
    [DELIVERY_EXPANDED] = "sent",
    [DELIVERY_DEFERRED] = "deferred",
    [DELIVERY_BOUNCED] = "bounced",
};

/* Postfix's words for a probe: there is no third one. */
static const char *
status_word(const struct delivery *d, enum delivery_status status)
{
	if ((d->flags & MAIL_PROBE) == 0)
		return status_words[status];
	return status == DELIVERY_SENT || status == DELIVERY_RELAYED ? "deliverable"
								     : "undeliverable";
}

void
delay_show(char out[static 16], int64_t us)
{
	int64_t step = us >= 9950000 ? 1000000 : us >= 995000 ? 100000 : 10000;

	if (us < 0)
		us = 0;
	us = (us + step / 2) / step * step;
	int n = snprintf(out, 16, "%lld.%02lld", (long long)(us / 1000000 % 1000000000),
	    (long long)(us / 10000 % 100));
	while (n > 0 && out[n - 1] == '0' && memchr(out, '.', (size_t)n) != NULL)
		out[--n] = '\0';
	if (n > 0 && out[n - 1] == '.')
		out[--n] = '\0';
}

/* "a/b/c/d": before qmgr had it active, in qmgr, making the connection, sending. */
static void
delays_show(const struct delivery *d, char out[static 64], int64_t now)
{
	char part[4][16];
	int64_t connected = d->connected != 0 ? d->connected : now;

	delay_show(part[0], (int64_t)(d->active - d->arrived));
	delay_show(part[1], d->began - (int64_t)d->active);
	delay_show(part[2], connected - d->began);
	delay_show(part[3], now - connected);
	snprintf(out, 64, "%s/%s/%s/%s", part[0], part[1], part[2], part[3]);
}

static void
log_result(const struct delivery *d, const struct rcpt *r)
{
	const struct outcome *o = r->outcome;
	char delay[16], delays[64];
	int64_t now = wall_us();

	delay_show(delay, now - (int64_t)d->arrived);
	delays_show(d, delays, now);
	struct ev_delivery ev = {
	    .queue_id = str_from(d->queue_id),
	    .to = str_from(r->address),
	    .orig_to = strcmp(r->original, r->address) != 0 ? str_from(r->original) : STR_EMPTY,
	    .relay = str_from(o->relay[0] != '\0' ? o->relay : "none"),
	    .delay = str_from(delay),
	    .delays = str_from(delays),
	    .dsn = str_from(o->code),
	    .status = str_from(status_word(d, o->status)),
	    .text = str_from(o->text),
	};
	log_event(d->head.trace, EV_DELIVERY, &ev);
}

void
result_tell(struct delivery *d, const struct rcpt *r)
{
	const struct outcome *o = r->outcome;
	struct msg_deliver_result msg = {
	    .queue_id = str_from(d->queue_id),
	    .index = r->index,
	    .status = o->status,
	    .smtp = (uint64_t)o->smtp,
	    .code = str_from(o->code),
	    .text = str_from(o->text),
	    .relay = str_from(o->relay),
	    .mta = str_from(o->mta),
	};

	if (d->qmgr != NULL)
		delivery_say(d, MSG_DELIVER_RESULT, &msg);
}

void
result_add(struct delivery *d, struct rcpt *r, enum delivery_status status, const struct why *why,
    const char *relay, const char *mta)
{
	if (r->outcome != NULL)
		return;
	r->outcome = xcalloc(1, sizeof *r->outcome);
	r->outcome->status = status;
	r->outcome->smtp = why->smtp;
	snprintf(r->outcome->code, sizeof r->outcome->code, "%s", why->code);
	snprintf(r->outcome->text, sizeof r->outcome->text, "%s", why->text);
	snprintf(r->outcome->relay, sizeof r->outcome->relay, "%s", relay);
	snprintf(r->outcome->mta, sizeof r->outcome->mta, "%s", mta);
	log_result(d, r);
	result_tell(d, r);
}

void
result_rest(struct delivery *d, const struct why *why, const char *relay, const char *mta)
{
	for (size_t i = 0; i < d->nrcpts; i++)
		result_add(d, &d->rcpts[i],
		    why->class == WHY_PERM ? DELIVERY_BOUNCED : DELIVERY_DEFERRED, why, relay, mta);
}

bool
result_complete(const struct delivery *d)
{
	for (size_t i = 0; i < d->nrcpts; i++)
		if (d->rcpts[i].outcome == NULL)
			return false;
	return true;
}
