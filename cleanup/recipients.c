/* SPDX-License-Identifier: ISC */
/*
 * Recipients come with their route from smtpd, or without (local submissions, children): then
 * router is asked. Where virtual aliases apply, router says what the recipient stands for in the
 * end. Invariant: `questions` counts what router owes us; the message waits for it, and "could not
 * tell" puts the whole message off.
 */
#include "cleanup/recipients.h"

#include <stdlib.h>
#include <string.h>

#include "cleanup/cleanup.h"
#include "cleanup/transaction.h"
#include "lib/base/map.h"
#include "lib/base/mem.h"
#include "lib/base/panic.h"
#include "lib/base/why.h"

enum { SEEN_FROM = 8 }; /* a map pays from so many recipients on */

/* A question about one recipient. */
struct question {
	struct transaction *t;
	struct chan *router;
	uint32_t id;
	struct msg_mail_rcpt rcpt; /* its texts are in `text` */
	struct buf text;
	uint64_t expanded; /* addresses so far */
	size_t place;
	LIST_ENTRY(question) link;
};

static size_t
keep(struct transaction *t, struct str s)
{
	size_t at = t->text.n;

	/* Bounds of the messages and message_recipient_limit keep this far below the buffer's max.
	 */
	if (buf_str(&t->text, s) == -1 || buf_byte(&t->text, '\0') == -1)
		fatal("envelope too large");
	return at;
}

static bool
repeated(struct transaction *t, struct str address)
{
	if (t->seen != NULL)
		return map_get(t->seen, address) != NULL;
	for (size_t i = 0; i < t->nrcpts; i++)
		if (str_is(address, tx_text(t, t->rcpts[i].address)))
			return true;
	return false;
}

static void
remember(struct transaction *t, struct str address)
{
	if (t->seen == NULL && t->nrcpts >= SEEN_FROM) {
		t->seen = map_new();
		for (size_t i = 0; i < t->nrcpts; i++)
			map_put(t->seen, str_from(tx_text(t, t->rcpts[i].address)), t);
	} else if (t->seen != NULL)
		map_put(t->seen, address, t);
}

/* A recipient whose route is known. A repeated address is dropped: the first one's DSN parameters
 * count. */
static int
store(struct transaction *t, const struct msg_mail_rcpt *m, size_t place, struct why *why)
{
	if (repeated(t, m->address))
		return 0;
	if (t->nrcpts >= (size_t)t->c->conf->message_recipient_limit)
		return why_temp(why, "4.5.3", "too many recipients");
	if (t->nrcpts == t->rcpts_size) {
		t->rcpts_size = t->rcpts_size == 0 ? 1 : t->rcpts_size * 2;
		t->rcpts = xrealloc(t->rcpts, t->rcpts_size * sizeof *t->rcpts);
	}
	t->rcpts[t->nrcpts++] = (struct recipient){
	    .address = keep(t, m->address),
	    .original = keep(t, str_eq(m->original, m->address) ? STR_EMPTY : m->original),
	    .orcpt = keep(t, m->orcpt),
	    .transport = keep(t, m->transport),
	    .nexthop = keep(t, m->nexthop),
	    .notify = m->notify,
	    .class = m->class,
	    .generation = m->generation,
	    .place = place,
	};
	remember(t, m->address);
	return 0;
}

static struct str
copy(struct buf *b, struct str s)
{
	size_t at = b->n;

	if (buf_str(b, s) == -1)
		fatal("recipient too large");
	return str_make(b->p + at, s.n);
}

static struct question *
question_new(struct transaction *t, const struct msg_mail_rcpt *m, size_t place)
{
	struct question *q = xcalloc(1, sizeof *q);

	q->t = t;
	q->rcpt = *m;
	q->place = place;
	/* One allocation, made before anything points into it. */
	size_t n = m->address.n + m->original.n + m->orcpt.n + m->transport.n + m->nexthop.n;
	buf_init(&q->text, n);
	if (buf_room(&q->text, n) == NULL)
		fatal("recipient too large");
	q->rcpt.address = copy(&q->text, m->address);
	q->rcpt.original = copy(&q->text, m->original);
	q->rcpt.orcpt = copy(&q->text, m->orcpt);
	q->rcpt.transport = copy(&q->text, m->transport);
	q->rcpt.nexthop = copy(&q->text, m->nexthop);
	LIST_INSERT_HEAD(&t->open_questions, q, link);
	t->questions++;
	return q;
}

