/* SPDX-License-Identifier: ISC */
/*
 * The skeleton that all workers share. Privilege: as started by master (root) until
 * sandbox_enter(). Trusted: the control channel to master, descriptor 3. Hostile: every other
 * channel. What master sends before START is collected; listeners and channels reach the program
 * only when it has started, so that it never sees one before its own state.
 */
#include "lib/service/service.h"

#include <bsd/unistd.h>
#include <event2/event.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/base/io.h"
#include "lib/base/map.h"
#include "lib/base/mem.h"
#include "lib/base/panic.h"
#include "lib/base/why.h"
#include "lib/conf/common.h"
#include "lib/log/log.h"
#include "lib/metrics/metrics.h"
#include "lib/sandbox/sandbox.h"

enum {
	CONTROL_FD = 3,
	ORPHAN_GRACE_MS = 300, /* master is dead: finish nothing new, leave */
};

struct peer {
	struct service_partner who;
	char *service;
	struct chan *ch;
	bool retires;
};

/* A listener or channel that came before START. */
struct early {
	struct msg_peer peer;
	char *text;
	int fd;
	bool is_peer;
};

struct service_private {
	struct chan *master;
	struct peer *peers;
	size_t npeers;
	struct early *early;
	size_t nearly;
	struct event *ev_grace;
	uint64_t worked;
	unsigned slot;
	char *user, *empty;
	bool started, retiring;
};

/* --- partners --- */

static const struct service_peer *
peer_row(const struct service *s, enum program p)
{
	for (const struct service_peer *row = s->table->peers;
	     row != NULL && row->program != PROGRAM_NONE; row++)
		if (row->program == p)
			return row;
	return NULL;
}

static struct peer *
find_peer(struct service *s, const struct chan *ch)
{
	for (size_t i = 0; i < s->private->npeers; i++)
		if (s->private->peers[i].ch == ch)
			return &s->private->peers[i];
	return NULL;
}

static void
on_peer_gone(struct chan *ch, void *owner)
{
	struct service *s = owner;
	struct peer *peer = find_peer(s, ch);

	if (peer == NULL)
		return;
	enum program program = peer->who.program;
	free(peer->service);
	*peer = s->private->peers[--s->private->npeers];
	const struct service_peer *row = peer_row(s, program);
	if (program == PROGRAM_LOGGER)
		log_channel(NULL);
	if (row != NULL && row->on_gone != NULL)
		row->on_gone(s, ch);
}

static int
order_peers(const void *a, const void *b)
{
	const struct peer *x = a, *y = b;

	if (x->who.program != y->who.program)
		return x->who.program < y->who.program ? -1 : 1;
	if (x->who.worker != y->who.worker)
		return x->who.worker < y->who.worker ? -1 : 1;
	return (x->who.id > y->who.id) - (x->who.id < y->who.id);
}

static void
add_peer(struct service *s, const struct msg_peer *msg, int fd)
{
	struct service_private *p = s->private;
	enum program program = (enum program)msg->program;
	char name[128];

	const struct service_peer *row = program < PROGRAM_COUNT ? peer_row(s, program) : NULL;
	if (row == NULL && program != PROGRAM_LOGGER) {
		log_warning("a channel to program %d is not expected here", (int)program);
		close(fd);
		return;
	}
	snprintf(
	    name, sizeof name, "%s/%llu", program_name(program), (unsigned long long)msg->worker);
	struct chan *ch =
	    chan_new(&s->loop, fd, name, row != NULL ? row->rules : NULL, s, on_peer_gone);
	p->peers = xrealloc(p->peers, (p->npeers + 1) * sizeof *p->peers);
	char *service = str_dup(msg->service);
	p->peers[p->npeers++] = (struct peer){
	    .who = {program, service, msg->id, msg->worker, msg->pid},
	    .service = service,
	    .ch = ch,
	};
	qsort(p->peers, p->npeers, sizeof *p->peers, order_peers);
	if (program == PROGRAM_LOGGER)
		log_channel(ch);
	if (row != NULL && row->on_peer != NULL)
		row->on_peer(s, ch);
}

struct chan *
service_peer_at(struct service *s, enum program p, size_t n)
{
	for (size_t i = 0; i < s->private->npeers; i++)
		if (s->private->peers[i].who.program == p && n-- == 0)
			return s->private->peers[i].ch;
	return NULL;
}

struct chan *
service_peer(struct service *s, enum program p, uint64_t hash)
{
	size_t count = 0;

	for (size_t i = 0; i < s->private->npeers; i++)
		count += s->private->peers[i].who.program == p && !s->private->peers[i].retires;
	if (count == 0)
		return service_peer_at(s, p, 0);
	size_t n = hash % count;
	for (size_t i = 0; i < s->private->npeers; i++)
		if (s->private->peers[i].who.program == p && !s->private->peers[i].retires &&
		    n-- == 0)
			return s->private->peers[i].ch;
	return NULL;
}

const struct service_partner *
service_partner(const struct chan *ch)
{
	const struct service *s = chan_owner(ch);
	const struct peer *peer = find_peer((struct service *)(uintptr_t)s, ch);

	return peer != NULL ? &peer->who : NULL;
}

