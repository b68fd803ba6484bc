/* SPDX-License-Identifier: ISC */
/* limiter's privileges: its own user, its folder below the spool, nothing else. */
#include "lib/sandbox/sandbox.h"

#include "limiter/limiter.h"

const struct sandbox limiter_sandbox = {
    .user = "kp-limiter",
    .calls = 0,
};
