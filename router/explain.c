/* SPDX-License-Identifier: ISC */
/* Step by step, for a person. A table that cannot be read is a step like any other, and not the end
 * of the explanation. */
#include "router/explain.h"

#include <string.h>

#include "lib/base/buf.h"
#include "lib/base/why.h"
#include "lib/table/target.h"
#include "router/expand.h"
#include "router/maps.h"
#include "router/route.h"

enum { ALIAS_DEPTH = 10 };

static void
explain_route(struct query *q, const struct route *route)
{
	if (route->verdict == ROUTE_UNKNOWN)
		query_explain(q, "verdict: %s %s", route->unknown.code, route->unknown.text);
	else
		query_explain(q, "verdict: valid");
	query_explain(q, "transport: %s", route->transport);
	query_explain(q, "next hop: %s", route->nexthop[0] != '\0' ? route->nexthop : "(none)");
}

static int explain_alias(struct query *q, struct str name, int depth, struct why *why);

static int
explain_targets(struct query *q, struct str value, int depth, struct why *why)
{
	static const char *const kinds[] = {
	    "address", "user's own mailbox", "file", "command", "include"};
	struct buf room;
	struct target target;
	int more, answer = TABLE_FOUND;

	buf_init(&room, TARGET_MAX);
	while (answer == TABLE_FOUND && (more = target_next(&value, &room, &target, why)) != 0) {
		if (more == -1) {
			query_explain(q, "alias: %s", why->text);
			break;
		}
		query_explain(q, "alias, %s: %.*s", kinds[target.kind], STR_ARG(target.text));
		if (target.kind == TARGET_ADDRESS && str_chr(target.text, '@') < 0)
			answer = explain_alias(q, target.text, depth + 1, why);
	}
	buf_free(&room);
	return answer;
}

/* What local will find in alias_maps. */
static int
explain_alias(struct query *q, struct str name, int depth, struct why *why)
{
	struct buf value;
	const struct table *t;

	if (depth > ALIAS_DEPTH)
		return TABLE_FOUND;
	buf_init(&value, TABLE_VALUE_MAX);
	int answer = query_key(q, MAPS_ALIAS, name, &value, &t, why);
	if (answer == TABLE_FOUND)
		answer = explain_targets(q, buf_view(&value), depth, why);
	buf_free(&value);
	return answer == TABLE_ASKED ? answer : TABLE_FOUND;
}

struct expansion {
	struct query *q;
	bool asked; /* an address waits for program tables */
};

static int
on_address(void *arg, struct str address, struct why *why)
{
	struct expansion *x = arg;
	struct query *q = x->q;
	struct route route = {0};

	query_explain(q, "expansion: %.*s", STR_ARG(address));
	if (!str_copy(route.address, sizeof route.address, address))
		return why_temp(why, "4.3.5", "an address is too long");
	int answer = route_find(q, &route, why);
	if (answer != TABLE_FOUND) {
		x->asked = answer == TABLE_ASKED;
		return -1;
	}
	query_explain(q, "  class: %s, transport: %s, next hop: %s", route_class_name(route.class),
	    route.transport, route.nexthop);
	return 0;
}

static int
explain_address(struct query *q, struct str address, struct why *why)
{
	struct route route;
	struct buf *lines = q->explain;
	int answer = route_resolve(q, address, &route, why);

	if (answer == TABLE_ERROR) {
		query_explain(q, "verdict: %s %s", why->code, why->text);
		return TABLE_FOUND;
	}
	if (answer == TABLE_ASKED)
		return answer;
	q->explain = lines;
	explain_route(q, &route);
	struct expansion x = {.q = q};
	if (route.expand)
		answer = expand_address(q, str_from(route.address), on_address, &x, why);
	if (answer == TABLE_ASKED || x.asked)
		return TABLE_ASKED;
	if (answer == TABLE_ERROR)
		query_explain(q, "expansion: %s %s", why->code, why->text);
	answer = TABLE_FOUND;
	struct address a =
	    address_split(str_from(route.address), q->r->conf->common.recipient_delimiter);
	if (route.class == CLASS_LOCAL && !route.expand && route.verdict == ROUTE_OK)
		answer = explain_alias(q, a.user, 0, why);
	return answer;
}

static int
explain_map(struct query *q, struct str argument, struct why *why)
{
	struct str name, key;
	struct buf value;
	enum router_maps maps;

	if (!str_word(&argument, " ", &name) || (maps = maps_find(name)) == MAPS_COUNT)
		return why_perm(why, NULL, "there are no tables called \"%.*s\"", STR_ARG(name));
	key = str_trim(argument);
	buf_init(&value, TABLE_VALUE_MAX);
	int answer = query_key(q, maps, key, &value, NULL, why);
	buf_free(&value);
	return answer == TABLE_ASKED ? answer : TABLE_FOUND;
}

int
explain_run(struct query *q, struct str what, struct str argument, struct why *why)
{
	if (str_is(what, "address"))
		return explain_address(q, argument, why);
	if (str_is(what, "map"))
		return explain_map(q, argument, why);
	return why_perm(
	    why, NULL, "router can explain an address or a map, not \"%.*s\"", STR_ARG(what));
}
