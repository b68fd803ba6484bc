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

static int
service_start(struct service *s, KP_UNUSED struct why *why)
{
	struct keeper *l = xcalloc(1, sizeof *l);

	*l = (struct keeper){.s = s, .conf = s->conf};
	s->state = l;
	return 0;
}

/* New values are in `conf` already; nothing is derived from them. */
static void
on_reload(KP_UNUSED struct service *s)
{
}

static const struct chan_rule from_smtpd[] = {
    {MSG_NONE, NULL},
};

static const struct service_peer peers[] = {
    {PROGRAM_SMTPD,  from_smtpd, NULL, NULL},
    {PROGRAM_REMOTE, from_smtpd, NULL, NULL},
    {PROGRAM_SPAWN,  from_smtpd, NULL, NULL},
    {PROGRAM_NONE,   NULL,       NULL, NULL},
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
