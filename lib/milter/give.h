/* SPDX-License-Identifier: ISC */
/* Gives cleanup what milters made of a message that it has shown (MAIL_REPLACE): in the channel
 * where it is small, else through a pipe, as it is read there. */
#ifndef KP_MILTER_GIVE_H
#define KP_MILTER_GIVE_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/attr.h"

struct chan;
struct event_base;
struct milter_gift;
struct milter_mail;

/* `size` is for MAIL_COMMIT; `good` false: cleanup does not take it. May free the gift. */
typedef void milter_given_fn(void *arg, uint64_t size, bool good);

/*
 * 1: there was nothing to give, or it has been said (*size octets; left alone where there was
 * nothing); 0: done() follows; -1: the channel is gone. The mail must live as long as the gift.
 */
int milter_give(struct milter_gift **gp, struct event_base *base, struct chan *cleanup,
    uint32_t request, uint64_t trace, const struct milter_mail *mail, uint64_t *size,
    milter_given_fn *done, void *arg) KP_MUST_USE;

/* Clears the caller's pointer; NULL is fine. */
void milter_gift_free(struct milter_gift **gp);

#endif
