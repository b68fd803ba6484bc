/* SPDX-License-Identifier: ISC */
/*
 * From work to worker and back. A result is applied when it comes and acknowledged when it is
 * recorded. A worker that dies leaves works without a result: they are tried again at once, but not
 * for ever, since it may be the message that kills it.
 */
#include "qmgr/delivery.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/clock.h"
#include "lib/base/map.h"
#include "lib/base/mem.h"
#include "lib/base/why.h"
#include "lib/log/log.h"
#include "lib/metrics/metrics.h"
#include "lib/queue/entry.h"
#include "lib/service/service.h"
#include "qmgr/content.h"
#include "qmgr/destination.h"
#include "qmgr/message.h"
#include "qmgr/notice.h"
#include "qmgr/probe.h"
#include "qmgr/record.h"

enum { CRASHES_MAX = 3 };

/* --- works --- */

struct work *
work_new(struct message *m, struct destination *d, int notice)
{
	struct work *w = xcalloc(1, sizeof *w);

	w->m = m;
	w->d = d;
	w->notice = notice;
	LIST_INSERT_HEAD(&m->works, w, of_message);
	return w;
}

void
work_add(struct work *w, uint32_t rcpt)
{
	if (w->n == w->size) {
		w->size = w->size == 0 ? 1 : w->size * 2;
		w->rcpts = xrealloc(w->rcpts, w->size * sizeof *w->rcpts);
	}
	w->rcpts[w->n++] = rcpt;
}

void
work_free(struct work *w)
{
	destination_dequeue(w);
	if (w->worker != NULL) {
		chan_forget(w->worker->ch, w->request);
		LIST_REMOVE(w, of_worker);
	}
	LIST_REMOVE(w, of_message);
	free(w->rcpts);
	free(w);
}

void
work_cancel_queued(struct message *m)
{
	struct work *w, *next;

	for (w = LIST_FIRST(&m->works); w != NULL; w = next) {
		next = LIST_NEXT(w, of_message);
		if (!w->queued)
			continue;
		if (w->notice != -1)
			m->pending--;
		for (size_t i = 0; i < w->n && w->notice == -1; i++) {
			m->run[w->rcpts[i]].phase = PHASE_IDLE;
			m->pending--;
		}
		work_free(w);
	}
}

void
work_cancel_rcpt(struct message *m, uint32_t rcpt)
{
	struct work *w;

	LIST_FOREACH (w, &m->works, of_message) {
		for (size_t i = 0; i < w->n && w->queued && w->notice == -1; i++) {
			if (w->rcpts[i] != rcpt)
				continue;
			w->rcpts[i] = w->rcpts[--w->n];
			if (w->n == 0)
				work_free(w);
			return;
		}
	}
}

/* --- log and counters --- */

static const char *
status_word(const struct message *m, uint64_t status)
{
	if (probe_is(m))
		return status == DELIVERY_SENT ? "deliverable" : "undeliverable";
	switch (status) {
	case DELIVERY_BOUNCED:
		return "bounced";
	case DELIVERY_DEFERRED:
		return "deferred";
	}
	return "sent";
}

/* Seconds as Postfix writes them: two digits, nothing finer than 0.01. */
static const char *
seconds(char *out, size_t size, double s)
{
	if (s < 0.005)
		snprintf(out, size, "0");
	else if (s < 10)
		snprintf(out, size, "%.2g", s);
	else
		snprintf(out, size, "%.0f", s);
	return out;
}

