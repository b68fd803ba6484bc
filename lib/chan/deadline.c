/* SPDX-License-Identifier: ISC */
#include "lib/chan/deadline.h"

#include <event2/event.h>

#include "lib/base/clock.h"
#include "lib/base/panic.h"
#include "lib/chan/loop.h"

static void
arm(struct deadline *d)
{
	if (d->armed != 0 && d->armed <= d->at)
		return;
	int64_t left = d->at - clock_ms();
	struct timeval tv = clock_tv(left > 0 ? left : 0);
	if (evtimer_add(&d->timer, &tv) == -1)
		fatal("deadline: no timer");
	d->armed = d->at;
}

static void
on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct deadline *d = arg;

	(void)fd;
	(void)what;
	d->armed = 0;
	if (clock_ms() < d->at)
		arm(d);
	else
		d->passed(d->arg);
}

void
deadline_init(struct deadline *d, struct loop *loop, void (*passed)(void *arg), void *arg)
{
	*d = (struct deadline){.passed = passed, .arg = arg};
	evtimer_assign(&d->timer, loop->base, on_timer, d);
}

void
deadline_clear(struct deadline *d)
{
	event_del(&d->timer);
	d->armed = 0;
}

void
deadline_set(struct deadline *d, int64_t ms)
{
	d->at = clock_ms() + ms;
	arm(d);
}
