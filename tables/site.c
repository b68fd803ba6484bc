/* SPDX-License-Identifier: ISC */
/*
 * A question takes a connection (a kept one, or one that is still to be made), and a thread speaks
 * with the server. Connections and lists are the loop's; a thread has the question and its
 * connection alone. Connections to a socket's path are made by master, who may go there; those to
 * a host by the thread, which has to ask for its address.
 *
 *	waiting -> (unix: asking master) -> with a thread -> answered
 *	              ^-------- once more, where a kept connection had ended ----'
 */
#include "tables/site.h"

#include <event2/event.h>
#include <stdlib.h>

#include "lib/base/clock.h"
#include "lib/base/io.h"
#include "lib/base/mem.h"
#include "lib/base/panic.h"
#include "lib/chan/chan.h"
#include "lib/log/log.h"
#include "lib/service/service.h"
#include "lib/table/remote.h"
#include "lib/table/table.h"

enum { SWEEP_MS = 1000 };

/* An idle connection. */
struct kept {
	TAILQ_ENTRY(kept) link;
	int fd;
	int64_t born, idle_since;
};

struct site {
	struct tables *t;
	struct remote remote;
	struct pool *pool;
	TAILQ_HEAD(, kept) kept; /* the one used last comes first */
	TAILQ_HEAD(, question) waiting;
	size_t busy; /* questions that have a connection, or will */
	struct event *sweep;
};

static void serve(struct site *site);

/* --- connections --- */

static void
kept_close(struct site *site, struct kept *k)
{
	TAILQ_REMOVE(&site->kept, k, link);
	fd_close(&k->fd);
	free(k);
}

static void
on_sweep(evutil_socket_t fd, short what, void *arg)
{
	struct site *site = arg;
	const struct tables_conf *conf = site->t->conf;
	int64_t now = clock_ms();
	struct kept *k, *next;

	(void)fd;
	(void)what;
	for (k = TAILQ_FIRST(&site->kept); k != NULL; k = next) {
		next = TAILQ_NEXT(k, link);
		if (now - k->idle_since >= conf->remote_table_max_idle ||
		    now - k->born >= conf->remote_table_max_age)
			kept_close(site, k);
	}
	struct timeval tv = clock_tv(SWEEP_MS);
	if (TAILQ_FIRST(&site->kept) != NULL && evtimer_add(site->sweep, &tv) == -1)
		fatal("no timer");
}

static void
connection_keep(struct site *site, struct question *q)
{
	struct kept *k = xcalloc(1, sizeof *k);
	struct timeval tv = clock_tv(SWEEP_MS);

	*k = (struct kept){.fd = q->fd, .born = q->born, .idle_since = clock_ms()};
	q->fd = -1;
	TAILQ_INSERT_HEAD(&site->kept, k, link);
	if (!evtimer_pending(site->sweep, NULL) && evtimer_add(site->sweep, &tv) == -1)
		fatal("no timer");
}

/* A kept connection that is good, or none. */
static void
connection_take(struct site *site, struct question *q)
{
	const struct tables_conf *conf = site->t->conf;
	struct kept *k;

	q->reused = false;
	while ((k = TAILQ_FIRST(&site->kept)) != NULL && q->fd == -1) {
		if (!remote_is_stale(k->fd) &&
		    clock_ms() - k->idle_since < conf->remote_table_max_idle &&
		    clock_ms() - k->born < conf->remote_table_max_age) {
			q->fd = k->fd;
			q->born = k->born;
			q->reused = true;
			k->fd = -1;
		}
		kept_close(site, k);
	}
}

/* --- with a thread --- */

/* In a thread. A kept connection may have ended meanwhile: then once more, on a new one. */
static void
look_up(struct pool_job *job)
{
	struct question *q = question_of(job);
	const struct remote *remote = &q->site->remote;
	bool silent;

	q->usable = q->again = false;
	if (q->fd == -1) {
		q->fd = remote_connect(remote, job->deadline, &q->why);
		q->born = clock_ms();
	}
	q->answer = q->fd == -1 ? TABLE_ERROR
				: remote_ask(q->fd, remote, str_from(q->key), job->deadline,
				      &q->value, &q->usable, &silent, &q->why);
	q->again = q->fd != -1 && q->answer == TABLE_ERROR && silent && q->reused;
}

