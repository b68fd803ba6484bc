/* SPDX-License-Identifier: ISC */
/*
 * tables: the slow tables, so that none of their libraries sits in router. For now the system's
 * users and groups, by NSS, and tables that other programs answer for over a socket (site.c).
 *
 * Privilege: kp-tables. Trusted: the system's databases. Hostile: names that are asked for, and
 * what servers of tables say. Router asks by LOOKUP: `maps` is passwd.byname, passwd.byuid or
 * group.byname, the answer a line of passwd(5) or group(5); or it is a table as the configuration
 * writes it, and no other.
 */
#include <grp.h>
#include <pwd.h>
#include <stdlib.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/base/mem.h"
#include "lib/service/service.h"
#include "lib/table/table.h"
#include "lib/table/type.h"
#include "tables/site.h"
#include "tables/tables.h"

struct question *
question_of(struct pool_job *job)
{
	return (struct question *)(void *)((char *)job - offsetof(struct question, job));
}

static struct question *
question_new(
    struct tables *t, struct chan *ch, const struct chan_head *head, const struct msg_lookup *what)
{
	struct question *q = xcalloc(1, sizeof *q);

	*q = (struct question){
	    .t = t,
	    .ch = ch,
	    .head = *head,
	    .job = {.deadline = clock_ms() + t->conf->tables_timeout},
	    .map = str_dup(what->maps),
	    .key = str_dup(what->key),
	};
	buf_init(&q->value, TABLE_VALUE_MAX);
	TAILQ_INSERT_TAIL(&t->questions, q, link);
	return q;
}

void
question_free(struct question *q)
{
	TAILQ_REMOVE(&q->t->questions, q, link);
	buf_free(&q->value);
	free(q->map);
	free(q->key);
	free(q);
}

/* A suite that is one ordinary user's delivers to nobody else: for it there are no other users. */
static bool
is_somebody_else(const struct question *q)
{
	struct str line = buf_view(&q->value), field;
	uint64_t uid = UINT64_MAX;

	if (q->t->s->privileged || q->answer != TABLE_FOUND ||
	    !str_starts(str_from(q->map), STR("passwd.")))
		return false;
	for (int i = 0; i < 3 && str_word(&line, ":", &field); i++)
		if (i == 2 && !str_u64(field, UINT32_MAX, &uid))
			return true;
	return uid != geteuid();
}

/* In a thread. */
static void
look_up(struct pool_job *job)
{
	struct question *q = question_of(job);

	q->answer = unix_lookup(str_from(q->map), str_from(q->key), &q->value, &q->why);
}

void
question_done(struct question *q)
{
	if (q->ch != NULL && q->answer == TABLE_ERROR) {
		chan_refuse(q->ch, &q->head, &q->why);
	} else if (q->ch != NULL) {
		struct msg_found msg = {
		    .found = q->answer == TABLE_FOUND,
		    .value = buf_view(&q->value),
		    .table = str_from(q->map),
		};
		chan_reply(q->ch, &q->head, MSG_FOUND, &msg);
	}
	question_free(q);
}

static void
on_done(struct pool_job *job)
{
	struct question *q = question_of(job);

	if (job->late)
		q->answer = why_temp(&q->why, "4.3.0", "the system's user database is too slow");
	if (is_somebody_else(q)) {
		q->answer = TABLE_NONE;
		buf_reset(&q->value);
	}
	question_done(q);
}

static void
drop(struct pool_job *job)
{
	question_free(question_of(job));
}

static void
on_lookup(struct chan *ch, const struct chan_head *head, union msg_any *msg)
{
	static const char *const maps[] = {"passwd.byname", "passwd.byuid", "group.byname"};
	struct service *s = chan_owner(ch);
	struct tables *t = s->state;
	struct site *site = site_find(t, msg->lookup.maps);
	struct why why;
	size_t i = 0;

	while (i < NELEM(maps) && !str_is(msg->lookup.maps, maps[i]))
		i++;
	if (i == NELEM(maps) && site == NULL) {
		why_temp(&why, "4.3.5", "%.*s: the configuration does not name it",
		    STR_ARG(msg->lookup.maps));
		chan_refuse(ch, head, &why);
		return;
	}
	struct question *q = question_new(t, ch, head, &msg->lookup);
	if (site != NULL && t->nwaiting < (size_t)t->conf->tables_queue_max) {
		site_ask(site, q);
	} else if (site != NULL) {
		why_temp(&why, "4.3.2", "too many lookups wait for %s", q->map);
		chan_refuse(ch, head, &why);
		question_free(q);
	} else if (!pool_add(t->pool, &q->job)) {
		why_temp(&why, "4.3.2", "too many lookups wait for the system's user database");
		chan_refuse(ch, head, &why);
		question_free(q);
	}
	service_worked(s);
}

static void
on_router_gone(struct service *s, struct chan *ch)
{
	struct tables *t = s->state;
	struct question *q;

	TAILQ_FOREACH (q, &t->questions, link)
		if (q->ch == ch)
			q->ch = NULL;
}

/* The modules of NSS are loaded while the whole system can be read: all of them, which only a name
 * does that the first of them does not know. */
static int
service_open(struct service *s, KP_UNUSED struct why *why)
{
	struct tables *t = xcalloc(1, sizeof *t);

	t->s = s;
	t->conf = s->conf;
	TAILQ_INIT(&t->questions);
	s->state = t;
	(void)getpwnam("no-such-user");
	(void)getgrnam("no-such-group");
	return 0;
}

static int
service_start(struct service *s, struct why *why)
{
	struct tables *t = s->state;

	t->pool = pool_new(&s->loop, (size_t)t->conf->tables_threads,
	    (size_t)t->conf->tables_queue_max, look_up, on_done, drop, why);
	return t->pool != NULL && sites_open(t, why) == 0 ? 0 : -1;
}

static const struct chan_rule from_router[] = {
    {MSG_LOOKUP, on_lookup},
    {MSG_NONE,   NULL     },
};

static const struct service_peer peers[] = {
    {PROGRAM_ROUTER, from_router, NULL, on_router_gone},
    {PROGRAM_NONE         },
};

static const struct service_table table = {
    .program = PROGRAM_TABLES,
    .tag = "tables",
    .settings = &tables_settings,
    .sandbox = &tables_sandbox,
    .peers = peers,
    .open = service_open,
    .start = service_start,
};

int
main(int argc, char **argv)
{
	return service_main(argc, argv, &table);
}
