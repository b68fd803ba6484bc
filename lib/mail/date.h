/* SPDX-License-Identifier: ISC */
/* Dates of header fields (RFC 5322 3.3) in the machine's time zone. */
#ifndef KP_MAIL_DATE_H
#define KP_MAIL_DATE_H

#include <stddef.h>
#include <stdint.h>

enum { DATE_SIZE = 64 };

/* Loads the time zone; before a chroot, which has none. */
void date_init(void);

/* "Sun, 22 Nov 2026 12:57:40 +0000 (UTC)" for microseconds since 1970; returns its length. */
size_t date_header(char out[static DATE_SIZE], int64_t wall_us);

#endif
