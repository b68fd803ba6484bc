/* SPDX-License-Identifier: ISC */
/* bounce's privileges: none but its channels, and the files that qmgr hands it to read. */
#include "bounce/bounce.h"

const struct sandbox bounce_sandbox = {
    .user = "kp-bounce",
    .chroot_empty = true,
    .calls = SANDBOX_FILES,
    .files = 1024,
};
