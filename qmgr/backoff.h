/* SPDX-License-Identifier: ISC */
/* When to try again. */
#ifndef QMGR_BACKOFF_H
#define QMGR_BACKOFF_H

#include <stdint.h>

struct qmgr_conf;

/* Microseconds until the attempt after attempt number `attempts` (1, 2, ...): doubling, with
 * jitter, within the two limits. */
int64_t backoff_us(const struct qmgr_conf *conf, uint64_t attempts);

#endif
