/* SPDX-License-Identifier: ISC */
/*
 * Asks router, once a recipient, and remembers. Answers are kept for the time that router gives
 * them and fall all together when it says that its tables have changed. What router cannot tell, or
 * nobody answers, is temporary: 451, never "no such user".
 */
#include "smtpd/routes.h"

#include <stdlib.h>

#include "lib/base/clock.h"
#include "lib/base/map.h"
#include "lib/base/mem.h"
#include "lib/chan/chan.h"
#include "lib/log/log.h"
#include "lib/service/service.h"
#include "smtpd/session.h"

enum { ROUTES_MAX = 20000 };

struct route *
route_hold(struct route *route)
{
	route->users++;
	return route;
}

void
route_drop(struct route **routep)
{
	struct route *route = *routep;

	*routep = NULL;
	if (route == NULL || --route->users > 0)
		return;
	free(route->address);
	free(route->transport);
	free(route->nexthop);
	free(route->why);
	free(route);
}

static void
free_value(void *value)
{
	struct route *route = value;

	route_drop(&route);
}

void
routes_forget(struct server *server)
{
	map_free(&server->routes, free_value);
	server->routes = map_new();
}

struct route *
route_make(const struct msg_route *msg)
{
	struct route *route = xcalloc(1, sizeof *route);

	*route = (struct route){
	    .users = 1,
	    .known = msg->verdict == ROUTE_OK,
	    .expand = msg->expand != 0,
	    .class = (unsigned)msg->class,
	    .address = str_dup(msg->address),
	    .transport = str_dup(msg->transport),
	    .nexthop = str_dup(msg->nexthop),
	    .generation = msg->generation,
	    .until = clock_ms() + (int64_t)(msg->ttl_ms < INT32_MAX ? msg->ttl_ms : INT32_MAX),
	};
	if (route->known)
		return route;
	route->why = xcalloc(1, sizeof *route->why);
	why_perm(route->why, NULL, "%.*s", STR_ARG(msg->text));
	str_copy(
	    route->why->code, sizeof route->why->code, msg->code.n > 0 ? msg->code : STR("5.1.1"));
	return route;
}

static void
route_keep(struct server *server, struct str key, struct route *route)
{
	if (route->until <= clock_ms())
		return;
	if (map_count(server->routes) >= ROUTES_MAX)
		routes_forget(server);
	struct route *old = map_put(server->routes, key, route_hold(route));
	route_drop(&old);
}

void
chan_question_drop(struct session *s)
{
	if (s->asked != NULL)
		chan_forget(s->asked, s->question);
	s->asked = NULL;
	s->question = 0;
}

static void
answer(struct session *s, struct route *route, const struct why *why)
{
	route_then_fn *then = s->route_then;

	s->asked = NULL;
	s->route_then = NULL;
	s->waiting = false; /* `then` may make it wait again */
	then(s, route, why);
	if (!s->waiting)
		session_resume(s);
}

static void
answer_none(struct session *s)
{
	struct why why;

	why_temp(&why, "4.3.0", "Temporary lookup failure");
	answer(s, NULL, &why);
}

static void
on_expired(struct session *s)
{
	chan_question_drop(s);
	answer_none(s);
}

static void
on_route(void *arg, const struct chan_head *head, union msg_any *msg)
{
	struct session *s = arg;
	struct why why;

	if (msg != NULL && head->type == MSG_ROUTE) {
		struct route *route = route_make(&msg->route);
		route_keep(s->server, str_from(s->asked_for), route);
		answer(s, route, NULL);
		route_drop(&route);
	} else if (msg != NULL && head->type == MSG_REFUSED) {
		log_warning("router: %.*s", STR_ARG(msg->refused.text));
		why_temp(&why, "4.3.0",
		    "Temporary lookup failure"); /* the details are not the client's */
		answer(s, NULL, &why);
	} else {
		chan_question_drop(s);
		answer_none(s);
	}
}

void
route_ask(struct session *s, const struct addr *addr, route_then_fn *then)
{
	struct server *server = s->server;
	struct route *route = map_get(server->routes, addr_text(addr));
	struct why why;

	if (route != NULL && route->until > clock_ms()) {
		route_hold(route);
		then(s, route, NULL);
		route_drop(&route);
		return;
	}
	struct chan *router =
	    service_peer(server->service, PROGRAM_ROUTER, map_hash(addr_text(addr)));
	struct msg_resolve msg = {.address = addr_text(addr), .sender = STR_EMPTY};
	s->question =
	    router != NULL ? chan_call(router, s->trace, MSG_RESOLVE, &msg, on_route, s) : 0;
	if (s->question == 0) {
		why_temp(&why, "4.3.0", "Temporary lookup failure");
		then(s, NULL, &why);
		return;
	}
	s->asked = router;
	s->route_then = then;
	free(s->asked_for);
	s->asked_for = str_dup(addr_text(addr));
	session_wait(s, server->conf->smtpd_service_timeout, on_expired);
}
