/* SPDX-License-Identifier: ISC */
/*
 * limiter: counters, rates, blocks and the greylist that workers share.
 *
 * Privilege: kp-limiter; one folder below the spool. Trusted: the configuration. Hostile: whoever
 * asks; a key is bytes, and all that is kept is bounded by limiter_entries_max.
 */
#include "lib/base/clock.h"
#include "lib/base/layout.h"
#include "lib/base/mem.h"
#include "lib/base/panic.h"
#include "lib/base/why.h"
#include "lib/log/log.h"
#include "lib/service/service.h"
#include "limiter/counters.h"
#include "limiter/facts.h"
#include "limiter/limiter.h"
#include "limiter/notices.h"
#include "limiter/serve.h"
#include "limiter/usage.h"
#include "limiter/verify.h"

#include <event2/event.h>
#include <stdio.h>

static void
flush(struct limiter *l)
{
	struct why why;
	bool failed = facts_flush(l->facts, &why) == -1;

	if (failed && !l->troubled)
		log_warning(
		    "%s; blocks and greylist will be forgotten at the next start", why.text);
	l->troubled = failed;
}

static void
on_flush(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	flush(arg);
	verify_tick(arg);
	notices_tick(arg);
}

static int
service_start(struct service *s, struct why *why)
{
	struct limiter *l = xcalloc(1, sizeof *l);
	struct timeval every = clock_tv(1000);
	struct layout layout;
	char folder[PATH_MAX];

	*l = (struct limiter){.s = s, .conf = s->conf};
	s->state = l;
	if (layout_of(&layout, s->root, why) == -1)
		return -1;
	if (snprintf(folder, sizeof folder, "%s/limiter", layout.spool) >= (int)sizeof folder)
		return why_perm(why, NULL, "the path of the spool is too long");
	l->counters = counters_new((size_t)l->conf->limiter_entries_max);
	l->usages = usages_new();
	l->notices = notices_new();
	l->verifies = verifies_new(serve_verified);
	l->facts = facts_open(folder, (size_t)l->conf->limiter_entries_max, why);
	if (l->facts == NULL)
		return -1;
	notices_recall(l);
	event_assign(&l->ev_flush, s->loop.base, -1, EV_PERSIST, on_flush, l);
	if (event_add(&l->ev_flush, &every) == -1)
		fatal("no timer");
	return 0;
}

static void
on_stop(struct service *s, int64_t grace_ms)
{
	(void)grace_ms;
	flush(s->state);
	service_exit(s);
}

/* New values are in `conf` already; nothing is derived from them. */
static void
on_reload(KP_UNUSED struct service *s)
{
}

static void
on_gone(struct service *s, struct chan *ch)
{
	struct limiter *l = s->state;

	if (l == NULL || l->counters == NULL)
		return;
	counters_forget_holder(l->counters, ch);
	if (l->verifies != NULL)
		verify_forget(l, ch);
}

static const struct service_peer peers[] = {
    {PROGRAM_SMTPD,  serve_smtpd,     NULL, on_gone},
    {PROGRAM_QMGR,   serve_qmgr,      NULL, NULL   },
    {PROGRAM_BOUNCE, NULL,            NULL, NULL   },
    {PROGRAM_MASTER, serve_operators, NULL, NULL   },
    {PROGRAM_NONE,   NULL,            NULL, NULL   },
};

static const struct service_table table = {
    .program = PROGRAM_LIMITER,
    .tag = "limiter",
    .settings = &limiter_settings,
    .sandbox = &limiter_sandbox,
    .peers = peers,
    .start = service_start,
    .on_stop = on_stop,
    .on_reload = on_reload,
};

int
main(int argc, char **argv)
{
	return service_main(argc, argv, &table);
}
