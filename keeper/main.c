/* SPDX-License-Identifier: ISC */
/*
 * keeper: holds private keys and checks passwords: signs a digest, answers yes or no, never shows a
 * secret.
 *
 * Privilege: kp-keeper. Trusted: the configuration, the key and password files. Hostile: whoever
 * asks: smtpd and remote speak with the network.
 */
#include "lib/base/mem.h"
#include "lib/service/service.h"
#include "keeper/keeper.h"
#include "keeper/tickets.h"

struct keeper *
keeper_of(const struct chan *ch)
{
	struct service *s = chan_owner(ch);

	return s->state;
}

static int
service_start(struct service *s, KP_UNUSED struct why *why)
{
	struct keeper *k = xcalloc(1, sizeof *k);

	*k = (struct keeper){.s = s, .conf = s->conf};
	s->state = k;
	tickets_start(k);
	return 0;
}

/* New values are in `conf` already. */
static void
on_reload(struct service *s)
{
	tickets_reload(s->state);
}

static const struct chan_rule from_smtpd[] = {
    {MSG_NONE, NULL},
};

static const struct chan_rule from_remote[] = {
    {MSG_NONE, NULL},
};

static const struct chan_rule from_spawn[] = {
    {MSG_NONE, NULL},
};

static const struct service_peer peers[] = {
    {PROGRAM_SMTPD,  from_smtpd,  NULL, NULL},
    {PROGRAM_REMOTE, from_remote, NULL, NULL},
    {PROGRAM_SPAWN,  from_spawn,  NULL, NULL},
    {PROGRAM_NONE,   NULL,        NULL, NULL},
};

static const struct service_table table = {
    .program = PROGRAM_KEEPER,
    .tag = "keeper",
    .settings = &keeper_settings,
    .sandbox = &keeper_sandbox,
    .peers = peers,
    .start = service_start,
    .on_reload = on_reload,
};

int
main(int argc, char **argv)
{
	return service_main(argc, argv, &table);
}
