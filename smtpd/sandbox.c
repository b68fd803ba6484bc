/* SPDX-License-Identifier: ISC */
/*
 * smtpd's privileges: none but its sockets. It accepts from listeners that master bound, talks over
 * channels that master made, and hands large content over by a pipe. Its root is an empty directory
 * and it opens no file.
 */
#include "smtpd/sandbox.h"

#include "lib/sandbox/sandbox.h"

const struct sandbox smtpd_sandbox = {
    .user = "kp-smtpd",
    .chroot_empty = true,
    .calls = SANDBOX_ACCEPT | SANDBOX_SPLICE,
    .files = 65536,
};
