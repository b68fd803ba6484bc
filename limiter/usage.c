/* SPDX-License-Identifier: ISC */
/*
 * Per login an hour's recipients, how many different ones (linear counting in a bitmap: within a
 * few percent up to some thousands), and how many bounced. When the hour is over, its figures move
 * the usual ones, which are kept as a fact: up at once half-way, down slowly, so that a newsletter
 * once a week is still usual the week after. Beyond usage_hold_factor times the usual, and never
 * below usage_hold_minimum, mail goes to hold.
 */
#include "limiter/usage.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "lib/base/clock.h"
#include "lib/base/map.h"
#include "lib/base/mem.h"
#include "lib/log/log.h"
#include "limiter/facts.h"
#include "limiter/limiter.h"
#include "limiter/notices.h"

enum {
	HOUR_MS = 3600 * 1000,
	BITS = 8192,
	LOGINS_MAX = 100000,
	KEEP_S = 60 * 24 * 3600,
};

struct usage {
	char *login;
	int64_t began;
	uint64_t recipients, failed;
	uint64_t usual, usual_different; /* of an hour */
	bool held;                       /* the operator has been told */
	unsigned char seen[BITS / 8];
	TAILQ_ENTRY(usage) link;
};

struct usages {
	struct map *map;
	TAILQ_HEAD(, usage) list; /* the least recently used first */
};

struct usages *
usages_new(void)
{
	struct usages *u = xcalloc(1, sizeof *u);

	u->map = map_new();
	TAILQ_INIT(&u->list);
	return u;
}

static void
drop(struct usages *all, struct usage *u)
{
	(void)map_take(all->map, str_from(u->login));
	TAILQ_REMOVE(&all->list, u, link);
	free(u->login);
	free(u);
}

void
usages_free(struct usages **up)
{
	struct usages *all = *up;
	struct usage *u;

	*up = NULL;
	if (all == NULL)
		return;
	while ((u = TAILQ_FIRST(&all->list)) != NULL)
		drop(all, u);
	map_free(&all->map, NULL);
	free(all);
}

static uint64_t
different(const struct usage *u)
{
	unsigned zeros = 0;

	for (size_t i = 0; i < sizeof u->seen; i++)
		zeros += 8 - (unsigned)__builtin_popcount(u->seen[i]);
	if (zeros == 0)
		zeros = 1;
	return (uint64_t)(BITS * log((double)BITS / zeros) + 0.5);
}

/* The usual figures of an earlier life: "recipients different". */
static void
recall(struct limiter *l, struct usage *u)
{
	const struct fact *fact = facts_get(l->facts, STR("usage"), str_from(u->login));
	struct str text = fact != NULL ? str_from(fact->text) : STR_EMPTY, word;

	if (str_word(&text, " ", &word) && !str_u64(word, UINT64_MAX, &u->usual))
		u->usual = 0;
	if (str_word(&text, " ", &word) && !str_u64(word, UINT64_MAX, &u->usual_different))
		u->usual_different = 0;
}

static struct usage *
usage_of(struct limiter *l, struct str login)
{
	struct usages *all = l->usages;
	struct usage *u = map_get(all->map, login);

	if (u != NULL) {
		TAILQ_REMOVE(&all->list, u, link);
		TAILQ_INSERT_TAIL(&all->list, u, link);
		return u;
	}
	if (map_count(all->map) >= LOGINS_MAX)
		drop(all, TAILQ_FIRST(&all->list));
	u = xcalloc(1, sizeof *u);
	u->login = str_dup(login);
	u->began = clock_ms();
	recall(l, u);
	(void)map_put(all->map, login, u);
	TAILQ_INSERT_TAIL(&all->list, u, link);
	return u;
}

static uint64_t
learn(uint64_t usual, uint64_t now)
{
	return now > usual ? usual + (now - usual + 1) / 2 : usual - (usual - now) / 50;
}

/* An hour that was held teaches nothing: a thief must not become the usual. */
static void
roll(struct limiter *l, struct usage *u)
{
	char text[64];

	if (clock_ms() - u->began < HOUR_MS)
		return;
	if (!u->held) {
		u->usual = learn(u->usual, u->recipients);
		u->usual_different = learn(u->usual_different, different(u));
		snprintf(text, sizeof text, "%" PRIu64 " %" PRIu64, u->usual, u->usual_different);
		(void)facts_put(
		    l->facts, STR("usage"), str_from(u->login), KEEP_S, 1, str_from(text));
	}
	if (u->held)
		notices_over(l, str_from(u->login));
	u->began = clock_ms();
	u->recipients = u->failed = 0;
	u->held = false;
	memset(u->seen, 0, sizeof u->seen);
}

static void
see(struct usage *u, struct str hashes)
{
	for (; hashes.n >= 8; hashes = str_from_at(hashes, 8)) {
		uint64_t hash;
		memcpy(&hash, hashes.p, sizeof hash);
		u->seen[hash % BITS / 8] |= (unsigned char)(1u << hash % 8);
		u->recipients++;
	}
}

static uint64_t
limit_of(const struct limiter *l, uint64_t usual)
{
	uint64_t limit = usual * (uint64_t)l->conf->usage_hold_factor;

	return limit > (uint64_t)l->conf->usage_hold_minimum
		   ? limit
		   : (uint64_t)l->conf->usage_hold_minimum;
}

static bool
far_beyond(const struct limiter *l, const struct usage *u, char *reason, size_t size)
{
	uint64_t n = different(u), percent = (uint64_t)l->conf->usage_failure_percent;

	if (u->recipients > limit_of(l, u->usual))
		snprintf(reason, size,
		    "account %s: %" PRIu64 " recipients within an hour, usual are %" PRIu64,
		    u->login, u->recipients, u->usual);
	else if (n > limit_of(l, u->usual_different))
		snprintf(reason, size,
		    "account %s: %" PRIu64
		    " different recipients within an hour, usual are %" PRIu64,
		    u->login, n, u->usual_different);
	else if (percent > 0 && u->failed * 5 > (uint64_t)l->conf->usage_hold_minimum &&
		 u->failed * 100 > u->recipients * percent)
		snprintf(reason, size,
		    "account %s: %" PRIu64 " of %" PRIu64 " recipients within an hour failed",
		    u->login, u->failed, u->recipients);
	else
		return false;
	return true;
}

bool
usage_add(struct limiter *l, struct str login, struct str recipients, char *reason, size_t size)
{
	struct usage *u = usage_of(l, login);

	roll(l, u);
	see(u, recipients);
	if (l->conf->usage_hold_factor == 0 || !far_beyond(l, u, reason, size))
		return false;
	if (!u->held) {
		log_warning("%s; its mail goes to hold", reason);
		notices_add(l, login, str_from(reason));
	}
	u->held = true;
	return true;
}

void
usage_failed(struct limiter *l, struct str login, uint64_t count)
{
	struct usage *u = usage_of(l, login);

	roll(l, u);
	u->failed += count;
}
