/* SPDX-License-Identifier: ISC */
/*
 * One queue in, one list out, one mutex for both; a thread that finishes writes a byte to wake the
 * loop. Threads call nothing of lib/chan or lib/log: these belong to the loop.
 */
#include "tables/pool.h"

#include <errno.h>
#include <event2/event.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/base/io.h"
#include "lib/base/mem.h"
#include "lib/base/panic.h"
#include "lib/chan/loop.h"
#include "lib/table/table.h"

struct queue {
	struct job *head, **tail;
	size_t n;
};

struct pool {
	pthread_mutex_t lock; /* of what follows, up to `stop` */
	pthread_cond_t work;
	struct queue waiting, finished;
	bool stop;
	pool_lookup_fn *lookup;
	pool_done_fn *on_done;
	size_t most;
	pthread_t *threads;
	size_t nthreads;
	int wake;
	struct event *event;
};

static void
queue_init(struct queue *q)
{
	*q = (struct queue){.tail = &q->head};
}

static void
queue_put(struct queue *q, struct job *job)
{
	job->next = NULL;
	*q->tail = job;
	q->tail = &job->next;
	q->n++;
}

static struct job *
queue_take(struct queue *q)
{
	struct job *job = q->head;

	if (job == NULL)
		return NULL;
	q->head = job->next;
	if (q->head == NULL)
		q->tail = &q->head;
	q->n--;
	return job;
}

struct job *
job_new(struct str map, struct str key, int64_t deadline, void *arg)
{
	struct job *job = xcalloc(1, sizeof *job);

	*job = (struct job){
	    .map = str_dup(map), .key = str_dup(key), .deadline = deadline, .arg = arg};
	buf_init(&job->value, TABLE_VALUE_MAX);
	return job;
}

void
job_free(struct job **jp)
{
	if (*jp == NULL)
		return;
	free((*jp)->map);
	free((*jp)->key);
	buf_free(&(*jp)->value);
	free(*jp);
	*jp = NULL;
}

static void
job_run(const struct pool *p, struct job *job)
{
	if (clock_ms() > job->deadline)
		job->answer =
		    why_temp(&job->why, "4.3.0", "the system's user database is too slow");
	else
		job->answer =
		    p->lookup(str_from(job->map), str_from(job->key), &job->value, &job->why);
}

static void *
thread_main(void *arg)
{
	struct pool *p = arg;
	uint64_t one = 1;

	pthread_mutex_lock(&p->lock);
	for (;;) {
		struct job *job;
		while ((job = queue_take(&p->waiting)) == NULL && !p->stop)
			pthread_cond_wait(&p->work, &p->lock);
		if (job == NULL)
			break;
		pthread_mutex_unlock(&p->lock);
		job_run(p, job);
		pthread_mutex_lock(&p->lock);
		queue_put(&p->finished, job);
		if (write(p->wake, &one, sizeof one) == -1 && errno != EAGAIN)
			break; /* cannot be: an eventfd takes it, or is full and the loop wakes
				  anyway */
	}
	pthread_mutex_unlock(&p->lock);
	return NULL;
}

static void
on_wake(evutil_socket_t fd, KP_UNUSED short what, void *arg)
{
	struct pool *p = arg;
	uint64_t count;

	if (read(fd, &count, sizeof count) == -1 && errno != EAGAIN)
		fatal_sys("wake-up of the pool");
	for (;;) {
		pthread_mutex_lock(&p->lock);
		struct job *job = queue_take(&p->finished);
		pthread_mutex_unlock(&p->lock);
		if (job == NULL)
			return;
		p->on_done(job);
	}
}

/* Signals are the loop's. */
static int
threads_start(struct pool *p, size_t n, struct why *why)
{
	sigset_t all, before;
	int rc = 0;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	p->threads = xcalloc(n, sizeof *p->threads);
	while (p->nthreads < n &&
	       (rc = pthread_create(&p->threads[p->nthreads], NULL, thread_main, p)) == 0)
		p->nthreads++;
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (p->nthreads > 0)
		return 0;
	errno = rc;
	return why_sys(why, NULL, "start a thread");
}

struct pool *
pool_new(struct loop *loop, size_t threads, size_t most, pool_lookup_fn *lookup,
    pool_done_fn *on_done, struct why *why)
{
	struct pool *p = xcalloc(1, sizeof *p);

	pthread_mutex_init(&p->lock, NULL);
	pthread_cond_init(&p->work, NULL);
	queue_init(&p->waiting);
	queue_init(&p->finished);
	p->lookup = lookup;
	p->on_done = on_done;
	p->most = most;
	p->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (p->wake == -1)
		fatal_sys("eventfd");
	p->event = event_new(loop->base, p->wake, EV_READ | EV_PERSIST, on_wake, p);
	if (p->event == NULL || event_add(p->event, NULL) == -1)
		fatal("no event for the pool");
	if (threads_start(p, threads, why) == -1)
		pool_free(&p);
	return p;
}

void
pool_free(struct pool **pp)
{
	struct pool *p = *pp;
	struct job *job;

	if (p == NULL)
		return;
	pthread_mutex_lock(&p->lock);
	p->stop = true;
	while ((job = queue_take(&p->waiting)) != NULL)
		job_free(&job);
	pthread_cond_broadcast(&p->work);
	pthread_mutex_unlock(&p->lock);
	for (size_t i = 0; i < p->nthreads; i++)
		pthread_join(p->threads[i], NULL);
	while ((job = queue_take(&p->finished)) != NULL)
		job_free(&job);
	event_free(p->event);
	fd_close(&p->wake);
	free(p->threads);
	pthread_cond_destroy(&p->work);
	pthread_mutex_destroy(&p->lock);
	free(p);
	*pp = NULL;
}

int
pool_add(struct pool *p, struct job *job, struct why *why)
{
	pthread_mutex_lock(&p->lock);
	bool full = p->waiting.n >= p->most;
	if (!full) {
		queue_put(&p->waiting, job);
		pthread_cond_signal(&p->work);
	}
	pthread_mutex_unlock(&p->lock);
	return full ? why_temp(why, "4.3.2", "too many lookups wait for the system's user database")
		    : 0;
}
