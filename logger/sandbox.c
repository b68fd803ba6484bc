/* SPDX-License-Identifier: ISC */
/* logger's privileges: its own folder to write to, and the system's log. */
#include "logger/logger.h"

static const struct sandbox_path paths[] = {
    {"log",	    SANDBOX_READ | SANDBOX_WRITE | SANDBOX_CREATE},
    {"/dev",           SANDBOX_READ | SANDBOX_WRITE                 },
    {"/etc/localtime", SANDBOX_READ                                 },
    {NULL,	     0					    },
};

const struct sandbox logger_sandbox = {
    .user = "kp-log",
    .calls = SANDBOX_FILES | SANDBOX_NET,
    .paths = paths,
    .files = 1024,
};
