/* SPDX-License-Identifier: ISC */
/*
 * A fact's count holds when the result came (seconds) and what it is (2 bits), its text the reason
 * of a failure. What a client can make us keep is bounded: results are facts like any other, probes
 * under way have a limit, and so have those who wait for them.
 */
#include "limiter/verify.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "lib/base/clock.h"
#include "lib/base/map.h"
#include "lib/base/mem.h"
#include "limiter/facts.h"
#include "limiter/limiter.h"

enum {
	PROBE_MS = 1000 * 1000, /* a probe without a result for so long is lost (Postfix's time) */
	WAITERS_MAX = 20000,
	STATUS_BITS = 2,
	STATUS_MASK = (1 << STATUS_BITS) - 1,
};

static const char in_progress[] = "Address verification in progress";

struct waiter {
	void *who;
	struct chan_head head;
};

struct pending {
	char *address;
	const void *prober; /* who submits the probe; NULL: he is gone */
	int64_t since;
	struct waiter *waiters;
	size_t n;
	TAILQ_ENTRY(pending) link;
};

struct verifies {
	verify_answer_fn *answer;
	struct map *map;            /* by address */
	TAILQ_HEAD(, pending) list; /* the oldest first */
	size_t waiters;
};

struct verifies *
verifies_new(verify_answer_fn *answer)
{
	struct verifies *v = xcalloc(1, sizeof *v);

	v->answer = answer;
	v->map = map_new();
	TAILQ_INIT(&v->list);
	return v;
}

/* --- probes under way --- */

static struct pending *
pending_new(struct verifies *v, struct str address)
{
	struct pending *p = xcalloc(1, sizeof *p);

	p->address = str_dup(address);
	(void)map_put(v->map, address, p);
	TAILQ_INSERT_TAIL(&v->list, p, link);
	return p;
}

static void
pending_free(struct verifies *v, struct pending *p)
{
	(void)map_take(v->map, str_from(p->address));
	TAILQ_REMOVE(&v->list, p, link);
	v->waiters -= p->n;
	free(p->waiters);
	free(p->address);
	free(p);
}

void
verifies_free(struct verifies **vp)
{
	struct verifies *v = *vp;

	*vp = NULL;
	if (v == NULL)
		return;
	while (!TAILQ_EMPTY(&v->list))
		pending_free(v, TAILQ_FIRST(&v->list));
	map_free(&v->map, NULL);
	free(v);
}

/* All who wait hear it. The probe is over before, so that a question in between begins anew. */
static void
pending_end(struct verifies *v, struct pending *p, const struct verify_answer *answer)
{
	struct waiter *waiters = p->waiters;
	size_t n = p->n;

	p->waiters = NULL;
	p->n = 0;
	v->waiters -= n;
	pending_free(v, p);
	for (size_t i = 0; i < n; i++)
		v->answer(waiters[i].who, &waiters[i].head, answer);
	free(waiters);
}

static bool
wait_for(struct verifies *v, struct pending *p, void *who, const struct chan_head *head)
{
	if (v->waiters >= WAITERS_MAX)
		return false;
	p->waiters = xrealloc(p->waiters, size_mul(p->n + 1, sizeof *p->waiters));
	p->waiters[p->n++] = (struct waiter){.who = who, .head = *head};
	v->waiters++;
	return true;
}

/* Makes who asks the one who probes, where nobody does. */
static struct pending *
probe_begin(struct limiter *l, void *who, struct str address, bool *probe)
{
	struct verifies *v = l->verifies;
	struct pending *p = map_get(v->map, address);

	*probe = false;
	if (p != NULL && p->prober != NULL)
		return p;
	if (p == NULL) {
		if (map_count(v->map) >= (size_t)l->conf->address_verify_pending_request_limit)
			return NULL;
		p = pending_new(v, address);
	}
	p->prober = who;
	p->since = clock_ms();
	TAILQ_REMOVE(&v->list, p, link);
	TAILQ_INSERT_TAIL(&v->list, p, link);
	*probe = true;
	return p;
}

void
verify_forget(struct limiter *l, const void *who)
{
	struct pending *p;

	TAILQ_FOREACH (p, &l->verifies->list, link) {
		size_t kept = 0;
		for (size_t i = 0; i < p->n; i++)
			if (p->waiters[i].who != who)
				p->waiters[kept++] = p->waiters[i];
		l->verifies->waiters -= p->n - kept;
		p->n = kept;
		if (p->prober == who)
			p->prober = NULL;
	}
}

static void
say(struct verify_answer *answer, enum verify_status status, const char *text)
{
	answer->status = status;
	snprintf(answer->text, sizeof answer->text, "%s", text);
}

void
verify_tick(struct limiter *l)
{
	struct verifies *v = l->verifies;
	struct verify_answer answer = {0};
	struct pending *p;

	say(&answer, VERIFY_UNKNOWN, in_progress);
	while ((p = TAILQ_FIRST(&v->list)) != NULL && clock_ms() - p->since >= PROBE_MS)
		pending_end(v, p, &answer);
}

/* --- results --- */

