/* SPDX-License-Identifier: ISC */
/* How remote starts and stops, and whom it serves: qmgr alone. */
#include "remote/service.h"

#include <stdlib.h>

#include "lib/base/map.h"
#include "lib/base/mem.h"
#include "lib/mail/esmtp.h"
#include "lib/sandbox/sandbox.h"
#include "lib/service/service.h"
#include "remote/delivery.h"
#include "remote/sandbox.h"
#include "remote/session.h"

static unsigned
ignored(const struct remote_conf *conf)
{
	unsigned bits = 0;
	struct str value;

	for (size_t i = 0; i < conf->smtp_discard_ehlo_keywords.n; i++)
		bits |=
		    esmtp_announced(str_from(conf->smtp_discard_ehlo_keywords.items[i]), &value);
	return bits;
}

int
remote_start(struct service *service, struct why *why)
{
	struct remote *remote = xcalloc(1, sizeof *remote);

	(void)why;
	*remote = (struct remote){
	    .service = service,
	    .loop = &service->loop,
	    .conf = service->conf,
	    .ignored = ignored(service->conf),
	    .pool = map_new(),
	    .read_room = xmalloc(READ_SIZE),
	};
	TAILQ_INIT(&remote->running);
	TAILQ_INIT(&remote->kept);
	TAILQ_INIT(&remote->idle);
	service->state = remote;
	return 0;
}

void
remote_free(struct remote **rp)
{
	struct remote *remote = *rp;
	struct delivery *d;
	struct session *s;

	*rp = NULL;
	if (remote == NULL)
		return;
	while ((d = TAILQ_FIRST(&remote->running)) != NULL)
		delivery_free(&d);
	while ((d = TAILQ_FIRST(&remote->kept)) != NULL)
		delivery_free(&d);
	while ((s = TAILQ_FIRST(&remote->idle)) != NULL)
		session_abort(&s);
	loop_round(remote->loop, false); /* closed sessions go at a round's end */
	map_free(&remote->pool, NULL);
	free(remote->read_room);
	free(remote);
}

static void
on_qmgr_gone(struct service *service, struct chan *ch)
{
	if (service->state != NULL)
		deliveries_lost_qmgr(service->state, ch);
}

/* What is under way may finish; nothing new begins. */
static void
on_stop(struct service *service, int64_t grace_ms)
{
	struct remote *remote = service->state;

	(void)grace_ms; /* the skeleton ends the process when it is over */
	remote->stopping = true;
	sessions_quit_idle(remote);
	if (TAILQ_EMPTY(&remote->running))
		service_exit(service);
}

static const struct chan_rule from_others[] = {
    {MSG_NONE, NULL},
};

static const struct service_peer peers[] = {
    {PROGRAM_QMGR,     remote_from_qmgr, NULL, on_qmgr_gone},
    {PROGRAM_RESOLVER, from_others,      NULL, NULL        },
    {PROGRAM_ROUTER,   from_others,      NULL, NULL        },
    {PROGRAM_KEEPER,   from_others,      NULL, NULL        },
    {PROGRAM_NONE,     NULL,             NULL, NULL        },
};

const struct service_table remote_service = {
    .program = PROGRAM_REMOTE,
    .tag = "smtp",
    .settings = &remote_settings,
    .sandbox = &remote_sandbox,
    .peers = peers,
    .start = remote_start,
    .on_stop = on_stop,
};
