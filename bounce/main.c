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
on_stop(struct service *s, int64_t grace_ms)
{
	const struct bounce *b = s->state;

	(void)grace_ms;
	if (TAILQ_EMPTY(&b->jobs))
		service_exit(s);
}

static const struct service_peer peers[] = {
    {PROGRAM_QMGR,    bounce_from_qmgr, NULL, on_qmgr_gone},
    {PROGRAM_CLEANUP, NULL,             NULL, NULL        },
    {PROGRAM_NONE,    NULL,             NULL, NULL        },
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
