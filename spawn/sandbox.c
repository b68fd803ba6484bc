/* SPDX-License-Identifier: ISC */
/*
 * Spawn stays root and without a filter: what it starts are users' commands (procmail, Mailman),
 * which need the system as it is. It reads no mail and no network data; its whole input is the
 * SPAWN message of local.
 */
#include "lib/sandbox/sandbox.h"

#include "spawn/spawn.h"

const struct sandbox spawn_sandbox = {
    .user = NULL,
    .no_filter = true,
};
