/* SPDX-License-Identifier: ISC */
/*
 * The agents' side in local. A wish is a request with its owner; it waits in line, or belongs to an
 * agent. An agent runs as a user and is as hostile as one: it may answer nonsense, which closes its
 * channel, and it cannot reach anything but its own requests. A request that an agent took with it
 * when it died is a temporary error.
 */
#include "local/agents.h"

#include <errno.h>
#include <event2/event.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/base/mem.h"
#include "lib/base/panic.h"
#include "lib/base/why.h"
#include "lib/log/log.h"
#include "lib/service/service.h"
#include "local/delivery.h"

struct agent {
	struct local *l;
	struct agent_user who;
	struct chan *ch;
	bool dead;          /* its channel is about to end: takes no more */
	bool leaving;       /* it ends what it has, and takes no more */
	struct chan *spawn; /* while it is being started */
	uint32_t spawn_request;
	size_t busy; /* requests under way */
	struct event *idle;
	TAILQ_ENTRY(agent) link;
};

struct agent_wish {
	struct local *l;
	struct agent *agent; /* NULL: waits in line */
	uint32_t request;
	struct event *limit;
	struct agent_user who;
	struct msg_agent_action action; /* text owned */
	const struct delivery *delivery;
	chan_reply_fn *on_reply; /* NULL: nobody wants to know any more */
	void *arg;
	TAILQ_ENTRY(agent_wish) link;
};

static void
wish_free(struct agent_wish **wp)
{
	struct agent_wish *w = *wp;

	if (w->agent == NULL)
		TAILQ_REMOVE(&w->l->wishes, w, link);
	event_free(w->limit);
	free((char *)(uintptr_t)w->action.target.p);
	free((char *)(uintptr_t)w->action.home.p);
	free((char *)(uintptr_t)w->action.headers.p);
	free((char *)(uintptr_t)w->action.environment.p);
	free(w);
	*wp = NULL;
}

static void
agent_free(struct agent **ap)
{
	struct agent *a = *ap;

	TAILQ_REMOVE(&a->l->agents, a, link);
	a->l->nagents--;
	if (a->spawn != NULL)
		chan_forget(a->spawn, a->spawn_request);
	event_free(a->idle);
	chan_close(&a->ch);
	free(a);
	*ap = NULL;
}

static bool
same_user(const struct agent_user *a, const struct agent_user *b)
{
	if (strcmp(a->user, b->user) != 0 || a->mailbox != b->mailbox)
		return false;
	return a->user[0] != '\0' || (a->uid == b->uid && a->gid == b->gid);
}

static void
on_idle(KP_UNUSED evutil_socket_t fd, KP_UNUSED short what, void *arg)
{
	struct agent *a = arg;
	struct local *l = a->l;

	agent_free(&a);
	loop_defer(&l->s->loop, &l->serve);
}

static void
agent_rest(struct agent *a)
{
	struct timeval tv = clock_tv(a->leaving ? 0 : a->l->conf->local_agent_idle_time);

	if (event_add(a->idle, &tv) == -1)
		fatal("no timer");
}

/* Ends it with all that it has to do, after this round. */
static void
agent_end(struct agent *a, const char *reason)
{
	if (a->dead)
		return;
	a->dead = true;
	chan_fail(a->ch, reason);
}

/* --- starting one --- */

static void
on_agent_gone(KP_UNUSED struct chan *ch, void *owner)
{
	struct agent *a = owner;
	struct local *l = a->l;

	a->ch = NULL; /* freed by its own code after this */
	agent_free(&a);
	loop_defer(&l->s->loop, &l->serve);
}

static void
on_spawned(void *arg, const struct chan_head *head, union msg_any *msg)
{
	struct agent *a = arg;

	a->spawn = NULL;
	if (msg != NULL && head->type == MSG_SPAWNED)
		return;
	if (msg != NULL && head->type == MSG_REFUSED)
		log_warning(
		    "no delivery agent for %s: %.*s", a->who.user, STR_ARG(msg->refused.text));
	agent_end(a, "spawn did not start a delivery agent");
}

static const struct chan_rule agent_rules[] = {
    {MSG_NONE, NULL},
};