void
delivery_log_own(const struct message *m, size_t index, const struct entry *e)
{
	const struct envelope_rcpt *rcpt = &m->st.env.rcpts[index];
	char delay[32], waited[32], tried[32], delays[80];
	double before = (double)((int64_t)m->active - (int64_t)m->st.head.arrived) / 1e6;
	double since = (double)(wall_us() - (int64_t)m->active) / 1e6;

	seconds(delay, sizeof delay, before + since);
	snprintf(delays, sizeof delays, "%s/%s/0/0", seconds(waited, sizeof waited, before),
	    seconds(tried, sizeof tried, since));
	struct ev_delivery ev = {
	    .queue_id = str_from(m->st.head.id),
	    .to = rcpt->address,
	    .orig_to = rcpt->original,
	    .relay = STR("none"),
	    .delay = str_from(delay),
	    .delays = str_from(delays),
	    .dsn = e->code,
	    .status = str_from(status_word(m, e->status)),
	    .text = e->text,
	};
	log_event(m->st.env.trace, EV_DELIVERY, &ev);
	delivery_count(m, e->status);
}

/* limiter learns whose mail bounces: much of it is a sign of a stolen password. */
static void
tell_limiter(const struct message *m)
{
	struct chan *limiter = service_peer(m->q->service, PROGRAM_LIMITER, 0);
	struct msg_usage_failed msg = {.login = m->st.env.login, .count = 1};

	if (limiter != NULL && msg.login.n > 0 &&
	    chan_send(limiter, 0, m->st.env.trace, MSG_USAGE_FAILED, &msg) == -1)
		log_warning("limiter takes no more: a failed recipient is not counted");
}

void
delivery_count(const struct message *m, uint64_t status)
{
	if (probe_is(m))
		return;
	switch (status) {
	case DELIVERY_DEFERRED:
		metric_add(METRIC_DEFERRED, 1);
		break;
	case DELIVERY_BOUNCED:
		metric_add(METRIC_BOUNCED, 1);
		tell_limiter(m);
		break;
	case DELIVERY_SENT:
	case DELIVERY_RELAYED:
	case DELIVERY_EXPANDED:
		metric_add(METRIC_SENT, 1);
		metric_time(METRIC_DELIVERY_TIME, wall_us() - (int64_t)m->st.head.arrived);
		break;
	}
}

/* --- results of our own --- */

/* The same result for all recipients of a work that are not back. */
static void
result_for_rest(struct work *w, uint64_t status, struct str code, struct str text, bool log)
{
	struct message *m = w->m;

	for (size_t i = 0; i < w->n; i++) {
		size_t index = w->rcpts[i];
		if (m->run[index].phase != PHASE_RUNNING && m->run[index].phase != PHASE_QUEUED)
			continue;
		struct entry e = {.index = index, .status = status, .code = code, .text = text};
		if (log)
			delivery_log_own(m, index, &e);
		else
			delivery_count(m, status);
		message_result(m, &e);
	}
}

void
delivery_put_off(struct work *w, const char *code, const char *reason)
{
	struct message *m = w->m;
	char text[MSG_TEXT_MAX];

	snprintf(text, sizeof text, "delivery temporarily suspended: %s", reason);
	if (w->notice != -1)
		notice_over(w, false);
	else
		result_for_rest(w, DELIVERY_DEFERRED, str_from(*code != '\0' ? code : "4.4.1"),
		    str_from(text), true);
	work_free(w);
	message_check(m);
}

/* "5.1.1 text": the enhanced code may be left out. */
static struct str
split_code(struct str *text, const char *otherwise)
{
	struct str rest = *text, word;

	if (str_word(&rest, " ", &word) && word.n >= 5 && word.n <= MSG_CODE_MAX &&
	    word.p[1] == '.' && (word.p[0] == '2' || word.p[0] == '4' || word.p[0] == '5')) {
		*text = str_trim(rest);
		return word;
	}
	return str_from(otherwise);
}

static const struct own {
	const char *transport, *code, *text;
	uint64_t status;
} own[] = {
    {"error",   "5.0.0", "mail is not accepted", DELIVERY_BOUNCED },
    {"retry",   "4.0.0", "delivery is put off",  DELIVERY_DEFERRED},
    {"discard", "2.0.0", "discarded",            DELIVERY_SENT    },
};

