/* SPDX-License-Identifier: ISC */
/*
 * One round: wait for events and serve them all, then do the tasks that they queued. A task may
 * queue others, for the next round; a round with tasks waiting does not block.
 */
#include "lib/chan/loop.h"

#include <event2/event.h>
#include <stdlib.h>

#include "lib/base/mem.h"
#include "lib/base/panic.h"
#include "lib/chan/packet.h"

void
loop_init(struct loop *loop)
{
	struct event_config *config = event_config_new();

	*loop = (struct loop){0};
	TAILQ_INIT(&loop->tasks);
	if (config == NULL || event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK) == -1)
		fatal("event loop: no configuration");
	loop->base = event_base_new_with_config(config);
	event_config_free(config);
	if (loop->base == NULL)
		fatal("event loop: no base");
	loop->packet = xmalloc(PACKET_MAX);
}

void
loop_clear(struct loop *loop)
{
	if (loop->base != NULL)
		event_base_free(loop->base);
	loop->base = NULL;
	free(loop->packet);
	loop->packet = NULL;
}

/* Tasks that are queued from here on belong to the next round. */
static void
end_round(struct loop *loop)
{
	unsigned round = loop->round++;
	struct loop_task *task;

	while ((task = TAILQ_FIRST(&loop->tasks)) != NULL && task->round == round) {
		loop_cancel(loop, task);
		task->on_round_end(task->arg);
	}
}

void
loop_round(struct loop *loop, bool wait)
{
	int flags = EVLOOP_ONCE;

	if (!wait || !TAILQ_EMPTY(&loop->tasks))
		flags |= EVLOOP_NONBLOCK;
	if (event_base_loop(loop->base, flags) == -1)
		fatal("event loop: dispatch failed");
	end_round(loop);
}

void
loop_run(struct loop *loop)
{
	loop->stopping = false;
	while (!loop->stopping)
		loop_round(loop, true);
}

void
loop_stop(struct loop *loop)
{
	loop->stopping = true;
	event_base_loopbreak(loop->base);
}

void
loop_defer(struct loop *loop, struct loop_task *task)
{
	if (task->queued)
		return;
	task->queued = true;
	task->round = loop->round;
	TAILQ_INSERT_TAIL(&loop->tasks, task, link);
}

void
loop_cancel(struct loop *loop, struct loop_task *task)
{
	if (!task->queued)
		return;
	task->queued = false;
	TAILQ_REMOVE(&loop->tasks, task, link);
}
