/* SPDX-License-Identifier: ISC */
/*
 * The way of a submitted message to cleanup. What the submitter says is taken for what it is:
 * sender and recipients are parsed, flags are those that a submitter may set, uid and the rest come
 * from us. Hostile: all of a submission.
 */
#include <stdlib.h>

#include "lib/base/mem.h"
#include "lib/conf/override.h"
#include "lib/log/log.h"
#include "lib/mail/address.h"
#include "lib/metrics/metrics.h"
#include "pickup/milter.h"
#include "pickup/pickup.h"

enum { INLINE_MAX = 64 * 1024, SUBMITTER_FLAGS = MAIL_8BITMIME | MAIL_SMTPUTF8 };

static void
intake_free(struct intake *in)
{
	screening_free(&in->screening);
	free(in->sender);
	free(in->origin);
	free(in);
}

static void
report_queued(struct intake *in, struct str queue_id)
{
	struct ev_pickup ev = {
	    .queue_id = queue_id,
	    .uid = in->uid,
	    .sender = str_from(in->sender),
	    .origin = str_from(in->origin),
	};

	log_event(in->trace, EV_PICKUP, &ev);
	metric_add(METRIC_PICKED_UP, 1);
	service_worked(in->pickup->service);
}

static void
on_answer(void *arg, const struct chan_head *head, union msg_any *msg)
{
	struct intake *in = arg;
	struct why why;
	bool queued = msg != NULL && head->type == MSG_MAIL_QUEUED;

	if (msg != NULL && in->screening != NULL && screening_answer(in->screening, head, msg))
		return;
	if (msg != NULL && !msg_ends(head->type))
		chan_forget(in->cleanup, in->id);
	in->cleanup = NULL;
	if (queued)
		report_queued(in, msg->mail_queued.queue_id);
	else if (msg != NULL && head->type == MSG_REFUSED)
		why_from_msg(&why, &msg->refused);
	else
		why_temp(&why, "4.3.0", "the queue is not available");
	in->on_done(in->arg, queued ? msg->mail_queued.queue_id : STR_EMPTY, queued ? NULL : &why);
	intake_free(in);
}

static void
on_cleanup_idle(void *arg)
{
	clients_resume(arg);
}

static int
check_sender(struct intake *in, struct str text, struct why *why)
{
	const struct conf_common *common = &in->pickup->conf->common;
	struct addr a;

	if (addr_mailbox(&a, text, ADDR_UTF8 | ADDR_NULL | ADDR_NO_DOMAIN, why) == -1)
		return -1;
	if (!addr_is_null(&a) && addr_domain(&a).n == 0 &&
	    addr_complete(&a, str_from(common->myorigin), why) == -1)
		return -1;
	in->sender = str_dup(addr_text(&a));
	return 0;
}

static uint64_t
override_flags(const struct pickup *p)
{
	return ((p->overrides & OVERRIDE_CHECKS) != 0 ? MAIL_NO_CHECKS : 0) |
	       ((p->overrides & OVERRIDE_MAPPINGS) != 0 ? MAIL_NO_MAPPINGS : 0);
}

int
intake_send(struct intake *in, enum msg_type type, const void *msg, struct why *why)
{
	if (in->cleanup == NULL || chan_send(in->cleanup, in->id, in->trace, type, msg) == -1)
		return why_temp(why, "4.3.0", "the queue is not available");
	return 0;
}

static int
send_open(struct intake *in, const struct msg_mail_open *open, struct why *why)
{
	struct pickup *p = in->pickup;
	const char *filter = p->conf->common.content_filter;
	struct msg_mail_edit edit = {.kind = EDIT_FILTER, .name = str_from(filter)};

	in->cleanup = service_peer(p->service, PROGRAM_CLEANUP, in->trace);
	if (in->cleanup == NULL)
		return why_temp(why, "4.3.0", "the queue is not available");
	in->id = chan_open(in->cleanup, on_answer, in);
	chan_on_idle(in->cleanup, on_cleanup_idle, p);
	if (intake_send(in, MSG_MAIL_OPEN, open, why) == 0 &&
	    (*filter == '\0' || intake_send(in, MSG_MAIL_EDIT, &edit, why) == 0))
		return 0;
	chan_forget(in->cleanup, in->id);
	in->cleanup = NULL;
	return -1;
}