static void
question_free(struct question *q)
{
	if (q->router != NULL)
		chan_forget(q->router, q->id);
	LIST_REMOVE(q, link);
	q->t->questions--;
	buf_free(&q->text);
	free(q);
}

static void
give_up(struct question *q, const char *text)
{
	struct transaction *t = q->t;
	struct why why;

	why_temp(&why, "4.3.0", "%s", text);
	transaction_refuse(t, &why);
}

static void on_expanded(void *arg, const struct chan_head *head, union msg_any *msg);

static int
ask_expand(struct question *q, struct why *why)
{
	struct msg_expand ask = {.address = q->rcpt.address};

	q->router = service_peer(q->t->c->service, PROGRAM_ROUTER, map_hash(q->rcpt.address));
	if (q->router != NULL)
		q->id = chan_call(q->router, q->t->head.trace, MSG_EXPAND, &ask, on_expanded, q);
	if (q->router == NULL || q->id == 0)
		return why_temp(why, "4.3.0", "address routing is not available");
	return 0;
}

/* One more of the addresses that an alias stands for. */
static int
add_expanded(struct question *q, const struct msg_expanded *m, struct why *why)
{
	struct msg_mail_rcpt rcpt = {
	    .address = m->address,
	    .original = q->rcpt.original.n != 0 ? q->rcpt.original : q->rcpt.address,
	    .orcpt = q->rcpt.orcpt,
	    .notify = q->rcpt.notify,
	    .class = m->class,
	    .transport = m->transport,
	    .nexthop = m->nexthop,
	    .generation = m->generation,
	};

	if (++q->expanded > (uint64_t)q->t->c->conf->virtual_alias_expansion_limit)
		return why_temp(why, "4.6.0", "alias expansion of <%.*s> is too large",
		    STR_ARG(q->rcpt.address));
	return m->address.n == 0 || str_has_control(m->address)
		   ? why_temp(why, "4.3.5", "malformed address in an alias")
		   : store(q->t, &rcpt, q->place, why);
}

static void
answered(struct question *q)
{
	struct transaction *t = q->t;

	question_free(q);
	transaction_proceed(t);
}

static void
on_expanded(void *arg, const struct chan_head *head, union msg_any *msg)
{
	struct question *q = arg;
	struct transaction *t = q->t;
	struct why why;

	if (msg == NULL) {
		q->router = NULL;
		give_up(q, "address routing was interrupted");
		return;
	}
	if (head->type == MSG_EXPANDED) {
		if (add_expanded(q, &msg->expanded, &why) == -1)
			transaction_refuse(t, &why);
		return;
	}
	q->router = NULL;
	if (head->type == MSG_REFUSED) {
		why_from_msg(&why, &msg->refused);
		transaction_refuse(t, &why);
	} else if (head->type != MSG_DONE || q->expanded == 0)
		give_up(q, "router gave no answer to an alias");
	else
		answered(q);
}

/* The route as router gives it. An unknown recipient keeps the route that it got: it leads to the
 * error transport. */
static int
take_route(struct question *q, const struct msg_route *m, struct why *why)
{
	struct msg_mail_rcpt rcpt = q->rcpt;

	rcpt.original = q->rcpt.original.n != 0 ? q->rcpt.original : q->rcpt.address;
	rcpt.address = m->address.n != 0 ? m->address : q->rcpt.address;
	rcpt.class = m->class;
	rcpt.transport = m->transport;
	rcpt.nexthop = m->nexthop;
	rcpt.generation = m->generation;
	if (!m->expand || m->verdict != ROUTE_OK || (q->t->env.flags & MAIL_NO_MAPPINGS) != 0)
		return store(q->t, &rcpt, q->place, why);
	return ask_expand(question_new(q->t, &rcpt, q->place), why);
}

static void
on_route(void *arg, const struct chan_head *head, union msg_any *msg)
{
	struct question *q = arg;
	struct why why;

	q->router = NULL;
	if (msg == NULL)
		give_up(q, "address routing was interrupted");
	else if (head->type == MSG_REFUSED) {
		why_from_msg(&why, &msg->refused);
		transaction_refuse(q->t, &why);
	} else if (head->type != MSG_ROUTE)
		give_up(q, "router gave no route");
	else if (take_route(q, &msg->route, &why) == -1)
		transaction_refuse(q->t, &why);
	else
		answered(q);
}

