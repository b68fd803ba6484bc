/* SPDX-License-Identifier: ISC */
/* A job's phases in their order, its result, and its line in the log. */
#include "local/job.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/buf.h"
#include "lib/base/clock.h"
#include "lib/base/mem.h"
#include "lib/log/log.h"
#include "lib/mail/address.h"
#include "lib/mail/header.h"
#include "local/act.h"
#include "local/child.h"
#include "local/delivery.h"
#include "local/done.h"
#include "local/expand.h"

enum { HEADER_LOOKED_AT_MAX = 4 * 1024 * 1024 };

struct job *
job_new(struct delivery *d, const struct msg_deliver_rcpt *m)
{
	struct job *j = xcalloc(1, sizeof *j);

	*j = (struct job){
	    .d = d,
	    .index = m->index,
	    .notify = m->notify,
	    .class = m->class,
	    .address = str_dup(m->address),
	    .original = str_dup(m->original),
	    .orcpt = str_dup(m->orcpt),
	};
	return j;
}

void
job_free(struct job **jp)
{
	struct job *j = *jp;

	if (j == NULL)
		return;
	if (j->request != 0)
		chan_forget(j->router, j->request);
	agent_cancel(&j->wish);
	child_free(&j->child);
	expand_clear(j);
	for (size_t i = 0; i < j->naddresses; i++)
		free(j->addresses[i]);
	for (size_t i = 0; i < j->nleaves; i++) {
		free(j->leaves[i].text);
		free(j->leaves[i].home);
		free(j->leaves[i].shell);
	}
	free(j->addresses);
	free(j->leaves);
	free(j->sender);
	free(j->address);
	free(j->original);
	free(j->orcpt);
	free(j->name);
	free(j->user);
	free(j->extension);
	free(j);
	*jp = NULL;
}

/* --- the result --- */

bool
job_is_done(const struct job *j)
{
	return j->phase == JOB_DONE;
}

bool
job_is_probe(const struct job *j)
{
	return (j->d->flags & MAIL_PROBE) != 0;
}

bool
job_must_finish(const struct job *j)
{
	return j->phase >= JOB_CHILD;
}

bool
job_take_news(struct job *j)
{
	bool news = j->news;

	j->news = false;
	return news;
}

uint64_t
job_index(const struct job *j)
{
	return j->index;
}

static const char *
relay_name(const struct job *j)
{
	return j->class == CLASS_VIRTUAL ? "virtual" : "local";
}

void
job_result(const struct job *j, struct msg_deliver_result *msg)
{
	msg->index = j->index;
	msg->status = j->status;
	msg->code = str_from(j->why.code);
	msg->text = str_from(j->why.text);
	msg->relay = str_from(relay_name(j));
	msg->mta = str_from(j->d->l->conf->common.myhostname);
}

/* Seconds as Postfix writes them: two significant digits below ten, whole above. */
static void
seconds(char *out, size_t size, int64_t us)
{
	double s = us > 0 ? (double)us / 1e6 : 0;

	snprintf(out, size, s >= 9.95 || s == 0 ? "%.0f" : s >= 0.095 ? "%.2g" : "%.2f", s);
	if (strcmp(out, "0.00") == 0)
		snprintf(out, size, "0");
}

static const char *
status_word(const struct job *j)
{
	enum delivery_status status = j->status;

	if (job_is_probe(j))
		return status == DELIVERY_SENT ? "deliverable" : "undeliverable";
	return status == DELIVERY_BOUNCED    ? "bounced"
	       : status == DELIVERY_DEFERRED ? "deferred"
					     : "sent";
}

static void
log_result(const struct job *j)
{
	const struct delivery *d = j->d;
	char delay[32], part[4][32], delays[160];
	int64_t now = wall_us(), acted = j->acted != 0 ? j->acted : now;

	seconds(delay, sizeof delay, now - (int64_t)d->arrived);
	seconds(part[0], sizeof part[0], (int64_t)d->active - (int64_t)d->arrived);
	seconds(part[1], sizeof part[1], d->started - (int64_t)d->active);
	seconds(part[2], sizeof part[2], acted - d->started);
	seconds(part[3], sizeof part[3], now - acted);
	snprintf(delays, sizeof delays, "%s/%s/%s/%s", part[0], part[1], part[2], part[3]);
	bool same = j->original[0] == '\0' || strcmp(j->original, j->address) == 0;
	struct ev_delivery ev = {
	    .queue_id = str_from(d->queue_id),
	    .to = str_from(j->address),
	    .orig_to = str_from(same ? "" : j->original),
	    .relay = str_from(relay_name(j)),
	    .delay = str_from(delay),
	    .delays = str_from(delays),
	    .dsn = str_from(j->why.code),
	    .status = str_from(status_word(j)),
	    .text = str_from(j->why.text),
	};
	log_event(d->head.trace, EV_DELIVERY, &ev);
}