struct intake *
intake_open(struct pickup *p, const struct msg_mail_open *msg, uid_t uid, intake_done_fn *on_done,
    void *arg, struct why *why)
{
	struct intake *in = xcalloc(1, sizeof *in);

	*in = (struct intake){
	    .pickup = p,
	    .trace = log_new_trace(),
	    .piped = msg->content != -1,
	    .uid = uid,
	    .origin = str_dup(msg->origin),
	    .on_done = on_done,
	    .arg = arg,
	};
	if (check_sender(in, msg->sender, why) == -1)
		goto fail;
	if (msg->size > (uint64_t)p->conf->common.message_size_limit) {
		why_perm(why, "5.3.4", "message size %llu exceeds size limit %lld",
		    (unsigned long long)msg->size, (long long)p->conf->common.message_size_limit);
		why->smtp = 552;
		goto fail;
	}
	struct msg_mail_open open = {
	    .sender = str_from(in->sender),
	    .flags = (msg->flags & SUBMITTER_FLAGS) | MAIL_LOCAL | override_flags(p),
	    .size = msg->size,
	    .service = str_from(p->service->name),
	    .uid = uid,
	    .origin = msg->origin,
	    .full_name = msg->full_name,
	    .envid = msg->envid,
	    .ret = msg->ret,
	    .content = msg->content,
	};
	if (send_open(in, &open, why) == -1)
		goto fail;
	if (milters_wanted(p))
		in->screening = screening_new(in);
	return in;
fail:
	intake_free(in);
	return NULL;
}

int
intake_rcpt(struct intake *in, const struct msg_mail_rcpt *msg, struct why *why)
{
	struct addr a;

	if (++in->recipients > (uint64_t)in->pickup->conf->pickup_recipient_limit)
		return why_perm(why, "5.5.3", "too many recipients");
	if (addr_mailbox(&a, msg->address, ADDR_UTF8 | ADDR_NO_DOMAIN, why) == -1)
		return -1;
	struct msg_mail_rcpt rcpt = {
	    .address = addr_text(&a), .orcpt = msg->orcpt, .notify = msg->notify};
	if (in->screening != NULL)
		screening_rcpt(in->screening, rcpt.address);
	return intake_send(in, MSG_MAIL_RCPT, &rcpt, why);
}

int
intake_data(struct intake *in, struct str bytes, struct why *why)
{
	struct msg_mail_data data = {.bytes = bytes};

	in->size += bytes.n;
	if (in->piped || in->size > INLINE_MAX)
		return why_perm(why, "5.5.0", "more content than may come this way");
	return intake_send(in, MSG_MAIL_DATA, &data, why);
}

int
intake_commit(struct intake *in, uint64_t size, struct why *why)
{
	struct msg_mail_commit commit = {.size = size};

	if (in->recipients == 0)
		return why_perm(why, "5.5.4", "no recipient");
	return in->screening != NULL ? screening_look(in->screening, size, why)
				     : intake_send(in, MSG_MAIL_COMMIT, &commit, why);
}

/* What has begun at cleanup and is not to be a message. */
static void
withdraw(struct intake *in)
{
	struct msg_mail_abort abort = {0};

	if (in->cleanup == NULL)
		return;
	chan_forget(in->cleanup, in->id);
	(void)!chan_send(in->cleanup, in->id, in->trace, MSG_MAIL_ABORT,
	    &abort); /* a dead cleanup has forgotten it */
}

void
intake_abort(struct intake **inp)
{
	struct intake *in = *inp;

	*inp = NULL;
	if (in == NULL)
		return;
	withdraw(in);
	intake_free(in);
}

void
intake_refused(struct intake *in, const struct why *why)
{
	struct why said = *why;

	withdraw(in);
	in->on_done(in->arg, STR_EMPTY, &said);
	intake_free(in);
}

bool
intake_busy(const struct intake *in)
{
	return in->cleanup != NULL && chan_busy(in->cleanup);
}
