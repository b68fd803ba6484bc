/* SPDX-License-Identifier: ISC */
/* qmgr owns the queue and sees nothing else. It accepts on the queue socket, whose callers the
 * kernel names. */
#include "qmgr/sandbox.h"

#include <stddef.h>

#include "lib/sandbox/sandbox.h"

static const struct sandbox_path paths[] = {
    {"spool/queue", SANDBOX_READ | SANDBOX_WRITE | SANDBOX_CREATE | SANDBOX_REMOVE},
    {NULL,          0							     },
};

const struct sandbox qmgr_sandbox = {
    .user = "kp-queue",
    .group = "kp-queue",
    .calls = SANDBOX_FILES | SANDBOX_NAMES | SANDBOX_THREADS | SANDBOX_ACCEPT,
    .paths = paths,
    .files = 65536,
};
