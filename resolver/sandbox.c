/* SPDX-License-Identifier: ISC */
/*
 * Resolver's privileges: its own user, an empty root directory, sockets. Of the file system it has
 * the folders of resolv.conf and the hosts file, by descriptors that it opened before, and may read
 * in them (main.c adds them).
 */
#include "lib/sandbox/sandbox.h"

#include "resolver/resolver.h"

const struct sandbox resolver_sandbox = {
    .user = "kp-resolver",
    .chroot_empty = true,
    .calls = SANDBOX_NET | SANDBOX_FILES,
    .files = 4096,
};
