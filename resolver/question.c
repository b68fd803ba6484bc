/* SPDX-License-Identifier: ISC */
/*
 * A question's life: its name is checked; hosts may know the answer; else libunbound is asked, and
 * a timer runs. Whichever comes first, answer or timer, ends it, once. Every question is answered:
 * where DNS cannot be asked, with DNS_FAILED at once.
 */
#include "resolver/question.h"

#include <event2/event.h>
#include <stdlib.h>
#include <string.h>
#include <unbound-event.h>
#include <unbound.h>

#include "lib/base/clock.h"
#include "lib/base/mem.h"
#include "lib/base/panic.h"
#include "lib/base/why.h"
#include "lib/metrics/metrics.h"
#include "lib/service/service.h"
#include "resolver/answer.h"
#include "resolver/hosts.h"

enum { NAME_MAX_BYTES = 253, LABEL_MAX = 63, SECURE = 2, BOGUS = 1, CLASS_IN = 1 };

struct question {
	struct resolver *r;
	struct chan *ch;
	struct chan_head head;
	char name[NAME_MAX_BYTES + 1];
	uint16_t type;
	struct upstream *up;
	int id;      /* libunbound's */
	bool asking; /* ub_resolve_event() has not returned yet */
	bool done;   /* answered while asking */
	struct event *timer;
	TAILQ_ENTRY(question) link;
};

static void
reply(struct chan *ch, const struct chan_head *head, enum dns_status status, const char *name,
    uint32_t ttl, bool secure, const char *text)
{
	struct msg_dns_answer msg = {
	    .status = status,
	    .secure = secure,
	    .name = strlen(name) <= MSG_NAME_MAX ? str_from(name) : STR_EMPTY,
	    .ttl = ttl,
	    .text = str_sub(str_from(text), 0, MSG_TEXT_MAX),
	};

	chan_reply(ch, head, MSG_DNS_ANSWER, &msg);
}

static void
reply_record(struct chan *ch, const struct chan_head *head, uint16_t type, uint16_t preference,
    struct str data)
{
	struct msg_dns_record msg = {.type = type, .preference = preference, .data = data};

	chan_reply(ch, head, MSG_DNS_RECORD, &msg);
}

static void
question_free(struct question **qp)
{
	struct question *q = *qp;

	TAILQ_REMOVE(&q->r->questions, q, link);
	q->r->in_flight--;
	q->up->in_flight--;
	loop_defer(&q->r->s->loop, &q->r->sweep);
	event_free(q->timer);
	free(q);
	*qp = NULL;
}

static void
question_end(struct question *q)
{
	if (q->asking)
		q->done = true;
	else
		question_free(&q);
}

/* DNS did not tell. A name that hosts knows exists all the same, without the records that hosts
 * cannot hold. */
static void
question_fail(struct question *q, const char *text)
{
	bool known = hosts_find(q->r->hosts, str_from(q->name)) != NULL;

	reply(q->ch, &q->head, known ? DNS_NODATA : DNS_FAILED, q->name, 0, false, text);
	question_end(q);
}

static void
answer_send(struct question *q, const struct answer *a, bool secure)
{
	for (size_t i = 0; i < a->n; i++)
		reply_record(q->ch, &q->head, a->records[i].type, a->records[i].preference,
		    answer_data(a, i));
	reply(q->ch, &q->head, a->status, a->name, a->ttl, secure, "");
}

static void
on_answer(
    void *arg, int rcode, void *packet, int size, int secure, char *bogus, KP_UNUSED int limited)
{
	struct question *q = arg;
	struct answer a;
	struct why why = {0};

	if (secure == BOGUS) {
		question_fail(
		    q, bogus != NULL ? bogus : "the answer's DNSSEC signatures do not hold");
		return;
	}
	if (rcode != 0 || packet == NULL || size <= 0) {
		question_fail(q, "no DNS server could answer");
		return;
	}
	answer_init(&a);
	if (answer_parse(&a, str_make(packet, (size_t)size), q->type, &why) == -1) {
		question_fail(q, why.text);
	} else {
		answer_send(q, &a, secure == SECURE);
		question_end(q);
	}
	answer_clear(&a);
}

static void
on_timeout(KP_UNUSED evutil_socket_t fd, KP_UNUSED short what, void *arg)
{
	struct question *q = arg;

	ub_cancel(q->up->ctx, q->id);
	question_fail(q, "no answer from DNS in time");
}

static void
question_start(struct resolver *r, struct chan *ch, const struct chan_head *head, const char *name,
    uint16_t type)
{
	struct question *q = xcalloc(1, sizeof *q);
	struct timeval limit = clock_tv(r->conf->dns_timeout);

	*q = (struct question){
	    .r = r, .ch = ch, .head = *head, .type = type, .up = r->upstream, .asking = true};
	memcpy(q->name, name, strlen(name) + 1);
	q->timer = evtimer_new(r->s->loop.base, on_timeout, q);
	if (q->timer == NULL || evtimer_add(q->timer, &limit) == -1)
		fatal("no timer");
	TAILQ_INSERT_TAIL(&r->questions, q, link);
	r->in_flight++;
	q->up->in_flight++;
	int rc = ub_resolve_event(q->up->ctx, name, type, CLASS_IN, q, on_answer, &q->id);
	q->asking = false;
	if (rc != 0)
		question_fail(q, ub_strerror(rc));
	else if (q->done)
		question_free(&q);
}

