/* SPDX-License-Identifier: ISC */
/* Local's privileges: its own user, channels, the message that qmgr passes as an open file. It
 * opens nothing by name. */
#include "lib/sandbox/sandbox.h"

#include "local/local.h"

const struct sandbox local_sandbox = {
    .user = "kp-local",
    .chroot_empty = true,
    .calls = SANDBOX_NET | SANDBOX_FILES,
    .files = 4096,
};
