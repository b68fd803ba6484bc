/* SPDX-License-Identifier: ISC */
/*
 * keeper's privileges: its own user, threads for hashes, a pipe for a checkpassword program, and
 * the folder of its user database. It opens no key file and connects to nobody: master hands it
 * both.
 */
#include "lib/sandbox/sandbox.h"

#include "keeper/keeper.h"

static const struct sandbox_path paths[] = {
    {"spool/auth", SANDBOX_READ | SANDBOX_WRITE | SANDBOX_CREATE},
    {NULL,         0					    },
};

const struct sandbox keeper_sandbox = {
    .user = "kp-keeper",
    .calls = SANDBOX_FILES | SANDBOX_THREADS | SANDBOX_SPLICE,
    .paths = paths,
};
