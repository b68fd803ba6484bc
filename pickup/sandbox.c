/* SPDX-License-Identifier: ISC */
/* pickup's privileges: the maildrop, and the sockets that master and its callers hand it. */
#include "pickup/pickup.h"

static const struct sandbox_path paths[] = {
    {"spool/maildrop", SANDBOX_READ | SANDBOX_CREATE | SANDBOX_REMOVE},
    {NULL,	     0					     },
};

const struct sandbox pickup_sandbox = {
    .user = "kp-pickup",
    .group = "kp-drop",
    .calls = SANDBOX_ACCEPT | SANDBOX_FILES | SANDBOX_NAMES | SANDBOX_SPLICE | SANDBOX_INOTIFY,
    .paths = paths,
    .files = 4096,
};
