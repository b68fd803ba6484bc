/* SPDX-License-Identifier: ISC */
/* qmgr's beginning, partners and end, for the service table in main.c. */
#ifndef QMGR_SERVER_H
#define QMGR_SERVER_H

#include <stdint.h>

#include "lib/base/attr.h"
#include "lib/base/str.h"
#include "lib/service/service.h"

struct why;

extern const struct service_peer server_peers[];

int server_open(struct service *s, struct why *why) KP_MUST_USE;
int server_start(struct service *s, struct why *why) KP_MUST_USE;
void server_listener(struct service *s, int fd, struct str address);
void server_stop(struct service *s, int64_t grace_ms);
void server_reload(struct service *s);

#endif
