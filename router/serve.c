/* SPDX-License-Identifier: ISC */
/*
 * RESOLVE, EXPAND, LOOKUP, MAILBOX, ACCESS and EXPLAIN: each handler makes a question, each run_
 * function answers it. Whoever asks is one of our own programs, and still hostile: text is bounded
 * by the message's declaration, and parsed before use.
 */
#include "router/serve.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/buf.h"
#include "lib/base/mem.h"
#include "lib/base/why.h"
#include "lib/metrics/metrics.h"
#include "lib/service/service.h"
#include "router/access.h"
#include "router/expand.h"
#include "router/explain.h"
#include "router/mailbox.h"
#include "router/maps.h"
#include "router/question.h"
#include "router/route.h"

static struct router *
router_of(struct chan *ch)
{
	return ((struct service *)chan_owner(ch))->state;
}

void
serve_generation(struct router *r, struct chan *only)
{
	static const enum program partners[] = {PROGRAM_SMTPD, PROGRAM_PICKUP, PROGRAM_CLEANUP,
	    PROGRAM_QMGR, PROGRAM_REMOTE, PROGRAM_LOCAL, PROGRAM_BOUNCE};
	struct msg_generation msg = {.generation = r->generation};

	if (only != NULL) {
		if (chan_send(only, 0, 0, MSG_GENERATION, &msg) == -1)
			chan_fail(only, "no room for the generation");
		return;
	}
	for (size_t i = 0; i < NELEM(partners); i++) {
		struct chan *ch;
		for (size_t n = 0; (ch = service_peer_at(r->s, partners[i], n)) != NULL; n++)
			if (chan_send(ch, 0, 0, MSG_GENERATION, &msg) == -1)
				chan_fail(ch, "no room for the generation");
	}
}

static void
question_serve(struct chan *ch, const struct chan_head *head, struct str a, struct str b,
    int (*run)(struct query *, const struct question *))
{
	struct router *r = router_of(ch);
	struct question question = {.ch = ch, .head = *head, .a = a, .b = b, .run = run};

	if (maps_check(r))
		serve_generation(r, NULL);
	metric_add(METRIC_ROUTES, 1);
	question_ask(r, &question);
	service_worked(r->s);
}

/* Every failure is an answer; REFUSED is "could not tell" and never "no such user". */
static int
refuse(const struct question *question, const struct why *why)
{
	chan_refuse(question->ch, &question->head, why);
	return TABLE_ERROR;
}

static uint64_t
time_to_live(const struct query *q)
{
	const struct router_conf *conf = q->r->conf;
	int64_t ttl = conf->route_ttl;

	if (q->used_unix && conf->unix_user_ttl < ttl)
		ttl = conf->unix_user_ttl;
	if (q->used_remote && conf->remote_table_ttl < ttl)
		ttl = conf->remote_table_ttl;
	return (uint64_t)ttl;
}

static int
run_resolve(struct query *q, const struct question *question)
{
	struct route route;
	struct why why = {0};
	int answer = route_resolve(q, question->a, &route, &why);

	if (answer == TABLE_ASKED)
		return answer;
	if (answer == TABLE_ERROR)
		return refuse(question, &why);
	struct msg_route msg = {
	    .verdict = route.verdict,
	    .class = route.class,
	    .expand = route.expand,
	    .address = str_from(route.address),
	    .transport = str_from(route.transport),
	    .nexthop = str_from(route.nexthop),
	    .generation = q->r->generation,
	    .ttl_ms = time_to_live(q),
	    .code = str_from(route.verdict == ROUTE_UNKNOWN ? route.unknown.code : ""),
	    .text = str_from(route.verdict == ROUTE_UNKNOWN ? route.unknown.text : ""),
	};
	chan_reply(question->ch, &question->head, MSG_ROUTE, &msg);
	return answer;
}

/* Final addresses are collected before the first is sent: a question may have to start again. */
struct collection {
	struct query *q;
	struct route *routes;
	size_t n, size;
	bool asked;
};