/* The class of the code is that of the result, whatever a table says. */
static bool
fits(struct str code, uint64_t status)
{
	char class = status == DELIVERY_BOUNCED ? '5' : status == DELIVERY_DEFERRED ? '4' : '2';

	return code.n > 0 && code.p[0] == class;
}

static void
do_ourselves(struct work *w)
{
	struct qmgr *q = w->m->q;
	struct message *m = w->m;
	struct destination *d = w->d;
	const struct own *row = NULL;
	struct str text = str_from(d->nexthop), code;

	for (size_t i = 0; i < NELEM(own); i++)
		if (strcmp(d->transport, own[i].transport) == 0)
			row = &own[i];
	if (row != NULL) {
		code = split_code(&text, row->code);
		if (!fits(code, row->status))
			code = str_from(row->code);
		result_for_rest(
		    w, row->status, code, text.n != 0 ? text : str_from(row->text), true);
	} else
		result_for_rest(
		    w, DELIVERY_DEFERRED, STR("4.3.5"), STR("mail transport unavailable"), true);
	work_free(w);
	q->running--;
	destination_feedback(q, d, true, STR_EMPTY, STR_EMPTY);
	message_check(m);
}

/* --- to a worker and back --- */

/* Takes the work off its worker; the destination's count is the caller's. */
static void
detach(struct work *w)
{
	chan_forget(w->worker->ch, w->request);
	LIST_REMOVE(w, of_worker);
	w->worker = NULL;
	w->m->q->running--;
}

static void
finish(struct work *w, bool reached, struct str code, struct str text)
{
	struct message *m = w->m;
	struct qmgr *q = m->q;
	struct destination *d = w->d;

	acks_add(&m->acks, w->worker->serial, w->request, m->st.head.id);
	detach(w);
	if (w->notice != -1) {
		bool done = code.n == 0 || code.p[0] == '2';
		if (!done)
			log_warning("%s: notification put off: %.*s", m->st.head.id, STR_ARG(text));
		notice_over(w, done);
		reached = true;
	} else
		result_for_rest(w, DELIVERY_DEFERRED,
		    code.n != 0 && code.p[0] == '4' ? code : STR("4.3.0"),
		    text.n != 0 ? text : STR("delivery was interrupted"), false);
	work_free(w);
	/* Where nothing can ever be reached (no such domain, null MX) there is nothing to wait for:
	 * each message gets its answer. */
	destination_feedback(q, d, reached || (code.n != 0 && code.p[0] == '5'), code, text);
	message_check(m);
}

/* Its worker died. */
static void
lost(struct work *w)
{
	struct message *m = w->m;
	struct qmgr *q = m->q;
	struct destination *d = w->d;

	detach(w);
	if (++m->crashes < CRASHES_MAX && !q->finished) {
		size_t kept = 0;
		for (size_t i = 0; i < w->n; i++)
			if (w->notice != -1 || m->run[w->rcpts[i]].phase == PHASE_RUNNING) {
				if (w->notice == -1)
					m->run[w->rcpts[i]].phase = PHASE_QUEUED;
				w->rcpts[kept++] = w->rcpts[i];
			}
		w->n = kept;
		if (kept > 0) {
			d->running--;
			destination_enqueue(w);
			message_check(m);
			return;
		}
	}
	if (w->notice != -1)
		notice_over(w, false);
	else
		result_for_rest(
		    w, DELIVERY_DEFERRED, STR("4.3.0"), STR("the delivery agent died"), true);
	work_free(w);
	destination_feedback(q, d, true, STR_EMPTY, STR_EMPTY);
	message_check(m);
}

static bool
takes(const struct work *w, uint64_t index)
{
	for (size_t i = 0; i < w->n && w->notice == -1; i++)
		if (w->rcpts[i] == index)
			return w->m->run[index].phase == PHASE_RUNNING;
	return false;
}