struct chan *
service_master(struct service *s)
{
	return s->private->master;
}

/* --- the end --- */

void
service_exit(struct service *s)
{
	loop_stop(&s->loop);
}

static void
on_grace_over(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	service_exit(arg);
}

/* Asked to drain first, a program may still be asked to stop; never the other way round. */
static void
stop(struct service *s, int64_t grace_ms, bool drain)
{
	struct timeval tv = clock_tv(grace_ms);

	if (s->stopping && (drain || !s->draining))
		return;
	s->stopping = true;
	s->draining = drain;
	if (!s->private->started || s->table->on_stop == NULL) {
		service_exit(s);
		return;
	}
	if (s->private->ev_grace == NULL)
		s->private->ev_grace = evtimer_new(s->loop.base, on_grace_over, s);
	if (s->private->ev_grace == NULL || evtimer_add(s->private->ev_grace, &tv) == -1)
		fatal("no timer");
	s->table->on_stop(s, grace_ms);
}

void
service_worked(struct service *s)
{
	const struct conf_common *common = s->conf;
	struct msg_retire msg = {0};

	if (s->private->retiring || common->max_requests == 0 ||
	    ++s->private->worked < (uint64_t)common->max_requests)
		return;
	s->private->retiring = true;
	if (chan_send(s->private->master, 0, 0, MSG_RETIRE, &msg) == -1)
		s->private->retiring = false;
}

static void
on_master_gone(struct chan *ch, void *owner)
{
	struct service *s = owner;

	(void)ch;
	s->private->master = NULL;
	stop(s, ORPHAN_GRACE_MS, false);
}

/* --- what master says --- */

static void
on_hello(struct chan *ch, const struct chan_head *head, union msg_any *msg)
{
	struct service *s = chan_owner(ch);
	const struct msg_hello *m = &msg->hello;

	(void)head;
	s->name = str_dup(m->service);
	s->root = str_dup(m->root);
	s->worker = m->worker;
	s->generation = m->generation;
	s->privileged = m->privileged;
	s->private->slot = (unsigned)m->slot;
	s->private->user = str_dup(m->user);
	s->private->empty = str_dup(m->empty);
	setproctitle("%s/%llu", s->name, (unsigned long long)s->worker);
}

static void
on_setting(struct chan *ch, const struct chan_head *head, union msg_any *msg)
{
	struct service *s = chan_owner(ch);
	const struct setting *row = settings_find(&conf_common_settings, msg->setting.name);
	struct why why;

	(void)head;
	if (row == NULL)
		row = settings_find(s->table->settings, msg->setting.name);
	if (row == NULL)
		fatal("master sent setting %.*s, which is not ours", STR_ARG(msg->setting.name));
	if (setting_set(row, s->conf, msg->setting.value, &why) == -1)
		fatal("setting %s: %s", row->name, why.text);
	log_set_debug(((const struct conf_common *)s->conf)->debug);
}

static void
keep_early(struct service *s, struct early e)
{
	struct service_private *p = s->private;

	p->early = xrealloc(p->early, (p->nearly + 1) * sizeof *p->early);
	p->early[p->nearly++] = e;
}

static void
on_listener(struct chan *ch, const struct chan_head *head, union msg_any *msg)
{
	struct service *s = chan_owner(ch);
	int fd = chan_take_fd(&msg->listener.socket);

	(void)head;
	if (!s->private->started)
		keep_early(s, (struct early){.text = str_dup(msg->listener.address), .fd = fd});
	else if (s->table->on_listener != NULL)
		s->table->on_listener(s, fd, msg->listener.address);
	else
		close(fd);
}

static void
open_metrics(struct service *s, int fd)
{
	if (fd == -1)
		return;
	if (metrics_open(fd, s->private->slot) == -1)
		log_warning("metrics: cannot map the shared counters");
	close(fd);
}

static void
on_resource(struct chan *ch, const struct chan_head *head, union msg_any *msg)
{
	struct service *s = chan_owner(ch);
	int fd = chan_take_fd(&msg->resource.file);

	(void)head;
	if (str_is(msg->resource.name, "metrics"))
		open_metrics(s, fd);
	else if (s->table->on_resource != NULL)
		s->table->on_resource(s, msg->resource.name, fd);
	else
		close(fd);
}

static void
on_peer(struct chan *ch, const struct chan_head *head, union msg_any *msg)
{
	struct service *s = chan_owner(ch);
	int fd = chan_take_fd(&msg->peer.channel);

	(void)head;
	if (fd == -1)
		return;
	if (s->private->started) {
		add_peer(s, &msg->peer, fd);
		return;
	}
	struct early e = {
	    .peer = msg->peer, .fd = fd, .is_peer = true, .text = str_dup(msg->peer.service)};
	e.peer.service = str_from(e.text);
	/* The log should have its channel as soon as can be. */
	if (msg->peer.program == PROGRAM_LOGGER) {
		free(e.text);
		add_peer(s, &msg->peer, fd);
		return;
	}
	keep_early(s, e);
}