static struct agent *
agent_new(struct local *l, const struct agent_user *who, struct why *why)
{
	struct chan *spawn = service_peer(l->s, PROGRAM_SPAWN, 0);
	struct agent *a;
	int fds[2];

	if (spawn == NULL) {
		why_temp(why, "4.3.0", "program spawn is not there");
		return NULL;
	}
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds) == -1) {
		why_sys(why, "4.3.0", "make a channel");
		return NULL;
	}
	a = xcalloc(1, sizeof *a);
	*a = (struct agent){.l = l, .who = *who};
	a->ch = chan_new(&l->s->loop, fds[0], "deliver", agent_rules, a, on_agent_gone);
	a->idle = evtimer_new(l->s->loop.base, on_idle, a);
	if (a->idle == NULL)
		fatal("no timer");
	TAILQ_INSERT_TAIL(&l->agents, a, link);
	l->nagents++;
	struct msg_spawn msg = {.user = str_from(who->user),
	    .uid = who->uid,
	    .gid = who->gid,
	    .mailbox = who->mailbox,
	    .channel = fds[1]};
	a->spawn_request = chan_call(spawn, 0, MSG_SPAWN, &msg, on_spawned, a);
	close(fds[1]);
	if (a->spawn_request != 0) {
		a->spawn = spawn;
		return a;
	}
	why_temp(why, "4.3.0", "program spawn cannot be asked");
	agent_free(&a);
	return NULL;
}

/* --- a wish's way to an agent --- */

static void
wish_end(struct agent_wish *w, const struct chan_head *head, union msg_any *msg)
{
	struct agent *a = w->agent;
	chan_reply_fn *on_reply = w->on_reply;
	void *arg = w->arg;

	wish_free(&w);
	if (a != NULL && --a->busy == 0 && !a->dead)
		agent_rest(a);
	if (on_reply != NULL)
		on_reply(arg, head, msg);
}

static void
wish_fail(struct agent_wish *w, const struct why *why)
{
	struct chan_head head = {.type = MSG_REFUSED};
	union msg_any msg = {.refused = why_to_msg(why)};

	wish_end(w, &head, &msg);
}

static void
on_answer(void *arg, const struct chan_head *head, union msg_any *msg)
{
	struct agent_wish *w = arg;
	struct local *l = w->l;
	bool last = msg == NULL || msg_ends(head->type);

	if (!last) {
		if (w->on_reply != NULL)
			w->on_reply(w->arg, head, msg);
		return;
	}
	if (msg == NULL)
		w->agent->dead = true;
	wish_end(w, head, msg);
	loop_defer(&l->s->loop, &l->serve);
}

/* An agent that answers nothing in time ends, and all that it has with it. */
static void
on_limit(KP_UNUSED evutil_socket_t fd, KP_UNUSED short what, void *arg)
{
	struct agent_wish *w = arg;
	struct why why;

	if (w->agent != NULL) {
		agent_end(w->agent, "the delivery agent did not answer in time");
		return;
	}
	why_temp(&why, "4.3.2", "no delivery agent became free in time");
	wish_fail(w, &why);
}

static int
content_send(struct agent *a, uint32_t id, const struct delivery *d)
{
	for (size_t at = 0; d->content == -1 && at < d->bytes.n; at += MSG_CHUNK_MAX) {
		struct msg_deliver_data data = {
		    .bytes = str_sub(buf_view(&d->bytes), at, MSG_CHUNK_MAX)};
		if (chan_send(a->ch, id, d->head.trace, MSG_DELIVER_DATA, &data) == -1)
			return -1;
	}
	return 0;
}

static int
request_send(struct agent *a, struct agent_wish *w)
{
	const struct delivery *d = w->delivery;
	uint64_t trace = d->head.trace;
	struct msg_deliver deliver = {
	    .queue_id = str_from(d->queue_id),
	    .sender = str_from(d->sender),
	    .size = d->size,
	    .offset = d->offset,
	    .arrived = d->arrived,
	    .recipients = 1,
	    .content = d->content,
	};
	bool reads = w->action.kind == AGENT_READ;

	w->request = chan_open(a->ch, on_answer, w);
	if (reads)
		return chan_send(a->ch, w->request, trace, MSG_AGENT_ACTION, &w->action);
	if (chan_send(a->ch, w->request, trace, MSG_DELIVER, &deliver) == -1 ||
	    chan_send(a->ch, w->request, trace, MSG_AGENT_ACTION, &w->action) == -1 ||
	    content_send(a, w->request, d) == -1)
		return -1;
	return chan_send(a->ch, w->request, trace, MSG_DELIVER_GO, &(struct msg_deliver_go){0});
}

