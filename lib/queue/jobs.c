/* SPDX-License-Identifier: ISC */
/*
 * Threads and one eventfd. Jobs that are added during a round are handed over together at its end:
 * one lock, one wake-up. A thread that finds many takes them all when it is the only one (so that
 * they share a commit), else one at a time.
 */
#include "lib/queue/jobs.h"

#include <event2/event.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "lib/base/mem.h"
#include "lib/base/panic.h"
#include "lib/chan/loop.h"

struct jobs {
	struct loop *loop;
	struct loop_task task;
	struct event *ev;
	int eventfd;
	unsigned nthreads;
	pthread_t *threads;
	struct jobs_group group;
	struct job_list added; /* the loop's own, since the last round's end */
	size_t waiting;
	pthread_mutex_t lock; /* of all below */
	pthread_cond_t wake;
	struct job_list todo, finished;
	bool stopping;
};

static void
take(struct jobs *j, struct job_list *group)
{
	struct job *job;

	STAILQ_INIT(group);
	if (j->nthreads == 1) {
		STAILQ_CONCAT(group, &j->todo);
		return;
	}
	if ((job = STAILQ_FIRST(&j->todo)) != NULL) {
		STAILQ_REMOVE_HEAD(&j->todo, link);
		STAILQ_INSERT_TAIL(group, job, link);
	}
}

static void
run_group(struct jobs *j, struct job_list *group)
{
	struct job *job;

	if (j->group.begin != NULL)
		j->group.begin(j->group.arg);
	STAILQ_FOREACH (job, group, link)
		job->run(job);
	if (j->group.end != NULL)
		j->group.end(j->group.arg, group);
}

static void *
thread_run(void *arg)
{
	struct jobs *j = arg;
	struct job_list group;
	uint64_t one = 1;

	pthread_mutex_lock(&j->lock);
	for (;;) {
		while (STAILQ_EMPTY(&j->todo) && !j->stopping)
			pthread_cond_wait(&j->wake, &j->lock);
		take(j, &group);
		if (STAILQ_EMPTY(&group))
			break;
		pthread_mutex_unlock(&j->lock);
		run_group(j, &group);
		pthread_mutex_lock(&j->lock);
		bool first = STAILQ_EMPTY(&j->finished);
		STAILQ_CONCAT(&j->finished, &group);
		/* A full counter wakes the loop as well: nothing to do about a failure. */
		if (first && write(j->eventfd, &one, sizeof one) == -1)
			continue;
	}
	pthread_mutex_unlock(&j->lock);
	return NULL;
}

static void
report(struct jobs *j)
{
	struct job_list finished = STAILQ_HEAD_INITIALIZER(finished);
	struct job *job;

	pthread_mutex_lock(&j->lock);
	STAILQ_CONCAT(&finished, &j->finished);
	pthread_mutex_unlock(&j->lock);
	while ((job = STAILQ_FIRST(&finished)) != NULL) {
		STAILQ_REMOVE_HEAD(&finished, link);
		j->waiting--;
		if (job->done != NULL)
			job->done(job);
	}
}

static void
on_finished(evutil_socket_t fd, short what, void *arg)
{
	uint64_t count;

	(void)what;
	if (read(fd, &count, sizeof count) == sizeof count)
		report(arg);
}

static void
hand_over(struct jobs *j)
{
	pthread_mutex_lock(&j->lock);
	STAILQ_CONCAT(&j->todo, &j->added);
	pthread_cond_broadcast(&j->wake);
	pthread_mutex_unlock(&j->lock);
}

static void
on_round_end(void *arg)
{
	hand_over(arg);
}

static void
start_threads(struct jobs *j)
{
	sigset_t all, before;

	/* Signals are the loop's. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	for (unsigned i = 0; i < j->nthreads; i++)
		if (pthread_create(&j->threads[i], NULL, thread_run, j) != 0)
			fatal("no thread");
	pthread_sigmask(SIG_SETMASK, &before, NULL);
}

struct jobs *
jobs_new(struct loop *loop, unsigned threads, const struct jobs_group *group)
{
	struct jobs *j = xcalloc(1, sizeof *j);

	j->loop = loop;
	j->task = (struct loop_task){.on_round_end = on_round_end, .arg = j};
	j->nthreads = threads;
	j->threads = xcalloc(threads, sizeof *j->threads);
	if (group != NULL)
		j->group = *group;
	STAILQ_INIT(&j->added);
	STAILQ_INIT(&j->todo);
	STAILQ_INIT(&j->finished);
	pthread_mutex_init(&j->lock, NULL);
	pthread_cond_init(&j->wake, NULL);
	j->eventfd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	j->ev = event_new(loop->base, j->eventfd, EV_READ | EV_PERSIST, on_finished, j);
	if (j->eventfd == -1 || j->ev == NULL || event_add(j->ev, NULL) == -1)
		fatal_sys("eventfd");
	start_threads(j);
	return j;
}

void
jobs_free(struct jobs **jp)
{
	struct jobs *j = *jp;

	if (j == NULL)
		return;
	/* What is reported may add more; all of it is done before the end. */
	while (j->waiting > 0) {
		uint64_t count;
		hand_over(j);
		report(j);
		if (j->waiting > 0 && read(j->eventfd, &count, sizeof count) == -1)
			usleep(1000);
	}
	pthread_mutex_lock(&j->lock);
	j->stopping = true;
	pthread_cond_broadcast(&j->wake);
	pthread_mutex_unlock(&j->lock);
	for (unsigned i = 0; i < j->nthreads; i++)
		pthread_join(j->threads[i], NULL);
	loop_cancel(j->loop, &j->task);
	event_free(j->ev);
	close(j->eventfd);
	pthread_mutex_destroy(&j->lock);
	pthread_cond_destroy(&j->wake);
	free(j->threads);
	free(j);
	*jp = NULL;
}

void
jobs_add(struct jobs *j, struct job *job)
{
	STAILQ_INSERT_TAIL(&j->added, job, link);
	j->waiting++;
	loop_defer(j->loop, &j->task);
}
