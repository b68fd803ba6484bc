/* SPDX-License-Identifier: ISC */
/* Base64 (RFC 4648 4), strict: padded, without line ends or other octets, and in its one form. */
#ifndef KP_BASE_BASE64_H
#define KP_BASE_BASE64_H

#include "lib/base/attr.h"
#include "lib/base/str.h"

struct buf;

/* Appends; -1 where it would go over the buffer's max. */
int base64_encode(struct str bytes, struct buf *out) KP_MUST_USE;

/* Appends; -1 where `text` is no base64 or over the buffer's max; `out` is then as before. */
int base64_decode(struct str text, struct buf *out) KP_MUST_USE;

#endif