static void
question_end(struct question *q)
{
	struct site *site = q->site;

	if (q->fd != -1 && q->usable)
		connection_keep(site, q);
	fd_close(&q->fd);
	site->busy--;
	question_done(q);
	serve(site);
}

static void
question_fail(struct question *q, const char *text)
{
	q->answer = why_temp(&q->why, "4.3.0", "table %s: %s", q->map, text);
	q->usable = false;
	question_end(q);
}

static void question_connect(struct question *q);

static void
on_looked_up(struct pool_job *job)
{
	struct question *q = question_of(job);

	if (job->late) {
		question_fail(q, "too many questions wait");
	} else if (q->again) {
		fd_close(&q->fd);
		q->reused = false;
		question_connect(q);
	} else {
		question_end(q);
	}
}

static void
drop(struct pool_job *job)
{
	struct question *q = question_of(job);

	fd_close(&q->fd);
	question_free(q);
}

static void
question_run(struct question *q)
{
	if (!pool_add(q->site->pool, &q->job))
		question_fail(q, "too many questions wait");
}

/* --- a path, by way of master --- */

static void
on_connected(void *arg, const struct chan_head *head, union msg_any *msg)
{
	struct question *q = arg;

	if (msg != NULL && head->type == MSG_CONNECTED)
		q->fd = chan_take_fd(&msg->connected.socket);
	q->born = clock_ms();
	if (q->fd != -1 && fd_nonblock(q->fd) == 0) {
		question_run(q);
		return;
	}
	char *text = msg != NULL && head->type == MSG_REFUSED ? str_dup(msg->refused.text)
							      : xstrdup("no connection");
	question_fail(q, text);
	free(text);
}

static void
question_connect(struct question *q)
{
	struct service *s = q->t->s;
	struct chan *master = service_master(s);

	if (!q->site->remote.is_unix) {
		question_run(q);
		return;
	}
	char *target = xasprintf("unix:%s", q->site->remote.place);
	struct msg_connect msg = {.target = str_from(target)};
	if (master == NULL ||
	    chan_call(master, q->head.trace, MSG_CONNECT, &msg, on_connected, q) == 0)
		question_fail(q, "master cannot be asked for a connection");
	free(target);
}

/* --- questions --- */

static void
serve(struct site *site)
{
	struct question *q;

	while (site->busy < (size_t)site->t->conf->remote_table_connections &&
	       (q = TAILQ_FIRST(&site->waiting)) != NULL) {
		TAILQ_REMOVE(&site->waiting, q, wait);
		site->t->nwaiting--;
		site->busy++;
		connection_take(site, q);
		if (q->fd != -1)
			question_run(q);
		else
			question_connect(q);
	}
}

void
site_ask(struct site *site, struct question *q)
{
	q->site = site;
	q->fd = -1;
	site->t->nwaiting++;
	TAILQ_INSERT_TAIL(&site->waiting, q, wait);
	serve(site);
}

/* --- sites --- */

static int
site_open(struct tables *t, const char *spec, struct why *why)
{
	struct site *site = xcalloc(1, sizeof *site);

	site->t = t;
	TAILQ_INIT(&site->kept);
	TAILQ_INIT(&site->waiting);
	if (remote_parse(&site->remote, str_from(spec), why) == -1) {
		log_error("remote_tables: %s", why->text); /* who asks for it gets no answer */
		free(site);
		return 0;
	}
	site->pool = pool_new(&t->s->loop, (size_t)t->conf->remote_table_connections,
	    (size_t)t->conf->remote_table_connections + 1, look_up, on_looked_up, drop, why);
	if (site->pool == NULL)
		return -1;
	site->sweep = evtimer_new(t->s->loop.base, on_sweep, site);
	if (site->sweep == NULL)
		fatal("no timer");
	t->sites[t->nsites++] = site;
	return 0;
}

int
sites_open(struct tables *t, struct why *why)
{
	const struct setting_list *specs = &t->conf->remote_tables;

	t->sites = xcalloc(specs->n + 1, sizeof(struct site *));
	for (size_t i = 0; i < specs->n; i++)
		if (site_open(t, specs->items[i], why) == -1)
			return -1;
	return 0;
}

struct site *
site_find(struct tables *t, struct str spec)
{
	for (size_t i = 0; i < t->nsites; i++)
		if (str_is(spec, t->sites[i]->remote.spec))
			return t->sites[i];
	return NULL;
}
