/* SPDX-License-Identifier: ISC */
/*
 * cleanup creates and writes in queue/new and nowhere else; it removes there what it gave up. The
 * folder's group is qmgr's, so that qmgr may read, append to, move and remove what cleanup makes.
 */
#include "cleanup/sandbox.h"

#include <stddef.h>

#include "lib/sandbox/sandbox.h"

static const struct sandbox_path paths[] = {
    {"spool/queue/new", SANDBOX_READ | SANDBOX_WRITE | SANDBOX_CREATE | SANDBOX_REMOVE},
    {NULL,	      0							     },
};

const struct sandbox cleanup_sandbox = {
    .user = "kp-cleanup",
    .group = "kp-queue",
    .calls = SANDBOX_FILES | SANDBOX_NAMES | SANDBOX_THREADS,
    .paths = paths,
    .files = 65536,
};