static void
hand_over_early(struct service *s, bool peers)
{
	struct service_private *p = s->private;

	for (size_t i = 0; i < p->nearly; i++) {
		struct early *e = &p->early[i];
		if (e->is_peer != peers)
			continue;
		if (peers)
			add_peer(s, &e->peer, e->fd);
		else if (s->table->on_listener != NULL)
			s->table->on_listener(s, e->fd, str_from(e->text));
		else
			close(e->fd);
		free(e->text);
		e->text = NULL;
	}
}

static void
on_peer_retires(struct chan *ch, const struct chan_head *head, union msg_any *msg)
{
	struct service *s = chan_owner(ch);

	(void)head;
	for (size_t i = 0; i < s->private->npeers; i++)
		if (s->private->peers[i].who.id == msg->peer_retires.id)
			s->private->peers[i].retires = true;
}

static int
enter_sandbox(struct service *s, struct why *why)
{
	const struct conf_common *common = s->conf;
	struct sandbox_where where = {
	    .root = s->root,
	    .empty = s->private->empty,
	    .user = s->private->user,
	    .paths = s->paths,
	    .privileged = s->privileged,
	};

	if (sandbox_enter(s->table->sandbox, &where, why) == 0)
		return 0;
	if (common->sandbox == 0)
		return -1;
	log_warning("running with less of a sandbox: %s", why->text);
	return 0;
}

static void
fail(struct service *s, const struct why *why)
{
	struct msg_failed msg = {.text = str_from(why->text)};

	log_error("%s: %s", s->name, why->text);
	if (chan_send(s->private->master, 0, 0, MSG_FAILED, &msg) == 0)
		chan_flush(s->private->master);
	exit(EX_CONFIG);
}

static void
on_start(struct chan *ch, const struct chan_head *head, union msg_any *msg)
{
	struct service *s = chan_owner(ch);
	struct msg_ready ready = {0};
	struct why why = {0};

	(void)head;
	(void)msg;
	if (s->private->started || s->name == NULL)
		return;
	if (s->table->open != NULL && s->table->open(s, &why) == -1)
		fail(s, &why);
	if (enter_sandbox(s, &why) == -1)
		fail(s, &why);
	hand_over_early(s, false);
	if (s->table->start != NULL && s->table->start(s, &why) == -1)
		fail(s, &why);
	s->private->started = true;
	hand_over_early(s, true);
	free(s->private->early);
	s->private->early = NULL;
	s->private->nearly = 0;
	(void)!chan_send(s->private->master, 0, 0, MSG_READY,
	    &ready); /* a dead master is noticed by its channel */
}

static void
on_reload(struct chan *ch, const struct chan_head *head, union msg_any *msg)
{
	struct service *s = chan_owner(ch);

	(void)head;
	s->generation = msg->reload.generation;
	if (s->table->on_reload != NULL)
		s->table->on_reload(s);
}

static void
on_stop(struct chan *ch, const struct chan_head *head, union msg_any *msg)
{
	(void)head;
	stop(chan_owner(ch), (int64_t)msg->stop.grace_ms, msg->stop.drain);
}

static const struct chan_rule from_master[] = {
    {MSG_HELLO,        on_hello       },
    {MSG_SETTING,      on_setting     },
    {MSG_LISTENER,     on_listener    },
    {MSG_RESOURCE,     on_resource    },
    {MSG_PEER,         on_peer        },
    {MSG_PEER_RETIRES, on_peer_retires},
    {MSG_START,        on_start       },
    {MSG_RELOAD,       on_reload      },
    {MSG_STOP,         on_stop        },
    {MSG_NONE,         NULL           },
};

static void
close_peers(struct service *s)
{
	struct service_private *p = s->private;
	struct chan *logger = NULL;

	while (p->npeers > 0) {
		struct peer *peer = &p->peers[--p->npeers];
		free(peer->service);
		if (peer->who.program == PROGRAM_LOGGER)
			logger = peer->ch;
		else
			chan_close(&peer->ch);
	}
	log_channel(NULL);
	chan_close(&logger); /* last: the others may still have had something to say */
	chan_close(&p->master);
}

int
service_main(int argc, char **argv, const struct service_table *table)
{
	struct service s = {.table = table};

	setproctitle_init(argc, argv, environ);
	log_open(table->tag);
	if (fd_cloexec(CONTROL_FD, 1) == -1) {
		fprintf(stderr, "%s is started by kingpost's master, not by hand\n",
		    program_name(table->program));
		return EX_USAGE;
	}
	signal(SIGPIPE, SIG_IGN);
	signal(SIGINT, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	s.private = xcalloc(1, sizeof *s.private);
	s.conf = xcalloc(1, table->settings->struct_size);
	settings_init(&conf_common_settings, s.conf);
	settings_init(table->settings, s.conf);
	loop_init(&s.loop);
	s.private->master =
	    chan_new(&s.loop, CONTROL_FD, "master", from_master, &s, on_master_gone);
	loop_run(&s.loop);
	close_peers(&s);
	return 0;
}