/* Addresses that hosts has for the name. */
static bool
hosts_answer(const struct resolver *r, struct chan *ch, const struct chan_head *head,
    const char *name, uint16_t type)
{
	const struct host *host = hosts_find(r->hosts, str_from(name));
	int family = type == DNS_A ? AF_INET : AF_INET6;
	size_t n = 0;

	if (host == NULL || (type != DNS_A && type != DNS_AAAA))
		return false;
	for (size_t i = 0; i < host->n; i++) {
		const struct host_address *a = &host->addresses[i];
		if (a->family != family)
			continue;
		reply_record(ch, head, type, 0,
		    str_make((const char *)a->bytes, family == AF_INET ? 4 : 16));
		n++;
	}
	reply(ch, head, n > 0 ? DNS_OK : DNS_NODATA, name, 0, false, "");
	return true;
}

/* What is answered here: hosts, the reverse of hosts, and everything about localhost (RFC
 * 6761 6.3). */
static bool
local_answer(const struct resolver *r, struct chan *ch, const struct chan_head *head,
    const char *name, uint16_t type)
{
	struct str text = str_from(name);
	const char *reverse = type == DNS_PTR ? hosts_reverse(r->hosts, text) : NULL;

	if (reverse != NULL) {
		reply_record(ch, head, DNS_PTR, 0, str_from(reverse));
		reply(ch, head, DNS_OK, name, 0, false, "");
		return true;
	}
	if (hosts_answer(r, ch, head, name, type))
		return true;
	if (!str_is(text, "localhost") && !str_ends(text, STR(".localhost")))
		return false;
	reply(ch, head, DNS_NODATA, name, 0, false, "");
	return true;
}

/* Lower case, no final dot, labels of a legal length; for PTR an address may stand for its reverse
 * name. */
static bool
name_read(struct str in, uint16_t type, char out[static NAME_MAX_BYTES + 1])
{
	size_t label = 0;

	if (type == DNS_PTR && hosts_arpa(in, out))
		return true;
	if (in.n > 0 && in.p[in.n - 1] == '.')
		in.n--;
	if (in.n == 0 || in.n > NAME_MAX_BYTES)
		return false;
	for (size_t i = 0; i < in.n; i++) {
		unsigned char b = (unsigned char)in.p[i];
		if (b <= ' ' || b >= 0x7f || b == '\\')
			return false;
		label = b == '.' ? 0 : label + 1;
		if (label > LABEL_MAX || (b == '.' && (i == 0 || in.p[i - 1] == '.')))
			return false;
		out[i] = b >= 'A' && b <= 'Z' ? (char)(b | 0x20) : (char)b;
	}
	out[in.n] = '\0';
	return true;
}

static bool
type_is_known(uint64_t type)
{
	static const uint16_t known[] = {
	    DNS_A, DNS_NS, DNS_CNAME, DNS_PTR, DNS_MX, DNS_TXT, DNS_AAAA, DNS_TLSA};

	for (size_t i = 0; i < NELEM(known); i++)
		if (known[i] == type)
			return true;
	return false;
}

static void
on_query(struct chan *ch, const struct chan_head *head, union msg_any *msg)
{
	struct service *s = chan_owner(ch);
	struct resolver *r = s->state;
	char name[NAME_MAX_BYTES + 1];
	uint16_t type = (uint16_t)msg->dns_query.type;

	metric_add(METRIC_DNS_QUERIES, 1);
	service_worked(s);
	if (!type_is_known(msg->dns_query.type))
		reply(ch, head, DNS_FAILED, "", 0, false, "this record type is not served");
	else if (!name_read(msg->dns_query.name, type, name))
		reply(
		    ch, head, DNS_NXDOMAIN, "", 0, false, "this is not a name that DNS could have");
	else if (local_answer(r, ch, head, name, type))
		return;
	else if (r->upstream->ctx == NULL)
		reply(ch, head,
		    hosts_find(r->hosts, str_from(name)) != NULL ? DNS_NODATA : DNS_FAILED, name, 0,
		    false, "no DNS server is configured");
	else if (r->in_flight >= (size_t)r->conf->dns_queries_max)
		reply(ch, head, DNS_FAILED, name, 0, false, "too many DNS questions are under way");
	else
		question_start(r, ch, head, name, type);
}

void
questions_drop(struct resolver *r, const struct chan *ch)
{
	struct question *q, *next;

	for (q = TAILQ_FIRST(&r->questions); q != NULL; q = next) {
		next = TAILQ_NEXT(q, link);
		if (q->ch != ch)
			continue;
		ub_cancel(q->up->ctx, q->id);
		question_free(&q);
	}
}

const struct chan_rule question_rules[] = {
    {MSG_DNS_QUERY, on_query},
    {MSG_NONE,      NULL    },
};
