/* SPDX-License-Identifier: ISC */
/*
 * Feedback: a delivery that reached its destination opens the window by one, up to the limit; one
 * that did not closes it by one and counts. When so many in a row failed as the window then has
 * room for, the destination is dead until its probe's time. Fairness: the ring holds each
 * destination that has work and room once; one delivery is started, then the next one's turn comes.
 */
#include "qmgr/destination.h"

#include <stdlib.h>
#include <string.h>

#include "lib/base/clock.h"
#include "lib/base/map.h"
#include "lib/base/mem.h"
#include "lib/base/why.h"
#include "qmgr/backoff.h"
#include "qmgr/delivery.h"
#include "qmgr/message.h"

static const struct {
	const char *transport;
	enum program program;
} programs[] = {
    {"smtp",    PROGRAM_REMOTE},
    {"relay",   PROGRAM_REMOTE},
    {"lmtp",    PROGRAM_REMOTE},
    {"local",   PROGRAM_LOCAL },
    {"virtual", PROGRAM_LOCAL },
    {"bounce",  PROGRAM_BOUNCE},
};

enum program
destination_program(struct str transport)
{
	for (size_t i = 0; i < NELEM(programs); i++)
		if (str_is(transport, programs[i].transport))
			return programs[i].program;
	return PROGRAM_NONE;
}

struct limit {
	const char *transport;
	size_t offset;
};

static int64_t
limit_of(const struct qmgr_conf *conf, const struct limit *limits, size_t n, const char *transport,
    int64_t otherwise)
{
	for (size_t i = 0; i < n; i++) {
		int64_t own;
		if (strcmp(limits[i].transport, transport) != 0)
			continue;
		memcpy(&own, (const char *)conf + limits[i].offset, sizeof own);
		return own != 0 ? own : otherwise;
	}
	return otherwise;
}

static size_t
window_limit(const struct qmgr *q, const struct destination *d)
{
	static const struct limit limits[] = {
	    {"smtp",    offsetof(struct qmgr_conf, smtp_destination_concurrency_limit)   },
	    {"relay",   offsetof(struct qmgr_conf, relay_destination_concurrency_limit)  },
	    {"lmtp",    offsetof(struct qmgr_conf, lmtp_destination_concurrency_limit)   },
	    {"local",   offsetof(struct qmgr_conf, local_destination_concurrency_limit)  },
	    {"virtual", offsetof(struct qmgr_conf, virtual_destination_concurrency_limit)},
	};

	return (size_t)limit_of(q->conf, limits, NELEM(limits), d->transport,
	    q->conf->default_destination_concurrency_limit);
}

static size_t
rcpt_limit(const struct qmgr *q, const struct destination *d)
{
	static const struct limit limits[] = {
	    {"smtp",    offsetof(struct qmgr_conf, smtp_destination_recipient_limit)   },
	    {"relay",   offsetof(struct qmgr_conf, relay_destination_recipient_limit)  },
	    {"lmtp",    offsetof(struct qmgr_conf, lmtp_destination_recipient_limit)   },
	    {"local",   offsetof(struct qmgr_conf, local_destination_recipient_limit)  },
	    {"virtual", offsetof(struct qmgr_conf, virtual_destination_recipient_limit)},
	};

	return (size_t)limit_of(q->conf, limits, NELEM(limits), d->transport,
	    q->conf->default_destination_recipient_limit);
}

static size_t
initial_window(const struct qmgr *q, const struct destination *d)
{
	size_t first = (size_t)q->conf->initial_destination_concurrency, limit = window_limit(q, d);

	return first < limit ? first : limit;
}

/* --- finding --- */

enum { SILENCE_MS = 3000 };
enum { KEY_MAX = 64 + 1 + MSG_NEXTHOP_MAX };

static struct str
key_of(char *key, struct str transport, struct str nexthop)
{
	size_t t = transport.n < 64 ? transport.n : 64,
	       h = nexthop.n < MSG_NEXTHOP_MAX ? nexthop.n : MSG_NEXTHOP_MAX;

	memcpy(key, transport.p, t);
	key[t] = '\0';
	memcpy(key + t + 1, nexthop.p, h);
	return str_make(key, t + 1 + h);
}

