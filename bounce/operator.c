/* SPDX-License-Identifier: ISC */
/*
 * Mail to error_notice_recipient, for limiter: an account's mail goes to hold. Who gets it and
 * whether at all is the configuration's word; limiter gives two texts, and both are quoted. It is
 * a notification as those to the postmaster are: what cannot be delivered ends there.
 */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "bounce/bounce.h"
#include "lib/base/clock.h"
#include "lib/base/mem.h"
#include "lib/log/log.h"
#include "lib/mail/date.h"
#include "lib/metrics/metrics.h"

enum { NOTICE_MAX = 16 * 1024 };

struct operator_job {
	struct bounce *bounce;
	struct chan *limiter; /* NULL: gone */
	struct chan_head head;
	char *login;
	struct chan *cleanup; /* NULL: has answered, or is gone */
	uint32_t request;
	TAILQ_ENTRY(operator_job) link;
};

static void
job_drop(struct operator_job *job)
{
	struct bounce *b = job->bounce;

	TAILQ_REMOVE(&b->operator_jobs, job, link);
	if (job->cleanup != NULL)
		chan_forget(job->cleanup, job->request);
	free(job->login);
	free(job);
	bounce_stop_if_done(b);
}

static void
answer(struct operator_job *job, const struct why *why)
{
	if (job->limiter != NULL && why != NULL)
		chan_refuse(job->limiter, &job->head, why);
	else if (job->limiter != NULL)
		chan_done(job->limiter, &job->head, 1);
	job_drop(job);
}

static void
on_answer(void *arg, const struct chan_head *head, union msg_any *msg)
{
	struct operator_job *job = arg;
	struct why why;

	job->cleanup = NULL;
	if (msg != NULL && head->type == MSG_MAIL_QUEUED) {
		log_info("account %s: the operator is told: %.*s", job->login,
		    STR_ARG(msg->mail_queued.queue_id));
		metric_add(METRIC_NOTIFICATIONS, 1);
		answer(job, NULL);
		return;
	}
	if (msg != NULL && head->type == MSG_REFUSED)
		why_from_msg(&why, &msg->refused);
	else
		why_temp(&why, "4.3.0", "the queue is not available");
	answer(job, &why);
}

/* --- the text --- */

/* A word for a shell: as it is, or in single quotes. */
static int
add_word(struct buf *out, struct str word)
{
	bool plain = word.n > 0 && word.p[0] != '-';

	for (size_t i = 0; i < word.n; i++)
		plain = plain &&
			(isalnum((unsigned char)word.p[i]) || strchr("@._+-", word.p[i]) != NULL);
	if (plain)
		return buf_str(out, word);
	if (buf_byte(out, '\'') == -1)
		return -1;
	for (size_t i = 0; i < word.n; i++)
		if (word.p[i] == '\'' ? buf_puts(out, "'\\''") == -1
				      : buf_byte(out, word.p[i]) == -1)
			return -1;
	return buf_byte(out, '\'');
}

/* In a header there is no room for what is not ASCII. */
static bool
fits_header(struct str login)
{
	for (size_t i = 0; i < login.n; i++)
		if ((unsigned char)login.p[i] < ' ' || (unsigned char)login.p[i] > '~')
			return false;
	return login.n <= 100;
}

static int
add_head(const struct bounce *b, const char *recipient, struct str login, struct buf *out)
{
	const char *host = b->conf->common.myhostname;
	char date[DATE_SIZE];

	date_header(date, wall_us());
	if (buf_printf(out, "Date: %s\r\nMessage-Id: <account.%08x%08x@%s>\r\n", date, arc4random(),
		arc4random(), host) == -1 ||
	    buf_printf(out,
		"From: MAILER-DAEMON@%s (Mail Delivery System)\r\nTo: %s\r\n"
		"Subject: Account %.*s%sits mail goes to hold\r\n",
		host, recipient, fits_header(login) ? (int)login.n : 0, login.p,
		fits_header(login) ? ": " : "") == -1)
		return -1;
	return buf_puts(out, "Auto-Submitted: auto-generated\r\nMIME-Version: 1.0\r\n"
			     "Content-Type: text/plain; charset=utf-8\r\n"
			     "Content-Transfer-Encoding: 8bit\r\n\r\n");
}

