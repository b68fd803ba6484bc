/* SPDX-License-Identifier: ISC */
/*
 * bounce: writes delivery status notifications.
 *
 * Privilege: kp-bounce, an empty root directory, no files but those that qmgr hands it open.
 * Trusted: nobody more than the protocol says. Hostile: what peers of remote said, and the original
 * message, which is quoted.
 */
#include "bounce/bounce.h"
#include "lib/base/mem.h"
#include "lib/mail/date.h"

static int
open_bounce(struct service *s, struct why *why)
{
	struct bounce *b = xcalloc(1, sizeof *b);

	(void)why;
	b->service = s;
	b->conf = s->conf;
	TAILQ_INIT(&b->jobs);
	TAILQ_INIT(&b->operator_jobs);
	s->state = b;
	date_init(); /* the time zone, before the root directory is gone */
	return 0;
}

static void
on_qmgr_gone(struct service *s, struct chan *ch)
{
	jobs_lost_qmgr(s->state, ch);
}

static void
on_limiter_gone(struct service *s, struct chan *ch)
{
	operator_jobs_lost_limiter(s->state, ch);
}

void
bounce_stop_if_done(const struct bounce *b)
{
	if (b->service->stopping && TAILQ_EMPTY(&b->jobs) && TAILQ_EMPTY(&b->operator_jobs))
		service_exit(b->service);
}

static void
on_stop(struct service *s, int64_t grace_ms)
{
	(void)grace_ms;
	bounce_stop_if_done(s->state);
}

static const struct service_peer peers[] = {
    {PROGRAM_QMGR,    bounce_from_qmgr,    NULL, on_qmgr_gone   },
    {PROGRAM_LIMITER, bounce_from_limiter, NULL, on_limiter_gone},
    {PROGRAM_CLEANUP, NULL,                NULL, NULL           },
    {PROGRAM_NONE,    NULL,                NULL, NULL           },
};

int
main(int argc, char **argv)
{
	static const struct service_table table = {
	    .program = PROGRAM_BOUNCE,
	    .tag = "bounce",
	    .settings = &bounce_settings,
	    .sandbox = &bounce_sandbox,
	    .peers = peers,
	    .open = open_bounce,
	    .on_stop = on_stop,
	};

	return service_main(argc, argv, &table);
}
