/* SPDX-License-Identifier: ISC */
/*
 * local: delivers to this machine's users and to virtual mailboxes. It expands aliases and decides
 * what is done for a recipient; what touches a user's files runs as that user, in the delivery
 * agent (agent/), which spawn starts.
 *
 * Privilege: kp-local in an empty root directory; opens nothing. Trusted: qmgr, router's tables.
 * Hostile: the content of messages,
 * ~/.forward and :include: files, and every delivery agent, which its user may control.
 */
#include <stdlib.h>

#include "lib/base/map.h"
#include "lib/base/mem.h"
#include "lib/service/service.h"
#include "local/agents.h"
#include "local/delivery.h"
#include "local/local.h"

static int
local_start(struct service *s, KP_UNUSED struct why *why)
{
	struct local *l = xcalloc(1, sizeof *l);

	l->s = s;
	l->conf = s->conf;
	TAILQ_INIT(&l->deliveries);
	TAILQ_INIT(&l->slow);
	l->done = map_new();
	agents_init(l);
	s->state = l;
	return 0;
}

static void
on_qmgr_gone(struct service *s, struct chan *ch)
{
	deliveries_orphan(s->state, ch);
}

/* What is under way ends, and its results are acknowledged; the skeleton ends the wait after
 * grace_ms. */
static void
on_stop(struct service *s, KP_UNUSED int64_t grace_ms)
{
	deliveries_stop(s->state);
}

/* Routes are asked anew for each recipient: which generation of tables answers is no matter here.
 */
static void
on_generation(
    KP_UNUSED struct chan *ch, KP_UNUSED const struct chan_head *head, KP_UNUSED union msg_any *msg)
{
}

static const struct chan_rule from_router[] = {
    {MSG_GENERATION, on_generation},
    {MSG_NONE,       NULL         },
};

static const struct chan_rule from_cleanup[] = {
    {MSG_NONE, NULL},
};

static const struct service_peer peers[] = {
    {PROGRAM_QMGR, delivery_rules, NULL, on_qmgr_gone},
    {PROGRAM_ROUTER,        from_router, NULL, NULL},
    {PROGRAM_CLEANUP,            from_cleanup, NULL, NULL},
    {PROGRAM_SPAWN,agents_spawn_rules, NULL, NULL},
    {PROGRAM_NONE       },
};

static const struct service_table table = {
    .program = PROGRAM_LOCAL,
    .tag = "local",
    .settings = &local_settings,
    .sandbox = &local_sandbox,
    .peers = peers,
    .start = local_start,
    .on_stop = on_stop,
};

int
main(int argc, char **argv)
{
	return service_main(argc, argv, &table);
}