static int
ask_route(struct question *q, struct why *why)
{
	struct msg_resolve ask = {
	    .address = q->rcpt.address, .sender = str_from(tx_text(q->t, q->t->sender))};

	q->router = service_peer(q->t->c->service, PROGRAM_ROUTER, map_hash(q->rcpt.address));
	if (q->router != NULL)
		q->id = chan_call(q->router, q->t->head.trace, MSG_RESOLVE, &ask, on_route, q);
	if (q->router == NULL || q->id == 0)
		return why_temp(why, "4.3.0", "address routing is not available");
	return 0;
}

int
recipients_add(struct transaction *t, const struct msg_mail_rcpt *m, struct why *why)
{
	if (m->address.n == 0)
		return why_perm(why, "5.1.3", "empty recipient");
	if (str_has_control(m->address) || str_has_control(m->original) ||
	    str_has_control(m->orcpt) || str_has_control(m->transport) ||
	    str_has_control(m->nexthop))
		return why_perm(why, "5.1.3", "control character in a recipient's address");
	if (t->nrcpts + t->questions >= (size_t)t->c->conf->message_recipient_limit)
		return why_temp(why, "4.5.3", "too many recipients");
	size_t place = t->places++;
	if (m->generation == 0)
		return ask_route(question_new(t, m, place), why);
	if (m->expand && (t->env.flags & MAIL_NO_MAPPINGS) == 0)
		return ask_expand(question_new(t, m, place), why);
	return store(t, m, place, why);
}

struct str
recipients_shown(const struct transaction *t)
{
	const struct question *q = LIST_FIRST(&t->open_questions);

	if (t->nrcpts > 0)
		return str_from(tx_text(t, t->rcpts[t->nrcpts - 1].address));
	return q != NULL ? q->rcpt.address : STR_EMPTY;
}

void
recipients_delete_all(struct transaction *t)
{
	t->nrcpts = 0;
	map_free(&t->seen, NULL);
}

void
recipients_delete(struct transaction *t, struct str address)
{
	size_t left = 0;

	for (size_t i = 0; i < t->nrcpts; i++) {
		struct str a = str_from(tx_text(t, t->rcpts[i].address)),
			   original = str_from(tx_text(t, t->rcpts[i].original));
		if (!str_caseeq(a, address) && !(original.n > 0 && str_caseeq(original, address)))
			t->rcpts[left++] = t->rcpts[i];
	}
	t->nrcpts = left;
	map_free(&t->seen, NULL); /* made again where it is needed */
}

/* By place; of one place as they came, which is how their texts lie. */
static int
compare(const void *a, const void *b)
{
	const struct recipient *x = a, *y = b;

	if (x->place != y->place)
		return x->place < y->place ? -1 : 1;
	return x->address < y->address ? -1 : x->address > y->address;
}

/* Workers of router answer in any order: the envelope has the submitter's. */
void
recipients_to_envelope(struct transaction *t)
{
	struct envelope *env = &t->env;

	qsort(t->rcpts, t->nrcpts, sizeof *t->rcpts, compare);
	env->rcpts = xcalloc(t->nrcpts, sizeof *env->rcpts);
	env->nrcpts = t->nrcpts;
	for (size_t i = 0; i < t->nrcpts; i++) {
		const struct recipient *r = &t->rcpts[i];
		env->rcpts[i] = (struct envelope_rcpt){
		    .address = str_from(tx_text(t, r->address)),
		    .original = str_from(tx_text(t, r->original)),
		    .orcpt = str_from(tx_text(t, r->orcpt)),
		    .transport = str_from(tx_text(t, r->transport)),
		    .nexthop = str_from(tx_text(t, r->nexthop)),
		    .notify = r->notify,
		    .class = r->class,
		    .generation = r->generation,
		};
	}
}

void
recipients_clear(struct transaction *t)
{
	while (!LIST_EMPTY(&t->open_questions))
		question_free(LIST_FIRST(&t->open_questions));
	map_free(&t->seen, NULL);
	free(t->rcpts);
	t->rcpts = NULL;
	t->nrcpts = 0;
}
