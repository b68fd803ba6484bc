/* SPDX-License-Identifier: ISC */
/*
 * What has been done for a recipient that is to be tried again: when one of two files of an alias
 * could not be written, the next attempt shall not write the other one twice. Kept in memory: a
 * restart may repeat a delivery, and loses none.
 */
#ifndef KP_LOCAL_DONE_H
#define KP_LOCAL_DONE_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/str.h"
#include "local/local.h"

bool done_has(const struct local *l, const char *queue_id, uint64_t index, struct str what);
void done_add(struct local *l, const char *queue_id, uint64_t index, struct str what);

/* The recipient is finished: forget one of its entries. */
void done_forget(struct local *l, const char *queue_id, uint64_t index, struct str what);

#endif
