/* SPDX-License-Identifier: ISC */
/*
 * A new key each smtpd_tls_session_cache_timeout; with KEYS_MAX of them every ticket can be opened
 * as long as it is valid, and a key that leaks opens little.
 */
#include "keeper/tickets.h"

#include <event2/event.h>
#include <stdlib.h>
#include <string.h>

#include "keeper/keeper.h"
#include "lib/base/clock.h"
#include "lib/base/mem.h"
#include "lib/base/panic.h"
#include "lib/chan/chan.h"
#include "lib/service/service.h"

enum { KEY_SIZE = 80, KEYS_MAX = 3 };

struct tickets {
	struct keeper *k;
	struct event *ev;
	char keys[KEYS_MAX * KEY_SIZE]; /* the newest first */
	size_t n;
};

void
tickets_send(struct keeper *k, struct chan *ch)
{
	struct msg_ticket_keys msg = {.keys = str_make(k->tickets->keys, k->tickets->n * KEY_SIZE)};

	if (chan_send(ch, 0, 0, MSG_TICKET_KEYS, &msg) == -1)
		chan_fail(ch, "no room for ticket keys");
}

static void
arm(struct tickets *t)
{
	int64_t ms = t->k->conf->common.smtpd_tls_session_cache_timeout;
	struct timeval tv = clock_tv(ms > 1000 ? ms : 1000);

	if (evtimer_add(t->ev, &tv) == -1)
		fatal("tickets: no timer");
}

static void
make_key(struct tickets *t)
{
	memmove(t->keys + KEY_SIZE, t->keys, (KEYS_MAX - 1) * KEY_SIZE);
	arc4random_buf(t->keys, KEY_SIZE);
	if (t->n < KEYS_MAX)
		t->n++;
}

static void
on_rotation(evutil_socket_t fd, short what, void *arg)
{
	struct tickets *t = arg;
	struct chan *ch;

	(void)fd;
	(void)what;
	make_key(t);
	for (size_t i = 0; (ch = service_peer_at(t->k->s, PROGRAM_SMTPD, i)) != NULL; i++)
		tickets_send(t->k, ch);
	arm(t);
}

void
tickets_start(struct keeper *k)
{
	struct tickets *t = xcalloc(1, sizeof *t);

	t->k = k;
	t->ev = evtimer_new(k->s->loop.base, on_rotation, t);
	if (t->ev == NULL)
		fatal("tickets: no timer");
	k->tickets = t;
	make_key(t);
	arm(t);
}

void
tickets_reload(struct keeper *k)
{
	arm(k->tickets);
}
