/* SPDX-License-Identifier: ISC */
/* What a private key does with an input. */
#ifndef KEEPER_SIGN_H
#define KEEPER_SIGN_H

#include <openssl/types.h>

#include "lib/base/attr.h"
#include "lib/base/str.h"

struct buf;
struct why;

/* Appends the signature to `out` by enum sign_scheme of lib/msg; -1 with `why`. */
int sign(
    EVP_PKEY *key, unsigned scheme, struct str input, struct buf *out, struct why *why) KP_MUST_USE;

#endif