/* The letter case of a domain is no matter. */
static struct str
fold(struct str address, char out[static MSG_ADDRESS_MAX + 1])
{
	size_t n = address.n < MSG_ADDRESS_MAX ? address.n : MSG_ADDRESS_MAX;
	ptrdiff_t at = str_rchr(str_sub(address, 0, n), '@');

	for (size_t i = 0; i < n; i++) {
		char c = address.p[i];
		bool domain = at >= 0 && i > (size_t)at;
		out[i] = domain && c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c;
	}
	out[n] = '\0';
	return str_make(out, n);
}

/* It becomes part of an SMTP reply, whoever wrote it. */
static void
keep_clean(char *out, size_t size, struct str text)
{
	size_t n = text.n < size - 1 ? text.n : size - 1;

	for (size_t i = 0; i < n; i++)
		out[i] = text.p[i] >= ' ' && text.p[i] < 0x7f ? text.p[i] : '?';
	out[n] = '\0';
}

static int64_t
now_s(void)
{
	return wall_us() / 1000000;
}

static enum verify_status
status_of(const struct fact *fact)
{
	return (enum verify_status)(fact->count & STATUS_MASK);
}

/* Whether it is to be found out again, the result being good until then. */
static bool
is_old(const struct limiter *l, const struct fact *fact)
{
	int64_t age = now_s() - (int64_t)(fact->count >> STATUS_BITS);
	int64_t refresh = status_of(fact) == VERIFY_DELIVERABLE
			      ? l->conf->address_verify_positive_refresh_time
			      : l->conf->address_verify_negative_refresh_time;

	return status_of(fact) != VERIFY_DEFERRED && age >= refresh / 1000;
}

void
verify_ask(struct limiter *l, void *who, const struct chan_head *head, struct str address,
    enum verify_mode mode, struct verify_answer *answer)
{
	char room[MSG_ADDRESS_MAX + 1];
	struct str key = fold(address, room);
	const struct fact *fact = facts_get(l->facts, STR("verify"), key);

	*answer = (struct verify_answer){0};
	if (fact != NULL) {
		say(answer, status_of(fact), fact->text);
		if (mode != VERIFY_PEEK && is_old(l, fact))
			(void)probe_begin(l, who, key, &answer->probe);
		return;
	}
	say(answer, VERIFY_UNKNOWN, in_progress);
	if (mode == VERIFY_PEEK)
		return;
	struct pending *p = probe_begin(l, who, key, &answer->probe);
	if (p == NULL)
		say(answer, VERIFY_UNKNOWN, "too many addresses are being verified");
	else if (mode == VERIFY_WAIT)
		answer->waits = wait_for(l->verifies, p, who, head);
}

static int64_t
ttl_s(const struct limiter *l, enum verify_status status)
{
	const struct limiter_conf *conf = l->conf;

	switch (status) {
	case VERIFY_DELIVERABLE:
		return conf->address_verify_positive_expire_time / 1000;
	case VERIFY_UNDELIVERABLE:
		return conf->address_verify_negative_cache
			   ? conf->address_verify_negative_expire_time / 1000
			   : 0;
	case VERIFY_DEFERRED:
		return conf->address_verify_deferred_expire_time / 1000;
	case VERIFY_UNKNOWN:
		break;
	}
	return 0;
}

void
verify_result(struct limiter *l, struct str address, enum verify_status status, struct str text)
{
	char room[MSG_ADDRESS_MAX + 1];
	struct str key = fold(address, room);
	const struct fact *fact = facts_get(l->facts, STR("verify"), key);
	struct pending *p = map_get(l->verifies->map, key);
	struct verify_answer answer = {.status = status};
	int64_t ttl = ttl_s(l, status);

	if (status != VERIFY_DELIVERABLE)
		keep_clean(answer.text, sizeof answer.text, text);
	if (fact != NULL && status != VERIFY_DELIVERABLE && status_of(fact) == VERIFY_DELIVERABLE)
		say(&answer, VERIFY_DELIVERABLE, "");
	else if (ttl > 0)
		(void)facts_put(l->facts, STR("verify"), key, ttl,
		    (uint64_t)now_s() << STATUS_BITS | status, str_from(answer.text));
	else
		(void)facts_remove(l->facts, STR("verify"), key);
	if (p != NULL)
		pending_end(l->verifies, p, &answer);
}

/* --- the operator --- */

void
verify_show(struct limiter *l, struct str address, char *out, size_t size)
{
	static const char *const words[] = {"unknown", "deliverable", "undeliverable", "deferred"};
	char room[MSG_ADDRESS_MAX + 1];
	const struct fact *fact = facts_get(l->facts, STR("verify"), fold(address, room));

	out[0] = '\0';
	if (fact == NULL)
		return;
	int64_t age = now_s() - (int64_t)(fact->count >> STATUS_BITS);
	snprintf(out, size, "%s: %s, found %lld s ago, %lld s left%s%s", room,
	    words[status_of(fact)], (long long)(age > 0 ? age : 0),
	    (long long)(fact->expires - now_s()), fact->text[0] != '\0' ? ": " : "", fact->text);
}

bool
verify_remove(struct limiter *l, struct str address)
{
	char room[MSG_ADDRESS_MAX + 1];

	return facts_remove(l->facts, STR("verify"), fold(address, room));
}