static int
on_expanded(void *arg, struct str address, struct why *why)
{
	struct collection *c = arg;

	if (c->n == c->size) {
		c->size = c->size != 0 ? 2 * c->size : 4;
		c->routes = xrealloc(c->routes, size_mul(c->size, sizeof *c->routes));
	}
	struct route *route = &c->routes[c->n];
	*route = (struct route){0};
	if (!str_copy(route->address, sizeof route->address, address))
		return why_temp(why, "4.3.5", "an address is too long");
	int answer = route_find(c->q, route, why);
	if (answer != TABLE_FOUND) {
		c->asked = answer == TABLE_ASKED;
		return -1;
	}
	c->n++;
	return 0;
}

static int
run_expand(struct query *q, const struct question *question)
{
	struct collection c = {.q = q};
	struct why why = {0};
	int answer = expand_address(q, question->a, on_expanded, &c, &why);

	if (answer == TABLE_ERROR && c.asked)
		answer = TABLE_ASKED;
	for (size_t i = 0; answer == TABLE_FOUND && i < c.n; i++) {
		struct msg_expanded msg = {
		    .address = str_from(c.routes[i].address),
		    .class = c.routes[i].class,
		    .transport = str_from(c.routes[i].transport),
		    .nexthop = str_from(c.routes[i].nexthop),
		    .generation = q->r->generation,
		};
		chan_reply(question->ch, &question->head, MSG_EXPANDED, &msg);
	}
	if (answer == TABLE_FOUND)
		chan_done(question->ch, &question->head, c.n);
	free(c.routes);
	return answer == TABLE_ERROR ? refuse(question, &why) : answer;
}

/* Whose table it is: its name, "root", or "#uid" for a uid without a name. TABLE_FOUND, TABLE_ASKED
 * or TABLE_ERROR. */
static int
owner_find(struct query *q, const struct table *t, char *out, size_t size, struct why *why)
{
	char uid[32];
	struct buf line;

	snprintf(uid, sizeof uid, "%llu", (unsigned long long)table_owner(t));
	if (strcmp(uid, "0") == 0) {
		snprintf(out, size, "root");
		return TABLE_FOUND;
	}
	buf_init(&line, TABLE_VALUE_MAX);
	int answer = q->asker.ask(q->asker.arg, STR("passwd.byuid"), str_from(uid), &line, why);
	struct str name = buf_view(&line);
	ptrdiff_t colon = str_chr(name, ':');
	if (answer != TABLE_FOUND || colon <= 0 ||
	    !str_copy(out, size, str_sub(name, 0, (size_t)colon)))
		snprintf(out, size, "#%s", uid);
	buf_free(&line);
	return answer == TABLE_NONE ? TABLE_FOUND : answer;
}

static int
found_reply(struct query *q, const struct question *question, const struct table *t,
    const struct buf *value)
{
	char owner[64];
	struct why why = {0};
	struct str spec = str_from(table_spec(t));
	int answer = owner_find(q, t, owner, sizeof owner, &why);

	if (answer == TABLE_ERROR)
		return refuse(question, &why);
	if (answer == TABLE_ASKED)
		return answer;
	struct msg_found msg = {.found = 1,
	    .value = buf_view(value),
	    .table = str_sub(spec, 0, 1024),
	    .owner = str_from(owner)};
	chan_reply(question->ch, &question->head, MSG_FOUND, &msg);
	return answer;
}

static int
run_lookup(struct query *q, const struct question *question)
{
	enum router_maps maps = maps_find(question->a);
	const struct table *t = NULL;
	struct why why = {0};
	struct buf value;

	if (maps == MAPS_COUNT) {
		why_temp(&why, "4.3.5", "there are no tables called %.*s", STR_ARG(question->a));
		return refuse(question, &why);
	}
	buf_init(&value, TABLE_VALUE_MAX);
	int answer = query_key(q, maps, question->b, &value, &t, &why);
	if (answer == TABLE_FOUND)
		answer = found_reply(q, question, t, &value);
	else if (answer == TABLE_ERROR)
		refuse(question, &why);
	else if (answer == TABLE_NONE) {
		struct msg_found msg = {.found = 0};
		chan_reply(question->ch, &question->head, MSG_FOUND, &msg);
	}
	buf_free(&value);
	return answer;
}

/* `a` is the table, `b` the kind's digit and the key. A table that the configuration does not name
 * is not opened, whoever asks. */
