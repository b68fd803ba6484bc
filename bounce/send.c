/* SPDX-License-Identifier: ISC */
/*
 * A notification on its way: written, handed to cleanup like any message, and qmgr told when it is
 * durable. Its own sender is null, so that it can never be answered by another; a notification that
 * could not be returned becomes a notice to the postmaster, whose sender is known, and what comes
 * back to that sender is dropped: here ends every chain.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bounce/bounce.h"
#include "lib/base/mem.h"
#include "lib/log/log.h"
#include "lib/metrics/metrics.h"

enum { REPORT_MAX = 8 * 1024 * 1024, INLINE_MAX = 64 * 1024 };

static const char *const log_kinds[] = {
    [NOTICE_FAILURE] = "sender non-delivery notification",
    [NOTICE_DELAY] = "sender delay notification",
    [NOTICE_SUCCESS] = "sender delivery status notification",
    [NOTICE_POSTMASTER] = "postmaster non-delivery notification",
};

void
job_end(struct job **jobp, const struct why *why)
{
	struct job *job = *jobp;
	struct msg_deliver_end end = {.queue_id = str_from(job->queue_id), .reached = why == NULL};

	if (why != NULL) {
		end.code = str_from(why->code[0] != '\0' ? why->code : "4.3.0");
		end.text = str_from(why->text);
	}
	if (job->qmgr != NULL)
		chan_reply(job->qmgr, &job->head, MSG_DELIVER_END, &end);
	job_free(jobp);
}

static void
on_answer(void *arg, const struct chan_head *head, union msg_any *msg)
{
	struct job *job = arg;
	struct why why;

	job->cleanup = NULL;
	if (msg == NULL || head->type != MSG_MAIL_QUEUED) {
		if (msg != NULL && head->type == MSG_REFUSED)
			why_from_msg(&why, &msg->refused);
		else
			why_temp(&why, "4.3.0", "the queue is not available");
		job_end(&job, &why);
		return;
	}
	struct ev_notification ev = {
	    .queue_id = str_from(job->queue_id),
	    .kind = str_from(log_kinds[report_kind(job)]),
	    .dsn_id = msg->mail_queued.queue_id,
	};
	log_event(job->head.trace, EV_NOTIFICATION, &ev);
	metric_add(METRIC_NOTIFICATIONS, 1);
	service_worked(job->service);
	job_end(&job, NULL);
}

/* The same notification, asked for twice, is one message: cleanup knows it by this. */
static char *
make_parent(const struct job *job, enum notice kind)
{
	return xasprintf(
	    "%s %llu dsn-%d", job->queue_id, (unsigned long long)job->reported[0].index, (int)kind);
}

static int
send_content(const struct job *job, struct str content)
{
	struct msg_mail_commit commit = {.size = content.n};

	while (content.n > 0) {
		struct msg_mail_data data = {.bytes = str_sub(content, 0, MSG_CHUNK_MAX)};
		if (chan_send(
			job->cleanup, job->cleanup_id, job->head.trace, MSG_MAIL_DATA, &data) == -1)
			return -1;
		content = str_from_at(content, data.bytes.n);
	}
	return chan_send(job->cleanup, job->cleanup_id, job->head.trace, MSG_MAIL_COMMIT, &commit);
}

static int
send_message(struct job *job, enum notice kind, const char *sender, const char *recipient,
    struct str content)
{
	char *parent = make_parent(job, kind);
	struct msg_mail_open open = {
	    .sender = str_from(sender),
	    .flags = MAIL_NOTIFICATION | MAIL_RESUBMIT | MAIL_8BITMIME |
		     (job->flags & (MAIL_SMTPUTF8 | MAIL_REQUIRETLS)),
	    .size = content.n,
	    .service = str_from(job->service->name),
	    .parent = str_from(parent),
	    .content = -1,
	};
	struct msg_mail_rcpt rcpt = {.address = str_from(recipient), .notify = NOTIFY_NEVER};
	int result = -1;

	if (chan_send(job->cleanup, job->cleanup_id, job->head.trace, MSG_MAIL_OPEN, &open) == 0 &&
	    chan_send(job->cleanup, job->cleanup_id, job->head.trace, MSG_MAIL_RCPT, &rcpt) == 0)
		result = send_content(job, content);
	free(parent);
	return result;
}

bool
bounce_tells(const struct bounce *b, const char *notice_class)
{
	const struct setting_list *list = &b->conf->notify_classes;

	for (size_t i = 0; i < list->n; i++)
		if (strcmp(list->items[i], notice_class) == 0)
			return true;
	return false;
}

char *
bounce_operator(const struct bounce *b, const char *address)
{
	bool whole = strchr(address, '@') != NULL;

	return xasprintf(
	    "%s%s%s", address, whole ? "" : "@", whole ? "" : b->conf->common.myorigin);
}

static bool
is_double_bounce(const struct job *job, const char *double_sender)
{
	return strcmp(job->sender, double_sender) == 0;
}

static void
drop_job(struct job *job, const char *reason)
{
	log_warning("%s: undeliverable, and dropped: %s", job->queue_id, reason);
	job_end(&job, NULL);
}

/* Who it comes from and who gets it, by its kind. */
static void
write_and_send(
    struct job *job, const char *double_sender, const char *daemon, const char *postmaster)
{
	enum notice kind = report_kind(job);
	bool to_postmaster = kind == NOTICE_POSTMASTER;
	const char *recipient = to_postmaster ? postmaster : job->sender;
	struct buf report = {.max = REPORT_MAX};
	struct why why;

	job->cleanup = service_peer(job->service, PROGRAM_CLEANUP, job->head.trace);
	if (job->cleanup == NULL) {
		why_temp(&why, "4.3.0", "the queue is not available");
		job_end(&job, &why);
		return;
	}
	job->cleanup_id = chan_open(job->cleanup, on_answer, job);
	job->state = JOB_SENDING;
	if (report_write(job, kind, daemon, recipient, &report) == -1 ||
	    send_message(job, kind, to_postmaster ? double_sender : "", recipient,
		buf_view(&report)) == -1) {
		why_temp(&why, "4.3.0", "the notification cannot be handed to the queue");
		job_end(&job, &why);
	}
	buf_free(&report);
}

void
job_send(struct job *job)
{
	const struct bounce *b = job->service->state;
	const struct bounce_conf *conf = b->conf;
	char *double_sender =
	    xasprintf("%s@%s", conf->common.double_bounce_sender, conf->common.myorigin);
	char *daemon = xasprintf("MAILER-DAEMON@%s", conf->common.myhostname);
	char *postmaster = bounce_operator(b, conf->twobounce_notice_recipient);

	if (is_double_bounce(job, double_sender))
		drop_job(job, "it is a notice to the postmaster itself");
	else if (job->sender[0] == '\0' &&
		 (conf->twobounce_notice_recipient[0] == '\0' || !bounce_tells(b, "2bounce")))
		drop_job(job, "it has no sender to return it to");
	else
		write_and_send(job, double_sender, daemon, postmaster);
	free(double_sender);
	free(daemon);
	free(postmaster);
}
