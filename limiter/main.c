/* SPDX-License-Identifier: ISC */
/*
 * limiter: counters, rates, blocks and the greylist that workers share.
 *
 * Privilege: kp-limiter. Trusted: the configuration. Hostile: whoever asks; a key is bytes, and all
 * that is kept is bounded by limiter_entries_max.
 */
#include "lib/base/mem.h"
#include "lib/service/service.h"
#include "limiter/limiter.h"

static int
service_start(struct service *s, KP_UNUSED struct why *why)
{
	struct limiter *l = xcalloc(1, sizeof *l);

	*l = (struct limiter){.s = s, .conf = s->conf};
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
    {PROGRAM_SMTPD, from_smtpd, NULL, NULL},
    {PROGRAM_QMGR,  from_smtpd, NULL, NULL},
    {PROGRAM_NONE,  NULL,       NULL, NULL},
};

static const struct service_table table = {
    .program = PROGRAM_LIMITER,
    .tag = "limiter",
    .settings = &limiter_settings,
    .sandbox = &limiter_sandbox,
    .peers = peers,
    .start = service_start,
    .on_reload = on_reload,
};

int
main(int argc, char **argv)
{
	return service_main(argc, argv, &table);
}
