/* SPDX-License-Identifier: ISC */
/*
 * pickup: takes mail from `sendmail`, over run/submit and from the maildrop, and hands it to
 * cleanup. A `sendmail -bs` session goes on to smtpd.
 *
 * Privilege: kp-pickup, group kp-drop; the maildrop. Trusted: master, cleanup. Hostile: every local
 * user.
 */
#include <event2/event.h>
#include <unistd.h>

#include "lib/base/mem.h"
#include "lib/log/log.h"
#include "pickup/milter.h"
#include "pickup/pickup.h"

static int
open_pickup(struct service *s, struct why *why)
{
	struct pickup *p = xcalloc(1, sizeof *p);

	p->service = s;
	p->conf = s->conf;
	TAILQ_INIT(&p->clients);
	s->state = p;
	return drops_open(p, why);
}

static void
on_listener(struct service *s, int fd, struct str address)
{
	if (str_is(address, "submit"))
		clients_listen(s->state, fd);
	else
		close(fd);
}

/* A new cleanup: what waits in the maildrop may have waited for it. */
static void
on_cleanup(struct service *s, struct chan *ch)
{
	(void)ch;
	drops_retry(s->state);
}

static void
on_stop(struct service *s, int64_t grace_ms)
{
	struct pickup *p = s->state;

	(void)grace_ms;
	clients_close(p);
	drops_close(p);
	if (TAILQ_EMPTY(&p->clients))
		service_exit(s);
}

static int
start_pickup(struct service *s, struct why *why)
{
	return milters_start(s->state, why);
}

static const struct service_peer peers[] = {
    {PROGRAM_CLEANUP, NULL, on_cleanup, NULL},
    {PROGRAM_SMTPD,   NULL, NULL,       NULL},
    {PROGRAM_NONE,    NULL, NULL,       NULL},
};

int
main(int argc, char **argv)
{
	static const struct service_table table = {
	    .program = PROGRAM_PICKUP,
	    .tag = "pickup",
	    .settings = &pickup_settings,
	    .sandbox = &pickup_sandbox,
	    .peers = peers,
	    .open = open_pickup,
	    .start = start_pickup,
	    .on_listener = on_listener,
	    .on_stop = on_stop,
	};

	return service_main(argc, argv, &table);
}