struct destination *
destination_get(struct qmgr *q, struct str transport, struct str nexthop)
{
	char key[KEY_MAX];
	struct str view = key_of(key, transport, nexthop);
	struct destination *d = map_get(q->destinations, view);

	if (d != NULL)
		return d;
	d = xcalloc(1, sizeof *d);
	d->transport = str_dup(transport);
	d->nexthop = str_dup(nexthop);
	TAILQ_INIT(&d->queue);
	d->window = initial_window(q, d);
	map_put(q->destinations, view, d);
	return d;
}

/* One that is idle is remembered no longer than its state is worth something. */
static void
release(struct qmgr *q, struct destination *d)
{
	char key[KEY_MAX];

	if (d->running > 0 || !TAILQ_EMPTY(&d->queue) || d->dead || d->failures > 0 || d->keep)
		return;
	if (d->ready)
		TAILQ_REMOVE(&q->ring, d, ring);
	if (d->in_dead)
		TAILQ_REMOVE(&q->dead, d, dead_link);
	map_take(q->destinations, key_of(key, str_from(d->transport), str_from(d->nexthop)));
	free(d->transport);
	free(d->nexthop);
	free(d->reason);
	free(d);
}

/* --- the queue --- */

static bool
has_room(const struct destination *d)
{
	if (d->dead)
		return d->probing && d->running == 0;
	return d->running < d->window;
}

static void
make_ready(struct qmgr *q, struct destination *d)
{
	if (!d->ready && !TAILQ_EMPTY(&d->queue) && has_room(d)) {
		d->ready = true;
		TAILQ_INSERT_TAIL(&q->ring, d, ring);
	}
	if (d->ready)
		loop_defer(&q->service->loop, &q->pump_task);
}

/* Puts off all that waits for a dead destination, without an attempt. */
static void
put_off_all(struct qmgr *q, struct destination *d, const char *code, const char *reason)
{
	struct work *w;

	d->keep = true;
	while ((w = TAILQ_FIRST(&d->queue)) != NULL) {
		destination_dequeue(w);
		delivery_put_off(w, code, reason);
	}
	d->keep = false;
	release(q, d);
}

static void
put_off_for_death(struct qmgr *q, struct destination *d)
{
	put_off_all(q, d, d->code, d->reason != NULL ? d->reason : "unknown mail transport error");
}

static bool
waits_for_probe(const struct destination *d)
{
	return d->dead && !d->probing && d->running == 0;
}

void
destination_enqueue(struct work *w)
{
	struct destination *d = w->d;
	struct qmgr *q = w->m->q;

	TAILQ_INSERT_TAIL(&d->queue, w, link);
	w->queued = true;
	if (d->dead && !d->probing && clock_ms() >= d->probe_at)
		d->probing = true;
	if (waits_for_probe(d) && !d->in_dead) {
		d->in_dead = true;
		TAILQ_INSERT_TAIL(&q->dead, d, dead_link);
		loop_defer(&q->service->loop, &q->pump_task);
	}
	make_ready(q, d);
}

void
destination_dequeue(struct work *w)
{
	if (!w->queued)
		return;
	TAILQ_REMOVE(&w->d->queue, w, link);
	w->queued = false;
}

void
destination_add(struct destination *d, struct message *m, uint32_t index)
{
	struct work *last = TAILQ_LAST(&d->queue, work_queue);

	if (last == NULL || last->m != m || last->notice != -1 || last->n >= rcpt_limit(m->q, d)) {
		last = work_new(m, d, -1);
		work_add(last, index);
		destination_enqueue(last);
	} else
		work_add(last, index);
}

/* --- feedback --- */

static void
die(struct qmgr *q, struct destination *d, struct str code, struct str text)
{
	d->dead = true;
	d->probing = false;
	d->probe_at = clock_ms() + backoff_us(q->conf, ++d->probes) / 1000;
	str_copy(d->code, sizeof d->code, code);
	free(d->reason);
	d->reason = str_dup(text);
}

static void
live(struct qmgr *q, struct destination *d)
{
	if (d->dead) {
		d->dead = d->probing = false;
		d->probes = 0;
		d->window = initial_window(q, d);
	}
	d->failures = 0;
	if (d->window < window_limit(q, d))
		d->window++;
	else
		d->window = window_limit(q, d);
}

void
destination_feedback(
    struct qmgr *q, struct destination *d, bool reached, struct str code, struct str text)
{
	d->running--;
	d->touched = d->heard = clock_ms();
	if (reached)
		live(q, d);
	else if (d->dead)
		die(q, d, code, text);
	else {
		d->window = d->window > 1 ? d->window - 1 : 1;
		if (++d->failures >= d->window)
			die(q, d, code, text);
	}
	if (waits_for_probe(d)) {
		put_off_for_death(q, d);
		return;
	}
	make_ready(q, d);
	release(q, d);
}

