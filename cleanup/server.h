/* SPDX-License-Identifier: ISC */
/* cleanup's beginning, partners and end, for the service table in main.c. */
#ifndef CLEANUP_SERVER_H
#define CLEANUP_SERVER_H

#include <stdint.h>

#include "lib/base/attr.h"
#include "lib/service/service.h"

struct cleanup;
struct why;

extern const struct service_peer server_peers[];

int server_open(struct service *s, struct why *why) KP_MUST_USE;
int server_start(struct service *s, struct why *why) KP_MUST_USE;
void server_stop(struct service *s, int64_t grace_ms);

/* Nothing is under way any more: at the end of the round the slot of queue ids is given back and
 * the loop ends. */
void server_finish(struct cleanup *c);

#endif