static void
result(struct work *w, const struct msg_deliver_result *r)
{
	struct message *m = w->m;

	if (!takes(w, r->index) || !str_is(r->queue_id, m->st.head.id) ||
	    r->status > DELIVERY_BOUNCED) {
		chan_fail(w->worker->ch, "a result that was not asked for");
		return;
	}
	/* Not tried: the end of the delivery says why. */
	if (r->status == DELIVERY_NONE)
		return;
	struct entry e = {
	    .index = r->index,
	    .status = r->status,
	    .smtp = r->smtp,
	    .code = r->code,
	    .text = r->text,
	    .relay = r->relay,
	    .mta = r->mta,
	};
	message_result(m, &e);
	delivery_count(m, r->status);
}

static void
on_reply(void *arg, const struct chan_head *head, union msg_any *msg)
{
	struct work *w = arg;

	if (msg == NULL) {
		lost(w);
		return;
	}
	if (head->type == MSG_DELIVER_RESULT)
		result(w, &msg->deliver_result);
	else if (head->type == MSG_DELIVER_END)
		finish(w, msg->deliver_end.reached, msg->deliver_end.code, msg->deliver_end.text);
	else if (head->type == MSG_REFUSED)
		finish(w, true, msg->refused.code, msg->refused.text);
	else
		chan_fail(w->worker->ch, "no answer to a delivery");
}

static void
on_room(void *arg)
{
	struct worker *worker = arg;

	worker->watched = false;
	destination_pump(worker->q);
}

struct worker *
delivery_worker(struct qmgr *q, enum program p, struct str nexthop)
{
	struct worker *w;
	size_t n = 0;

	LIST_FOREACH (w, &q->workers, link)
		n += w->program == p && w->reported;
	if (n == 0)
		return NULL;
	size_t pick = map_hash(nexthop) % n;
	LIST_FOREACH (w, &q->workers, link)
		if (w->program == p && w->reported && pick-- == 0)
			break;
	if (w == NULL || !chan_busy(w->ch))
		return w;
	if (!w->watched) {
		w->watched = true;
		chan_on_idle(w->ch, on_room, w);
	}
	return NULL;
}

static int
send_rcpt(const struct work *w, size_t index, struct chan *ch, uint32_t request)
{
	const struct envelope_rcpt *rcpt = &w->m->st.env.rcpts[index];
	struct msg_deliver_rcpt msg = {
	    .index = index,
	    .address = rcpt->address,
	    .original = rcpt->original,
	    .orcpt = rcpt->orcpt,
	    .notify = rcpt->notify,
	    .class = rcpt->class,
	};

	return chan_send(ch, request, w->m->st.env.trace, MSG_DELIVER_RCPT, &msg);
}

static int
send_notice_rcpt(const struct work *w, size_t index, struct chan *ch, uint32_t request)
{
	const struct message *m = w->m;
	const struct envelope_rcpt *rcpt = &m->st.env.rcpts[index];
	const struct state_rcpt *state = &m->st.rcpts[index];
	int64_t lifetime = m->st.env.sender.n == 0 ? m->q->conf->bounce_queue_lifetime
						   : m->q->conf->maximal_queue_lifetime;
	struct msg_bounce_rcpt msg = {
	    .index = index,
	    .address = rcpt->address,
	    .original = rcpt->original,
	    .orcpt = rcpt->orcpt,
	    .notify = rcpt->notify,
	    .action = (uint64_t)w->notice,
	    .smtp = state->smtp,
	    .code = str_from(state->code),
	    .text = str_sub(str_from(state->text), 0, MSG_TEXT_MAX),
	    .mta = str_from(state->mta),
	    .tried = state->when,
	    .until = w->notice == DSN_DELAYED ? m->st.head.arrived + (uint64_t)lifetime * 1000 : 0,
	};

	return chan_send(ch, request, m->st.env.trace, MSG_BOUNCE_RCPT, &msg);
}

