/* SPDX-License-Identifier: ISC */
/* limiter's privileges: its own user, and its folder below the spool. */
#include "lib/sandbox/sandbox.h"

#include "limiter/limiter.h"

static const struct sandbox_path paths[] = {
    {"spool/limiter", SANDBOX_READ | SANDBOX_WRITE | SANDBOX_CREATE | SANDBOX_REMOVE},
    {NULL,	    0							     },
};

const struct sandbox limiter_sandbox = {
    .user = "kp-limiter",
    .calls = SANDBOX_FILES | SANDBOX_NAMES,
    .paths = paths,
};