/* Those that succeeded are remembered only while the others have another try. */
static void
leaves_forget(const struct job *j)
{
	for (size_t i = 0; i < j->nleaves && j->status != DELIVERY_DEFERRED; i++)
		done_forget(j->d->l, j->d->queue_id, j->index, str_from(j->leaves[i].text));
}

static void
finish(struct job *j, enum delivery_status status)
{
	j->phase = JOB_DONE;
	j->status = status;
	j->news = true;
	leaves_forget(j);
	expand_clear(j);
	log_result(j);
	delivery_job_done(j->d);
}

void
job_end(struct job *j, enum delivery_status status, const char *code, const char *fmt, ...)
{
	char text[sizeof j->why.text];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	why_temp(&j->why, code, "%s", text);
	finish(j, status);
}

void
job_end_why(struct job *j, const struct why *why)
{
	bool bounced = why->class == WHY_PERM;

	job_end(j, bounced ? DELIVERY_BOUNCED : DELIVERY_DEFERRED,
	    why->code[0] != '\0' ? why->code
	    : bounced            ? "5.0.0"
				 : "4.0.0",
	    "%s", why->text);
}

/* --- the phases --- */

static void
on_child(void *arg, const char *queue_id, const struct why *why)
{
	struct job *j = arg;

	j->child = NULL;
	if (queue_id == NULL) {
		job_end_why(j, why);
		return;
	}
	(void)str_copy(j->child_id, sizeof j->child_id, str_from(queue_id)); /* of the same bound */
	j->phase = JOB_ACT;
	act_next(j);
}

/* With a list's own sender the DSN wishes of the author end here (RFC 3461 5.2.7.3). */
static void
child_begin(struct job *j)
{
	struct child_recipient *recipients = xcalloc(j->naddresses, sizeof *recipients);
	struct child_plan plan = {
	    .delivery = j->d,
	    .index = j->index,
	    .sender = j->sender != NULL ? j->sender : j->d->sender,
	    .delivered_to = j->address,
	    .recipients = recipients,
	    .n = j->naddresses,
	    .on_done = on_child,
	    .arg = j,
	};
	struct why why = {0};

	for (size_t i = 0; i < j->naddresses; i++)
		recipients[i] = (struct child_recipient){
		    .address = j->addresses[i],
		    .original = j->original[0] != '\0' ? j->original : j->address,
		    .orcpt = j->sender != NULL ? "" : j->orcpt,
		    .notify = j->sender != NULL ? NOTIFY_DEFAULT : j->notify,
		};
	j->phase = JOB_CHILD;
	j->acted = wall_us();
	j->child = child_start(&plan, &why);
	free(recipients);
	if (j->child == NULL)
		job_end_why(j, &why);
}

static void
act_end(struct job *j)
{
	struct why why = j->why;

	if (j->deferred)
		job_end(j, DELIVERY_DEFERRED, why.code, "%s", why.text);
	else if (j->bounced)
		job_end(j, DELIVERY_BOUNCED, why.code, "%s", why.text);
	else if (j->nleaves == 0)
		job_end(j, j->sender != NULL ? DELIVERY_SENT : DELIVERY_EXPANDED, "2.0.0",
		    "forwarded as %s", j->child_id);
	else if (why.text[0] == '\0') /* all leaves had been done at an earlier attempt */
		job_end(j, DELIVERY_SENT, "2.0.0", "delivered before");
	else
		job_end(j, DELIVERY_SENT, "2.0.0", "%s", why.text);
}