static int
send_head(const struct work *w, struct chan *ch, uint32_t request, const struct content *content)
{
	const struct message *m = w->m;
	const struct envelope *env = &m->st.env;
	struct msg_deliver msg = {
	    .queue_id = str_from(m->st.head.id),
	    .sender = env->sender,
	    .transport = str_from(w->d->transport),
	    .nexthop = str_from(w->d->nexthop),
	    .flags = env->flags,
	    .facts = env->facts,
	    .size = content->size,
	    .offset = content->offset,
	    .header_size = env->header_size,
	    .longest_line = env->longest_line,
	    .arrived = m->st.head.arrived,
	    .active = m->active,
	    .attempt = m->st.attempts + 1,
	    .envid = env->envid,
	    .ret = env->ret,
	    .recipients = w->n,
	    .client_addr = env->client_addr,
	    .client_port = env->client_port,
	    .client_name = env->client_name,
	    .helo = env->helo,
	    .proto = env->proto,
	    .login = env->login,
	    .content = content->fd,
	};

	return chan_send(ch, request, env->trace, MSG_DELIVER, &msg);
}

static int
send_all(const struct work *w, struct chan *ch, uint32_t request, const struct content *content)
{
	uint64_t trace = w->m->st.env.trace;
	struct msg_deliver_go go = {0};

	if (send_head(w, ch, request, content) == -1)
		return -1;
	for (size_t i = 0; i < w->n; i++)
		if ((w->notice == -1 ? send_rcpt : send_notice_rcpt)(w, w->rcpts[i], ch, request) ==
		    -1)
			return -1;
	for (struct str rest = content->bytes; content->fd == -1 && rest.n > 0;
	     rest = str_from_at(rest, MSG_CHUNK_MAX)) {
		struct msg_deliver_data data = {.bytes = str_sub(rest, 0, MSG_CHUNK_MAX)};
		if (chan_send(ch, request, trace, MSG_DELIVER_DATA, &data) == -1)
			return -1;
	}
	return chan_send(ch, request, trace, MSG_DELIVER_GO, &go);
}

/* Its content cannot be read: put off; a person has to look. */
static void
unreadable(struct work *w, const struct why *why)
{
	struct message *m = w->m;
	struct qmgr *q = m->q;
	struct destination *d = w->d;

	log_error("%s: %s", m->st.head.id, why->text);
	if (w->notice != -1)
		notice_over(w, false);
	else
		result_for_rest(w, DELIVERY_DEFERRED, STR("4.3.0"), str_from(why->text), true);
	work_free(w);
	q->running--;
	destination_feedback(q, d, true, STR_EMPTY, STR_EMPTY);
	message_check(m);
}

bool
delivery_start(struct work *w)
{
	struct message *m = w->m;
	enum program p = destination_program(str_from(w->d->transport));
	struct content content;
	struct why why = {0};

	if (p == PROGRAM_NONE) {
		do_ourselves(w);
		return true;
	}
	struct worker *worker = delivery_worker(m->q, p, str_from(w->d->nexthop));
	if (worker == NULL)
		return false;
	if (content_open(m, &content, &why) == -1) {
		unreadable(w, &why);
		return true;
	}
	uint32_t request = chan_open(worker->ch, on_reply, w);
	int rc = send_all(w, worker->ch, request, &content);
	content_close(&content);
	if (rc == -1) {
		/* The channel is at its end; what it got of this will never be begun without
		 * DELIVER_GO. */
		chan_forget(worker->ch, request);
		chan_fail(worker->ch, "it takes no more work");
		worker->reported = false;
		return false;
	}
	w->worker = worker;
	w->request = request;
	LIST_INSERT_HEAD(&worker->works, w, of_worker);
	for (size_t i = 0; i < w->n && w->notice == -1; i++)
		m->run[w->rcpts[i]].phase = PHASE_RUNNING;
	return true;
}