/* --- starting --- */

/* false: no delivery could be started for it now. */
static bool
start_one(struct qmgr *q, struct destination *d)
{
	struct work *w = TAILQ_FIRST(&d->queue);

	destination_dequeue(w);
	if (d->running++ == 0)
		d->heard = clock_ms();
	q->running++;
	if (delivery_start(w))
		return true;
	d->running--;
	q->running--;
	TAILQ_INSERT_HEAD(&d->queue, w, link);
	w->queued = true;
	return false;
}

static void
put_off_dead(struct qmgr *q)
{
	struct destination *d;

	while ((d = TAILQ_FIRST(&q->dead)) != NULL) {
		TAILQ_REMOVE(&q->dead, d, dead_link);
		d->in_dead = false;
		if (waits_for_probe(d))
			put_off_for_death(q, d);
	}
}

static void
on_pump(void *arg)
{
	struct qmgr *q = arg;
	struct destination *d;
	TAILQ_HEAD(, destination) blocked = TAILQ_HEAD_INITIALIZER(blocked);

	if (q->holding)
		return;
	put_off_dead(q);
	while (q->running < (size_t)q->conf->qmgr_delivery_limit &&
	       (d = TAILQ_FIRST(&q->ring)) != NULL) {
		TAILQ_REMOVE(&q->ring, d, ring);
		d->ready = false;
		if (TAILQ_EMPTY(&d->queue) || !has_room(d))
			continue;
		d->keep = true;
		bool started = start_one(q, d);
		d->keep = false;
		if (!started) {
			d->ready = true;
			TAILQ_INSERT_TAIL(&blocked, d, ring);
			continue;
		}
		make_ready(q, d);
		release(q, d);
	}
	/* They stay in the ring, and are looked at again when a worker comes or has room. */
	TAILQ_CONCAT(&q->ring, &blocked, ring);
}

void
destination_init(struct qmgr *q)
{
	q->destinations = map_new();
	TAILQ_INIT(&q->ring);
	TAILQ_INIT(&q->dead);
	q->pump_task = (struct loop_task){.on_round_end = on_pump, .arg = q};
}

void
destination_pump(struct qmgr *q)
{
	loop_defer(&q->service->loop, &q->pump_task);
}

static bool
crowds(const struct qmgr *q, const struct destination *d)
{
	const struct work *w;
	size_t n = 0;

	if (d->running == 0 || clock_ms() - d->heard < SILENCE_MS)
		return false;
	TAILQ_FOREACH (w, &d->queue, link)
		n++;
	return n > (size_t)q->conf->qmgr_message_active_limit / 2;
}

/*
 * The memory is full. Where more than half of it waits for one destination that says nothing (no
 * refusal, which would have ended its attempts), this half waits on disk: others have their turn.
 */
void
destination_make_room(struct qmgr *q)
{
	struct str key;
	void *value;
	size_t cursor = 0;
	struct destination *crowd = NULL;

	while (crowd == NULL && map_next(q->destinations, &cursor, &key, &value))
		if (crowds(q, value))
			crowd = value;
	if (crowd != NULL)
		put_off_all(q, crowd, "4.4.1", "it has not answered for a while");
}

/* Failures that nobody has asked after for long are forgotten. */
void
destination_tick(struct qmgr *q)
{
	struct str key;
	void *value;
	size_t cursor = 0;
	int64_t limit = clock_ms() - q->conf->maximal_backoff_time * 2;
	struct destination *old = NULL;

	while (old == NULL && map_next(q->destinations, &cursor, &key, &value)) {
		struct destination *d = value;
		if ((d->dead || d->failures > 0) && d->running == 0 && TAILQ_EMPTY(&d->queue) &&
		    d->touched < limit)
			old = d;
	}
	if (old == NULL)
		return;
	old->dead = false;
	old->failures = 0;
	release(q, old);
}

void
destination_revive_all(struct qmgr *q)
{
	struct str key;
	void *value;
	size_t cursor = 0;

	while (map_next(q->destinations, &cursor, &key, &value)) {
		struct destination *d = value;
		if (d->dead)
			d->probe_at = clock_ms();
	}
}
