/* SPDX-License-Identifier: ISC */
/*
 * One queue in, one list out, one mutex for both; a thread that finishes writes a byte to wake the
 * loop. Threads call nothing of lib/chan or lib/log: these belong to the loop.
 */
#include "lib/pool/pool.h"

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
#include "lib/base/why.h"

struct queue {
	struct pool_job *head, **tail;
	size_t n;
};

struct pool {
	pthread_mutex_t lock; /* of what follows, up to `stop` */
	pthread_cond_t work;
	struct queue waiting, finished;
	bool stop;
	pool_run_fn *run;
	pool_done_fn *on_done, *drop;
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
queue_put(struct queue *q, struct pool_job *job)
{
	job->next = NULL;
	*q->tail = job;
	q->tail = &job->next;
	q->n++;
}

static struct pool_job *
queue_take(struct queue *q)
{
	struct pool_job *job = q->head;

	if (job == NULL)
		return NULL;
	q->head = job->next;
	if (q->head == NULL)
		q->tail = &q->head;
	q->n--;
	return job;
}

static void
job_run(const struct pool *p, struct pool_job *job)
{
	job->late = clock_ms() > job->deadline;
	if (!job->late)
		p->run(job);
}

static void *
thread_main(void *arg)
{
	struct pool *p = arg;
	uint64_t one = 1;

	pthread_mutex_lock(&p->lock);
	for (;;) {
		struct pool_job *job;
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
		struct pool_job *job = queue_take(&p->finished);
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
pool_new(struct loop *loop, size_t threads, size_t most, pool_run_fn *run, pool_done_fn *on_done,
    pool_done_fn *drop, struct why *why)
{
	struct pool *p = xcalloc(1, sizeof *p);

	pthread_mutex_init(&p->lock, NULL);
	pthread_cond_init(&p->work, NULL);
	queue_init(&p->waiting);
	queue_init(&p->finished);
	p->run = run;
	p->on_done = on_done;
	p->drop = drop;
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
	struct pool_job *job;

	if (p == NULL)
		return;
	pthread_mutex_lock(&p->lock);
	p->stop = true;
	while ((job = queue_take(&p->waiting)) != NULL)
		p->drop(job);
	pthread_cond_broadcast(&p->work);
	pthread_mutex_unlock(&p->lock);
	for (size_t i = 0; i < p->nthreads; i++)
		pthread_join(p->threads[i], NULL);
	while ((job = queue_take(&p->finished)) != NULL)
		p->drop(job);
	event_free(p->event);
	fd_close(&p->wake);
	free(p->threads);
	pthread_cond_destroy(&p->work);
	pthread_mutex_destroy(&p->lock);
	free(p);
	*pp = NULL;
}

bool
pool_add(struct pool *p, struct pool_job *job)
{
	pthread_mutex_lock(&p->lock);
	bool full = p->waiting.n >= p->most;
	if (!full) {
		queue_put(&p->waiting, job);
		pthread_cond_signal(&p->work);
	}
	pthread_mutex_unlock(&p->lock);
	return !full;
}
