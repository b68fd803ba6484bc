/* SPDX-License-Identifier: ISC */
/*
 * Two tables: windows, by "kind key", bounded and in the order of their last change; and what is
 * held, once in total and once by holder, so that a worker that dies gives back what it held.
 */
#include "limiter/counters.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "lib/base/buf.h"
#include "lib/base/clock.h"
#include "lib/base/map.h"
#include "lib/base/mem.h"

enum { NAME_MAX_ = 700 };

struct window {
	char *name;
	int64_t began;
	uint64_t count;
	TAILQ_ENTRY(window) link;
};

/* What one holder has of one key. */
struct held {
	const void *holder;
	char *name;  /* of the total */
	char *whole; /* holder and name: the key in `helds` */
	uint64_t count;
};

struct counters {
	size_t max;
	struct map *windows;
	TAILQ_HEAD(, window) list; /* the least recently changed first */
	struct map *totals;        /* counts, in place of pointers */
	struct map *helds;
};

static struct str
name_of(char *room, size_t size, struct str kind, struct str key)
{
	int n = snprintf(room, size, "%.*s %.*s", STR_ARG(kind), STR_ARG(key));

	return str_make(room, (size_t)n < size ? (size_t)n : size - 1);
}

struct counters *
counters_new(size_t max)
{
	struct counters *c = xcalloc(1, sizeof *c);

	*c = (struct counters){
	    .max = max, .windows = map_new(), .totals = map_new(), .helds = map_new()};
	TAILQ_INIT(&c->list);
	return c;
}

static void
window_drop(struct counters *c, struct window *w)
{
	(void)map_take(c->windows, str_from(w->name));
	TAILQ_REMOVE(&c->list, w, link);
	free(w->name);
	free(w);
}

static void
held_free(void *value)
{
	struct held *h = value;

	free(h->name);
	free(h->whole);
	free(h);
}

void
counters_free(struct counters **cp)
{
	struct counters *c = *cp;
	struct window *w;

	*cp = NULL;
	if (c == NULL)
		return;
	while ((w = TAILQ_FIRST(&c->list)) != NULL)
		window_drop(c, w);
	map_free(&c->windows, NULL);
	map_free(&c->totals, NULL);
	map_free(&c->helds, held_free);
	free(c);
}

static struct window *
window_new(struct counters *c, struct str name)
{
	struct window *w = xcalloc(1, sizeof *w);

	if (map_count(c->windows) >= c->max)
		window_drop(c, TAILQ_FIRST(&c->list));
	w->name = str_dup(name);
	w->began = clock_ms();
	(void)map_put(c->windows, name, w);
	TAILQ_INSERT_TAIL(&c->list, w, link);
	return w;
}

uint64_t
counters_add(
    struct counters *c, struct str kind, struct str key, uint64_t amount, int64_t window_ms)
{
	char room[NAME_MAX_];
	struct str name = name_of(room, sizeof room, kind, key);
	struct window *w = map_get(c->windows, name);

	if (w != NULL && clock_ms() - w->began >= window_ms) {
		window_drop(c, w);
		w = NULL;
	}
	if (amount == 0)
		return w != NULL ? w->count : 0;
	if (w == NULL)
		w = window_new(c, name);
	w->count = w->count + amount < w->count ? UINT64_MAX : w->count + amount;
	TAILQ_REMOVE(&c->list, w, link);
	TAILQ_INSERT_TAIL(&c->list, w, link);
	return w->count;
}

/* --- what is held --- */

static uint64_t
total_change(struct counters *c, struct str name, uint64_t more, uint64_t less)
{
	uint64_t n = (uint64_t)(uintptr_t)map_get(c->totals, name) + more;

	n = n > less ? n - less : 0;
	if (n > 0)
		(void)map_put(c->totals, name, (void *)(uintptr_t)n);
	else
		(void)map_take(c->totals, name);
	return n;
}

static struct str
whole_of(char *room, size_t size, const void *holder, struct str name)
{
	int n = snprintf(room, size, "%p %.*s", holder, STR_ARG(name));

	return str_make(room, (size_t)n < size ? (size_t)n : size - 1);
}

uint64_t
counters_hold(
    struct counters *c, const void *holder, struct str kind, struct str key, uint64_t amount)
{
	char room[NAME_MAX_], whole_room[NAME_MAX_ + 32];
	struct str name = name_of(room, sizeof room, kind, key);
	struct str whole = whole_of(whole_room, sizeof whole_room, holder, name);
	struct held *h = map_get(c->helds, whole);

	if (amount > UINT32_MAX)
		amount = UINT32_MAX; /* an asker that is out of its mind */
	if (h == NULL && amount > 0) {
		h = xcalloc(1, sizeof *h);
		*h =
		    (struct held){.holder = holder, .name = str_dup(name), .whole = str_dup(whole)};
		(void)map_put(c->helds, whole, h);
	}
	if (h != NULL)
		h->count += amount;
	return total_change(c, name, amount, 0);
}

void
counters_release(
    struct counters *c, const void *holder, struct str kind, struct str key, uint64_t amount)
{
	char room[NAME_MAX_], whole_room[NAME_MAX_ + 32];
	struct str name = name_of(room, sizeof room, kind, key);
	struct held *h = map_get(c->helds, whole_of(whole_room, sizeof whole_room, holder, name));

	if (h == NULL)
		return;
	if (amount > h->count)
		amount = h->count;
	h->count -= amount;
	(void)total_change(c, name, 0, amount);
	if (h->count == 0) {
		(void)map_take(c->helds, str_from(h->whole));
		held_free(h);
	}
}

void
counters_forget_holder(struct counters *c, const void *holder)
{
	struct map *kept = map_new();
	size_t cursor = 0;
	void *value;

	while (map_next(c->helds, &cursor, NULL, &value)) {
		struct held *h = value;
		if (h->holder != holder) {
			(void)map_put(kept, str_from(h->whole), h);
			continue;
		}
		(void)total_change(c, str_from(h->name), 0, h->count);
		held_free(h);
	}
	map_free(&c->helds, NULL);
	c->helds = kept;
}
