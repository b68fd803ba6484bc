/* SPDX-License-Identifier: ISC */
/*
 * remote's privileges: sockets of its own to anywhere, and sendfile() from descriptors that qmgr
 * passed. Its root is an empty directory and it opens no file; UNIX sockets are connected by
 * master.
 */
#include "remote/sandbox.h"

#include "lib/sandbox/sandbox.h"

const struct sandbox remote_sandbox = {
    .user = "kp-remote",
    .chroot_empty = true,
    .calls = SANDBOX_NET | SANDBOX_FILES | SANDBOX_SPLICE,
    .files = 65536,
};
