/* SPDX-License-Identifier: ISC */
/* The server: what is opened at the start, who may speak, what is given back at the end. */
#include "cleanup/server.h"

#include <event2/event.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>
#include <xxhash.h>

#include "cleanup/announce.h"
#include "cleanup/cleanup.h"
#include "cleanup/journal.h"
#include "cleanup/transaction.h"
#include "lib/base/clock.h"
#include "lib/base/layout.h"
#include "lib/base/map.h"
#include "lib/base/mem.h"
#include "lib/base/panic.h"
#include "lib/base/why.h"
#include "lib/log/log.h"
#include "lib/mail/date.h"

enum { IDLE_CHECK_MS = 10 * 1000 };

static void
reserve_run(struct job *job)
{
	struct cleanup *c = (struct cleanup *)((char *)job - offsetof(struct cleanup, reserve));
	struct why why;

	if (qid_reserve(&c->ids, &why) == -1)
		log_error("%s", why.text);
}

static void
reserve_done(struct job *job)
{
	struct cleanup *c = (struct cleanup *)((char *)job - offsetof(struct cleanup, reserve));

	c->reserving = false;
}

static void
on_idle_check(evutil_socket_t fd, short what, void *arg)
{
	struct cleanup *c = arg;

	(void)fd;
	(void)what;
	transaction_expire_idle(c);
	if (c->ntransactions > 0 && qid_wants_reserve(&c->ids) && !c->reserving) {
		c->reserving = true;
		c->reserve = (struct job){.run = reserve_run, .done = reserve_done};
		jobs_add(c->jobs, &c->reserve);
	}
}

int
server_open(struct service *s, struct why *why)
{
	struct cleanup *c = xcalloc(1, sizeof *c);
	struct layout layout;

	s->state = c;
	c->service = s;
	c->conf = s->conf;
	c->unannounced = true; /* what an earlier worker may not have said */
	TAILQ_INIT(&c->transactions);
	date_init();
	if (layout_of(&layout, s->root, why) == -1)
		return -1;
	char *path = xasprintf("%s/queue/new", layout.spool);
	c->newfd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	free(path);
	return c->newfd == -1 ? why_sys(why, "4.3.0", "open queue/new") : 0;
}

int
server_start(struct service *s, struct why *why)
{
	struct cleanup *c = s->state;
	struct timeval tv = clock_tv(IDLE_CHECK_MS);

	c->open = map_new();
	c->hash = XXH3_createState();
	if (c->hash == NULL)
		fatal("out of memory");
	if (qid_open(&c->ids, c->newfd, why) == -1)
		return -1;
	c->jobs = jobs_new(&s->loop, (unsigned)c->conf->cleanup_sync_threads, NULL);
	c->journal = journal_new(c, why);
	c->ev_idle = event_new(s->loop.base, -1, EV_PERSIST, on_idle_check, c);
	if (c->ev_idle == NULL || event_add(c->ev_idle, &tv) == -1)
		fatal("no timer");
	return c->journal != NULL ? 0 : -1;
}

void
server_stop(struct service *s, int64_t grace_ms)
{
	struct cleanup *c = s->state;

	(void)grace_ms;
	if (c->ntransactions == 0)
		server_finish(c);
}

/* All jobs are done first: what they answer is still said. */
static void
on_finish(void *arg)
{
	struct cleanup *c = arg;

	jobs_free(&c->jobs);
	qid_close(&c->ids);
	service_exit(c->service);
}

void
server_finish(struct cleanup *c)
{
	if (c->finished)
		return;
	c->finished = true;
	c->finish = (struct loop_task){.on_round_end = on_finish, .arg = c};
	loop_defer(&c->service->loop, &c->finish);
}

static void
on_segment_free(struct chan *ch, const struct chan_head *head, union msg_any *msg)
{
	struct service *s = chan_owner(ch);
	struct cleanup *c = s->state;

	(void)head;
	journal_segment_free(c->journal, msg->segment_free.segment, msg->segment_free.seal);
}

static const struct chan_rule from_qmgr[] = {
    {MSG_SEGMENT_FREE, on_segment_free},
    {MSG_NONE,         NULL           },
};

/* Nothing of tables' changes concerns cleanup: a route carries its generation. */
static void
on_generation(struct chan *ch, const struct chan_head *head, union msg_any *msg)
{
	(void)ch;
	(void)head;
	(void)msg;
}

static const struct chan_rule from_router[] = {
    {MSG_GENERATION, on_generation},
    {MSG_NONE,       NULL         },
};

static void
on_submitter_gone(struct service *s, struct chan *ch)
{
	transaction_partner_gone(s->state, ch);
}

static void
on_qmgr(struct service *s, struct chan *ch)
{
	(void)ch;
	announce_to_new(s->state);
}

/* What was under way to it may not have been read. */
static void
on_qmgr_gone(struct service *s, struct chan *ch)
{
	struct cleanup *c = s->state;

	(void)ch;
	c->unannounced = true;
}

const struct service_peer server_peers[] = {
    {PROGRAM_SMTPD,  transaction_rules, NULL,    on_submitter_gone},
    {PROGRAM_PICKUP, transaction_rules, NULL,    on_submitter_gone},
    {PROGRAM_LOCAL,  transaction_rules, NULL,    on_submitter_gone},
    {PROGRAM_BOUNCE, transaction_rules, NULL,    on_submitter_gone},
    {PROGRAM_ROUTER, from_router,       NULL,    NULL             },
    {PROGRAM_QMGR,   from_qmgr,         on_qmgr, on_qmgr_gone     },
    {PROGRAM_NONE,   NULL,              NULL,    NULL             },
};
