/* SPDX-License-Identifier: ISC */
/*
 * Router's privileges: its own user, files to read, no network. The folders of the configured
 * tables are added at run time (maps_paths()), so that a table that is rebuilt can be opened again.
 */
#include "lib/sandbox/sandbox.h"

#include "router/router.h"

const struct sandbox router_sandbox = {
    .user = "kp-router",
    .calls = SANDBOX_FILES,
};