static int
run_access(struct query *q, const struct question *question)
{
	struct why why = {0};
	struct buf value;

	buf_init(&value, TABLE_VALUE_MAX);
	int answer = access_find(q, question->a, (enum access_kind)(question->b.p[0] - '0'),
	    str_from_at(question->b, 1), &value, &why);
	if (answer == TABLE_ERROR) {
		refuse(question, &why);
	} else if (answer != TABLE_ASKED) {
		struct msg_found msg = {.found = answer == TABLE_FOUND, .value = buf_view(&value)};
		chan_reply(question->ch, &question->head, MSG_FOUND, &msg);
	}
	buf_free(&value);
	return answer;
}

static int
mailbox_reply(struct query *q, const struct question *question,
    int (*find)(struct query *, struct str, struct mailbox *, struct why *))
{
	struct mailbox box = {0};
	struct why why = {0};
	int answer = find(q, question->a, &box, &why);

	if (answer == TABLE_ASKED)
		return answer;
	if (answer == TABLE_ERROR)
		return refuse(question, &why);
	struct msg_mailbox_is msg = {
	    .found = answer == TABLE_FOUND,
	    .user = str_from(box.user),
	    .uid = box.uid,
	    .gid = box.gid,
	    .home = str_from(box.home),
	    .shell = str_from(box.shell),
	    .path = str_from(box.path),
	};
	chan_reply(question->ch, &question->head, MSG_MAILBOX_IS, &msg);
	return answer;
}

static int
run_user(struct query *q, const struct question *question)
{
	return mailbox_reply(q, question, mailbox_of_user);
}

static int
run_virtual(struct query *q, const struct question *question)
{
	return mailbox_reply(q, question, mailbox_of_address);
}

static int
run_explain(struct query *q, const struct question *question)
{
	struct buf text;
	struct why why = {0};

	buf_init(&text, MSG_VALUE_MAX);
	q->explain = &text;
	int answer = explain_run(q, question->a, question->b, &why);
	struct str rest = buf_view(&text), line;
	while (answer == TABLE_FOUND && str_word(&rest, "\n", &line)) {
		struct msg_control_text msg = {.text = line};
		chan_reply(question->ch, &question->head, MSG_CONTROL_TEXT, &msg);
	}
	if (answer == TABLE_FOUND)
		chan_done(question->ch, &question->head, 0);
	buf_free(&text);
	return answer == TABLE_ERROR ? refuse(question, &why) : answer;
}

static void
on_resolve(struct chan *ch, const struct chan_head *head, union msg_any *msg)
{
	question_serve(ch, head, msg->resolve.address, STR_EMPTY, run_resolve);
}

static void
on_expand(struct chan *ch, const struct chan_head *head, union msg_any *msg)
{
	question_serve(ch, head, msg->expand.address, STR_EMPTY, run_expand);
}

static void
on_lookup(struct chan *ch, const struct chan_head *head, union msg_any *msg)
{
	question_serve(ch, head, msg->lookup.maps, msg->lookup.key, run_lookup);
}

static void
on_access(struct chan *ch, const struct chan_head *head, union msg_any *msg)
{
	struct buf key;

	buf_init(&key, MSG_VALUE_MAX);
	if (buf_byte(&key, (char)('0' + msg->access.kind)) == 0 &&
	    buf_str(&key, msg->access.key) == 0)
		question_serve(ch, head, msg->access.map, buf_view(&key), run_access);
	buf_free(&key);
}

static void
on_mailbox(struct chan *ch, const struct chan_head *head, union msg_any *msg)
{
	question_serve(ch, head, msg->mailbox.name, STR_EMPTY,
	    msg->mailbox.kind == 0 ? run_user : run_virtual);
}

static void
on_explain(struct chan *ch, const struct chan_head *head, union msg_any *msg)
{
	question_serve(ch, head, msg->explain.what, msg->explain.argument, run_explain);
}

const struct chan_rule serve_partners[] = {
    {MSG_RESOLVE, on_resolve},
    {MSG_EXPAND,  on_expand },
    {MSG_LOOKUP,  on_lookup },
    {MSG_MAILBOX, on_mailbox},
    {MSG_ACCESS,  on_access },
    {MSG_NONE,    NULL      },
};

const struct chan_rule serve_operators[] = {
    {MSG_EXPLAIN, on_explain},
    {MSG_RESOLVE, on_resolve},
    {MSG_LOOKUP,  on_lookup },
    {MSG_NONE,    NULL      },
};

const struct chan_rule serve_tables[] = {
    {MSG_NONE, NULL},
};