static struct agent *
agent_find(struct local *l, const struct agent_user *who)
{
	struct agent *a;

	TAILQ_FOREACH (a, &l->agents, link)
		if (!a->dead && !a->leaving && same_user(&a->who, who))
			return a;
	return NULL;
}

/* Makes room for a new one by sending an idle one home. */
static bool
agent_evict(struct local *l)
{
	struct agent *a;

	TAILQ_FOREACH (a, &l->agents, link) {
		if (a->busy > 0 || a->dead)
			continue;
		agent_free(&a);
		return true;
	}
	return false;
}

/* False where it has to wait on. */
static bool
wish_serve(struct local *l, struct agent_wish *w)
{
	struct why why = {0};
	struct agent *a = agent_find(l, &w->who);

	if (a == NULL && l->nagents >= (size_t)l->conf->local_agents_max && !agent_evict(l))
		return false;
	if (a == NULL)
		a = agent_new(l, &w->who, &why);
	if (a == NULL) {
		wish_fail(w, &why);
		return true;
	}
	TAILQ_REMOVE(&l->wishes, w, link);
	w->agent = a;
	a->busy++;
	event_del(a->idle);
	if (request_send(a, w) == -1)
		agent_end(a, "a request could not be sent");
	return true;
}

/* An owned copy; what is not set is empty. */
static struct str
text_copy(struct str s)
{
	return str_make(str_dup(s.n > 0 ? s : STR_EMPTY), s.n);
}

/* Served at the round's end: no answer comes before this has returned. */
struct agent_wish *
agent_ask(struct local *l, const struct agent_request *request)
{
	struct agent_wish *w = xcalloc(1, sizeof *w);
	struct timeval limit = clock_tv(l->conf->local_delivery_time_limit);

	*w = (struct agent_wish){
	    .l = l,
	    .who = request->who,
	    .action = *request->action,
	    .delivery = request->delivery,
	    .on_reply = request->on_reply,
	    .arg = request->arg,
	};
	w->action.target = text_copy(request->action->target);
	w->action.home = text_copy(request->action->home);
	w->action.headers = text_copy(request->action->headers);
	w->action.environment = text_copy(request->action->environment);
	w->limit = evtimer_new(l->s->loop.base, on_limit, w);
	if (w->limit == NULL || evtimer_add(w->limit, &limit) == -1)
		fatal("no timer");
	TAILQ_INSERT_TAIL(&l->wishes, w, link);
	loop_defer(&l->s->loop, &l->serve);
	return w;
}

void
agent_cancel(struct agent_wish **wp)
{
	struct agent_wish *w = *wp;

	*wp = NULL;
	if (w == NULL)
		return;
	w->on_reply = NULL;
	if (w->agent == NULL)
		wish_free(&w);
}

void
agent_renew(struct local *l, const struct agent_user *who)
{
	struct agent *a = agent_find(l, who);

	if (a == NULL)
		return;
	a->leaving = true;
	if (a->busy == 0)
		agent_rest(a);
}

static void
on_serve(void *arg)
{
	struct local *l = arg;
	struct agent_wish *w;

	while ((w = TAILQ_FIRST(&l->wishes)) != NULL)
		if (!wish_serve(l, w))
			return;
}

void
agents_init(struct local *l)
{
	TAILQ_INIT(&l->agents);
	TAILQ_INIT(&l->wishes);
	l->serve = (struct loop_task){.on_round_end = on_serve, .arg = l};
}

/* How the process ended is told apart from its channel's end, and only of interest where it could
 * not start. */
static void
on_spawn_exit(KP_UNUSED struct chan *ch, KP_UNUSED const struct chan_head *head, union msg_any *msg)
{
	unsigned status = (unsigned)msg->spawn_exit.status;

	if (status != 0)
		log_warning("delivery agent %llu ended with status 0x%x",
		    (unsigned long long)msg->spawn_exit.pid, status);
}

const struct chan_rule agents_spawn_rules[] = {
    {MSG_SPAWN_EXIT, on_spawn_exit},
    {MSG_NONE,       NULL         },
};
