/* SPDX-License-Identifier: ISC */
/*
 * keeper: holds private keys and checks passwords: signs a digest, answers yes or no, never shows a
 * secret.
 *
 * Privilege: kp-keeper. Trusted: the configuration, the key and password files. Hostile: whoever
 * asks: smtpd and remote speak with the network.
 */
#include <openssl/crypto.h>
#include <time.h>

#include "lib/base/mem.h"
#include "lib/service/service.h"
#include "keeper/auth.h"
#include "keeper/checkpassword.h"
#include "keeper/identity.h"
#include "keeper/keeper.h"
#include "keeper/passwords.h"
#include "keeper/tickets.h"

struct keeper *
keeper_of(const struct chan *ch)
{
	struct service *s = chan_owner(ch);

	return s->state;
}

/* The time zone and OpenSSL's own files: nothing is opened later. */
static int
service_open(KP_UNUSED struct service *s, KP_UNUSED struct why *why)
{
	tzset();
	OPENSSL_init_crypto(OPENSSL_INIT_NO_LOAD_CONFIG, NULL);
	return 0;
}

static int
service_start(struct service *s, struct why *why)
{
	struct keeper *k = xcalloc(1, sizeof *k);

	*k = (struct keeper){.s = s, .conf = s->conf};
	s->state = k;
	identities_start(k);
	tickets_start(k);
	return auth_start(k, why);
}

/* New values are in `conf` already. */
static void
on_reload(struct service *s)
{
	identities_reload(s->state);
	tickets_reload(s->state);
	auth_reload(s->state);
}

static void
on_smtpd(struct service *s, struct chan *ch)
{
	tickets_send(s->state, ch);
	auth_greet(s->state, ch);
}

static void
on_partner_gone(struct service *s, struct chan *ch)
{
	if (s->state == NULL)
		return;
	identities_gone(s->state, ch);
	auth_gone(s->state, ch);
}

static const struct chan_rule from_smtpd[] = {
    {MSG_AUTHORITIES_GET, on_authorities_get},
    {MSG_IDENTITY_GET,    on_identity_get   },
    {MSG_SIGN,            on_sign           },
    {MSG_AUTH_START,      on_auth_start     },
    {MSG_AUTH_RESPONSE,   on_auth_response  },
    {MSG_AUTH_CANCEL,     on_auth_cancel    },
    {MSG_NONE,            NULL              },
};

static const struct chan_rule from_remote[] = {
    {MSG_IDENTITY_GET, on_identity_get},
    {MSG_SIGN,         on_sign        },
    {MSG_NONE,         NULL           },
};

static const struct chan_rule from_spawn[] = {
    {MSG_SPAWN_EXIT, on_spawn_exit},
    {MSG_NONE,       NULL         },
};

static const struct chan_rule from_operators[] = {
    {MSG_USER_ACT,  on_user_act },
    {MSG_USER_LIST, on_user_list},
    {MSG_NONE,      NULL        },
};

static const struct service_peer peers[] = {
    {PROGRAM_SMTPD,  from_smtpd,     on_smtpd, on_partner_gone},
    {PROGRAM_REMOTE, from_remote,    NULL,     on_partner_gone},
    {PROGRAM_SPAWN,  from_spawn,     NULL,     on_partner_gone},
    {PROGRAM_MASTER, from_operators, NULL,     on_partner_gone},
    {PROGRAM_NONE,   NULL,           NULL,     NULL           },
};

static const struct service_table table = {
    .program = PROGRAM_KEEPER,
    .tag = "keeper",
    .settings = &keeper_settings,
    .sandbox = &keeper_sandbox,
    .peers = peers,
    .open = service_open,
    .start = service_start,
    .on_reload = on_reload,
};

int
main(int argc, char **argv)
{
	return service_main(argc, argv, &table);
}