/* A probe goes no further: what would be done, by the first of it. */
static void
probe_end(struct job *j)
{
	const char *what = "forwards to other addresses";

	if (j->nleaves > 0 && j->leaves[0].kind == LEAF_MAILBOX)
		what = "delivers to mailbox";
	else if (j->nleaves > 0)
		what = j->leaves[0].kind == LEAF_FILE ? "delivers to file" : "delivers to command";
	job_end(j, DELIVERY_SENT, "2.0.0", "%s", what);
}

void
job_continue(struct job *j)
{
	if (j->phase == JOB_EXPAND && j->naddresses == 0 && j->nleaves == 0) {
		job_end(j, DELIVERY_BOUNCED, "5.4.6", "alias database loop for %s", j->address);
	} else if (j->phase == JOB_EXPAND && job_is_probe(j)) {
		probe_end(j);
	} else if (j->phase == JOB_EXPAND && j->naddresses > 0) {
		child_begin(j);
	} else if (j->phase == JOB_EXPAND) {
		j->phase = JOB_ACT;
		act_next(j);
	} else {
		act_end(j);
	}
}

/* --- the start --- */

/* The local part as a name: without quotes and case, its extension apart. */
static int
name_read(struct job *j)
{
	struct addr a;
	struct buf raw;
	struct why why;

	j->parts = address_split(str_from(j->address), j->d->l->conf->common.recipient_delimiter);
	if (addr_mailbox(&a, str_from(j->address), ADDR_UTF8 | ADDR_NO_DOMAIN, &why) == -1) {
		job_end(j, DELIVERY_BOUNCED, "5.1.3", "bad address: %s", why.text);
		return -1;
	}
	buf_init(&raw, sizeof a.text);
	if (addr_local_raw(&a, &raw) == -1 || memchr(buf_cstr(&raw), '\0', raw.n) != NULL ||
	    raw.n == 0) {
		buf_free(&raw);
		job_end(j, DELIVERY_BOUNCED, "5.1.3", "bad address");
		return -1;
	}
	struct address parts =
	    address_split(buf_view(&raw), j->d->l->conf->common.recipient_delimiter);
	struct address whole = {.user = parts.user, .extension = parts.extension};
	if (parts.domain.n > 0) /* an @ inside quotes: no extension in such a name */
		whole = (struct address){.user = buf_view(&raw), .extension = STR_EMPTY};
	j->name = str_dup(buf_view(&raw));
	j->user = str_dup(whole.user);
	j->extension = str_dup(whole.extension);
	for (char *p = j->user; *p != '\0'; p++)
		if (*p >= 'A' && *p <= 'Z')
			*p |= 0x20;
	buf_free(&raw);
	return 0;
}

static int
header_read(struct delivery *d, struct buf *header, struct why *why)
{
	size_t n =
	    d->header_size < HEADER_LOOKED_AT_MAX ? (size_t)d->header_size : HEADER_LOOKED_AT_MAX;
	char *room;

	if (n > d->size)
		n = (size_t)d->size;
	room = buf_room(header, n);
	if (room == NULL || delivery_read(d, 0, room, n, why) == -1)
		return -1;
	buf_grown(header, n);
	return 0;
}

/* RFC 5321 6.3: our own mark in the header says that this recipient has had the message. */
static bool
has_been_here(struct str header, const char *address)
{
	struct header_field f;
	size_t at = 0;

	while (header_next(header, &at, &f))
		if (str_caseis(f.name, "Delivered-To") &&
		    str_caseeq(str_trim(f.value), str_from(address)))
			return true;
	return false;
}

static void
job_start(struct job *j, struct str header)
{
	j->phase = JOB_EXPAND;
	if (has_been_here(header, j->address))
		job_end(j, DELIVERY_BOUNCED, "5.4.6", "mail forwarding loop for %s", j->address);
	else if (name_read(j) == 0)
		expand_start(j);
}

void
jobs_start(struct delivery *d)
{
	struct buf header;
	struct why why = {0};

	buf_init(&header, HEADER_LOOKED_AT_MAX);
	int rc = header_read(d, &header, &why);
	for (size_t i = 0; i < d->njobs; i++) {
		if (rc == -1)
			job_end_why(d->jobs[i], &why);
		else
			job_start(d->jobs[i], buf_view(&header));
	}
	buf_free(&header);
}
