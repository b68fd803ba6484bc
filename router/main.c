/* SPDX-License-Identifier: ISC */
/*
 * router: the only program that knows addresses and tables. Is this recipient valid, where does its
 * mail go, what does it expand to, what does this table say?
 *
 * Privilege: kp-router; reads the tables' files, opens no socket. Trusted: the configuration and
 * what the operator wrote into tables. Hostile: every address and key that is asked for. Stateless:
 * any number of workers give the same answers.
 */
#include <event2/event.h>
#include <stdlib.h>

#include "lib/base/clock.h"
#include "lib/base/mem.h"
#include "lib/base/panic.h"
#include "lib/service/service.h"
#include "router/maps.h"
#include "router/own.h"
#include "router/question.h"
#include "router/router.h"
#include "router/serve.h"
#include "router/users.h"

enum { WATCH_MS = 1000 };

static void
on_watch(KP_UNUSED evutil_socket_t fd, KP_UNUSED short what, void *arg)
{
	struct router *r = arg;

	if (maps_check(r))
		serve_generation(r, NULL);
	users_age(r);
}

/* What needs paths and sockets: the tables, the interfaces. */
static int
router_open(struct service *s, struct why *why)
{
	struct router *r = xcalloc(1, sizeof *r);

	r->s = s;
	r->conf = s->conf;
	r->root = s->root;
	TAILQ_INIT(&r->questions);
	users_init(r);
	s->state = r;
	r->own = own_new(&r->conf->proxy_interfaces, why);
	if (r->own == NULL || maps_open(r, why) == -1)
		return -1;
	s->paths = maps_paths(r);
	return 0;
}

static int
router_start(struct service *s, KP_UNUSED struct why *why)
{
	struct router *r = s->state;
	struct timeval every = clock_tv(WATCH_MS);

	r->timer = event_new(s->loop.base, -1, EV_PERSIST, on_watch, r);
	if (r->timer == NULL || event_add(r->timer, &every) == -1)
		fatal("no timer");
	return 0;
}

static void
on_partner(struct service *s, struct chan *ch)
{
	serve_generation(s->state, ch);
}

static void
on_partner_gone(struct service *s, struct chan *ch)
{
	questions_drop(s->state, ch);
}

static const struct service_peer peers[] = {
    {PROGRAM_SMTPD,    serve_partners, on_partner, on_partner_gone},
    {PROGRAM_PICKUP,      serve_partners, on_partner, on_partner_gone},
    {PROGRAM_CLEANUP,                serve_partners, on_partner, on_partner_gone},
    {PROGRAM_QMGR,serve_partners, on_partner, on_partner_gone},
    {PROGRAM_REMOTE, serve_partners, on_partner, on_partner_gone},
    {PROGRAM_LOCAL,  serve_partners, on_partner, on_partner_gone},
    {PROGRAM_BOUNCE,      serve_partners, on_partner, on_partner_gone},
    {PROGRAM_TABLES,                serve_tables, NULL, NULL},
    {PROGRAM_MASTER,      serve_operators, NULL, on_partner_gone},
    {PROGRAM_NONE},
};

static const struct service_table table = {
    .program = PROGRAM_ROUTER,
    .tag = "trivial-rewrite",
    .settings = &router_settings,
    .sandbox = &router_sandbox,
    .peers = peers,
    .open = router_open,
    .start = router_start,
};

int
main(int argc, char **argv)
{
	return service_main(argc, argv, &table);
}