static int
add_text(const struct bounce *b, const struct msg_account_notice *m, struct buf *out)
{
	char date[DATE_SIZE];

	date_header(date, (int64_t)m->when * 1000000);
	if (buf_printf(out,
		"This is the mail system at host %s.\r\n\r\n"
		"An account sends far more than it usually does. This was seen at\r\n%s:\r\n\r\n"
		"    %.*s\r\n\r\n"
		"What it sends now goes to hold. If its password was stolen, give it another,\r\n"
		"and throw the mail away by\r\n\r\n    kingpost account purge ",
		b->conf->common.myhostname, date, STR_ARG(m->reason)) == -1 ||
	    add_word(out, m->login) == -1 ||
	    buf_puts(out, "\r\n\r\nIf the mail is meant, it goes on its way by\r\n\r\n"
			  "    kingpost account release ") == -1 ||
	    add_word(out, m->login) == -1)
		return -1;
	return buf_puts(out, "\r\n");
}

/* --- on its way --- */

static int
send_it(struct operator_job *job, const char *sender, const char *recipient, struct str content)
{
	struct chan *ch = job->cleanup;
	uint64_t trace = job->head.trace;
	struct msg_mail_open open = {
	    .sender = str_from(sender),
	    .flags = MAIL_NOTIFICATION | MAIL_RESUBMIT | MAIL_8BITMIME,
	    .size = content.n,
	    .service = str_from(job->bounce->service->name),
	    .content = -1,
	};
	struct msg_mail_rcpt rcpt = {.address = str_from(recipient), .notify = NOTIFY_NEVER};
	struct msg_mail_data data = {.bytes = content};
	struct msg_mail_commit commit = {.size = content.n};

	if (chan_send(ch, job->request, trace, MSG_MAIL_OPEN, &open) == -1 ||
	    chan_send(ch, job->request, trace, MSG_MAIL_RCPT, &rcpt) == -1 ||
	    chan_send(ch, job->request, trace, MSG_MAIL_DATA, &data) == -1)
		return -1;
	return chan_send(ch, job->request, trace, MSG_MAIL_COMMIT, &commit);
}

static void
write_and_send(struct operator_job *job, const struct msg_account_notice *m)
{
	struct bounce *b = job->bounce;
	const struct bounce_conf *conf = b->conf;
	char *sender = xasprintf("%s@%s", conf->common.double_bounce_sender, conf->common.myorigin);
	char *recipient = bounce_operator(b, conf->error_notice_recipient);
	struct buf text = {.max = NOTICE_MAX};
	struct why why;

	job->request = chan_open(job->cleanup, on_answer, job);
	if (add_head(b, recipient, m->login, &text) == -1 || add_text(b, m, &text) == -1 ||
	    send_it(job, sender, recipient, buf_view(&text)) == -1) {
		why_temp(&why, "4.3.0", "the notice cannot be handed to the queue");
		answer(job, &why);
	}
	buf_free(&text);
	free(sender);
	free(recipient);
}

static void
on_account_notice(struct chan *ch, const struct chan_head *head, union msg_any *msg)
{
	struct service *s = chan_owner(ch);
	struct bounce *b = s->state;
	struct operator_job *job;
	struct why why;

	if (!bounce_tells(b, "account") || b->conf->error_notice_recipient[0] == '\0') {
		chan_done(ch, head, 0);
		return;
	}
	job = xcalloc(1, sizeof *job);
	*job = (struct operator_job){
	    .bounce = b,
	    .limiter = ch,
	    .head = *head,
	    .login = str_dup(msg->account_notice.login),
	    .cleanup = service_peer(s, PROGRAM_CLEANUP, head->trace),
	};
	TAILQ_INSERT_TAIL(&b->operator_jobs, job, link);
	if (job->cleanup == NULL) {
		why_temp(&why, "4.3.0", "the queue is not available");
		answer(job, &why);
		return;
	}
	write_and_send(job, &msg->account_notice);
}

const struct chan_rule bounce_from_limiter[] = {
    {MSG_ACCOUNT_NOTICE, on_account_notice},
    {MSG_NONE,           NULL             },
};

void
operator_jobs_lost_limiter(struct bounce *b, const struct chan *limiter)
{
	struct operator_job *job;

	TAILQ_FOREACH (job, &b->operator_jobs, link)
		if (job->limiter == limiter)
			job->limiter = NULL;
}
