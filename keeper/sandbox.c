/* SPDX-License-Identifier: ISC */
/* keeper's privileges: its own user. It opens no key file: master hands them over. */
#include "lib/sandbox/sandbox.h"

#include "keeper/keeper.h"

const struct sandbox keeper_sandbox = {
    .user = "kp-keeper",
    .calls = 0,
};
